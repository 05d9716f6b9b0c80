"""What learners have in common that learn from a rollout right away and then forget it: PQN and PPO."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from archgym.learners import checks, precision


@dataclass(frozen=True)
class Rollouts:
    """Settings of learning from rollouts, by CleanRL's names; H is the horizon, in environment steps of one member."""

    learning_rate: float = 2e-3
    """Adam's step size at the beginning."""
    anneal_lr: bool = True
    """Whether the step size falls in a line to 0 at H."""
    gamma: float = 0.99
    """The discount."""
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
        checks.share("gamma", self.gamma)
        for name in ("learning_rate", "max_grad_norm"):
            checks.positive(name, getattr(self, name))
        for name in ("anneal_lr", "clip_rewards"):
            checks.flag(name, getattr(self, name))
        precision.check(self.precision)

    def resolved(self, horizon: int, lifetime: int) -> Self:
        """Give the settings back: none is left open."""
        return self

    def left(self, steps: NDArray[np.int64], horizon: int) -> NDArray[np.float64]:
        """Give the share of the horizon that is left after so many environment steps, in the shape of `steps`."""
        return np.maximum(0.0, 1.0 - steps / horizon)

    def rate(self, steps: NDArray[np.int64], horizon: int) -> NDArray[np.float64]:
        """Step sizes after so many environment steps of the learners, in the shape of `steps`."""
        return self.learning_rate * (self.left(steps, horizon) if self.anneal_lr else np.ones(steps.shape))

    def rollouts(self, slots: int) -> list[int]:
        """Cut the slots of a window into rollouts of at most `num_steps`, whose lengths differ by at most one."""
        count = -(-slots // self.num_steps)
        return [len(part) for part in np.array_split(np.arange(slots), count)]

    def minibatches(self, transitions: int) -> list[slice]:
        """Cut a shuffled rollout into minibatches, whose sizes differ by at most one."""
        count = min(self.num_minibatches, transitions)
        ends = [part * transitions // count for part in range(count + 1)]
        return [slice(start, end) for start, end in pairwise(ends)]


def lambda_returns(
    rewards: NDArray[np.float64],
    terminated: NDArray[np.bool_],
    valid: NDArray[np.bool_],
    values: NDArray[np.float64],
    gamma: float,
    decay: float,
) -> NDArray[np.float64]:
    """Compute the lambda-returns of a rollout, cut at its end.

        G_t = r_t + gamma [ (1 - lambda) V_(t+1) + lambda G_(t+1) ]

    With V = max_a Q they are PQN's targets (arXiv 2407.04811, section 4; Peng's Q(lambda)); with the V of a critic
    G_t - V_t is the generalised advantage (GAE, arXiv 1506.02438).

    An end by termination is worth its reward alone. An end by truncation is worth gamma V of the episode's true last
    observation beside it: the next slot, which only resets, holds that observation. G does not pass that slot.

    Args:
        rewards: (L, ...).
        terminated: (L, ...).
        valid: (L, ...), false where the step only reset an environment; what is returned there means nothing.
        values: (L + 1, ...), V of every slot's observation and of the one after the last slot.
        gamma: The discount.
        decay: Lambda.

    Returns:
        (L, ...).
    """
    returns = np.empty_like(rewards)
    ahead = values[-1]  # what is to be had from the next slot on
    with np.errstate(invalid="ignore", over="ignore"):  # a diverged member is noticed at the window's end
        for slot in reversed(range(len(rewards))):
            future = np.where(terminated[slot], 0.0, (1.0 - decay) * values[slot + 1] + decay * ahead)
            returns[slot] = rewards[slot] + gamma * future
            ahead = np.where(valid[slot], returns[slot], values[slot])
    return returns
