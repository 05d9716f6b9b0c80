"""Pictures of a comparison: intervals by arm, performance profiles, curves with their names at their ends, costs.

Only the best few of many arms have a colour; the others are grey, and every curve carries its name, so that nothing
rests on colour alone. Controls are hollow diamonds and broken lines.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from archgym.pages.drawing import DASHES, FAINT, INK, MUTED, RULE, SERIES, SMALL, TEXT, THOUSANDS, plain, tidy

MOST_LETTERS = 24  # of a name beside an axis, before it goes on in the next line
LINES = ((0, (5, 2)), (0, (1.2, 1.6)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)))  # of the controls
LOGARITHMIC = 30.0  # ratio of the highest to the lowest value above which an axis is logarithmic
NARROW = 300.0  # the same ratio below which such an axis has ticks between powers of ten
LEADER = {"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)}  # to a name
DECIDED = ("better", "worse")  # verdicts
Interval = tuple[float | None, float, float | None]  # lower end, value, upper end; no ends where there is one search


@dataclass(frozen=True)
class Look:
    """How an arm is drawn everywhere on a page."""

    color: str
    control: bool = False
    line: Any = "-"
    bold: bool = True
    """Whether it stands out of the others."""


@dataclass(frozen=True)
class Curve:
    """One arm's line: where it is known, the mean of the searches, and an interval of that mean."""

    x: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None


def looks(best_first: Sequence[str], controls: Sequence[str]) -> dict[str, Look]:
    """Give every arm its look: a colour for the best, grey for the others, a broken grey line for controls."""
    arms = [arm for arm in best_first if arm not in controls]
    own = {
        arm: Look(SERIES[place]) if place < len(SERIES) else Look(FAINT, bold=False) for place, arm in enumerate(arms)
    }
    return own | {arm: Look(MUTED, True, LINES[place % len(LINES)]) for place, arm in enumerate(controls)}


def height(arms: Sequence[str]) -> float:
    """Give the inches that a drawing of one row per arm needs."""
    return 0.75 + sum(0.2 + 0.13 * (wrapped(arm).count("\n")) for arm in arms)


def draw_intervals(
    axes: Axes,
    rows: Mapping[str, Interval],
    style: Mapping[str, Look],
    *,
    label: str,
    searches: Mapping[str, Sequence[float]] | None = None,
    verdicts: Mapping[str, str] | None = None,
) -> None:
    """Draw one row per arm: its value and interval.

    Args:
        axes: Where.
        rows: By arm, from top to bottom.
        style: By arm.
        label: Of the axis.
        searches: Single values to show as ticks behind the interval, by arm.
        verdicts: Words at the right end, by arm; the axis is then one of probabilities, and the undecided are hollow.
    """
    tidy(axes, label, "")
    axes.grid(False)
    axes.grid(axis="x", color=RULE, linewidth=0.7)
    for row, (arm, (low, value, high)) in enumerate(rows.items()):
        look = style[arm]
        color = look.color if look.bold else MUTED
        singles = (searches or {}).get(arm, ())
        axes.plot(singles, [row] * len(singles), "|", color=color, alpha=0.45, markersize=7, markeredgewidth=0.9)
        if low is not None and high is not None:
            axes.plot((low, high), (row, row), color=color, linewidth=2.2, solid_capstyle="butt", zorder=2)
        word = (verdicts or {}).get(arm)
        hollow = look.control if verdicts is None else word not in DECIDED
        axes.plot(
            value, row, "D" if look.control else "o", color="white" if hollow else color, markeredgecolor=color,
            markersize=5.2 if look.control else 6, markeredgewidth=1.4, zorder=3, clip_on=False,
        )  # fmt: skip
        if word:
            place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            weight = "bold" if word in DECIDED else "normal"
            axes.annotate(
                word, (1, row), xytext=(8, 0), va="center", size=TEXT, weight=weight,
                color=INK if word in DECIDED else MUTED, annotation_clip=False, **place,
            )  # fmt: skip
    _name_rows(axes, list(rows), style)
    if verdicts is not None:
        axes.axvline(0.5, color=FAINT, linewidth=1, linestyle=DASHES, zorder=1)
        axes.set_xlim(-0.03, 1.03)
        axes.set_xticks((0, 0.25, 0.5, 0.75, 1), ("0", "¼", "½", "¾", "1"))
    else:
        axes.margins(x=0.06)
        axes.xaxis.set_major_locator(MaxNLocator(5))


