"""An architecture that is edited choice by choice: what an edit sets, which ones are legal, and what an agent sees."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from operator import le
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from archgym.search_space import Architecture, SearchSpace

Genes = tuple[int, ...]  # an option of every choice, of inactive ones too
REMEMBERED = 100_000  # answers about constraints, and masks, that are kept; constraints are slow to ask


class Edits:
    """The edits of a search space, for any number of members.

    Args:
        space: What is edited.

    Attributes:
        action_space: One action for every option of every choice, in the order of the space.

    Raises:
        ValueError: If the space has a single architecture.
    """

    def __init__(self, space: SearchSpace) -> None:
        if len(list(islice(space.enumerate(), 2))) < 2:
            raise ValueError(f"env: expected a search space with something to edit, {space.name!r} has 1 architecture.")
        self.space = space
        self.settings = [(position, option) for position, count in enumerate(space.counts) for option in range(count)]
        self.action_space = gym.spaces.Discrete(len(self.settings))
        self.blocks = np.cumsum([0, *space.counts])  # where the actions of each choice begin
        self.mask = lru_cache(REMEMBERED)(self._mask)  # of genes; (actions,) int8, not to be written into
        self._allows = lru_cache(REMEMBERED)(self._ask)
        self._monotone = all(constraint.monotone for constraint in space.constraints)

    def observation_space(self, inner: gym.spaces.Box) -> gym.Space[NDArray[np.float32]]:
        """Append the numbers of `Present.observation` to an observation space."""
        more = 2 * len(self.settings)
        low = np.concatenate([inner.low, np.zeros(more)]).astype(np.float32)
        high = np.concatenate([inner.high, np.ones(more)]).astype(np.float32)
        return gym.spaces.Box(low, high, dtype=np.float32)

    def effective(self, genes: Genes) -> Genes:
        """Give the architecture that these options make, whether the constraints allow it or not."""
        options = list(genes)
        for position in self.space.inactive_positions(genes):
            options[position] = 0
        return tuple(options)

    def broken(self, genes: Genes) -> str | None:
        """Name a constraint that forbids what these options make."""
        architecture = np.array(self.effective(genes), dtype=np.int64)
        return next((one.sentence for one in self.space.constraints if not one.allows(architecture)), None)

    def _mask(self, genes: Genes) -> NDArray[np.int8]:
        """Tell which actions lead from an architecture of the space to another one."""
        inactive, deciding = self.space.inactive_positions(genes), self.space.deciding_positions(genes)
        present, legal = self.effective(genes), []
        for position, count in enumerate(self.space.counts):
            if position in inactive:
                legal += [0] * count
            elif not self.space.constraints:
                legal += [1] * count
            elif self._monotone and position not in deciding:
                allowed = self._first_forbidden(present, position)
                legal += [1] * allowed + [0] * (count - allowed)
            else:
                legal += [self._leads(genes, position, option, present) for option in range(count)]
        mask = np.array(legal, dtype=np.int8)
        mask[self.blocks[:-1] + genes] = 0  # set already
        mask.flags.writeable = False
        return mask

    def _first_forbidden(self, architecture: Genes, position: int) -> int:
        """Find the cheapest option that is forbidden, of an active choice that has no say in what is active.

        Under monotone constraints all dearer ones are forbidden too, and the cheaper ones of an architecture's own not.
        """
        line, count = list(architecture), self.space.counts[position]
        for option in range(architecture[position] + 1, count):
            line[position] = option
            if not self._allows(tuple(line)):
                return option
        return count

    def _leads(self, genes: Genes, position: int, option: int, present: Genes) -> bool:
        """Tell whether the constraints allow an edit of any active choice."""
        edited = self.effective((*genes[:position], option, *genes[position + 1 :]))
        return (self._monotone and all(map(le, edited, present))) or self._allows(edited)

    def _ask(self, architecture: Genes) -> bool:
        vector = np.array(architecture, dtype=np.int64)
        return all(constraint.allows(vector) for constraint in self.space.constraints)


class Present:
    """The present architecture, as an agent meets it; another one is another object.

    Args:
        edits: Those of its space.
        genes: An option of every choice; those of inactive choices are kept, and come back with them.

    Attributes:
        mask: Which actions are legal, (actions,) int8; not to be written into.
    """

    def __init__(self, edits: Edits, genes: Sequence[int] | Architecture) -> None:
        self.edits, self.genes = edits, tuple(int(option) for option in genes)
        self.mask = edits.mask(self.genes)

    @classmethod
    def start(cls, edits: Edits, named: Architecture | None, generator: np.random.Generator) -> "Present":
        """Stand at the named architecture, or at any (None).

        Raises:
            ValueError: If no edit leads away from it.
        """
        present = cls(edits, edits.space.sample(generator) if named is None else named)
        if not present.mask.any():
            label = edits.space.label(present.architecture)
            raise ValueError(f"start: expected an architecture that an edit can leave, got {label!r}.")
        return present

    @property
    def architecture(self) -> Architecture:
        """The architecture itself; its inactive choices are 0."""
        return np.array(self.edits.effective(self.genes), dtype=np.int64)

    def after(self, action: int) -> "Present":
        """Make a legal edit."""
        return Present(self.edits, self._edited(action))

    def refusal(self, action: Any) -> str | None:
        """Say what is wrong with an action; None: nothing."""
        edits, space = self.edits, self.edits.space
        if isinstance(action, np.ndarray) and not action.ndim:
            action = action[()]  # what agents predict for one environment
        if (
            isinstance(action, bool | np.bool_)
            or not isinstance(action, int | np.integer)
            or not 0 <= action < len(edits.settings)
        ):
            return f"action: expected an integer from 0 to {len(edits.settings) - 1}, got {action!r}."
        if self.mask[action]:
            return None
        position, option = edits.settings[int(action)]
        choice = space.choices[position]
        setting, label = f"{choice.name}={choice.options[option]}", space.label(self.architecture)
        why = f"expected an edit that leads to another architecture of {space.name!r}"
        if position in space.inactive_positions(self.genes):
            return f"action {action} ({setting}): {why}, but {choice.name} has no effect in {label!r}."
        if self.genes[position] == option:
            return f"action {action} ({setting}): {why}, but {label!r} has this option."
        return f"action {action} ({setting}): {why} ({edits.broken(self._edited(action))}), got an edit of {label!r}."

    def observation(self) -> NDArray[np.float32]:
        """Write the present options, one-hot per choice, and the mask as numbers, a fresh (2 * actions,)."""
        size = len(self.mask)
        numbers = np.zeros(2 * size, dtype=np.float32)
        numbers[self.edits.blocks[:-1] + self.genes] = 1.0
        numbers[size:] = self.mask
        return numbers

    def _edited(self, action: int | np.integer[Any]) -> Genes:
        position, option = self.edits.settings[int(action)]
        return (*self.genes[:position], option, *self.genes[position + 1 :])
