"""The reference DQN learner, in torch's autograd: members of equal architecture stacked, updated by batched products.

With networks this small the number of calls costs more than the arithmetic (benchmarks/README.md). So what treats all
members alike is done once for all of them; only networks and Adam run group by group.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from archgym.learners.adam_fused import adam_for
from archgym.learners.dqn import Config
from archgym.learners.precision import Working
from archgym.learners.sharing import joined, optimizer
from archgym.observations import Observations
from archgym.replay import Batch, Replay
from archgym.training import Group, Statistics

DRAWS = 64  # steps whose random numbers are drawn at once


class Learner:
    """The gradient step of one group, on its flat parameter vectors."""

    def __init__(
        self, config: Config, group: Group, samplers: Sequence[np.random.Generator], device: torch.device
    ) -> None:
        self.config, self.group, self.subnets = config, group, group.subnets
        self.samplers, self.draws, self.device = samplers, list[Tensor](), device
        fields = self.subnets.fields
        self.rows = torch.tensor(group.rows, device=device)
        self.own = Working(self.subnets.views("weight"), config.precision, trains=True)
        self.target = Working(self.subnets.views("target"), config.precision, trains=False)
        self.weights, self.targets = self.own.tensors, self.target.tensors
        self.gradient = torch.empty_like(fields["weight"])  # (G, parameter count)
        self.parts = self.subnets.cut(self.gradient)  # of it, in the shapes of `weights`
        self.adam = optimizer(adam_for, self.subnets)
        self.loss = torch.zeros(len(group.rows), device=device)
        self.value = torch.zeros(len(group.rows), device=device)

    def draw(self) -> Tensor:
        """Draw where the next minibatch lies, (G, B) in [0, 1): each member from its own generator."""
        if not self.draws:
            block = np.stack([rng.random((DRAWS, self.config.batch_size)) for rng in self.samplers], axis=1)
            self.draws = list(torch.from_numpy(block).to(self.device))
        return self.draws.pop(0)

    def update(self, batch: Batch) -> None:
        """Make one gradient step from a minibatch (G, B)."""
        gradient_step([self], batch)

    def descend(self, gradients: Iterator[Tensor], loss: Tensor, value: Tensor) -> None:
        """Take the gradients of `weights` and follow them; loss and value (G,) are for the window's statistics."""
        for part in self.parts.values():
            part.copy_(next(gradients))
        self.adam.step(self.gradient, self.config.learning_rate)
        self.loss += loss
        self.value += value


def values(learners: Sequence[Learner], weights: Sequence[Mapping[str, Tensor]], observations: Tensor) -> Tensor:
    """Compute action values.

    Args:
        learners: Whose networks.
        weights: The weights of each.
        observations: (M, B, *observation shape), of all their members, learner after learner.

    Returns:
        (M, B, A).
    """
    sizes = [len(learner.group.rows) for learner in learners]
    parts = zip(learners, weights, observations.split_with_sizes(sizes), strict=True)
    outputs = [learner.subnets.forward(own, part) for learner, own, part in parts]
    return torch.cat(outputs) if len(outputs) > 1 else outputs[0]


def gradient_step(learners: Sequence[Learner], batch: Batch) -> None:
    """Make one gradient step of every learner, from a minibatch (M, B) of all their members, learner after learner."""
    config = learners[0].config
    weights, targets = [learner.weights for learner in learners], [learner.targets for learner in learners]
    with torch.no_grad():
        q_tp1 = values(learners, targets, batch.next_observations)  # (M, B, A)
        if config.double:
            a_tp1 = values(learners, weights, batch.next_observations).argmax(-1, keepdim=True)
            q_tp1 = q_tp1.gather(-1, a_tp1).squeeze(-1)
        else:
            q_tp1 = q_tp1.amax(-1)
        target = batch.rewards + config.gamma * (1 - batch.terminated) * q_tp1
    q_t = values(learners, weights, batch.observations).gather(-1, batch.actions[..., None]).squeeze(-1)
    error = (target - q_t) * batch.valid
    losses = F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none") if config.huber else error.square()
    loss = losses.mean(-1)  # (M,)
    gradients = iter(torch.autograd.grad(loss.sum(), [tensor for own in weights for tensor in own.values()]))
    sizes = [len(learner.group.rows) for learner in learners]
    statistics = zip(loss.detach().split_with_sizes(sizes), q_t.detach().mean(-1).split_with_sizes(sizes), strict=True)
    for learner, (own_loss, own_value) in zip(learners, statistics, strict=True):
        learner.descend(gradients, own_loss, own_value)
        learner.own.renew()


