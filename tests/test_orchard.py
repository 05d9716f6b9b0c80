import runpy
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from archgym.inner import orchard
from archgym.inner.envs import Policy, episode_returns, random_returns
from archgym.inner.tasks import TASKS

ID = "archgym:Orchard-v0"
TASK = TASKS["Orchard-v0"]
SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "reference_returns.py"


@pytest.fixture(scope="module")
def gatherer() -> Policy:
    policy: Policy = runpy.run_path(str(SCRIPT))["gatherer"]
    return policy


class Script:
    """Stands in for a generator: gives these numbers, one after the other."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)

    def integers(self, high: int) -> int:
        assert self.numbers[0] < high
        return self.numbers.pop(0)


def falls(column: int, drift: int) -> list[int]:
    """Walk a fruit down, cell by cell: the columns it is seen in, from the top row to the bottom row."""
    columns = [column]
    for _ in range(9):
        if not 0 <= columns[-1] + drift <= 9:
            drift = -drift
        columns.append(columns[-1] + drift)
    return columns


def lit(image: NDArray[np.uint8], channel: int) -> list[tuple[int, int]]:
    """Cells (row, column) that are lit."""
    return sorted((int(row), int(column)) for row, column in np.argwhere(image[channel] == 255))


def test_gymnasiums_checker_finds_nothing_to_complain_about() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(ID).unwrapped)


@pytest.mark.parametrize("column", range(10))
@pytest.mark.parametrize("drift", [-1, 0, 1])
def test_a_fruit_falls_drifts_and_is_reflected_by_the_walls(column: int, drift: int) -> None:
    rows = np.arange(10)
    found = orchard.column(np.full(10, column + 10 * (drift + 1)), rows)
    assert found.tolist() == falls(column, drift)


def test_a_game_goes_as_the_rules_say() -> None:
    """Two fruits arrive and are caught, two more are on their way; the basket goes from column 2 to 6 and to 0."""
    fruits = [(3, 1), (8, -1), (0, 0), (5, 0)]  # column, drift
    rng = Script(2, *(column + 10 * (drift + 1) for column, drift in fruits))
    paths = [falls(*fruit) for fruit in fruits]
    assert [path[-1] for path in paths] == [6, 1, 0, 5]
    state = orchard.start(rng)[:, None]  # type: ignore[arg-type]
    basket, moves = 2, [1] * 4 + [0] * 5 + [-1] * 6
    rewards = []
    for t in range(16):
        (image,) = orchard.observe(state)
        assert image.dtype == np.uint8
        assert set(np.unique(image)) <= {0, 255}
        assert lit(image, 0) == [(9, basket)]
        falling = [(t - 5 * number, path) for number, path in enumerate(paths) if 0 <= t - 5 * number <= 9]
        assert lit(image, 1) == sorted((row, path[row]) for row, path in falling)
        assert lit(image, 2) == sorted((row - 1, path[row - 1]) for row, path in falling if row > 0)
        if t < len(moves):
            state, (reward,) = orchard.advance(state, np.array([moves[t] + 1]), [rng])  # type: ignore[list-item]
            basket = min(9, max(0, basket + moves[t]))
            rewards.append(float(reward))
    caught = {9: 6, 14: 1}  # step: column in which a fruit arrives
    at = [2, 3, 4, 5, 6, 6, 6, 6, 6, 6, 5, 4, 3, 2, 1, 0]
    assert rewards == [float(step in caught and at[step] == caught[step]) for step in range(1, 16)]
    assert sum(rewards) == 2.0


def test_walls_stop_the_basket() -> None:
    state = np.array([[0, 9], [5, 5], [orchard.NONE] * 2, [0, 0]])
    state, _ = orchard.advance(state, np.array([0, 2]), [np.random.default_rng(0)] * 2)
    assert state[orchard.BASKET].tolist() == [0, 9]


def test_a_missed_fruit_is_worth_nothing() -> None:
    state = np.array([[3], [5], [10 + 4], [8]])  # arrives in column 4 with the next step, and the basket stays in 3
    _, rewards = orchard.advance(state, np.array([1]), [np.random.default_rng(0)])
    assert rewards.tolist() == [0.0]
    _, rewards = orchard.advance(state, np.array([2]), [np.random.default_rng(0)])
    assert rewards.tolist() == [1.0]


@pytest.mark.parametrize("count", [1, 3, 8])
def test_every_board_of_a_batch_is_the_single_one_with_its_seed(count: int) -> None:
    limit, seeds = 23, [7 * i for i in range(count)]
    batch = gym.make_vec(ID, num_envs=count, max_episode_steps=limit)
    assert isinstance(batch, orchard.OrchardVector)
    singles = [gym.make(ID, max_episode_steps=limit) for _ in seeds]
    rng = np.random.default_rng(1)

    def agree(rows: NDArray[np.uint8], single: list[NDArray[np.uint8]]) -> None:
        np.testing.assert_array_equal(rows, np.stack(single), strict=True)

    agree(batch.reset(seed=seeds)[0], [env.reset(seed=seed)[0] for env, seed in zip(singles, seeds, strict=True)])
    for t in range(1, 3 * (limit + 1)):
        actions = rng.integers(3, size=count)
        rows, rewards, terminated, truncated, _ = batch.step(actions)
        assert not terminated.any()
        if t % (limit + 1) == 0:
            agree(rows, [env.reset()[0] for env in singles])
            assert not truncated.any()
            assert not rewards.any()
            continue
        alone = [env.step(action) for env, action in zip(singles, actions, strict=True)]
        agree(rows, [one[0] for one in alone])
        assert rewards.tolist() == [one[1] for one in alone]
        assert truncated.tolist() == [one[3] for one in alone]


def test_nineteen_fruits_arrive_in_an_episode() -> None:
    batch = orchard.OrchardVector(1)
    batch.reset(seed=0)
    arrivals = 0
    for t in range(1, 101):
        image, _, _, truncated, _ = batch.step(np.array([1]))
        arrivals += len([cell for cell in lit(image[0], 1) if cell[0] == 9])
        assert truncated[0] == (t == 100)
    assert arrivals == 19


def test_starts_and_fruits_fill_the_stated_ranges() -> None:
    rng = np.random.default_rng(0)
    starts = np.stack([orchard.start(rng) for _ in range(3000)])
    for values, count in ((starts[:, orchard.BASKET], 10), (starts[:, orchard.UPPER], 30)):
        shares = np.bincount(values, minlength=count) / len(starts)
        assert len(shares) == count
        assert shares == pytest.approx(1 / count, abs=0.02)


@pytest.mark.parametrize("action", [-1, 3])
def test_other_actions_are_refused(action: int) -> None:
    single, batch = orchard.Orchard(), orchard.OrchardVector(2)
    single.reset(seed=0)
    batch.reset(seed=0)
    with pytest.raises(AssertionError, match="expected an action in"):
        single.step(np.int64(action))
    with pytest.raises(AssertionError, match="expected actions in"):
        batch.step(np.array([0, action]))


def test_an_integer_seed_of_a_batch_means_that_one_and_the_next() -> None:
    batch = orchard.OrchardVector(3)
    np.testing.assert_array_equal(batch.reset(seed=5)[0], batch.reset(seed=[5, 6, 7])[0])


def test_the_expert_reaches_the_recorded_return_and_misses_little(gatherer: Policy) -> None:
    returns = episode_returns(TASK, range(300), gatherer)
    assert returns.mean() == pytest.approx(TASK.reference_return, abs=3 * returns.std() / np.sqrt(300))
    assert returns.min() >= 12
    assert random_returns(TASK, 50).max() < 8
