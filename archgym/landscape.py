"""A planted landscape over a search space, with a known optimum.

    value(a) = 1 - [ additive A(a) + pairwise P(a) + ruggedness R(a) ] / (additive + pairwise + ruggedness)

All penalties lie between 0 and 1 and are 0 at the planted optimum, whose value is therefore 1, in a space of any size:
A is a weighted mean of one penalty per choice, P the mean of one penalty per pair of choices, R a penalty drawn for
every architecture alone.
"""

import math
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from archgym import memory
from archgym.search_space import Architecture, SearchSpace

SMALLEST_PENALTY = 0.2  # of a wrong option: the optimum stands out
LARGEST = 1e100  # of a weight or the noise, so that values and returns are finite
REMEMBERED = 100_000  # architectures whose values are kept, so that a long search in a huge space needs no more room


@dataclass(frozen=True)
class Config:
    """What the landscape looks like."""

    landscape: int = 0
    """Seed of the landscape: which architecture is the best, and all penalties. Lifetimes share it."""
    additive: float = 1.0
    """Weight of the penalties of single choices."""
    pairwise: float = 0.5
    """Weight of the penalties of pairs of choices."""
    ruggedness: float = 0.1
    """Weight of a penalty that says nothing about neighbours."""
    noise: float = 0.1
    """Standard deviation of a window's normalised return around the value."""
    rise: float = 0.0
    """Share of the value that is missing at the beginning of a lifetime, and comes linearly, as a learner's does."""
    drift: float = 0.0
    """Share of a second landscape, with an optimum of its own, that has taken over by the end of a lifetime."""

    def __post_init__(self) -> None:
        """Refuse what is no landscape."""
        for name in ("additive", "pairwise", "ruggedness", "noise", "rise", "drift"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ValueError(f"{name}: expected a number of at least 0, got {value!r}.")
            if value > LARGEST:
                raise ValueError(f"{name}: expected a number of at most {LARGEST:g}, got {value!r}.")
            if name in ("rise", "drift") and value > 1:
                raise ValueError(f"{name}: expected a number from 0 to 1, got {value!r}.")
        if not self.additive + self.pairwise + self.ruggedness:
            raise ValueError("additive, pairwise, ruggedness: expected one of them above 0, got 0.")
        if isinstance(self.landscape, bool) or not isinstance(self.landscape, int) or self.landscape < 0:
            raise ValueError(f"landscape: expected an integer of at least 0, got {self.landscape!r}.")


PRESETS: dict[str, Config] = {"default": Config()}


class Landscape:
    """One planted landscape over a space.

    Args:
        space: Whose architectures it scores.
        config: Its weights and seed.
        number: Which landscape of that seed.
        task: Another task has another landscape.

    Attributes:
        optimum: The planted best architecture; its value is 1.
    """

    def __init__(self, space: SearchSpace, config: Config, number: int = 0, task: str = "CartPole-v1") -> None:
        self.space, self.config, self.key = space, config, (number, zlib.crc32(task.encode()))
        rng = np.random.default_rng(np.random.SeedSequence(config.landscape, spawn_key=self.key))
        self.optimum = space.sample(rng)
        # One more option for each choice: being inactive.
        self._offsets = np.cumsum([0, *(count + 1 for count in space.counts[:-1])])
        total = int(self._offsets[-1]) + space.counts[-1] + 1
        best = self._positions(self.optimum)
        weights = rng.uniform(0.2, 1.0, len(space.counts))
        single = rng.uniform(SMALLEST_PENALTY, 1.0, total)
        single[best] = 0.0
        self._single = single * np.repeat(weights / weights.sum(), np.array(space.counts) + 1)
        with memory.enough(choices=len(space.counts), options=sum(space.counts)):
            pairs = np.triu(rng.uniform(0.0, 1.0, (total, total)), 1)
            pairs[np.ix_(best, best)] = 0.0
            self._pairs = pairs / max(1, math.comb(len(space.counts), 2))
        self.value = lru_cache(maxsize=REMEMBERED)(self._value)

    def _value(self, vector: tuple[int, ...]) -> float:
        """Score an architecture, a tuple of option indices, between 0 and 1."""
        config, positions = self.config, self._positions(np.array(vector, dtype=np.int64))
        penalty = config.additive * float(self._single[positions].sum())
        penalty += config.pairwise * float(self._pairs[np.ix_(positions, positions)].sum())
        if config.ruggedness and vector != tuple(self.optimum.tolist()):
            seed = np.random.SeedSequence(config.landscape, spawn_key=(*self.key, *vector))
            penalty += config.ruggedness * float(seed.generate_state(1, np.uint32)[0]) / 2**32
        return 1.0 - penalty / (config.additive + config.pairwise + config.ruggedness)

    def _positions(self, architecture: Architecture) -> NDArray[np.int64]:
        indices = architecture.copy()
        inactive = list(self.space.inactive_positions(architecture))
        indices[inactive] = np.array(self.space.counts)[inactive]
        return np.asarray(self._offsets + indices)
