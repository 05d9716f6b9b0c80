"""Adam in torch's fused kernel: the same steps as `Adam`, in one pass over the memory where step counts allow it.

Numbers that have all made equally many steps are left to the kernel: five times as fast on four million of them. Where
all are of one age they are one piece, and where every member's are, a piece a member; otherwise the pieces are tensors,
and those of several ages (kernels of a supernet, whose middle has been trained more often than their border) take the
plain way. The kernel computes in another order: the results differ in their last bits.
"""

from copy import copy
from itertools import accumulate

import torch
from torch import Tensor
from torch.optim.adam import adam

from archgym.learners.adam import BETAS, EPSILON, Adam, Numbers

LARGE = 500_000  # numbers of a network from which on the kernel pays, though some tensors cannot take it
FUSED = ("cpu", "cuda")  # where torch has the kernel


class FusedAdam(Adam):
    """Follows gradients; moments and step counts are the subnets' own.

    Args:
        subnets: Whose numbers; trained in place.
    """

    def __init__(self, subnets: Numbers) -> None:
        # Not that of Adam, whose corrections of every number are needed for few of them.
        self.fields, self.gradient_steps = subnets.fields, 0
        counts = self.fields["steps"]
        sizes = [view[0].numel() for view in subnets.views("weight").values()]
        self._plain: list[tuple[slice, Adam]] = []
        self._fused: list[tuple[int | slice, slice]] = []  # members and numbers of each piece
        if bool((counts == counts[0, 0]).all()):
            self._fused, sizes = [(slice(None), slice(None))], []
        elif of_one_age(counts):
            sizes = [sum(sizes)]
        for size, start in zip(sizes, accumulate(sizes, initial=0), strict=False):
            span = slice(start, start + size)
            if of_one_age(counts[:, span]):
                self._fused += [(row, span) for row in range(len(counts))]
            else:
                part = copy(subnets)
                part.fields = {name: field[:, span] for name, field in self.fields.items()}
                self._plain.append((span, Adam(part)))
        self._numbers, self._first, self._second = (
            [self.fields[name][piece].detach() for piece in self._fused] for name in ("weight", "exp_avg", "exp_avg_sq")
        )
        self._steps = [counts[piece].flatten()[0].clone() for piece in self._fused]

    @torch.no_grad()
    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """Make one step against a gradient (G, parameter count)."""
        adam(
            self._numbers,
            [gradient[piece] for piece in self._fused],
            self._first,
            self._second,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=learning_rate,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )
        for span, plain in self._plain:
            plain.step(gradient[:, span], learning_rate)
        self.gradient_steps += 1

    def ages(self) -> list[Tensor]:
        """Give what a step changes beside the fields."""
        return [*self._steps, *(age for _, plain in self._plain for age in plain.ages())]


def of_one_age(counts: Tensor) -> bool:
    """Tell whether all numbers of a member have made equally many steps, for every member; counts are (G, numbers)."""
    return bool((counts == counts[:, :1]).all())


def adam_for(subnets: Numbers) -> Adam:
    """Choose between the plain and the fused way."""
    weight = subnets.fields["weight"]
    if weight.device.type not in FUSED:
        return Adam(subnets)
    large = weight.shape[1] >= LARGE
    return FusedAdam(subnets) if large or of_one_age(subnets.fields["steps"]) else Adam(subnets)
