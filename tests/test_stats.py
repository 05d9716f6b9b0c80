import numpy as np
import pytest
from scipy import stats as reference

from archgym.stats import (
    detrend,
    mean_interval,
    ranking,
    scores,
    shrunken_means,
    student_t,
    switch_rates,
    without_trend,
)


def test_with_many_members_any_trend_is_taken_out_exactly() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(12, 16))
    noise -= noise.mean(1, keepdims=True)
    for trend in (np.zeros(12), np.linspace(0, 5, 12), np.exp(np.arange(12) / 3), rng.normal(size=12)):
        np.testing.assert_allclose(detrend(noise + trend[:, None]), noise, atol=1e-12)


@pytest.mark.parametrize(("members", "reach"), [(1, 4), (2, 2), (3, 1), (4, 1), (7, 1), (8, 0), (16, 0)])
def test_the_trend_is_averaged_over_at_least_eight_rewards(members: int, reach: int) -> None:
    assert members * (2 * reach + 1) >= 8
    impulse = np.zeros((21, members))
    impulse[10] = 1.0
    moved = np.flatnonzero(detrend(impulse)[:, 0] != 0)
    expected = [] if reach == 0 else list(range(10 - reach, 10 + reach + 1))
    assert moved.tolist() == expected
    if reach:
        np.testing.assert_allclose(detrend(impulse)[10], 1 - 1 / (2 * reach + 1))


def test_with_few_members_a_steady_rise_is_taken_out_but_at_the_ends() -> None:
    residual = detrend(np.linspace(0, 2, 24)[:, None] + np.zeros((24, 1)))
    np.testing.assert_allclose(residual[4:-4], 0, atol=1e-12)
    assert (residual[:4] < 0).all()
    assert (residual[-4:] > 0).all()


def test_detrending_needs_no_rewards_and_changes_none() -> None:
    assert detrend(np.zeros((0, 4))).shape == (0, 4)
    rewards = np.arange(6.0).reshape(3, 2)
    detrend(rewards)
    np.testing.assert_array_equal(rewards, np.arange(6.0).reshape(3, 2))


def test_one_reward_has_no_residual() -> None:
    assert detrend([[0.7]]).tolist() == [[0.0]]


def test_shrunken_means_start_with_four_average_rewards() -> None:
    means = shrunken_means(["a", "b", "a", "c", "a", "a"], [1.0, 1.0, 1.0, -2.0, 1.0, 1.0])
    assert means == {"a": 4 / 8, "b": 1 / 5, "c": -2 / 5}
    assert shrunken_means([], []) == {}


def test_shrinkage_minimises_the_error_at_the_noise_it_is_made_for() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 0.5, 4000)  # signal to noise of 0.5
    for visits in (1, 4):
        sample = truth[:, None] + rng.normal(0, 1, (4000, visits))
        keys = np.repeat(np.arange(4000), visits).tolist()
        shrunken = np.array(list(shrunken_means(keys, sample.ravel()).values()))
        error = np.mean((shrunken - truth) ** 2)
        assert error < np.mean((sample.mean(1) - truth) ** 2)
        for other in (0.7, 1.4):
            assert error < np.mean((other * shrunken - truth) ** 2)


