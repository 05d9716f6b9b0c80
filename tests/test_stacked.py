"""The fast torch learner against the reference: the same replay, the same draws, the same updates."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym.learners import cuda_graphs
from archgym.learners.dqn import Config
from archgym.learners.dqn_captured import changed
from archgym.learners.dqn_stacked import StackedLearners
from archgym.learners.dqn_torch import TorchLearners
from archgym.learners.select import find_learner
from archgym.learners.stacked_mlp import ACTIVATIONS
from archgym.population import Population
from archgym.problem import Problem
from archgym.replay import Replay
from archgym.search_spaces.mlp import MLP
from archgym.settings import Settings
from archgym.supernet import FIELDS, Layout, Subnets, Supernet, check_out
from archgym.supernets import kernels, mlp
from archgym.trainers import dqn, pqn
from archgym.training import Group, Statistics

CPU, INPUTS, OUTPUTS, ENVS, MEMBERS = torch.device("cpu"), 5, 3, 4, 3
TWICE = torch.float64  # where rounding does not hide a fault

NETWORKS = [
    MLP((120, 84)),
    MLP((32,), "tanh"),
    MLP((64, 32), "elu", layer_norm=True),
    MLP((32, 64, 48), "relu", skip=True),
    MLP((33, 17, 5), "tanh", layer_norm=True, skip=True),
]
# From 4 units on: of 2, LayerNorm makes 1 and -1 whatever they are, and gradients that are nothing but rounding.
networks = st.builds(
    lambda hidden, activation, norm, skip: MLP(tuple(hidden), activation, norm, skip),
    st.lists(st.integers(4, 70), min_size=1, max_size=4),
    st.sampled_from(sorted(ACTIVATIONS)),
    st.booleans(),
    st.booleans(),
)
Made = tuple[TorchLearners, list[Subnets]]


def subnets_of(network: MLP, dtype: torch.dtype, seeds: Sequence[int]) -> Subnets:
    layout = Layout(mlp, [network], INPUTS, OUTPUTS)
    nets = [Supernet(layout, np.random.default_rng(seed), CPU) for seed in seeds]
    subnets = check_out(nets, network, [False] * len(nets))
    subnets.fields = {name: field.to(dtype) for name, field in subnets.fields.items()}
    return subnets


def full_replay(dtype: torch.dtype, seeds: Sequence[int]) -> Replay:
    """Make rings full of random transitions, which have come round once."""
    replay = Replay(len(seeds), ENVS, INPUTS, 200, CPU)
    for row, seed in enumerate(seeds):
        rng, shape = np.random.default_rng((9, seed)), (replay.slots, ENVS)
        columns = (rng.integers(OUTPUTS, size=shape), rng.normal(size=shape), rng.random(shape) < 0.1)
        replay.observations[row] = torch.from_numpy(rng.normal(size=(*shape, INPUTS)))
        replay.steps[row] = torch.from_numpy(np.stack([*columns, rng.random(shape) < 0.9], axis=-1))
    replay.observations, replay.steps = replay.observations.to(dtype), replay.steps.to(dtype)
    replay.head[:], replay.filled[:] = 17, replay.slots
    return replay


def begin(
    made: type[TorchLearners],
    groups: Sequence[tuple[MLP, Sequence[int], int]],
    dtype: torch.dtype = torch.float32,
    counts: torch.Tensor | None = None,
    **config: Any,
) -> Made:
    """Make learners: of every group its network, its rows, which are seeds too, and its steps so far."""
    count = sum(len(rows) for _, rows, _ in groups)
    chosen = Config(
        **{"train_frequency": ENVS, "learning_starts": 20, "buffer_size": 200, "target_network_frequency": 60} | config
    )
    subnets = [subnets_of(network, dtype, rows) for network, rows, _ in groups]
    for one in subnets:
        if counts is not None:
            one.fields["steps"] = counts.to(dtype).expand_as(one.fields["steps"]).clone()
    parts = [Group(list(rows), one, steps) for (_, rows, steps), one in zip(groups, subnets, strict=True)]
    samplers = [np.random.default_rng(100 + row) for row in range(count)]
    return made(chosen, parts, range(count), full_replay(dtype, range(count)), samplers, CPU), subnets


def learn(learners: TorchLearners, slots: int = 60) -> Statistics:
    for slot in range(slots):
        learners.learn(slot * ENVS, (slot + 1) * ENVS)
    return learners.finish()


def assert_equal(
    groups: Sequence[tuple[MLP, Sequence[int], int]], tolerance: float = 1e-12, **config: Any
) -> tuple[Made, Made]:
    """Train by the reference and by the fast learner, and compare what they came to."""
    made = begin(TorchLearners, groups, TWICE, **config), begin(StackedLearners, groups, TWICE, **config)
    one, other = (learn(learners) for learners, _ in made)
    for plain, fast in zip(made[0][1], made[1][1], strict=True):
        for name in FIELDS:
            difference = (plain.fields[name] - fast.fields[name]).abs().max()
            assert difference <= tolerance, f"{name} differs by {difference}"
    assert one.gradient_steps.tolist() == other.gradient_steps.tolist()
    assert not one.diverged.any()
    np.testing.assert_allclose(one.loss, other.loss, rtol=1e-5)
    np.testing.assert_allclose(one.value, other.value, rtol=1e-5, atol=1e-6)
    return made


@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("config", [{}, {"double": True}, {"tau": 0.3, "huber": True}, {"batch_size": 37}], ids=str)
def test_fifty_updates_in_double_precision_are_the_references(network: MLP, config: dict[str, Any]) -> None:
    (learners, _), _ = assert_equal([(network, range(MEMBERS), 0)], **config)
    assert learners.finish().gradient_steps.tolist() == [55] * MEMBERS


@settings(max_examples=30, deadline=None, derandomize=True)
@given(network=networks, members=st.integers(1, 3), double=st.booleans(), huber=st.booleans())
def test_any_network_is_trained_as_the_reference_trains_it(
    network: MLP, members: int, double: bool, huber: bool
) -> None:
    assert_equal([(network, range(members), 0)], double=double, huber=huber)


def test_numbers_of_different_ages_are_corrected_each_by_its_own_count() -> None:
    size = subnets_of(NETWORKS[0], TWICE, [0]).fields["steps"].shape[1]
    _, (_, (aged,)) = assert_equal([(NETWORKS[0], range(MEMBERS), 0)], counts=torch.arange(size) % 7 * 50)
    _, (_, (young,)) = assert_equal([(NETWORKS[0], range(MEMBERS), 0)])
    assert (aged.fields["weight"] - young.fields["weight"]).abs().max() > 1e-3


def test_groups_begin_to_learn_each_at_its_own_age_whatever_their_order() -> None:
    groups = [(NETWORKS[3], [4], 0), (NETWORKS[0], [1, 3], 500), (NETWORKS[2], [2], 40), (NETWORKS[1], [0], 160)]
    (learners, _), _ = assert_equal(groups, learning_starts=160)
    assert learners.finish().gradient_steps.tolist() == [60, 60, 30, 60, 20]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_in_single_precision_it_is_as_near_to_the_truth_as_the_reference(network: MLP) -> None:
    """How near depends on the network: a unit of a ReLU may switch on a step earlier."""
    weights = []
    for made, dtype in ((TorchLearners, TWICE), (TorchLearners, torch.float32), (StackedLearners, torch.float32)):
        learners, (subnets,) = begin(made, [(network, range(MEMBERS), 0)], dtype)
        learn(learners)
        weights.append(subnets.fields["weight"])
    errors = [float((one - weights[0]).abs().mean()) for one in weights[1:]]
    assert errors[1] <= 4 * errors[0] + 1e-8, errors


def test_actions_are_the_references() -> None:
    groups = [(NETWORKS[0], [1, 3], 0), (NETWORKS[4], [2], 40), (NETWORKS[1], [0], 20)]
    observations = np.random.default_rng(0).normal(size=(4, ENVS, INPUTS)).astype(np.float32)
    (plain, _), (fast, _) = begin(TorchLearners, groups), begin(StackedLearners, groups)
    expected = plain.act(observations)
    assert (fast.act(observations) == expected).all()
    assert len(np.unique(expected)) > 1
    kept = fast.act(observations)
    fast.act(-observations)
    assert (kept == expected).all(), "what was given is not written over"


def test_members_on_their_own_come_to_the_same_bits_in_any_company() -> None:
    def alone(rows: Sequence[int]) -> list[Subnets]:
        learners, subnets = begin(StackedLearners, [(NETWORKS[row % 2], [row], 0) for row in rows])
        learn(learners)
        return subnets

    many = alone(range(5))
    for few in (alone(range(1)), alone(range(2))):
        for one, other in zip(few, many, strict=False):
            assert all(torch.equal(one.fields[name], other.fields[name]) for name in FIELDS)


# What a CUDA graph needs: here the very functions that it would hold.


@pytest.mark.parametrize("mixed", [False, True])
def test_warming_up_changes_nothing_that_a_later_step_reads(mixed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adam's two ways: one age, or many."""
    size = subnets_of(NETWORKS[2], TWICE, [0]).fields["steps"].shape[1]
    counts = torch.arange(size) % 3 * 20 if mixed else torch.zeros(size)
    warmed = list[int]()

    def repeated(function: Callable[[], None], changed: Sequence[torch.Tensor], device: torch.device) -> Any:
        cuda_graphs.warm_up(function, changed)
        warmed.append(len(changed))
        return function

    results = []
    for warms in (False, True):
        with monkeypatch.context() as patch:
            if warms:
                patch.setattr("archgym.learners.dqn_captured.repeated", repeated)
            learners, (first, second) = begin(
                StackedLearners, [(NETWORKS[2], [0, 1], 0), (NETWORKS[2], [2], 90)], counts=counts, learning_starts=120
            )
            results.append((learn(learners), first, second))
    assert len(warmed) == 3, "acting, the older group's step, the step of both"
    for one, other in zip(results[0][1:], results[1][1:], strict=True):
        assert all(torch.equal(one.fields[name], other.fields[name]) for name in FIELDS)
    for name, value in vars(results[0][0]).items():
        assert (value == getattr(results[1][0], name)).all(), name


