"""One self-contained HTML page about one search: no scripts, no fonts and no pictures from elsewhere.

A run folder holds `config.json` and `journal.jsonl`, after the search `best.json`, and after the comparison from
scratch `protocol.json`. The page forbids its browser every connection (Content-Security-Policy), and the same folder
gives the same bytes.
"""

import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from archgym import drawing
from archgym.drawing import Point
from archgym.journal import read_rows
from archgym.settings import Problem, Settings
from archgym.stats import bootstrap_interval, detrend, shrunken_means

Key = tuple[int, ...]  # an architecture
COLUMNS = ("reward", "raw_return", "normalised_return", "parameters", "flops", "env_steps")
NUMERIC = ("parameters", "FLOPs", "area", "return", "difference")
COLUMNS += ("diverged", "switched", "cut_share")
MOST_REIGNS = 12  # incumbents listed
MOST_PREFIXES = 200  # points in time at which the incumbent is computed
STYLE = """
:root { color-scheme: light; --ink: #1f2a36; --muted: #5b6875; --rule: #dfe4ea; --data: #0072b2; --chosen: #d55e00 }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1120px; padding: 28px 20px 48px; background: #fff; color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 8px; letter-spacing: -.01em }
h2 { font-size: 18px; margin: 40px 0 10px; padding-top: 14px; border-top: 1px solid var(--rule) }
p { margin: 0 0 10px; max-width: 75ch } .note, figcaption, small, th, dt { color: var(--muted) }
code, pre { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; overflow-wrap: anywhere }
pre { background: #f5f7f9; padding: 10px 12px; border-radius: 6px; white-space: pre-wrap }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(205px, 1fr)); gap: 10px; margin: 20px 0 0 }
.cards div { border: 1px solid var(--rule); border-radius: 8px; padding: 10px 14px }
.cards .wide { grid-column: 1 / -1; border-left: 4px solid var(--chosen) }
dt { font-size: 13px } dd { margin: 0; font-size: 22px; line-height: 1.3; font-variant-numeric: tabular-nums }
.wide dd { font-size: 17px } dd small { display: block; font-size: 12.5px; line-height: 1.4; margin-top: 2px }
.wide code { font-size: 16px }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px 28px }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 255px), 1fr)); gap: 14px 22px }
figure { margin: 8px 0 4px; break-inside: avoid } figcaption { font-size: 13.5px; margin-top: 6px; max-width: 85ch }
svg { display: block; width: 100%; height: auto } svg text { font-family: inherit !important }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: 14px; width: 100% }
th { text-align: left; font-weight: 500 } th, td { padding: 5px 14px 5px 0; vertical-align: top }
tr { border-bottom: 1px solid var(--rule); break-inside: avoid } td.n, th.n { text-align: right; white-space: nowrap }
td { font-variant-numeric: tabular-nums }
.bar { display: flex; height: 16px; border-radius: 4px; overflow: hidden; margin: 8px 0; gap: 2px }
.key { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px }
.keys { display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: 13.5px; padding: 0; margin: 0; list-style: none }
.reign { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 2px 20px; align-items: center;
  padding: 6px 0; border-bottom: 1px solid var(--rule); break-inside: avoid }
.track { position: relative; height: 12px; background: #f0f3f6; border-radius: 3px }
.track i { position: absolute; height: 100%; background: var(--data); border-radius: 2px } .now i { background: var(--chosen) }
.reign small { font-size: 12.5px } .ramp { display: inline-block; width: 110px; height: 10px; border-radius: 2px;
  vertical-align: middle; margin: 0 6px; background: linear-gradient(90deg, #f3f6f9, #8fc1e0, #0072b2, #003a5c) }
@media (max-width: 600px) { body { padding: 18px 14px 32px } .reign { grid-template-columns: 1fr }
  .broad { min-width: 620px } .cards { grid-template-columns: 1fr 1fr } dd { font-size: 19px } .cards div { padding: 8px 10px } }
@media print { body { max-width: none; padding: 0; font-size: 12px; print-color-adjust: exact;
  -webkit-print-color-adjust: exact } h2 { break-after: avoid; margin-top: 24px } @page { margin: 16mm 14mm } }
"""


