"""Intervals of comparisons on recorded tables: what they must be on planted worlds, and against plain definitions."""

import numpy as np
import pytest

from archgym.compare.bootstrap import Resamples, around, ends, improvement_pairs, improvements, iqms, ranks
from archgym.compare.stats import iqm, probability_of_improvement
from archgym.table_describe.stats import maximum_bias

WORLDS = np.arange(200) % 20


def resamples(
    draws: int = 500, worlds: np.ndarray = WORLDS, seeds: tuple[int, int] = (5, 5), seed: int = 0
) -> Resamples:
    return Resamples(worlds, *seeds, draws, np.random.default_rng(seed))


def planted(rng: np.random.Generator, between: float, within: float) -> np.ndarray:
    """Scores of searches whose worlds differ by a standard deviation, and that differ within a world by another."""
    return np.asarray(rng.normal(0, between, 20)[WORLDS] + rng.normal(0, within, 200))


def test_resampled_means_spread_as_worlds_and_searches_do() -> None:
    rng, ratios = np.random.default_rng(0), []
    for trial in range(40):
        scores = planted(rng, 1.0, 2.0)
        own = resamples(seed=trial)
        drawn = scores[own.searches(scores)].mean(1).var()
        between = np.var([scores[world == WORLDS].mean() for world in range(20)], ddof=1)
        worlds = between - 4.0 / 10  # less what ten searches of a world leave
        ratios.append(drawn / (worlds * 5 / 4 + scores.var() / 200))  # 5 / 4: five resampled seeds
    assert np.median(ratios) == pytest.approx(1, abs=0.15)


def test_worlds_that_do_not_differ_leave_the_plain_bootstrap() -> None:
    rng = np.random.default_rng(1)
    shares = [resamples(10).share(planted(rng, 0.0, 1.0)) for _ in range(100)]
    assert np.mean(np.array(shares) == 0) > 0.4  # chance makes half of them differ by a little more, or less
    assert np.mean(shares) < 0.35
    flat = np.tile(np.arange(10.0), 20)[np.argsort(WORLDS, kind="stable").argsort()]  # each world the same
    assert resamples().share(flat) == 0
    drawn = flat[resamples(4000).searches(flat)].mean(1)
    assert drawn.std() == pytest.approx(flat.std() / np.sqrt(200), rel=0.1)


def test_worlds_that_alone_decide_are_drawn_whole() -> None:
    scores = WORLDS.astype(float)
    own = resamples()
    assert own.share(scores) == 1
    assert all(len(set(WORLDS[row].tolist())) == 1 for row in own.searches(scores))


def test_all_arms_meet_the_same_worlds_and_searches() -> None:
    own, scores = resamples(), planted(np.random.default_rng(2), 1.0, 1.0)
    np.testing.assert_array_equal(own.searches(scores), own.searches(scores.copy()))
    better = scores[own.searches(scores)] + 1  # a constant advantage is no uncertainty
    assert np.ptp(better.mean(1) - scores[own.searches(scores)].mean(1)) < 1e-12


def test_resampled_truth_spreads_as_the_standard_error_of_the_test_seeds() -> None:
    truth = np.random.default_rng(3).normal(size=(4, 5))
    drawn = resamples(20_000).truth(truth)
    assert drawn.shape == (20_000, 4)
    np.testing.assert_allclose(drawn.mean(0), truth.mean(1), atol=0.02)
    np.testing.assert_allclose(drawn.std(0), truth.std(1, ddof=1) / np.sqrt(5), rtol=0.03)


def test_architectures_share_the_test_seeds_that_are_drawn() -> None:
    seeds = np.random.default_rng(4).normal(size=5)
    drawn = resamples().truth(np.stack([seeds, seeds + 1]))
    np.testing.assert_allclose(drawn[:, 1] - drawn[:, 0], 1)


