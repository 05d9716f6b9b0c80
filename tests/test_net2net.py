import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from archgym import inheritance, net2net
from archgym.observations import Inputs
from archgym.population import Population
from archgym.problem import Problem
from archgym.search_space import Network, SearchSpace
from archgym.search_spaces import deep_kernels, mini_kernels, mlp, mlp_wide, nature_kernels
from archgym.search_spaces.mlp import MLP
from archgym.search_spaces.nature_kernels import Conv, ConvNet
from archgym.settings import Settings
from archgym.supernet import Layout, Supernet, check_out, family_of

CPU = torch.device("cpu")
ACTIONS = 3
SPACES: dict[str, tuple[SearchSpace, Inputs]] = {
    "mlp": (mlp.SPACE, 5),
    "mlp-wide": (mlp_wide.SPACE, 5),
    "mini-kernels": (mini_kernels.SPACE, (2, 9, 9)),
}


def layout_of(space: SearchSpace, network: Network, inputs: Inputs) -> Layout:
    return Layout(family_of(space), [network], inputs, ACTIONS)


def trained(space: SearchSpace, network: Network, inputs: Inputs, seed: int = 0) -> Supernet:
    """Give a network whose numbers are all its own, as after training."""
    rng = np.random.default_rng(seed)
    supernet = Supernet(layout_of(space, network, inputs), rng, CPU)
    for name, field in supernet.fields.items():
        noise = torch.from_numpy(rng.uniform(0.1, 0.3, len(field)).astype(np.float32))
        supernet.fields[name] = field + noise * torch.from_numpy(rng.choice([-1.0, 1.0], len(field)).astype(np.float32))
    supernet.fields["steps"] = torch.from_numpy(rng.integers(5, 9, len(noise)).astype(np.float32))
    return supernet


def values(supernet: Supernet, network: Network, seed: int = 1) -> Tensor:
    inputs = supernet.layout.inputs
    rng = np.random.default_rng(seed)
    if isinstance(inputs, int):
        seen = torch.from_numpy(rng.normal(size=(1, 40, inputs)).astype(np.float32))
    else:
        seen = torch.from_numpy(rng.integers(256, size=(1, 20, *inputs)).astype(np.uint8))
    subnets = check_out([supernet], network, [False])
    with torch.no_grad():
        return subnets.forward(subnets.views("weight"), seen)


def handed_over(space: SearchSpace, before: Network, after: Network, inputs: Inputs) -> tuple[float, bool]:
    """Give how far the values of two networks are apart at a switch, relative to their size, and what was promised."""
    old, layout = trained(space, before, inputs), layout_of(space, after, inputs)
    new = inheritance.grown(old, before, layout, after, np.random.default_rng(2))
    one, other = values(old, before), values(new, after)
    chains = net2net.chain_of(old.layout, before), net2net.chain_of(layout, after)
    return float((one - other).abs().max() / one.abs().max()), net2net.preserves(*chains)


def architectures(space: SearchSpace) -> st.SearchStrategy[np.ndarray]:
    return st.tuples(*(st.integers(0, count - 1) for count in space.counts)).map(
        lambda vector: space.canonical(np.array(vector))
    )


# What is promised is kept.


@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_switch_that_promises_it_leaves_all_values_as_they_were(name: str, data: Any) -> None:
    space, inputs = SPACES[name]
    before, after = (space.network_of(data.draw(architectures(space))) for _ in range(2))
    distance, promised = handed_over(space, before, after, inputs)
    assert distance < 1e-5 or not promised, (before, after)
    assert before != after or promised


def test_every_switch_of_the_27_networks_to_a_larger_one_with_relu_preserves_and_no_other_does() -> None:
    networks = [mlp.SPACE.network_of(one) for one in mlp.SPACE.enumerate()]
    for before, after in list(itertools.permutations(networks, 2))[::5]:
        distance, promised = handed_over(mlp.SPACE, before, after, 5)
        deeper, wider = len(after.hidden) - len(before.hidden), after.hidden[0] - before.hidden[0]
        same = before.activation == after.activation
        assert promised == (same and wider >= 0 and (deeper == 0 or (deeper > 0 and after.activation == "relu")))
        assert (distance < 1e-5) == promised, (before, after)


