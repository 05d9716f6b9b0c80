"""Pictures of a search: the supernet with a path lit, returns over the windows, how the choices shifted.

The functions `draw_*` draw on axes that the caller brings; `frame` is the picture of `render_mode="rgb_array"`. Only
matplotlib's object interface is used, so that environments drawing at the same time share nothing.

Colours are those of Okabe and Ito ("Color Universal Design"), which differ to every kind of colour vision.
"""

import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from archgym.search_space import Architecture, Choice, SearchSpace
from archgym.stats import mean_interval

INK, MUTED, FAINT, RULE = "#1f2a36", "#5b6875", "#9aa5b1", "#dfe4ea"
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#B0609A", "#E69F00", "#56B4E9"
DATA, CHOSEN, CONTROL = BLUE, VERMILLION, MUTED  # what was measured; the path or incumbent; the default architecture
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY)  # arms
TINTS = ("#003a5c", BLUE, SKY, "#a9cfe8", FAINT, "#c3cbd4", RULE)  # of shares of one whole, the largest first
SHARES = LinearSegmentedColormap.from_list("shares", ("#f3f6f9", "#8fc1e0", BLUE, "#003a5c"))
TEXT, SMALL = 8.0, 7.0  # points
GLYPH = 0.64  # width of a letter, in sizes of the text
DASHES = (0, (4, 3))
THOUSANDS = "{x:,.0f}"
LARGE = 1000  # from which on numbers are written without decimals
MEASURABLE = 1e-9  # spread of scores below which there is none
FRAME_INCHES, FRAME_DPI = (9.6, 4.0), 100  # 960 x 400 pixels, both even, as video encoders want


class Point(NamedTuple):
    """One architecture of `draw_trade_off`: its score, and the number of windows that trained it."""

    parameters: int
    score: float
    visits: int


def frame(space: SearchSpace, architecture: Architecture | None, rewards: ArrayLike) -> NDArray[np.uint8]:
    """Draw the supernet with the path of an architecture lit, beside the return curve.

    Args:
        space: The search space.
        architecture: What was trained last; None: nothing yet.
        rewards: (windows, members).

    Returns:
        (400, 960, 3).
    """
    values = np.asarray(rewards, dtype=np.float64)
    figure = Figure(figsize=FRAME_INCHES, dpi=FRAME_DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    title = f"window {len(values)}:  {'nothing yet' if architecture is None else space.label(architecture)}"
    lines = textwrap.wrap(plain(title), 105, max_lines=2, placeholder=" …")
    figure.text(0.016, 0.965, "\n".join(lines), size=10, color=INK, va="top", linespacing=1.3)
    draw_supernet(figure.add_axes((0.01, 0.05, 0.51, 0.8)), space, architecture)
    draw_returns(figure.add_axes((0.585, 0.13, 0.335, 0.66)), values)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def draw_supernet(axes: Axes, space: SearchSpace, architecture: Architecture | None) -> None:
    """Draw the choices as columns of options, the path through the chosen options lit, inactive choices dimmed.

    Args:
        axes: Where; the size of the text follows from theirs.
        space: The search space.
        architecture: The path; None lights nothing.
    """
    active = {choice.name for choice in space.choices} if architecture is None else set(space.describe(architecture))
    columns, rows = len(space.choices), max(space.counts)
    extent, dpi = axes.get_window_extent(), axes.figure.dpi
    across = extent.width * 72 / dpi / columns  # points of a column
    names = [choice.name.replace("_", "\n") for choice in space.choices]
    size = _fitting(" ".join(names).split(), 0.96 * across)
    slanted = size < 6
    room = 12 + (0.36 * TEXT * max(map(len, names)) if slanted else 2.2 * size)  # points above the columns
    up = (extent.height * 72 / dpi - room) / rows  # points of a row
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(-rows / 2, rows / 2 + room / up))
    axes.set_axis_off()

    width, height = min(0.8, 62 / across), min(0.64, 26 / up)
    heights = [np.arange(count) - (count - 1) / 2 for count in space.counts]  # the first option is the lowest
    wires = [((x, y), (x + 1, z)) for x, (left, right) in enumerate(pairwise(heights)) for y in left for z in right]
    axes.add_collection(LineCollection(wires, colors=RULE, linewidths=0.6, zorder=1), autolim=False)
    path = []
    for x, (choice, name) in enumerate(zip(space.choices, names, strict=True)):
        is_active = choice.name in active
        labels = [_short(option, int(0.95 * width * across / (GLYPH * 5.5))) for option in choice.options]
        letters = min(_fitting(labels, 0.92 * width * across), 0.6 * height * up)
        for option, (y, label) in enumerate(zip(heights[x], labels, strict=True)):
            lit = architecture is not None and is_active and option == architecture[x]
            path += [(x, y)] if lit else []
            edge, color = (FAINT, MUTED) if is_active else (RULE, "#b4bec8")
            box = FancyBboxPatch(
                (x - width / 2, y - height / 2), width, height, boxstyle=f"round,pad=0,rounding_size={4 / across}",
                mutation_aspect=across / up, facecolor=CHOSEN if lit else "white", edgecolor=CHOSEN if lit else edge,
                linewidth=0.9, zorder=3 if is_active else 1.5,
            )  # fmt: skip
            axes.add_artist(box)
            style: dict[str, Any] = {"color": "white", "weight": "bold"} if lit else {"color": color}
            axes.text(x, y, plain(label), size=letters, ha="center", va="center_baseline", zorder=4, **style)
        axes.text(
            x, (rows - 1) / 2 + height / 2 + 7 / up, plain(choice.name if slanted else name), va="baseline",
            size=TEXT if slanted else size, rotation=35 if slanted else 0, rotation_mode="anchor", linespacing=1.05,
            ha="left" if slanted else "center", color=INK if is_active else FAINT,
        )  # fmt: skip
    if path:
        axes.plot(*zip(*path, strict=True), color=CHOSEN, linewidth=2.6, solid_capstyle="round", zorder=2)


