"""The reference PQN learner, in torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archgym.learners.pqn import Config, Rollout
from archgym.learners.rollouts_torch import RolloutLearner, RolloutLearners
from archgym.training import Group


class Learner(RolloutLearner[Config]):
    """The gradient steps of one group."""

    def update(self, observations: Tensor, returns: Tensor, chosen: Tensor, learning_rate: float) -> None:
        """Make one gradient step on the mean over the minibatch of (Q(s, a) - return)^2.

        Args:
            observations: (G, B, *observation shape).
            returns: (G, B, 1).
            chosen: (G, B, A), 1 at the action that was taken, nothing but 0 where a step only reset an environment.
            learning_rate: Adam's step size.
        """
        q = self.values(observations)
        with torch.no_grad():
            error = (q - returns) * chosen
            gradients = torch.autograd.grad(q, list(self.weights.values()), error * (2 / chosen.shape[1]))
            self.descend(gradients, learning_rate)
            self.transitions += chosen.sum((1, 2))
            self.loss += error.square().sum((1, 2))
            self.value += (q * chosen).sum((1, 2))


class TorchLearners(RolloutLearners[Learner]):
    """The learners of M members in one window.

    Args:
        config: Resolved settings.
        groups: A partition of the rows 0..M-1; their subnets are trained in place.
        action_count: Number of actions.
        device: Where the networks lie.
    """

    def __init__(self, config: Config, groups: Sequence[Group], action_count: int, device: torch.device) -> None:
        super().__init__([Learner(config, group, device) for group in groups], device)
        self.config, self.action_count = config, action_count

    def act(self, observations: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Give the actions of highest value and these values, (M, E), on observations (M, E, *observation shape)."""
        values, actions = map(self.in_order, zip(*(q.max(-1) for q in self.outputs(observations)), strict=True))
        return actions, values.astype(np.float64)

    def learn(self, rollout: Rollout, orders: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        """Make all gradient steps of a rollout."""
        chosen = (rollout.actions[..., None] == np.arange(self.action_count)) & rollout.valid[..., None]
        parts = (rollout.observations, rollout.returns[..., None], chosen.astype(np.float32))
        self.learn_from(parts, orders, rates)
