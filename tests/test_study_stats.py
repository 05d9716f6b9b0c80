"""What a study measures, and how it answers: on planted curves and differences whose answers are known."""

import numpy as np
import pytest

from archgym.stats import mean_interval
from archgym.study import stats

RNG = np.random.default_rng(0)
FOUR = stats.together(4)


def row(first: object, second: object, *, higher: bool = True, level: float = FOUR) -> str:
    found = stats.paired(first, second, level)  # type: ignore[arg-type]
    return str(stats.compared("a", "b", found, higher=higher)["verdict"])


# Measures


def test_the_last_fifth_is_one_window_at_least() -> None:
    assert stats.last_fifth(np.arange(10.0)) == 8.5
    assert stats.last_fifth([3.0, 5.0]) == 5.0


def test_a_threshold_is_reached_by_two_successive_windows_and_not_by_one() -> None:
    assert stats.windows_to([0.1, 0.9, 0.2, 0.9, 0.95, 0.0], 0.9) == 4
    assert stats.windows_to([0.95, 0.9, 0.0], 0.9) == 1
    assert stats.windows_to([0.1, 0.9, 0.2, 0.9], 0.9) is None
    assert stats.windows_to([0.95], 0.9) is None


def test_the_late_spread_knows_nothing_of_the_first_half() -> None:
    late = np.array([1.0, 3.0, 1.0, 3.0])
    assert stats.late_spread([0.0, 9.0, -5.0, 7.0, *late]) == stats.late_spread([0.0] * 4 + [*late]) > 0
    assert stats.late_spread([1.0]) == 0.0


def test_what_is_still_being_learned_is_no_spread() -> None:
    rising, noise = np.linspace(0, 5, 40), RNG.normal(0, 0.3, 40)
    assert stats.late_spread(rising) == pytest.approx(0, abs=1e-12)
    assert stats.late_spread(rising + noise) == pytest.approx(stats.late_spread(noise))
    assert stats.late_spread(noise) == pytest.approx(0.3, rel=0.4)


def test_the_worst_drop_is_one_at_a_switch() -> None:
    curve = [1.0, 0.2, 0.8, 0.5]
    assert stats.worst_drop(curve, [0, 0, 0, 1]) == pytest.approx(0.3)
    assert stats.worst_drop(curve, [0, 1, 1, 0]) == pytest.approx(0.8)
    assert stats.worst_drop(curve, [0, 0, 1, 0]) == 0.0
    assert stats.worst_drop(curve, [1, 0, 0, 0]) == 0.0


def test_lost_is_the_share_of_the_run_after_one_that_stayed_had_come_as_far() -> None:
    stayed, steps = [0.0, 0.3, 0.2, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9], [10.0] * 10
    assert stats.lost_share([0.0] * 8 + [0.4, 0.6], stayed, steps) == pytest.approx(0.6), "0.5, after 4 of 10"
    assert stats.lost_share([0.9] * 8 + [0.2, 0.2], stayed, steps) == pytest.approx(0.8), "its end alone counts"
    assert stats.lost_share([0.0] * 8 + [1.0, 1.0], stayed, steps) == 0.0, "it came further than who stayed"
    assert stats.lost_share(stayed, stayed, [10.0] * 7 + [130.0, 10.0, 10.0]) == pytest.approx(20 / 220), "steps"


# Answers


def test_a_difference_that_is_there_is_found_and_none_that_is_not() -> None:
    noise, other = RNG.normal(0, 0.1, (2, 10))
    assert row(noise + 0.5, noise) == "better"
    assert row(noise, noise + 0.5) == "worse"
    assert row(noise, other) == "undecided"


def test_where_lower_is_better_the_verdicts_are_turned() -> None:
    noise = RNG.normal(0, 0.1, 10)
    assert row(noise - 0.5, noise, higher=False) == "better"
    assert row(noise + 0.5, noise, higher=False) == "worse"


