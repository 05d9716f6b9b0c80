"""The inner RL problems: what an architecture is searched for.

Loads neither EnvPool nor Gymnasium until a task outside the table is asked for.
"""

import difflib
import functools
import importlib
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from archgym.lookup import unknown
from archgym.observations import Inputs

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

BACKENDS = ("envpool", "gymnasium", "gymnasium-vector")
DEFAULT_EPISODE_LIMIT = 1000  # env steps, for ids that Gymnasium knows without a limit
RANDOM_EPISODES = 20  # that measure a task outside the table
LARGEST_RETURN = 1e150  # so that what is made of returns is finite
NEAR = 3  # ids of Gymnasium that are tried before one of them is suggested


@dataclass(frozen=True)
class Task:
    """An inner RL problem with discrete actions, and vectors or images for observations.

    Returns are normalised so that `random_return` is 0 and `reference_return` is 1.
    """

    id: str
    """The id in EnvPool or Gymnasium, which may be `module:id`."""
    episode_limit: int
    """Environment steps after which an episode is truncated."""
    random_return: float
    """Mean return of the uniformly random policy."""
    reference_return: float
    """Mean return that counts as solved."""
    reference_source: str
    """Who says so."""
    budget: int | None = None
    """Environment steps within which the default DQN learns it: the median of 10 members of the default architecture
    has a normalised return of 0.9 in a window by then (`archgym search fixed --num-envs 10`). None: not measured."""
    backend: str = "gymnasium"
    """`envpool`, `gymnasium`, or `gymnasium-vector` for the vector environment that the id is registered with, whose
    `reset` must take one seed per environment and whose episodes must restart on the next step."""

    search_episode_limit: int | None = None
    """The episode limit of everything in a search, where `episode_limit` would make the windows very long (the default
    window lets every inner environment finish an episode of the longest length). None: `episode_limit`."""

    sizes: tuple[Inputs, int] | None = None
    """What an observation is, and how many actions there are, so that nothing need be opened to know; None: the
    environment is asked (`archgym.inner.envs.dimensions`)."""

    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    """Settings that the task brings along, by trainer and name, where the trainer's own defaults do not learn it. They
    hold under the preset `default`, and what the user gives goes before them."""

    fixed_length: bool = False
    """Whether every episode lasts for `episode_limit` steps, so that equally many episodes are equally many steps."""

    def in_search(self) -> "Task":
        """Give the task as searches play it: with `search_episode_limit` as its episode limit."""
        if self.search_episode_limit is None:
            return self
        return replace(self, episode_limit=self.search_episode_limit, search_episode_limit=None)

    def __post_init__(self) -> None:
        """Refuse values that nothing can be measured with."""
        if self.backend not in BACKENDS:
            raise unknown("backend", self.backend, BACKENDS)
        if self.episode_limit < 1:
            raise ValueError(f"task {self.id!r}: expected an episode_limit of at least 1, got {self.episode_limit}.")
        if self.search_episode_limit is not None and not 1 <= self.search_episode_limit <= self.episode_limit:
            raise ValueError(
                f"task {self.id!r}: expected a search_episode_limit from 1 to {self.episode_limit} (episode_limit), "
                f"got {self.search_episode_limit}."
            )
        if not self.random_return < self.reference_return:
            raise ValueError(
                f"task {self.id!r}: expected a reference_return above random_return, "
                f"got {self.reference_return} and {self.random_return}."
            )


THRESHOLD = "reward_threshold of Gymnasium's registry"
MEASURED = "python benchmarks/reference_returns.py --episodes 1000"  # every random_return, seeds 0 to 999
# But those of Atari: --atari-episodes 200, episodes as long as EnvPool's (27,000 steps).
TESTER = "human tester, Wang et al. 2016 (arXiv 1511.06581)"


def _atari(id: str, random_return: float, tester: float, actions: int) -> Task:
    """Describe a game of EnvPool's Atari, with EnvPool's defaults for its preprocessing.

    Grey images of 84x84, the last 4 of them; every action is repeated for 4 frames, of which the last two are maximised
    over; up to 30 idle steps and FIRE at the start; whole games, with their true scores. No episode of the random
    policy, and no game of Freeway, is longer than the limit of searches.
    """
    sizes = (4, 84, 84), actions
    return Task(id, 27_000, random_return, tester, TESTER, backend="envpool", search_episode_limit=2_100, sizes=sizes)


