from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import archgym  # noqa: F401  (registers the environments)
from archgym.native import library
from archgym.population import Population
from archgym.problem import Problem
from archgym.settings import Settings
from archgym.shards import share_out
from archgym.training import Outcome

needs_native = pytest.mark.skipif(library() is None, reason="the compiled learners were not built")


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=40), st.integers(1, 8))
def test_every_row_is_shared_out_once_and_evenly(costs: list[int], count: int) -> None:
    shares = share_out(costs, count)
    assert sorted(row for share in shares for row in share) == list(range(len(costs)))
    assert all(share and share == sorted(share) for share in shares)
    assert len(shares) == min(count, len(costs))
    loads = [sum(costs[row] for row in share) for share in shares]
    assert max(loads) - min(loads) <= max(costs), "no share is heavier than another by more than one row"


@needs_native
@pytest.mark.filterwarnings("ignore:window_steps")
@pytest.mark.parametrize("env_id", ["ArchSearch-DQN-v0", "ArchSearch-PQN-v0"])
@pytest.mark.parametrize(
    "keywords",
    [{"transfer": "shared"}, {"transfer": "own"}, {"precision": "bfloat16"}],
    ids=lambda one: str(*one.values()),
)
def test_the_result_does_not_depend_on_the_number_of_threads(env_id: str, keywords: dict[str, str]) -> None:
    told = []
    for threads in (1, 2, 3, 8):
        env: Any = gym.make_vec(
            env_id, num_envs=5, windows=4, window_steps=480, threads=threads, learner="native", **keywords
        )
        env.reset(seed=5)
        rng = np.random.default_rng(0)
        steps = []
        for _ in range(4):
            actions = np.stack([env.unwrapped.search_space.sample(rng) for _ in range(5)])
            observations, rewards, _, _, infos = env.step(actions)
            steps.append((observations, rewards, infos["loss"], infos["raw_return"]))
        told.append(steps)
        assert env.unwrapped.timings["learn"] > 0
        env.close()
    for other in told[1:]:
        for was, now in zip(told[0], other, strict=True):
            for one, two in zip(was, now, strict=True):
                np.testing.assert_array_equal(one, two)


def test_outcomes_of_disjoint_rows_are_put_in_order() -> None:
    def outcome(rows: list[int]) -> Outcome:
        return Outcome(*(np.array(rows, dtype=float) for _ in range(9)))  # type: ignore[arg-type]

    rows = [[0, 3], [4], [1, 2]]
    joined = Outcome.joined([outcome(own) for own in rows], rows)
    assert joined.returns.tolist() == joined.diverged.tolist() == [0, 1, 2, 3, 4]


def test_threads_are_refused_where_torch_trains() -> None:
    with pytest.raises(ValueError, match=r"threads: expected 1 where torch computes the gradient steps .* got 2"):
        gym.make("ArchSearch-DQN-v0", learner="torch", threads=2)
    with pytest.raises(ValueError, match="threads: expected a positive integer, got 0"):
        gym.make("ArchSearch-DQN-v0", threads=0)


@needs_native
def test_there_are_no_more_threads_than_members() -> None:
    assert len(Population(Problem(Settings(threads=4)), 2).trainers) == 2
