"""Acting by a stochastic policy: every member draws its actions from its own generator."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.learners.exploration import DRAWS
from archgym.seeding import Consumer, generator


class Sampler:
    """Draws actions for M members with E inner environments each during one window.

    Args:
        streams: (M,) pairs of seed and window.
        envs: E.
        action_count: Actions are the numbers below it.
    """

    def __init__(self, streams: Sequence[tuple[int, int]], envs: int, action_count: int) -> None:
        self.generators = [generator(seed, Consumer.EXPLORATION, window) for seed, window in streams]
        self.shape = (DRAWS, envs, action_count)

    def choose(self, slot: int, log_policies: NDArray[Any]) -> NDArray[np.int64]:
        """Draw actions, (M, E), by log-probabilities (M, E, A); asked once for every slot of the window, in order.

        The largest of the log-probabilities with Gumbel noise on them is a draw from the policy (Gumbel 1954).
        """
        turn = slot % DRAWS
        if turn == 0:
            self.noise = np.stack([rng.gumbel(size=self.shape) for rng in self.generators], axis=1)  # (DRAWS, M, E, A)
        actions: NDArray[np.int64] = (log_policies + self.noise[turn]).argmax(-1)
        return actions