TASKS: dict[str, Task] = {
    task.id: task
    for task in (
        Task("CartPole-v1", 500, 22.3, 475.0, THRESHOLD, budget=100_000, backend="envpool", sizes=(4, 2)),
        Task("Acrobot-v1", 500, -499.2, -100.0, THRESHOLD, budget=60_000, backend="envpool", sizes=(6, 3)),
        Task(
            "MountainCar-v0",
            200,
            -200.0,
            -110.0,
            THRESHOLD,
            budget=200_000,
            backend="envpool",
            sizes=(2, 3),
            settings={"dqn": {"train_frequency": 100, "gradient_steps": 50}},
        ),
        Task("LunarLander-v3", 1000, -187.3, 200.0, THRESHOLD, budget=300_000, backend="envpool", sizes=(8, 4)),
        Task(
            "NASDQNPendulum-v0",
            500,
            -57.5,
            -8.0,
            f"hand-written expert, {MEASURED}",
            budget=60_000,
            backend="gymnasium-vector",
            sizes=(3, 5),
            fixed_length=True,
        ),
        Task(
            "Orchard-v0",
            100,
            1.93,
            16.3,
            f"hand-written expert, {MEASURED}",
            budget=None,
            backend="gymnasium-vector",
            sizes=((3, 10, 10), 3),
        ),
        _atari("Breakout-v5", 1.25, 30.5, 4),
        _atari("Freeway-v5", 0.0, 29.6, 3),
        _atari("Pong-v5", -20.4, 14.6, 6),
    )
}


@functools.cache  # so that a task outside the table is measured, and warned about, once
def get_task(id: str) -> Task:
    """Find a task by its id.

    An id outside the table is run by Gymnasium, and its random return is measured here, by the same 20 episodes each
    time. Its reference is the registered reward_threshold; where that is missing or no better than random, an arbitrary
    one is set, with a warning.

    Args:
        id: A key of `TASKS`, or any id of Gymnasium with its version; `module:id` imports the module first.

    Returns:
        The task.

    Raises:
        ValueError: If there is no such id, or a package that it needs is missing, or its actions are not discrete, or
            its observations are neither vectors nor images.
    """
    if id in TASKS:
        return TASKS[id]
    spec = _registered(id)
    if spec.id in TASKS:  # "archgym:NASDQNPendulum-v0"
        return TASKS[spec.id]
    return _measured(id, spec.max_episode_steps, spec.reward_threshold)


def check_returns(id: str, returns: NDArray[np.float64]) -> None:
    """Refuse returns that nothing can be made of.

    Args:
        id: Of the task.
        returns: Of episodes, (N,).

    Raises:
        ValueError: If one of them is not a number, infinite or beyond `LARGEST_RETURN`.
    """
    for value in returns[~(np.abs(returns) <= LARGEST_RETURN)][:1]:
        raise ValueError(
            f"task {id!r}: expected rewards whose sums are finite, from {-LARGEST_RETURN:g} to {LARGEST_RETURN:g}, "
            f"got a return of {value:g}."
        )


def _registered(id: str) -> "EnvSpec":
    """Look an id up in Gymnasium's registry."""
    import gymnasium as gym

    module, _, name = id.rpartition(":")
    if module.startswith("."):
        raise ValueError(f"task {id!r}: expected the whole name of a module before the colon, got {module!r}.")
    try:
        if module:
            importlib.import_module(module)
        return gym.spec(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise ValueError(f"task {id!r}: expected a module that can be imported, got {error}.") from error
        raise ValueError(f"unknown task {id!r}: there is no module {error.name!r} to import.") from error
    except gym.error.Error as error:
        near = difflib.get_close_matches(name, gym.registry, n=NEAR)
        refusal = unknown("task", id, [*TASKS, *(one for one in near if one not in TASKS and _is_task(one))])
        raise ValueError(
            f"{refusal} Any id registered with Gymnasium works too, or 'module:id' if a module registers it."
        ) from error


def _is_task(id: str) -> bool:
    """Tell whether an id of Gymnasium can be made here, without further packages, and has discrete actions."""
    import gymnasium as gym

    if id.startswith("ArchSearch-"):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that an id is of the past
            made = gym.make(id)
    except Exception:  # whatever it is, it is not what was asked for, and must not take the place of the refusal
        return False
    made.close()
    return isinstance(made.action_space, gym.spaces.Discrete)


def _measured(id: str, limit: int | None, threshold: float | None) -> Task:
    """Make a task of an id that is not in the table."""
    import gymnasium as gym

    from archgym.inner.envs import random_returns

    draft = Task(id, limit or DEFAULT_EPISODE_LIMIT, -math.inf, math.inf, reference_source="")
    try:
        returns = random_returns(draft, RANDOM_EPISODES)
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        raise ValueError(f"task {id!r}: expected the packages that it needs, but one is missing: {error}") from error
    check_returns(id, returns)
    random = float(returns.mean())
    if limit is None:
        warnings.warn(
            f"task {id!r} has no episode limit: its episodes are truncated after {draft.episode_limit} steps.",
            stacklevel=3,
        )
    if threshold is not None and threshold > random:
        return replace(draft, random_return=random, reference_return=float(threshold), reference_source=THRESHOLD)
    arbitrary = random + max(abs(random), 1.0)
    warnings.warn(
        f"task {id!r} has no reward_threshold above its random return of {random:.6g}: its reference return becomes "
        f"{arbitrary:.6g}, which is arbitrary. Set the environment's keywords random_return and reference_return "
        "(--inner reference_return=...).",
        stacklevel=3,
    )
    source = "arbitrary: random_return + max(|random_return|, 1)"
    return replace(draft, random_return=random, reference_return=arbitrary, reference_source=source)
