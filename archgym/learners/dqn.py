"""What a DQN learner is: its settings, and what the loop of a window asks of it.

Four learners do the same: `dqn_torch`, the plain reference, for every network and device; `dqn_captured`, the same in
CUDA graphs; `dqn_stacked`, without autograd, for multilayer perceptrons; and `dqn_native`, for these too, compiled, on
the CPU.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from archgym.learners import checks, precision
from archgym.learners.exploration import Exploration
from archgym.observations import Observations
from archgym.training import Statistics


@dataclass(frozen=True)
class Config(Exploration):
    """Settings of the inner DQN, counted in environment steps of one member; None follows the horizon H."""

    learning_rate: float = 1e-3
    """Adam's step size."""
    gamma: float = 0.99
    """The discount."""
    batch_size: int = 128
    """Transitions in a minibatch."""
    train_frequency: int = 10
    """Environment steps between gradient steps."""
    gradient_steps: int = 1
    """Gradient steps made at once, every `train_frequency` steps. More of them, more rarely, cost the same, and the
    policy stands still in between: whatever it would do is then tried for a while, which explores further than actions
    that change their mind at every step (MountainCar-v0 is learned so, and not otherwise)."""
    target_network_frequency: int = 200
    """Environment steps between copies of the weights to the target network."""
    tau: float = 1.0
    """How far the target moves towards the weights at each copy."""
    buffer_size: int | None = None
    """Transitions in the replay; None: min(10000, H)."""
    learning_starts: int | None = None
    """Environment steps before the first gradient step; None: min(1000, H / 10)."""
    clip_rewards: bool = False
    """Whether rewards are cut to [-1, 1] for learning, as usual for Atari; returns are counted uncut in any case."""
    precision: str = "float32"
    """What networks are computed in, `float32` or `bfloat16`: faster where the processor has instructions for it.
    Weights, optimizer and values are float32 in any case. Of networks that read vectors the compiled learner rounds
    what is multiplied between hidden layers."""
    double: bool = False
    """Whether the weights choose the action that the target network values (Double DQN)."""
    huber: bool = False
    """Whether an error beyond 1 counts by its size (Huber's loss, half the square within 1; the error clipping of
    Nature's DQN) and not by its square."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot train."""
        for name in ("batch_size", "train_frequency", "gradient_steps", "target_network_frequency"):
            checks.whole(name, getattr(self, name))
        for name in ("buffer_size", "learning_starts"):
            if getattr(self, name) is not None:
                checks.whole(name, getattr(self, name))
        for name in ("gamma", "tau"):
            checks.share(name, getattr(self, name))
        self.check_exploration()
        checks.positive("learning_rate", self.learning_rate)
        for name in ("clip_rewards", "double", "huber"):
            checks.flag(name, getattr(self, name))
        precision.check(self.precision)

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

    def due(self, start: int, end: int) -> int:
        """Count the gradient steps that are due between two counts of a member's steps in a window."""
        return (end // self.train_frequency - start // self.train_frequency) * self.gradient_steps


class Learners(Protocol):
    """The learners of M members in one window, with their rings of the replay."""

    def act(self, observations: Observations) -> NDArray[np.int64]:
        """Give the actions of highest value, (M, E), on observations (M, E, *observation shape)."""

    def record(self, observations: Observations, actions: NDArray[np.int64]) -> None:
        """Begin a time slot of the replay: observations (M, E, *observation shape), actions on them (M, E)."""

    def complete(self, rewards: NDArray[np.float64], terminated: NDArray[np.bool_], valid: NDArray[np.bool_]) -> None:
        """Write down what came of the newest slot's actions, each (M, E); until then the slot is not valid."""

    def learn(self, start: int, end: int) -> None:
        """Make the gradient steps and copies of weights that are due between two counts of a member's steps.

        They need the newest slot's observations, but not what comes of its actions: inner environments may step
        meanwhile.

        Args:
            start: Environment steps of one member in this window before the newest slot.
            end: The same with the newest slot.
        """

    def finish(self) -> Statistics:
        """End the window: count the gradient steps in the subnets, and give what came of them."""
