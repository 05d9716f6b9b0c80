"""The convolutional networks: their definition, their sizes as published, and how small kernels lie in large ones."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from archgym.learners.precision import Working
from archgym.problem import Problem
from archgym.search_space import SearchSpace
from archgym.search_spaces import deep_kernels, mini_kernels, nature_kernels
from archgym.search_spaces.nature_kernels import Conv, ConvNet
from archgym.settings import Settings
from archgym.supernet import Centred, Layout, Supernet, check_out, variants
from archgym.supernets import kernels

ATARI, BOARD = (4, 84, 84), (3, 10, 10)
OUTPUTS = 3
CPU = torch.device("cpu")


def weights_of(network: ConvNet, inputs: tuple[int, int, int], seed: int = 0) -> dict[str, Tensor]:
    """Weights of a network alone, by name, drawn as a new store has them; biases and norms are drawn too."""
    layout = Layout(kernels, [network], inputs, OUTPUTS)
    flat = layout.initial(np.random.default_rng(seed))
    noise = torch.from_numpy(np.random.default_rng(seed + 1).normal(0, 0.1, layout.size).astype(np.float32))
    return {name: view[0] for name, view in layout.views(network, (flat + noise)[None]).items()}


def images(inputs: tuple[int, int, int], count: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, *inputs)).astype(np.uint8))


def values(network: ConvNet, weights: Mapping[str, Tensor], observations: Tensor) -> Tensor:
    """Values (B, outputs) of one member."""
    return kernels.forward(network, {name: one[None] for name, one in weights.items()}, observations[None])[0]


def convolved(
    maps: NDArray[np.float64], weight: NDArray[np.float64], bias: NDArray[np.float64], conv: Conv
) -> NDArray[np.float64]:
    """A convolution, cell by cell: what lies outside of the maps (channels, height, width) counts as 0."""
    _, height, width = maps.shape
    before = conv.kernel // 2 if conv.same else 0
    high, wide = (
        -(-size // conv.stride) if conv.same else (size - conv.kernel) // conv.stride + 1 for size in (height, width)
    )
    result = np.empty((conv.channels, high, wide))
    for row in range(high):
        for column in range(wide):
            total = bias.copy()
            for i in range(conv.kernel):
                for j in range(conv.kernel):
                    y, x = row * conv.stride + i - before, column * conv.stride + j - before
                    if 0 <= y < height and 0 <= x < width:
                        total += weight[:, :, i, j] @ maps[:, y, x]
            result[:, row, column] = total
    return result


def defined(network: ConvNet, weights: Mapping[str, Tensor], image: Tensor) -> NDArray[np.float64]:
    """The definition, for one image."""
    own = {name: weight.double().numpy() for name, weight in weights.items()}

    def activated(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        if network.layer_norm:
            gain, bias = (own[f"norm_{name}.{part}"].reshape(-1, *[1] * (x.ndim - 1)) for part in ("weight", "bias"))
            x = (x - x.mean()) / np.sqrt(x.var() + 1e-5) * gain + bias
        return np.maximum(x, 0.0)

    x = image.double().numpy() / 255
    x = activated("stem", convolved(x, own["stem.weight"], own["stem.bias"], network.stem))
    for number, conv in enumerate(network.convs):
        name = f"conv_{number}"
        x = activated(name, convolved(x, own[f"{name}.weight"], own[f"{name}.bias"], conv))
    if network.side is not None:
        brought = np.zeros((len(x), network.side, network.side))
        offset = [
            (network.side - size) // 2 for size in x.shape[1:]
        ]  # rounded down: behind gets more zeros, or less cut
        for row in range(network.side):
            for column in range(network.side):
                y, z = row - offset[0], column - offset[1]
                if 0 <= y < x.shape[1] and 0 <= z < x.shape[2]:
                    brought[:, row, column] = x[:, y, z]
        x = brought
    x = activated("hidden", own["hidden.weight"] @ x.ravel() + own["hidden.bias"])
    return own["head.weight"] @ x + own["head.bias"]


SMALL = [
    ConvNet(Conv(3, 2, same=False), (Conv(4, 3), Conv(5, 5)), None, 6),
    ConvNet(Conv(3, 3, 2, same=False), (Conv(4, 4, 2), Conv(4, 2)), 5, 6),  # zeros around
    ConvNet(Conv(2, 2), (Conv(4, 1), Conv(3, 2, same=False), Conv(3, 4)), 4, 6),  # the border is cut off
    ConvNet(Conv(2, 3, same=False), (Conv(4, 5, 3),), 3, 6, layer_norm=True),
]


@pytest.mark.parametrize("network", SMALL, ids=str)
@pytest.mark.parametrize("inputs", [(2, 9, 9), (1, 8, 11)])
def test_a_network_computes_its_definition(network: ConvNet, inputs: tuple[int, int, int]) -> None:
    weights, batch = weights_of(network, inputs), images(inputs, 3)
    computed = values(network, weights, batch)
    exported = kernels.module(network, weights)
    for row, image in enumerate(batch):
        expected = torch.from_numpy(defined(network, weights, image)).float()
        torch.testing.assert_close(computed[row], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(exported(batch)[row], expected, rtol=1e-4, atol=1e-5)


# Members side by side, as on a GPU, beside members one by one, as on the CPU.

OF_SPACES = [
    (space.network_of(vector), inputs)
    for space, inputs in ((nature_kernels.SPACE, ATARI), (deep_kernels.SPACE, ATARI), (mini_kernels.SPACE, BOARD))
    for vector in (space.default_architecture, space.sample(np.random.default_rng(1)))
]
OF_ALL = [*OF_SPACES, *((network, (2, 9, 8)) for network in SMALL)]


def of_members(
    network: ConvNet, inputs: tuple[int, int, int], members: int, dtype: torch.dtype
) -> tuple[dict[str, Tensor], Tensor]:
    """Weights (G, *shape) of members, all but the head in a type, and images (G, 2, *inputs)."""
    each = [weights_of(network, inputs, seed) for seed in range(members)]
    stacked = {name: torch.stack([own[name] for own in each]) for name in each[0]}
    head = torch.float32 if dtype == torch.bfloat16 else dtype
    weights = {name: one.to(head if name.startswith("head") else dtype) for name, one in stacked.items()}
    return weights, images(inputs, members * 2).view(members, 2, *inputs)


def with_gradients(
    compute: Callable[..., Tensor], network: ConvNet, weights: Mapping[str, Tensor], observations: Tensor
) -> list[Tensor]:
    """Values, and the gradients that a loss of which no two members have the same share gives every weight."""
    leaves = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
    computed = compute(network, leaves, observations)
    shares = torch.arange(1, computed.numel() + 1).view(computed.shape) / computed.numel()
    return [computed, *torch.autograd.grad((computed * shares).sum(), list(leaves.values()))]


@pytest.mark.parametrize(("members", "layer_norm"), [(2, True), (3, False)])  # one member is computed by the same code
@pytest.mark.parametrize(("network", "inputs"), OF_ALL, ids=str)
def test_members_side_by_side_are_members_one_by_one(
    network: ConvNet, inputs: tuple[int, int, int], members: int, layer_norm: bool
) -> None:
    network = replace(network, layer_norm=layer_norm)
    case = (network, *of_members(network, inputs, members, torch.float64))
    plain, joined = (with_gradients(compute, *case) for compute in (kernels.one_by_one, kernels.side_by_side))
    assert plain[0].shape == (members, 2, OUTPUTS)
    for one, other in zip(plain, joined, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("network", "inputs"), OF_SPACES[-2:], ids=str)
def test_side_by_side_rounded_weights_come_to_nearly_the_same(network: ConvNet, inputs: tuple[int, int, int]) -> None:
    weights, observations = of_members(network, inputs, 3, torch.bfloat16)
    plain, joined = (compute(network, weights, observations) for compute in (kernels.one_by_one, kernels.side_by_side))
    assert joined.dtype == torch.float32
    torch.testing.assert_close(joined, plain, rtol=0, atol=0.02 * float(plain.abs().max()))


@pytest.mark.parametrize(("network", "inputs"), OF_SPACES, ids=str)
def test_on_a_cpu_members_are_computed_as_if_alone_to_the_last_bit(
    network: ConvNet, inputs: tuple[int, int, int]
) -> None:
    weights, observations = of_members(network, inputs, 2, torch.float32)
    together = kernels.forward(network, weights, observations)
    for member in range(2):
        alone = values(network, {name: weight[member] for name, weight in weights.items()}, observations[member])
        assert torch.equal(together[member], alone)


@pytest.mark.parametrize(
    "space", [nature_kernels.SPACE, deep_kernels.SPACE, mini_kernels.SPACE], ids=lambda one: one.name
)
@pytest.mark.parametrize("layer_norm", [False, True])
def test_networks_that_share_layers_are_computed_together_as_if_alone(
    space: SearchSpace, layer_norm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layers in common are computed once, and have the sum of the gradients."""
    inputs = BOARD if space is mini_kernels.SPACE else ATARI
    networks = [replace(network, layer_norm=layer_norm) for network in variants(space)[:3]]
    layout = Layout(kernels, networks, inputs, OUTPUTS)
    flat = layout.initial(np.random.default_rng(1)).double().requires_grad_()
    given = [images(inputs, count, count)[None] for count in (2, 3, 4)]
    calls, convolve, linear = list[int](), kernels.F.conv2d, kernels.F.linear

    def weights(once: bool) -> list[dict[str, Tensor]]:
        known: dict[tuple[str, torch.Size], Tensor] = {}
        found = []
        for network in networks:
            places = layout.places(network)
            own = {name: flat[place][None] for name, place in places.items()}
            whole = {name for name, place in places.items() if place.shape == layout.parameters[name].shape}
            found.append(
                {
                    name: known.setdefault((name, one.shape), one) if once and name in whole else one
                    for name, one in own.items()
                }
            )
        return found

    def seen(x: Tensor, *rest: Any, **named: Any) -> Tensor:
        calls.append(len(x))
        return (convolve if x.dim() == 4 else linear)(x, *rest, **named)

    alone = [kernels.forward(*one)[0] for one in zip(networks, weights(False), given, strict=True)]
    (expected,) = torch.autograd.grad(torch.cat(alone).square().sum(), [flat])
    monkeypatch.setattr(kernels.F, "conv2d", seen)
    monkeypatch.setattr(kernels.F, "linear", seen)
    for once in (True, False):
        calls.clear()
        values = [one[0] for one in kernels.together(networks, weights(once), given)]
        for one, other in zip(alone, values, strict=True):
            torch.testing.assert_close(one, other)
        (gradient,) = torch.autograd.grad(torch.cat(values).square().sum(), [flat])
        torch.testing.assert_close(gradient, expected)
        fixed = space is not mini_kernels.SPACE  # whose hidden layers read as many channels as there are
        assert calls.count(9) == (3 if fixed else 2) * once, calls


