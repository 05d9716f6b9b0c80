"""What a PQN learner is: its settings, and what the loop of a window asks of it.

Everything that crosses the protocol is a NumPy array, random numbers included, so that learners which compute in
different ways do the same.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from archgym.learners import checks
from archgym.learners.exploration import Exploration
from archgym.learners.rollouts import Rollouts
from archgym.training import Statistics


@dataclass(frozen=True)
class Config(Rollouts, Exploration):
    """Settings of the inner PQN, by CleanRL's names; H is the horizon, in environment steps of one member."""

    q_lambda: float = 0.95
    """Lambda of the Q(lambda) returns: 0 looks one step ahead, 1 to the end of the rollout."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot train."""
        super().__post_init__()
        checks.share("q_lambda", self.q_lambda)
        self.check_exploration()


@dataclass
class Rollout:
    """What M members with E inner environments each did in L slots, and what their learners are to learn from it."""

    observations: NDArray[Any]  # (L, M, E, *observation shape), on which the actions were taken
    actions: NDArray[np.int64]  # (L, M, E)
    returns: NDArray[np.float32]  # (L, M, E), the targets
    valid: NDArray[np.bool_]  # (L, M, E): not where the step only reset an environment


class Learners(Protocol):
    """The learners of M members in one window."""

    def act(self, observations: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Give the actions of highest value and these values, (M, E), on observations (M, E, *observation shape)."""

    def learn(self, rollout: Rollout, orders: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        """Make all gradient steps of a rollout.

        Args:
            rollout: Of all M members.
            orders: (M, epochs, L x E), permutations of each member's transitions, slot after slot: number
                `slot * E + environment`. They are cut by `Config.minibatches`.
            rates: (M,) step sizes.
        """

    def finish(self) -> Statistics:
        """End the window: count the gradient steps in the subnets, and give what came of them."""
