import copy
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from archgym.lookup import load, names
from archgym.observations import VECTORS, Inputs, shape_of
from archgym.search_space import Architecture, Network, SearchSpace
from archgym.search_spaces.mlp import MLP
from archgym.supernet import (
    FIELDS,
    Centred,
    Layout,
    Slices,
    Subnets,
    Supernet,
    check_in,
    check_out,
    family_of,
    variants,
)

NAMES = [
    name
    for name in names("archgym.search_spaces")
    if load("archgym.search_spaces", name, "search space").SPACE.supernet is not None
]
INPUTS, OUTPUTS = 5, 3
IMAGE = (2, 14, 17)
CPU = torch.device("cpu")


def bundled(name: str) -> SearchSpace:
    space: SearchSpace = load("archgym.search_spaces", name, "search space").SPACE
    return space


@pytest.fixture(params=NAMES)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return bundled(request.param)


def inputs_of(space: SearchSpace) -> Inputs:
    return INPUTS if VECTORS in space.takes else IMAGE


def observations_for(space: SearchSpace, members: int, count: int, seed: int = 3) -> Tensor:
    """Draw observations (members, count, *shape) that the networks of a space take."""
    rng, shape = np.random.default_rng(seed), (members, count, *shape_of(inputs_of(space)))
    images = rng.integers(0, 256, shape).astype(np.uint8)
    return torch.from_numpy(rng.normal(0, 2, shape).astype(np.float32) if VECTORS in space.takes else images)


def layout_of(space: SearchSpace) -> Layout:
    return Layout(family_of(space), variants(space), inputs_of(space), OUTPUTS)


def supernet_of(space: SearchSpace, seed: int = 0) -> Supernet:
    """Build a supernet in which every number of every field is another one."""
    net = Supernet(layout_of(space), np.random.default_rng(seed), CPU)
    rng = np.random.default_rng(seed + 1)
    size = net.layout.size
    net.fields = {name: torch.from_numpy(0.3 * rng.standard_normal(size, dtype=np.float32)) for name in FIELDS}
    return net


def weights_of(net: Supernet, network: Network) -> dict[str, Tensor]:
    """The weights of one network by name, without a leading axis."""
    return {name: view[0] for name, view in check_out([net], network, [False]).views("weight").items()}


def values(subnets: Subnets, observations: Tensor) -> Tensor:
    return subnets.forward(subnets.views("weight"), observations)


def some(space: SearchSpace, count: int, seed: int = 0) -> list[Architecture]:
    """Architectures at random (few of large networks), and the smallest, the default and the largest."""
    rng = np.random.default_rng(seed)
    largest = space.network_of(np.array(space.counts) - 1)
    count = min(count, 1) if largest.parameters(inputs_of(space), OUTPUTS) > 1_000_000 else count
    corners = [np.zeros(len(space.choices), dtype=np.int64), np.array(space.counts) - 1]
    return [space.canonical(one) for one in (*corners, space.default_architecture)] + [
        space.sample(rng) for _ in range(count)
    ]


def check_exported(space: SearchSpace, architecture: Architecture, net: Supernet) -> None:
    """Hold the exported module against the subnet and what the space says about its size."""
    network = space.network_of(architecture)
    weights = weights_of(net, network)
    module = family_of(space).module(network, weights)
    observations = observations_for(space, 1, 7)[0]
    subnet = values(check_out([net], network, [False]), observations[None])[0]
    assert subnet.shape == (7, OUTPUTS)
    scale = max(1.0, float(subnet.abs().max()))
    torch.testing.assert_close(module(observations), subnet, rtol=1e-5, atol=1e-5 * scale)
    parameters = network.parameters(inputs_of(space), OUTPUTS)
    assert parameters == sum(weight.numel() for weight in weights.values())
    assert parameters == sum(parameter.numel() for parameter in module.parameters())
    assert parameters == net.layout.positions(network).numel()
    with FlopCounterMode(display=False) as counter:
        module(observations[:1])
    assert network.flops(inputs_of(space), OUTPUTS) == counter.get_total_flops()


# Contract: every space of the folder.


def test_exported_modules_compute_and_cost_what_their_subnets_do(space: SearchSpace) -> None:
    net = supernet_of(space)
    for architecture in some(space, 20):
        check_exported(space, architecture, net)


def test_every_module_of_the_small_space_computes_and_costs_what_its_subnet_does() -> None:
    net = supernet_of(bundled("mlp"))
    for architecture in bundled("mlp").enumerate():
        check_exported(bundled("mlp"), architecture, net)


