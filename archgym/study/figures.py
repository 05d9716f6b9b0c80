"""Rows and lines of a study's figures: means over its repeats with their intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.study import stats


def mean_lines(x: NDArray[np.float64], curves: NDArray[np.float64]) -> list[Any]:
    """Give a line of a figure: x, the mean over repeats, and the ends of Student's 95 % interval where there are some.

    Args:
        x: (points,).
        curves: (repeats, points).
    """
    found = [stats.mean(column) for column in curves.T]
    lines = [[one[name] for one in found] for name in ("value", "low", "high")]
    return [_rounded(x.tolist()), *(None if line[0] is None else _rounded(line) for line in lines)]


def value_row(values: NDArray[np.float64]) -> list[Any]:
    """Give a row of a figure: the ends of an interval around the mean, and the single values."""
    found = stats.mean(values)
    return [found["low"], found["value"], found["high"], _rounded(values.tolist())]


def _rounded(values: Sequence[Any]) -> list[float]:
    return [round(float(value), 4) for value in values]