def test_on_another_device_members_are_computed_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    network, inputs = OF_SPACES[-1]
    weights, observations = of_members(network, inputs, 2, torch.float32)
    monkeypatch.setattr(kernels, "one_by_one", lambda *case: pytest.fail("one by one"))
    there = {name: weight.to("meta") for name, weight in weights.items()}
    assert kernels.forward(network, there, observations.to("meta")).shape == (2, 2, OUTPUTS)


# Sizes as published.


def test_the_network_with_the_kernels_of_nature_cnn_has_a_name() -> None:
    space = nature_kernels.SPACE
    architecture = space.parse("nature-cnn")
    assert space.label(architecture) == "kernel_1=4 kernel_2=3"
    np.testing.assert_array_equal(architecture, space.default_architecture)
    network = space.network_of(architecture)
    assert isinstance(network, ConvNet)
    assert network.maps(ATARI) == [ATARI, (32, 20, 20), (64, 10, 10), (64, 10, 10), (64, 11, 11)]
    conv = (4 * 64 + 1) * 32 + (32 * 16 + 1) * 64 + (64 * 9 + 1) * 64
    assert network.parameters(ATARI, 4) == conv + (7744 + 1) * 512 + 513 * 4
    with pytest.raises(ValueError, match=r"unknown architecture of 'nature-kernels' 'natur-cnn': .*mean 'nature-cnn'"):
        space.parse("natur-cnn")