WIDE = bundled("mlp-wide")
WIDE_NET = supernet_of(WIDE)


@settings(max_examples=60)
@given(st.tuples(*(st.integers(0, count - 1) for count in WIDE.counts)))
def test_modules_with_any_widths_norms_and_skips_compute_and_cost_what_their_subnets_do(
    vector: tuple[int, ...],
) -> None:
    check_exported(WIDE, WIDE.canonical(vector), WIDE_NET)


def test_exported_modules_are_made_of_torch_alone_and_keep_their_weights_to_themselves(space: SearchSpace) -> None:
    net = supernet_of(space)
    for architecture in some(space, 5):
        network = space.network_of(architecture)
        module = family_of(space).module(network, weights_of(net, network))
        assert {type(part).__module__.split(".")[0] for part in module.modules()} <= {"torch"}
        before = net.fields["weight"].clone()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.zero_()
        assert torch.equal(net.fields["weight"], before)


def test_every_number_of_a_supernet_belongs_to_some_architecture(space: SearchSpace) -> None:
    layout = layout_of(space)
    reached = torch.zeros(layout.size, dtype=torch.bool)
    for network in variants(space):
        reached[layout.positions(network)] = True
    assert reached.all()


def test_every_subnet_lies_in_the_supernet_with_exact_shapes_and_no_number_twice(space: SearchSpace) -> None:
    layout, family = layout_of(space), family_of(space)
    flat = torch.arange(layout.size, dtype=torch.float64)[None]
    for architecture in some(space, 150):
        network = space.network_of(architecture)
        positions = layout.positions(network)
        assert positions.unique().numel() == positions.numel() == network.parameters(inputs_of(space), OUTPUTS)
        assert 0 <= int(positions.min()) <= int(positions.max()) < layout.size
        views = layout.views(network, flat[:, positions])
        crop = family.crop(network, inputs_of(space), OUTPUTS)
        assert list(views) == list(crop)
        start = 0
        for name, cuts in crop.items():
            full = layout.parameters[name].shape
            parts = plain_slices(cuts, full)
            assert all(0 <= part.start < part.stop <= size for part, size in zip(parts, full, strict=True)), name
            shape = tuple(part.stop - part.start for part in parts)
            assert views[name].shape == (1, *shape)
            start += math.prod(shape)
        assert start == positions.numel()


def plain_slices(cuts: Slices, full: tuple[int, ...]) -> tuple[slice, ...]:
    """Write the part of a tensor of a full shape that a network uses as slices from a start to a stop."""
    sizes = zip(cuts, full, strict=True)
    return tuple(cut.within(size) if isinstance(cut, Centred) else slice(0, cut.stop) for cut, size in sizes)


def test_what_is_checked_out_is_the_part_of_every_tensor_that_the_family_names(space: SearchSpace) -> None:
    net = supernet_of(space)
    start, tensors = 0, {}
    for name, parameter in net.layout.parameters.items():
        size = math.prod(parameter.shape)
        tensors[name] = net.fields["weight"][start : start + size].view(parameter.shape)
        start += size
    assert start == net.layout.size
    for architecture in some(space, 10):
        network = space.network_of(architecture)
        crop = family_of(space).crop(network, inputs_of(space), OUTPUTS)
        for name, weight in weights_of(net, network).items():
            assert torch.equal(weight, tensors[name][plain_slices(crop[name], tensors[name].shape)])


def test_views_share_memory_with_the_flat_numbers(space: SearchSpace) -> None:
    subnets = check_out([supernet_of(space)], space.network_of(space.default_architecture), [False])
    for view in subnets.views("weight").values():
        view.fill_(7.0)
    assert (subnets.fields["weight"] == 7.0).all()


def test_checking_in_moves_nothing_outside_the_subnet(space: SearchSpace) -> None:
    for architecture in some(space, 5):
        net = supernet_of(space)
        before = {name: field.clone() for name, field in net.fields.items()}
        network = space.network_of(architecture)
        subnets = check_out([net], network, [False])
        for name in FIELDS:
            subnets.fields[name] += 1.0
        assert all(torch.equal(before[name], net.fields[name]) for name in FIELDS), "checked out is a copy"
        check_in([net], subnets, [True])
        moved = torch.zeros(net.layout.size)
        moved[net.layout.positions(network)] = 1.0
        for name in FIELDS:
            assert torch.equal(net.fields[name] != before[name], moved.bool()), name
            assert torch.equal(net.fields[name], before[name] + moved)