@dataclass(frozen=True)
class Run:
    """What a run folder holds."""

    config: dict[str, Any]
    problem: Problem
    seconds: dict[str, float]
    """By phase."""
    columns: dict[str, NDArray[np.float64]]
    """By name, (windows, members); NaN where a member was trained for fewer windows than others."""
    actions: NDArray[np.int64]
    """(windows, members, choices); -1 where there is no window."""
    seeds: list[int]
    best: dict[str, Any] | None
    protocol: dict[str, Any] | None

    @cached_property
    def scores(self) -> dict[Key, float]:
        """Score of every architecture, at the end."""
        return scores(self.actions, self.columns["reward"])

    @cached_property
    def incumbent(self) -> Key:
        """The architecture of the highest score."""
        return max(self.scores, key=lambda key: self.scores[key])

    @cached_property
    def default(self) -> Key:
        """The control arm's architecture."""
        return tuple(self.problem.space.default_architecture.tolist())

    def label(self, key: Key) -> str:
        """Write an architecture as one line."""
        return self.problem.space.label(np.array(key))

    def sizes(self, key: Key) -> tuple[int, int]:
        """Count parameters and FLOPs of an architecture."""
        network, ends = self.problem.space.network_of(np.array(key)), (self.problem.inputs, self.problem.outputs)
        return network.parameters(*ends), network.flops(*ends)


def write(folder: Path) -> Path:
    """Write the page of a run folder as its `report.html`.

    Returns:
        The page's path.

    Raises:
        ValueError: If the configuration or the journal is missing, damaged or empty.
    """
    page = render(read(folder))
    path, temporary = folder / "report.html", folder / ".report.html.tmp"
    temporary.write_text(page, encoding="utf-8")
    os.replace(temporary, path)
    return path


def read(folder: Path) -> Run:
    """Read a run folder; a half-written last line of the journal is left out.

    Raises:
        ValueError: As `write`.
    """
    config = _json(folder / "config.json")
    if config is None or not isinstance(config.get("settings"), dict):
        raise ValueError(f"report: expected a config.json with settings in {folder}, found none.")
    problem = Problem(Settings.from_keywords(config["settings"]))
    path = folder / "journal.jsonl"
    data = path.read_bytes() if path.exists() else b""
    rows = read_rows(data[: data.rfind(b"\n") + 1], path)[0]
    trained = [row for row in rows if row.get("call") == "train_window"]
    if not trained:
        raise ValueError(f"report: expected a journal with at least one window in {folder}, found none.")
    seconds: dict[str, float] = {}
    for phase, value in (item for row in rows for item in row.get("seconds", {}).items()):
        seconds[phase] = seconds.get(phase, 0.0) + value

    entries: dict[int, list[tuple[dict[str, Any], int]]] = {}  # of each member, in order: a row and the place in it
    for row in trained:
        for place, member in enumerate(row["members"]):
            entries.setdefault(member, []).append((row, place))
    shape = (max(map(len, entries.values())), len(entries))
    columns = {name: np.full(shape, np.nan) for name in COLUMNS}
    actions = np.full((*shape, len(problem.space.choices)), -1)
    for column, member in enumerate(sorted(entries)):
        for window, (row, place) in enumerate(entries[member]):
            actions[window, column] = problem.space.canonical(row["action"][place])
            for name in COLUMNS:
                columns[name][window, column] = row[name][place]
    seeds = next((row["seeds"] for row in rows if row.get("call") == "reset"), [])
    best, protocol = _json(folder / "best.json"), _json(folder / "protocol.json")
    return Run(config, problem, seconds, columns, actions, seeds, best, protocol)


def scores(actions: NDArray[np.int64], rewards: NDArray[np.float64]) -> dict[Key, float]:
    """Score architectures by the incumbent's rule (`stats.ranking`), also where some members have fewer windows."""
    present = ~np.isnan(rewards)
    filled = np.where(present, rewards, np.nanmean(rewards, axis=1, keepdims=True))
    keys = [tuple(vector) for vector in actions[present].tolist()]
    return shrunken_means(keys, detrend(filled)[present])  # type: ignore[return-value]


def incumbents(run: Run) -> tuple[list[int], list[Key]]:
    """Compute the incumbent after a growing number of windows: these numbers, and the incumbent after each."""
    windows = len(run.actions)
    ends = np.unique(np.linspace(1, windows, min(windows, MOST_PREFIXES)).round().astype(int)).tolist()
    found = []
    for end in ends:
        values = scores(run.actions[:end], run.columns["reward"][:end])
        found.append(max(values, key=lambda key: values[key]))
    return ends, found


