"""What a shortlist is worth: planted guesses and truths, and how often intervals of few searches and seeds miss."""

from functools import partial
from itertools import product

import numpy as np
import pytest

from archgym.study import shortlist
from archgym.table_describe.stats import random_regret, seed_error

RNG = np.random.default_rng(11)


def test_one_half_chooses_and_the_other_judges_and_then_they_change_places() -> None:
    guess = np.array([[-1.0, -3.0], [-0.0, -2.0], [-2.0, -0.0], [-3.0, -1.0]])  # two searches of four architectures
    first = np.array([[0.9], [0.1], [0.5], [0.2]])
    second = np.array([[0.3, 0.5], [1.0, 1.0], [0.6, 0.6], [0.7, 0.7]])
    # of 1 and 0: the first half chooses 0, worth 0.4 on the second; the second chooses 1, worth 0.1 on the first
    # of 2 and 3: 2, worth 0.6; and 3, worth 0.2
    assert shortlist.best_of(guess, first, second, 2) == pytest.approx([(0.4 + 0.1) / 2, (0.6 + 0.2) / 2])
    assert shortlist.best_of(guess, second, first, 2) == pytest.approx([0.25, 0.4])
    assert shortlist.best_of(guess, first, second, 1) == pytest.approx([(1.0 + 0.1) / 2, (0.6 + 0.5) / 2])
    assert shortlist.judged(first, second) == pytest.approx([0.65, 0.55, 0.55, 0.45])


def test_halves_count_alike_whatever_their_seeds() -> None:
    assert shortlist.judged(np.array([[0.0]]), np.array([[1.0, 1.0, 1.0]])) == pytest.approx([0.5])


def test_who_ranks_by_the_truth_has_no_regret_and_drawn_sets_have_the_expected_one() -> None:
    truth = RNG.random((9, 2))
    means = truth.mean(1)
    pool = np.arange(9)
    assert shortlist.best_of(means[:, None], truth, truth, 3) == pytest.approx(means.max())
    every = np.array(list(product(range(9), repeat=2)))
    pairs = every[every[:, 0] != every[:, 1]]
    assert shortlist.best_of_sets(pairs, truth, truth) == pytest.approx([means[pair].max() for pair in pairs])
    samples = (means[:, None], truth, truth)
    assert shortlist.regret(*samples, pool, count=3) == 0.0
    assert shortlist.regret_saved(*samples, pool, count=3) == pytest.approx(random_regret(means, 3))
    assert shortlist.tau(*samples, pool) == pytest.approx(1)
    assert shortlist.over_one(*samples, count=3, row=int(means.argmax())) == pytest.approx(0)


def test_drawn_sets_hold_distinct_architectures_and_reach_all() -> None:
    sets = shortlist.drawn_sets(np.random.default_rng(2), 5, 3, 400)
    assert all(len(set(one)) == 3 for one in sets.tolist())
    counts = np.bincount(sets.ravel(), minlength=5)
    assert counts.sum() == 1200
    assert counts.min() > 200


def test_searches_that_are_sets_drawn_at_random_are_no_better_than_these() -> None:
    first, second = RNG.random((9, 3)), RNG.random((9, 3))
    guess = RNG.random((9, 4000))
    sets = shortlist.drawn_sets(np.random.default_rng(3), 9, 3, 4000)
    found = [
        shortlist.over_sets(guess, first, second, np.arange(9), count=3, sets=sets),
        shortlist.regret_saved(guess, first, second, np.arange(9), count=3),
    ]
    assert found == pytest.approx([0, 0], abs=0.02)


# Intervals


