"""The supernet of convolutional networks: small kernels are the middle of large ones, narrow layers the first channels.

A small kernel computes what the large one would whose outer weights are 0, without the cost of multiplying by them.
On a CPU members are computed one after the other: grouped convolutions cost twice as much there as a loop. Elsewhere a
layer of all members is one convolution of G groups, for fewer launches; whether that pays no GPU has shown yet.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from archgym.net2net import Chain, Link
from archgym.observations import Image
from archgym.search_spaces.nature_kernels import Conv, ConvNet
from archgym.supernet import Centred, Parameter, Slices

BRIGHTEST = 255.0  # what bytes are divided by

Compute = Callable[[ConvNet, Mapping[str, Tensor], Tensor], Tensor]
"""Computes a layer of G members from (B, G x channels, height, width) or (B, G x inputs), with weights (G, ...)."""


def parameters(networks: Sequence[ConvNet], inputs: Image, outputs: int) -> dict[str, Parameter]:
    """Name the tensors that hold all these networks.

    A weight starts uniform within 1/sqrt(fan-in), torch's rule for convolutions and linear layers, with the smallest
    fan-in (channels read, times height and width of the kernel) of the sizes that use it: exact for the smallest
    network; the sums of 5x5 kernels that hold all smaller ones start at most 1.8 times too wide.
    """
    every = [_shapes(network, inputs, outputs) for network in networks]
    tensors: dict[str, Parameter] = {}
    for name in dict.fromkeys(name for shapes in every for name in shapes):
        own = {shapes[name] for shapes in every if name in shapes}
        full = tuple(map(max, zip(*own, strict=True)))
        if name.startswith("norm_"):
            tensors[name] = Parameter(full, 0.0, 1.0 if name.endswith(".weight") else 0.0)
        elif name.endswith(".bias"):
            fan_ins = _smallest_fan_ins(
                {shapes[name.replace(".bias", ".weight")] for shapes in every if name in shapes}
            )
            tensors[name] = Parameter(full, float(1 / np.sqrt(fan_ins.min())))
        else:
            tensors[name] = Parameter(full, 1 / np.sqrt(_smallest_fan_ins(own)))
    return tensors


def _smallest_fan_ins(shapes: set[tuple[int, ...]]) -> NDArray[np.float64]:
    """Give the smallest fan-in of each weight, (1, *full shape without the first axis): sizes combine freely."""
    full = tuple(map(max, zip(*shapes, strict=True)))
    fan_ins = np.full((1, *full[1:]), np.inf)
    for reads, kernel in itertools.product({shape[1] for shape in shapes}, {shape[2:] for shape in shapes}):
        middle = (Centred(size).within(length) for size, length in zip(kernel, full[2:], strict=True))
        used = (slice(None), slice(reads), *middle)
        fan_ins[used] = np.minimum(fan_ins[used], reads * math.prod(kernel))
    return fan_ins


def crop(network: ConvNet, inputs: Image, outputs: int) -> dict[str, Slices]:
    """Name the tensors of one network and the part of each that it uses."""
    return {name: _cuts(shape) for name, shape in _shapes(network, inputs, outputs).items()}


def _shapes(network: ConvNet, inputs: Image, outputs: int) -> dict[str, tuple[int, ...]]:
    """Name the tensors of one network, with their shapes."""
    *maps, read = network.maps(inputs)
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(name: str, *shape: int) -> None:
        shapes[f"{name}.weight"] = shape
        shapes[f"{name}.bias"] = shape[:1]
        if network.layer_norm:
            shapes[f"norm_{name}.weight"] = shapes[f"norm_{name}.bias"] = shape[:1]

    for before, (name, conv) in zip(maps, _convs(network).items(), strict=False):
        layer(name, conv.channels, before[0], conv.kernel, conv.kernel)
    layer("hidden", network.hidden, math.prod(read))
    return {**shapes, "head.weight": (outputs, network.hidden), "head.bias": (outputs,)}


def _convs(network: ConvNet) -> dict[str, Conv]:
    """Name the convolutions."""
    return {"stem": network.stem, **{f"conv_{number}": conv for number, conv in enumerate(network.convs)}}


def _cuts(shape: Sequence[int]) -> Slices:
    """Cut the first channels or units, and the middle of kernels."""
    return tuple(Centred(size) if axis > 1 else slice(size) for axis, size in enumerate(shape))


def forward(network: ConvNet, weights: Mapping[str, Tensor], observations: Tensor) -> Tensor:
    """Map images of bytes (G, B, channels, height, width) to values (G, B, outputs) with weights (G, *shape).

    Every layer is computed in the type of its weights.
    """
    compute = one_by_one if observations.device.type == "cpu" else side_by_side
    return compute(network, weights, observations)


def one_by_one(network: ConvNet, weights: Mapping[str, Tensor], observations: Tensor) -> Tensor:
    """Compute one member after the other; otherwise as `forward`."""
    count = len(observations)
    if count == 1:  # without the copies of all gradients that splitting makes
        return side_by_side(network, weights, observations)
    split = zip(*(weight.chunk(count) for weight in weights.values()), strict=True)
    members = [dict(zip(weights, own, strict=True)) for own in split]
    parts = zip(members, observations.chunk(count), strict=True)
    return torch.cat([side_by_side(network, own, images) for own, images in parts])


def side_by_side(network: ConvNet, weights: Mapping[str, Tensor], observations: Tensor) -> Tensor:
    """Compute all members at once, the channels of each beside those of the others; otherwise as `forward`."""
    x = _entered(weights, observations.transpose(0, 1).flatten(1, 2))
    for name in _convs(network):
        x = _convolved(network, weights, x, name)
    values = _head(network, weights, _hidden(network, weights, _flat(network, x)))
    return values.view(len(x), len(observations), -1).transpose(0, 1)  # (G, B, outputs)


def together(
    networks: Sequence[ConvNet], weights: Sequence[Mapping[str, Tensor]], observations: Sequence[Tensor]
) -> list[Tensor]:
    """Compute several networks of one supernet, each as `forward` would on images (1, B, ...) of its own.

    The first convolution and the linear layers, which hold nearly all numbers, are computed once on the images of all,
    where all networks have them in common: the same objects in `weights`.
    """
    first, own = networks[0], weights[0]

    def computed(layer: str, compute: Compute, x: list[Tensor], once: bool = True) -> list[Tensor]:
        parts = (f"{layer}.", f"norm_{layer}.")
        used = [{name: id(one) for name, one in tensors.items() if name.startswith(parts)} for tensors in weights]
        if once and all(other == used[0] for other in used):
            return list(compute(first, own, torch.cat(x)).split_with_sizes([len(part) for part in x]))
        return [compute(*one) for one in zip(networks, weights, x, strict=True)]

    x = [_entered(own, images[0]) for images in observations]
    x = computed("stem", partial(_convolved, name="stem"), x, all(one.stem == first.stem for one in networks))
    for number, (network, tensors) in enumerate(zip(networks, weights, strict=True)):
        for name in list(_convs(network))[1:]:
            x[number] = _convolved(network, tensors, x[number], name)
        x[number] = _flat(network, x[number])
    return [values[None] for values in computed("head", _head, computed("hidden", _hidden, x))]


def _entered(weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Bring images of bytes (B, G x channels, height, width) to what the stem takes."""
    x = images.to(weights["stem.weight"].dtype)
    if torch.is_grad_enabled() and x.dtype == torch.float32 and x.device.type == "cpu":
        # Measured there: a fifth faster so with gradients, but slower without them, and in bfloat16 either way.
        x = x.contiguous(memory_format=torch.channels_last)
    return x


