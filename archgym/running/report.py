"""One self-contained HTML page about one search: no scripts, no fonts and no pictures from elsewhere.

A run folder holds `config.json` and `journal.jsonl`, after the search `best.json`, and after the comparison from
scratch `protocol.json`. The page forbids its browser every connection (Content-Security-Policy), and the same folder
gives the same bytes.

One function per section, in the order of the page.
"""

from collections import Counter
from functools import partial
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from archgym import table_card
from archgym.pages import drawing
from archgym.pages.drawing import Point
from archgym.pages.page import BROAD, count, document, figure, listing, number, percent, save, svg, table
from archgym.running.folder import Key, Run, incumbents, read
from archgym.stats import mean_interval, switch_rates
from archgym.tabular import LOOKED_UP

MOST_REIGNS = 12  # incumbents listed
MOST_BESIDE = 6  # choices of a supernet that half the page's width can show


def write(folder: Path) -> Path:
    """Write the page of a run folder as its `report.html`.

    Returns:
        The page's path.

    Raises:
        ValueError: If the configuration or the journal is missing, damaged or empty.
    """
    return save(folder, render(read(folder)))


def render(run: Run) -> str:
    """Build the page."""
    settings, (windows, members) = run.problem.settings, run.actions.shape[:2]
    seed = run.config.get("args", {}).get("seed", ", ".join(map(str, run.seeds)))
    title = f"Architecture search on {settings.task}"
    summary = (
        f"{run.config.get('agent', 'An agent')} searched the space {settings.space} with "
        f"{count(members, 'member')} for {count(windows, 'window')}: {number(run.steps)} "
        f"environment steps in all, {count(len(run.scores), 'architecture')} trained, seed {seed}."
    )
    if run.recorded:
        summary = (
            f"{run.config.get('agent', 'An agent')} searched the space {settings.space} on the recorded table "
            f"{_name(run)}, {LOOKED_UP[settings.transfer]}, with {count(members, 'member')} for "
            f"{count(windows, 'window')}. Nothing was trained: {number(members * windows)} recorded windows of "
            f"{count(len(run.scores), 'architecture')} were looked up, which stand for {number(run.steps)} environment "
            f"steps; seed {seed}."
        )
    elif not run.problem.trains:
        summary = (
            f"{run.config.get('agent', 'An agent')} searched the space {settings.space} on a planted landscape, with "
            f"{count(members, 'member')} for {count(windows, 'window')}. Nothing was trained: "
            f"{number(members * windows)} windows of {count(len(run.scores), 'architecture')} were scored on the "
            f"landscape, which stand for {number(run.steps)} environment steps; seed {seed}."
        )
    parts = [f"<h1>{escape(title)}</h1><p>{escape(summary)}</p>", _verdicts(run), _cards(run)]
    parts += [
        _time(run.seconds),
        _search(run),
        _incumbent(run),
        _choices(run),
        _switches(run),
        _protocol(run),
        _settings(run.config),
    ]
    return document(title, parts)


def _name(run: Run) -> str:
    """Name the table that windows were looked up in: one that comes with archgym, or a file."""
    settings = run.problem.settings
    path = table_card.find(settings.table, settings.to_dict())
    return path.stem if path.stem in table_card.shipped() else str(path)


def _regret(run: Run) -> list[tuple[str, str, str]]:
    """How far the recommendation is from the best of a table, as a key figure; nothing where networks were trained."""
    if not run.recorded:
        return []
    label, card = run.label(run.recommended), run.recorded.table.card
    note = (
        f"distance of {label}, {'recommended first' if run.recommendation else 'the incumbent so far'}, to the best "
        f"architecture of the table: normalised area under the curve on the {len(card.seeds) - card.search_seeds} test "
        "seeds, which no search sees"
    )
    return [("Regret", f"{run.recorded.regret(np.array(run.recommended)):.3f}", note)]


def _verdicts(run: Run) -> str:
    """What the comparison from scratch came to, in one line."""
    arms = run.protocol["arms"] if run.protocol else []
    words = [f"{arm['arm']} {arm['difference']['verdict']}" for arm in arms if arm["difference"]]
    how = "Trained from scratch" if run.problem.trains else "Scored on the landscape"
    return f"<p><b>{how}, against the default: {escape(', '.join(words))}.</b></p>" if words else ""


