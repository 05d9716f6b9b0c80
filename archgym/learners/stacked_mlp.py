"""Multilayer perceptrons of G members side by side, forwards and backwards by hand, in memory that is there already.

The same values and gradients as `archgym.supernets.mlp.forward` and torch's autograd. Maps lie feature by feature,
(G, features, B): every weight (G, features, inputs) then multiplies as it lies, a head with few outputs still reads
whole rows of the minibatch, and biases lie along it. Nothing is allocated, no graph is recorded, and no call waits for
the device, so that a CUDA graph can hold all of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from archgym.search_spaces.mlp import MLP

EPSILON = 1e-5  # of a LayerNorm, torch's default

aten = torch.ops.aten


@dataclass(frozen=True)
class Activation:
    """An activation in place, and the gradient at its inputs from what it gave: (gradient, given, out)."""

    apply: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]


ACTIVATIONS = {
    "relu": Activation(
        torch.relu_, lambda gradient, given, out: aten.threshold_backward(gradient, given, 0, grad_input=out)
    ),
    "tanh": Activation(torch.tanh_, lambda gradient, given, out: aten.tanh_backward(gradient, given, grad_input=out)),
    "elu": Activation(
        torch.nn.functional.elu_,
        lambda gradient, given, out: aten.elu_backward(gradient, 1, 1, 1, True, given, grad_input=out),
    ),
}


@dataclass(frozen=True)
class Layer:
    """The tensors of one linear layer, and of the LayerNorm behind it where there is one."""

    weight: Tensor  # (G, features, inputs)
    bias: Tensor  # (G, features, 1), as are those below
    gain: Tensor | None = None
    shift: Tensor | None = None


def layers(network: MLP, tensors: Mapping[str, Tensor]) -> list[Layer]:
    """Put tensors, named as the supernet names them, in the order in which they are used; the head comes last."""

    def column(name: str) -> Tensor | None:
        return tensors[name][..., None] if name in tensors else None

    hidden = [(f"layer_{i}", f"norm_{i}") for i in range(len(network.hidden))]
    return [
        Layer(
            tensors[f"{name}.weight"],
            tensors[f"{name}.bias"][..., None],
            column(f"{norm}.weight"),
            column(f"{norm}.bias"),
        )
        for name, norm in [*hidden, (f"head_{len(network.hidden)}", "")]
    ]


class StackedMLP:
    """The working memory of G equal networks for B observations each.

    Args:
        network: Which.
        like: A weight of its first layer (G, features, inputs), for G, type and device.
        batch: B.
    """

    def __init__(self, network: MLP, like: Tensor, batch: int) -> None:
        self.network, self.activation, members = network, ACTIVATIONS[network.activation], len(like)

        def maps(needed: bool = True) -> list[Tensor]:
            return [like.new_empty(members, width, batch) for width in network.hidden] if needed else []

        self.active = maps()  # what each activation gave
        self.outputs = [self.active[0], *maps()[1:]] if network.skip else self.active  # of each layer
        self.normed, self.scales = maps(network.layer_norm), [like.new_empty(0)] * len(network.hidden)
        self.gradients = maps()  # at the outputs of each layer
        self.errors = maps() if network.skip else self.gradients  # at the sums of each layer
        self.first = like.new_empty(members, like.shape[2], like.shape[1])

    def forward(self, weights: list[Layer], x: Tensor, out: Tensor) -> Tensor:
        """Compute values, (G, outputs, B), into `out`; x (G, inputs, B) may be a transposed view."""
        *hidden, head = weights
        for i, layer in enumerate(hidden):
            y = torch.bmm(layer.weight, x, out=self.active[i])
            y.add_(layer.bias)
            if layer.gain is not None and layer.shift is not None:
                self._normalise(i, layer.gain, layer.shift)
            self.activation.apply(y)
            if self.network.skip and i:
                shared = min(self.network.hidden[i - 1 : i + 1])
                self.outputs[i].copy_(y)[:, :shared] += x[:, :shared]
            x = self.outputs[i]
        return torch.bmm(head.weight, x, out=out).add_(head.bias)

    def backward(self, weights: list[Layer], x: Tensor, slope: Tensor, gradient: list[Layer]) -> None:
        """Write the gradient of what the newest `forward` computed into `gradient`.

        Args:
            weights: As they were in that call.
            x: Its observations.
            slope: (G, outputs, B), the gradient at the values.
            gradient: Where the gradients of `weights` go.
        """
        last = len(self.network.hidden) - 1
        torch.bmm(slope, self.outputs[last].transpose(1, 2), out=gradient[-1].weight)
        torch.sum(slope, 2, keepdim=True, out=gradient[-1].bias)
        torch.bmm(weights[-1].weight.transpose(1, 2), slope, out=self.gradients[last])
        for i in range(last, -1, -1):
            layer, own = weights[i], gradient[i]
            error = self.activation.backward(self.gradients[i], self.active[i], self.errors[i])
            if layer.gain is not None and own.gain is not None and own.shift is not None:
                self._normalise_backward(i, layer.gain, own.gain, own.shift)
            torch.sum(error, 2, keepdim=True, out=own.bias)
            if i == 0:  # a product with few columns is slow, one with few rows is not
                own.weight.copy_(torch.bmm(x, error.transpose(1, 2), out=self.first).transpose(1, 2))
                return
            torch.bmm(error, self.outputs[i - 1].transpose(1, 2), out=own.weight)
            torch.bmm(layer.weight.transpose(1, 2), error, out=self.gradients[i - 1])
            if self.network.skip:
                shared = min(self.network.hidden[i - 1 : i + 1])
                self.gradients[i - 1][:, :shared] += self.gradients[i][:, :shared]

    def _normalise(self, i: int, gain: Tensor, shift: Tensor) -> None:
        """Apply the LayerNorm (arXiv 1607.06450) of layer i to `active[i]`, over the features."""
        y, normed = self.active[i], self.normed[i]
        torch.sub(y, y.mean(1, keepdim=True), out=normed)
        self.scales[i] = torch.mul(normed, normed, out=y).mean(1, keepdim=True).add_(EPSILON).rsqrt_()  # (G, 1, B)
        normed.mul_(self.scales[i])
        torch.addcmul(shift, normed, gain, out=y)

    def _normalise_backward(self, i: int, gain: Tensor, gain_gradient: Tensor, shift_gradient: Tensor) -> None:
        """Turn `errors[i]` from the gradient behind the LayerNorm of layer i into that before it."""
        error, normed, product = self.errors[i], self.normed[i], self.active[i]  # the last is needed no more
        torch.sum(error, 2, keepdim=True, out=shift_gradient)
        torch.sum(torch.mul(error, normed, out=product), 2, keepdim=True, out=gain_gradient)
        error.mul_(gain)
        along = product.mul_(gain).mean(1, keepdim=True)
        error.sub_(error.mean(1, keepdim=True)).addcmul_(normed, along, value=-1).mul_(self.scales[i])