def _convolved(network: ConvNet, weights: Mapping[str, Tensor], x: Tensor, name: str) -> Tensor:
    """Compute one convolution."""
    conv, weight = _convs(network)[name], weights[f"{name}.weight"]
    members, kernels = len(weight), weight.flatten(0, 1)  # (G x outputs, ...)
    if name == "stem":  # the weights are divided and not the images, which bfloat16 holds exactly as they are
        kernels = kernels / BRIGHTEST
    before, behind = conv.padding[:2]
    if before != behind:  # else the convolution itself pads, without a copy of the maps
        x, before = F.pad(x, conv.padding), 0
    x = F.conv2d(x, kernels, weights[f"{name}.bias"].flatten(), conv.stride, before, groups=members)
    return _activated(network, weights, name, x)


def _activated(network: ConvNet, weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Compute what follows a layer."""
    if network.layer_norm:  # a group for each member
        gain, shift = weights[f"norm_{name}.weight"], weights[f"norm_{name}.bias"]
        x = F.group_norm(x, len(gain), gain.flatten(), shift.flatten())
    return F.relu(x)


def _flat(network: ConvNet, x: Tensor) -> Tensor:
    """Bring maps to the inputs of the hidden layer."""
    return fitted(x, network.side).flatten(1)


def _hidden(network: ConvNet, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Compute the hidden layer."""
    return _activated(network, weights, "hidden", _linear(weights, "hidden", x))


def _head(network: ConvNet, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Compute the values."""
    return _linear(weights, "head", x.to(weights["head.weight"].dtype))


def _linear(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    if len(weight) == 1:
        return F.linear(x, weight[0], bias[0])
    own = x.view(len(x), len(weight), -1).transpose(0, 1)  # (G, B, inputs)
    return torch.baddbmm(bias[:, None], own, weight.mT).transpose(0, 1).flatten(1)  # (B, G x units)


def chain(network: ConvNet, inputs: Image, outputs: int) -> Chain:
    """List the layers for `archgym.net2net`; a kernel grows around its middle where the convolution pads."""

    def norm(name: str) -> str:
        return f"norm_{name}" if network.layer_norm else ""

    convs = [
        Link(
            name,
            conv.channels,
            norm=norm(name),
            kernel=(conv.kernel, conv.kernel),
            middle=conv.same,
            passes=conv.same and conv.stride == 1 and not network.layer_norm,
            other=(conv.stride, conv.same),
        )
        for name, conv in _convs(network).items()
    ]
    cells = math.prod(network.maps(inputs)[-1][1:])
    linear = [Link("hidden", network.hidden, norm=norm("hidden"), cells=cells), Link("head", outputs)]
    return Chain([*convs, *linear], inputs[0], not network.layer_norm, (network.layer_norm, network.side))


def fitted(x: Tensor, side: int | None) -> Tensor:
    """Bring maps (B, channels, height, width) to side x side, with zeros around them or by cutting their border off."""
    if side is None:
        return x
    high, wide = side - x.size(-2), side - x.size(-1)
    return F.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))


class _Exported(nn.Module):
    """The exported form; `torch.fx` writes it out as plain torch code."""

    def __init__(self, convs: nn.Sequential, side: int | None, linear: nn.Sequential) -> None:
        super().__init__()
        self.convs, self.side, self.linear = convs, side, linear

    def forward(self, x: Tensor) -> Tensor:
        values: Tensor = self.linear(fitted(self.convs(x.float() / BRIGHTEST), self.side))
        return values


def module(network: ConvNet, weights: Mapping[str, Tensor]) -> nn.Module:
    """Build a plain module, a `torch.fx.GraphModule`, which takes images of bytes, (B, channels, height, width)."""

    def filled(layer: nn.Module, name: str) -> nn.Module:
        layer.load_state_dict({key: weights[f"{name}.{key}"].detach().cpu().clone() for key in ("weight", "bias")})
        return layer

    def activated(name: str, layer: nn.Module, units: int) -> list[nn.Module]:
        norm = [filled(nn.GroupNorm(1, units), f"norm_{name}")] if network.layer_norm else []
        return [filled(layer, name), *norm, nn.ReLU()]

    layers: list[nn.Module] = []
    for name, conv in _convs(network).items():
        channels = weights[f"{name}.weight"].shape[1]
        if any(conv.padding):
            layers.append(nn.ZeroPad2d(conv.padding))
        layers += activated(name, nn.Conv2d(channels, conv.channels, conv.kernel, conv.stride), conv.channels)
    read, outputs = weights["hidden.weight"].shape[1], weights["head.weight"].shape[0]
    hidden = activated("hidden", nn.Linear(read, network.hidden), network.hidden)
    head = filled(nn.Linear(network.hidden, outputs), "head")
    return torch.fx.symbolic_trace(
        _Exported(nn.Sequential(*layers), network.side, nn.Sequential(nn.Flatten(), *hidden, head))
    )


def card(network: ConvNet) -> dict[str, object]:
    """Describe the network for `best.json`; the tensors keep the names that `crop` gives them."""
    return {
        "convs": [[conv.channels, conv.kernel, conv.stride, conv.same] for conv in _convs(network).values()],
        "side": network.side,
        "hidden": network.hidden,
        "layer_norm": network.layer_norm,
    }
