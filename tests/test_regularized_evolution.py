"""Regularized evolution: who is a parent, what a mutation is, and who dies."""

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from archgym.agents.regularized_evolution import Agent, Args
from archgym.search_space import Choice, SearchSpace, max_params
from archgym.search_spaces.grid import sized
from archgym.search_spaces.mlp import SPACE
from archgym.search_spaces.mlp_wide import SPACE as WIDE
from archgym.stats import detrend

GRID = sized("4x3")
LIMITED = WIDE.constrained(max_params(WIDE, 3000, 4, 2))


def agent_on(space: SearchSpace, **arguments: Any) -> Agent:
    """Make the agent on something that has a space, which is all that it asks for."""
    given = {"windows": 60, **arguments}
    return Agent(SimpleNamespace(unwrapped=SimpleNamespace(search_space=space)), Args(**given))


def window(agent: Agent, rewards: list[float]) -> list[tuple[int, ...]]:
    actions = agent.act(np.zeros((len(rewards), 1), dtype=np.float32))
    agent.learn(np.array(rewards), {})
    return [tuple(action) for action in actions.tolist()]


def alive(agent: Agent) -> list[tuple[int, ...]]:
    return [tuple(one.tolist()) for one in agent.population]


def changed(one: Any, other: Any) -> list[int]:
    return np.flatnonzero(np.asarray(one) != np.asarray(other)).tolist()


# Who lives


def test_the_oldest_die_however_good_they_were() -> None:
    agent = agent_on(GRID, population=6, sample_size=6)
    first = window(agent, [2.0, 2.0])
    later = [one for _ in range(3) for one in window(agent, [-1.0, -1.0])]
    assert alive(agent) == later
    assert len(first) == 2


def test_nothing_is_bred_before_the_population_is_full() -> None:
    agent = agent_on(GRID, population=7, sample_size=7)
    agent.mutate = None  # type: ignore[assignment, method-assign]
    for _ in range(3):
        window(agent, [0.0, 1.0, 0.5])  # six, then nine at random
    with pytest.raises(TypeError):
        window(agent, [0.0, 1.0, 0.5])


def test_a_search_shorter_than_the_population_is_random_search() -> None:
    with pytest.warns(UserWarning, match="population: expected at most 11 .*, got 50; nothing is bred"):
        agent = agent_on(GRID, population=50, seed=3, windows=12)
    rng = agent_on(GRID, population=20, seed=3).rng
    assert [one for _ in range(12) for one in window(agent, [1.0])] == [
        tuple(GRID.sample(rng).tolist()) for _ in range(12)
    ]


@pytest.mark.parametrize(("windows", "members", "bred"), [(6, 5, False), (7, 5, True), (30, 1, False), (31, 1, True)])
def test_it_says_beforehand_that_the_population_will_not_be_full_before_the_last_window(
    windows: int, members: int, bred: bool
) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        agent = agent_on(GRID, windows=windows, num_envs=members)
    assert bool(said) != bred
    found: list[int] = []
    mutate = agent.mutate
    agent.mutate = lambda parent: (found.append(1), mutate(parent))[1]  # type: ignore[method-assign, func-returns-value]
    for _ in range(windows):
        window(agent, [0.0] * members)
    assert bool(found) == bred


def test_a_population_smaller_than_a_window_keeps_the_last_of_it() -> None:
    agent = agent_on(GRID, population=2, sample_size=1)
    for _ in range(3):
        actions = window(agent, [0.0, 1.0, 2.0, 3.0, 4.0])
        assert alive(agent) == actions[-2:]
        assert len(agent.scores) == 2


def test_every_score_belongs_to_its_own_architecture_and_is_the_reward_less_its_trend() -> None:
    agent, rng = agent_on(GRID, population=5, sample_size=2), np.random.default_rng(0)
    rewards = rng.normal(size=(9, 2)).round(2) + np.arange(9)[:, None]
    tried = [one for row in rewards for one in window(agent, row.tolist())]
    assert alive(agent) == tried[-5:]
    # Two members: the trend is the mean over two windows to either side, fewer at the end.
    means = rewards.mean(1)
    expected = [rewards[index] - means[max(0, index - 2) : index + 3].mean() for index in (6, 7, 8)]
    assert agent.scores == pytest.approx(np.concatenate(expected)[-5:])
    assert agent.scores == pytest.approx(detrend(rewards).ravel()[-5:])


# Who is a parent


def test_the_best_of_a_sample_of_everybody_is_the_parent() -> None:
    agent = agent_on(GRID, population=4, sample_size=4)
    window(agent, [0.1, 0.9, 0.3, 0.2])
    assert {tuple(agent.parent().tolist()) for _ in range(20)} == {alive(agent)[1]}


def test_parents_are_drawn_as_often_as_tournaments_of_that_size_make_them() -> None:
    agent = agent_on(sized("1x4"), population=4, sample_size=2)
    agent.population.extend(np.array([index]) for index in range(4))
    agent.scores = np.array([0.0, 1.0, 2.0, 3.0])
    counts = np.bincount([int(agent.parent()[0]) for _ in range(6_000)], minlength=4)
    # Of the six pairs the worst wins none, the others one, two and three.
    assert counts[0] == 0
    assert counts / 6_000 == pytest.approx([0, 1 / 6, 2 / 6, 3 / 6], abs=0.03)


