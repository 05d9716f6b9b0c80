"""One self-contained HTML page about one search: no scripts, no fonts and no pictures from elsewhere.

A run folder holds `config.json` and `journal.jsonl`, after the search `best.json`, and after the comparison from
scratch `protocol.json`. The page forbids its browser every connection (Content-Security-Policy), and the same folder
gives the same bytes.

The file is long because the page is: style, data, then one function per section in the order of the page.
"""

import io
import json
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
from archgym.stats import detrend, mean_interval, shrunken_means

Key = tuple[int, ...]  # an architecture
READ = ("reward", "raw_return", "normalised_return", "env_steps", "diverged", "switched", "cut_share")
NUMERIC = (
    "parameters",
    "FLOPs",
    "area",
    "return",
    "difference",
    "by seed",
)  # columns of tables that are set to the right
MOST_REIGNS = 12  # incumbents listed
MOST_PREFIXES = 200  # points in time at which the incumbent is computed
MOST_BESIDE = 6  # choices of a supernet that half the page's width can show
BROAD = ' class="broad"'  # over the whole width of the page
STYLE = """
:root { color-scheme: light; --ink: #1f2a36; --muted: #5b6875; --rule: #dfe4ea; --data: #0072b2; --chosen: #d55e00 }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1120px; padding: 28px 20px 48px; background: #fff; color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 8px; letter-spacing: -.01em }
h2 { font-size: 18px; margin: 34px 0 10px; padding-top: 14px; border-top: 1px solid var(--rule) }
h3 { font-size: 15px; margin: 20px 0 6px } p { margin: 0 0 10px; max-width: 85ch }
.note, figcaption, small, th, dt { color: var(--muted) } .note, figcaption { font-size: 13.5px; max-width: 85ch }
code, pre { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace }
code, pre { overflow-wrap: anywhere } pre { background: #f5f7f9; padding: 10px 12px; white-space: pre-wrap }
.cards { display: grid; grid-template-columns: repeat(3, 1fr); gap: 10px; margin: 20px 0 0 }
.cards div { border: 1px solid var(--rule); border-radius: 8px; padding: 10px 14px; break-inside: avoid }
.cards .wide { grid-column: 1 / -1; border-left: 4px solid var(--chosen) } .wide code { font-size: 16px }
dt { font-size: 13px } dd { margin: 0; font-size: 22px; line-height: 1.3; font-variant-numeric: tabular-nums }
dd small { display: block; font-size: 12.5px; line-height: 1.4; margin-top: 2px }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px 32px }
.two .broad { grid-column: 1 / -1 } .two > * { min-width: 0 }
.maps { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 250px), 1fr)); gap: 14px 24px }
figure { margin: 4px 0; break-inside: avoid } figcaption { margin-top: 6px } .scroll { overflow-x: auto }
svg { display: block; width: 100%; height: auto } svg text { font-family: inherit !important }
table { border-collapse: collapse; font-size: 14px; width: 100%; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 500 } th, td { padding: 5px 16px 5px 0; vertical-align: top }
tr, .reign { border-bottom: 1px solid var(--rule); break-inside: avoid } .n { text-align: right }
.n, td:first-child { white-space: nowrap } .scroll + .note { margin-top: 8px }
.pairs { columns: 310px; column-gap: 32px; list-style: none; margin: 0; padding: 0; font-size: 14px }
.pairs li { display: flex; justify-content: space-between; gap: 14px; padding: 2px 0; break-inside: avoid }
.pairs code { text-align: right } .reign i, .key { border-radius: 2px }
.bar { display: flex; height: 16px; border-radius: 4px; overflow: hidden; margin: 8px 0; gap: 2px }
.keys { display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: 13.5px; padding: 0; margin: 0; list-style: none }
.key { display: inline-block; width: 10px; height: 10px; margin-right: 6px }
.reign { display: grid; grid-template-columns: minmax(0, 4fr) minmax(0, 5fr); gap: 4px 20px; padding: 7px 0 }
.track { position: relative; height: 12px; background: #f0f3f6; border-radius: 3px; margin-top: 4px }
.track i { position: absolute; height: 100%; background: var(--data) } .now i { background: var(--chosen) }
.ramp { display: inline-block; width: 110px; height: 10px; border-radius: 2px; margin: 0 6px;
  background: linear-gradient(90deg, #f3f6f9, #8fc1e0, #0072b2, #003a5c) }
@media (max-width: 600px) { body { padding: 18px 14px 32px } .cards { grid-template-columns: 1fr 1fr }
  .cards div { padding: 8px 10px } dd { font-size: 19px } .reign { grid-template-columns: 1fr }
  .broad svg { min-width: 600px } .a { min-width: 26em } }
@media print { body { max-width: none; padding: 0; font-size: 12px; print-color-adjust: exact;
  -webkit-print-color-adjust: exact } h2 { margin-top: 20px } h2, h3 { break-after: avoid } @page { margin: 15mm }
  .two { grid-template-columns: 1fr 1fr } .maps { grid-template-columns: repeat(4, 1fr) } table { font-size: 10.5px }
  .n { white-space: normal } td, th { padding-right: 10px } .note, figcaption, .keys { font-size: 11px } }
"""


