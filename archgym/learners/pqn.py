"""What a PQN learner is: its settings, its targets, and what the loop of a window asks of it.

Everything that crosses the protocol is a NumPy array, random numbers included, so that learners which compute in
different ways do the same.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from archgym.learners import checks, precision
from archgym.learners.exploration import Exploration
from archgym.training import Statistics


@dataclass(frozen=True)
class Config(Exploration):
    """Settings of the inner PQN, by CleanRL's names; H is the horizon, in environment steps of one member."""

    learning_rate: float = 2e-3
    """Adam's step size at the beginning."""
    anneal_lr: bool = True
    """Whether the step size falls in a line to 0 at H."""
    gamma: float = 0.99
    """The discount."""
    q_lambda: float = 0.95
    """Lambda of the Q(lambda) returns: 0 looks one step ahead, 1 to the end of the rollout."""
    num_steps: int = 32
    """Time slots of a rollout, at most: those of a window are cut into rollouts as equal as possible."""
    update_epochs: int = 4
    """How often a rollout is gone through."""
    num_minibatches: int = 4
    """Gradient steps per epoch, at most one per transition."""
    max_grad_norm: float = 10.0
    """Euclidean length that a member's gradient is cut to."""
    clip_rewards: bool = False
    """Whether rewards are cut to [-1, 1] for learning, as usual for Atari; returns are counted uncut in any case."""
    precision: str = "float32"
    """`float32`, or `bfloat16`: what products between the hidden layers of multilayer perceptrons take in the compiled
    learner, and what convolutional networks are computed in; faster where the processor has an instruction for it.
    Weights, optimizer and values are float32 in any case."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot train."""
        for name in ("num_steps", "update_epochs", "num_minibatches"):
            checks.whole(name, getattr(self, name))
        for name in ("gamma", "q_lambda", "start_e", "end_e", "exploration_fraction"):
            checks.share(name, getattr(self, name))
        for name in ("learning_rate", "max_grad_norm"):
            checks.positive(name, getattr(self, name))
        for name in ("anneal_lr", "clip_rewards"):
            checks.flag(name, getattr(self, name))
        precision.check(self.precision)

    def resolved(self, horizon: int, lifetime: int) -> "Config":
        """Give the settings back: none is left open."""
        return self

    def rate(self, steps: NDArray[np.int64], horizon: int) -> NDArray[np.float64]:
        """Step sizes after so many environment steps of the learners, in the shape of `steps`."""
        left = np.maximum(0.0, 1.0 - steps / horizon) if self.anneal_lr else np.ones(steps.shape)
        return self.learning_rate * left

    def rollouts(self, slots: int) -> list[int]:
        """Cut the slots of a window into rollouts of at most `num_steps`, whose lengths differ by at most one."""
        count = -(-slots // self.num_steps)
        return [len(part) for part in np.array_split(np.arange(slots), count)]

    def minibatches(self, transitions: int) -> list[slice]:
        """Cut a shuffled rollout into minibatches, whose sizes differ by at most one."""
        count = min(self.num_minibatches, transitions)
        ends = [part * transitions // count for part in range(count + 1)]
        return [slice(start, end) for start, end in pairwise(ends)]


@dataclass
class Rollout:
    """What M members with E inner environments each did in L slots, and what their learners are to learn from it."""

    observations: NDArray[Any]  # (L, M, E, *observation shape), on which the actions were taken
    actions: NDArray[np.int64]  # (L, M, E)
    returns: NDArray[np.float32]  # (L, M, E), the targets
    valid: NDArray[np.bool_]  # (L, M, E): not where the step only reset an environment


def lambda_returns(
    rewards: NDArray[np.float64],
    terminated: NDArray[np.bool_],
    valid: NDArray[np.bool_],
    values: NDArray[np.float64],
    gamma: float,
    q_lambda: float,
) -> NDArray[np.float64]:
    """Compute Q(lambda) returns (arXiv 2407.04811, section 4; Peng's Q(lambda), cut at the rollout's end).

        G_t = r_t + gamma [ (1 - lambda) V_(t+1) + lambda G_(t+1) ],  V = max_a Q

    An end by termination is worth its reward alone. An end by truncation is worth gamma V of the episode's true last
    observation beside it: the next slot, which only resets, holds that observation. G does not pass that slot.

    Args:
        rewards: (L, ...).
        terminated: (L, ...).
        valid: (L, ...), false where the step only reset an environment; what is returned there means nothing.
        values: (L + 1, ...), V of every slot's observation and of the one after the last slot.
        gamma: The discount.
        q_lambda: Lambda.

    Returns:
        (L, ...).
    """
    returns = np.empty_like(rewards)
    ahead = values[-1]  # what is to be had from the next slot on
    with np.errstate(invalid="ignore", over="ignore"):  # a diverged member is noticed at the window's end
        for slot in reversed(range(len(rewards))):
            future = np.where(terminated[slot], 0.0, (1.0 - q_lambda) * values[slot + 1] + q_lambda * ahead)
            returns[slot] = rewards[slot] + gamma * future
            ahead = np.where(valid[slot], returns[slot], values[slot])
    return returns


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
