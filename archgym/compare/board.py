"""One scoreboard of a comparison's page: its table, intervals, performance profiles, pairs, and returns over windows.

The two boards answer different questions: they share no table and no figure. `archgym.pages.charts` draws.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.compare import page_planted
from archgym.compare.comparison import RANDOM, SEARCHES
from archgym.compare.content import is_planted
from archgym.compare.scoreboard import pair_of, verdict
from archgym.compare.stats import iqm, performance_profile, performance_profile_interval, stratified_interval
from archgym.pages.charts import Curve, Interval, Look, draw_curves, draw_intervals, draw_profile, height
from archgym.pages.page import HALF, SIGNS, WIDE, breakable, figure, number, svg, table
from archgym.stats import mean_interval

LEVEL = 0.05  # of the verdicts
THRESHOLDS = 81  # scores at which a performance profile is drawn
TITLES = {"lifetime": "Lifetimes", "recommendation": "Recommendations"}
QUESTIONS = {
    "lifetime": "How well did the lifetimes themselves do while the agent searched? The score of a search is the area "
    "under its return curve: the normalised return, averaged over its windows and members.",
    "recommendation": "How good is the architecture that a search recommends, trained from scratch on seeds that no "
    "search has seen? The score is the area under the learning curve: the normalised return, averaged over the "
    "training and its seeds.",
}


LOOKED_UP = (
    "How good is the architecture that a search recommends? The score is the area under its recorded learning curves "
    "on the test seeds of the table, which no search has seen: the normalised return, averaged over windows and seeds."
)


def section(content: dict[str, Any], name: str, style: Mapping[str, Look]) -> str:
    """One scoreboard: table, intervals, profiles, pairs."""
    board = content["boards"][name]
    order = ranked(board)
    alive = [arm for arm in order if board["statistics"][arm]["searches"]]
    question = QUESTIONS[name]
    if name == "recommendation" and not content["trains"]:
        question = page_planted.QUESTION if is_planted(content) else LOOKED_UP
    parts = [f'<section class="board"><h2>{TITLES[name]}</h2><p>{escape(question)}</p>']
    parts.append(_table(content, name, order))
    if alive:
        parts += [_intervals(content, name, alive, style), _profiles(content, name, alive, style)]
        parts.append(_matrix(board, order, TITLES[name]))
    if alive and name == "lifetime":
        parts.append(_returns(content, alive, style))
    return f"{''.join(parts)}</section>"


def _table(content: dict[str, Any], name: str, order: Sequence[str]) -> str:
    """The numbers of a board, best first; arms without any come last."""
    board, tasks, rows = content["boards"][name], content["tasks"], []
    more = {"greedy at end": "final"} if name == "lifetime" else {"last fifth": "last_fifth", "greedy": "greedy"}
    more = {title: part for title, part in more.items() if part in board}
    more = {title: part for title, part in more.items() if any(present(board[part][arm]) for arm in order)}
    for arm in order:
        row, pair, steps = board["statistics"][arm], pair_of(board["pairs"], arm, RANDOM), board["steps"][arm]
        said = SIGNS.get(verdict(pair), "no test") if row["searches"] else "all failed"
        cells = [arm, f"{row['searches']} of {len(content['seeds'])}"]
        cells.append(_with_interval(row["iqm"], row["low"], row["high"]))
        cells.append(_with_interval(pair["improvement"], pair["low"], pair["high"]) if pair else "-")
        cells += [_p(pair["holm"]) if pair else "-", "reference" if arm == RANDOM and row["searches"] else said]
        cells += [_mean(board[part][arm]) for part in more.values()]
        rows.append((*cells, "-" if steps is None else number(round(steps))))
    header = ["arm", "searches", "IQM (95 %)", "beats random (95 %)", "p (Holm)", "verdict", *more, "inner steps"]
    note = (
        "Searches: those that ended, on every task. Beats random: probability that a search of this arm scores higher "
        f"than one of {RANDOM}. Inner steps: mean of a search"
    )
    looked_up, planted = "table" in content, is_planted(content)
    scored = (
        "those that what it recommends is scored on" if planted else "the training from scratch of what it recommends"
    )
    note += "." if name == "lifetime" or looked_up else f", with {scored}."
    if "greedy at end" in more:
        note += (
            " Greedy at end: normalised return of the incumbent without exploration, with the weights that the "
            "lifetimes ended with, mean over the members."
        )
    if "last fifth" in more:
        whose = "recorded curves" if looked_up else "windows" if planted else "training from scratch"
        note += f" Last fifth: normalised return in the last fifth of the {whose}."
    if "greedy" in more:
        note += " Greedy: normalised return of the newest greedy evaluation of the recorded networks."
    text = f'{table(header, rows, names=True)}<p class="note">{escape(note)}</p>'
    text += _by_task(board, order, tasks) if len(tasks) > 1 else ""
    return text + (_recommended(board, order, tasks) if name == "recommendation" else "")


def _recommended(board: dict[str, Any], order: Sequence[str], tasks: Sequence[str]) -> str:
    """What was recommended most often, and how large that is."""
    rows = []
    for arm in order:
        for task, labels, sizes in zip(tasks, board["architectures"][arm], board["parameters"][arm], strict=True):
            if not present([labels]):
                continue
            label, times = Counter(present([labels])).most_common(1)[0]
            size = number(next(own for one, own in zip(labels, sizes, strict=True) if one == label))
            place = [task] if len(tasks) > 1 else []
            rows.append((arm, *place, f"{times} of {len(present([labels]))}", label, size))
    if not rows:
        return ""
    header = ["arm", *(["task"] if len(tasks) > 1 else []), "searches", "architecture", "parameters"]
    note = "The architecture recommended most often, by how many searches, and its parameters."
    return f'<h3>What was recommended</h3>{table(header, rows, names=True)}<p class="note">{note}</p>'


def _by_task(board: dict[str, Any], order: Sequence[str], tasks: Sequence[str]) -> str:
    """The interquartile means of the single tasks."""
    rows = []
    for arm in order:
        cells = [arm]
        if "by_task" in board:
            rows.append([arm, *(_with_interval(*own, *[None] * (3 - len(own))) for own in board["by_task"][arm])])
            continue
        for scores in board["scores"][arm]:
            values = [value for value in scores if value is not None]
            ends = stratified_interval(iqm, values) if len(values) > 1 else (None, None)
            cells.append(_with_interval(iqm(values) if values else None, *ends))
        rows.append(cells)
    return f"<h3>IQM (95 %) by task</h3>{table(['arm', *tasks], rows, names=True)}"


def _intervals(content: dict[str, Any], name: str, arms: Sequence[str], style: Mapping[str, Look]) -> str:
    """Interquartile means, and beside them the probability to beat random search."""
    board, title = content["boards"][name], TITLES[name]
    means: dict[str, Interval] = {}
    for arm in arms:
        row = board["statistics"][arm]
        means[arm] = (row["low"], row["iqm"], row["high"])
    singles = {arm: present(board["scores"][arm]) for arm in arms}
    left = figure(
        f"{title}: score",
        "Dot: interquartile mean of the searches. Bar: its 95 % bootstrap interval. Fine ticks: the searches. Hollow "
        "diamonds and slanted names: controls.",
        partial(draw_intervals, rows=means, style=style, label="normalised return", searches=singles),
        (HALF, height(arms)),
    )
    chances: dict[str, Interval] = {}
    words = {}
    for arm in arms:
        if arm == RANDOM:
            chances[arm], words[arm] = (None, 0.5, None), "reference"
        elif pair := pair_of(board["pairs"], arm, RANDOM):
            chances[arm], words[arm] = (pair["low"], pair["improvement"], pair["high"]), verdict(pair)
    if set(chances) <= {RANDOM}:
        return f'<div class="two">{left}<p class="note">There is no second search to test against {RANDOM}.</p></div>'
    right = figure(
        f"{title}: probability to beat {RANDOM}",
        f"With its 95 % interval; ½: neither is better. Filled: decided at the level {LEVEL} after Holm's correction. "
        "Hollow: undecided.",
        partial(draw_intervals, rows=chances, style=style, label="probability of improvement", verdicts=words),
        (HALF, height(list(chances))),
    )
    return f'<div class="two">{left}{right}</div>'


def _profiles(content: dict[str, Any], name: str, arms: Sequence[str], style: Mapping[str, Look]) -> str:
    """One performance profile per arm, before those of all others."""
    board = content["boards"][name]
    scores = {arm: _complete(board["scores"][arm]) for arm in arms}
    low, high = (float(reach([reach(values.ravel()) for values in scores.values()])) for reach in (min, max))
    gap = 0.04 * (high - low) or 0.05
    thresholds = np.linspace(low - gap, high + gap, THRESHOLDS)
    shares = {arm: performance_profile(values, thresholds) for arm, values in scores.items()}
    panels = []
    banded = "table" not in content  # these bands know nothing of a table's seeds
    for arm in arms:
        band = performance_profile_interval(scores[arm], thresholds) if banded and len(scores[arm]) > 1 else None
        draw = partial(
            draw_profile, thresholds=thresholds, shares=shares, arm=arm, style=style, band=band, reference=RANDOM
        )
        picture = svg(f"{TITLES[name]}: performance profile of {arm}", draw, (2.2, 1.5))
        panels.append(f"<div><span>{breakable(arm)}</span>{picture}</div>")
    caption = (
        "Upward: the share of searches that score above the value below, averaged over the tasks; further to the right "
        f"is better.{' Band: 95 % bootstrap interval at each value on its own.' if banded else ''} Broken line: "
        f"{RANDOM}; pale lines: all other arms. All panels have the same axes."
    )
    return (
        f'<figure><div class="small">{"".join(panels)}</div><figcaption><b>{TITLES[name]}: performance profiles.</b> '
        f"{escape(caption)}</figcaption></figure>"
    )


def _matrix(board: dict[str, Any], order: Sequence[str], title: str) -> str:
    """The probability of improvement of every arm over every other."""
    if not board["pairs"]:
        return ""
    head = "".join(f"<th>{place}</th>" for place in range(1, len(order) + 1))
    rows = []
    for place, arm in enumerate(order, 1):
        cells = [f"<th>{place}&ensp;{breakable(arm)}</th>"]
        for other in order:
            pair = pair_of(board["pairs"], arm, other)
            if pair is None:
                cells.append(f"<td>{'' if arm == other else '-'}</td>")
                continue
            said, value = verdict(pair), pair["improvement"]
            color, sign = ("213,94,0", "▼ ") if value < 0.5 else ("0,114,178", "▲ ")
            shade = f"background:rgba({color},{0.7 * abs(value - 0.5):.2f})"
            decided = said != "undecided"
            words = f"{arm} against {other}: {said}, p = {_p(pair['holm'])}"
            cells.append(
                f'<td{" class=d" if decided else ""} style="{shade}" title="{escape(words)}">{sign if decided else ""}'
                f"{value:.2f}<small>{pair['low']:.2f}-{pair['high']:.2f}</small></td>"
            )
        rows.append("".join(cells))
    caption = (
        "Probability that a search of the row's arm scores higher than one of the column's, with its 95 % interval; "
        f"columns are numbered as rows. ▲ the row's arm is better, ▼ it is worse, at the level {LEVEL} after Holm's "
        "correction for all pairs; without a sign: undecided."
    )
    body = f"<tr><th>arm</th>{head}</tr><tr>{'</tr><tr>'.join(rows)}</tr>"
    return (
        f'<figure class="matrix"><div class="scroll"><table>{body}</table></div><figcaption><b>{title}: all pairs.</b> '
        f"{escape(caption)}</figcaption></figure>"
    )


def _returns(content: dict[str, Any], arms: Sequence[str], style: Mapping[str, Look]) -> str:
    """Return over the windows, one figure per task."""
    figures = []
    for place, task in enumerate(content["tasks"]):
        curves = {}
        for arm in arms:
            found = [curve for curve in content["boards"]["lifetime"]["curves"][arm][place] if curve is not None]
            if found:
                values = np.array(found, dtype=np.float64)
                curve = mean_curve(np.arange(1.0, values.shape[1] + 1), values)
                curves[arm] = curve if "table" not in content else Curve(curve.x, curve.mean)
        title = f"Return over the windows on {task}"
        draw = partial(
            draw_curves, curves=curves, style=style, across="window", up="normalised return", whole=True
        )  # fmt: skip
        caption = f"Mean over the searches{bands(content, style)}"
        figures.append(figure(title, caption, draw, (WIDE, 3.4)))
    return "".join(figures)


def ranked(board: dict[str, Any]) -> list[str]:
    """Order the arms of a board, the highest interquartile mean first, those without any last."""
    found = board["statistics"]
    return sorted(found, key=lambda arm: -np.inf if found[arm]["iqm"] is None else found[arm]["iqm"], reverse=True)


def controls_of(content: dict[str, Any]) -> list[str]:
    """Name the arms that are no agents under test."""
    return [*SEARCHES, *content["boards"]["recommendation"].get("controls", {}).values()]


def mean_curve(x: NDArray[np.float64], values: NDArray[np.float64]) -> Curve:
    """Average curves, (searches, points), with Student's interval where there are several."""
    if len(values) < 2:
        return Curve(x, values.mean(0))
    low, high = np.array([mean_interval(column) for column in values.T]).T
    return Curve(x, values.mean(0), low, high)


def bands(content: dict[str, Any], style: Mapping[str, Look]) -> str:
    """Say what bands and colours mean."""
    bands = "" if len(content["seeds"]) < 2 or "table" in content else ", with its 95 % interval (Student's t)"
    if any(not look.bold for look in style.values()):
        bands += "; grey lines, without a band: arms that are not among the best few of either board"
    return f"{bands}. Broken lines and slanted names: controls."


def _complete(rows: list[list[float | None]]) -> NDArray[np.float64]:
    """Keep the searches that have a score on every task, (searches, tasks)."""
    return np.array([seed for seed in zip(*rows, strict=True) if None not in seed], dtype=np.float64)


def present(rows: Sequence[Sequence[Any]]) -> list[Any]:
    """Give the entries that are not missing, in one list."""
    return [value for row in rows for value in row if value is not None]


def _mean(rows: Sequence[Sequence[float | None]]) -> str:
    values = present(rows)
    return f"{np.mean(values):.3f}" if values else "-"


def _with_interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} to {high:.3f})"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
