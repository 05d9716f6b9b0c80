"""What an agent is to a search: what it is asked, on which view it acts, its random numbers, the incumbent's rule.

And the checks of their own settings that several agents make.
"""

import math
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from archgym import lookup
from archgym.running.arguments import SEQUENTIAL, SearchArgs
from archgym.search_space import Architecture
from archgym.stats import ranking
from archgym.window import WindowResult

AGENT_STREAM = 100  # key of the agent's own random numbers below the seed


class Agent(Protocol):
    """What acts on the vector environment. `recommend(k)` is optional: the incumbent's rule stands in for it.

    An agent that scores architectures by `envs.unwrapped.evaluate` has an attribute `asked_episodes`: how many greedy
    episodes it will ask for at most, all of them together, the selection in `recommend` included. The budget of a
    search has room for these, and what is not asked for is spent by the evaluation at the end.

    An agent acts on one kind of view, that of its default `--env-id`. On a sequential one an action decides one choice
    and most rewards are 0; the infos of a step that trained windows hold `env_steps`. `envs.unwrapped.action_masks()`
    tells what is legal there.

    An agent whose learning another search may go on with has `state` and `load_state` (`archgym.running.agent_state`).
    """

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Choose actions, (K, choices) or (K,) on a sequential view, on observations (K, observation size)."""

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        """Learn from the rewards (K,) of the last actions; gives numbers to log, by tag."""


def incumbents(histories: Sequence[Sequence[WindowResult]], count: int) -> list[Architecture]:
    """Rank by the incumbent's rule (`stats.scores`), pooled over members.

    Args:
        histories: Windows of every member; what some members are ahead of the others does not count yet.
        count: How many to give.
    """
    windows = list(zip(*histories, strict=False))
    actions = np.array([[result.action for result in window] for window in windows])
    rewards = np.array([[result.reward for result in window] for window in windows])
    return [np.array(vector, dtype=np.int64) for vector in ranking(actions, rewards)[:count]]


@contextmanager
def own_code() -> Iterator[None]:
    """Let a ValueError of an agent's own code, or of what it uses, end with a traceback.

    On the command line a ValueError says that something was asked for wrongly, and ends as one sentence; whoever writes
    an agent needs to know where it failed. What the environment refuses to do for the agent is such a sentence.

    Raises:
        RuntimeError: From every other ValueError.
    """
    try:
        yield
    except ValueError as error:
        frame, _ = list(traceback.walk_tb(error.__traceback__))[-1]
        raised_by = f"{frame.f_globals['__name__']}."
        if raised_by.startswith("archgym.") and not raised_by.startswith("archgym.agents."):
            raise
        raise RuntimeError(f"the agent's own code failed: {error}") from error


def agent_rng(args: SearchArgs) -> np.random.Generator:
    """Build the agent's own generator, apart from everything the environment draws."""
    return np.random.default_rng(np.random.SeedSequence(args.seed, spawn_key=(AGENT_STREAM,)))


def view(env_id: str, args_class: type[SearchArgs]) -> str:
    """Give the view of an environment that an agent acts on: the one that its own default is."""
    whole = env_id.removesuffix(SEQUENTIAL) + "-v0" if env_id.endswith(SEQUENTIAL) else env_id
    return whole.removesuffix("-v0") + SEQUENTIAL if _by_choices(args_class) else whole


def check_view(envs: Any, args: SearchArgs) -> None:
    """Refuse the view that an agent does not act on.

    Raises:
        ValueError: If it asks for single choices of an agent whose default asks for whole architectures, or the
            reverse.
    """
    by_choices = _by_choices(type(args))
    if hasattr(envs.unwrapped, "action_masks") != by_choices:
        kind, near = "single choices" if by_choices else "whole architectures", view(args.env_id, type(args))
        hint = f" ({near})" if near in gym.registry else ""
        raise ValueError(f"--env-id: expected a view whose actions are {kind}{hint}, got {args.env_id}.")


def check_finite(args: SearchArgs, *names: str) -> None:
    """Refuse settings that are infinite or no number; None, where a setting may be that, is left alone.

    Raises:
        ValueError: If one of them is.
    """
    for name in names:
        value = getattr(args, name)
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{name}: expected a finite number, got {value}.")


def check_idle(args: SearchArgs, names: Iterable[str], beside: str) -> None:
    """Refuse options that another setting leaves without effect.

    An option at its default is never refused: nobody has asked for it.

    Args:
        args: Of the agent.
        names: The options that have no effect.
        beside: The setting that makes it so, as a sentence names it.

    Raises:
        ValueError: If one of them was given.
    """
    for name in names:
        if getattr(args, name) != getattr(type(args), name):
            raise ValueError(f"{name}: expected no value beside {beside}, got {getattr(args, name)}.")


def check_learns(args: SearchArgs, name: str, learns: bool, expected: str, got: float) -> None:
    """Refuse a setting with which a search would end before anything is learned.

    A default is no fault of who asked for a short search: that goes on, with a warning.

    Args:
        args: Of the agent.
        name: The setting.
        learns: Whether something will be learned with it.
        expected: With what something would be, as a sentence says it.
        got: What the setting is, or follows from its default.

    Raises:
        ValueError: If nothing will be learned, and the setting is not the default.
    """
    if learns:
        return
    sentence = f"{name}: expected {expected}, got {got}; nothing would be learned."
    if getattr(args, name) != getattr(type(args), name):
        raise ValueError(sentence)
    warnings.warn(sentence, stacklevel=3)


def load_agent(name: str) -> ModuleType:
    """Import the module of an agent, with its `Agent` and its `Args`.

    Args:
        name: One of the bundled ones, or the dotted name of any module.

    Raises:
        ValueError: If there is no such module, or no agent in it.
    """
    module = lookup.load("archgym.agents", name, "agent")
    args_class = getattr(module, "Args", None)
    if not callable(getattr(module, "Agent", None)) or not isinstance(args_class, type):
        raise ValueError(f"agent {name!r}: expected a module that defines Agent and Args, got {module.__name__}.")
    if not issubclass(args_class, SearchArgs):
        raise ValueError(
            f"agent {name!r}: expected Args to be a dataclass below archgym.running.arguments.SearchArgs, got a class "
            "of its own."
        )
    return module


def _by_choices(args_class: type[SearchArgs]) -> bool:
    return str(args_class.__dataclass_fields__["env_id"].default).endswith(SEQUENTIAL)
