"""Pictures of a recorded table: learning curves, scores by seed, shares of choices, rank correlations."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from archgym.pages.charts import spread
from archgym.pages.drawing import (
    CHOSEN,
    DASHES,
    DATA,
    FAINT,
    INK,
    MUTED,
    RULE,
    SERIES,
    SHARES,
    SMALL,
    TEXT,
    THOUSANDS,
    plain,
    tidy,
)

MOST_NAMED = 40  # architectures whose names stand beside a heat map
COLORS = {"best": CHOSEN, "default": INK, "worst": DATA}
Band = Mapping[str, Any]  # `value`, `low`, `high`, of numbers


def draw_curves(axes: Axes, curves: Mapping[str, Any], steps: int, levels: Mapping[str, float]) -> None:
    """Draw the mean learning curve of every architecture, thin, and three of them bold, with their bands.

    Args:
        axes: Where.
        curves: `mean` (A, W), and `named`: by word, `row`, and `mean`, `low` and `high` (W,).
        steps: Environment steps at the end.
        levels: Returns to mark, by name.
    """
    tidy(axes, "environment steps", "return")
    means = np.asarray(curves["mean"], dtype=np.float64)
    x = steps * np.arange(1, means.shape[1] + 1) / means.shape[1]
    lines = [np.column_stack([x, mean]) for mean in means]
    axes.add_collection(LineCollection(lines, colors=FAINT, linewidths=0.6, alpha=0.55, zorder=2))
    rows = [own["row"] for own in curves["named"].values()]
    ends = {}
    for word, own in curves["named"].items():
        axes.fill_between(x, own["low"], own["high"], color=COLORS[word], alpha=0.13, linewidth=0, zorder=1.5)
        line = DASHES if word == "default" else "-"
        axes.plot(x, own["mean"], color=COLORS[word], linewidth=1.9, linestyle=line, zorder=4)
        same = [other for other, one in curves["named"].items() if one["row"] == own["row"]]
        if rows.count(own["row"]) == 1 or same[0] == word:
            ends[" and ".join(same)] = (float(own["mean"][-1]), COLORS[word])
    for name, level in levels.items():
        axes.axhline(level, color=FAINT, linewidth=0.9, linestyle=DASHES, zorder=1)
        ends[name] = (level, MUTED)
    axes.set_xlim(0, steps)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(THOUSANDS)
    _name_ends(axes, steps, ends)


def draw_heat_map(axes: Axes, areas: ArrayLike, labels: Sequence[str], search_seeds: int, default: int) -> None:
    """Draw the score of every architecture on every seed, the best architecture at the top.

    Args:
        axes: Where.
        areas: (architectures, seeds).
        labels: (architectures,), written where they are few.
        search_seeds: Seeds left of the line are for searches, those right of it for judging.
        default: Row of the default architecture, marked.
    """
    values = np.asarray(areas, dtype=np.float64)
    order = np.argsort(-values.mean(1), kind="stable")
    seeds = values.shape[1]
    tidy(axes, "seed (left of the line: search, right: test)", "")
    image = axes.imshow(
        values[order], SHARES, aspect="auto", interpolation="none", extent=(0.5, seeds + 0.5, len(values), 0)
    )
    axes.axvline(search_seeds + 0.5, color="white", linewidth=3)
    axes.grid(False)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    place = int(np.flatnonzero(order == default)[0])
    if len(values) <= MOST_NAMED:
        axes.set_yticks(np.arange(len(values)) + 0.5, [plain(labels[row]) for row in order])
        for row, text in enumerate(axes.get_yticklabels()):
            text.set(
                size=SMALL - 0.5, color=INK if row == place else MUTED, weight="bold" if row == place else "normal"
            )
    else:
        axes.set_ylabel("architectures, best first", size=TEXT, color=MUTED)
        axes.set_yticks([place + 0.5], ["default"])
    axes.spines[:].set_visible(False)
    figure = axes.get_figure()
    assert figure is not None
    bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=MUTED, labelsize=SMALL, length=0)


def draw_bands(
    axes: Axes,
    x: Sequence[float],
    series: Mapping[str, Sequence[Band]],
    *,
    across: str,
    up: str,
    levels: Mapping[str, float],
    logarithmic: bool = False,
) -> None:
    """Draw lines with their intervals, their names at their ends, and levels to compare with.

    Args:
        axes: Where.
        x: Of all points.
        series: By name, one value with its interval per point.
        across: Label of the x axis.
        up: Label of the y axis.
        levels: By name; one of the name of a series has its colour.
        logarithmic: Whether the x axis is.
    """
    tidy(axes, across, up)
    ends: dict[str, tuple[float, str]] = {}
    for (name, points), color in zip(series.items(), SERIES, strict=False):
        value, low, high = (np.array([point[part] for point in points]) for part in ("value", "low", "high"))
        axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(x, value, color=color, linewidth=1.8, marker="o", markersize=3.5)
        ends[name] = (float(value[-1]), color)
        if name in levels:
            axes.axhline(levels[name], color=color, linewidth=0.9, linestyle=DASHES, zorder=1)
    for name, level in levels.items():
        if name not in series:
            axes.axhline(level, color=FAINT, linewidth=0.9, linestyle=DASHES, zorder=1)
            ends[name] = (level, MUTED)
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xticks(list(x)[:: max(1, len(x) // 5)])
        axes.minorticks_off()
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(THOUSANDS)
    _name_ends(axes, float(x[-1]), ends)


def draw_shares(axes: Axes, rows: Sequence[tuple[str, Band, bool]]) -> None:
    """Draw bars with their intervals, the first row at the top.

    Args:
        axes: Where.
        rows: Name, share of the variance, and whether it is of a single choice.
    """
    tidy(axes, "share of the variance between architectures", "")
    axes.grid(False)
    axes.grid(axis="x", color=RULE, linewidth=0.7)
    for row, (_, share, single) in enumerate(rows):
        axes.barh(row, max(0.0, share["value"]), height=0.62, color=DATA if single else FAINT, zorder=2)
        axes.plot((share["low"], share["high"]), (row, row), color=INK, linewidth=1.3, zorder=3)
    axes.set_yticks(range(len(rows)), [plain(name) for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")


def _name_ends(axes: Axes, x: float, ends: Mapping[str, tuple[float, str]]) -> None:
    """Write names at the ends of lines, moved apart where they would overlap."""
    axes.autoscale_view()
    axes.set_ylim(axes.get_ylim())
    low, high = axes.get_ylim()
    order = sorted(ends, key=lambda name: ends[name][0])
    places: NDArray[np.float64] = np.array([(ends[name][0] - low) / (high - low) for name in order])
    for name, place in zip(order, spread(places.tolist(), 0.065), strict=True):
        axes.annotate(
            plain(name), (x, ends[name][0]), xycoords="data", xytext=(1.03, place), textcoords="axes fraction",
            va="center", size=SMALL, color=ends[name][1], annotation_clip=False,
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": FAINT, "shrinkA": 1, "shrinkB": 0},
        )  # fmt: skip
