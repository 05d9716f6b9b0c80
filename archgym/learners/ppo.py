"""What a PPO learner is: its settings, and what it learns from."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.learners import checks
from archgym.learners.rollouts import Rollouts
from archgym.lookup import unknown

SCHEDULES = ("cosine", "linear")


@dataclass(frozen=True)
class Config(Rollouts):
    """Settings of the inner PPO, by CleanRL's names; H is the horizon, in environment steps of one member."""

    schedule: str = "linear"
    """How the step size falls to 0 at H where `anneal_lr` says that it does: `linear`, or `cosine` (half a wave)."""
    gae_lambda: float = 0.95
    """Lambda of the generalised advantage: 0 looks one step ahead, 1 to the end of the rollout."""
    norm_adv: bool = True
    """Whether the advantages of a minibatch are brought to mean 0 and standard deviation 1."""
    clip_coef: float = 0.2
    """How far the probability of an action may move from what it was in the rollout: by this share of it, and no
    further for the sake of the policy's loss."""
    clip_vloss: bool = True
    """Whether a value that has moved by more than `clip_coef` in the right direction moves no further."""
    ent_coef: float = 0.01
    """What the policy's entropy is worth."""
    vf_coef: float = 0.5
    """What half the squared error of the value costs."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot train."""
        super().__post_init__()
        checks.share("gae_lambda", self.gae_lambda)
        checks.positive("clip_coef", self.clip_coef, checks.LARGEST_SINGLE)
        for name in ("ent_coef", "vf_coef"):
            checks.not_negative(name, getattr(self, name))
        for name in ("norm_adv", "clip_vloss"):
            checks.flag(name, getattr(self, name))
        if self.schedule not in SCHEDULES:
            raise unknown("schedule", self.schedule, SCHEDULES)

    def left(self, steps: NDArray[np.int64], horizon: int) -> NDArray[np.float64]:
        """Give the share of the step size that is left after so many environment steps, in the shape of `steps`."""
        left = super().left(steps, horizon)
        return left if self.schedule == "linear" else (1.0 - np.cos(math.pi * left)) / 2


@dataclass
class Rollout:
    """What M members with E inner environments each did in L slots, and what their learners are to learn from it."""

    observations: NDArray[Any]  # (L, M, E, *observation shape), on which the actions were taken
    actions: NDArray[np.int64]  # (L, M, E)
    log_probabilities: NDArray[np.float64]  # (L, M, E), of these actions
    values: NDArray[np.float64]  # (L, M, E), of the observations, when they were seen
    returns: NDArray[np.float64]  # (L, M, E), the values' targets; less the values they are the advantages
    valid: NDArray[np.bool_]  # (L, M, E): not where the step only reset an environment