def missed(searches: int, seeds: int, level: float, repeats: int = 250) -> float:
    """Simulate how often the interval misses a difference: searches and judging seeds both have noise of their own."""
    rng = np.random.default_rng(8)
    count = 0
    for _ in range(repeats):
        guess = rng.normal(0, 1, (6, searches))
        halves = [rng.normal(0, 1, (6, seeds // 2)) for _ in range(2)]
        half = lambda guess, first, second: guess[0].mean() + (first[0].mean() + second[0].mean()) / 2  # noqa: E731
        own = dict(zip(("error", "freedom"), seed_error(half, guess, *halves, draws=60), strict=True))
        ends = shortlist.between({"value": half(guess, *halves), **own}, level)
        assert ends["low"] is not None
        assert ends["high"] is not None
        count += not ends["low"] <= 0 <= ends["high"]
    return count / repeats


@pytest.mark.parametrize(("searches", "seeds"), [(10, 10), (3, 40), (40, 4)])
def test_an_interval_misses_as_seldom_as_it_says_with_few_searches_or_few_seeds(searches: int, seeds: int) -> None:
    assert missed(searches, seeds, 0.9) == pytest.approx(0.1, abs=0.055)


def test_random_architectures_that_are_a_sample_are_drawn_anew_too() -> None:
    """Without noise of seeds, and with many searches, how the sample was drawn is what is uncertain."""
    rng, repeats, sets = np.random.default_rng(6), 100, shortlist.drawn_sets(RNG, 12, 3, 100)
    statistic, pool = partial(shortlist.over_sets, count=3, sets=sets), np.arange(12)
    values, missed, alone = [], 0, 0
    for _ in range(repeats):
        truth = rng.normal(0, 1, (150, 1)).repeat(2, axis=1)  # twelve were drawn, searches know the others too
        samples = rng.random((150, 30)), truth, truth
        values.append(statistic(*samples, pool))
        for drawn in (True, False):
            error, freedom = (
                seed_error(statistic, *samples, pool[None], draws=40)
                if drawn
                else seed_error(partial(statistic, pool=pool), *samples, draws=40)
            )
            ends = shortlist.between({"value": values[-1], "error": error, "freedom": freedom}, 0.9)
            misses = not ends["low"] <= 0 <= ends["high"]  # type: ignore[operator]
            missed, alone = missed + (misses and drawn), alone + (misses and not drawn)
    assert np.mean(values) == pytest.approx(0, abs=0.1)
    assert missed / repeats == pytest.approx(0.1, abs=0.08)
    assert alone / repeats > 0.25


def test_the_error_is_that_of_the_textbook_where_there_is_one() -> None:
    first, second = RNG.normal(0, 1, (1, 12)), RNG.normal(0, 5, (1, 6))
    error, freedom = seed_error(lambda x, y: float(x.mean() - y.mean()), first, second, draws=4000)
    parts = first.var(ddof=1) / 12, second.var(ddof=1) / 6
    assert error == pytest.approx(sum(parts) ** 0.5, rel=0.05)
    assert freedom == pytest.approx(sum(parts) ** 2 / (parts[0] ** 2 / 11 + parts[1] ** 2 / 5), rel=0.05)


def test_what_never_varies_has_no_error_and_one_seed_none_at_all() -> None:
    same = np.ones((2, 5))
    assert seed_error(lambda x: float(x.mean()), same)[0] == 0.0
    with pytest.raises(ValueError, match="expected at least 2 seeds, got 1"):
        seed_error(lambda x: float(x.mean()), same[:, :1])


def test_luck_is_the_chance_of_as_many_random_sets() -> None:
    sets = np.array([0.0, 1.0])  # a coin
    rng = np.random.default_rng(1)
    assert shortlist.luck(1.0, sets, 6, rng) == pytest.approx(2 / 2**6, rel=0.2)
    assert shortlist.luck(0.0, sets, 6, rng) == pytest.approx(2 / 2**6, rel=0.2)
    assert shortlist.luck(0.5, sets, 6, rng) == 1.0
    assert shortlist.luck(1.0, np.array([0.4, 0.6]), 6, rng) == pytest.approx(2 / 10_001)


def test_a_sample_without_bad_ones_is_luck_where_bad_ones_are_rare() -> None:
    """Student's interval says better: none of the ten met the tenth that is bad."""
    sets = np.repeat([1.0, 0.99, 0.0], [5, 4, 1])
    reached = np.array([1.0, 0.99] * 5)
    low = reached.mean() - 3 * reached.std(ddof=1) / 10**0.5
    assert low > sets.mean()
    assert shortlist.luck(float(reached.mean()), sets, 10, np.random.default_rng(4)) > 0.3