def draw_returns(axes: Axes, rewards: ArrayLike, *, label: str = "normalised return") -> None:
    """Draw every member's return, their median and their middle half, against the window.

    Args:
        axes: Where.
        rewards: (windows, members), 0 = random policy and 1 = reference; NaN where a member has no such window.
        label: Of the upward axis.
    """
    values = np.asarray(rewards, dtype=np.float64)
    windows = np.arange(1, len(values) + 1)
    tidy(axes, "window", label)
    _levels(axes, {"random": 0.0, "reference": 1.0})
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlim(0.5, max(len(values), 2) + 0.5)
    found = values[np.isfinite(values)]
    bottom, top = min(0.0, *found, 0.0), max(1.0, *found, 1.0)
    axes.set_ylim(max(bottom, -1.0) - 0.08, min(top, 2.0) + 0.08)  # rewards are limited to [-1, 2]
    if not found.size:
        axes.text(0.5, 0.5, "no window yet", transform=axes.transAxes, ha="center", color=FAINT, size=TEXT)
        return
    members = values.shape[1]
    marker = "o" if len(values) == 1 else ""
    if members > 1:
        low, high = np.nanquantile(values, (0.25, 0.75), axis=1)
        lines = [np.column_stack([windows, column]) for column in values.T]
        axes.add_collection(LineCollection(lines, colors=DATA, linewidths=0.6, alpha=0.35, label="each member"))
        axes.fill_between(windows, low, high, color=DATA, alpha=0.22, linewidth=0, label="middle half")
    name = f"median of {members} members" if members > 1 else "the one member"
    axes.plot(windows, np.nanmedian(values, axis=1), color=DATA, linewidth=2, marker=marker, markersize=4, label=name)
    _legend(axes)