def search(quality: np.ndarray, actions: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """Rewards of a search: they rise over the windows, and one visit says little."""
    rng = np.random.default_rng(seed)
    rise = np.linspace(0, 1, len(actions))[:, None]
    values: np.ndarray = quality[actions] + rise + rng.normal(0, noise, actions.shape)
    return values


def test_the_incumbent_is_never_the_luckiest_single_reward() -> None:
    actions, rewards = np.zeros((20, 8, 1), dtype=int), np.full((20, 8), 0.5)
    actions[:, :4], rewards[:, :4] = 1, 0.8  # architecture 1 is better by 0.3, and seen 80 times
    actions[7, 3], rewards[7, 3] = 2, 1.2  # one visit, and the highest reward of all
    assert ranking(actions, rewards) == [(1,), (2,), (0,)]


def test_late_visits_are_not_better_for_being_late() -> None:
    actions = np.zeros((24, 16), dtype=int)
    actions[12:] = 1  # most members try the better one early, when all rewards are low ...
    actions[:, 0], actions[:, 1] = 0, 1  # ... and one stays with each
    rewards = search(np.array([0.3, 0.0]), actions, 0.0, 0)
    assert rewards[actions == 1].mean() > rewards[actions == 0].mean() + 0.1
    assert ranking(actions[..., None], rewards)[0] == (0,)


def test_ranking_finds_the_best_of_a_noisy_search_more_often_than_the_highest_reward_does() -> None:
    rng, hits = np.random.default_rng(0), np.zeros(2)
    for seed in range(200):
        quality = rng.normal(0, 0.5, 9)
        actions = rng.integers(0, 9, (24, 16))
        rewards = search(quality, actions, 1.0, seed)
        luckiest = actions.ravel()[rewards.argmax()]
        hits += [ranking(actions[..., None], rewards)[0] == (quality.argmax(),), luckiest == quality.argmax()]
    assert hits[0] > 1.5 * hits[1]


def test_what_a_search_gained_by_choosing_better_is_not_taken_for_the_trend() -> None:
    """Half of the windows explore; then all members take the best, as agents that have learned do."""
    rng, hits, plain = np.random.default_rng(0), 0, 0
    for _ in range(100):
        effects = rng.normal(size=(3, 4))
        best = effects.argmax(1)
        actions = rng.integers(0, 4, (24, 8, 3))
        actions[12:] = best
        value = effects[np.arange(3), actions].sum(-1)
        rewards = value + np.linspace(0, 3, 24)[:, None] + rng.normal(size=value.shape)
        keys = [tuple(vector) for vector in actions.reshape(-1, 3).tolist()]
        means = shrunken_means(keys, detrend(rewards).ravel())
        hits += ranking(actions, rewards)[0] == tuple(best)
        plain += max(means, key=lambda key: means[key]) == tuple(best)
    assert hits >= 80
    assert plain < hits - 20


def test_the_trend_is_taken_out_whatever_the_options_do() -> None:
    rng = np.random.default_rng(1)
    actions = rng.integers(0, 3, (40, 8, 2))
    left = without_trend(actions, np.linspace(0, 100, 40)[:, None] + np.zeros((40, 8)))
    assert np.abs(left[4:-4]).max() < 1


def test_windows_that_are_missing_stay_missing_and_change_no_other_key() -> None:
    rng = np.random.default_rng(2)
    actions, rewards = rng.integers(0, 2, (10, 4, 2)), rng.normal(size=(10, 4))
    rewards[7:, 3] = np.nan
    actions[7:, 3] = -1
    left = without_trend(actions, rewards)
    assert np.isnan(left).tolist() == np.isnan(rewards).tolist()
    assert np.nanmean(left) == pytest.approx(0, abs=1e-12)
    assert set(scores(actions, rewards)) == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_rankings_hold_every_architecture_once() -> None:
    actions = np.random.default_rng(0).integers(0, 3, (10, 4, 2))
    ranked = ranking(actions, np.random.default_rng(1).normal(size=(10, 4)))
    assert sorted(ranked) == sorted({tuple(one) for one in actions.reshape(-1, 2).tolist()})


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_student_t_is_as_close_as_documented(level: float) -> None:
    for freedom in range(1, 51):
        exact = reference.t.ppf((1 + level) / 2, freedom)
        assert student_t(freedom, level) == pytest.approx(exact, rel=1e-9 if freedom < 3 else 2e-3)
        if freedom >= 10:
            assert student_t(freedom, level) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize(("level", "error"), [(0.9875, 2e-3), (0.995, 5e-3)])
def test_student_t_is_as_close_as_documented_where_many_answers_hold_together(level: float, error: float) -> None:
    for freedom in range(4, 51):
        exact = reference.t.ppf((1 + level) / 2, freedom)
        assert student_t(freedom, level) == pytest.approx(exact, rel=error if freedom < 9 else 1.1e-4)


def test_the_interval_of_a_mean_is_students() -> None:
    values = np.random.default_rng(0).normal(size=7)
    expected = reference.t.interval(0.95, 6, values.mean(), reference.sem(values))
    np.testing.assert_allclose(mean_interval(values), expected, rtol=1e-4)
    assert mean_interval([3.0, 3.0]) == (3.0, 3.0)


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_the_interval_of_a_mean_covers_it_as_often_as_it_says(count: int) -> None:
    samples = np.random.default_rng(count).normal(1.0, 2.0, (4000, count))
    ends = np.array([mean_interval(sample) for sample in samples])
    covered = ((ends[:, 0] <= 1.0) & (ends[:, 1] >= 1.0)).mean()
    assert covered == pytest.approx(0.95, abs=0.0125)  # standard deviation 0.0034


@pytest.mark.parametrize("values", [[], [1.0]])
def test_an_interval_of_fewer_than_two_values_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=f"mean_interval: expected at least 2 values, got {len(values)}"):
        mean_interval(values)


# Switches


def test_a_switch_is_another_architecture_than_before_and_an_oscillation_the_way_back() -> None:
    lives = [
        [0, 1, 0, 1, 0],  # there and back
        [0, 0, 0, 0, 0],
        [0, 1, 2, 3, 4],  # never back
        [0, 0, 1, 1, 0],  # back, but not at once
        [0, 1, 0, 0, 0],
    ]
    switched, returned = switch_rates(np.array(lives).T[:, :, None])
    assert switched.tolist() == [1.0, 0.0, 1.0, 0.5, 0.5]
    assert returned == pytest.approx([1.0, 0.0, 0.0, 0.0, 1 / 3])


def test_one_choice_that_differs_makes_another_architecture_and_missing_windows_do_not_count() -> None:
    first, second, none = [0, 1], [0, 2], [-1, -1]
    actions = np.array([[first, first], [second, second], [first, none], [second, none]])  # (windows, members, choices)
    switched, returned = switch_rates(actions)
    assert switched.tolist() == [1.0, 1.0]
    assert returned.tolist() == [1.0, 0.0]
    assert [values.tolist() for values in switch_rates(actions[:1])] == [[0.0, 0.0], [0.0, 0.0]]
