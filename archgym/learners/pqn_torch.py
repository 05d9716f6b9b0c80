"""The reference PQN learner, in torch: members of equal architecture stacked, updated by batched products."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archgym.learners.adam_fused import adam_for
from archgym.learners.pqn import Config, Rollout
from archgym.learners.precision import Working
from archgym.learners.sharing import optimizer
from archgym.training import Group, Statistics


class Learner:
    """The gradient steps of one group."""

    def __init__(self, config: Config, group: Group, device: torch.device) -> None:
        self.config, self.group, self.subnets = config, group, group.subnets
        self.rows = torch.tensor(group.rows, device=device)
        self.own = Working(self.subnets.views("weight"), config.precision, trains=True)
        self.weights = self.own.tensors
        self.gradient = torch.empty_like(self.subnets.fields["weight"])  # (G, parameter count)
        self.parts = self.subnets.layout.views(self.subnets.network, self.gradient)  # of it, in the shapes of `weights`
        self.adam = optimizer(adam_for, self.subnets, device)
        self.transitions = torch.zeros(len(group.rows), device=device)  # learned from, repetitions counted
        self.loss = torch.zeros(len(group.rows), device=device)
        self.value = torch.zeros(len(group.rows), device=device)

    def values(self, observations: Tensor) -> Tensor:
        """Compute values of all actions, (G, B, A), on observations (G, B, *observation shape)."""
        return self.subnets.forward(self.weights, observations)

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
            for part, own in zip(self.parts.values(), gradients, strict=True):
                part.copy_(own)
            norm = torch.linalg.vector_norm(self.gradient, dim=1, keepdim=True)
            self.gradient.mul_((self.config.max_grad_norm / (norm + 1e-6)).clamp_(max=1.0))  # torch's clip_grad_norm_
            self.adam.step(self.gradient, learning_rate)
            self.transitions += chosen.sum((1, 2))
            self.loss += error.square().sum((1, 2))
            self.value += (q * chosen).sum((1, 2))


class TorchLearners:
    """The learners of M members in one window.

    Args:
        config: Resolved settings.
        groups: A partition of the rows 0..M-1; their subnets are trained in place.
        action_count: Number of actions.
        device: Where the networks lie.
    """

    def __init__(self, config: Config, groups: Sequence[Group], action_count: int, device: torch.device) -> None:
        self.config, self.action_count, self.device = config, action_count, device
        self.learners = [Learner(config, group, device) for group in groups]
        self.rank = torch.cat([learner.rows for learner in self.learners]).argsort()  # where each row stands

    @torch.no_grad()
    def act(self, observations: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Give the actions of highest value and these values, (M, E), on observations (M, E, *observation shape)."""
        tensor = torch.from_numpy(observations).to(self.device)
        best = [learner.values(tensor.index_select(0, learner.rows)).max(-1) for learner in self.learners]
        values, actions = (torch.cat(parts)[self.rank].cpu().numpy() for parts in zip(*best, strict=True))
        return actions, values.astype(np.float64)

    def learn(self, rollout: Rollout, orders: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        """Make all gradient steps of a rollout."""
        members, transitions = orders.shape[0], orders.shape[2]
        chosen = (rollout.actions[..., None] == np.arange(self.action_count)) & rollout.valid[..., None]

        def flat(array: NDArray[Any]) -> Tensor:  # (L, M, E, ...) to (M, L x E, ...)
            moved = np.ascontiguousarray(array.swapaxes(0, 1)).reshape(members, transitions, *array.shape[3:])
            return torch.from_numpy(moved).to(self.device)

        parts = [flat(part) for part in (rollout.observations, rollout.returns[..., None], chosen.astype(np.float32))]
        order = torch.from_numpy(orders).to(self.device)
        for epoch in range(self.config.update_epochs):
            # Learners step together: where they share weights, a step is made of the gradients of all.
            places = [(one.rows[:, None] * transitions + order[one.rows, epoch]).flatten() for one in self.learners]
            shuffled = [
                [part.flatten(0, 1).index_select(0, own).view(-1, *part.shape[1:]) for part in parts] for own in places
            ]
            for cut in self.config.minibatches(transitions):
                for learner, own in zip(self.learners, shuffled, strict=True):
                    observations, returns, taken = (part[:, cut] for part in own)  # (G, B, n)
                    learner.update(observations, returns, taken, float(rates[learner.group.rows[0]]))
                for learner in self.learners:  # now, for where weights are shared the last learner moves those of all
                    learner.own.renew()

    def finish(self) -> Statistics:
        """End the window."""
        count = len(self.rank)
        statistics = Statistics.zeros(count)
        for learner in self.learners:
            rows, transitions = learner.group.rows, learner.transitions.clamp(min=1)
            # A loss that overflowed counts too: its gradient has no finite norm, and is cut to nothing.
            statistics.diverged[rows] = learner.adam.finish() | ~learner.loss.isfinite().cpu().numpy()
            statistics.gradient_steps[rows] = learner.adam.gradient_steps
            statistics.loss[rows] = (learner.loss / transitions).cpu().numpy()
            statistics.value[rows] = (learner.value / transitions).cpu().numpy()
        return statistics