@dataclass(frozen=True)
class Run:
    """What a run folder holds."""

    config: dict[str, Any]
    problem: Problem
    seeds: list[int]
    seconds: dict[str, float]
    """By phase."""
    columns: dict[str, NDArray[np.float64]]
    """By name, (windows, members); NaN where a member was trained for fewer windows than others."""
    actions: NDArray[np.int64]
    """(windows, members, choices); -1 where there is no window."""
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
    path, temporary = folder / "report.html", folder / "report.html.tmp"
    temporary.write_text(render(read(folder)), encoding="utf-8")
    return temporary.replace(path)


def read(folder: Path) -> Run:
    """Read a run folder; a half-written last line of the journal is left out.

    Raises:
        ValueError: As `write`.
    """
    config, path = _json(folder / "config.json"), folder / "journal.jsonl"
    if config is None or not isinstance(config.get("settings"), dict):
        raise ValueError(f"report: expected a config.json with settings in {folder}, found none.")
    problem = Problem(Settings.from_keywords(config["settings"]))
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
    columns = {name: np.full(shape, np.nan) for name in READ}
    actions = np.full((*shape, len(problem.space.choices)), -1)
    for column, member in enumerate(sorted(entries)):
        for window, (row, place) in enumerate(entries[member]):
            actions[window, column] = problem.space.canonical(row["action"][place])
            for name in READ:
                columns[name][window, column] = row[name][place]
    seeds: list[int] = next((row["seeds"] for row in rows if row.get("call") == "reset"), [])
    others = (_json(folder / name) for name in ("best.json", "protocol.json"))
    return Run(config, problem, seeds, seconds, columns, actions, *others)


def scores(actions: NDArray[np.int64], rewards: NDArray[np.float64]) -> dict[Key, float]:
    """Score architectures by the incumbent's rule (`stats.ranking`), also where some members have fewer windows."""
    present = ~np.isnan(rewards)
    filled = np.where(present, rewards, np.nanmean(rewards, axis=1, keepdims=True))
    keys = [tuple(vector) for vector in actions[present].tolist()]
    return shrunken_means(keys, detrend(filled)[present])


def incumbents(run: Run) -> tuple[list[int], list[Key]]:
    """Compute the incumbent after a growing number of windows: these numbers, and the incumbent after each."""
    windows, found = len(run.actions), []
    ends = np.unique(np.linspace(1, windows, min(windows, MOST_PREFIXES)).round().astype(int)).tolist()
    for end in ends:
        values = scores(run.actions[:end], run.columns["reward"][:end])
        found.append(max(values, key=lambda key: values[key]))
    return ends, found