@pytest.mark.parametrize("space", [nature_kernels.SPACE, deep_kernels.SPACE], ids=lambda space: space.name)
def test_every_network_of_the_paper_hands_maps_of_11_by_11_by_64_to_512_units(space: SearchSpace) -> None:
    for architecture in space.enumerate():
        network = space.network_of(architecture)
        assert isinstance(network, ConvNet)
        *_, last, read = network.maps(ATARI)
        assert last == ((64, 10, 10) if space.name == "nature-kernels" else (64, 20, 20))
        assert read == (64, 11, 11)
        assert kernels.crop(network, ATARI, 4)["hidden.weight"] == (slice(512), slice(7744))
        assert (network.stem, len(network.convs)) == (
            Conv(32, 8, 4, same=False),
            2 if space.name == "nature-kernels" else 5,
        )
        strides = [2, 1] if space.name == "nature-kernels" else [1] * 5
        assert [(conv.channels, conv.stride) for conv in network.convs] == [(64, stride) for stride in strides]


def test_padding_and_cutting_leave_channels_channels() -> None:
    small, large = torch.rand(2, 64, 10, 10), torch.rand(2, 64, 20, 20)
    padded, cut = kernels.fitted(small, 11), kernels.fitted(large, 11)
    assert padded.shape == cut.shape == (2, 64, 11, 11)
    assert torch.equal(padded[:, :, :10, :10], small)
    assert not padded[:, :, 10].any()
    assert not padded[:, :, :, 10].any()
    assert torch.equal(cut, large[:, :, 5:16, 5:16])
    assert kernels.fitted(large, None) is large


