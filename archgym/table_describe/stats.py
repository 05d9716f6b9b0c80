"""Statistics of a recorded table: what architectures explain, what seeds explain, and how well one score ranks another.

Scores are (architectures, seeds), higher is better. Seeds are the unit that is drawn anew in every interval, and the
architectures stay. So an interval is about the architectures of the table: all of its space, or else a sample, and then
it heeds nothing of which ones were drawn into that, and says less of the others than it seems to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from archgym.stats import few_values_stretch, student_t

POWER = 0.6  # two-sided level of the quantile that a power of 80 % takes
NOTHING = 1e-12  # a variance below which there is none
MOST_SEEDS = 10_000  # that `seeds_needed` counts up to


@dataclass(frozen=True)
class Spread:
    """Variance components of scores, and how well a score repeats.

    Attributes:
        architectures: Variance between architectures.
        seeds: Variance that a seed has in common for all architectures.
        rest: Variance of an architecture's score over the seeds beside that.
        repeatability: Intraclass correlation: the share of `architectures` in the sum of the three, from 0 to 1.
    """

    architectures: float
    seeds: float
    rest: float
    repeatability: float

    def of_mean(self, seeds: int) -> float:
        """Give the repeatability of the mean over so many seeds."""
        noise = (self.seeds + self.rest) / seeds
        return self.architectures / (self.architectures + noise) if self.architectures + noise > 0 else 0.0


def spread(scores: ArrayLike) -> Spread:
    """Estimate the variance components of a two-way layout without repeats, by the method of moments.

    The intraclass correlation is ICC(2,1) of Shrout and Fleiss 1979, "Intraclass Correlations: Uses in Assessing Rater
    Reliability": absolute agreement of single scores, seeds random. Components below 0 count as 0.

    Args:
        scores: (architectures, seeds), at least 2 of each.
    """
    values = layout(scores)
    rows, columns = values.shape
    by_row, by_column, rest = mean_squares(values)
    own = max(0.0, (by_row - rest) / columns)
    common = max(0.0, (by_column - rest) / rows)
    total = own + common + rest
    return Spread(own, common, rest, own / total if total > 0 else 0.0)


def mean_squares(scores: NDArray[np.float64]) -> tuple[float, float, float]:
    """Give the mean squares of a two-way layout: between architectures, between seeds, and the rest."""
    rows, columns = scores.shape
    overall = scores.mean()
    by_row, by_column = scores.mean(1, keepdims=True), scores.mean(0, keepdims=True)
    rest = scores - by_row - by_column + overall
    return (
        float(columns * ((by_row - overall) ** 2).sum() / (rows - 1)),
        float(rows * ((by_column - overall) ** 2).sum() / (columns - 1)),
        float((rest**2).sum() / ((rows - 1) * (columns - 1))),
    )


def kendall(first: ArrayLike, second: ArrayLike) -> float:
    """Give Kendall's rank correlation tau-b, which counts ties; 0 where one of the two is constant.

    Args:
        first: (n,).
        second: (n,).
    """
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    return float(kendalls(x[:, None], y[:, None])[0, 0])


def kendalls(firsts: ArrayLike, seconds: ArrayLike) -> NDArray[np.float64]:
    """Give `kendall` of every column of one array with every column of another.

    Args:
        firsts: (n, a).
        seconds: (n, b).

    Returns:
        (a, b).
    """
    signs = []
    for columns in (firsts, seconds):
        values = np.asarray(columns, dtype=np.float64).T
        signs.append(np.sign(values[:, :, None] - values[:, None]).reshape(len(values), -1))  # each pair twice: cancels
    x, y = signs
    norms = np.sqrt(np.outer((x**2).sum(1), (y**2).sum(1)))
    return np.asarray(x @ y.T / np.where(norms > 0, norms, 1.0))


def top_regret(guess: ArrayLike, truth: ArrayLike, count: int) -> float:
    """Give the distance to the best of the best one among the `count` that a guess ranks highest.

    Args:
        guess: (n,), what is ranked by; of equals the earlier.
        truth: (n,).
        count: How many are looked at, from 1 to n.
    """
    values = np.asarray(truth, dtype=np.float64)
    chosen = np.argsort(-np.asarray(guess, dtype=np.float64), kind="stable")[:count]
    return float(values.max() - values[chosen].max())


def maximum_bias(scores: ArrayLike, draws: int = 2000, seed: int = 0) -> float:
    """Estimate by how much the highest of noisy means is too high: the bootstrap's estimate of its bias.

    The mean of the highest mean over resampled seeds, less the highest mean; deviations are stretched by
    sqrt(n / (n - 1)) for n seeds, for resampled seeds repeat. Every regret, the distance to that highest mean, is too
    large by as much. It is only an estimate: too small where many architectures are nearly as good as the best (two
    fifths of it where nine are equal, of 5 seeds), somewhat too large where few are.

    Args:
        scores: (architectures, seeds), at least 2 seeds.
        draws: Resamples.
        seed: Of the resampling.

    Returns:
        At least 0.
    """
    values = np.asarray(scores, dtype=np.float64)
    plain, seeds = values.mean(1), values.shape[1]
    drawn = np.random.default_rng(seed).multinomial(seeds, [1 / seeds] * seeds, size=draws) / seeds  # weights
    means = plain + np.sqrt(seeds / (seeds - 1)) * (drawn @ values.T - plain)
    return max(0.0, float(means.max(1).mean() - plain.max()))


def random_regret(truth: ArrayLike, count: int) -> float:
    """Give the expected `top_regret` of a guess that says nothing: of the best of `count` drawn without repeats."""
    values = np.sort(np.asarray(truth, dtype=np.float64))
    chances = [comb(worse, count - 1) / comb(len(values), count) for worse in range(len(values))]  # of being the best
    return float(values[-1] - np.dot(chances, values))


def seeds_needed(difference: float, variances: Sequence[float]) -> float:
    """Count the seeds per side with which Welch's test tells two means apart: 80 % power, two-sided level of 5 %.

    The smallest n with n >= (t(97.5 %) + t(80 %))^2 * (sum of the variances) / difference^2, with quantiles of
    Student's t at 2 (n - 1) degrees of freedom, the most that the test can have. For equal variances and differences
    of 0.3 to 4 standard deviations it is what the noncentral t says.

    Args:
        difference: Of the means.
        variances: Of single scores on both sides.

    Returns:
        A whole number from 2 on, or infinity where it is above 10,000.
    """
    noise = float(sum(variances))
    if difference == 0 or noise >= difference**2 * MOST_SEEDS / 8:
        return float("inf")
    for seeds in range(2, MOST_SEEDS + 1):
        freedom = 2 * (seeds - 1)
        if seeds >= (student_t(freedom) + student_t(freedom, POWER)) ** 2 * noise / difference**2:
            return float(seeds)
    return float("inf")


def seed_interval(
    statistic: Callable[..., ArrayLike],
    *samples: NDArray[np.float64],
    seed: int = 0,
    draws: int = 1000,
    level: float = 0.95,
    lowest: ArrayLike = -np.inf,
    highest: ArrayLike = np.inf,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give a seeded bootstrap interval of a statistic of scores, drawing seeds with replacement.

    The spread of the resampled values around their own mean is laid around the estimate, and stretched for n seeds:
    resampled seeds repeat, which moves statistics of noise (variance components, rank correlations) to one side, and
    makes their spread too small by sqrt(n / (n - 1)); and a spread that only n seeds tell takes Student's t
    (`stats.few_values_stretch`).

    How often intervals made for 95 % cover a mean, in 2,000 simulations each (tests/test_table_stats.py repeats it):

    | scores | 3 seeds | 5 seeds | 10 seeds |
    |---|---|---|---|
    | normal | 94.8 % | 94.8 % | 94.6 % |
    | exponential | 88.6 % | 87.0 % | 89.8 % |
    | lognormal | 84.4 % | 82.1 % | 85.0 % |

    Student's own interval does no better on skewed scores. Without the factor of t it is 80.0, 86.6 and 91.4 % of
    normal ones.

    Args:
        statistic: Called with the samples; a number or an array.
        samples: (architectures, seeds, ...) each. Seeds of different samples are drawn on their own; the sample with
            the fewest decides the stretch.
        seed: Of the resampling.
        draws: Resamples.
        level: Coverage.
        lowest: Ends are cut off here: of shares at 0, of correlations at -1; one for all entries of the statistic, or
            an array that fits its shape.
        highest: And here.

    Returns:
        Lower and upper ends, of the statistic's shape.

    Raises:
        ValueError: If a sample has fewer than 2 seeds.
    """
    if min(sample.shape[1] for sample in samples) < 2:
        raise ValueError(f"seed_interval: expected at least 2 seeds, got {min(s.shape[1] for s in samples)}.")
    rng = np.random.default_rng(seed)
    estimate = np.asarray(statistic(*samples), dtype=np.float64)
    found = []
    for _ in range(draws):
        drawn = [sample[:, rng.integers(sample.shape[1], size=sample.shape[1])] for sample in samples]
        found.append(np.asarray(statistic(*drawn), dtype=np.float64))
    values = np.array(found)
    count = min(sample.shape[1] for sample in samples)
    stretch = np.sqrt(count / (count - 1)) * few_values_stretch(count, level)
    around = estimate + stretch * (values - values.mean(0))
    low, high = np.quantile(around, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.clip(low, lowest, highest), np.clip(high, lowest, highest)


def seed_error(
    statistic: Callable[..., float], *samples: NDArray[np.float64], seed: int = 0, draws: int = 500
) -> tuple[float, float]:
    """Give the standard error of a statistic of several samples of scores, and its degrees of freedom.

    For Student's intervals, where `seed_interval` would be too narrow: with few seeds, or of samples of unlike sizes.
    The seeds of each sample are drawn anew while the others stay; the variances, each times n / (n - 1) for its n
    seeds, are summed, and the degrees of freedom are those of Welch and Satterthwaite, (sum v)^2 / sum(v^2 / (n - 1)).

    Args:
        statistic: Called with the samples; a number.
        samples: (architectures, seeds) each. Seeds of different samples are drawn on their own.
        seed: Of the resampling.
        draws: Resamples of every sample.

    Returns:
        The standard error; the degrees of freedom, of no meaning where it is 0.

    Raises:
        ValueError: If a sample has fewer than 2 seeds.
    """
    counts = np.array([sample.shape[1] for sample in samples])
    if counts.min() < 2:
        raise ValueError(f"seed_error: expected at least 2 seeds, got {counts.min()}.")
    rng = np.random.default_rng(seed)
    parts = []
    for place, (sample, count) in enumerate(zip(samples, counts, strict=True)):
        drawn = (sample[:, rng.integers(count, size=count)] for _ in range(draws))
        parts.append(np.var([statistic(*samples[:place], one, *samples[place + 1 :]) for one in drawn]))
    variances = np.array(parts) * counts / (counts - 1)
    whole = float(variances.sum())
    return whole**0.5, whole**2 / float((variances**2 / (counts - 1)).sum()) if whole else float(counts.min() - 1)


def layout(scores: ArrayLike) -> NDArray[np.float64]:
    """Check a two-way layout."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        raise ValueError(f"scores: expected at least 2 architectures and 2 seeds, got shape {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError("scores: expected finite numbers.")
    return values
