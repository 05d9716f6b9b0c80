"""What a DQN learner is: its settings, and what the loop of a window asks of it.

Two learners do the same: `dqn_torch`, the plain reference, on any device; and `dqn_native`, compiled, on the CPU.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Config:
    """Settings of the inner DQN, counted in environment steps of one member; None follows the horizon H."""

    learning_rate: float = 1e-3
    """Adam's step size."""
    gamma: float = 0.99
    """The discount."""
    batch_size: int = 128
    """Transitions in a minibatch."""
    train_frequency: int = 10
    """Environment steps per gradient step."""
    target_network_frequency: int = 200
    """Environment steps between copies of the weights to the target network."""
    tau: float = 1.0
    """How far the target moves towards the weights at each copy."""
    buffer_size: int | None = None
    """Transitions in the replay; None: min(10000, H)."""
    learning_starts: int | None = None
    """Environment steps before the first gradient step; None: min(1000, H / 10)."""
    start_e: float = 1.0
    """Exploration rate at the beginning."""
    end_e: float = 0.05
    """Exploration rate at the end."""
    exploration_fraction: float = 0.15
    """Share of H within which the exploration rate falls linearly."""
    double: bool = False
    """Whether the weights choose the action that the target network values (Double DQN)."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot train."""
        whole = ("batch_size", "train_frequency", "target_network_frequency", "buffer_size", "learning_starts")
        for name in whole:
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"{name}: expected a positive integer, got {value!r}.")
        for name in ("gamma", "tau", "start_e", "end_e", "exploration_fraction"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ValueError(f"{name}: expected a number from 0 to 1, got {value!r}.")
        rate = self.learning_rate
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < float("inf"):
            raise ValueError(f"learning_rate: expected a positive number, got {rate!r}.")
        if not isinstance(self.double, bool):
            raise ValueError(f"double: expected True or False, got {self.double!r}.")

    def resolved(self, horizon: int, lifetime: int) -> "Config":
        """Fill in what follows the horizon.

        Args:
            horizon: Environment steps that the schedule is laid out for.
            lifetime: Environment steps that a learner can get; they may be fewer.

        Raises:
            ValueError: If learning would start after either of them.
        """
        starts = max(1, min(1_000, horizon // 10)) if self.learning_starts is None else self.learning_starts
        if starts >= min(horizon, lifetime):
            raise ValueError(
                f"learning_starts: expected fewer than the {min(horizon, lifetime)} steps that a learner lives for "
                f"(windows x window_steps, or window_steps with transfer='fresh'), got {starts}."
            )
        size = min(10_000, horizon) if self.buffer_size is None else self.buffer_size
        return replace(self, learning_starts=starts, buffer_size=size)

    def epsilon(self, steps: ArrayLike, horizon: int) -> NDArray[np.float64]:
        """Exploration rates after so many environment steps of the learners, in the shape of `steps`."""
        duration = max(1.0, self.exploration_fraction * horizon)
        rates: NDArray[np.float64] = self.start_e + (self.end_e - self.start_e) * np.asarray(steps) / duration
        return np.maximum(self.end_e, rates)


class Learners(Protocol):
    """The learners of M members in one window, with their rings of the replay."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Give the actions of highest value, (M, E), on observations (M, E, observation size)."""

    def record(
        self,
        observations: NDArray[np.float32],
        actions: NDArray[np.int64],
        rewards: NDArray[np.float64],
        terminated: NDArray[np.bool_],
        valid: NDArray[np.bool_],
    ) -> None:
        """Write one time slot into the replay: observations (M, E, observation size), all else (M, E)."""

    def learn(self, start: int, end: int) -> None:
        """Make the gradient steps and copies of weights that are due between two counts of a member's steps.

        Args:
            start: Environment steps of one member in this window before the newest slot.
            end: The same with the newest slot.
        """

    def finish(self) -> "Statistics":
        """End the window: count the gradient steps in the subnets, and give what came of them."""


@dataclass
class Statistics:
    """What the learners of a window did, one entry per member, (M,)."""

    gradient_steps: NDArray[np.int64]
    loss: NDArray[np.float64]
    value: NDArray[np.float64]
    diverged: NDArray[np.bool_]
