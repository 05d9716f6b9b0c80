"""AlphaX: the selection rule, the values that are propagated back, the predictor and its trend."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from archgym.agents import alphax
from archgym.agents.alphax import Agent, Args, Predictor
from archgym.search_space import SearchSpace, max_params
from archgym.search_spaces.grid import sized
from archgym.search_spaces.mlp_wide import SPACE as WIDE

TINY = sized("2x2")
WIDE_LIMITED = WIDE.constrained(max_params(WIDE, 3000, 4, 2))


def agent_on(space: SearchSpace, **arguments: Any) -> Agent:
    """Make the agent on something that has a space, which is all that it asks for."""
    given = {"windows": 10, "num_envs": 2, **arguments}
    return Agent(SimpleNamespace(unwrapped=SimpleNamespace(search_space=space)), Args(**given))


def observations(members: int) -> np.ndarray:
    return np.zeros((members, 1), dtype=np.float32)


def one_hot(space: SearchSpace, architectures: Any) -> np.ndarray:
    return np.stack([space.encode(np.array(one)) for one in architectures]).astype(np.float64)


# The tree


def test_the_selection_rule_is_mean_plus_2c_times_the_root() -> None:
    agent = agent_on(TINY, exploration_weight=0.5)
    agent.visits, agent.totals = np.array([8.0, 6.0, 2.0]), np.array([0.0, 3.0, 0.5])
    expected = [0.5 + np.sqrt(2 * np.log(8) / 6), 0.25 + np.sqrt(2 * np.log(8) / 2)]
    assert agent.upper_bounds(0, [1, 2]) == pytest.approx(expected)
    agent = agent_on(TINY, exploration_weight=0.0)
    agent.visits, agent.totals = np.array([8.0, 6.0, 2.0]), np.array([0.0, 3.0, 0.5])
    assert agent.upper_bounds(0, [1, 2]).tolist() == [0.5, 0.25]


def test_children_that_were_never_visited_come_first_and_one_is_added_at_a_time() -> None:
    agent = agent_on(sized("2x3"), num_envs=1)
    for number in range(3):
        agent.act(observations(1))
        agent.learn(np.array([1.0]), {})
        assert len(agent.nodes) == 2 + number
    assert {prefix for prefix in agent.nodes if prefix} == {(0,), (1,), (2,)}
    agent.act(observations(1))
    assert max(map(len, agent.nodes)) == 2  # only then does it go deeper


def test_selections_under_way_count_as_visits_with_the_lowest_value() -> None:
    agent = agent_on(sized("3x2"), num_envs=1, exploration_weight=0.01)
    agent.nodes = {(): 0, (0,): 1, (1,): 2}
    agent.visits, agent.totals = np.array([4.0, 2.0, 2.0]), np.array([2.0, 1.2, 1.0])
    agent.act(observations(2))
    assert agent.paths[0][1] == 1  # 1.2 / 2 against 1.0 / 2
    assert agent.paths[1][1] == 2  # 1.2 / 3 against 1.0 / 2
    assert agent.visits[:3].tolist() == [6, 3, 3]
    assert agent.totals[:3].tolist() == [2.0, 1.2, 1.0]


def test_values_are_half_the_trained_and_half_the_mean_prediction_scaled_by_lowest_and_highest() -> None:
    agent = agent_on(TINY)
    agent.nodes = {(): 0, (0,): 1, (1,): 2, (1, 1): 3}
    agent.paths = [[0, 1], [0, 2], [0, 2, 3]]
    agent.rewards, agent.guesses = np.array([1.0, 0.0, 3.0]), np.array([2.0, 1.0, 1.0])
    agent.times = np.zeros(3)
    agent.back_propagate()  # values 1.5, 0.5, 2.0
    assert agent.visits.tolist() == [3, 1, 2, 1]
    assert agent.totals == pytest.approx([5 / 3, 2 / 3, 1.0, 1.0])


def test_without_predicted_rollouts_the_trained_one_alone_is_the_value() -> None:
    agent = agent_on(TINY, predicted=0)
    agent.act(observations(2))
    agent.learn(np.array([1.0, 0.0]), {})
    assert np.isnan(agent.guesses).all()
    assert agent.totals.tolist() == [1.0, 1.0, 0.0]


def test_as_many_rollouts_as_asked_for_are_scored_and_not_the_trained_one() -> None:
    agent = agent_on(TINY, predicted=3)
    agent.act(observations(2))
    assert [codes.shape for codes in agent.rollouts] == [(4, 4)] * 2
    agent.learn(np.array([1.0, 0.0]), {})
    expected = [agent.predictor.predict(codes[1:]).mean() for codes in agent.rollouts]
    assert agent.guesses == pytest.approx(expected)
    assert agent.codes.tolist() == [codes[0].tolist() for codes in agent.rollouts]


@pytest.mark.parametrize("space", [WIDE, WIDE_LIMITED], ids=["wide", "wide limited"])
def test_everything_that_is_trained_or_scored_is_an_architecture_of_the_space(space: SearchSpace) -> None:
    agent = agent_on(space, predicted=2)
    legal = {tuple(space.encode(one)) for one in space.enumerate()}
    for number in range(10):
        for action in agent.act(observations(2)):
            assert action.tolist() == space.canonical(action).tolist()
        assert all(tuple(code) in legal for codes in agent.rollouts for code in codes)
        agent.learn(np.array([0.0, number / 10]), {})


def test_it_finds_the_best_of_a_few_architectures_without_noise() -> None:
    agent = agent_on(sized("3x3"), windows=30, num_envs=1)
    for _ in range(30):
        (action,) = agent.act(observations(1))
        agent.learn(np.array([-float(np.abs(action - [2, 0, 1]).sum())]), {})
    assert agent.recommend(1)[0].tolist() == [2, 0, 1]
    assert np.mean([one.tolist() == [2, 0, 1] for one in agent.trained[-10:]]) > 0.5


# The predictor


def test_the_predictor_is_ridge_regression_on_options_and_pairs_of_them() -> None:
    rng = np.random.default_rng(0)
    space = sized("3x2")
    vectors = rng.integers(0, 2, (20, 3))
    codes, times, rewards = one_hot(space, vectors), np.zeros(20), rng.normal(size=20)
    predictor = Predictor(3, 10)
    predictor.fit(codes, times, rewards)
    # The same in its primal form: options, products of two options, and a constant (all windows are one).
    options, pairs = codes / np.sqrt(6), np.stack([np.outer(code, code).ravel() for code in codes]) / np.sqrt(18)
    features = np.hstack([options, pairs, np.ones((20, 1))])
    centred = rewards - rewards.mean()
    weights = np.linalg.solve(features.T @ features + np.eye(features.shape[1]), features.T @ centred)
    assert predictor.predict(codes) == pytest.approx(features[:, :-1] @ weights[:-1])
    assert predictor.trend(np.zeros(1)) == pytest.approx(rewards.mean() + weights[-1])


def test_before_the_first_fit_it_says_nothing() -> None:
    predictor = Predictor(3, 10)
    assert predictor.predict(np.zeros((2, 6))).tolist() == [0.0, 0.0]
    assert predictor.trend(np.zeros(3)).tolist() == [0.0, 0.0, 0.0]


def test_the_trend_is_told_from_the_gain_of_the_search() -> None:
    rng, windows, space = np.random.default_rng(0), 40, sized("2x2")
    times = np.repeat(np.arange(windows), 4).astype(float)
    vectors = np.stack([rng.random(160) < times / windows, rng.random(160) < 0.5], axis=1).astype(int)
    gain, rise = 0.5 * vectors[:, 0], times / windows
    flat, rising = Predictor(2, windows), Predictor(2, windows)
    flat.fit(one_hot(space, vectors), times, gain)
    rising.fit(one_hot(space, vectors), times, gain + rise)
    every = np.arange(windows).astype(float)
    assert np.ptp(flat.trend(every)) < 0.2
    assert np.ptp(rising.trend(every)) == pytest.approx(1, abs=0.25)
    better, worse = rising.predict(one_hot(space, [[1, 0], [0, 0]]))
    assert better - worse == pytest.approx(0.5, abs=0.1)


def test_what_is_trained_late_is_not_better_for_a_rising_tide() -> None:
    agent = agent_on(sized("3x3"), windows=20)
    for number in range(20):
        agent.act(observations(2))
        agent.learn(np.full(2, number / 20), {})
    assert np.ptp(agent.rewards) == pytest.approx(0.95)
    assert np.ptp(agent.scores()) < 0.6  # a ridge leaves a part of it
    assert abs(agent.scores().mean()) < 0.15


def test_it_is_fitted_at_once_and_then_every_so_many_samples_and_to_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alphax, "LATEST", 6)
    agent = agent_on(sized("3x3"), refit=4)
    sizes = []
    for _ in range(6):
        agent.act(observations(2))
        agent.learn(np.array([0.0, 1.0]), {})
        sizes.append((agent.fitted, len(agent.predictor.codes)))
    assert sizes == [(2, 2), (2, 2), (6, 6), (6, 6), (10, 6), (10, 6)]


# The rest


def test_it_recommends_by_the_mean_of_shrunken_score_and_prediction() -> None:
    agent = agent_on(TINY)
    agent.trained = [np.array(one) for one in ([0, 0], [0, 0], [0, 1], [1, 1])]
    agent.codes = one_hot(TINY, agent.trained)
    agent.scores = lambda: np.array([1.0, 1.0, 1.0, -1.0])  # type: ignore[method-assign]
    agent.predictor.predict = lambda codes: np.array([0.0, 0.0, 0.3, 0.1])  # type: ignore[method-assign]
    # Shrunken: 2 / 6, 1 / 5, -1 / 5.
    assert [one.tolist() for one in agent.recommend(3)] == [[0, 1], [0, 0], [1, 1]]
    assert len(agent.recommend(1)) == 1


def test_one_member_one_choice_one_window_equal_rewards_and_diverged_ones_are_no_trouble() -> None:
    for members, rewards in ((1, [-1.0]), (3, [-1.0] * 3), (2, [0.0, -1.0])):
        for windows in (1, 5):
            agent = agent_on(sized("1x3"), windows=windows, num_envs=members)
            for _ in range(windows):
                agent.act(observations(members))
                agent.learn(np.array(rewards), {})
            assert 1 <= len(agent.recommend(3)) <= 3
            assert np.isfinite(agent.totals).all()


def test_a_search_repeats_under_its_seed() -> None:
    def search(seed: int) -> list[list[list[int]]]:
        agent, told = agent_on(sized("4x3"), seed=seed), []
        for number in range(8):
            told.append(agent.act(observations(2)).tolist())
            agent.learn(np.array([0.1 * number, 0.3]), {})
        return told

    assert search(3) == search(3) != search(4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"exploration_weight": -1.0}, "exploration_weight: expected a number of at least 0, got -1.0"),
        ({"predicted": -1}, "predicted: expected an integer of at least 0, got -1"),
        ({"refit": 0}, "refit: expected an integer of at least 1, got 0"),
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        agent_on(TINY, **arguments)
