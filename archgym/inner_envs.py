"""One face over EnvPool and Gymnasium: N inner environments of a task, with next-step autoreset.

The step that ends an episode returns its true last observation. The step after that ignores the action: it returns the
first observation of the next episode, reward 0, and neither flag.

The backends differ in one place: where an episode really terminates on the very step of its limit, EnvPool reports it
as truncated only, Gymnasium as terminated and truncated.
"""

import functools
import logging
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from archgym.tasks import Task

LARGEST_SEED = 2**31 - 1  # EnvPool takes no more
POLICY_SEED = 0  # of the uniformly random policy; its environments are seeded 0, 1, 2, ...

Policy = Callable[[NDArray[np.float32]], NDArray[np.int64]]


@dataclass(frozen=True)
class Step:
    """What one step of N inner environments gave, in arrays that nothing overwrites later.

    Attributes:
        observation: (N, observation size).
        reward: (N,), 0 on a reset.
        terminated: (N,), whether the task ended the episode: nothing is to be gained after it.
        truncated: (N,), whether the limit cut the episode.
    """

    observation: NDArray[np.float32]
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class InnerEnvs:
    """N inner environments; made by `open_inner_envs`.

    Attributes:
        num_envs: N.
        observation_size: Entries of an observation.
        action_count: Actions are the numbers below it.
    """

    def __init__(self, task: Task, seeds: Sequence[int]) -> None:
        self.num_envs = len(seeds)
        self.observation_size, self.action_count = dimensions(task)
        self._first_action = int(_spaces(task)[1].start)
        self._engine = _engine(task, seeds)
        # EnvPool is seeded when it is made, Gymnasium by its first reset.
        self._first_reset = {} if backend(task) == "envpool" else {"seed": list(seeds)}

    def reset(self) -> NDArray[np.float32]:
        """Start all episodes: the first time from the seeds, later on with what their generators then give.

        Returns:
            Observations, (N, observation size).
        """
        observation, _ = self._engine.reset(**self._first_reset)
        self._first_reset = {}
        return np.array(observation, dtype=np.float32)

    def step(self, actions: NDArray[np.int64]) -> Step:
        """Take one step in every environment.

        Args:
            actions: (N,), from 0 to action_count - 1.

        Returns:
            What it gave.

        Raises:
            ValueError: If an action is out of range, which EnvPool would accept in silence.
        """
        if actions.min() < 0 or actions.max() >= self.action_count:
            raise ValueError(
                f"inner actions: expected 0 to {self.action_count - 1}, got {actions.min()} to {actions.max()}."
            )
        observation, reward, terminated, truncated, _ = self._engine.step(actions + self._first_action)
        return Step(np.array(observation, dtype=np.float32), np.array(reward, dtype=np.float64), terminated, truncated)

    def close(self) -> None:
        """Give back what the environments hold."""
        if self._engine is not None:
            self._engine.close()
        self._engine = None  # the threads of EnvPool end with its last reference, not with its close


def open_inner_envs(task: Task, seeds: Sequence[int]) -> InnerEnvs:
    """Open fresh inner environments, one per seed.

    Args:
        task: What they are.
        seeds: From 0 to 2**31 - 1; environment i depends on `seeds[i]` alone.

    Returns:
        The environments, to be reset before the first step.

    Raises:
        ValueError: If there is no seed or one is out of range, or if archgym cannot train on the task.
    """
    seeds = [operator.index(seed) for seed in seeds]
    if not seeds or not all(0 <= seed <= LARGEST_SEED for seed in seeds):
        raise ValueError(f"seeds of inner environments: expected integers from 0 to {LARGEST_SEED}, got {seeds}.")
    return InnerEnvs(task, seeds)


