"""What a trainer is given and what it gives back, whatever its algorithm."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from archgym.inner.episodes import EpisodeCounter
from archgym.supernet import Subnets


@dataclass
class Group:
    """Members that train side by side: equal networks, equally many steps behind them.

    Attributes:
        rows: Which of the window's members they are, positions in (0, ..., M - 1).
        subnets: Their checked-out numbers.
        steps: Environment steps that their learners had before the window.
        explored: Environment steps that their exploration rates go by; None: `steps`.
    """

    rows: list[int]
    subnets: Subnets
    steps: int
    explored: int | None = None


def ages(groups: Sequence[Group]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the steps of all members before the window, and those that their exploration rates go by, (M,) each."""
    count = sum(len(group.rows) for group in groups)
    steps, explored = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    for group in groups:
        steps[group.rows] = group.steps
        explored[group.rows] = group.steps if group.explored is None else group.explored
    return steps, explored


@dataclass
class Window:
    """How long a window lasts for members that train in step, and what their episodes come to.

    Attributes:
        slots: Time slots that it lasts at most; each gives every inner environment one step, or its reset.
        counter: What their episodes come to; it knows those that were under way before.
        episodes: The window is over once so many episodes of every member have ended in it; None: with its slots.
    """

    slots: int
    counter: EpisodeCounter
    episodes: int | None = None

    def over(self) -> bool:
        """Tell whether enough episodes have ended; asked behind every slot, or whatever is learned from at once."""
        return self.episodes is not None and int(self.counter.finished.sum(1).min()) >= self.episodes


@dataclass
class Statistics:
    """What the learners of a window did, one entry per member, (M,)."""

    gradient_steps: NDArray[np.int64]
    loss: NDArray[np.float64]
    value: NDArray[np.float64]
    diverged: NDArray[np.bool_]

    @classmethod
    def zeros(cls, count: int) -> "Statistics":
        """Begin with nothing, for so many members."""
        return cls(np.zeros(count, dtype=np.int64), np.zeros(count), np.zeros(count), np.zeros(count, dtype=bool))


@dataclass
class Outcome:
    """What a window came to, one entry per member, (M,)."""

    returns: NDArray[np.float64]
    episodes: NDArray[np.int64]
    cut: NDArray[np.float64]
    gradient_steps: NDArray[np.int64]
    loss: NDArray[np.float64]
    value: NDArray[np.float64]
    epsilon: NDArray[np.float64]
    diverged: NDArray[np.bool_]
    env_steps: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: Sequence["Outcome"], rows: Sequence[Sequence[int]]) -> "Outcome":
        """Put the outcomes of disjoint rows together."""
        order = np.argsort(np.concatenate([np.asarray(own) for own in rows]))
        names = [item.name for item in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts])[order] for name in names))


C = TypeVar("C")


class WindowTrainer(Generic[C]):
    """What all trainers keep: their settings, and the time that their phases take.

    Args:
        config: Resolved settings, see the trainer's `Config.resolved`.
        horizon: Environment steps that one learner lives for, H.
        device: Where networks, and a replay if there is one, lie.
        learner: What computes the gradient steps, one of the trainer's `LEARNERS`.
    """

    def __init__(self, config: C, horizon: int, device: torch.device, learner: str = "reference") -> None:
        self.config, self.horizon = config, horizon
        self.device, self.learner = device, learner
        self.timings = dict.fromkeys(("env", "act", "learn"), 0.0)

    def _took(self, phase: str, since: float) -> float:
        now = time.perf_counter()
        self.timings[phase] += now - since
        return now
