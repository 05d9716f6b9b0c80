"""The PPO learner, in torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archgym.learners.ppo import Config, Rollout
from archgym.learners.rollouts_torch import RolloutLearner, RolloutLearners
from archgym.training import Group


def policy_and_value(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Split what an actor-critic gives, (..., A + 1), into log-probabilities (..., A) and values (...)."""
    return outputs[..., :-1].log_softmax(-1), outputs[..., -1]


class Learner(RolloutLearner[Config]):
    """The gradient steps of one group."""

    def update(self, observations: Tensor, chosen: Tensor, known: Tensor, learning_rate: float) -> None:
        """Make one gradient step on the mean of PPO's loss over the transitions of the minibatch that are one.

            max(-A r, -A clip(r)) - ent_coef H + vf_coef / 2 max((V - G)^2, (clipped V - G)^2),  r = p(a) / old p(a)

        Args:
            observations: (G, B, *observation shape).
            chosen: (G, B, A), 1 at the action that was taken, nothing but 0 where a step only reset an environment.
            known: (G, B, 3), of the rollout: the action's log-probability, the value and the return; 0 where a step
                only reset an environment.
            learning_rate: Adam's step size.
        """
        config = self.config
        old, value_before, returns = known.to(self.gradient.dtype).unbind(-1)
        valid = chosen.sum(-1)
        count = valid.sum(1)

        def mean(x: Tensor) -> Tensor:  # (G, B) to (G,)
            return (x * valid).sum(1) / count.clamp(min=1)

        advantages = returns - value_before
        if config.norm_adv:
            centred = (advantages - mean(advantages)[:, None]) * valid
            deviation = (centred.square().sum(1) / (count - 1).clamp(min=1)).sqrt()
            advantages = centred / (deviation[:, None] + 1e-8)
        policy, value = policy_and_value(self.values(observations))
        ratio = ((policy * chosen).sum(-1) - old).exp()
        kept = ratio.clamp(1 - config.clip_coef, 1 + config.clip_coef)
        gain = torch.minimum(advantages * ratio, advantages * kept)
        error = (value - returns).square()
        worst = error
        if config.clip_vloss:
            moved = (value - value_before).clamp(-config.clip_coef, config.clip_coef)
            worst = torch.maximum(error, (value_before + moved - returns).square())
        entropy = -(policy.exp() * policy).sum(-1)
        loss = mean(config.vf_coef / 2 * worst - gain - config.ent_coef * entropy)
        gradients = torch.autograd.grad(loss.sum(), list(self.weights.values()))
        with torch.no_grad():
            self.descend(gradients, learning_rate)
            self.transitions += count
            self.loss += (error * valid).sum(1)
            self.value += (value * valid).sum(1)


class TorchLearners(RolloutLearners[Learner]):
    """The learners of M members in one window.

    Args:
        config: Resolved settings.
        groups: A partition of the rows 0..M-1; their subnets are trained in place.
        action_count: Number of actions, A; networks have one output more, the value.
        device: Where the networks lie.
    """

    def __init__(self, config: Config, groups: Sequence[Group], action_count: int, device: torch.device) -> None:
        super().__init__([Learner(config, group, device) for group in groups], device)
        self.config, self.action_count = config, action_count

    def act(self, observations: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give log-probabilities (M, E, A) and values (M, E) on observations (M, E, *observation shape)."""
        both = map(policy_and_value, self.outputs(observations))
        policies, values = (self.in_order(parts).astype(np.float64) for parts in zip(*both, strict=True))
        return policies, values

    def learn(self, rollout: Rollout, orders: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        """Make all gradient steps of a rollout.

        Args:
            rollout: Of all M members.
            orders: (M, epochs, L x E), permutations of each member's transitions, slot after slot: number
                `slot * E + environment`. They are cut by `Config.minibatches`.
            rates: (M,) step sizes.
        """
        real = rollout.valid[..., None]
        chosen = (rollout.actions[..., None] == np.arange(self.action_count)) & real
        known = np.stack([rollout.log_probabilities, rollout.values, rollout.returns], axis=-1)
        known = np.where(real, known, 0.0)
        self.learn_from((rollout.observations, chosen.astype(np.float32), known.astype(np.float32)), orders, rates)