def test_switching_away_and_back_without_training_restores_outputs_bit_for_bit(space: SearchSpace) -> None:
    net = supernet_of(space)
    architectures = some(space, 5)
    observations = observations_for(space, 1, 9)
    first = [values(check_out([net], space.network_of(one), [False]), observations) for one in architectures]
    for one in architectures:
        check_in([net], check_out([net], space.network_of(one), [False]), [True])
    again = [values(check_out([net], space.network_of(one), [False]), observations) for one in architectures]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_member_that_is_not_kept_stays_as_it_was() -> None:
    space = bundled("mlp")
    nets = [supernet_of(space, seed) for seed in (0, 1, 2)]
    before = [copy.deepcopy(net.fields) for net in nets]
    subnets = check_out(nets, space.network_of(space.default_architecture), [False] * 3)
    for name in FIELDS:
        subnets.fields[name] += 1.0
    check_in(nets, subnets, [True, False, True])
    moved = [
        any(not torch.equal(old[name], net.fields[name]) for name in FIELDS)
        for old, net in zip(before, nets, strict=True)
    ]
    assert moved == [True, False, True]


def test_members_are_stacked_each_with_its_own_numbers(space: SearchSpace) -> None:
    nets = [supernet_of(space, seed) for seed in (0, 1, 2)]
    observations = observations_for(space, 3, 4)
    for architecture in some(space, 5):
        network = space.network_of(architecture)
        together = values(check_out(nets, network, [False] * 3), observations)
        for row, net in enumerate(nets):
            alone = values(check_out([net], network, [False]), observations[row : row + 1])[0]
            torch.testing.assert_close(together[row], alone, rtol=1e-5, atol=1e-5)


def test_target_weights_are_synchronised_for_the_members_that_ask_for_it() -> None:
    space = bundled("mlp")
    nets = [supernet_of(space, seed) for seed in (0, 1)]
    network = space.network_of(space.default_architecture)
    subnets = check_out(nets, network, [True, False])
    positions = nets[0].layout.positions(network)
    assert torch.equal(subnets.fields["target"][0], nets[0].fields["weight"][positions])
    assert torch.equal(subnets.fields["target"][1], nets[1].fields["target"][positions])
    for name in set(FIELDS) - {"target"}:
        assert torch.equal(subnets.fields[name], torch.stack([net.fields[name][positions] for net in nets]))


def test_a_new_supernet_has_its_target_at_its_weights_and_no_optimizer_state(space: SearchSpace) -> None:
    net = Supernet(layout_of(space), np.random.default_rng(0), CPU)
    assert set(net.fields) == set(FIELDS)
    assert torch.equal(net.fields["weight"], net.fields["target"])
    assert net.fields["weight"].data_ptr() != net.fields["target"].data_ptr()
    for name in ("exp_avg", "exp_avg_sq", "steps"):
        assert not net.fields[name].any()
    assert all(field.dtype == torch.float32 for field in net.fields.values())


