"""Estimates with their intervals, as `describe.json` holds them: `value`, `low` and `high`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from archgym.stats import mean_interval
from archgym.table_describe.stats import seed_interval

Estimate = dict[str, Any]


@dataclass(frozen=True)
class Estimates:
    """Estimates statistics of samples of scores, with intervals that draw the seeds anew.

    Attributes:
        draws: Resamples of every interval.
        seed: Of the resampling.
    """

    draws: int = 1000
    seed: int = 0

    def of(
        self,
        statistic: Callable[..., ArrayLike],
        *samples: NDArray[np.float64],
        lowest: ArrayLike = -np.inf,
        highest: ArrayLike = np.inf,
    ) -> Estimate:
        """Give a statistic with its interval (`seed_interval`): numbers, or lists of them where it is an array."""
        value = np.asarray(statistic(*samples), dtype=np.float64)
        low, high = seed_interval(
            statistic, *samples, draws=self.draws, seed=self.seed, lowest=lowest, highest=highest
        )  # fmt: skip
        return {"value": value.tolist(), "low": low.tolist(), "high": high.tolist()}


def mean(values: NDArray[np.float64]) -> Estimate:
    """Give the mean of independent values with Student's interval."""
    low, high = mean_interval(values)
    return {"value": float(values.mean()), "low": low, "high": high}


def at(found: Estimate, *places: int) -> Estimate:
    """Take one entry out of an estimate of several."""
    for place in places:
        found = {name: values[place] for name, values in found.items()}
    return found
