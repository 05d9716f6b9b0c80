"""The supernet of multilayer perceptrons: narrow networks use the first units of wide ones.

Every depth has a head of its own: what layer 2 has learned to hand to the head is not what layer 3 hands to it.
LayerNorm is computed over the exact width of the subnet, and its gain and bias are cropped like any other tensor.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archgym.net2net import Chain, Link
from archgym.search_spaces.mlp import MLP
from archgym.supernet import Parameter, Slices

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "tanh": torch.tanh, "elu": F.elu}
MODULES: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU}


def parameters(networks: Sequence[MLP], inputs: int, outputs: int) -> dict[str, Parameter]:
    """Name the tensors that hold all these networks.

    A weight starts uniform within 1/sqrt(fan-in), torch's rule for linear layers, with the fan-in of the narrowest
    network that uses it: exact for the narrowest; where n widths double, the widest one's sums start at most
    sqrt((n + 1) / 2) times too wide.
    """
    tensors: dict[str, Parameter] = {}

    def linear(name: str, rows: int, fan_ins: list[int]) -> None:
        ends = np.array(fan_ins)
        columns = ends[np.searchsorted(ends, np.arange(ends[-1]), side="right")]  # smallest fan-in beyond the column
        tensors[f"{name}.weight"] = Parameter((rows, fan_ins[-1]), 1 / np.sqrt(columns))
        tensors[f"{name}.bias"] = Parameter((rows,), 1 / np.sqrt(fan_ins[0]))

    widths = [
        sorted({network.hidden[layer] for network in networks if layer < len(network.hidden)})
        for layer in range(max(len(network.hidden) for network in networks))
    ]
    for layer, sizes in enumerate(widths):
        linear(f"layer_{layer}", sizes[-1], widths[layer - 1] if layer else [inputs])
        if any(network.layer_norm for network in networks):
            tensors[f"norm_{layer}.weight"] = Parameter((sizes[-1],), 0.0, 1.0)
            tensors[f"norm_{layer}.bias"] = Parameter((sizes[-1],), 0.0)
    for depth in sorted({len(network.hidden) for network in networks}):
        linear(f"head_{depth}", outputs, widths[depth - 1])
    return tensors


def crop(network: MLP, inputs: int, outputs: int) -> dict[str, Slices]:
    """Name the tensors of one network and the part of each that it uses."""
    parts: dict[str, Slices] = {}
    fan_in = inputs
    for layer, width in enumerate(network.hidden):
        parts[f"layer_{layer}.weight"] = (slice(width), slice(fan_in))
        parts[f"layer_{layer}.bias"] = (slice(width),)
        if network.layer_norm:
            parts[f"norm_{layer}.weight"] = parts[f"norm_{layer}.bias"] = (slice(width),)
        fan_in = width
    parts[f"head_{len(network.hidden)}.weight"] = (slice(outputs), slice(fan_in))
    parts[f"head_{len(network.hidden)}.bias"] = (slice(outputs),)
    return parts


def forward(network: MLP, weights: Mapping[str, Tensor], observations: Tensor) -> Tensor:
    """Map observations (G, B, inputs) to values (G, B, outputs) with weights (G, *shape)."""

    def linear(name: str, x: Tensor) -> Tensor:
        return torch.baddbmm(weights[f"{name}.bias"][:, None], x, weights[f"{name}.weight"].transpose(1, 2))

    x = observations
    for layer in range(len(network.hidden)):
        y = linear(f"layer_{layer}", x)
        if network.layer_norm:
            gain, bias = weights[f"norm_{layer}.weight"], weights[f"norm_{layer}.bias"]
            y = torch.addcmul(bias[:, None], F.layer_norm(y, y.shape[-1:]), gain[:, None])
        y = ACTIVATIONS[network.activation](y)
        if network.skip and layer:
            y = add_overlap(y, x)
        x = y
    return linear(f"head_{len(network.hidden)}", x)


def chain(network: MLP, inputs: int, outputs: int) -> Chain:
    """List the layers for `archgym.net2net`; an added one is exact with relu alone."""
    plain = not (network.layer_norm or network.skip)
    passes = plain and network.activation == "relu"
    hidden = [
        Link(f"layer_{i}", width, norm=f"norm_{i}" if network.layer_norm else "", passes=passes)
        for i, width in enumerate(network.hidden)
    ]
    head = Link(f"head_{len(network.hidden)}", outputs, role="head")
    return Chain([*hidden, head], inputs, plain, (network.activation, network.layer_norm, network.skip))


def add_overlap(y: Tensor, x: Tensor) -> Tensor:
    """Add x to y where both have units; the other units of y stay as they are."""
    width, given = y.shape[-1], x.shape[-1]
    return y + (x[..., :width] if given >= width else F.pad(x, (0, width - given)))


class _Residual(nn.Module):
    """The exported form of a network with skips; `torch.fx` writes it out as plain torch code."""

    def __init__(self, layers: list[nn.Sequential], widths: Sequence[int], head: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.widths = list(widths)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers[0](x)
        for layer, given, width in zip(list(self.layers)[1:], self.widths, self.widths[1:], strict=False):
            x = layer(x) + (x[..., :width] if given >= width else F.pad(x, (0, width - given)))
        values: Tensor = self.head(x)
        return values


def module(network: MLP, weights: Mapping[str, Tensor]) -> nn.Module:
    """Build a plain module: `nn.Sequential`, or a `torch.fx.GraphModule` where there are skips."""

    def filled(layer: nn.Module, name: str) -> nn.Module:
        tensors = {key: weights[f"{name}.{key}"].detach().cpu().clone() for key in ("weight", "bias")}
        layer.load_state_dict(tensors)
        return layer

    fan_in = weights["layer_0.weight"].shape[-1]
    blocks = []
    for i, width in enumerate(network.hidden):
        block = [filled(nn.Linear(fan_in, width), f"layer_{i}")]
        if network.layer_norm:
            block.append(filled(nn.LayerNorm(width), f"norm_{i}"))
        blocks.append(nn.Sequential(*block, MODULES[network.activation]()))
        fan_in = width
    name = f"head_{len(network.hidden)}"
    head = filled(nn.Linear(fan_in, weights[f"{name}.weight"].shape[0]), name)
    if not network.skip:
        return nn.Sequential(*(layer for block in blocks for layer in block), head)
    return torch.fx.symbolic_trace(_Residual(blocks, network.hidden, head))


def card(network: MLP) -> dict[str, object]:
    """Describe the network for `best.json`; the tensors keep the names that `crop` gives them."""
    return {
        "hidden": list(network.hidden),
        "activation": network.activation,
        "layer_norm": network.layer_norm,
        "skip": network.skip,
    }