def draw_profile(
    axes: Axes,
    thresholds: NDArray[np.float64],
    shares: Mapping[str, NDArray[np.float64]],
    arm: str,
    style: Mapping[str, Look],
    *,
    band: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    reference: str,
) -> None:
    """Draw the performance profile of one arm before those of all others; that of the reference is broken."""
    tidy(axes, "", "")
    for other, values in shares.items():
        if other not in (arm, reference):
            axes.step(thresholds, values, where="post", color=RULE, linewidth=0.8, zorder=1)
    if reference in shares and arm != reference:
        axes.step(
            thresholds,
            shares[reference],
            where="post",
            color=MUTED,
            linewidth=1.2,
            linestyle=style[reference].line,
            zorder=3,
        )
    color = style[arm].color if style[arm].bold else MUTED
    if band is not None:
        axes.fill_between(thresholds, *band, step="post", color=color, alpha=0.2, linewidth=0, zorder=2)
    axes.step(thresholds, shares[arm], where="post", color=color, linewidth=1.9, zorder=4)
    axes.set_xlim(thresholds[0], thresholds[-1])
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks((0, 0.5, 1), ("0", "½", "1"))
    axes.xaxis.set_major_locator(MaxNLocator(4))


def draw_curves(
    axes: Axes,
    curves: Mapping[str, Curve],
    style: Mapping[str, Look],
    *,
    across: str,
    up: str,
    logarithmic: bool = False,
    whole: bool = False,
    floor: float | None = None,
    left: float | None = None,
) -> None:
    """Draw one line per arm, its name at its end; arms that stand out, and controls, with their band.

    Args:
        axes: Where.
        curves: By arm.
        style: By arm.
        across: Label of the x axis.
        up: Label of the y axis.
        logarithmic: Whether the x axis is.
        whole: Whether x counts things.
        floor: Below which there is nothing: bands end there.
        left: Where the x axis begins; None: with the first point.
    """
    tidy(axes, across, up)
    if logarithmic:
        axes.set_xscale("log")
        ends = [end for curve in curves.values() for end in (curve.x[0], curve.x[-1])]
        if max(ends) < NARROW * min(ends):  # few powers of ten lie there
            axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(_plain_number))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(7, integer=whole))
        axes.xaxis.set_major_formatter(THOUSANDS)
    values = np.concatenate([curve.mean for curve in curves.values()])
    lowest, highest = float(values.min()), float(values.max())
    if floor is not None and lowest > floor and highest / lowest > LOGARITHMIC:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(_plain_number))
        axes.yaxis.set_minor_locator(NullLocator())
    for arm, curve in curves.items():
        look = style[arm]
        order = 4 if look.bold and not look.control else 3 if look.control else 2
        if curve.low is not None and curve.high is not None and look.bold:
            low = (
                curve.low
                if floor is None
                else np.maximum(curve.low, floor if axes.get_yscale() == "linear" else lowest / 3)
            )
            axes.fill_between(
                curve.x,
                low,
                curve.high,
                color=look.color,
                alpha=0.09 if look.control else 0.17,
                linewidth=0,
                zorder=1.5,
            )
        marker = "o" if len(curve.x) == 1 else ""
        axes.plot(
            curve.x,
            curve.mean,
            color=look.color,
            linewidth=1.8 if look.bold else 1.0,
            linestyle=look.line,
            zorder=order,
            marker=marker,
            markersize=4,
        )
    axes.margins(x=0)
    if left is not None:
        axes.set_xlim(left=left)
    if floor is not None and axes.get_yscale() == "linear":
        axes.set_ylim(bottom=floor)
    _name_ends(axes, curves, style)


