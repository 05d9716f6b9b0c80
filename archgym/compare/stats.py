"""Statistics of a fair comparison: several arms, each run with several seeds, on one or several tasks.

Scores are (runs, tasks), or (runs,) where there is one task; higher is better. With a handful of runs no number
stands without its interval, and no difference without its test, corrected for how many were looked at.

Aggregates and intervals are those of Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical
Precipice", https://arxiv.org/abs/2108.13264.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

EXACT_RELABELLINGS = 10_000  # a permutation test of at most as many lists them all
DRAWS = 10_000  # relabellings drawn where there are more
FINEST = 50  # draws per pair of arms: the smallest p value times the pairs is 1 / 50, or 2 / 50 if it is doubled


def iqm(scores: ArrayLike) -> float:
    """Give the interquartile mean: the mean of what is left without the lowest and the highest quarter.

    Of n entries, all runs of all tasks together, floor(n / 4) are cut at each end (Agarwal et al. 2021, section 4.3).

    Args:
        scores: (runs, tasks) or (runs,).

    Returns:
        A number between the lowest and the highest score.

    Raises:
        ValueError: If there are no scores, or some are not finite.
    """
    ordered = np.sort(_scores("iqm", scores), axis=None)
    cut = ordered.size // 4
    return float(ordered[cut : ordered.size - cut].mean())


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> NDArray[np.float64]:
    """Give the share of runs that score above each threshold, averaged over the tasks.

    profile(t) = mean over tasks of (number of runs with score > t) / runs (Agarwal et al. 2021, section 4.2).

    Args:
        scores: (runs, tasks) or (runs,).
        thresholds: (thresholds,).

    Returns:
        Shares from 0 to 1, (thresholds,); they fall as the threshold rises.

    Raises:
        ValueError: If there are no scores or thresholds, or some are not finite.
    """
    above = _scores("performance_profile", scores)[..., None] > _vector("performance_profile", "thresholds", thresholds)
    return np.asarray(above.mean((0, 1)))


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """Give the probability that a run of one arm scores higher than a run of the other.

    P(X > Y) + P(X = Y) / 2 over all pairs of runs, averaged over the tasks (Agarwal et al. 2021, section 4.3). On one
    task it is the statistic U of Mann and Whitney, divided by the number of pairs.

    Args:
        x: (runs, tasks) or (runs,).
        y: (runs, tasks) or (runs,), of the same tasks; the number of runs may differ.

    Returns:
        From 0 to 1; 1/2 where neither arm is better.

    Raises:
        ValueError: If an arm has no scores, if some are not finite, or if the numbers of tasks differ.
    """
    first, second = _same_tasks("probability_of_improvement", (x, y))
    higher, equal = first[:, None] > second, first[:, None] == second  # (runs of x, runs of y, tasks)
    return float(higher.mean() + equal.mean() / 2)


def stratified_interval(
    statistic: Callable[..., float],
    *samples: ArrayLike,
    seed: int = 0,
    level: float = 0.95,
    draws: int = 2000,
    paired: bool = False,
) -> tuple[float, float]:
    """Give a seeded percentile bootstrap interval of a statistic of one or several samples.

    Runs are drawn with replacement, within each task on its own (Agarwal et al. 2021, section 4.1). With few runs the
    interval is too narrow: made for 95 %, that of the iqm of normal scores covers the truth in 73 % of the cases with 3
    runs, in 90 % with 5 and in 93 % with 10.

    Args:
        statistic: Called with the samples, each (runs, tasks); of a sample (runs,) tasks is 1.
        samples: (runs, tasks) or (runs,) each, of the same tasks, with at least 2 runs.
        seed: Of the resampling.
        level: Coverage, between 0 and 1.
        draws: Resamples.
        paired: Draw the same runs in all samples. For arms whose runs share their random numbers, run by run.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: If the samples are empty, not finite, of fewer than 2 runs, or of different numbers of tasks, and
            where paired, of runs; if level or draws are out of range.
    """
    low, high = _interval(statistic, samples, seed=seed, level=level, draws=draws, paired=paired)
    return float(low), float(high)


def performance_profile_interval(
    scores: ArrayLike, thresholds: ArrayLike, *, seed: int = 0, level: float = 0.95, draws: int = 2000
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the bootstrap interval of a performance profile, at each threshold on its own.

    Args:
        scores: (runs, tasks) or (runs,), with at least 2 runs.
        thresholds: (thresholds,).
        seed: Of the resampling.
        level: Coverage at one threshold; that of all at once is lower.
        draws: Resamples.

    Returns:
        Lower and upper ends, (thresholds,) each.

    Raises:
        ValueError: As `stratified_interval` does.
    """
    return _interval(lambda runs: performance_profile(runs, thresholds), (scores,), seed=seed, level=level, draws=draws)


