"""Adam (arXiv 1412.6980) on the flat numbers of a group of subnets, with a step count per number."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Numbers(Protocol):
    """What an optimizer moves: the numbers of subnets, with their moments and step counts."""

    fields: dict[str, Tensor]  # for each of `archgym.supernet.FIELDS`, (G, parameter count)

    def views(self, name: str) -> Mapping[str, Tensor]:
        """Cut a field into tensors, (G, ...), in the order of the numbers."""


class Adam:
    """Follows gradients; moments and step counts are the subnets' own.

    Args:
        subnets: Whose numbers; trained in place.

    Attributes:
        gradient_steps: Steps made; `finish` adds them to the counts.
    """

    def __init__(self, subnets: Numbers) -> None:
        self.fields, self.gradient_steps = subnets.fields, 0
        steps = self.fields["steps"]
        if bool((steps == steps[:, :1]).all()):  # one correction per member, not one per number
            steps = steps[:, :1]
        counts = steps.flatten().cpu().int()
        present = counts.bincount().nonzero().flatten()  # a handful: powers of these alone
        self.corrections = []
        for beta in BETAS:
            table = torch.empty(int(present[-1]) + 1, dtype=self.fields["weight"].dtype)
            table[present] = (1 - beta ** present.double()).to(table)
            self.corrections.append(table.index_select(0, counts).view(steps.shape).to(self.fields["weight"]))
        self.one = torch.ones_like(self.fields["weight"][0, 0])

    @torch.no_grad()
    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """Make one step against a gradient (G, parameter count)."""
        for correction, beta in zip(self.corrections, BETAS, strict=True):
            correction.lerp_(self.one, 1 - beta)  # 1 - beta^(t+1), without cancellation
        first, second = self.fields["exp_avg"], self.fields["exp_avg_sq"]
        first.lerp_(gradient, 1 - BETAS[0])
        second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        scale = (second / self.corrections[1]).sqrt_().add_(EPSILON).mul_(self.corrections[0])
        self.fields["weight"].addcdiv_(first, scale, value=-learning_rate)
        self.gradient_steps += 1

    def ages(self) -> list[Tensor]:
        """Give what a step changes beside the fields."""
        return self.corrections

    @torch.no_grad()
    def finish(self) -> NDArray[np.bool_]:
        """Count the gradient steps and tell which members have a number that is not finite, (G,).

        Moments count too: a number whose second moment has overflowed looks sound and never moves again.
        """
        self.fields["steps"] += self.gradient_steps
        sums = torch.stack([(0 * field).sum(1) for field in self.fields.values()])  # 0, but of what is not finite NaN
        diverged: NDArray[np.bool_] = sums.isnan().any(0).cpu().numpy()
        return diverged
