"""Epsilon-greedy exploration: the best known action, or with a probability that falls with age any action."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from archgym.learners import checks
from archgym.seeding import Consumer, generator

DRAWS = 64  # slots whose exploration is drawn at once


@dataclass(frozen=True)
class Exploration:
    """Settings of the exploration rate, which falls in a line from `start_e` to `end_e`."""

    start_e: float = 1.0
    """Exploration rate at the beginning."""
    end_e: float = 0.05
    """Exploration rate at the end."""
    exploration_fraction: float = 0.15
    """Share of H within which the exploration rate falls linearly."""

    def check_exploration(self) -> None:
        """Refuse rates that are no shares, and one that would rise, for `epsilon` bounds it from below alone.

        Raises:
            ValueError: If a setting is none of these.
        """
        for name in ("start_e", "end_e", "exploration_fraction"):
            checks.share(name, getattr(self, name))
        if self.start_e < self.end_e:
            raise ValueError(
                f"start_e: expected at least end_e ({self.end_e}), for the exploration rate falls, got {self.start_e}."
            )

    def halfway(self, horizon: int) -> int:
        """Environment steps after which the rate lies in the middle between `start_e` and `end_e`, or just before."""
        return int(self.exploration_fraction * horizon / 2)

    def epsilon(self, steps: ArrayLike, horizon: int) -> NDArray[np.float64]:
        """Exploration rates after so many environment steps of the learners, in the shape of `steps`."""
        duration = max(1.0, self.exploration_fraction * horizon)
        rates: NDArray[np.float64] = self.start_e + (self.end_e - self.start_e) * np.asarray(steps) / duration
        return np.maximum(self.end_e, rates)


class Explorer:
    """Explores for M members with E inner environments each during one window.

    Args:
        settings: The exploration rate.
        horizon: Environment steps that one learner lives for, H.
        before: (M,) environment steps that the rates go by, those before the window.
        streams: (M,) pairs of seed and window; each member explores by its own generator.
        envs: E.
        action_count: Actions are the numbers below it.
    """

    def __init__(
        self,
        settings: Exploration,
        horizon: int,
        before: NDArray[np.int64],
        streams: Sequence[tuple[int, int]],
        envs: int,
        action_count: int,
    ) -> None:
        self.settings, self.horizon, self.before = settings, horizon, before[:, None]
        self.generators = [generator(seed, Consumer.EXPLORATION, window) for seed, window in streams]
        self.envs, self.action_count = envs, action_count

    def choose(self, slot: int, greedy: NDArray[np.int64]) -> NDArray[np.int64]:
        """Replace some of the greedy actions (M, E); asked once for every slot of the window, in order."""
        turn = slot % DRAWS
        if turn == 0:
            block = np.stack([rng.random((DRAWS, 2, self.envs)) for rng in self.generators], axis=2)  # (DRAWS, 2, M, E)
            ages = self.before + (slot + np.arange(DRAWS)[:, None, None]) * self.envs  # (DRAWS, M, 1)
            self.explores = block[:, 0] < self.settings.epsilon(ages, self.horizon)
            self.explored = (block[:, 1] * self.action_count).astype(np.int64)
        return np.where(self.explores[turn], self.explored[turn], greedy)