def improvement_p_value(x: ArrayLike, y: ArrayLike, *, seed: int = 0, draws: int = DRAWS) -> float:
    """Test whether the probability of improvement differs from 1/2, by permuting within tasks which arm a run is of.

    The p value is the share of relabellings whose probability of improvement is at least as far from 1/2 as the
    observed one. Up to 10,000 relabellings of one task are listed (7 runs against 7), and p is exact. Of more, some are
    drawn, and p = (1 + those as far) / (1 + draws), which counts the observed one (Phipson and Smyth 2010): never 0.

    Args:
        x: (runs, tasks), or (runs,) of one task.
        y: The same tasks; the number of runs may differ.
        seed: Of the relabellings, where they are drawn.
        draws: Relabellings drawn, where there are too many to list.

    Returns:
        The two-sided p value, above 0 and at most 1.

    Raises:
        ValueError: If an arm has no scores, if some are not finite, if the tasks differ in number, or without a draw.
    """
    first, second = _same_tasks("improvement_p_value", (x, y))
    _check_draws("improvement_p_value", draws)
    pooled = np.concatenate([first, second]).T  # (tasks, all runs)
    # Wins less losses of each run against all. Within an arm they cancel, so the sum over the runs of x is
    # (2 P - 1) times the number of pairs. Whole numbers: equal distances from 1/2 compare as equal.
    margins = np.sign(pooled[:, :, None] - pooled[:, None, :]).astype(np.int64).sum(2)  # (tasks, all runs)
    observed = abs(margins[:, : len(first)].sum())
    if len(margins) == 1 and comb(margins.shape[1], len(first)) <= EXACT_RELABELLINGS:
        relabelled = margins[0, list(combinations(range(margins.shape[1]), len(first)))]
        return float((abs(relabelled.sum(1)) >= observed).mean())
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.tile(margins, (draws, 1, 1)), axis=2)  # (draws, tasks, all runs)
    as_far = int((abs(shuffled[:, :, : len(first)].sum((1, 2))) >= observed).sum())
    return (1 + as_far) / (1 + draws)


def enough_draws(arms: int, least: int = DRAWS) -> int:
    """Count the draws of a p value with which it could survive Holm's correction over all pairs of so many arms.

    Args:
        arms: That are compared with each other.
        least: Draws that are made anyway.
    """
    return max(least, FINEST * comb(arms, 2))


def smallest_p_value(runs: int, tasks: int, *, draws: int = DRAWS) -> float:
    """Give the p value of two arms whose scores do not overlap: no comparison with so few runs can show more.

    Args:
        runs: Of each arm.
        tasks: How many.
        draws: As in `improvement_p_value`.
    """
    relabellings = comb(2 * runs, runs)
    if tasks == 1 and relabellings <= EXACT_RELABELLINGS:
        return 2 / relabellings
    return max(1 / (1 + draws), float(2 / relabellings**tasks))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust the p values of several tests for how many they are.

    Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure": of m p values the k-th smallest, from k = 0,
    becomes the highest of (m - j) p_(j) over j <= k, and at most 1. Rejecting whatever is then at most 0.05 makes one
    false rejection or more with a probability of at most 0.05, however the tests depend on each other.

    Args:
        p_values: (tests,), each from 0 to 1.

    Returns:
        Adjusted p values in the given order, (tests,), none below its own.

    Raises:
        ValueError: If there are no p values, or some are not from 0 to 1.
    """
    given = _vector("holm", "p values", p_values)
    if given.min() < 0 or given.max() > 1:
        raise ValueError(f"holm: expected p values from 0 to 1, got {given.min():g} to {given.max():g}.")
    order = np.argsort(given)
    adjusted = np.empty_like(given)
    adjusted[order] = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    return np.minimum(adjusted, 1.0)


def _interval(
    statistic: Callable[..., ArrayLike],
    samples: Sequence[ArrayLike],
    *,
    seed: int,
    level: float,
    draws: int,
    paired: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Check the arguments of a bootstrap interval; give its ends, each of the shape of the statistic."""
    checked = _same_tasks("bootstrap interval", samples)
    runs = [len(sample) for sample in checked]
    if min(runs) < 2:
        raise ValueError(f"bootstrap interval: expected at least 2 runs, got {min(runs)}.")
    if paired and len(set(runs)) > 1:
        raise ValueError(f"bootstrap interval: expected paired samples of as many runs each, got {_listed(runs)}.")
    if not 0 < level < 1:
        raise ValueError(f"bootstrap interval: expected a level between 0 and 1, got {level}.")
    _check_draws("bootstrap interval", draws)
    resampled = _resample(checked, seed, draws, paired)
    values = np.array([statistic(*drawn) for drawn in zip(*resampled, strict=True)], dtype=np.float64)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def _resample(samples: Sequence[NDArray[np.float64]], seed: int, draws: int, paired: bool) -> list[NDArray[np.float64]]:
    """Draw runs with replacement, within each task on its own; give (draws, runs, tasks) for each sample."""
    rng = np.random.default_rng(seed)

    def pick(sample: NDArray[np.float64]) -> NDArray[np.int64]:
        return rng.integers(0, len(sample), (draws, *sample.shape))

    picked = [pick(samples[0])] * len(samples) if paired else [pick(sample) for sample in samples]
    return [np.take_along_axis(sample[None], runs, axis=1) for sample, runs in zip(samples, picked, strict=True)]


def _scores(caller: str, values: ArrayLike) -> NDArray[np.float64]:
    """Check scores; give them as (runs, tasks)."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(f"{caller}: expected scores of shape (runs,) or (runs, tasks), got {array.shape}.")
    _check_finite(caller, "scores", array)
    return array.reshape(len(array), -1)


def _same_tasks(caller: str, samples: Sequence[ArrayLike]) -> list[NDArray[np.float64]]:
    """Check the scores of several arms; give each as (runs, tasks)."""
    checked = [_scores(caller, sample) for sample in samples]
    tasks = [sample.shape[1] for sample in checked]
    if len(set(tasks)) != 1:
        raise ValueError(f"{caller}: expected samples of as many tasks each, got {_listed(tasks) or 'no sample'}.")
    return checked


def _vector(caller: str, kind: str, values: ArrayLike) -> NDArray[np.float64]:
    """Check a list of finite numbers."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{caller}: expected a list of {kind}, got shape {array.shape}.")
    _check_finite(caller, kind, array)
    return array


def _check_finite(caller: str, kind: str, array: NDArray[np.float64]) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        raise ValueError(f"{caller}: expected finite {kind}, got {array[~finite][0]}.")


def _check_draws(caller: str, draws: int) -> None:
    if draws < 1:
        raise ValueError(f"{caller}: expected at least 1 draw, got {draws}.")


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)
