"""What a trainer is given and what it gives back, whatever its algorithm."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from archgym.supernet import Subnets


@dataclass
class Group:
    """Members that train side by side: equal networks, equally many steps behind them.

    Attributes:
        rows: Which of the window's members they are, positions in (0, ..., M - 1).
        subnets: Their checked-out numbers.
        steps: Environment steps that their learners had before the window.
    """

    rows: list[int]
    subnets: Subnets
    steps: int


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

    @classmethod
    def joined(cls, parts: Sequence["Outcome"], rows: Sequence[Sequence[int]]) -> "Outcome":
        """Put the outcomes of disjoint rows together."""
        order = np.argsort(np.concatenate([np.asarray(own) for own in rows]))
        names = [item.name for item in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts])[order] for name in names))