def render(run: Run) -> str:
    """Build the page."""
    settings, (windows, members) = run.problem.settings, run.actions.shape[:2]
    agent, steps = str(run.config.get("agent", "an agent")), float(np.nansum(run.columns["env_steps"]))
    seed = run.config.get("args", {}).get("seed", ", ".join(map(str, run.seeds)))
    title = f"Architecture search on {settings.task}"
    summary = (
        f"{agent} searched the space {settings.space} with {_count(members, 'member')} for {_count(windows, 'window')}: "
        f"{_n(steps)} environment steps in all, {_count(len(run.scores), 'architecture')} trained, seed {seed}."
    )
    parts = [f"<h1>{escape(title)}</h1><p>{escape(summary)}</p>", _cards(run), _time(run.seconds), _returns(run)]
    parts += [_reigns(run), _choices(run), _networks(run), _protocol(run), _settings(run.config)]
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _cards(run: Run) -> str:
    """The key figures."""
    problem, columns = run.problem, run.columns
    (parameters, flops), (usual, usual_flops) = run.sizes(run.incumbent), run.sizes(run.default)
    fifth = -(-len(run.actions) // 5)
    tail = [part[~np.isnan(part)].mean() for part in columns["raw_return"][-fifth:].T if not np.isnan(part).all()]
    exported = "" if run.best is None else str(run.best.get("architecture", ""))
    other = f"; best.json holds {exported}" if exported not in ("", run.label(run.incumbent)) else ""
    cells = (
        ("Parameters", _n(parameters), f"{parameters / usual:.2f} times the default's {_n(usual)}"),
        ("FLOPs of a forward pass", _n(flops), f"{flops / usual_flops:.2f} times the default's {_n(usual_flops)}"),
        (
            f"Return, last {_count(fifth, 'window')}",
            _n(float(np.median(tail))),
            f"median of the members; the best has {_n(max(tail))}; a random policy {_n(problem.random_return)}, "
            f"the reference {_n(problem.reference_return)}",
        ),
        (
            "Switches",
            _percent(columns["switched"][1:]),
            "of the windows trained another architecture than the one before",
        ),
        ("Diverged", _percent(columns["diverged"]), "of the windows: weights stopped being finite"),
        ("Cut episodes", _percent(columns["cut_share"]), "of a window's episodes were cut short by its end"),
    )
    cards = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>"
        for name, value, note in cells
    )
    rule = f"highest shrunken mean of its rewards over the trend, all members pooled{other}"
    first = f"<dt>Incumbent</dt><dd><code>{escape(run.label(run.incumbent))}</code><small>{escape(rule)}</small></dd>"
    return f'<dl class="cards"><div class="wide">{first}</div>{cards}</dl>'


def _time(seconds: dict[str, float]) -> str:
    """Where the time went, as one bar."""
    total = sum(seconds.values())
    bars, keys = [], []
    phases = sorted((item for item in seconds.items() if item[1] > 0), key=lambda item: -item[1])
    for number, (phase, value) in enumerate(phases):
        colour = f"background:{(*drawing.SERIES, drawing.FAINT)[min(number, len(drawing.SERIES))]}"
        bars.append(f'<span style="flex:{value / total:.5f};{colour}"></span>')
        keys.append(f'<li><i class="key" style="{colour}"></i>{escape(phase)} {100 * value / total:.1f} %</li>')
    spent = (
        f"{total / 3600:.1f} hours"
        if total > 7200
        else f"{total / 60:.1f} minutes"
        if total > 120
        else f"{total:.1f} s"
    )
    bar = f'<div class="bar">{"".join(bars)}</div><ul class="keys">{"".join(keys)}</ul>'
    return f"<h2>Time: {spent}</h2>{bar}" if phases else ""


def _returns(run: Run) -> str:
    text = (
        "Mean return of each window, normalised: a random policy has 0, the task's reference 1. Thin lines are the "
        "members, the band holds the middle half of them, the thick line is their median. The frame ends at -1 and 2."
    )
    draw = partial(drawing.draw_returns, rewards=run.columns["normalised_return"])
    return "<h2>Returns</h2>" + _figure("Return over the search", text, draw, (7.6, 3.0))


