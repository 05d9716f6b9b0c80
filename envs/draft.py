"""An architecture that is decided choice by choice: what is asked, what is legal, and what an agent sees of it."""

from collections.abc import Sequence

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from archgym import drafts
from archgym.lookup import unknown
from archgym.problem import Problem
from archgym.search_space import Architecture, SearchSpace

ILLEGAL = ("penalise", "refuse")
ILLEGAL_PENALTY = 0.1  # what an illegal decision costs with illegal="penalise"


class Draft:
    """An architecture under construction.

    Args:
        space: What it will be a part of.
        prefix: Options decided so far.

    Attributes:
        prefix: Options decided so far; those of inactive choices are 0.
    """

    def __init__(self, space: SearchSpace, prefix: Sequence[int] = ()) -> None:
        self.space, self.prefix = space, list(prefix)
        self._mask: NDArray[np.int8] | None = None  # of the choice that is asked, once somebody wants to know
        self._starts: NDArray[np.int64] | None = None  # where each choice's options begin in the observation; the mask

    @property
    def complete(self) -> bool:
        """Whether all choices are decided."""
        return len(self.prefix) == len(self.space.choices)

    @property
    def architecture(self) -> Architecture:
        """What has been decided."""
        return np.array(self.prefix, dtype=np.int64)

    def mask(self) -> NDArray[np.int8]:
        """Tell which actions are legal, a fresh (largest number of options,); all 0 once complete."""
        return self._legal().copy()

    def refusal(self, action: object) -> str | None:
        """Say what is wrong with a decision; None: nothing.

        An inactive choice, which has no effect, takes any of its options, as whole architectures do.
        """
        choice = self.space.choices[len(self.prefix)]
        if isinstance(action, np.ndarray) and not action.ndim:
            action = action[()]  # what agents predict for one environment
        if isinstance(action, bool | np.bool_) or not isinstance(action, int | np.integer):
            return f"option of {choice.name!r}: expected an integer, got {action!r}."
        if not 0 <= action < len(choice.options):
            listed = ", ".join(map(str, choice.options))
            return f"option of {choice.name!r}: expected 0 to {len(choice.options) - 1} ({listed}), got {action}."
        if not self.space.constraints or self._legal()[action] or self.space.is_inactive(self.prefix):
            return None
        decided = self.space.label_prefix(self.prefix) or "nothing"
        legal = ", ".join(str(choice.options[index]) for index in np.flatnonzero(self._legal()))
        return (
            f"option of {choice.name!r}: expected one that leads to an architecture of {self.space.name!r} "
            f"(decided: {decided}; legal: {legal}), got {choice.options[action]}."
        )

    def decide(self, action: int) -> None:
        """Take a legal decision."""
        self.prefix.append(0 if self.space.is_inactive(self.prefix) else int(action))
        self._mask = None

    def observation(self) -> NDArray[np.float32]:
        """Write the choice that is asked, what was decided and what is legal as numbers, a fresh (`drafts.size`,)."""
        if self._starts is None:
            self._starts = np.cumsum([len(self.space.choices), *self.space.counts])
        numbers, done = np.zeros(drafts.size(self.space), dtype=np.float32), len(self.prefix)
        numbers[self._starts[:done] + self.architecture] = 1.0
        if not self.complete:
            numbers[done] = 1.0
            numbers[self._starts[-1] :] = self._legal()
        return numbers

    def _legal(self) -> NDArray[np.int8]:
        """Give the mask itself."""
        if self._mask is None:
            self._mask = np.zeros(max(self.space.counts), dtype=np.int8)
            if not self.complete:
                own = self.space.mask(self.prefix)
                self._mask[: len(own)] = own
        return self._mask


def observation_space(base: gym.spaces.Box, space: SearchSpace) -> gym.spaces.Box:
    """Append the numbers of a draft to an observation space."""
    size = drafts.size(space)
    low = np.concatenate([base.low, np.zeros(size, dtype=np.float32)])
    high = np.concatenate([base.high, np.ones(size, dtype=np.float32)])
    return gym.spaces.Box(low, high, dtype=np.float32)


def check_illegal(illegal: str) -> str:
    """Refuse a rule for illegal decisions that does not exist."""
    if illegal not in ILLEGAL:
        raise unknown("rule for illegal actions (illegal)", illegal, ILLEGAL)
    return illegal


def check_in_step(illegal: str, problem: Problem, members: int) -> None:
    """Refuse penalties where members train one supernet: a penalised one would train fewer windows than the others."""
    if illegal == "penalise" and problem.settings.share_weights and members > 1:
        raise ValueError(
            "illegal: expected 'refuse', for with share_weights=True members train in step; got 'penalise'."
        )