def test_every_switch_to_kernels_and_widths_at_least_as_large_preserves_and_no_other_does() -> None:
    space, inputs = SPACES["mini-kernels"]
    vectors = list(space.enumerate())[::3]
    for before, after in itertools.permutations(vectors, 2):
        distance, promised = handed_over(space, space.network_of(before), space.network_of(after), inputs)
        assert promised == bool((after >= before).all())
        assert (distance < 1e-5) == promised, (before, after)


@pytest.mark.parametrize("space", [nature_kernels.SPACE, deep_kernels.SPACE])
def test_larger_kernels_preserve_with_strides_and_even_sizes_too(space: SearchSpace) -> None:
    before, after = (space.network_of(np.array([option] * len(space.counts))) for option in (0, -1))
    after = space.network_of(np.array(space.counts) - 1)
    assert handed_over(space, before, after, (4, 84, 84)) == (pytest.approx(0, abs=1e-5), True)


def test_an_added_convolution_preserves_and_one_with_a_stride_does_not() -> None:
    space, inputs = SPACES["mini-kernels"]
    first = ConvNet(Conv(4, 3, same=False), (Conv(4, 3),), None, 8)
    for added, preserves in ((Conv(4, 3), True), (Conv(6, 2), True), (Conv(3, 3), False), (Conv(4, 1, 2), False)):
        distance, promised = handed_over(space, first, dataclasses.replace(first, convs=(Conv(4, 3), added)), inputs)
        assert promised == (distance < 1e-5) == preserves, added


def test_a_larger_kernel_that_is_not_padded_does_not_preserve() -> None:
    space, inputs = SPACES["mini-kernels"]
    first = ConvNet(Conv(4, 3, same=False), (), 7, 8)  # of the 7x7 maps a kernel of 5 would leave 5x5
    distance, promised = handed_over(space, first, dataclasses.replace(first, stem=Conv(4, 5, same=False)), inputs)
    assert not promised
    assert distance > 1e-3


@pytest.mark.parametrize(
    ("before", "after", "promised"),
    [
        (MLP((16,)), MLP((16, 32, 64)), True),  # added layers that are wider than what they read
        (MLP((16,)), MLP((32, 16)), True),  # the added layer hands on the 16 units, and none of their repetitions
        (MLP((16,)), MLP((32, 8)), False),
        (MLP((16,)), MLP((8,)), False),  # narrower
        (MLP((16, 16)), MLP((16,)), False),
        (MLP((16, 16), "tanh"), MLP((32, 64), "tanh"), True),
        (MLP((16,), "tanh"), MLP((16, 16), "tanh"), False),
        (MLP((16,), "elu"), MLP((16, 16), "elu"), False),
        (MLP((16,), "relu"), MLP((16,), "tanh"), False),
        (MLP((16,), layer_norm=True), MLP((16,), layer_norm=True), True),
        (MLP((16,), layer_norm=True), MLP((32,), layer_norm=True), False),
        (MLP((16,)), MLP((16,), layer_norm=True), False),
        (MLP((16, 16), skip=True), MLP((32, 32), skip=True), False),
    ],
)
def test_what_preserves_is_known_beforehand(before: MLP, after: MLP, promised: bool) -> None:
    distance, said = handed_over(mlp_wide.SPACE, before, after, 5)
    assert said == promised
    assert (distance < 1e-5) == promised


# What goes on where nothing is promised.


def tensors(supernet: Supernet, network: Network, field: str = "weight") -> Mapping[str, Tensor]:
    return {name: supernet.fields[field][place] for name, place in supernet.layout.places(network).items()}