@functools.cache
def dimensions(task: Task) -> tuple[int, int]:
    """Tell the size of an observation and the number of actions; opens no environments in EnvPool.

    Raises:
        ValueError: If the observations are no vectors or the actions not discrete: archgym cannot train on these.
    """
    observations, actions = _spaces(task)
    if not isinstance(actions, gym.spaces.Discrete):
        raise ValueError(f"task {task.id!r}: expected discrete actions (a Discrete space), got {actions}.")
    if not isinstance(observations, gym.spaces.Box) or len(observations.shape) != 1:
        raise ValueError(f"task {task.id!r}: expected vectors as observations (a Box of one axis), got {observations}.")
    return observations.shape[0], int(actions.n)


def backend(task: Task) -> str:
    """Name what steps a task on this machine: its own backend, or Gymnasium where EnvPool has no build."""
    return "gymnasium" if task.backend == "envpool" and _envpool() is None else task.backend


def episode_returns(task: Task, seeds: Sequence[int], policy: Policy) -> NDArray[np.float64]:
    """Play one whole episode per seed.

    Args:
        task: What to play.
        seeds: As for `open_inner_envs`, (N,).
        policy: Maps observations (N, observation size) to actions (N,); also asked for episodes that have ended.

    Returns:
        The returns, (N,).
    """
    with closing(open_inner_envs(task, seeds)) as envs:
        observation = envs.reset()
        returns, running = np.zeros(len(seeds)), np.ones(len(seeds), dtype=bool)
        while running.any():
            step = envs.step(policy(observation))
            returns[running] += step.reward[running]
            running &= ~(step.terminated | step.truncated)
            observation = step.observation
    return returns


def random_returns(task: Task, episodes: int) -> NDArray[np.float64]:
    """Play episodes with the uniformly random policy, the same ones at every call.

    Args:
        task: What to play.
        episodes: How many, with environment seeds 0, 1, 2, ...

    Returns:
        The returns, (episodes,).
    """
    rng, (_, actions) = np.random.default_rng(POLICY_SEED), dimensions(task)
    return episode_returns(task, range(episodes), lambda observations: rng.integers(actions, size=len(observations)))


@functools.cache
def _envpool() -> Any:
    """Import EnvPool; None, and one line in the log, where it cannot be."""
    try:
        import envpool
    except ImportError as error:
        logging.getLogger("archgym").warning("EnvPool cannot be imported (%s): its tasks run in Gymnasium.", error)
        return None
    return envpool


@contextmanager
def _no_casting_warnings() -> Iterator[None]:
    """Silence what is said, without harm, whenever EnvPool builds its spaces of float32 from bounds in float64."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Box (low|high)'s precision lowered by casting")
        yield


@functools.cache
def _spaces(task: Task) -> tuple[Any, Any]:
    """The observation and action space of one environment."""
    if backend(task) == "envpool":
        with _no_casting_warnings():
            spec = _envpool().make_spec(task.id)
            return spec.observation_space, spec.action_space
    with closing(gym.make(task.id, disable_env_checker=True)) as env:
        return env.observation_space, env.action_space


def _engine(task: Task, seeds: Sequence[int]) -> Any:
    """Make what steps the environments: all speak Gymnasium's vector interface, with next-step autoreset."""
    limit = task.episode_limit
    match backend(task):
        case "envpool":
            # One thread: for small tasks as fast as more, and not at the mercy of a busy machine.
            with _no_casting_warnings():
                pool = _envpool().make_gymnasium(
                    task.id, num_envs=len(seeds), seed=list(seeds), num_threads=1, max_episode_steps=limit
                )
                _ = pool.observation_space  # built here, once per pool, and not in the first reset
            return pool
        case "gymnasium-vector":
            return gym.make_vec(
                task.id, num_envs=len(seeds), vectorization_mode="vector_entry_point", max_episode_steps=limit
            )
        case _:
            make = functools.partial(gym.make, task.id, max_episode_steps=limit, disable_env_checker=True)
            return SyncVectorEnv([make] * len(seeds), copy=False, autoreset_mode=AutoresetMode.NEXT_STEP)