def _reigns(run: Run) -> str:
    """Which architecture was the incumbent when: one line each, in the order in which they first were."""
    ends, found = incumbents(run)
    spans: dict[Key, list[tuple[int, int]]] = {}
    for start, end, key in zip([0, *ends], ends, found, strict=False):
        own = spans.setdefault(key, [])
        own.append((own.pop()[0] if own and own[-1][1] == start else start, end))
    longest = sorted(spans, key=lambda key: (key != found[-1], -sum(end - start for start, end in spans[key])))
    lines = []
    for key in (key for key in spans if key in longest[:MOST_REIGNS]):
        share = 100 / len(run.actions)
        bars = (f'<i style="left:{share * one:.2f}%;width:{share * (two - one):.2f}%"></i>' for one, two in spans[key])
        when = ", ".join(str(end) if end == start + 1 else f"{start + 1} to {end}" for start, end in spans[key])
        lines.append(
            f'<div class="reign{" now" if key == found[-1] else ""}"><code>{escape(run.label(key))}</code>'
            f'<div><div class="track">{"".join(bars)}</div><small>after window {when}</small></div></div>'
        )
    changes = _count(sum(one != other for one, other in pairwise(found)), "time")
    text = f"The incumbent, computed anew after each window; it changed {changes}. The last one is orange."
    if len(spans) > MOST_REIGNS:
        text += f" Shown are the {MOST_REIGNS} of {len(spans)} that were it for longest."
    return f'<h2>Incumbent over time</h2><p class="note">{text}</p>{"".join(lines)}'


def _choices(run: Run) -> str:
    """One heat map per choice."""
    options = {key: run.problem.space.describe(np.array(key)) for key in run.scores}
    taken = [[options[tuple(vector)] for vector in row if vector[0] >= 0] for row in run.actions.tolist()]
    maps = []
    for choice in run.problem.space.choices:
        shares = [[np.mean([own.get(choice.name) == o for own in row]) for o in choice.options] for row in taken]
        draw = partial(drawing.heat_map, choice=choice, shares=shares)
        maps.append(_svg(f"Choice {choice.name} over the windows", draw, (2.9, 0.75 + 0.2 * len(choice.options))))
    text = (
        'Share of the members that took each option in each window: 0 %<span class="ramp"></span>100 %. A row that '
        "darkens to the right is an option that the search settled on. A member whose choice is inactive (the width of "
        "a layer that is not there) counts for no option."
    )
    maps_text = f'<div class="maps">{"".join(maps)}</div><figcaption>{text}</figcaption>'
    return f"<h2>How the choices shifted</h2><figure>{maps_text}</figure>"


def _networks(run: Run) -> str:
    """Parameters against score, and the incumbent within the supernet."""
    space = run.problem.space
    visits = Counter(tuple(vector) for vector in run.actions.reshape(-1, len(space.choices)).tolist())
    points = {key: Point(run.sizes(key)[0], score, visits[key]) for key, score in run.scores.items()}
    default = points.get(run.default, run.sizes(run.default)[0])
    trade_off = _figure(
        "Parameters against score",
        "One dot per architecture, its area the number of windows that trained it. The score is the shrunken mean of its "
        "rewards over the trend of the search, in units of the normalised return. Up and to the left is better.",
        lambda axes: drawing.draw_trade_off(axes, list(points.values()), points[run.incumbent], default),
        (5.2, 3.4),
    )
    supernet = _figure(
        "The incumbent in the supernet",
        "One column per choice, its first option at the bottom; the line joins the options of the incumbent. Pale "
        "columns are inactive.",
        lambda axes: drawing.draw_supernet(axes, space, np.array(run.incumbent)),
        (5.2, 3.4) if len(space.choices) <= 6 else (9.0, 3.0),
    )
    return f'<h2>Architectures</h2><div class="two">{trade_off}{supernet}</div>'


