"""The reference DQN learner in memory that stays where it is, so that CUDA graphs can hold its steps.

The updates are those of `dqn_torch`, autograd included, for every network whose forward pass waits for no number. On a
CUDA device acting is one graph, and so is the gradient step of the first so many groups (`cuda_graphs`); on any other
the same functions are called.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archgym.learners.cuda_graphs import repeated
from archgym.learners.dqn import Config
from archgym.learners.dqn_torch import Learner, TorchLearners, gradient_step, values
from archgym.observations import Observations
from archgym.replay import Replay
from archgym.training import Group, Statistics


class CapturedLearners(TorchLearners):
    """The learners of M members in one window; what is not here is as in the reference.

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
        oldest_first = sorted(groups, key=lambda group: -group.steps)  # so those old enough to learn come first
        super().__init__(config, oldest_first, members, replay, samplers, device)
        ends = accumulate((len(learner.group.rows) for learner in self.learners), initial=0)
        self.spans = [slice(*span) for span in pairwise(ends)]  # where the members of each group lie
        self.rings = self.ring[self.order]
        self.order_on_host, self.rank_on_host = self.order.cpu().numpy(), self.rank.cpu().numpy()

        # Below, members lie group after group.
        shape = (len(self.ring), *replay.observations.shape[2:])
        self.seen = replay.observations.new_empty(shape)  # (M, E, *observation shape), what is acted on
        self.best = self.order.new_empty(len(self.ring), replay.envs)
        self.uniform = torch.empty(len(self.ring), config.batch_size, dtype=torch.float64, device=device)
        self.choose = repeated(self._choose, [], device)
        self.steps: dict[int, Callable[[], None]] = {}  # the gradient step of the first so many groups
        self.steps_made = [0] * len(self.learners)

    def act(self, observations: Observations) -> NDArray[np.int64]:
        """Give the actions of highest value, (M, E), on observations (M, E, *observation shape)."""
        self.seen.copy_(torch.from_numpy(observations[self.order_on_host]))
        self.choose()
        actions: NDArray[np.int64] = self.best.cpu().numpy()[self.rank_on_host]
        return actions

    @torch.inference_mode()
    def _choose(self) -> None:
        torch.argmax(values(self.learners, self.weights, self.seen), -1, out=self.best)

    def update(self, ready: Sequence[Learner]) -> None:
        """Make one gradient step of these learners: the first ones."""
        count = len(ready)
        torch.cat([one.draw() for one in ready], out=self.uniform[: self.spans[count - 1].stop])
        if count not in self.steps:
            tensors = [tensor for learner in ready for tensor in changed(learner)]
            self.steps[count] = repeated(partial(self.step, count), tensors, self.device)
        self.steps[count]()
        for number in range(count):
            self.steps_made[number] += 1

    @torch.enable_grad()
    def step(self, count: int) -> None:
        """Make one gradient step of the first so many groups, from what `uniform` draws."""
        members = slice(self.spans[count - 1].stop)
        gradient_step(self.learners[:count], self.replay.sample(self.rings[members], self.uniform[members]))

    def finish(self) -> Statistics:
        """End the window."""
        for learner, made in zip(self.learners, self.steps_made, strict=True):
            learner.adam.gradient_steps = made  # not what Adam counted: a graph that is replayed counts nothing
        return super().finish()


def changed(learner: Learner) -> list[Tensor]:
    """Give what a gradient step changes."""
    own = [*learner.subnets.fields.values(), *learner.weights.values()]  # in bfloat16 the weights are rounded copies
    return [*own, *learner.adam.ages(), learner.loss, learner.value]
