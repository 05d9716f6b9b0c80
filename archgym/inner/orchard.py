"""Orchard: a small game seen as an image, for convolutional networks that learn within minutes on a CPU.

The rules are this project's own. The board has 10x10 cells. A basket moves along the bottom row: left, not at all, or
right by one cell per step. Every 5 steps a fruit appears in a random cell of the top row; it falls by one row per step
and drifts by -1, 0 or 1 columns per step (each equally likely, the same all the way down), reflected by the walls. It
reaches the bottom row 9 steps after it appeared: there it is worth 1 if the basket, having moved, stands in its column,
and nothing otherwise. Two fruits at most are on the board. The basket starts anywhere. Nothing terminates an episode;
it is truncated after 100 steps, in which 19 fruits arrive.

An observation is an image of bytes, 3 channels of 10x10, 0 or 255: the basket, the fruits, and the fruits where they
were one step before, which shows where they drift (that of a fruit that has just appeared cannot be seen yet).

Both environments step by the same functions: environment i of a batch is the single one of the same seed, bit for bit.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

SIZE = 10  # rows and columns
PERIOD = 5  # steps between fruits: one is in the upper half of the board, the one before it in the lower
DRIFTS = 3  # -1, 0, 1
HORIZON = 100  # steps
ACTIONS = 3  # left, stay, right
IMAGE = (3, SIZE, SIZE)
NONE = -1  # no fruit
BASKET, UPPER, LOWER, ELAPSED = range(4)  # rows of a state


def fruit(rng: np.random.Generator) -> int:
    """Draw a fruit: its first column, plus 10 times its drift's number."""
    return int(rng.integers(SIZE * DRIFTS))


def column(fruits: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.int64]:
    """Columns (n,) of fruits (n,) that have fallen to rows (n,)."""
    unfolded = (fruits % SIZE + (fruits // SIZE - 1) * row) % (2 * SIZE - 2)
    folded: NDArray[np.int64] = np.minimum(unfolded, 2 * SIZE - 2 - unfolded)
    return folded


def start(rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the state (4,) that an episode starts from: the basket's column, upper and lower fruit, steps so far."""
    return np.array([rng.integers(SIZE), fruit(rng), NONE, 0])


def advance(
    state: NDArray[np.int64], actions: NDArray[np.int64], rngs: Sequence[np.random.Generator]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Take one step on n boards.

    Args:
        state: (4, n).
        actions: (n,), 0 left, 1 stay, 2 right.
        rngs: (n,) what fruits are drawn with.

    Returns:
        The next states (4, n), and rewards (n,).
    """
    basket, upper, lower, elapsed = state
    basket, elapsed = np.clip(basket + actions - 1, 0, SIZE - 1), elapsed + 1
    upper, lower = upper.copy(), lower.copy()
    for i in np.flatnonzero(elapsed % PERIOD == 0).tolist():
        upper[i], lower[i] = fruit(rngs[i]), upper[i]
    arrives = (elapsed % PERIOD == PERIOD - 1) & (lower != NONE)
    caught = arrives & (column(lower, np.full_like(lower, SIZE - 1)) == basket)
    return np.stack([basket, upper, lower, elapsed]), caught.astype(np.float64)


def observe(state: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Images (n, 3, 10, 10) of states (4, n)."""
    basket, upper, lower, elapsed = state
    boards = np.arange(state.shape[1])
    image = np.zeros((len(boards), *IMAGE), dtype=np.uint8)
    image[boards, 0, -1, basket] = 255
    fallen = elapsed % PERIOD
    for channel, row in ((1, fallen), (2, fallen - 1)):
        for fruits, rows in ((upper, row), (lower, row + PERIOD)):
            seen = np.flatnonzero((fruits != NONE) & (rows >= 0))
            image[seen, channel, rows[seen], column(fruits[seen], rows[seen])] = 255
    return image


def _observation_space() -> gym.Space[NDArray[np.uint8]]:
    return gym.spaces.Box(0, 255, IMAGE, np.uint8)


class Orchard(gym.Env[NDArray[np.uint8], np.int64]):
    """One board; `gym.make("archgym:Orchard-v0")` adds the limit of 100 steps."""

    metadata = {"render_modes": []}  # noqa: RUF012, Gymnasium declares it as an instance variable

    def __init__(self) -> None:
        self.observation_space = _observation_space()
        self.action_space = gym.spaces.Discrete(ACTIONS)
        self._state = np.zeros((4, 1), dtype=np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Start an episode; `options` are not used."""
        super().reset(seed=seed)
        self._state = start(self.np_random)[:, None]
        return observe(self._state)[0], {}

    def step(self, action: np.int64) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Move the basket, then the fruits."""
        assert self.action_space.contains(action), f"expected an action in {self.action_space}, got {action!r}"
        self._state, rewards = advance(self._state, np.array([action]), [self.np_random])
        return observe(self._state)[0], float(rewards[0]), False, False, {}


class OrchardVector(VectorEnv[NDArray[np.uint8], NDArray[np.int64], NDArray[Any]]):
    """Boards side by side, each with a generator of its own, as Gymnasium's `SyncVectorEnv` has them.

    Args:
        num_envs: How many.
        max_episode_steps: Steps after which an episode is truncated; the step after that resets (NEXT_STEP).
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012, as above

    def __init__(self, num_envs: int = 1, max_episode_steps: int = HORIZON) -> None:
        self.num_envs, self.max_episode_steps = num_envs, max_episode_steps
        self.single_observation_space = _observation_space()
        self.single_action_space = gym.spaces.Discrete(ACTIONS)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rngs = [np.random.default_rng() for _ in range(num_envs)]
        self._state = np.zeros((4, num_envs), dtype=np.int64)

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Start all episodes.

        Args:
            seed: One seed per environment; an integer s means s, s + 1, ...; None goes on with the generators.
            options: Not used.

        Returns:
            Images (num_envs, 3, 10, 10) and an empty info.
        """
        if seed is not None:
            seeds = range(seed, seed + self.num_envs) if isinstance(seed, int) else seed
            self._rngs = [np.random.default_rng(one) for one in seeds]
        self._state = np.stack([start(rng) for rng in self._rngs], axis=1)
        return observe(self._state), {}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Move the baskets, then the fruits; or start the next episode where the last one has ended."""
        assert self.action_space.contains(actions), f"expected actions in {self.action_space}, got {actions!r}"
        ended = self._state[ELAPSED] >= self.max_episode_steps
        rewards = np.zeros(self.num_envs)
        going = np.flatnonzero(~ended)
        rngs = [self._rngs[i] for i in going.tolist()]
        self._state[:, going], rewards[going] = advance(self._state[:, going], actions[going], rngs)
        for i in np.flatnonzero(ended):
            self._state[:, i] = start(self._rngs[i])
        truncated = self._state[ELAPSED] >= self.max_episode_steps
        return observe(self._state), rewards, np.zeros(self.num_envs, dtype=bool), truncated, {}