def test_of_equals_nobody_is_preferred() -> None:
    agent = agent_on(GRID, population=4, sample_size=4)
    window(agent, [-1.0, -1.0, -1.0, -1.0])  # all learners diverged
    drawn = [tuple(agent.parent().tolist()) for _ in range(400)]
    assert min(drawn.count(one) for one in set(alive(agent))) > 60


def test_a_rising_tide_lifts_nobody() -> None:
    still, rising = (
        agent_on(GRID, population=8, seed=4, sample_size=3),
        agent_on(GRID, population=8, seed=4, sample_size=3),
    )
    rng = np.random.default_rng(1)
    for index in range(12):
        rewards = rng.normal(size=8)
        assert window(still, rewards.tolist()) == window(rising, (rewards + index).tolist())


# What a mutation is


@pytest.mark.parametrize("space", [GRID, SPACE, WIDE, LIMITED], ids=["grid", "mlp", "wide", "wide limited"])
def test_a_mutation_is_a_neighbour(space: SearchSpace) -> None:
    agent, rng = agent_on(space), np.random.default_rng(0)
    for _ in range(20):
        parent = space.sample(rng)
        around = {tuple(one.tolist()) for one in space.neighbours(parent)}
        assert tuple(agent.mutate(parent).tolist()) in around


def test_every_choice_and_every_other_option_is_mutated_alike() -> None:
    agent, parent = agent_on(GRID), np.array([0, 1, 2, 0])
    children = [agent.mutate(parent) for _ in range(4_000)]
    assert all(len(changed(child, parent)) == 1 for child in children)
    _, counts = np.unique(np.stack(children), axis=0, return_counts=True)
    assert len(counts) == 4 * 2
    assert counts / 4_000 == pytest.approx(np.full(8, 1 / 8), abs=0.025)


def test_a_choice_that_activates_others_is_mutated_no_more_often_than_the_rest() -> None:
    agent = agent_on(WIDE)
    parent = WIDE.canonical(np.array([0, 1, 0, 0, 0, 1, 1, 1]))
    active = [position for position in range(8) if position not in WIDE.inactive_positions(parent)]
    first = [changed(agent.mutate(parent), parent)[0] for _ in range(600)]
    counts = np.bincount(first, minlength=8)
    assert counts[0] > 0
    assert counts[active] / 600 == pytest.approx(np.full(len(active), 1 / len(active)), abs=0.08)
    assert counts.sum() == counts[active].sum()


def test_a_space_of_one_architecture_has_one_child() -> None:
    space = SearchSpace("one", (Choice("c", (1,)),), {"c": 1}, GRID.network, None)
    agent = agent_on(space, population=2, sample_size=1)
    assert [one for _ in range(4) for one in window(agent, [0.5])] == [(0,)] * 4


# The whole of it


@pytest.mark.parametrize("space", [sized("1x3"), SPACE, LIMITED], ids=["one choice", "mlp", "wide limited"])
def test_every_action_is_an_architecture_of_the_space(space: SearchSpace) -> None:
    agent, rng = agent_on(space, population=4, sample_size=2), np.random.default_rng(0)
    for _ in range(8):
        for action in window(agent, rng.normal(size=3).tolist()):
            assert space.canonical(np.array(action)).tolist() == list(action)


def test_after_the_warm_up_the_population_lives_around_the_optimum() -> None:
    agent = agent_on(GRID, population=12, sample_size=12)
    for _ in range(40):
        actions = agent.act(np.zeros((4, 1), dtype=np.float32))
        agent.learn(actions.sum(1) / 8.0, {})
    assert np.stack(list(agent.population)).sum(1).mean() > 5.5  # at random 4, neighbours of the best 6.5


def test_it_repeats_under_its_seed_and_tells_how_many_differ() -> None:
    def life(seed: int) -> list[tuple[int, ...]]:
        agent, rng = agent_on(GRID, population=6, sample_size=3, seed=seed), np.random.default_rng(0)
        return [one for _ in range(10) for one in window(agent, rng.normal(size=2).tolist())]

    assert life(1) == life(1) != life(2)
    agent = agent_on(sized("1x2"), population=3, sample_size=1)
    agent.act(np.zeros((3, 1), dtype=np.float32))
    agent.actions = np.array([[0], [1], [0]])
    assert agent.learn(np.zeros(3), {}) == {"evolution/distinct": 2.0}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"population": 0}, "population: expected a positive integer, got 0"),
        ({"sample_size": 0}, r"sample_size: expected an integer from 1 to the population \(30\), got 0"),
        ({"population": 5, "sample_size": 6}, r"from 1 to the population \(5\), got 6"),
    ],
)
def test_a_sample_that_cannot_be_drawn_is_refused(arguments: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        agent_on(GRID, **arguments)