@pytest.mark.parametrize(
    ("worlds", "seeds"), [([0, 0, 0, 0], (5, 5)), ([0, 0, 1], (5, 5)), ([0, 0, 1, 1], (1, 5)), ([0, 0, 1, 1], (5, 1))]
)
def test_too_little_to_resample_is_refused(worlds: list[int], seeds: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected at least 2 worlds of 2 searches and 2 seeds"):
        resamples(worlds=np.array(worlds), seeds=seeds)


@pytest.mark.parametrize("size", [2, 5, 8, 33])
def test_interquartile_means_are_those_of_all_boards(size: int) -> None:
    scores = np.random.default_rng(5).normal(size=(7, size))
    np.testing.assert_allclose(iqms(scores), [iqm(own) for own in scores])


@pytest.mark.parametrize("decimals", [0, 8])
def test_improvements_are_those_of_all_boards(decimals: int) -> None:
    scores = np.random.default_rng(6).normal(size=(4, 30)).round(decimals)  # with ties where there are few decimals
    found = improvements(scores)
    for first, x in enumerate(scores):
        for second, y in enumerate(scores):
            assert found[first, second] == pytest.approx(probability_of_improvement(x, y))


def test_pairs_are_decided_by_where_the_resamples_lie() -> None:
    rng = np.random.default_rng(7)
    low, high, same = rng.normal(0, 1, 200), rng.normal(3, 1, 200), np.zeros(200)
    scores = np.stack([low, high, same, same])
    own = resamples(300)
    drawn = np.stack([one[own.searches(one)] for one in scores], axis=1)
    rows = {(row["first"], row["second"]): row for row in improvement_pairs(list("lhst"), [scores], [drawn], 5)}
    assert len(rows) == 6
    assert rows["l", "h"]["p"] == pytest.approx(2 / 301)  # no resample on the other side
    assert rows["l", "h"]["holm"] == pytest.approx(6 * 2 / 301)
    assert rows["l", "h"]["high"] < 0.1
    assert (rows["s", "t"]["improvement"], rows["s", "t"]["p"], rows["s", "t"]["holm"]) == (0.5, 1, 1)


def test_tasks_count_alike_in_pairs() -> None:
    better, worse = np.array([[1.0, 1], [0, 0]]), np.array([[0.0, 0], [1, 1]])
    drawn = [np.tile(own, (50, 1, 1)) for own in (better, worse)]
    (row,) = improvement_pairs(["a", "b"], [better, worse], drawn, 5)
    assert (row["improvement"], row["low"], row["high"], row["p"]) == (0.5, 0.5, 0.5, 1)


def test_the_lowest_regret_has_rank_one_and_equals_share() -> None:
    assert ranks(np.array([0.3, 0.1, 0.3, 0.0])).tolist() == [3.5, 2, 3.5, 1]
    assert ranks(np.zeros((2, 3))).tolist() == [[2, 2, 2]] * 2


def test_intervals_around_an_estimate_forget_where_resampling_moved_it() -> None:
    values = np.random.default_rng(8).normal(5, 1, (20_000, 1))
    student = 2.776  # 97.5 % of Student's t with 4 degrees of freedom
    low, high = around([0.5], values, 5, 0.0)
    assert low.tolist() == [0]
    assert high == pytest.approx(0.5 + student, abs=0.08)
    np.testing.assert_allclose(ends([5.0], values, 5), [[5 - student], [5 + student]], atol=0.08)
    assert ends([5.0], values, 5, highest=6.0)[1].tolist() == [6]


def test_an_interval_leaves_one_half_out_where_p_is_below_five_percent() -> None:
    rng, own = np.random.default_rng(10), resamples(400)
    seen = set()
    for shift in np.linspace(0, 4, 16):
        scores = np.stack([rng.normal(0, 1, 20)[WORLDS], shift + rng.normal(0, 1, 20)[WORLDS]])
        drawn = np.stack([one[own.searches(one)] for one in scores], axis=1)
        (row,) = improvement_pairs(["a", "b"], [scores], [drawn], 5)
        if abs(row["p"] - 0.05) > 0.02:
            assert (row["p"] < 0.05) == (row["high"] < 0.5 or row["low"] > 0.5)
            seen.add(row["p"] < 0.05)
    assert seen == {True, False}


@pytest.mark.parametrize(("means", "noise"), [(np.linspace(-1, 1, 27), 0.5), (np.linspace(0.3, 0.9, 27), 0.1)])
def test_intervals_cover_what_an_agent_reaches_on_tables_of_other_seeds(means: np.ndarray, noise: float) -> None:
    """The best of nine rows by one learning curve each, judged on test seeds; searches alone would promise too much."""
    rng, rows, trials = np.random.default_rng(9), 27, 100

    def searches(curves: np.ndarray, count: int) -> np.ndarray:
        drawn = rng.random((count, rows)).argsort(1)[:, :9]
        met = curves[drawn, rng.integers(curves.shape[1], size=drawn.shape)]
        return drawn[np.arange(count), met.argmax(1)]

    def table() -> np.ndarray:
        return np.asarray(means[:, None] + rng.normal(0, noise, (rows, 5)))

    truth = np.mean([means[searches(table(), 10)].mean() for _ in range(1000)])
    hits, alone, regrets = 0, 0, np.zeros((trials, 2))
    for trial in range(trials):
        search, test, own = table(), table(), resamples(200, seed=trial)
        found = np.zeros(200, dtype=np.int64)
        for world in range(20):
            found[world == WORLDS] = searches(search[:, rng.integers(5, size=5)], 10)
        scores, drawn = test.mean(1)[found], own.truth(test)
        picked = found[own.searches(scores)]
        low, high = ends(scores.mean(), np.take_along_axis(drawn, picked, axis=1).mean(1), 5)
        hits += bool(low <= truth <= high)
        alone += bool(abs(scores.mean() - truth) <= 1.96 * scores.std() / np.sqrt(200))
        plain = test.mean(1).max() - scores.mean()
        less = max(0.0, plain - maximum_bias(test, 400))
        lost = np.take_along_axis(drawn.max(1, keepdims=True) - drawn, picked, axis=1).mean(1)
        low, high = around(less, lost, 5, 0.0)
        regrets[trial] = less - plain, low <= means.max() - truth <= high
    assert hits >= 95
    assert alone <= 65
    assert regrets[:, 1].sum() >= 90
    assert (regrets[:, 0] <= 0).all()
    assert regrets[:, 0].mean() < -0.05 * noise  # the correction is not idle
