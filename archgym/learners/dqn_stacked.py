"""The fast DQN learner in torch, for multilayer perceptrons: the updates of `dqn_torch` without autograd.

Forward and backward are written by hand (`stacked_mlp`), in memory that is there before the window begins. What treats
all members alike is done once for all of them, as in the reference; networks and Adam run group by group. What a CUDA
graph would hold is captured as in `dqn_captured`.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from archgym.learners.dqn import Config
from archgym.learners.dqn_captured import CapturedLearners
from archgym.learners.dqn_torch import Learner
from archgym.learners.stacked_mlp import StackedMLP, layers
from archgym.replay import Replay
from archgym.search_spaces.mlp import MLP
from archgym.training import Group


class Stack:
    """The networks of one group, and what their gradient steps are computed in.

    Args:
        learner: Of the group; its network is an `MLP`.
        span: Where the group's members lie in the tensors of all members.
    """

    def __init__(self, learner: Learner, span: slice) -> None:
        self.learner, self.span, network = learner, span, learner.subnets.network
        assert isinstance(network, MLP), "who chooses the learner knows the family"
        tensors = (learner.subnets.views("weight"), learner.subnets.views("target"), learner.parts)
        self.weights, self.targets, self.gradient = (layers(network, one) for one in tensors)
        self.network = StackedMLP(network, self.weights[0].weight, learner.config.batch_size)


class StackedLearners(CapturedLearners):
    """The learners of M members in one window; what is not here is as in `CapturedLearners`.

    Acting too: for few observations a member, products of maps that lie feature by feature are slow.

    Args:
        config: Resolved settings.
        groups: A partition of the rows 0..M-1; their subnets are trained in place. Networks are `MLP`.
        members: (M,) whose rings in the replay are written and read.
        replay: The rings, of vectors.
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
        super().__init__(config, groups, members, replay, samplers, device)
        self.stacks = [Stack(*one) for one in zip(self.learners, self.spans, strict=True)]

        # Below, members lie group after group.
        weight, outputs = self.stacks[0].weights[-1].weight, self.stacks[0].weights[-1].weight.shape[1]
        self.q_t, self.q_tp1, self.slope = (
            weight.new_empty(len(self.ring), outputs, config.batch_size) for _ in range(3)
        )
        self.loss, self.value = weight.new_zeros(len(self.ring)), weight.new_zeros(len(self.ring))
        for stack in self.stacks:
            stack.learner.loss, stack.learner.value = self.loss[stack.span], self.value[stack.span]

    @torch.inference_mode()
    def step(self, count: int) -> None:
        """Make one gradient step of the first so many groups, from what `uniform` draws."""
        stacks, config = self.stacks[:count], self.config
        members = slice(stacks[-1].span.stop)
        batch = self.replay.sample(self.rings[members], self.uniform[members])
        # Features first, (members, inputs, B); values are (members, A, B).
        observations, following = batch.observations.transpose(1, 2), batch.next_observations.transpose(1, 2)
        q_t, q_tp1, slope = self.q_t[members], self.q_tp1[members], self.slope[members]
        for stack in stacks:
            stack.network.forward(stack.targets, following[stack.span], self.q_tp1[stack.span])
        if config.double:
            for stack in stacks:
                stack.network.forward(stack.weights, following[stack.span], self.q_t[stack.span])
            best = q_tp1.gather(1, q_t.argmax(1, keepdim=True)).squeeze(1)  # (members, B)
        else:
            best = q_tp1.amax(1)
        target = torch.addcmul(batch.rewards, 1 - batch.terminated, best, value=config.gamma)
        for stack in stacks:
            stack.network.forward(stack.weights, observations[stack.span], self.q_t[stack.span])
        actions = batch.actions[:, None]  # (members, 1, B)
        taken = q_t.gather(1, actions).squeeze(1)
        error = (target - taken) * batch.valid
        if config.huber:
            losses, descent = F.huber_loss(error, torch.zeros_like(error), reduction="none"), error.clamp(-1, 1)
        else:
            losses, descent = error.square(), 2 * error
        slope.zero_().scatter_(1, actions, descent.mul_(-1 / config.batch_size)[:, None])
        self.loss[members].add_(losses.mean(1))
        self.value[members].add_(taken.mean(1))
        for stack in stacks:
            stack.network.backward(stack.weights, observations[stack.span], self.slope[stack.span], stack.gradient)
            stack.learner.adam.step(stack.learner.gradient, config.learning_rate)