def test_starting_weights_repeat_with_their_generator_and_only_so(space: SearchSpace) -> None:
    layout = layout_of(space)
    first, again, other = (layout.initial(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_copies_of_a_supernet_have_their_own_numbers(space: SearchSpace) -> None:
    net = supernet_of(space)
    twin = copy.deepcopy(net)
    before = net.fields["weight"].clone()
    twin.fields["weight"].zero_()
    assert torch.equal(net.fields["weight"], before)
    assert twin.layout is net.layout


# The family of multilayer perceptrons.


def plain(network: MLP, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The definition, written down for one observation, number by number of a layer's output."""
    act = {"relu": lambda v: max(v, 0.0), "tanh": math.tanh, "elu": lambda v: v if v > 0 else math.exp(v) - 1}
    for layer, width in enumerate(network.hidden):
        y = weights[f"layer_{layer}.weight"] @ x + weights[f"layer_{layer}.bias"]
        if network.layer_norm:
            spread = ((y - y.mean()).square().sum() / width + 1e-5).sqrt()
            y = (y - y.mean()) / spread * weights[f"norm_{layer}.weight"] + weights[f"norm_{layer}.bias"]
        y = torch.tensor([act[network.activation](float(v)) for v in y])
        if network.skip and layer:
            y = torch.tensor([float(v) + (float(x[i]) if i < len(x) else 0.0) for i, v in enumerate(y)])
        x = y
    head = f"head_{len(network.hidden)}"
    return weights[f"{head}.weight"] @ x + weights[f"{head}.bias"]


@pytest.mark.parametrize("activation", ["relu", "tanh", "elu"])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("hidden", [(16,), (32, 16), (16, 64, 32, 32)])
def test_a_network_computes_its_definition(hidden: tuple[int, ...], layer_norm: bool, activation: str) -> None:
    for skip in (False, True):
        network = MLP(hidden, activation, layer_norm, skip)
        x = torch.linspace(-2, 2, INPUTS)
        subnet = values(check_out([WIDE_NET], network, [False]), x[None, None])[0, 0]
        torch.testing.assert_close(subnet, plain(network, weights_of(WIDE_NET, network), x), rtol=1e-4, atol=1e-4)


def test_layer_norm_sees_the_exact_width_of_the_subnet() -> None:
    narrow = WIDE.parse("depth=2 width_1=16 width_2=32 activation=relu layer_norm=True skip=False")
    network = WIDE.network_of(narrow)
    module = family_of(WIDE).module(network, weights_of(WIDE_NET, network))
    assert [part.normalized_shape for part in module.modules() if isinstance(part, nn.LayerNorm)] == [(16,), (32,)]
    other = copy.deepcopy(WIDE_NET)
    outside = torch.ones(other.layout.size, dtype=torch.bool)
    outside[other.layout.positions(network)] = False
    other.fields["weight"][outside] = 1e6  # would swamp any statistic that looked at them
    x = torch.ones(1, 2, INPUTS)
    assert torch.equal(
        values(check_out([WIDE_NET], network, [False]), x), values(check_out([other], network, [False]), x)
    )


def test_every_depth_has_a_head_of_its_own_and_shares_its_layers() -> None:
    layout = WIDE_NET.layout

    def positions(depth: int) -> dict[str, set[int]]:
        network = MLP((32,) * depth)
        flat = layout.positions(network)[None].double()
        return {name: set(view.flatten().tolist()) for name, view in layout.views(network, flat).items()}

    two, three = positions(2), positions(3)
    assert two["layer_0.weight"] == three["layer_0.weight"]
    assert two["layer_1.weight"] == three["layer_1.weight"]
    assert two.keys() & three.keys() == {"layer_0.weight", "layer_0.bias", "layer_1.weight", "layer_1.bias"}
    assert not two["head_2.weight"] & three["head_3.weight"]


def test_a_store_of_one_network_starts_like_torch_does() -> None:
    network = MLP((400, 300), layer_norm=True)
    layout = Layout(family_of(WIDE), [network], 50, 20)
    assert layout.size == network.parameters(50, 20)
    views = layout.views(network, layout.initial(np.random.default_rng(0))[None])
    for name, fan_in in (("layer_0", 50), ("layer_1", 400), ("head_2", 300)):
        for part in ("weight", "bias"):
            view = views[f"{name}.{part}"]
            bound = 1 / math.sqrt(fan_in)
            assert view.abs().max() <= bound * 1.000001
            if view.numel() > 50:
                assert float(view.std()) == pytest.approx(bound / math.sqrt(3), rel=0.1)
                assert view.abs().max() > 0.95 * bound
    for layer in (0, 1):
        assert (views[f"norm_{layer}.weight"] == 1).all()
        assert (views[f"norm_{layer}.bias"] == 0).all()


def test_shared_weights_start_by_the_narrowest_network_that_uses_them() -> None:
    layout = layout_of(WIDE)
    network = MLP((128,) * 4)
    draws = [layout.initial(np.random.default_rng(seed)) for seed in range(30)]
    views = layout.views(network, torch.stack([one[layout.positions(network)] for one in draws]))
    first, second, head = views["layer_0.weight"], views["layer_1.weight"], views["head_4.weight"]
    assert float(first.abs().max()) == pytest.approx(1 / math.sqrt(INPUTS), rel=0.01)
    for columns, narrowest in ((slice(0, 16), 16), (slice(16, 32), 32), (slice(32, 64), 64), (slice(64, 128), 128)):
        for tensor in (second, head):
            assert float(tensor[..., columns].abs().max()) == pytest.approx(1 / math.sqrt(narrowest), rel=0.01)
    assert float(views["layer_1.bias"].abs().max()) == pytest.approx(1 / math.sqrt(16), rel=0.01)
    for width, excess in ((16, 1.0), (32, 1.5), (64, 2.0), (128, 2.5)):  # (n + 1) / 2 times torch's variance
        variance = float(second[..., :width].square().sum(-1).mean())
        assert variance == pytest.approx(excess / 3, rel=0.03)


def test_a_module_that_is_no_family_is_refused_with_what_it_lacks() -> None:
    sentence = "'archgym.files': expected a module that defines parameters, crop, .* without parameters, crop, forward"
    with pytest.raises(ValueError, match=sentence):
        family_of(replace(bundled("mlp"), supernet="archgym.files"))