def _cards(run: Run) -> str:
    """The key figures."""
    problem, columns = run.problem, run.columns
    switched, returned = switch_rates(run.actions)
    (parameters, flops), (usual, usual_flops) = run.sizes(run.incumbent), run.sizes(run.default)
    fifth = -(-len(run.actions) // 5)
    tail = [part[~np.isnan(part)].mean() for part in columns["raw_return"][-fifth:].T if not np.isnan(part).all()]
    exported = "" if run.best is None else str(run.best.get("architecture", ""))
    other = f"; best.json holds {exported}" if exported not in ("", run.label(run.incumbent)) else ""
    levels = f"random policy {number(problem.random_return)}, reference {number(problem.reference_return)}"
    cells = (
        *_regret(run),
        ("Parameters", number(parameters), f"{parameters / usual:.2f} times the default's {number(usual)}"),
        (
            "FLOPs of a forward pass",
            number(flops),
            f"{flops / usual_flops:.2f} times the default's {number(usual_flops)}",
        ),
        (
            f"Return, last {count(fifth, 'window')}",
            number(float(np.median(tail))),
            f"median of the members; best member {number(max(tail))}; {levels}",
        ),
        ("Switches", percent(switched), "of the windows changed the architecture; mean of the members"),
        ("Oscillation", percent(returned), "of the windows went back to the architecture before the last (A, B, A)"),
        ("Diverged", percent(columns["diverged"]), "of the windows: weights stopped being finite"),
        ("Cut episodes", percent(columns["cut_share"]), "of a window's episodes were cut short by its end"),
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
    for rank, (phase, value) in enumerate(phases):
        color = f"background:{drawing.TINTS[min(rank, len(drawing.TINTS) - 1)]}"
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
    returns = figure(
        "Return over the search",
        "Mean return of each window, normalised: a random policy has 0, the task's reference 1. Thin lines are the "
        "members, the band holds their middle half, the thick line is their median. The frame ends at \u22121 and 2.",
        partial(drawing.draw_returns, rewards=run.columns["normalised_return"]),
    )
    trade_off = figure(
        "Parameters against score",
        "One dot per architecture, its area the number of its windows. The score is the shrunken mean of "
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
    changes = count(sum(one != other for one, other in pairwise(found)), "time")
    text = f"The incumbent, computed anew after each window, changed {changes}. The last one is orange."
    if len(spans) > MOST_REIGNS:
        text += f" Shown are the {MOST_REIGNS} of {len(spans)} that were it for longest."
    broad = len(run.problem.space.choices) > MOST_BESIDE
    supernet = figure(
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
        maps.append(svg(f"Choice {choice.name} over the windows", draw, (2.6, 0.7 + 0.2 * len(choice.options))))
    text = (
        'Share of the members that took each option in each window: 0 %<span class="ramp"></span>100 %. A row that '
        "darkens to the right is an option that the search settled on. A member whose choice is inactive (the width of "
        "a layer that is not there) counts for no option."
    )
    figure = f'<figure><div class="maps">{"".join(maps)}</div><figcaption>{text}</figcaption></figure>'
    return f"<h2>How the choices shifted</h2>{figure}"


def _switches(run: Run) -> str:
    """How often each member exchanged its architecture, and went back to it."""
    switched, returned = switch_rates(run.actions)
    lines = [(f"member {place}", *pair) for place, pair in enumerate(zip(switched, returned, strict=True), start=1)]
    lines.append(("mean", switched.mean(), returned.mean()))
    rows = [(name, *(f"{100 * share:.3g} %" for share in shares)) for name, *shares in lines]
    note = (
        "Switch rate: share of the windows from the second on whose architecture is not that of the window before. "
        "Oscillation: share of the windows from the third on that return to the architecture before the last (A, B, A)."
    )
    parts = (table(("lifetime", "switch rate", "oscillation"), rows), f'<p class="note">{escape(note)}</p>')
    return f"<h2>Switches by member</h2>{''.join(parts)}"


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
        area, last = f"{means[name]:.3f} ({low:.3f} to {high:.3f})", number(float(np.mean(arm["last_fifth"])))
        row = (name, gap["verdict"] if gap else "control", difference, area, last)
        rows.append((*row, arm["architecture"], number(arm["parameters"]), number(arm["flops"])))
    header = ("arm", "verdict", "difference", "area", "return", "architecture", "parameters", "FLOPs")
    searched = ", ".join(f"{arm} {number(steps)}" for arm, steps in protocol["search_steps"].items())
    how, spent, title = "trained from scratch", "Steps spent", "From scratch"
    if not run.problem.trains:
        how, spent, title = "scored on the landscape as if trained", "Steps that windows stand for", "On the landscape"
    note = (
        f"Each arm's architecture, {how} for {number(protocol['steps'])} environment steps with "
        f"{count(len(arms[0]['scores']), 'seed')}. Area: under the learning curve, normalised (random policy 0, "
        "reference 1), mean and 95 % interval. Return: raw, mean over the last fifth. Difference: to the area of the "
        f"default, with its interval. {spent}: searching {searched}; {title.lower()} "
        f"{number(protocol['retraining_steps'])}."
    )
    levels = {"random": run.problem.random_return, "reference": run.problem.reference_return}
    curves = {arm["arm"]: arm["curves"] for arm in arms}
    learning = figure(
        "Learning curves",
        "Raw return of each window: mean over the seeds with its 95 % interval (Student's t).",
        partial(drawing.draw_curves, curves=curves, steps=protocol["steps"], levels=levels),
    )
    differences = figure(
        "Difference to the default",
        "Dot: difference of the mean areas under the learning curve. Line: its interval; one that crosses zero is "
        "undecided.",
        partial(drawing.draw_differences, intervals=gaps),
        (4.7, 1.1 + 0.5 * len(gaps)),
    )
    tried = [(one["arm"], one["architecture"], one["scores"]) for one in protocol["candidates"]]
    lines = [(arm, f"{np.mean(x):.3f}", ", ".join(f"{one:.3f}" for one in x), label) for arm, label, x in tried]
    return (
        f'<h2>{title}, against the default</h2>{table(header, rows)}<p class="note">{escape(note)}</p>'
        f'<div class="two">{learning}{differences}</div><h3>Candidates, each {how}, to choose among '
        f"them</h3>{table(('arm', 'area', 'by seed', 'architecture'), lines)}"
    )


def _settings(config: dict[str, Any]) -> str:
    """What it takes to do it again."""
    parts = [f"<h2>To do it again</h2><pre>{escape(str(config.get('command', '')))}</pre>"]
    for title, name in (("Settings of the environment", "settings"), ("Arguments", "args"), ("Versions", "versions")):
        parts.append(listing(title, config.get(name, {})))
    return "".join(parts)