def _protocol(run: Run) -> str:
    """The comparison from scratch: figures, then every number."""
    if run.protocol is None:
        return ""
    protocol, arms = run.protocol, run.protocol["arms"]
    searched = ", ".join(f"{arm} {_n(steps)}" for arm, steps in protocol["search_steps"].items())
    budget = (
        f"Each arm's architecture, trained from scratch for {_n(protocol['steps'])} environment steps with "
        f"{_count(len(arms[0]['scores']), 'seed')}. Steps spent before: searching {searched}; choosing among the "
        f"candidates {_n(protocol['retraining_steps'])}."
    )
    control = next(np.mean(arm["scores"]) for arm in arms if arm["arm"] == "default")
    gaps, rows = {}, []
    for arm in arms:
        mean, (low, high), gap = np.mean(arm["scores"]), bootstrap_interval(arm["scores"]), arm["difference"]
        if gap:
            gaps[arm["arm"]] = (gap["low"], float(mean - control), gap["high"])
        difference = f"{gap['low']:+.3f} to {gap['high']:+.3f}" if gap else ""
        sizes = (_n(arm["parameters"]), _n(arm["flops"]))
        score = (f"{mean:.3f} ({low:.3f} to {high:.3f})", _n(float(np.mean(arm["last_fifth"]))))
        rows.append((arm["arm"], arm["architecture"], *sizes, *score, difference, gap["verdict"] if gap else "control"))
    names = ("arm", "architecture", "parameters", "FLOPs", "area", "return", "difference", "verdict")
    levels = {"random": run.problem.random_return, "reference": run.problem.reference_return}
    curves = partial(drawing.draw_curves, steps=protocol["steps"], levels=levels)
    figures = _figure(
        "Learning curves",
        "Return of each window, mean over the seeds with its 95 % bootstrap interval.",
        lambda axes: curves(axes, {arm["arm"]: arm["curves"] for arm in arms}),
        (5.2, 3.2),
    ) + _figure(
        "Difference to the default",
        "The dot is the difference of the mean areas under the learning curve, the line its interval. A line that "
        "crosses zero decides nothing.",
        lambda axes: drawing.draw_differences(axes, gaps),
        (5.2, 3.2),
    )
    note = (
        "Area: under the learning curve, normalised (random policy 0, reference 1), mean and 95 % interval. Return: raw, "
        "of the last fifth. Difference: to the default's area, interval."
    )
    tried = [
        (one["arm"], one["architecture"], f"{np.mean(one['scores']):.3f}", ", ".join(f"{x:.3f}" for x in one["scores"]))
        for one in protocol["candidates"]
    ]
    candidates = _table(("arm", "architecture", "area", "by seed"), tried)
    return (
        f'<h2>From scratch: does it beat the default?</h2><p>{escape(budget)}</p>{_table(names, rows)}<p class="note">{note}'
        f'</p><div class="two">{figures}</div><h3>Candidates that were retrained before</h3>{candidates}'
    )


def _settings(config: dict[str, Any]) -> str:
    """What it takes to do it again."""
    command = f"<pre>{escape(str(config.get('command', '')))}</pre>"
    tables = [
        f"<div><h3>{name}</h3>{_table(('name', 'value'), [(key, json.dumps(value)) for key, value in part.items()])}</div>"
        for name, part in ((name, config.get(name) or {}) for name in ("settings", "args", "versions"))
    ]
    return f'<h2>Do it again</h2>{command}<div class="two">{"".join(tables)}</div>'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Build a table from plain text; columns of numbers are set to the right."""
    kinds = [' class="n"' if name in NUMERIC else "" for name in header]
    first = "".join(f"<th{kind}>{escape(name)}</th>" for kind, name in zip(kinds, header, strict=True))
    lines = ["".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) for row in rows]
    return f'<div class="scroll"><table><tr>{first}</tr><tr>{"</tr><tr>".join(lines)}</tr></table></div>'


def _figure(title: str, caption: str, draw: Callable[[Axes], None], inches: tuple[float, float]) -> str:
    kind = ' class="broad"' if inches[0] > 8 else ""
    picture = f'<div class="scroll"><div{kind}>{_svg(title, draw, inches)}</div></div>'
    return f"<figure{kind}>{picture}<figcaption><b>{escape(title)}.</b> {escape(caption)}</figcaption></figure>"


def _svg(title: str, draw: Callable[[Axes], None], inches: tuple[float, float]) -> str:
    """Draw into an SVG element whose text stays text; the title keeps its ids apart from those of other figures."""
    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure = Figure(figsize=inches, layout="constrained")
        draw(figure.add_subplot())
        empty = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=empty)
    svg = re.sub(r' id="(?!C[0-9a-f]+_)[A-Za-z][\w.]*_\d+"', "", stream.getvalue())  # figure_1, in every figure
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf'<svg role="img" aria-label="{escape(title)}" >', svg)
    return svg[svg.index("<svg ") :]


def _json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None if there is no file."""
    if not path.exists():
        return None
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"report: {path} is damaged ({error}).") from error
    if not isinstance(value, dict):
        raise ValueError(f"report: expected an object in {path}, found {type(value).__name__}.")
    return value


def _n(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def _percent(values: NDArray[np.float64]) -> str:
    return f"{100 * float(np.nanmean(values)):.3g} %" if values.size else "none"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
