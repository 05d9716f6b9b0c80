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

from archgym.inner.engines import Engine, Pool, Vector
from archgym.inner.tasks import Task
from archgym.observations import Inputs, Observations, dtype_of, shape_of

LARGEST_SEED = 2**31 - 1  # EnvPool takes no more
POLICY_SEED = 0  # of the uniformly random policy; its environments are seeded 0, 1, 2, ...

Policy = Callable[[NDArray[Any]], NDArray[np.int64]]


@dataclass(frozen=True)
class Step:
    """What one step of N inner environments gave, in arrays that nothing overwrites later.

    Attributes:
        observation: (N, observation size) float32, or (N, channels, height, width) uint8.
        reward: (N,), 0 on a reset.
        terminated: (N,), whether the task ended the episode: nothing is to be gained after it.
        truncated: (N,), whether the limit cut the episode.
    """

    observation: Observations
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class InnerEnvs:
    """N inner environments; made by `open_inner_envs`.

    Attributes:
        num_envs: N.
        inputs: Numbers in an observation, or the shape of an image.
        action_count: Actions are the numbers below it.
    """

    def __init__(self, task: Task, seeds: Sequence[int]) -> None:
        self.num_envs = len(seeds)
        self.inputs, self.action_count = dimensions(task)
        space, actions = _spaces(task)
        self._first_action = int(actions.start)
        self._dtype = dtype_of(self.inputs)
        self._channels_last = space.shape != shape_of(self.inputs)
        self._engine: Engine | None = _engine(task, seeds)
        self._seen: Observations | None = None

    def reset(self) -> Observations:
        """Start all episodes: the first time from the seeds, later on with what their generators then give.

        Returns:
            Observations, as in `Step`.
        """
        self._seen = self._own(self._open.reset())
        return self._seen

    def begin(self) -> Observations:
        """Give what a window begins with: what was seen last, or in fresh environments what a reset gives.

        Returns:
            Observations, as in `Step`; where the step before ended an episode, still its last one.
        """
        return self.reset() if self._seen is None else self._seen

    def step(self, actions: NDArray[np.int64]) -> Step:
        """Take one step in every environment.

        Args:
            actions: (N,), from 0 to action_count - 1.

        Returns:
            What it gave.

        Raises:
            ValueError: If an action is out of range, which EnvPool would accept in silence.
        """
        self.send(actions)
        return self.receive()

    def send(self, actions: NDArray[np.int64]) -> None:
        """Begin a step in every environment; EnvPool takes it in a thread of its own, others wait for `receive`.

        Args:
            actions: As for `step`.

        Raises:
            ValueError: If an action is out of range.
        """
        if actions.astype(np.uint64).max() >= self.action_count:  # a negative number is a large one here
            raise ValueError(
                f"inner actions: expected 0 to {self.action_count - 1}, got {actions.min()} to {actions.max()}."
            )
        self._open.send(actions + self._first_action)

    def receive(self) -> Step:
        """End the step that was begun, and give what it gave."""
        told = self._open.receive()
        self._seen = self._own(told.observation)
        return Step(self._seen, np.array(told.reward, dtype=np.float64), told.terminated, told.truncated)

    @property
    def _open(self) -> Engine:
        assert self._engine is not None, "these environments are closed"
        return self._engine

    def _own(self, observation: NDArray[Any]) -> Observations:
        """Copy observations, with the channels of images first."""
        turned = np.moveaxis(observation, -1, 1) if self._channels_last else observation
        return np.array(turned, dtype=self._dtype, order="C")

    def close(self) -> None:
        """Give back what the environments hold."""
        if self._engine is not None:
            self._engine.close()
        self._engine = None


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


def dimensions(task: Task) -> tuple[Inputs, int]:
    """Tell what an observation is and the number of actions; those of listed tasks are known without a look.

    Raises:
        ValueError: As `look`.
    """
    return look(task) if task.sizes is None else task.sizes


@functools.cache
def look(task: Task) -> tuple[Inputs, int]:
    """Look up in the environment what an observation is and the number of actions; opens none in EnvPool.

    Of the three axes of an image the shorter one of the first and the last is the channels'.

    Raises:
        ValueError: If there is no such environment here, or its observations are neither vectors nor images of bytes,
            or its actions not discrete: archgym cannot train on these.
    """
    space, actions = _spaces(task)
    if not isinstance(actions, gym.spaces.Discrete):
        raise ValueError(f"task {task.id!r}: expected discrete actions (a Discrete space), got {actions}.")
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1:
        return space.shape[0], int(actions.n)
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 3 and space.dtype == np.uint8:
        first, middle, last = space.shape
        return ((last, first, middle) if last < first else (first, middle, last)), int(actions.n)
    raise ValueError(
        f"task {task.id!r}: expected vectors as observations (a Box of one axis), or images of bytes (a Box of three "
        f"axes and uint8), got {space}."
    )


def backend(task: Task) -> str:
    """Name what steps a task on this machine: its own backend, or Gymnasium where EnvPool has no build."""
    return "gymnasium" if task.backend == "envpool" and _envpool() is None else task.backend


def episode_returns(task: Task, seeds: Sequence[int], policy: Policy) -> NDArray[np.float64]:
    """Play one whole episode per seed.

    Args:
        task: What to play.
        seeds: As for `open_inner_envs`, (N,).
        policy: Maps observations, as in `Step`, to actions (N,); also asked for episodes that have ended.

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
    """The observation and action space of one environment.

    Raises:
        ValueError: If neither EnvPool nor Gymnasium have a task of the table here: Atari is in EnvPool alone.
    """
    if backend(task) == "envpool":
        if task.id not in _envpool().list_all_envs():
            raise ValueError(f"task {task.id!r}: expected an EnvPool that has it, got one without (of this platform).")
        with _no_casting_warnings():
            spec = _envpool().make_spec(task.id)
            return spec.observation_space, spec.action_space
    if task.backend == "envpool" and task.id not in gym.registry:
        raise ValueError(f"task {task.id!r}: expected EnvPool, which alone has it; it cannot be imported here.")
    with closing(gym.make(task.id, disable_env_checker=True)) as env:
        return env.observation_space, env.action_space


def _engine(task: Task, seeds: Sequence[int]) -> Engine:
    """Make what steps the environments."""
    limit = task.episode_limit
    match backend(task):
        case "envpool":
            # One thread: for small tasks as fast as more, and not at the mercy of a busy machine.
            with _no_casting_warnings():
                pool = _envpool().make_gymnasium(
                    task.id, num_envs=len(seeds), seed=list(seeds), num_threads=1, max_episode_steps=limit
                )
                _ = pool.observation_space  # built here, once per pool, and not in the first reset
            return Pool(pool)
        case "gymnasium-vector":
            envs = gym.make_vec(
                task.id, num_envs=len(seeds), vectorization_mode="vector_entry_point", max_episode_steps=limit
            )
            return Vector(envs, seeds)
        case _:
            make = functools.partial(gym.make, task.id, max_episode_steps=limit, disable_env_checker=True)
            several = SyncVectorEnv([make] * len(seeds), copy=False, autoreset_mode=AutoresetMode.NEXT_STEP)
            return Vector(several, seeds)
