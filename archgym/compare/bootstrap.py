"""Intervals of a comparison on recorded tables: they draw repeats anew, and the seeds of the table too.

Two hundred searches on one table are not two hundred pieces of evidence: all of them met the same few learning curves,
and are judged on the same few. So the searches are dealt out to worlds: tables with the same architectures whose search
seeds were drawn anew, with replacement. What the arms reach differs from world to world by as much as it would on
another table of as many seeds. A resample picks one world, draws a share of the searches from it and the rest from all;
the share makes the spread of the resampled means as large as that of the worlds, less what single searches explain
(two-level resampling with shrinkage as in Davison and Hinkley 1997, "Bootstrap Methods and their Application", section
3.8). Test seeds, on which recommendations are judged, are drawn anew as well; and since few seeds tell how much seeds
matter, intervals are stretched around their estimate as Student's are (`stats.few_values_stretch`).

Five simulated tables, three of them with the means and spreads of the shipped ones, 5 search and 5 test seeds, 200
searches of the best of nine rows, 20 worlds; 400 trials each. Intervals made for 95 % cover the mean score of what is
recommended in 84 to 99 % of the trials (like Acrobot-v1: 84, the others: 96 or more), the mean over a lifetime in 87 to
98 %, the probability of improvement in 98 % or more, and regrets, less the bias of the best
(`archgym.table_describe.stats.maximum_bias`), in 95 to 99 %. That bias is estimated well where noise is small beside
the spread of the architectures: on a table like that of CartPole-v1 a mean regret of 0.083 became 0.065, and the truth
is 0.068. Where noise swamps the spread, 0.484 became 0.380 instead of 0.331. tests/test_compare_bootstrap.py repeats
two of these.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from archgym.compare.stats import holm
from archgym.stats import few_values_stretch

LEVEL = 0.95
Scores = NDArray[np.floating[Any]]


class Resamples:
    """The draws of one task: which searches, from which world, and which test seeds; the same for all arms.

    Args:
        worlds: World of every search, (searches,); two searches or more in each, and two worlds or more.
        search_seeds: Of the table, which worlds draw from.
        test_seeds: Of the table.
        draws: Resamples.
        rng: Draws them.
    """

    def __init__(
        self, worlds: ArrayLike, search_seeds: int, test_seeds: int, draws: int, rng: np.random.Generator
    ) -> None:
        self.worlds, self.search_seeds = np.asarray(worlds), search_seeds
        kinds, counts = np.unique(self.worlds, return_counts=True)
        if len(kinds) < 2 or counts.min() < 2 or min(search_seeds, test_seeds) < 2:
            raise ValueError(
                f"Resamples: expected at least 2 worlds of 2 searches and 2 seeds for search and test each, got "
                f"{len(kinds)} worlds of {counts.min()}, and {search_seeds} and {test_seeds} seeds."
            )
        searches = len(self.worlds)
        self.anyone = rng.integers(searches, size=(draws, searches))
        members = [np.flatnonzero(self.worlds == kind) for kind in kinds]
        picked = rng.integers(len(kinds), size=draws)
        self.within = np.stack([members[world][rng.integers(counts[world], size=searches)] for world in picked])
        self.chance = rng.random((draws, searches))
        drawn = rng.integers(test_seeds, size=(draws, test_seeds))
        self.tests = np.stack([np.bincount(row, minlength=test_seeds) for row in drawn]) / test_seeds  # weights

    def searches(self, scores: Scores) -> NDArray[np.int64]:
        """Pick searches for an arm with such scores (searches,) in its worlds: (draws, searches)."""
        share = self.share(scores)
        return np.where(self.chance < share, self.within, self.anyone)

    def share(self, scores: Scores) -> float:
        """Tell which share of a resample comes from one world, from 0 to 1, by the scores (searches,).

        The squared share times the variance between the worlds' means is the variance that the worlds explain: that
        between their means less what it would be for worlds that do not differ. It is stretched for the number of
        search seeds, n / (n - 1), for resampled seeds repeat.
        """
        groups = [scores[self.worlds == kind] for kind in np.unique(self.worlds)]
        between = float(np.var([group.mean() for group in groups], ddof=1))
        within = float(np.mean([group.var(ddof=1) / len(group) for group in groups]))
        if between <= within:
            return 0.0
        return min(1.0, float(np.sqrt((1 - within / between) * self.search_seeds / (self.search_seeds - 1))))

    def truth(self, scores: Scores) -> Scores:
        """Average scores (architectures, test seeds) over resampled seeds, (draws, architectures).

        Deviations from the plain mean are stretched by sqrt(n / (n - 1)) for n test seeds.
        """
        plain, seeds = scores.mean(1), scores.shape[1]
        return np.asarray(plain + np.sqrt(seeds / (seeds - 1)) * (self.tests @ scores.T - plain))


def iqms(scores: Scores) -> Scores:
    """Give interquartile means along the last axis (`archgym.compare.stats.iqm`)."""
    ordered = np.sort(scores, axis=-1)
    cut = ordered.shape[-1] // 4
    return np.asarray(ordered[..., cut : ordered.shape[-1] - cut].mean(-1))


def improvements(scores: Scores) -> Scores:
    """Give the probability of improvement of every arm over every other, all pairs of searches.

    Args:
        scores: (arms, searches).

    Returns:
        (arms, arms): the row's arm is higher, ties count half (`archgym.compare.stats.probability_of_improvement`).
    """
    arms, searches = scores.shape
    kinds, codes = np.unique(scores, return_inverse=True)
    places = codes.reshape(scores.shape) + np.arange(arms)[:, None] * len(kinds)
    counts = np.bincount(places.ravel(), minlength=arms * len(kinds)).reshape(arms, -1).astype(np.float64)
    below = np.cumsum(counts, axis=1) - counts / 2
    return np.asarray(counts @ below.T / searches**2)


def stretched(estimate: ArrayLike, values: Scores, seeds: int) -> Scores:
    """Move resampled values (draws, ...) away from their estimate, as far as so few seeds ask for."""
    middle = np.asarray(estimate, dtype=np.float64)
    return np.asarray(middle + few_values_stretch(seeds, LEVEL) * (values - middle))


def ends(
    estimate: ArrayLike, values: Scores, seeds: int, lowest: float = -np.inf, highest: float = np.inf
) -> tuple[Scores, Scores]:
    """Give the ends of percentile intervals of resampled values, stretched for few seeds.

    Args:
        estimate: What was resampled, (...).
        values: (draws, ...).
        seeds: Of the table, that searches see or that judge, whichever are fewer.
        lowest: Ends are cut off here.
        highest: And here.
    """
    moved = stretched(estimate, values, seeds)
    low, high = np.quantile(moved, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return np.clip(low, lowest, highest), np.clip(high, lowest, highest)


def around(estimate: ArrayLike, values: Scores, seeds: int, lowest: float = -np.inf) -> tuple[Scores, Scores]:
    """Give the `ends` of intervals with the spread of resampled values (draws, ...) around an estimate.

    For what resampling moves to one side, as it does the distance to the best of many.
    """
    return ends(estimate, values - values.mean(0) + estimate, seeds, lowest)


def improvement_pairs(
    names: Sequence[str], scores: Sequence[Scores], resampled: Sequence[Scores], seeds: int
) -> list[dict[str, Any]]:
    """Compare every pair of arms.

    Args:
        names: Of the arms.
        scores: By task, (arms, searches).
        resampled: By task, (draws, arms, searches).
        seeds: Of the table, as in `ends`.

    Returns:
        As on all boards: `first`, `second`, `improvement`, `low`, `high`, `p` (two-sided, from the share of stretched
        resamples on the other side of 1/2: below 0.05 where the interval leaves 1/2 out, but with the tails of the
        normal far below that), `holm`.
    """
    observed = np.mean([improvements(own) for own in scores], axis=0)
    drawn = np.mean([[improvements(one) for one in own] for own in resampled], axis=0)  # (draws, arms, arms)
    low, high = ends(observed, drawn, seeds, 0.0, 1.0)
    drawn = stretched(observed, drawn, seeds)
    rows: list[dict[str, Any]] = []
    for first, second in combinations(range(len(names)), 2):
        own = drawn[:, first, second]
        aside = min(int((own <= 0.5).sum()), int((own >= 0.5).sum()))
        rows.append(
            {
                "first": names[first],
                "second": names[second],
                "improvement": float(observed[first, second]),
                "low": float(low[first, second]),
                "high": float(high[first, second]),
                "p": min(1.0, 2 * (1 + aside) / (1 + len(own))),
            }
        )
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]) if rows else [], strict=True):
        row["holm"] = float(adjusted)
    return rows


def ranks(regrets: Scores) -> Scores:
    """Rank arms by their regrets along the last axis, 1 the lowest; equals share the mean of their ranks."""
    lower = (regrets[..., :, None] > regrets[..., None, :]).sum(-1)
    equal = (regrets[..., :, None] == regrets[..., None, :]).sum(-1)
    return np.asarray(lower + (equal + 1) / 2)
