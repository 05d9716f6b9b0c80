"""What a shortlist is worth: the K architectures that a search ranks highest, beside K drawn at random.

Searches rank by a proxy, `guess` (architectures, searches). True scores come from training from scratch, on two halves
of the seeds, (architectures, seeds) each: one chooses the best of the K, the other says what it is worth. Then they
change places, and the mean of both counts: every seed judges, and none what it chose.

Intervals are Student's, on what searches and both halves of the seeds make a number vary, each drawn anew on its own
(`archgym.table_describe.stats.seed_error`); so is the pool of random architectures, where it is not the whole space.
Where sets of K are of skewed worth, searches that met none of the bad ones vary too little: a difference from drawn
sets is also asked whether it is luck (`luck`).

Simulated at the default sizes (10 searches, 10 seeds, five claims about one agent, so 99 % each; 250 repeats, on the
scores of two recorded tables whose seeds' deviations are drawn anew), with a proxy that says nothing: any of the five
intervals misses in 4 % of the repeats on CartPole-v1 and in 12 % on Acrobot-v1, whose sets are skewed; any of the five
answers is wrong in 2 % and 3 %. With one that says something (tau 0.3) intervals miss in 3 % and 5 %, and no answer is
wrong. With percentiles of the bootstrap and 5 seeds an interval made for 95 % missed in 14 %.
"""

from collections.abc import Callable
from functools import partial
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.stats import student_t
from archgym.table_describe.stats import NOTHING, kendall, random_regret, seed_error, top_regret

Scores = NDArray[np.float64]
Rows = NDArray[np.int64]  # of a pool of architectures: (n,), or as a sample of which columns are drawn anew (1, n)


def best_of(guess: Scores, first: Scores, second: Scores, count: int) -> Scores:
    """Give the true scores that searches come to: those of the best of the `count` ranked highest.

    Args:
        guess: (architectures, searches), what each search ranks by; of equals the earlier is ranked higher.
        first: (architectures, seeds), scores from scratch on one half of the seeds.
        second: (architectures, seeds), on the other half.
        count: K.

    Returns:
        (searches,).
    """
    ranked = np.argsort(-guess, axis=0, kind="stable")[:count]
    return best_of_sets(ranked.T, first, second)


def best_of_sets(sets: NDArray[np.int64], first: Scores, second: Scores) -> Scores:
    """Give the true scores of the best of some architectures: one half of the seeds chooses it, the other one judges.

    Args:
        sets: (sets, K), rows of the scores.
        first: As in `best_of`.
        second: As in `best_of`.

    Returns:
        (sets,), the mean over both parts that a half can play.
    """
    lines, halves = np.arange(len(sets)), (first.mean(1), second.mean(1))
    found = [judge[sets[lines, chooser[sets].argmax(1)]] for chooser, judge in (halves, halves[::-1])]  # two of (sets,)
    return np.asarray(np.mean(found, axis=0))


def drawn_sets(rng: np.random.Generator, population: int, count: int, draws: int) -> NDArray[np.int64]:
    """Draw sets of distinct architectures, (draws, count)."""
    return np.asarray(rng.random((draws, population)).argsort(axis=1)[:, :count])


def judged(first: Scores, second: Scores) -> Scores:
    """Average true scores over both halves, which count alike, (architectures,)."""
    return np.asarray((first.mean(1) + second.mean(1)) / 2)


# Statistics: of a guess and both halves


def score(guess: Scores, first: Scores, second: Scores, *, count: int) -> float:
    """Average what searches come to."""
    return float(best_of(guess, first, second, count).mean())


def over_sets(
    guess: Scores, first: Scores, second: Scores, pool: Rows, *, count: int, sets: NDArray[np.int64]
) -> float:
    """Give what searches come to, less what sets drawn at random from a pool do."""
    return score(guess, first, second, count=count) - _mean_of_sets(first, second, pool, sets)


def over_one(guess: Scores, first: Scores, second: Scores, *, count: int, row: int) -> float:
    """Give what searches come to, less the score of one architecture."""
    return score(guess, first, second, count=count) - float(judged(first, second)[row])


def sets_over_one(first: Scores, second: Scores, pool: Rows, *, sets: NDArray[np.int64], row: int) -> float:
    """Give what sets drawn at random from a pool come to, less the score of one architecture."""
    return _mean_of_sets(first, second, pool, sets) - float(judged(first, second)[row])


def tau(guess: Scores, first: Scores, second: Scores, pool: Rows) -> float:
    """Average Kendall's rank correlation of guesses and true scores, among the rows of a pool."""
    rows = pool.ravel()
    truth = judged(first, second)[rows]
    return float(np.mean([kendall(one, truth) for one in guess[rows].T]))


def regret(guess: Scores, first: Scores, second: Scores, pool: Rows, *, count: int) -> float:
    """Average the distance to the best of the best one among the `count` ranked highest, among the rows of a pool."""
    rows = pool.ravel()
    truth = judged(first, second)[rows]
    return float(np.mean([top_regret(one, truth, count) for one in guess[rows].T]))


def regret_saved(guess: Scores, first: Scores, second: Scores, pool: Rows, *, count: int) -> float:
    """Give that distance for sets drawn at random, less that for the `count` ranked highest."""
    chance = random_regret(judged(first, second)[pool.ravel()], count)
    return chance - regret(guess, first, second, pool, count=count)


def _mean_of_sets(first: Scores, second: Scores, pool: Rows, sets: NDArray[np.int64]) -> float:
    """Average what sets of places in a pool come to."""
    return float(best_of_sets(pool.ravel()[sets], first, second).mean())


# Intervals


def estimate(statistic: Callable[..., float], *samples: NDArray[Any], **fixed: Any) -> dict[str, float]:
    """Give a statistic with its standard error and the degrees of freedom of it.

    Args:
        statistic: One of the above.
        samples: What is drawn anew, column by column: scores, and a pool that is a sample of its space.
        fixed: What is not.
    """
    bound = partial(statistic, **fixed)
    error, freedom = seed_error(bound, *samples)
    return {"value": bound(*samples), "error": error, "freedom": freedom}


def luck(reached: float, sets: Scores, searches: int, rng: np.random.Generator, draws: int = 10_000) -> float:
    """Give the two-sided p value of what searches reach, were they sets drawn at random.

    An exact test but for the draws, where Student's interval is not: few sets of a skewed distribution may hold none of
    its bad ones, and then vary too little.

    Args:
        reached: Mean over the searches.
        sets: What sets drawn at random reach, (sets,).
        searches: How many there were.
        rng: Draws as many sets.
        draws: How often.
    """
    means = sets[rng.integers(len(sets), size=(draws, searches))].mean(1)
    aside = min(int((means >= reached - NOTHING).sum()), int((means <= reached + NOTHING).sum()))
    return min(1.0, 2 * (1 + aside) / (1 + draws))


def between(found: dict[str, float], level: float) -> dict[str, float | None]:
    """Give an estimate with Student's interval at a level; degrees of freedom are rounded down, to 1 at least."""
    half = student_t(max(1, floor(found["freedom"])), level) * found["error"]
    return {"value": found["value"], "low": found["value"] - half, "high": found["value"] + half}