@pytest.mark.parametrize("size", range(5, 22))
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_size_padding_gives_the_size_rounded_up(size: int, stride: int) -> None:
    for kernel in range(1, 6):
        conv = Conv(1, kernel, stride)
        out = torch.nn.functional.conv2d(
            torch.nn.functional.pad(torch.zeros(1, 1, size, size), conv.padding),
            torch.zeros(1, 1, kernel, kernel),
            stride=stride,
        )
        assert out.shape[-1] == math.ceil(size / stride)


def test_images_that_are_too_small_are_refused() -> None:
    network = ConvNet(Conv(4, 5, same=False), (Conv(4, 7, same=False),), None, 4)
    assert network.maps((1, 11, 12)) == [(1, 11, 12), (4, 7, 8), (4, 1, 2), (4, 1, 2)]
    sentence = "expected images larger than 10x10, of which a kernel of 7x7 gets to read maps of 6x6"
    with pytest.raises(ValueError, match=f"convolutional networks: {sentence}"):
        network.parameters(BOARD, 2)


def test_an_image_too_small_for_a_space_is_refused_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nature_kernels, "STEM", replace(nature_kernels.STEM, kernel=11))
    with pytest.raises(ValueError, match="a kernel of 11x11 gets to read maps of 10x10"):
        Problem(Settings(task="Orchard-v0", space="nature-kernels"))


# How networks share.


@pytest.mark.parametrize("large", [3, 4, 5, 6, 7])
def test_a_small_kernel_is_the_large_one_with_zeros_around_it(large: int) -> None:
    for small in range(1, large + 1):
        for stride in (1, 2):
            stem = Conv(3, 3)
            big = ConvNet(stem, (Conv(4, large, stride),), None, 5)
            little = ConvNet(stem, (Conv(4, small, stride),), None, 5)
            layout = Layout(kernels, [big, little], BOARD, OUTPUTS)
            net = Supernet(layout, np.random.default_rng(0), CPU)
            batch = images(BOARD, 4)[None]
            inner = check_out([net], little, [False])
            outer = check_out([net], big, [False])
            weight = outer.views("weight")["conv_0.weight"]
            kept = weight.clone()
            cut = Centred(small).within(large)
            weight.zero_()
            weight[..., cut, cut] = kept[..., cut, cut]
            torch.testing.assert_close(
                inner.forward(inner.views("weight"), batch), outer.forward(outer.views("weight"), batch)
            )


def test_the_middle_of_an_axis_is_where_kernels_are_centred() -> None:
    spans = {(size, length): Centred(size).within(length) for length in (5, 4) for size in range(1, length + 1)}
    assert [(spans[size, 5].start, spans[size, 5].stop) for size in range(1, 6)] == [
        (2, 3),
        (1, 3),
        (1, 4),
        (0, 4),
        (0, 5),
    ]
    assert [(spans[size, 4].start, spans[size, 4].stop) for size in range(1, 5)] == [(2, 3), (1, 3), (1, 4), (0, 4)]