def test_the_interval_is_of_the_differences_seed_by_seed() -> None:
    """What the seeds have in common is in neither arm's favour, however large it is."""
    common, small = RNG.normal(0, 100, 12), RNG.normal(0, 0.1, 12)
    found = stats.paired(common + small + 1, common, 0.95)
    assert found["value"] == pytest.approx(small.mean() + 1)
    low, high = mean_interval(small + 1)
    assert found["low"] == pytest.approx(low)
    assert found["high"] == pytest.approx(high)


def test_intervals_are_students_at_the_level_that_is_asked_for() -> None:
    values = np.arange(10.0)
    half = 3.1109 * values.std(ddof=1) / 10**0.5  # two-sided t of 9 degrees of freedom at 98.75 %
    found = stats.paired(values, np.zeros(10), FOUR)
    assert found["high"] == pytest.approx(4.5 + half, abs=1e-3)
    assert found["low"] == pytest.approx(4.5 - half, abs=1e-3)


@pytest.mark.parametrize(("seeds", "level", "enough"), [(1, 0.5, False), (5, 0.95, False), (6, 0.95, True)])
def test_too_few_seeds_decide_nothing_whatever_they_show(seeds: int, level: float, enough: bool) -> None:
    assert stats.decides(seeds, level) == enough
    assert (row(np.ones(seeds), np.zeros(seeds), level=level) == "better") == enough


def test_a_withheld_interval_says_how_few_seeds_there_are() -> None:
    assert stats.paired([1.0], [0.0], 0.95)["few"] == "1 seed"
    assert stats.paired([1.0, 2.0, 3.0], [0.0] * 3, 0.95)["few"] == "3 seeds"
    assert "few" not in stats.paired(np.arange(9.0), np.zeros(9), 0.95)


def test_intervals_hold_together_with_95_percent() -> None:
    assert stats.together(1) == 0.95
    assert 4 * (1 - stats.together(4)) == pytest.approx(0.05)


def test_where_there_is_no_difference_one_claim_of_twenty_at_most_is_decided_by_four_normal_comparisons() -> None:
    """Bonferroni's bound; simulated 4.6 %, since the four share an arm. A `yes` takes four errors at once."""
    rng, wrong, yes = np.random.default_rng(1), 0, 0
    for _ in range(1500):
        arms = rng.normal(0, 1, (5, 10))
        rows = [stats.compared("a", "b", stats.paired(arms[0], one, FOUR)) for one in arms[1:]]
        wrong += any(one["verdict"] != "undecided" for one in rows)
        yes += stats.answer(rows) == "yes"
    assert yes <= 1
    assert 0.03 < wrong / 1500 < 0.06


@pytest.mark.parametrize(
    ("verdicts", "answer"),
    [
        (("better", "better"), "yes"),
        (("better", "undecided"), "undecided"),
        (("undecided", "undecided"), "undecided"),
        (("better", "worse"), "no"),
        ((), "undecided"),
    ],
)
def test_yes_takes_all_comparisons_and_no_takes_one(verdicts: tuple[str, ...], answer: str) -> None:
    assert stats.answer([{"verdict": one} for one in verdicts]) == answer


def test_negligible_is_less_than_a_bound_and_not_the_opposite_of_significant() -> None:
    small = stats.paired(np.full(10, 0.004) + RNG.normal(0, 1e-4, 10), np.zeros(10), 0.95)
    assert small["low"] is not None
    assert small["low"] > 0
    assert stats.compared("a", "b", small, higher=False, than=0.01)["verdict"] == "better"
    large = stats.paired(np.full(10, 0.04), np.zeros(10), 0.95)
    assert stats.compared("a", "b", large, higher=False, than=0.01)["verdict"] == "worse"


def test_the_middle_of_three_is_taken_seed_by_seed() -> None:
    assert stats.middle([[1.0, 9.0], [2.0, 1.0], [3.0, 5.0]]).tolist() == [2.0, 5.0]


@pytest.mark.parametrize("answers", [1, 5, 10, 25])
def test_the_fewest_seeds_that_decide_are_just_enough(answers: int) -> None:
    level = stats.together(answers)
    enough = stats.fewest(level)
    assert stats.decides(enough, level)
    assert not stats.decides(enough - 1, level)
