"""Local search: what it measures next, when it moves, and when it begins anew."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from archgym.agents.local_search import REMEASURE, Agent, Args
from archgym.search_space import Choice, SearchSpace, max_params
from archgym.search_spaces.grid import sized
from archgym.search_spaces.mlp import SPACE
from archgym.search_spaces.mlp_wide import SPACE as WIDE

GRID = sized("3x3")  # six neighbours each
LIMITED = WIDE.constrained(max_params(WIDE, 3000, 4, 2))
Key = tuple[int, ...]


def agent_on(space: SearchSpace, **arguments: Any) -> Agent:
    """Make the agent on something that has a space, which is all that it asks for."""
    return Agent(SimpleNamespace(unwrapped=SimpleNamespace(search_space=space, histories=[])), Args(**arguments))


def choose(agent: Agent, members: int) -> list[Key]:
    return [tuple(action) for action in agent.act(np.zeros((members, 1), dtype=np.float32)).tolist()]


def window(agent: Agent, members: int, value: Any) -> list[Key]:
    """One window in which an architecture earns its value."""
    actions = choose(agent, members)
    agent.learn(np.array([float(value(action)) for action in actions]), {})
    return actions


def around(space: SearchSpace, key: Key) -> set[Key]:
    return {tuple(one.tolist()) for one in space.neighbours(np.array(key))}


# What it measures


@pytest.mark.parametrize("members", [1, 2, 3, 4, 8])
def test_every_fourth_measurement_is_of_the_present_one_and_the_others_are_unseen_neighbours(members: int) -> None:
    agent = agent_on(sized("6x4"))
    present = agent.present
    measured = [one for _ in range(16 // members) for one in window(agent, members, lambda key: key == present)]
    assert measured[::REMEASURE] == [present] * len(measured[::REMEASURE])
    others = [one for index, one in enumerate(measured) if index % REMEASURE]
    assert len(set(others)) == len(others)
    assert set(others) <= around(agent.space, present)


def test_neighbours_come_in_an_order_of_their_own_for_every_seed() -> None:
    orders = {tuple(agent_on(GRID, seed=seed).todo) for seed in range(5)}
    assert len(orders) == 5
    for order in orders:
        assert len(set(order)) == 6


# When it moves


def test_a_leader_is_measured_again_before_the_climb_moves_to_it() -> None:
    agent = agent_on(GRID, confirm=2)
    present = agent.present
    actions = choose(agent, 4)
    agent.learn(np.array([0.0, 1.0, 0.0, 0.0]), {})
    assert agent.present == present
    assert choose(agent, 4)[:2] == [present, actions[1]]
    agent.learn(np.array([0.0, 1.0, 0.0, 0.0]), {})
    assert agent.present == actions[1]


def test_a_leader_that_was_only_lucky_is_not_moved_to() -> None:
    agent = agent_on(GRID, confirm=2)
    present = agent.present
    lucky = choose(agent, 4)[1]
    agent.learn(np.array([0.5, 0.9, 0.0, 0.0]), {})
    assert agent.leader == lucky
    choose(agent, 4)
    agent.learn(np.array([0.5, -1.0, 0.0, 0.0]), {})
    assert agent.present == agent.leader == present


@pytest.mark.parametrize("confirm", [1, 2, 3])
def test_it_takes_as_many_measurements_as_confirm_says(confirm: int) -> None:
    agent = agent_on(sized("6x4"), confirm=confirm)
    present, better = agent.present, agent.todo[0]
    taken = 0
    while agent.present == present:
        taken += window(agent, 4, lambda key: key == better).count(better)
    assert agent.present == better
    assert taken == confirm


def test_the_leader_has_the_best_shrunken_mean_and_not_the_best_single_reward() -> None:
    agent = agent_on(GRID)
    _, second, *_ = choose(agent, 4)
    agent.learn(np.array([0.0, 0.8, 0.0, 0.0]), {})
    present, again, _, other = choose(agent, 4)
    assert again == second
    agent.learn(np.array([0.0, 0.8, 0.0, 0.9]), {})
    # The mean of both windows is 0.3125: two measurements of 0.8 make 0.975 / 6, the one of 0.9 makes 0.5875 / 5.
    assert agent.leader == second
    agent = agent_on(GRID)
    choose(agent, 4)
    agent.learn(np.array([0.0, 0.8, 0.0, 0.0]), {})
    choose(agent, 4)
    agent.learn(np.array([0.0, 0.8, 0.0, 2.0]), {})
    # The mean is 0.45: 0.7 / 6 is less than 1.55 / 5.
    assert agent.leader == other != present


def test_what_brought_it_there_does_not_count_any_more() -> None:
    agent = agent_on(GRID, confirm=1)
    better = agent.todo[0]
    window(agent, 4, lambda key: key == better)
    assert agent.present == better
    assert agent.measured == []
    assert agent.rewards == []
    assert choose(agent, 1) == [better]


def test_best_waits_for_the_whole_neighbourhood_and_first_does_not() -> None:
    for move, expected in (("first", 1), ("best", 2)):
        agent = agent_on(GRID, move=move, confirm=1)
        good, best = agent.todo[0], agent.todo[5]
        windows = 0
        while agent.measured or not windows:
            window(agent, 4, lambda key, good=good, best=best: 2.0 * (key == best) + 1.0 * (key == good))
            windows += 1
        assert windows == expected
        assert agent.present == (good if move == "first" else best)


def test_of_equals_the_present_one_stays() -> None:
    agent = agent_on(GRID, passes=9)
    present = agent.present
    for _ in range(6):
        window(agent, 4, lambda key: -1.0)  # all learners diverged
        assert agent.present == agent.leader == present


def test_what_a_climb_has_seen_is_not_measured_as_a_neighbour_again() -> None:
    left_out = 0
    for seed in range(10):
        agent = agent_on(GRID, confirm=1, seed=seed)
        before, better = agent.present, agent.todo[0]
        seen = set(window(agent, 4, lambda key, better=better: key == better))
        assert agent.present == better
        assert set(agent.todo) == around(GRID, better) - seen
        left_out += len(around(GRID, better) & (seen - {before}))
    assert left_out > 0  # neighbours of both


# When it begins anew


@pytest.mark.parametrize("passes", [1, 2, 3])
def test_a_local_optimum_is_believed_after_so_many_passes(passes: int) -> None:
    agent = agent_on(GRID, passes=passes)
    present, measured = agent.present, []
    while agent.climbs == 1:
        measured += window(agent, 4, lambda key: key == present)
    counts = [measured.count(one) for one in around(GRID, present)]
    assert min(counts) == max(counts) == passes
    assert agent.seen == {agent.present}


def test_the_second_pass_begins_with_the_best_of_the_first() -> None:
    agent = agent_on(GRID, passes=2)
    present, values = agent.present, {key: 0.1 * index for index, key in enumerate(agent.todo)}
    for _ in range(2):
        window(agent, 4, lambda key: 1.0 if key == present else values[key])
    assert agent.present == present
    assert agent.todo[0] == max(values, key=lambda key: values[key])


def test_a_space_of_one_architecture_begins_again_and_again() -> None:
    space = SearchSpace("one", (Choice("c", (1,)),), {"c": 1}, GRID.network, None)
    agent = agent_on(space, passes=1)
    assert [one for _ in range(3) for one in window(agent, 2, lambda key: 0.5)] == [(0,)] * 6
    assert agent.climbs == 4


def test_a_climb_that_has_seen_everything_ends() -> None:
    agent = agent_on(sized("1x2"))
    for _ in range(40):
        window(agent, 3, lambda key: key[0])
    assert agent.climbs > 4


# What it recommends


def test_it_recommends_what_took_the_most_moves_to_reach_of_equals_the_later_and_then_the_incumbents() -> None:
    agent = agent_on(GRID)
    for key, height in (((0, 0, 0), 0), ((0, 0, 1), 1), ((0, 1, 1), 2), ((2, 0, 0), 0), ((2, 0, 1), 1), ((0, 0, 1), 0)):
        agent.move(key, height)
    windows = [
        SimpleNamespace(action=list(action), reward=reward) for action, reward in (((2, 2, 2), 1.0), ((0, 1, 1), 0.0))
    ]
    agent.envs.unwrapped.histories = [windows]
    expected = [(0, 1, 1), (2, 0, 1), (0, 0, 1), (2, 2, 2)]
    assert [tuple(one.tolist()) for one in agent.recommend(4)] == expected
    assert [tuple(one.tolist()) for one in agent.recommend(2)] == expected[:2]


def test_a_climb_counts_its_moves() -> None:
    agent = agent_on(GRID, confirm=1, passes=1)
    start = agent.present
    while agent.climbs == 1:
        top = agent.present
        window(agent, 4, sum)
    assert agent.heights[start] == 0
    assert agent.heights[top] == max(agent.heights.values()) > 1
    assert top == (2, 2, 2)
    assert (agent.height, agent.heights[agent.present]) == (0, agent.heights.get(agent.present))


# The whole of it


def test_it_climbs_to_the_optimum_of_a_landscape_without_noise() -> None:
    agent, best = agent_on(sized("5x3")), 0
    for _ in range(40):
        best = max(best, *(sum(one) for one in window(agent, 4, lambda key: sum(key) / 10)))
    assert best == 10


def test_a_trend_that_is_shared_by_the_window_changes_nothing() -> None:
    still, rising = agent_on(GRID, seed=2, num_envs=8), agent_on(GRID, seed=2, num_envs=8)
    rng = np.random.default_rng(0)
    for index in range(20):
        noise = rng.normal(size=8)
        assert choose(still, 8) == choose(rising, 8)
        still.learn(noise, {})
        rising.learn(noise + 0.1 * index, {})


@pytest.mark.parametrize("space", [sized("1x3"), SPACE, LIMITED], ids=["one choice", "mlp", "wide limited"])
@pytest.mark.parametrize("members", [1, 5])
def test_every_action_is_an_architecture_of_the_space(space: SearchSpace, members: int) -> None:
    agent, rng = agent_on(space), np.random.default_rng(0)
    for _ in range(12):
        for action in window(agent, members, lambda key: rng.normal()):
            assert space.canonical(np.array(action)).tolist() == list(action)


def test_it_repeats_under_its_seed() -> None:
    def life(seed: int) -> list[Key]:
        agent, rng = agent_on(GRID, seed=seed), np.random.default_rng(0)
        return [one for _ in range(20) for one in window(agent, 2, lambda key: rng.normal())]

    assert life(1) == life(1) != life(2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"move": "fist"}, "unknown move 'fist': expected one of best, first. Did you mean 'first'?"),
        ({"confirm": 0}, "confirm: expected a positive integer, got 0"),
        ({"passes": -1}, "passes: expected a positive integer, got -1"),
    ],
)
def test_a_wrong_setting_is_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?")):
        agent_on(GRID, **arguments)