@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("double", [False, True])
def test_a_step_looks_at_no_number_and_keeps_every_tensor_where_it_is(network: MLP, double: bool) -> None:
    """A graph is recorded once: a step that waited for a number, or moved a tensor, could not be replayed."""
    learners, (subnets,) = begin(StackedLearners, [(network, range(MEMBERS), 0)], double=double)
    assert isinstance(learners, StackedLearners)
    kept = [*changed(learners.learners[0]), learners.uniform, learners.best, *subnets.fields.values()]
    places = [tensor.data_ptr() for tensor in kept]

    class Blind(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = getattr(function, "__name__", "")
            assert name not in {"item", "__bool__", "__int__", "__float__", "tolist", "nonzero", "cpu", "numpy"}, name
            return function(*args, **(kwargs or {}))

    with Blind():
        learners.step(1)
        learners.choose()
    learn(learners, 30)
    assert places == [tensor.data_ptr() for tensor in kept]
    assert learners.loss.data_ptr() == learners.learners[0].loss.data_ptr()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_graphs_on_a_gpu_make_the_updates_of_the_cpu() -> None:
    card, rows = torch.device("cuda"), [0, 1, 2]
    learners, (own,) = begin(StackedLearners, [(NETWORKS[3], rows, 0)], TWICE)
    learn(learners)
    subnets, replay = subnets_of(NETWORKS[3], TWICE, rows), full_replay(TWICE, rows)
    subnets.fields = {name: field.to(card) for name, field in subnets.fields.items()}
    for name in ("observations", "steps", "head", "filled"):
        setattr(replay, name, getattr(replay, name).to(card))
    samplers = [np.random.default_rng(100 + row) for row in rows]
    there = StackedLearners(learners.config, [Group(rows, subnets, 0)], rows, replay, samplers, card)
    assert learn(there).gradient_steps.tolist() == [55, 55, 55]
    for name in FIELDS:
        torch.testing.assert_close(subnets.fields[name].cpu(), own.fields[name], rtol=1e-9, atol=1e-9)


# Who trains what.


@pytest.mark.parametrize(
    ("name", "family", "trainer", "expected"),
    [
        ("torch", mlp, dqn, "torch"),
        ("reference", mlp, dqn, "reference"),
        ("torch", kernels, dqn, "reference"),
        ("auto", kernels, dqn, "reference"),
        ("torch", mlp, pqn, "reference"),
    ],
)
def test_torch_is_the_reference_where_there_is_nothing_faster(
    name: str, family: Any, trainer: Any, expected: str
) -> None:
    assert find_learner(name, CPU, family, trainer) == expected
    assert find_learner("auto", torch.device("meta"), mlp, dqn) == "reference"
    assert find_learner("torch", torch.device("meta"), mlp, dqn) == "torch"


@pytest.mark.parametrize(("trainer", "expected"), [(dqn, "torch"), (pqn, "reference")])
def test_torch_captures_convolutional_networks_where_there_is_something_to_capture(trainer: Any, expected: str) -> None:
    assert find_learner("torch", torch.device("meta"), kernels, trainer) == expected
    assert find_learner("auto", torch.device("meta"), kernels, trainer) == "reference"


@pytest.mark.parametrize("name", ["auto", "torch", "reference"])
def test_members_that_share_a_supernet_are_trained_by_the_reference(name: str) -> None:
    assert Population(Problem(Settings(share_weights=True, learner=name)), 2).learner == "reference"
