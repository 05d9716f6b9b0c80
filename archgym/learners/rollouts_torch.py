"""Learning from rollouts in torch: members of equal architecture stacked, updated by batched products.

What PQN and PPO share: the numbers of a group, a gradient cut to length for each member, and how all groups go through
a rollout together.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archgym.learners.adam_fused import adam_for
from archgym.learners.precision import Working
from archgym.learners.rollouts import Rollouts
from archgym.learners.sharing import copied, optimizer
from archgym.training import Group, Statistics

C = TypeVar("C", bound=Rollouts)


class RolloutLearner(Generic[C]):
    """The gradient steps of one group."""

    update: Callable[..., None]
    """Makes one gradient step from a minibatch, by a learning rate: every algorithm's own."""

    def __init__(self, config: C, group: Group, device: torch.device) -> None:
        self.config, self.group, self.subnets = config, group, copied(group.subnets)
        self.rows = torch.tensor(group.rows, device=device)
        self.own = Working(self.subnets.views("weight"), config.precision, trains=True)
        self.weights = self.own.tensors
        self.gradient = torch.empty_like(self.subnets.fields["weight"])  # (G, parameter count)
        self.parts = self.subnets.cut(self.gradient)  # of it, in the shapes of `weights`
        self.adam = optimizer(adam_for, self.subnets)
        self.transitions = torch.zeros(len(group.rows), device=device)  # learned from, repetitions counted
        self.loss = torch.zeros(len(group.rows), device=device)
        self.value = torch.zeros(len(group.rows), device=device)

    def values(self, observations: Tensor) -> Tensor:
        """Compute what the networks give, (G, B, outputs), on observations (G, B, *observation shape)."""
        return self.subnets.forward(self.weights, observations)

    def descend(self, gradients: Sequence[Tensor], learning_rate: float) -> None:
        """Cut each member's gradient of `weights` to length, and follow it."""
        for part, own in zip(self.parts.values(), gradients, strict=True):
            part.copy_(own)
        norm = torch.linalg.vector_norm(self.gradient, dim=1, keepdim=True)
        self.gradient.mul_((self.config.max_grad_norm / (norm + 1e-6)).clamp_(max=1.0))  # torch's clip_grad_norm_
        self.adam.step(self.gradient, learning_rate)


L = TypeVar("L", bound=RolloutLearner[Any])


class RolloutLearners(Generic[L]):
    """The learners of M members in one window.

    Args:
        learners: One per group; the groups are a partition of the rows 0..M-1.
        device: Where the networks lie.
    """

    def __init__(self, learners: Sequence[L], device: torch.device) -> None:
        self.learners, self.device = learners, device
        self.rank = torch.cat([learner.rows for learner in learners]).argsort()  # where each row stands

    @torch.no_grad()
    def outputs(self, observations: NDArray[Any]) -> list[Tensor]:
        """Compute what the networks of each group give for observations (M, E, *observation shape)."""
        tensor = torch.from_numpy(observations).to(self.device)
        return [learner.values(tensor.index_select(0, learner.rows)) for learner in self.learners]

    def in_order(self, parts: Sequence[Tensor]) -> NDArray[Any]:
        """Bring what belongs to each group's members into the order of the rows."""
        rows: NDArray[Any] = torch.cat(list(parts))[self.rank].cpu().numpy()
        return rows

    def learn_from(
        self, rollout: Sequence[NDArray[Any]], orders: NDArray[np.int64], rates: NDArray[np.float64]
    ) -> None:
        """Make all gradient steps of a rollout: every learner's `update(*minibatch, learning_rate)`, in turns.

        Args:
            rollout: What `update` takes, (L, M, E, ...) each.
            orders: (M, epochs, L x E), permutations of each member's transitions, slot after slot: number
                `slot * E + environment`.
            rates: (M,) step sizes.
        """
        members, epochs, transitions = orders.shape

        def flat(array: NDArray[Any]) -> Tensor:  # (L, M, E, ...) to (M, L x E, ...)
            moved = np.ascontiguousarray(array.swapaxes(0, 1)).reshape(members, transitions, *array.shape[3:])
            return torch.from_numpy(moved).to(self.device)

        parts = [flat(part) for part in rollout]
        order = torch.from_numpy(orders).to(self.device)
        for epoch in range(epochs):
            # Learners step together: where they share weights, a step is made of the gradients of all.
            places = [(one.rows[:, None] * transitions + order[one.rows, epoch]).flatten() for one in self.learners]
            shuffled = [
                [part.flatten(0, 1).index_select(0, own).view(-1, *part.shape[1:]) for part in parts] for own in places
            ]
            for cut in self.learners[0].config.minibatches(transitions):
                for learner, own in zip(self.learners, shuffled, strict=True):
                    learner.update(*(part[:, cut] for part in own), float(rates[learner.group.rows[0]]))
                for learner in self.learners:  # now, for where weights are shared the last learner moves those of all
                    learner.own.renew()

    def finish(self) -> Statistics:
        """End the window: count the gradient steps in the subnets, and give what came of them."""
        statistics = Statistics.zeros(len(self.rank))
        for learner in self.learners:
            rows, transitions = learner.group.rows, learner.transitions.clamp(min=1)
            # A loss that overflowed counts too: its gradient has no finite norm, and is cut to nothing.
            statistics.diverged[rows] = learner.adam.finish() | ~learner.loss.isfinite().cpu().numpy()
            statistics.gradient_steps[rows] = learner.adam.gradient_steps
            statistics.loss[rows] = (learner.loss / transitions).cpu().numpy()
            statistics.value[rows] = (learner.value / transitions).cpu().numpy()
        return statistics
