"""An architecture that is decided choice by choice: what is asked, what is legal, and what an agent sees of it."""

from collections.abc import Sequence

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from archgym.lookup import unknown
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
        self._starts = np.cumsum([len(space.choices), *space.counts])  # where each choice's options begin; the mask
        self._numbers = np.zeros(self.size(space), dtype=np.float32)
        for choice, option in enumerate(self.prefix):
            self._numbers[self._starts[choice] + option] = 1.0
        self._ask()

    @property
    def complete(self) -> bool:
        """Whether all choices are decided."""
        return len(self.prefix) == len(self.space.choices)

    @property
    def architecture(self) -> Architecture:
        """What has been decided, once it is complete."""
        return np.array(self.prefix, dtype=np.int64)

    def mask(self) -> NDArray[np.int8]:
        """Tell which actions are legal, a fresh (largest number of options,); all 0 once complete."""
        return self._mask.copy()

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
        if self._mask[action] or self.space.is_inactive(self.prefix):
            return None
        decided = self.space.label_prefix(self.prefix) or "nothing"
        legal = ", ".join(str(choice.options[index]) for index in np.flatnonzero(self._mask))
        return (
            f"option of {choice.name!r}: expected one that leads to an architecture of {self.space.name!r} "
            f"(decided: {decided}; legal: {legal}), got {choice.options[action]}."
        )

    def decide(self, action: int) -> None:
        """Take a legal decision."""
        choice = len(self.prefix)
        option = 0 if self.space.is_inactive(self.prefix) else int(action)
        self.prefix.append(option)
        self._numbers[choice] = 0.0
        self._numbers[self._starts[choice] + option] = 1.0
        self._ask()

    def observation(self) -> NDArray[np.float32]:
        """Write the choice that is asked, what was decided and what is legal as numbers, a fresh (`size`,)."""
        return self._numbers.copy()

    @staticmethod
    def size(space: SearchSpace) -> int:
        """Count the numbers of `observation`."""
        return len(space.choices) + sum(space.counts) + max(space.counts)

    def _ask(self) -> None:
        """Turn to the next choice."""
        self._mask = np.zeros(max(self.space.counts), dtype=np.int8)
        if not self.complete:
            self._numbers[len(self.prefix)] = 1.0
            own = self.space.mask(self.prefix)
            self._mask[: len(own)] = own
        self._numbers[self._starts[-1] :] = self._mask


def observation_space(base: gym.spaces.Box, space: SearchSpace) -> gym.spaces.Box:
    """Append the numbers of a draft to an observation space."""
    size = Draft.size(space)
    low = np.concatenate([base.low, np.zeros(size, dtype=np.float32)])
    high = np.concatenate([base.high, np.ones(size, dtype=np.float32)])
    return gym.spaces.Box(low, high, dtype=np.float32)


def check_illegal(illegal: str) -> str:
    """Refuse a rule for illegal decisions that does not exist."""
    if illegal not in ILLEGAL:
        raise unknown("rule for illegal actions (illegal)", illegal, ILLEGAL)
    return illegal