def switch(before: MLP, after: MLP) -> tuple[Supernet, Supernet]:
    old = trained(mlp.SPACE, before, 5)
    new = inheritance.grown(old, before, layout_of(mlp.SPACE, after, 5), after, np.random.default_rng(2))
    return old, new


def test_a_narrower_network_takes_the_first_units_and_a_shallower_one_the_first_layers() -> None:
    before, after = MLP((8, 8, 8)), MLP((4, 4))
    old, new = (tensors(net, one) for net, one in zip(switch(before, after), (before, after), strict=True))
    assert torch.equal(new["layer_0.weight"], old["layer_0.weight"][:4])
    assert torch.equal(new["layer_1.weight"], old["layer_1.weight"][:4, :4])
    assert torch.equal(new["head_2.weight"], old["head_3.weight"][:, :4])


def test_with_tanh_and_elu_an_added_layer_is_the_identity_all_the_same() -> None:
    for activation in ("tanh", "elu"):
        new = tensors(switch(MLP((8,), activation), MLP((8, 8), activation))[1], MLP((8, 8), activation))
        assert torch.equal(new["layer_1.weight"], torch.eye(8))
        assert not new["layer_1.bias"].any()


def test_numbers_that_stay_in_their_place_keep_moments_and_counts_and_others_begin_at_0() -> None:
    before, after = MLP((8,)), MLP((12, 12))
    nets = switch(before, after)
    for field in inheritance.MOMENTS:
        old, new = (tensors(net, one, field) for net, one in zip(nets, (before, after), strict=True))
        assert torch.equal(new["layer_0.weight"][:8], old["layer_0.weight"])
        assert not new["layer_0.weight"][8:].any()
        assert torch.equal(new["head_2.weight"][:, :8], old["head_1.weight"])
        assert not new["head_2.weight"][:, 8:].any()
        assert torch.equal(new["head_2.bias"], old["head_1.bias"])
        assert not new["layer_1.weight"].any()
    assert torch.equal(nets[1].fields["target"], nets[1].fields["weight"])


def test_repeated_units_do_not_stay_alike_under_adam() -> None:
    """The paper adds noise; here every weight that reads them has shares of its own, so their gradients differ."""
    after = MLP((12,), "tanh")
    _, new = switch(MLP((8,), "tanh"), after)
    subnets = check_out([new], after, [False])
    for name in inheritance.MOMENTS:
        subnets.fields[name].zero_()
    weights = {name: view.clone().requires_grad_() for name, view in subnets.views("weight").items()}
    adam = torch.optim.Adam(weights.values(), lr=1e-2)
    rng = np.random.default_rng(0)
    seen = torch.from_numpy(rng.normal(size=(1, 64, 5)).astype(np.float32))
    goal = torch.from_numpy(rng.normal(size=(1, 64, ACTIONS)).astype(np.float32))

    def alike() -> int:
        return len({tuple(row) for row in weights["layer_0.weight"][0].round(decimals=3).tolist()})

    assert alike() == 8
    for _ in range(20):
        adam.zero_grad()
        (subnets.forward(weights, seen) - goal).square().mean().backward()
        adam.step()
    assert alike() == 12


def test_a_family_that_cannot_grow_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(Settings(transfer="net2net"))
    monkeypatch.delattr("archgym.supernets.mlp.chain")
    sentence = r"transfer: expected a search space whose networks can grow .*`chain`.*got 'net2net' on 'mlp'"
    with pytest.raises(ValueError, match=sentence):
        Population(problem, 1)


def test_other_seeds_repeat_other_units() -> None:
    before, after = MLP((8,)), MLP((16,))
    old, layout = trained(mlp.SPACE, before, 5), layout_of(mlp.SPACE, after, 5)
    grown = [
        tensors(inheritance.grown(old, before, layout, after, np.random.default_rng(seed)), after)["layer_0.weight"]
        for seed in (0, 0, 1)
    ]
    assert torch.equal(grown[0], grown[1])
    assert not torch.equal(grown[0], grown[2])