def draw_costs(axes: Axes, costs: Mapping[str, float], style: Mapping[str, Look]) -> None:
    """Draw the milliseconds of a decision, one row per arm, on a logarithmic axis."""
    tidy(axes, "milliseconds per decision (logarithmic)", "")
    axes.set_xscale("log")
    axes.grid(False)
    axes.grid(axis="x", color=RULE, linewidth=0.7)
    bottom = min(costs.values()) / 2
    for row, (arm, value) in enumerate(costs.items()):
        look = style[arm]
        color = look.color if look.bold else MUTED
        axes.plot((bottom, value), (row, row), color=RULE, linewidth=1.2, zorder=1)
        axes.plot(
            value, row, "D" if look.control else "o", color="white" if look.control else color, markeredgecolor=color,
            markersize=5.2 if look.control else 6, markeredgewidth=1.4, zorder=3,
        )  # fmt: skip
        axes.annotate(
            f"{value:.3g}", (value, row), xytext=(8, 0), textcoords="offset points", va="center", size=TEXT, color=INK,
            annotation_clip=False,
        )  # fmt: skip
    _name_rows(axes, list(costs), style)
    axes.set_xlim(bottom, max(costs.values()) * 2.5)
    axes.xaxis.set_major_locator(LogLocator(10, numticks=6))
    axes.xaxis.set_major_formatter(FuncFormatter(_plain_number))
    axes.xaxis.set_minor_locator(NullLocator())


def wrapped(name: str) -> str:
    """Break a long name after the signs between its parts; a part that is too long itself is broken too."""
    lines = [""]
    for part in re.findall(rf"[^:,_=\-]{{1,{MOST_LETTERS - 1}}}[:,_=\-]?|[:,_=\-]", name):
        if lines[-1] and len(lines[-1]) + len(part) > MOST_LETTERS:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _name_rows(axes: Axes, arms: Sequence[str], style: Mapping[str, Look]) -> None:
    """Write the arms beside their rows, the first at the top; a long name takes the room of several rows."""
    axes.set_yticks(range(len(arms)), [plain(wrapped(arm)) for arm in arms])
    for text, arm in zip(axes.get_yticklabels(), arms, strict=True):
        text.set(color=MUTED if style[arm].control else INK, linespacing=1.0)
        text.set_fontstyle("italic" if style[arm].control else "normal")
    axes.set_ylim(len(arms) - 0.4, -0.6)


def _name_ends(axes: Axes, curves: Mapping[str, Curve], style: Mapping[str, Look]) -> None:
    """Write the arms at the ends of their lines, moved apart where they would overlap."""
    axes.autoscale_view()
    axes.set_ylim(axes.get_ylim())  # the names stand by these limits
    figure = axes.get_figure()
    assert figure is not None
    room = 0.78 * figure.get_figheight() * 72 if hasattr(figure, "get_figheight") else 150.0  # points of the axes
    step = min(1.28 * SMALL / room, 1 / len(curves))
    transform = axes.transData + axes.transAxes.inverted()
    ends = {arm: float(transform.transform((curve.x[-1], curve.mean[-1]))[1]) for arm, curve in curves.items()}
    order = sorted(ends, key=lambda arm: ends[arm])
    for arm, place in zip(order, spread([ends[arm] for arm in order], step), strict=True):
        curve, look = curves[arm], style[arm]
        axes.annotate(
            plain(arm), (float(curve.x[-1]), float(curve.mean[-1])), xycoords="data", xytext=(1.03, place),
            textcoords="axes fraction", va="center", size=SMALL, annotation_clip=False,
            color=look.color if look.bold and not look.control else MUTED, style="italic" if look.control else "normal",
            arrowprops={"color": look.color, "alpha": 0.6, **LEADER},
        )  # fmt: skip


def spread(places: Sequence[float], step: float) -> list[float]:
    """Move ascending places as little as it takes for neighbours to be a step apart, within 0 to 1 where they fit."""
    groups: list[list[float]] = []  # of neighbours that touch: the sum of their wishes for the first, and their number
    for rank, place in enumerate(places):
        groups.append([place - rank * step, 1])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] >= groups[-1][0] / groups[-1][1]:
            total, members = groups.pop()
            groups[-1][0] += total
            groups[-1][1] += members
    highest = max(0.0, 1 - (len(places) - 1) * step)
    starts = [min(max(total / members, 0.0), highest) for total, members in groups for _ in range(int(members))]
    return [start + rank * step for rank, start in enumerate(starts)]


def _plain_number(value: float, _: object = None) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"
