"""Statistics of noisy rewards: detrending, shrinkage, ranking, and intervals."""

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

SWEEPS = 10  # of the joint fit of trend and effects; later ones change rewards by less than their noise
TREND_SAMPLES = 8  # rewards that the trend of one window is averaged over, at least
Key = TypeVar("Key", bound=Hashable)
SHRINKAGE = 4.0  # imagined average rewards that every architecture starts with


def detrend(rewards: ArrayLike) -> NDArray[np.float64]:
    """Take the trend over a lifetime out of rewards.

    The trend at a window is the mean over the members, and over as many neighbouring windows as it takes to average
    at least eight rewards (fewer at the two ends): rewards rise while the inner learner learns, whatever the agent
    chooses.

    Args:
        rewards: (windows, members).

    Returns:
        Rewards less their trend, (windows, members).
    """
    values = np.asarray(rewards, dtype=np.float64)
    windows, members = values.shape
    if not windows:
        return values.copy()
    reach = trend_reach(members)
    sums = np.concatenate([[0.0], np.cumsum(values.mean(1))])
    index = np.arange(windows)
    low, high = np.maximum(index - reach, 0), np.minimum(index + reach + 1, windows)
    trend = (sums[high] - sums[low]) / (high - low)
    return np.asarray(values - trend[:, None])


def trend_reach(members: int) -> int:
    """Count the windows before, and as many after a window that its trend is averaged over."""
    return 0 if members >= TREND_SAMPLES else -(-(TREND_SAMPLES - members) // (2 * members))


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


def without_trend(actions: ArrayLike, rewards: ArrayLike) -> NDArray[np.float64]:
    """Take the trend out of rewards, but not what the search itself gained.

    An agent that chooses better and better raises the rewards too; `detrend` alone would take that away with the trend,
    and good architectures tried late, beside others as good, would score 0. So the trend is that of what the options do
    not explain: reward = trend(window) + sum of an effect per option + rest, fitted in turns, the effects by ridge
    regression with a penalty of `SHRINKAGE`.

    Args:
        actions: (windows, members, choices) option indices.
        rewards: (windows, members); NaN where there is no window.

    Returns:
        Rewards less the trend, with a mean of 0, (windows, members); NaN where there is none.
    """
    values, vectors = np.asarray(rewards, dtype=np.float64), np.asarray(actions, dtype=np.int64)
    present = ~np.isnan(values)
    columns = vectors[present].T  # (choices, n)
    codes = np.concatenate([(column[:, None] == np.unique(column)).astype(np.float64) for column in columns], axis=1)
    codes -= codes.mean(0)
    solve = np.linalg.solve(codes.T @ codes + SHRINKAGE * np.eye(codes.shape[1]), codes.T)  # (options, n)
    left = values
    for _ in range(SWEEPS):
        filled = np.where(present, left, np.nanmean(left, axis=1, keepdims=True))
        rest = values - (filled - detrend(filled))
        rest -= np.nanmean(rest)
        effects = np.zeros_like(values)
        effects[present] = codes @ (solve @ rest[present])
        left = values - effects
    return rest


def scores(actions: ArrayLike, rewards: ArrayLike) -> dict[tuple[int, ...], float]:
    """Score the architectures seen in a search by the incumbent's rule.

    Args:
        actions: (windows, members, choices).
        rewards: (windows, members); NaN where there is no window.

    Returns:
        The shrunken mean of every architecture's rewards less their trend, pooled over the members.
    """
    vectors, values = np.asarray(actions, dtype=np.int64), without_trend(actions, rewards)
    present = ~np.isnan(values)
    return shrunken_means([tuple(vector) for vector in vectors[present].tolist()], values[present])


def ranking(actions: ArrayLike, rewards: ArrayLike) -> list[tuple[int, ...]]:
    """Rank the architectures seen in a search by the incumbent's rule (`scores`), best first."""
    found = scores(actions, rewards)
    return sorted(found, key=lambda key: -found[key])


def switch_rates(actions: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tell how often each member exchanged its architecture, and how often only to go back.

    Args:
        actions: (windows, members, choices) option indices; -1 where there is no window.

    Returns:
        Switch rate, (members,): the share of the windows from the second on whose architecture is not that of the
        window before. Oscillation, (members,): the share of the windows from the third on that return to the
        architecture before the last (A, B, A, with B other than A). Both are 0 where there is no such window.
    """
    vectors = np.asarray(actions, dtype=np.int64)
    present = np.all(vectors >= 0, axis=-1)
    switched = np.any(vectors[1:] != vectors[:-1], axis=-1) & present[1:]  # (windows - 1, members)
    returned = np.all(vectors[2:] == vectors[:-2], axis=-1) & switched[1:]
    counts = present.sum(0)
    return switched.sum(0) / np.maximum(1, counts - 1), returned.sum(0) / np.maximum(1, counts - 2)


def mean_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Give Student's interval of a mean; with few values the bootstrap's would be too narrow.

    Args:
        values: (n,) independent values, for instance differences of two arms on the same seeds; n of at least 2.
        level: Coverage, if the values are normal.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: If there are fewer than two values.
    """
    array = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        raise ValueError(f"mean_interval: expected at least 2 values, got {len(array)}.")
    half = student_t(len(array) - 1, level) * float(array.std(ddof=1)) / math.sqrt(len(array))
    return float(array.mean()) - half, float(array.mean()) + half


def few_values_stretch(count: int, level: float = 0.95) -> float:
    """Give the factor by which an interval that knows its spread from so few values must be longer than a normal one.

    Student's quantile over the normal one, t(count - 1) / z. Percentiles of a bootstrap are too close together by it,
    and by sqrt(n / (n - 1)), because resampled values repeat: Hesterberg 2015, "What Teachers Should Know About the
    Bootstrap", https://arxiv.org/abs/1411.5279, moves the percentiles outwards for that. Stretching the interval
    instead is the same for normal values and needs no percentile beyond 1 in 1000, which five values do not have.

    Args:
        count: Independent values, at least 2.
        level: Coverage.
    """
    return student_t(count - 1, level) / NormalDist().inv_cdf((1 + level) / 2)


def student_t(freedom: int, level: float = 0.95) -> float:
    """Give the two-sided quantile of Student's t, by its expansion around the normal one.

    Abramowitz and Stegun 26.7.5, to the fourth order: at the levels 0.5 to 0.95 within 0.2 % from 3 degrees of freedom
    on; from 4 on at 0.9875 within 0.2 %, and at 0.995 within 0.5 % (from 9 on 0.01 %), always on the narrow side. One
    and two degrees have closed forms.
    """
    if freedom == 1:
        return math.tan(math.pi * level / 2)
    if freedom == 2:
        return level * math.sqrt(2 / (1 - level**2))
    z = NormalDist().inv_cdf((1 + level) / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / freedom ** (order + 1) for order, term in enumerate(terms))
