"""Replay on the device, one ring per member: (member, time, inner env), written and sampled without Python loops.

Slot t of an inner env holds the observation, the action taken on it and what came of it; the next observation is the
next slot's, so each is kept once. A slot is *valid* if its action was executed: the step after the end of an episode
only resets (next-step autoreset), and the last observation of a window has no action at all.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from archgym.observations import IMAGES, Inputs, kind_of, shape_of

ACTION, REWARD, TERMINATED, VALID = range(4)  # columns of `steps`


@dataclass
class Batch:
    """Transitions of G members, B each; `valid` is 0 where a draw hit a slot without a transition."""

    observations: Tensor  # (G, B, observation size), or (G, B, channels, height, width) of bytes
    actions: Tensor  # (G, B) int64
    rewards: Tensor  # (G, B)
    next_observations: Tensor  # the same shape
    terminated: Tensor  # (G, B), 1.0 where the episode ended by termination
    valid: Tensor  # (G, B)


@dataclass
class Content:
    """What one member's ring holds; `head` is the slot that is written next, `filled` the number of written ones."""

    observations: Tensor  # (time, inner env, *observation shape)
    steps: Tensor  # (time, inner env, 4)
    head: int
    filled: int


class Replay:
    """The rings of K members.

    Args:
        members: K.
        envs: Inner environments per member, E.
        inputs: Numbers in one observation, or the shape of an image, which is kept as bytes.
        capacity: Transitions per member; rounded up to whole time slots, and one more for the newest observation.
        device: Where the tensors lie.
    """

    def __init__(self, members: int, envs: int, inputs: Inputs, capacity: int, device: torch.device) -> None:
        self.slots = -(-capacity // envs) + 1
        self.envs = envs
        dtype = torch.uint8 if kind_of(inputs) == IMAGES else torch.float32
        self.observations = torch.zeros(members, self.slots, envs, *shape_of(inputs), dtype=dtype, device=device)
        self.steps = torch.zeros(members, self.slots, envs, 4, device=device)
        self.head = torch.zeros(members, dtype=torch.int64, device=device)
        self.filled = torch.zeros(members, dtype=torch.int64, device=device)

    def write(self, members: Tensor, observations: Tensor, actions: Tensor) -> None:
        """Write a time slot; it is not valid until it is completed.

        Args:
            members: (G,) int64.
            observations: (G, E, *observation shape), on which the actions are taken.
            actions: (G, E).
        """
        head, filled = self.head.index_select(0, members), self.filled.index_select(0, members)
        self.observations[members, head] = observations
        self.steps[members, head] = F.pad(actions.to(self.steps.dtype)[..., None], (0, 3))
        self.head.index_copy_(0, members, (head + 1) % self.slots)
        self.filled.index_copy_(0, members, (filled + 1).clamp_(max=self.slots))

    def complete(self, members: Tensor, results: Tensor) -> None:
        """Write down what came of the actions in the newest slot.

        Args:
            members: (G,) int64.
            results: (G, E, 3): reward, terminated, valid.
        """
        self.steps[members, self.head.index_select(0, members) - 1, :, 1:] = results

    def sample(self, members: Tensor, uniform: Tensor) -> Batch:
        """Draw transitions uniformly from all slots but the newest, whose successor is not there yet.

        Args:
            members: (G,) int64.
            uniform: (G, B) float64 in [0, 1), the randomness.

        Returns:
            The transitions, (G, B, ...).
        """
        # A member's ring laid out flat, (time x inner env): the successor lies `envs` positions on.
        length, filled = self.slots * self.envs, self.filled.index_select(0, members)[:, None]  # filled: (G, 1)
        oldest = (self.head.index_select(0, members)[:, None] - filled) * self.envs
        position = oldest + (uniform * ((filled - 1) * self.envs)).long()  # (G, B)
        places = torch.stack([position, position + self.envs]) % length + (members * length)[:, None]  # (2, G, B)
        here, following = _rows(self.observations.flatten(0, 2), places)
        rows = _rows(self.steps.view(-1, 4), places[0])  # (G, B, 4)
        return Batch(
            observations=here,
            actions=rows[..., ACTION].long(),
            rewards=rows[..., REWARD],
            next_observations=following,
            terminated=rows[..., TERMINATED],
            valid=rows[..., VALID],
        )

    def keep(self, member: int, share: float) -> int:
        """Forget all but the newest share of one member's slots that have a successor; of none, the newest slot too.

        Returns:
            How many transitions are left, those that only reset an environment included.
        """
        left = int(share * (int(self.filled[member]) - 1))
        self.filled[member] = left + 1 if left > 0 else 0
        return max(0, left) * self.envs

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


def _rows(table: Tensor, places: Tensor) -> Tensor:
    """Read rows (*places, ...) at places; an index would do the same ten times slower where rows are images."""
    return table.index_select(0, places.flatten()).view(*places.shape, *table.shape[1:])
