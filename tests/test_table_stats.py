"""Statistics of recorded tables against brute force, closed forms and planted tables."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats as reference

from archgym.table_describe.stats import (
    kendall,
    kendalls,
    maximum_bias,
    mean_squares,
    random_regret,
    seed_interval,
    seeds_needed,
    spread,
    top_regret,
)


def planted(rng: np.random.Generator, rows: int, seeds: int, own: float, common: float, noise: float) -> np.ndarray:
    """Scores with such standard deviations between architectures, between seeds, and of the rest."""
    return (
        rng.normal(0, own, (rows, 1)) + rng.normal(0, common, (1, seeds)) + rng.normal(0, noise, (rows, seeds))
    )  # fmt: skip


# Spread


def test_planted_variance_components_are_found() -> None:
    rng = np.random.default_rng(0)
    found = [spread(planted(rng, 40, 12, 2.0, 0.5, 1.0)) for _ in range(200)]
    assert np.mean([one.architectures for one in found]) == pytest.approx(4.0, rel=0.05)
    assert np.mean([one.seeds for one in found]) == pytest.approx(0.25, rel=0.15)
    assert np.mean([one.rest for one in found]) == pytest.approx(1.0, rel=0.03)
    assert np.mean([one.repeatability for one in found]) == pytest.approx(4 / 5.25, abs=0.02)


def test_components_are_those_of_the_analysis_of_variance() -> None:
    scores = np.random.default_rng(1).normal(size=(5, 4))
    sums = {"row": 0.0, "column": 0.0, "rest": 0.0}
    for row, column in product(range(5), range(4)):
        a, b = scores[row].mean() - scores.mean(), scores[:, column].mean() - scores.mean()
        sums["row"] += a**2
        sums["column"] += b**2
        sums["rest"] += (scores[row, column] - a - b - scores.mean()) ** 2
    assert mean_squares(scores) == pytest.approx((sums["row"] / 4, sums["column"] / 3, sums["rest"] / 12))


def test_where_only_seeds_differ_nothing_repeats() -> None:
    scores = np.tile(np.arange(6.0), (10, 1))
    found = spread(scores)
    assert found.repeatability == 0
    assert found.seeds == pytest.approx(np.var(np.arange(6.0), ddof=1))
    assert spread(scores.T).repeatability == 1


def test_the_mean_of_several_seeds_repeats_as_spearman_and_brown_say() -> None:
    found = spread(planted(np.random.default_rng(2), 30, 8, 1.0, 0.0, 1.0))
    one = found.repeatability
    assert found.of_mean(1) == pytest.approx(one)
    assert found.of_mean(5) == pytest.approx(5 * one / (1 + 4 * one))


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (5,)])
def test_a_spread_needs_two_architectures_and_two_seeds(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected at least 2 architectures and 2 seeds"):
        spread(np.zeros(shape))


# Ranks


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_kendalls_tau_is_scipys(decimals: int) -> None:
    rng = np.random.default_rng(6)
    for _ in range(20):
        x, y = rng.normal(size=(2, 15)).round(decimals)  # with ties where there are few decimals
        assert kendall(x, y) == pytest.approx(reference.kendalltau(x, y).statistic)


def test_taus_of_columns_are_those_of_every_pair_of_them() -> None:
    rng = np.random.default_rng(12)
    firsts, seconds = rng.normal(size=(15, 3)).round(1), rng.normal(size=(15, 2))
    expected = [[kendall(first, second) for second in seconds.T] for first in firsts.T]
    np.testing.assert_array_equal(kendalls(firsts, seconds), expected)


def test_what_is_constant_ranks_nothing() -> None:
    assert kendall([1, 1, 1], [1, 2, 3]) == 0


def test_the_regret_of_the_first_is_the_distance_to_the_best_of_them() -> None:
    guess, truth = [3, 2, 1, 0], [0.1, 0.7, 0.9, 1.0]
    assert [top_regret(guess, truth, count) for count in (1, 2, 4)] == pytest.approx([0.9, 0.3, 0.0])


@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_a_random_guess_loses_the_mean_over_all_draws(count: int) -> None:
    truth = np.random.default_rng(7).normal(size=6)
    every = [truth.max() - truth[list(own)].max() for own in combinations(range(6), count)]
    assert random_regret(truth, count) == pytest.approx(np.mean(every))


# Power


@pytest.mark.parametrize("effect", [0.3, 0.5, 1.0, 1.6, 2.0, 3.0, 4.0])
def test_so_many_seeds_have_the_power_and_one_less_has_not(effect: float) -> None:
    def power(seeds: int) -> float:
        freedom, centre = 2 * (seeds - 1), effect * np.sqrt(seeds / 2)
        edge = reference.t.ppf(0.975, freedom)
        return float(reference.nct.sf(edge, freedom, centre) + reference.nct.cdf(-edge, freedom, centre))

    exact = next(seeds for seeds in range(2, 1000) if power(seeds) >= 0.8)
    assert seeds_needed(effect, (1.0, 1.0)) == exact


def test_no_difference_needs_more_seeds_than_there_are() -> None:
    assert seeds_needed(0.0, (1.0, 1.0)) == float("inf")
    assert seeds_needed(1e-4, (1.0, 1.0)) == float("inf")


def test_the_scale_of_the_scores_does_not_matter() -> None:
    assert seeds_needed(0.3, (0.1, 0.2)) == seeds_needed(30, (1000, 2000))


# Intervals


def test_intervals_over_seeds_cover_a_planted_repeatability() -> None:
    rng, hits = np.random.default_rng(8), 0
    effects = rng.normal(0, 1, (27, 1))  # the architectures stay: seeds are what is drawn anew
    truth = effects.var(ddof=1) / (effects.var(ddof=1) + 1)
    for trial in range(60):
        scores = effects + rng.normal(0, 1, (27, 10))
        low, high = seed_interval(lambda own: spread(own).repeatability, scores, seed=trial, draws=200)
        hits += bool(low <= truth <= high)
    assert hits >= 55  # 57 are expected


def test_an_interval_of_a_mean_is_as_wide_as_students() -> None:
    rng = np.random.default_rng(9)
    scores = rng.normal(0, 1, (1, 6))
    low, high = seed_interval(lambda own: own.mean(), scores, draws=4000)
    half = reference.t.ppf(0.975, 5) * scores.std(ddof=1) / np.sqrt(6)
    assert (high - low) / 2 == pytest.approx(half, rel=0.05)
    assert (high + low) / 2 == pytest.approx(scores.mean(), abs=0.06)


@pytest.mark.parametrize(
    ("draw", "seeds", "documented"),
    [("normal", 3, 0.948), ("normal", 5, 0.948), ("normal", 10, 0.946), ("exponential", 5, 0.870),
     ("lognormal", 5, 0.821)],
)  # fmt: skip
def test_an_interval_of_a_mean_covers_it_as_often_as_documented(draw: str, seeds: int, documented: float) -> None:
    rng = np.random.default_rng(seeds)
    truth = {"normal": 0.0, "exponential": 1.0, "lognormal": np.exp(0.5)}[draw]
    samples = {"normal": rng.normal, "exponential": rng.exponential, "lognormal": rng.lognormal}[draw]
    low, high = seed_interval(lambda own: own.mean(1), samples(size=(3000, seeds)))  # of every row
    covered = ((low <= truth) & (truth <= high)).mean()
    assert covered == pytest.approx(documented, abs=0.02)


# The best of many


def test_the_bias_of_a_maximum_is_found_where_all_are_alike_and_none_where_one_stands_out() -> None:
    rng, seeds = np.random.default_rng(20), 5
    alike = [rng.normal(0, 1, (9, seeds)) for _ in range(200)]
    true = float(np.mean([one.mean(1).max() for one in alike]))  # the truth is 0 for all
    found = float(np.mean([maximum_bias(one, 300) for one in alike]))
    assert found == pytest.approx(0.4 * true, rel=0.1)  # documented: too small where all are alike
    apart = np.zeros((9, seeds))
    apart[3] = 100 + rng.normal(size=seeds)
    assert maximum_bias(apart) == pytest.approx(0, abs=0.05)
    assert maximum_bias(alike[0]) == maximum_bias(alike[0])


def test_all_architectures_keep_the_seeds_that_are_drawn() -> None:
    scores = np.tile(np.arange(5.0), (3, 1))
    low, high = seed_interval(lambda own: own[0].mean() - own[2].mean(), scores, draws=100)
    assert low == high == 0


def test_samples_are_drawn_on_their_own() -> None:
    scores = np.random.default_rng(10).normal(size=(1, 6))
    low, high = seed_interval(lambda own, other: own.mean() - other.mean(), scores, scores, draws=200)
    assert high - low > 0.5


def test_ends_stay_in_range_and_repeat() -> None:
    scores = np.random.default_rng(11).normal(size=(4, 3))
    ends = [
        seed_interval(lambda own: own.mean(1), scores, draws=50, seed=3, lowest=-0.1, highest=0.1) for _ in range(2)
    ]
    np.testing.assert_array_equal(ends[0], ends[1])
    assert ends[0][0].min() >= -0.1
    assert ends[0][1].max() <= 0.1


def test_one_seed_gives_no_interval() -> None:
    with pytest.raises(ValueError, match="expected at least 2 seeds, got 1"):
        seed_interval(lambda own: own.mean(), np.zeros((3, 1)))