def test_narrow_networks_use_the_first_channels() -> None:
    space = mini_kernels.SPACE
    layout = Layout(kernels, variants(space), BOARD, OUTPUTS)
    flat = torch.arange(layout.size, dtype=torch.float64)[None]

    def positions(label: str) -> dict[str, Tensor]:
        network = space.network_of(space.parse(label))
        views = layout.views(network, flat[:, layout.positions(network)])
        return {name: view[0] for name, view in views.items()}

    narrow = positions("width=4 kernel_1=1 kernel_2=3")
    wide = positions("width=16 kernel_1=5 kernel_2=5")
    assert torch.equal(narrow["stem.weight"], wide["stem.weight"])
    assert torch.equal(narrow["conv_0.weight"], wide["conv_0.weight"][:4, :, 2:3, 2:3])
    assert torch.equal(narrow["conv_1.weight"], wide["conv_1.weight"][:4, :4, 1:4, 1:4])
    assert torch.equal(narrow["hidden.weight"], wide["hidden.weight"][:, : 4 * 64])


def test_a_store_of_one_network_starts_like_torch_does() -> None:
    network = ConvNet(Conv(32, 3, same=False), (Conv(64, 4),), None, 100, layer_norm=True)
    layout = Layout(kernels, [network], BOARD, 30)
    views = layout.views(network, layout.initial(np.random.default_rng(0))[None])
    fan_ins = {"stem": 3 * 9, "conv_0": 32 * 16, "hidden": 64 * 64, "head": 100}
    for name, fan_in in fan_ins.items():
        for part in ("weight", "bias"):
            view, bound = views[f"{name}.{part}"], 1 / math.sqrt(fan_in)
            assert view.abs().max() <= bound * 1.000001
            assert view.abs().max() > 0.9 * bound
        assert float(views[f"{name}.weight"].std()) == pytest.approx(1 / math.sqrt(3 * fan_in), rel=0.1)
    for name in ("stem", "conv_0", "hidden"):
        assert (views[f"norm_{name}.weight"] == 1).all()
        assert (views[f"norm_{name}.bias"] == 0).all()


def test_shared_weights_start_by_the_smallest_network_that_uses_them() -> None:
    space = mini_kernels.SPACE
    layout = Layout(kernels, variants(space), BOARD, OUTPUTS)
    network = space.network_of(np.array(space.counts) - 1)
    draws = torch.stack([layout.initial(np.random.default_rng(seed)) for seed in range(60)])
    views = layout.views(network, draws[:, layout.positions(network)])

    def largest(view: Tensor) -> float:
        return float(view.abs().max())

    second = views["conv_1.weight"]  # (draws, 16, 16, 5, 5), from 4, 8 or 16 channels with kernels 1, 3 or 5
    for channels, fewest in ((slice(0, 4), 4), (slice(4, 8), 8), (slice(8, 16), 16)):
        assert largest(second[:, :, channels, 2, 2]) == pytest.approx(1 / math.sqrt(fewest), rel=0.02)
        assert largest(second[:, :, channels, 1, 1:4]) == pytest.approx(1 / math.sqrt(9 * fewest), rel=0.02)
        assert largest(second[:, :, channels, 0]) == pytest.approx(1 / math.sqrt(25 * fewest), rel=0.02)
    assert largest(views["conv_1.bias"]) == pytest.approx(1 / math.sqrt(4), rel=0.02)
    assert largest(views["hidden.weight"][..., : 4 * 64]) == pytest.approx(1 / math.sqrt(4 * 64), rel=0.02)
    assert largest(views["hidden.weight"][..., 8 * 64 :]) == pytest.approx(1 / math.sqrt(16 * 64), rel=0.02)


# Precision.


def test_with_rounded_weights_the_head_still_computes_in_single_precision() -> None:
    network = SMALL[0]
    weights, batch = weights_of(network, BOARD), images(BOARD, 64)
    exact = values(network, weights, batch)
    rounded = values(network, Working(weights, "bfloat16", trains=False).tensors, batch)
    assert rounded.dtype == torch.float32
    error = (rounded - exact).abs().max() / exact.abs().max()
    assert 0 < float(error) < 0.05
    assert (rounded != rounded.bfloat16().float()).any(), "the values themselves are not rounded"
