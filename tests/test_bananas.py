"""BANANAS: the ensemble's gradients and fits, what it draws from, and when."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from archgym.agents.bananas import Agent, Args, fit, forward, gradients
from archgym.search_space import Constraint, SearchSpace, max_params
from archgym.search_spaces.grid import sized
from archgym.search_spaces.mlp_wide import SPACE as WIDE
from archgym.stats import ranking

GRID = sized("5x4")
LIMITED = WIDE.constrained(max_params(WIDE, 3000, 4, 2))
SMALL = {"steps": 40, "candidates": 30}


def agent_on(space: SearchSpace, **arguments: Any) -> Agent:
    return Agent(SimpleNamespace(unwrapped=SimpleNamespace(search_space=space)), Args(**{**SMALL, **arguments}))


def observations(members: int) -> np.ndarray:
    return np.zeros((members, 1), dtype=np.float32)


def search(space: SearchSpace, windows: int = 10, members: int = 4, **arguments: Any) -> tuple[Agent, np.ndarray]:
    """Search for many zeros; gives the agent and its actions (windows, members, choices)."""
    agent, actions = agent_on(space, **arguments), []
    for _ in range(windows):
        actions.append(agent.act(observations(members)))
        agent.learn(-actions[-1].mean(1), {})
    return agent, np.stack(actions)


def networks(rng: np.random.Generator, *sizes: int, count: int = 3) -> list[np.ndarray]:
    return [rng.normal(size=(count, one + 1, two)) for one, two in pairwise(sizes)]


# The ensemble


def test_a_network_is_a_multilayer_perceptron_with_biases() -> None:
    rng = np.random.default_rng(0)
    weights, inputs = networks(rng, 6, 4, 5, 1), rng.normal(size=(7, 6))
    found, _ = forward(weights, inputs)
    for member in range(3):
        one, two, three = (weight[member] for weight in weights)
        hidden = np.maximum(0, inputs @ one[:-1] + one[-1])
        hidden = np.maximum(0, hidden @ two[:-1] + two[-1])
        assert found[member] == pytest.approx((hidden @ three[:-1] + three[-1])[:, 0])


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_gradients_are_those_of_half_the_mean_squared_error_and_the_decay(decay: float) -> None:
    rng = np.random.default_rng(1)
    weights, inputs, targets = networks(rng, 4, 5, 3, 1), rng.normal(size=(6, 4)), rng.normal(size=6)

    def loss() -> float:
        error = forward(weights, inputs)[0] - targets
        return float((error**2).mean(1).sum() / 2 + decay / 2 * sum((weight**2).sum() for weight in weights))

    for weight, gradient in zip(weights, gradients(weights, inputs, targets, decay), strict=True):
        for _ in range(10):
            place = tuple(rng.integers(weight.shape))
            before, step = weight[place], 1e-6
            weight[place] = before + step
            above = loss()
            weight[place] = before - step
            slope = (above - loss()) / (2 * step)
            weight[place] = before
            assert gradient[place] == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_the_first_step_of_adam_moves_every_weight_by_the_step_size_against_its_gradient() -> None:
    rng = np.random.default_rng(2)
    inputs, targets = rng.normal(size=(8, 4)), rng.normal(size=8)
    start = fit(inputs, targets, Args(steps=0), np.random.default_rng(5))
    after = fit(inputs, targets, Args(steps=1, learning_rate=0.01), np.random.default_rng(5))
    for before, moved, gradient in zip(start, after, gradients(start, inputs, targets, 0.03), strict=True):
        large = np.abs(gradient) > 1e-5
        assert (moved - before)[large] == pytest.approx(-0.01 * np.sign(gradient[large]), rel=1e-2)


def test_the_members_begin_apart_with_the_spread_of_he_and_without_biases() -> None:
    weights = fit(np.zeros((1, 50)), np.zeros(1), Args(steps=0, width=200), np.random.default_rng(0))
    assert [weight.shape for weight in weights] == [(5, 51, 200), (5, 201, 200), (5, 201, 1)]
    assert weights[0][:, :-1].std() == pytest.approx(np.sqrt(2 / 50), rel=0.02)
    assert not any(weight[:, -1].any() for weight in weights)
    assert (weights[0][0] != weights[0][1]).any()


def test_a_fit_learns_a_sum_over_the_choices_and_ranks_what_it_has_not_seen() -> None:
    rng = np.random.default_rng(3)
    agent = agent_on(GRID)
    seen, unseen = ([GRID.sample(rng) for _ in range(80)] for _ in range(2))
    worth = [np.array([-1.0 * one.sum() for one in group]) for group in (seen, unseen)]
    targets = (worth[0] - worth[0].mean()) / worth[0].std()
    agent.weights = fit(agent.encode(seen), targets, Args(), rng)
    assert np.corrcoef(agent.predict(unseen).mean(0), worth[1])[0, 1] > 0.8


# The search


@pytest.mark.parametrize("space", [GRID, LIMITED], ids=["grid", "wide limited"])
def test_a_search_repeats_under_its_seed(space: SearchSpace) -> None:
    first, again, other = (search(space, seed=seed) for seed in (1, 1, 2))
    assert (first[1] == again[1]).all()
    assert (first[1] != other[1]).any()
    assert np.array_equal(first[0].recommend(3), again[0].recommend(3))


@pytest.mark.parametrize("members", [1, 4])
def test_actions_and_recommendations_are_architectures_of_the_space(members: int) -> None:
    agent, actions = search(LIMITED, 14, members)
    assert agent.weights
    for action in [*actions.reshape(-1, len(LIMITED.choices)), *agent.recommend(3)]:
        assert LIMITED.canonical(action).tolist() == action.tolist()


def test_it_finds_many_zeros() -> None:
    agents, actions = zip(*(search(GRID, 20, seed=seed, steps=100) for seed in range(4)), strict=True)
    assert np.mean([one[-5:] for one in actions]) < 0.75  # 1.5 at random
    assert np.mean([agent.recommend(1)[0] for agent in agents]) < 0.3


def test_it_fits_after_the_first_ten_rewards_and_whenever_ten_more_are_in() -> None:
    agent = agent_on(GRID)
    fits = []
    for window in range(1, 10):
        agent.act(observations(4))
        fits += [window] * bool(agent.learn(np.arange(4.0), {}))
    assert fits == [3, 6, 9]


def test_the_members_of_a_window_try_different_architectures() -> None:
    agent, _ = search(GRID, 6, 8)
    assert len({tuple(one) for one in agent.act(observations(8)).tolist()}) == 8


def test_what_is_tried_are_the_highest_draws_from_the_spread_of_the_predictions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent, _ = search(GRID, 4)
    candidates = [np.full(5, option) for option in (0, 1, 2, 3)]
    predictions = np.array([[0.0, 5.0, 1.0, -9.0], [0.0, 5.0, 1.0, -9.0]])
    monkeypatch.setattr(agent, "candidates", lambda count: candidates)
    monkeypatch.setattr(agent, "predict", lambda architectures: predictions)
    assert agent.act(observations(2)).tolist() == [[1] * 5, [2] * 5]  # they agree: no spread
    predictions[:, 3] = [-59.0, 41.0]
    firsts = [agent.act(observations(1))[0, 0] for _ in range(200)]
    assert 60 < sum(first == 3 for first in firsts) < 100  # N(-9, 50^2) is above 5 in 39 % of all draws
    assert set(firsts) == {1, 3}


def test_candidates_are_the_parents_their_neighbours_and_random_ones() -> None:
    agent, _ = search(GRID, 6, parents=2, candidates=40)
    parents = agent.ranked[:2]
    found = agent.candidates(4)
    distances = [min(int((one != parent).sum()) for parent in parents) for one in found]
    assert distances[:2] == [0, 0]
    assert sum(distance == 1 for distance in distances) > 10
    assert sum(distance > 1 for distance in distances) in (3, 4)  # a random one may be near
    assert len({tuple(one.tolist()) for one in found}) == len(found)


def test_the_recommendation_is_the_best_predicted_of_what_was_seen() -> None:
    for windows in (9, 11):  # 36 rewards, of which the last fit knew all; 44, of which it knew 36
        agent, actions = search(GRID, windows)
        assert agent.fitted == 36
        found = agent.recommend(3)
        assert agent.fitted == 4 * windows
        seen = np.unique(actions.reshape(-1, 5), axis=0)
        best = seen[np.argsort(-agent.predict(list(seen)).mean(0), kind="stable")[:3]]
        assert np.array_equal(found, best)
        assert np.array_equal(agent.recommend(3), found)  # asking again changes nothing


def test_what_was_found_after_the_last_fit_can_be_recommended() -> None:
    agent = agent_on(sized("1x4"), refit=100)
    for options, rewards in (([1, 1, 2, 2, 3, 3], [0.1, 0.2, 0.0, 0.1, 0.2, 0.1]), ([1, 2, 3, 2, 1, 3], [0.1] * 6)):
        agent.act(observations(6))
        agent.actions[-1] = np.array(options)[:, None]
        agent.learn(np.array(rewards), {})
    agent.act(observations(6))
    agent.actions[-1] = np.array([[0], [1], [0], [2], [3], [3]])
    agent.learn(np.array([5.0, 0.1, 5.0, 0.0, 0.1, 0.1]), {})
    assert agent.fitted == 12
    assert agent.recommend(1)[0].tolist() == [0]


def test_rewards_lose_their_trend_and_get_a_spread_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[np.ndarray] = []

    def recorded(inputs: np.ndarray, targets: np.ndarray, *others: Any) -> Any:
        told.append(targets)
        return fit(inputs, targets, *others)

    monkeypatch.setattr("archgym.agents.bananas.fit", recorded)
    agent = agent_on(GRID, initial=8)
    for rewards in ([0.0, 0.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]):
        agent.act(observations(4))
        agent.learn(np.array(rewards), {})
    scores = np.array([-1.5, -1.5, -0.5, -0.5, -0.5, 0.5, 1.5, 2.5])
    assert told[0] == pytest.approx(scores / scores.std())


# The edges


def test_a_search_shorter_than_the_warm_up_recommends_by_the_incumbents_rule() -> None:
    agent, actions = search(sized("2x2"), 2, 3)
    assert not agent.weights
    rewards = -actions.mean(-1)
    agent.envs.unwrapped.histories = [
        [SimpleNamespace(action=tuple(action), reward=reward) for action, reward in zip(own, earned, strict=True)]
        for own, earned in zip(actions.transpose(1, 0, 2).tolist(), rewards.T.tolist(), strict=True)
    ]
    found = [tuple(one.tolist()) for one in agent.recommend(4)]
    assert found == ranking(actions, rewards)
    assert len(set(found)) == len(found) < 6  # some were tried twice


def test_a_space_smaller_than_the_window_is_filled_up_at_random() -> None:
    agent, actions = search(sized("1x2"), 6, 8)
    assert agent.weights
    assert set(actions.ravel().tolist()) == {0, 1}


def test_a_space_of_one_architecture_is_acted_out() -> None:
    single = GRID.constrained(Constraint("all threes", lambda architecture: bool((architecture == 3).all())))
    assert (search(single, 5)[1] == 3).all()


def test_equal_rewards_and_diverged_members_are_no_obstacle() -> None:
    agent = agent_on(GRID)
    for _ in range(8):
        agent.act(observations(2))
        agent.learn(np.full(2, -1.0), {})
    assert np.isfinite(agent.predict(agent.ranked)).all()


@pytest.mark.parametrize("name", ["ensemble", "layers", "width", "steps", "initial", "refit", "parents", "candidates"])
def test_a_wrong_number_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected"):
        agent_on(GRID, **{name: 0})


def test_wrong_rates_are_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="learning_rate: expected"):
        agent_on(GRID, learning_rate=0.0)
    with pytest.raises(ValueError, match="weight_decay: expected"):
        agent_on(GRID, weight_decay=-1.0)
    for name in ("learning_rate", "weight_decay"):
        with pytest.raises(ValueError, match=f"{name}: expected a finite number, got inf"):
            agent_on(GRID, **{name: float("inf")})