def heat_map(axes: Axes, choice: Choice, shares: ArrayLike) -> None:
    """Draw how a choice shifted: one row per option, one column per window.

    Args:
        axes: Where.
        choice: The choice.
        shares: (windows, options), the share of the members that took the option, from 0 to 1.
    """
    values = np.asarray(shares, dtype=np.float64)
    tidy(axes, "window", "")
    edges = (0.5, len(values) + 0.5, -0.5, len(choice.options) - 0.5)
    axes.imshow(values.T, SHARES, aspect="auto", interpolation="none", vmin=0, vmax=1, origin="lower", extent=edges)
    axes.set_title(plain(choice.name), size=TEXT + 1, color=INK, loc="left")
    axes.set_yticks(range(len(choice.options)), [_short(option) for option in choice.options])
    axes.set_yticks(np.arange(1, len(choice.options)) - 0.5, minor=True)
    axes.grid(False)
    axes.grid(axis="y", which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def draw_trade_off(axes: Axes, points: Sequence[Point], incumbent: Point, default: Point | int) -> None:
    """Draw parameters against score, one dot per architecture, its area the visits, and the Pareto front.

    Args:
        axes: Where.
        points: All architectures that were trained.
        incumbent: One of them.
        default: One of them, or only its parameters where it was never trained.
    """
    tidy(axes, "parameters (logarithmic)", "score: shrunken mean reward over the trend")
    axes.set_xscale("log")
    sizes, scores, visits = np.array(points, dtype=np.float64).T
    axes.axhline(0, color=FAINT, linewidth=0.8, zorder=1)
    axes.scatter(sizes, scores, s=12 + 260 * visits / visits.max(), color=DATA, alpha=0.45, linewidths=0, zorder=3)
    order = np.lexsort((-scores, sizes))
    front = order[scores[order] > np.concatenate([[-np.inf], np.maximum.accumulate(scores[order])[:-1]])]
    x, y = np.append(sizes[front], sizes.max()), np.append(scores[front], scores[front[-1]])
    axes.step(x, y, where="post", color=GREEN, linewidth=1.4, zorder=2, label="Pareto front")
    if isinstance(default, Point):
        axes.plot(*default[:2], "D", markersize=6, color="white", markeredgecolor=INK, label="default", zorder=5)
    else:
        axes.axvline(default, color=CONTROL, linewidth=1, linestyle=DASHES, label="default (never trained)", zorder=2)
    ring: dict[str, Any] = {"color": "none", "markeredgecolor": CHOSEN, "markeredgewidth": 2}
    axes.plot(*incumbent[:2], "o", markersize=9, label="incumbent", zorder=4, **ring)
    axes.margins(0.08, 0.14)
    if np.ptp(scores) < MEASURABLE:  # one architecture alone: nothing but rounding, not worth an axis of 1e-16
        axes.set_ylim(-0.1, 0.1)
    left, right = axes.get_xlim()
    ticks = [digit * 10.0**power for power in range(10) for digit in (1, 2, 5)]
    inside = [tick for tick in ticks if left <= tick <= right]
    axes.set_xticks(inside if len(inside) <= 6 else [tick for tick in inside if str(tick)[0] == "1"])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(THOUSANDS)
    _legend(axes)


def draw_curves(axes: Axes, curves: Mapping[str, ArrayLike], steps: int, levels: Mapping[str, float]) -> None:
    """Draw learning curves: the mean over the seeds with its 95 % interval, one colour per arm.

    Args:
        axes: Where.
        curves: By arm, (seeds, windows), raw returns; the arm `default` is drawn in grey.
        steps: Environment steps at the end of the curves.
        levels: Returns to mark, by name.
    """
    tidy(axes, "environment steps", "return")
    for arm, color in _colors(curves).items():
        values = np.asarray(curves[arm], dtype=np.float64)
        x = steps * np.arange(1, values.shape[1] + 1) / values.shape[1]
        low, high = np.array([mean_interval(column) for column in values.T]).T
        axes.fill_between(x, low, high, color=color, alpha=0.16, linewidth=0)
        line = DASHES if arm == "default" else "-"
        axes.plot(x, values.mean(0), color=color, linewidth=1.8, linestyle=line, label=plain(arm))
    _levels(axes, levels)
    axes.xaxis.set_major_formatter(THOUSANDS)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlim(0, steps)
    _legend(axes)


def draw_differences(
    axes: Axes,
    intervals: Mapping[str, tuple[float, float, float]],
    label: str = "difference to the default (normalised area under the curve)",
    colors: Mapping[str, str] | None = None,
) -> None:
    """Draw by how much each arm beats the default: a dot and its interval; one that holds 0 is undecided.

    Args:
        axes: Where.
        intervals: By arm, lower end, difference and upper end.
        label: Of the axis.
        colors: By arm, as they are elsewhere on the page; None: one after the other.
    """
    tidy(axes, label, "")
    axes.axvline(0, color=CONTROL, linewidth=1, linestyle=DASHES)
    palette = _colors(intervals) if colors is None else colors
    for row, (arm, (low, middle, high)) in enumerate(intervals.items()):
        axes.plot((low, high), (row, row), color=palette[arm], linewidth=2.4, solid_capstyle="round")
        axes.plot(middle, row, "o", color=palette[arm], markersize=6)
    axes.set_yticks(range(len(intervals)), [plain(arm) for arm in intervals])
    axes.set_ylim(len(intervals) - 0.4, -0.6)
    axes.grid(False)
    axes.margins(x=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    if max(abs(end) for ends in intervals.values() for end in ends) >= LARGE:
        axes.xaxis.set_major_formatter(THOUSANDS)


def _colors(arms: Mapping[str, Any] | Sequence[str]) -> dict[str, str]:
    """Give every arm its colour; the default is grey."""
    others = [arm for arm in arms if arm != "default"]
    return {arm: CONTROL if arm == "default" else SERIES[others.index(arm) % len(SERIES)] for arm in arms}


def tidy(axes: Axes, across: str, up: str) -> None:
    """Give axes the common look: one spine, faint horizontal lines, small grey text."""
    axes.set_facecolor("none")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(colors=MUTED, labelsize=TEXT, length=0, pad=4)
    axes.tick_params(axis="x", which="major", length=3, color=FAINT)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(across, size=TEXT, color=MUTED)
    axes.set_ylabel(up, size=TEXT, color=MUTED)


def _levels(axes: Axes, levels: Mapping[str, float]) -> None:
    for name, level in levels.items():
        axes.axhline(level, color=FAINT, linewidth=0.9, linestyle=DASHES, zorder=1)
        axes.annotate(
            name, (1, level), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            va="center", size=SMALL, color=MUTED, annotation_clip=False,
        )  # fmt: skip


def _legend(axes: Axes) -> None:
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=SMALL, labelcolor=MUTED,
        borderaxespad=0.2, handlelength=1.6, columnspacing=1.4,
    )  # fmt: skip


def _fitting(texts: Sequence[str], width: float) -> float:
    """Choose the size in points, at most 9, at which the longest text fits into a width in points."""
    return float(np.clip(width / (GLYPH * max(map(len, texts))), 3.5, 9.0))


def _short(option: object, longest: int = 14) -> str:
    text = str(option)
    return text if len(text) <= max(longest, 4) else f"{text[: max(longest, 4) - 1]}…"


def plain(text: str) -> str:
    """Keep matplotlib from reading dollar signs as mathematics."""
    return text.replace("$", r"\$")
