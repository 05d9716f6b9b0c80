"""Statistics of noisy rewards: detrending, shrinkage, and seeded bootstrap intervals."""

from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

TREND_SAMPLES = 8  # rewards that the trend of one window is averaged over, at least
Key = TypeVar("Key", bound=Hashable)
SHRINKAGE = 4.0  # imagined average rewards that every architecture starts with


def detrend(rewards: ArrayLike) -> NDArray[np.float64]:
    """Take the trend over a lifetime out of rewards.

    The trend at a window is the mean over the members, and over as many neighbouring windows as it takes to average
    at least eight rewards: rewards rise while the inner learner learns, whatever the agent chooses.

    Args:
        rewards: (windows, members).

    Returns:
        Rewards less their trend, (windows, members).
    """
    values = np.asarray(rewards, dtype=np.float64)
    windows, members = values.shape
    if not windows:
        return values.copy()
    reach = 0 if members >= TREND_SAMPLES else -(-(TREND_SAMPLES - members) // (2 * members))
    sums = np.concatenate([[0.0], np.cumsum(values.mean(1))])
    index = np.arange(windows)
    low, high = np.maximum(index - reach, 0), np.minimum(index + reach + 1, windows)
    trend = (sums[high] - sums[low]) / (high - low)
    return np.asarray(values - trend[:, None])


def shrunken_means(keys: Sequence[Key], values: ArrayLike) -> dict[Key, float]:
    """Average values by key, pulled towards 0 where there are few: sum / (n + 4).

    Four is the ratio of noise to signal variance at the signal-to-noise ratio of 0.5 that short windows have.

    Args:
        keys: (n,), for instance architectures.
        values: (n,), centred on 0 (see `detrend`).

    Returns:
        The shrunken mean of every key.
    """
    sums: dict[Key, tuple[float, int]] = {}
    for key, value in zip(keys, np.asarray(values, dtype=np.float64).tolist(), strict=True):
        total, count = sums.get(key, (0.0, 0))
        sums[key] = (total + value, count + 1)
    return {key: total / (count + SHRINKAGE) for key, (total, count) in sums.items()}


def ranking(actions: ArrayLike, rewards: ArrayLike) -> list[tuple[int, ...]]:
    """Rank the architectures seen in a search by the incumbent's rule, best first.

    Args:
        actions: (windows, members, choices).
        rewards: (windows, members).

    Returns:
        Distinct architectures by their shrunken mean detrended reward, pooled over the members.
    """
    vectors = np.asarray(actions, dtype=np.int64)
    keys = [tuple(vector) for vector in vectors.reshape(-1, vectors.shape[-1]).tolist()]
    scores = shrunken_means(keys, detrend(rewards).ravel())
    return sorted(scores, key=lambda key: -scores[key])


def bootstrap_interval(
    values: ArrayLike, others: ArrayLike | None = None, *, seed: int = 0, level: float = 0.95, draws: int = 10_000
) -> tuple[float, float]:
    """Give a percentile bootstrap interval of a mean, or of the difference of two means.

    Args:
        values: (n,) independent values.
        others: (m,) independent values whose mean is subtracted; None: nothing is.
        seed: Of the resampling.
        level: Coverage.
        draws: Resamples.

    Returns:
        Lower and upper end.
    """
    rng = np.random.default_rng(seed)

    def means(sample: ArrayLike) -> NDArray[np.float64]:
        array = np.asarray(sample, dtype=np.float64)
        return np.asarray(array[rng.integers(0, len(array), (draws, len(array)))].mean(1))

    statistic = means(values) - (0.0 if others is None else means(others))
    low, high = np.quantile(statistic, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
