"""Adam for large networks: the same steps as `Adam`, in one pass over the memory where step counts allow it.

A tensor whose numbers have all made equally many steps is left to torch's fused kernel, five times as fast on four
million numbers; the others (kernels of a supernet, whose middle has been trained more often than their border) take the
plain way. The kernel computes in another order: the results differ in their last bits.
"""

from copy import copy

import torch
from torch import Tensor

from archgym.learners.adam import BETAS, EPSILON, Adam, Numbers

LARGE = 500_000  # numbers of a network from which on the calls for single tensors pay
FUSED = ("cpu", "cuda")  # where torch has the kernel


class FusedAdam(Adam):
    """Follows gradients; moments and step counts are the subnets' own.

    Args:
        subnets: Whose numbers; trained in place.
        device: Where they lie.
    """

    def __init__(self, subnets: Numbers, device: torch.device) -> None:
        # Not that of Adam, whose corrections of every number are needed for few of them.
        self.fields, self.gradient_steps = subnets.fields, 0
        counts = self.fields["steps"]
        self._plain: list[tuple[slice, Adam]] = []
        self._fused: list[tuple[int, slice]] = []
        start = 0
        for view in subnets.views("weight").values():
            span = slice(start, start + view[0].numel())
            start = span.stop
            if bool((counts[:, span] == counts[:, span][:, :1]).all()):
                self._fused += [(row, span) for row in range(len(counts))]
            else:
                part = copy(subnets)
                part.fields = {name: field[:, span] for name, field in self.fields.items()}
                self._plain.append((span, Adam(part, device)))
        numbers = [self.fields["weight"][row, span].detach() for row, span in self._fused]
        self._optimizer = torch.optim.Adam(numbers, betas=BETAS, eps=EPSILON, fused=True)
        for tensor, (row, span) in zip(numbers, self._fused, strict=True):
            self._optimizer.state[tensor] = {
                "step": counts[row, span.start].clone(),
                "exp_avg": self.fields["exp_avg"][row, span],
                "exp_avg_sq": self.fields["exp_avg_sq"][row, span],
            }

    @torch.no_grad()
    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """Make one step against a gradient (G, parameter count)."""
        (settings,) = self._optimizer.param_groups
        settings["lr"] = learning_rate
        for tensor, (row, span) in zip(settings["params"], self._fused, strict=True):
            tensor.grad = gradient[row, span]
        self._optimizer.step()
        for span, plain in self._plain:
            plain.step(gradient[:, span], learning_rate)
        self.gradient_steps += 1


def adam_for(subnets: Numbers, device: torch.device) -> Adam:
    """Choose between the plain and the fused way."""
    large = subnets.fields["weight"].shape[1] >= LARGE and device.type in FUSED
    return FusedAdam(subnets, device) if large else Adam(subnets, device)
