"""The type that networks are computed in, beside the float32 numbers that training moves.

In bfloat16 half the bytes are read and twice the products made per instruction, where the processor knows it; numbers
keep 8 of 24 bits. Training goes on in float32: the gradient of a rounded copy of the weights moves the weights. The
compiled learners round the factors of the products between hidden layers (archgym/native/network.h); torch rounds
whatever a convolutional network computes but its head.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from archgym.lookup import unknown

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def check(name: str) -> None:
    """Demand the name of a type.

    Raises:
        ValueError: If there is no such type.
    """
    if name not in PRECISIONS:
        raise unknown("precision", name, PRECISIONS)


def check_learner(name: str, learner: str, images: bool) -> None:
    """Demand that a learner computes in a type.

    Args:
        name: A key of `PRECISIONS`.
        learner: `native`, `torch` or `reference`.
        images: Whether the networks are convolutional.

    Raises:
        ValueError: If it does not.
    """
    if name != "float32" and learner != "native" and not images:
        raise ValueError(
            f"precision: expected 'float32' where torch trains (but for convolutional networks), "
            f"got {name!r}: it is for learner='native'."
        )


class Working:
    """The tensors that a network is computed with.

    Args:
        numbers: What training moves: views of a subnet's field.
        precision: A key of `PRECISIONS`. With `float32` the tensors are the views; otherwise copies, which `renew`
            rounds anew. Heads stay as they are, so that values are not rounded.
        trains: Whether gradients are taken of them.

    Attributes:
        tensors: By the names of `numbers`.
    """

    def __init__(self, numbers: Mapping[str, Tensor], precision: str, trains: bool) -> None:
        self._numbers, own = numbers, PRECISIONS[precision]
        self._copied = [name for name in numbers if own != torch.float32 and not name.startswith("head")]
        tensors = {name: view.to(own) if name in self._copied else view.detach() for name, view in numbers.items()}
        self.tensors = {name: tensor.requires_grad_(trains) for name, tensor in tensors.items()}

    @torch.no_grad()
    def renew(self) -> None:
        """Round the copies anew, after the numbers have moved."""
        for name in self._copied:
            self.tensors[name].copy_(self._numbers[name])
