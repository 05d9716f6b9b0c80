"""Replay on the device, one ring per member: (member, time, inner env), written and sampled without Python loops.

Slot t of an inner env holds the observation, the action taken on it and what came of it; the next observation is the
next slot's, so each is kept once. A slot is *valid* if its action was executed: the step after the end of an episode
only resets (next-step autoreset), and the last observation of a window has no action at all.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

ACTION, REWARD, TERMINATED, VALID = range(4)  # columns of `steps`


@dataclass
class Batch:
    """Transitions of G members, B each; `valid` is 0 where a draw hit a slot without a transition."""

    observations: Tensor  # (G, B, observation size)
    actions: Tensor  # (G, B) int64
    rewards: Tensor  # (G, B)
    next_observations: Tensor  # (G, B, observation size)
    terminated: Tensor  # (G, B), 1.0 where the episode ended by termination
    valid: Tensor  # (G, B)


@dataclass
class Content:
    """What one member's ring holds; `head` is the slot that is written next, `filled` the number of written ones."""

    observations: Tensor  # (time, inner env, observation size)
    steps: Tensor  # (time, inner env, 4)
    head: int
    filled: int


class Replay:
    """The rings of K members.

    Args:
        members: K.
        envs: Inner environments per member, E.
        observation_size: Numbers in one observation.
        capacity: Transitions per member; rounded up to whole time slots, and one more for the newest observation.
        device: Where the tensors lie.
    """

    def __init__(self, members: int, envs: int, observation_size: int, capacity: int, device: torch.device) -> None:
        self.slots = -(-capacity // envs) + 1
        self.envs = envs
        self.observations = torch.zeros(members, self.slots, envs, observation_size, device=device)
        self.steps = torch.zeros(members, self.slots, envs, 4, device=device)
        self.head = torch.zeros(members, dtype=torch.int64, device=device)
        self.filled = torch.zeros(members, dtype=torch.int64, device=device)

    def write(self, members: Tensor, observations: Tensor, steps: Tensor) -> None:
        """Write one time slot.

        Args:
            members: (G,) int64.
            observations: (G, E, observation size), on which the actions were taken.
            steps: (G, E, 4): action, reward, terminated, valid.
        """
        head = self.head[members]
        self.observations[members, head] = observations
        self.steps[members, head] = steps
        self.head[members] = (head + 1) % self.slots
        self.filled[members] = (self.filled[members] + 1).clamp_(max=self.slots)

    def sample(self, members: Tensor, uniform: Tensor) -> Batch:
        """Draw transitions uniformly from all slots but the newest, whose successor is not there yet.

        Args:
            members: (G,) int64.
            uniform: (G, B) float64 in [0, 1), the randomness.

        Returns:
            The transitions, (G, B, ...).
        """
        # A member's ring laid out flat, (time x inner env): the successor lies `envs` positions on.
        length, filled = self.slots * self.envs, self.filled[members][:, None]  # filled: (G, 1)
        oldest = (self.head[members][:, None] - filled) * self.envs
        position = oldest + (uniform * ((filled - 1) * self.envs)).long()  # (G, B)
        ring = (members * length)[:, None]
        here, following = ring + position % length, ring + (position + self.envs) % length
        size = self.observations.shape[-1]
        rows = self.steps.view(-1, 4)[here]  # (G, B, 4)
        return Batch(
            observations=self.observations.view(-1, size)[here],
            actions=rows[..., ACTION].long(),
            rewards=rows[..., REWARD],
            next_observations=self.observations.view(-1, size)[following],
            terminated=rows[..., TERMINATED],
            valid=rows[..., VALID],
        )

    def get(self, member: int) -> Content:
        """Copy one member's ring out."""
        return Content(
            self.observations[member].clone(),
            self.steps[member].clone(),
            int(self.head[member]),
            int(self.filled[member]),
        )

    def set(self, member: int, content: Content | None) -> None:
        """Put a ring back in, or empty the member's ring."""
        if content is None:
            self.head[member] = self.filled[member] = 0
            self.observations[member].zero_()
            self.steps[member].zero_()
            return
        self.observations[member] = content.observations
        self.steps[member] = content.steps
        self.head[member] = content.head
        self.filled[member] = content.filled
