"""What steps inner environments: an EnvPool, or a vector environment of Gymnasium; both with next-step autoreset."""

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

REST = 0.1
"""Seconds that a closed EnvPool is kept. Deleted right after a step on a busy machine, one can wait for ever for a
thread of its own that has already ended (1.2.5, seen once)."""


class Told(NamedTuple):
    """What one step of N environments gave, in the arrays of whoever gave it, first axis N."""

    observation: NDArray[Any]
    reward: NDArray[Any]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class Engine(Protocol):
    """Steps N environments, each of which is reset by the step after an episode's last."""

    def reset(self) -> NDArray[Any]:
        """Start all episodes: the first time from the seeds, later on with what their generators then give."""

    def send(self, actions: NDArray[np.int64]) -> None:
        """Begin a step with actions (N,)."""

    def receive(self) -> Told:
        """End the step that was begun."""

    def close(self) -> None:
        """Give back what the environments hold."""


class Pool:
    """An EnvPool, which steps in a thread of its own, from `send` on.

    Its compiled methods are called directly: the Python around them takes about 40 microseconds per step, longer than
    they do themselves.

    Args:
        pool: Made by `envpool.make_gymnasium` with its seeds, for a task with one player and discrete actions.
    """

    def __init__(self, pool: Any) -> None:
        self._pool, self._ids, self._kind = pool, pool.all_env_ids, pool._spec._action_spec[-1][0]
        assert pool._spec._action_keys == ["env_id", "players.env_id", "action"], pool._spec._action_keys
        names = [name.split(":")[0] for name in pool._state_keys]
        assert names.count("obs") == 1, pool._state_keys
        self._places = [names.index(name) for name in ("obs", "reward", "done", "trunc")]

    def reset(self) -> NDArray[Any]:
        """Start all episodes."""
        observation: NDArray[Any] = self._pool.reset()[0]
        return observation

    def send(self, actions: NDArray[np.int64]) -> None:
        """Begin a step."""
        self._pool._send([self._ids, self._ids, actions.astype(self._kind)])

    def receive(self) -> Told:
        """End the step, and wait for it."""
        states = self._pool._recv()
        observation, reward, done, truncated = (states[place] for place in self._places)
        return Told(observation, reward, done & ~truncated, truncated)

    def close(self) -> None:
        """Close the pool; its threads end `REST` seconds later, with its last reference."""
        self._pool.close()
        last, self._pool = [self._pool], None
        threading.Timer(REST, last.clear).start()


class Vector:
    """A vector environment of Gymnasium, which steps when the step is asked for.

    Args:
        envs: A `gymnasium.vector.VectorEnv` with `AutoresetMode.NEXT_STEP`, whose `reset` takes a list of seeds.
        seeds: For its first reset, (N,).
    """

    def __init__(self, envs: Any, seeds: Sequence[int]) -> None:
        self._envs = envs
        self._seeds: list[int] | None = list(seeds)

    def reset(self) -> NDArray[Any]:
        """Start all episodes."""
        observation: NDArray[Any] = self._envs.reset(seed=self._seeds)[0]
        self._seeds = None
        return observation

    def send(self, actions: NDArray[np.int64]) -> None:
        """Remember the actions."""
        self._sent = actions

    def receive(self) -> Told:
        """Step."""
        return Told(*self._envs.step(self._sent)[:4])

    def close(self) -> None:
        """Close the environments."""
        self._envs.close()