def render(run: Run) -> str:
    """Build the page."""
    settings, (windows, members) = run.problem.settings, run.actions.shape[:2]
    seed = run.config.get("args", {}).get("seed", ", ".join(map(str, run.seeds)))
    title = f"Architecture search on {settings.task}"
    summary = (
        f"{run.config.get('agent', 'An agent')} searched the space {settings.space} with "
        f"{_count(members, 'member')} for {_count(windows, 'window')}: {_n(np.nansum(run.columns['env_steps']))} "
        f"environment steps in all, {_count(len(run.scores), 'architecture')} trained, seed {seed}."
    )
    parts = [f"<h1>{escape(title)}</h1><p>{escape(summary)}</p>", _verdicts(run.protocol), _cards(run)]
    parts += [_time(run.seconds), _search(run), _incumbent(run), _choices(run), _protocol(run), _settings(run.config)]
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _verdicts(protocol: dict[str, Any] | None) -> str:
    """What the comparison from scratch came to, in one line."""
    arms = protocol["arms"] if protocol else []
    words = [f"{arm['arm']} {arm['difference']['verdict']}" for arm in arms if arm["difference"]]
    return f"<p><b>Trained from scratch, against the default: {escape(', '.join(words))}.</b></p>" if words else ""


def _cards(run: Run) -> str:
    """The key figures."""
    problem, columns = run.problem, run.columns
    (parameters, flops), (usual, usual_flops) = run.sizes(run.incumbent), run.sizes(run.default)
    fifth = -(-len(run.actions) // 5)
    tail = [part[~np.isnan(part)].mean() for part in columns["raw_return"][-fifth:].T if not np.isnan(part).all()]
    exported = "" if run.best is None else str(run.best.get("architecture", ""))
    other = f"; best.json holds {exported}" if exported not in ("", run.label(run.incumbent)) else ""
    levels = f"random policy {_n(problem.random_return)}, reference {_n(problem.reference_return)}"
    cells = (
        ("Parameters", _n(parameters), f"{parameters / usual:.2f} times the default's {_n(usual)}"),
        ("FLOPs of a forward pass", _n(flops), f"{flops / usual_flops:.2f} times the default's {_n(usual_flops)}"),
        (
            f"Return, last {_count(fifth, 'window')}",
            _n(float(np.median(tail))),
            f"median of the members; best member {_n(max(tail))}; {levels}",
        ),
        ("Switches", _percent(columns["switched"][1:]), "of the windows changed the architecture"),
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
    total, bars, keys = sum(seconds.values()), [], []
    phases = sorted((item for item in seconds.items() if item[1] > 0), key=lambda item: -item[1])
    for number, (phase, value) in enumerate(phases):
        color = f"background:{drawing.TINTS[min(number, len(drawing.TINTS) - 1)]}"
        bars.append(f'<span style="flex:{value / total:.5f};{color}"></span>')
        keys.append(f'<li><i class="key" style="{color}"></i>{escape(phase)} {100 * value / total:.1f} %</li>')
    unit, name = (3600, "hours") if total > 7200 else (60, "minutes") if total > 120 else (1, "seconds")
    bar = f'<div class="bar">{"".join(bars)}</div><ul class="keys">{"".join(keys)}</ul>'
    return f"<h2>Time: {total / unit:.1f} {name}</h2>{bar}" if phases else ""


def _search(run: Run) -> str:
    """Returns over the windows, and parameters against score."""
    visits = Counter(tuple(vector) for vector in run.actions.reshape(-1, run.actions.shape[-1]).tolist())
    points = {key: Point(run.sizes(key)[0], score, visits[key]) for key, score in run.scores.items()}
    default = points.get(run.default, run.sizes(run.default)[0])
    returns = _figure(
        "Return over the search",
        "Mean return of each window, normalised: a random policy has 0, the task's reference 1. Thin lines are the "
        "members, the band holds their middle half, the thick line is their median. The frame ends at \u22121 and 2.",
        partial(drawing.draw_returns, rewards=run.columns["normalised_return"]),
    )
    trade_off = _figure(
        "Parameters against score",
        "One dot per architecture, its area the number of windows that trained it. The score is the shrunken mean of "
        "its rewards over the trend of the search, in units of the reward. Up and to the left is better.",
        lambda axes: drawing.draw_trade_off(axes, list(points.values()), points[run.incumbent], default),
    )
    return f'<h2>The search</h2><div class="two">{returns}{trade_off}</div>'


def _incumbent(run: Run) -> str:
    """The incumbent in the supernet, and which architecture was it when: one line each, by its first time."""
    ends, found = incumbents(run)
    spans: dict[Key, list[tuple[int, int]]] = {}
    for start, end, key in zip([0, *ends], ends, found, strict=False):
        own = spans.setdefault(key, [])
        own.append((own.pop()[0] if own and own[-1][1] == start else start, end))
    longest = sorted(spans, key=lambda key: (key != found[-1], -sum(end - start for start, end in spans[key])))
    lines, share = [], 100 / len(run.actions)
    for key in (key for key in spans if key in longest[:MOST_REIGNS]):
        bars = (f'<i style="left:{share * one:.2f}%;width:{share * (two - one):.2f}%"></i>' for one, two in spans[key])
        when = ", ".join(str(end) if end == start + 1 else f"{start + 1} to {end}" for start, end in spans[key])
        lines.append(
            f'<div class="reign{" now" if key == found[-1] else ""}"><code>{escape(run.label(key))}</code>'
            f'<div><div class="track">{"".join(bars)}</div><small>after window {when}</small></div></div>'
        )
    changes = _count(sum(one != other for one, other in pairwise(found)), "time")
    text = f"The incumbent, computed anew after each window, changed {changes}. The last one is orange."
    if len(spans) > MOST_REIGNS:
        text += f" Shown are the {MOST_REIGNS} of {len(spans)} that were it for longest."
    broad = len(run.problem.space.choices) > MOST_BESIDE
    supernet = _figure(
        "The incumbent in the supernet",
        "One column per choice, its first option at the bottom; the line joins the incumbent's options. Pale columns "
        "are inactive.",
        lambda axes: drawing.draw_supernet(axes, run.problem.space, np.array(run.incumbent)),
        (9.4, 3.0) if broad else (4.7, 2.7),
    )
    reigns = f'<div{BROAD if broad else ""}><p class="note">{text}</p>{"".join(lines)}</div>'
    return f'<h2>The incumbent over time</h2><div class="two">{supernet}{reigns}</div>'


def _choices(run: Run) -> str:
    """One heat map per choice."""
    options = {key: run.problem.space.describe(np.array(key)) for key in run.scores}
    taken = [[options[tuple(vector)] for vector in row if vector[0] >= 0] for row in run.actions.tolist()]
    maps = []
    for choice in run.problem.space.choices:
        shares = [[np.mean([own.get(choice.name) == o for own in row]) for o in choice.options] for row in taken]
        draw = partial(drawing.heat_map, choice=choice, shares=shares)
        maps.append(_svg(f"Choice {choice.name} over the windows", draw, (2.6, 0.7 + 0.2 * len(choice.options))))
    text = (
        'Share of the members that took each option in each window: 0 %<span class="ramp"></span>100 %. A row that '
        "darkens to the right is an option that the search settled on. A member whose choice is inactive (the width of "
        "a layer that is not there) counts for no option."
    )
    figure = f'<figure><div class="maps">{"".join(maps)}</div><figcaption>{text}</figcaption></figure>'
    return f"<h2>How the choices shifted</h2>{figure}"


def _protocol(run: Run) -> str:
    """The comparison from scratch."""
    if run.protocol is None:
        return ""
    protocol, arms = run.protocol, run.protocol["arms"]
    means = {arm["arm"]: float(np.mean(arm["scores"])) for arm in arms}
    gaps, rows = {}, []
    for arm in arms:
        name, gap, (low, high), difference = arm["arm"], arm["difference"], mean_interval(arm["scores"]), ""
        if gap:
            gaps[name] = (gap["low"], means[name] - means["default"], gap["high"])
            difference = "{1:+.3f} ({0:+.3f} to {2:+.3f})".format(*gaps[name])
        area, last = f"{means[name]:.3f} ({low:.3f} to {high:.3f})", _n(float(np.mean(arm["last_fifth"])))
        row = (name, gap["verdict"] if gap else "control", difference, area, last)
        rows.append((*row, arm["architecture"], _n(arm["parameters"]), _n(arm["flops"])))
    header = ("arm", "verdict", "difference", "area", "return", "architecture", "parameters", "FLOPs")
    searched = ", ".join(f"{arm} {_n(steps)}" for arm, steps in protocol["search_steps"].items())
    note = (
        f"Each arm's architecture, trained from scratch for {_n(protocol['steps'])} environment steps with "
        f"{_count(len(arms[0]['scores']), 'seed')}. Area: under the learning curve, normalised (random policy 0, "
        "reference 1), mean and 95 % interval. Return: raw, mean over the last fifth. Difference: to the area of the "
        f"default, with its interval. Steps spent before: searching {searched}; choosing among the candidates "
        f"{_n(protocol['retraining_steps'])}."
    )
    levels = {"random": run.problem.random_return, "reference": run.problem.reference_return}
    curves = {arm["arm"]: arm["curves"] for arm in arms}
    learning = _figure(
        "Learning curves",
        "Raw return of each window: mean over the seeds with its 95 % interval (Student's t).",
        partial(drawing.draw_curves, curves=curves, steps=protocol["steps"], levels=levels),
    )
    differences = _figure(
        "Difference to the default",
        "Dot: difference of the mean areas under the learning curve. Line: its interval; one that crosses zero is "
        "undecided.",
        partial(drawing.draw_differences, intervals=gaps),
        (4.7, 1.1 + 0.5 * len(gaps)),
    )
    tried = [(one["arm"], one["architecture"], one["scores"]) for one in protocol["candidates"]]
    lines = [(arm, f"{np.mean(x):.3f}", ", ".join(f"{one:.3f}" for one in x), label) for arm, label, x in tried]
    return (
        f'<h2>From scratch, against the default</h2>{_table(header, rows)}<p class="note">{escape(note)}</p>'
        f'<div class="two">{learning}{differences}</div><h3>Candidates, each trained from scratch to choose among '
        f"them</h3>{_table(('arm', 'area', 'by seed', 'architecture'), lines)}"
    )


def _settings(config: dict[str, Any]) -> str:
    """What it takes to do it again."""
    parts = [f"<h2>To do it again</h2><pre>{escape(str(config.get('command', '')))}</pre>"]
    for title, name in (("Settings of the environment", "settings"), ("Arguments", "args"), ("Versions", "versions")):
        pairs = config.get(name, {}).items()
        items = (f"<li>{escape(key)} <code>{escape(json.dumps(value))}</code></li>" for key, value in pairs)
        parts.append(f'<h3>{title}</h3><ul class="pairs">{"".join(items)}</ul>')
    return "".join(parts)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Build a table from plain text."""
    kinds = [' class="n"' if name in NUMERIC else ' class="a"' if name == "architecture" else "" for name in header]
    first = "".join(f"<th{kind}>{escape(name)}</th>" for kind, name in zip(kinds, header, strict=True))
    lines = ["".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) for row in rows]
    return f'<div class="scroll"><table><tr>{first}</tr><tr>{"</tr><tr>".join(lines)}</tr></table></div>'


def _figure(title: str, caption: str, draw: Callable[[Axes], None], inches: tuple[float, float] = (4.7, 3.1)) -> str:
    kind = BROAD if inches[0] > 8 else ""
    text = f"<figcaption><b>{escape(title)}.</b> {escape(caption)}</figcaption>"
    return f'<figure{kind}><div class="scroll">{_svg(title, draw, inches)}</div>{text}</figure>'


def _svg(title: str, draw: Callable[[Axes], None], inches: tuple[float, float]) -> str:
    """Draw into an SVG element whose text stays text; the title keeps its ids apart from those of other figures."""
    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure = Figure(figsize=inches, layout="constrained")
        draw(figure.add_subplot())
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    opening, rest = stream.getvalue().split("<svg ", 1)[1].split(">", 1)
    box = re.search(r'viewBox="[^"]*"', opening)
    rest = re.sub(r' id="(?!C[0-9a-f]+_)[A-Za-z][\w.]*_\d+"', "", rest)  # figure_1, axes_1: the same in every figure
    return f'<svg role="img" aria-label="{escape(title)}" {box[0] if box else ""}>{rest}'


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
