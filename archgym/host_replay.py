"""Replay in the memory of the host: the rings of `archgym.replay`, written and read by NumPy.

The same memory and the same numbers. So little is copied that the calls cost more, and NumPy's cost less than torch's.
"""

import numpy as np
import torch
from torch import Tensor

from archgym.observations import Inputs
from archgym.replay import ACTION, REWARD, TERMINATED, VALID, Batch, Replay

HOST = torch.device("cpu")


class HostReplay(Replay):
    """The rings of K members.

    Args:
        members: K.
        envs: Inner environments per member, E.
        inputs: Numbers in one observation, or the shape of an image.
        capacity: Transitions per member, as in `Replay`.
    """

    def __init__(self, members: int, envs: int, inputs: Inputs, capacity: int) -> None:
        super().__init__(members, envs, inputs, capacity, HOST)
        self._observations, self._steps = self.observations.numpy(), self.steps.numpy()
        self._head, self._filled = self.head.numpy(), self.filled.numpy()
        self._flat_observations = self.observations.flatten(0, 2).numpy()
        self._flat_steps = self.steps.flatten(0, 2).numpy()
        self._following = np.array([0, envs])[:, None, None]  # positions from a slot to itself, and to its successor

    def write(self, members: Tensor, observations: Tensor, actions: Tensor) -> None:
        """Write a time slot; it is not valid until it is completed."""
        rows = members.numpy()
        head = self._head[rows]
        self._observations[rows, head] = observations.numpy()
        self._steps[rows, head] = 0
        self._steps[rows, head, :, ACTION] = actions.numpy()
        self._head[rows] = (head + 1) % self.slots
        self._filled[rows] = np.minimum(self._filled[rows] + 1, self.slots)

    def complete(self, members: Tensor, results: Tensor) -> None:
        """Write down what came of the actions in the newest slot."""
        rows = members.numpy()
        self._steps[rows, self._head[rows] - 1, :, REWARD:] = results.numpy()

    def sample(self, members: Tensor, uniform: Tensor) -> Batch:
        """Draw transitions uniformly from all slots but the newest, whose successor is not there yet."""
        rows = members.numpy()[:, None]  # as are the numbers of each member below, (G, 1)
        length, filled = self.slots * self.envs, self._filled[rows]
        oldest = (self._head[rows] - filled) * self.envs
        position = oldest + (uniform.numpy() * ((filled - 1) * self.envs)).astype(np.int64)  # (G, B)
        places = position + self._following  # (2, G, B)
        places %= length
        places += rows * length
        observations, following = torch.from_numpy(self._flat_observations.take(places, axis=0))
        steps = torch.from_numpy(self._flat_steps.take(places[0], axis=0))
        return Batch(
            observations=observations,
            actions=steps[..., ACTION].long(),
            rewards=steps[..., REWARD],
            next_observations=following,
            terminated=steps[..., TERMINATED],
            valid=steps[..., VALID],
        )


def open_replay(members: int, envs: int, inputs: Inputs, capacity: int, device: torch.device) -> Replay:
    """Make the rings of K members where their networks are."""
    if device.type == HOST.type:
        return HostReplay(members, envs, inputs, capacity)
    return Replay(members, envs, inputs, capacity, device)
