"""Distillation of action values: a new network is taught what the one before it knew, on the replay that is left.

Every step takes a minibatch of the replay and follows

    w * mean over all actions of (Q_new - Q_old)^2  +  (1 - w) * TD loss,     w from 1 down to 0 in equal steps

where the old network values the next observations of the TD loss, for the new one knows nothing yet. The mixture and
its annealing are those of BG-PBT (arXiv 2207.09405), which teaches a policy that way.
"""

import numpy as np
import torch
from torch.nn import functional as F

from archgym.learners.dqn import Config
from archgym.learners.dqn_torch import Learner
from archgym.replay import Replay
from archgym.supernet import Subnets
from archgym.training import Group


def distil(
    config: Config, pupil: Subnets, teacher: Subnets, replay: Replay, member: int, steps: int, rng: np.random.Generator
) -> None:
    """Teach one member's network in place; its target weights are then a copy of its weights.

    Args:
        config: Resolved settings: learning rate, batch size, discount, and which loss.
        pupil: The new network, (1, parameter count).
        teacher: The old one.
        replay: The rings.
        member: Whose ring is learned from.
        steps: How many gradient steps; Adam counts them.
        rng: Draws the minibatches.
    """
    device = pupil.fields["weight"].device
    learner = Learner(config, Group([0], pupil, 0), [rng], device)
    ring, known = torch.tensor([member], device=device), teacher.views("weight")
    for step in range(steps):
        batch = replay.sample(ring, learner.draw())
        weight = 1 - step / max(1, steps - 1)
        with torch.no_grad():
            taught = teacher.forward(known, batch.observations)  # (1, B, A)
            q_tp1 = teacher.forward(known, batch.next_observations).amax(-1)
            target = batch.rewards + config.gamma * (1 - batch.terminated) * q_tp1
        values = pupil.forward(learner.weights, batch.observations)
        q_t = values.gather(-1, batch.actions[..., None]).squeeze(-1)
        error = (target - q_t) * batch.valid
        losses = F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none") if config.huber else error.square()
        loss = weight * (values - taught).square().mean((1, 2)) + (1 - weight) * losses.mean(-1)  # (1,)
        gradients = torch.autograd.grad(loss.sum(), list(learner.weights.values()))
        learner.descend(iter(gradients), loss.detach(), q_t.detach().mean(-1))
        learner.own.renew()
    learner.adam.finish()
    pupil.fields["target"].copy_(pupil.fields["weight"])