@torch.no_grad()
def sync_targets(learners: Sequence[Learner]) -> None:
    """Move the target networks of all these learners towards their weights."""
    for learner in learners:
        fields = learner.subnets.fields
        fields["target"].lerp_(fields["weight"], learner.config.tau)
        learner.target.renew()


class TorchLearners:
    """The learners of M members in one window.

    Args:
        config: Resolved settings.
        groups: A partition of the rows 0..M-1; their subnets are trained in place.
        members: (M,) whose rings in the replay are written and read.
        replay: The rings.
        samplers: (M,) generators of what minibatches are drawn with.
        device: Where networks and replay lie.
    """

    def __init__(
        self,
        config: Config,
        groups: Sequence[Group],
        members: Sequence[int],
        replay: Replay,
        samplers: Sequence[np.random.Generator],
        device: torch.device,
    ) -> None:
        self.config, self.replay, self.device = config, replay, device
        self.ring = torch.tensor(list(members), device=device)
        self.learners = [
            Learner(config, group, [samplers[row] for row in group.rows], device) for group in joined(groups)
        ]
        self.weights = [learner.weights for learner in self.learners]
        self.order = torch.cat([learner.rows for learner in self.learners])  # the rows, learner after learner
        self.rank = self.order.argsort()  # where each row stands in that order
        self.results = np.empty((len(self.ring), replay.envs, 3), dtype=np.float32)
        assert config.learning_starts is not None, "the settings are resolved before training"
        self.learning_starts = config.learning_starts

    @torch.no_grad()
    def act(self, observations: Observations) -> NDArray[np.int64]:
        """Give the actions of highest value, (M, E), on observations (M, E, *observation shape)."""
        tensor = torch.from_numpy(observations).to(self.device)
        best = values(self.learners, self.weights, tensor[self.order]).argmax(-1)[self.rank]
        actions: NDArray[np.int64] = best.cpu().numpy()
        return actions

    def record(self, observations: Observations, actions: NDArray[np.int64]) -> None:
        """Begin a time slot of the replay."""
        self.replay.write(self.ring, *(torch.from_numpy(array).to(self.device) for array in (observations, actions)))

    def complete(self, rewards: NDArray[np.float64], terminated: NDArray[np.bool_], valid: NDArray[np.bool_]) -> None:
        """Write down what came of the newest slot's actions."""
        for column, result in enumerate((rewards, terminated, valid)):
            self.results[..., column] = result
        self.replay.complete(self.ring, torch.from_numpy(self.results).to(self.device))

    def learn(self, start: int, end: int) -> None:
        """Make the gradient steps and copies of weights that are due."""
        for _ in range(self.config.due(start, end)):
            # Counted to `start`, for the newest slot has no successor yet.
            ready = [one for one in self.learners if one.group.steps + start >= self.learning_starts]
            if ready:
                self.update(ready)
        sync_targets([one for one in self.learners if self._due(one.group.steps + start, one.group.steps + end)])

    def update(self, ready: Sequence[Learner]) -> None:
        """Make one gradient step of these learners."""
        chosen, uniform = torch.cat([one.rows for one in ready]), torch.cat([one.draw() for one in ready])
        gradient_step(ready, self.replay.sample(self.ring[chosen], uniform))

    def _due(self, before: int, after: int) -> bool:
        """Tell whether a learner's target is to be moved between two counts of its steps."""
        frequency = self.config.target_network_frequency
        return after // frequency > before // frequency

    def finish(self) -> Statistics:
        """End the window."""
        count = len(self.ring)
        statistics = Statistics.zeros(count)
        for learner in self.learners:
            rows, updates = learner.group.rows, max(1, learner.adam.gradient_steps)
            statistics.diverged[rows] = learner.adam.finish()
            statistics.gradient_steps[rows] = learner.adam.gradient_steps
            statistics.loss[rows] = (learner.loss / updates).cpu().numpy()
            statistics.value[rows] = (learner.value / updates).cpu().numpy()
        return statistics
