"""The reference DQN learner in the form that CUDA graphs can hold: the same updates, bit for bit, in memory that stays.

Where there is no GPU, the tests call the very functions that the graphs would hold.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from archgym.learners import cuda_graphs, dqn_captured
from archgym.learners.dqn import Config
from archgym.learners.dqn_captured import CapturedLearners, changed
from archgym.learners.dqn_stacked import StackedLearners
from archgym.learners.dqn_torch import TorchLearners
from archgym.observations import Observations
from archgym.replay import Replay
from archgym.search_spaces.mlp import MLP
from archgym.search_spaces.nature_kernels import Conv, ConvNet
from archgym.supernet import FIELDS, Layout, Subnets, Supernet, check_out
from archgym.supernets import kernels, mlp
from archgym.training import Group, Statistics

CPU, IMAGE, VECTOR, OUTPUTS, ENVS = torch.device("cpu"), (2, 6, 7), 5, 3, 4
STEM = Conv(3, 3, same=False)
CONVOLUTIONAL = [
    ConvNet(STEM, (Conv(4, 3), Conv(5, 2)), None, 8),
    ConvNet(STEM, (Conv(4, 1, 2), Conv(6, 5)), 5, 8),
    ConvNet(STEM, (Conv(6, 4),), 3, 9, layer_norm=True),
]
PERCEPTRONS = [MLP((12, 9)), MLP((8,), "tanh", layer_norm=True), MLP((6, 6, 6), "elu", skip=True)]
NETWORKS: dict[str, Sequence[ConvNet | MLP]] = {"images": CONVOLUTIONAL, "vectors": PERCEPTRONS}
Rows = Sequence[tuple[ConvNet | MLP, Sequence[int], int]]  # of every group its network, rows and steps so far


def mixed(kind: str) -> Rows:
    """Give five members in four groups of four ages, out of order."""
    first, second, third = NETWORKS[kind]
    return [(first, [4], 0), (second, [1, 3], 500), (third, [2], 40), (first, [0], 160)]


def subnets_of(network: ConvNet | MLP, rows: Sequence[int], ages: Sequence[int], dtype: torch.dtype) -> Subnets:
    """Make a group's subnets; their numbers have made the step counts `ages` in turn."""
    family, inputs = (kernels, IMAGE) if isinstance(network, ConvNet) else (mlp, VECTOR)
    layout = Layout(family, [network], inputs, OUTPUTS)
    subnets = check_out(
        [Supernet(layout, np.random.default_rng(row), CPU) for row in rows], network, [False] * len(rows)
    )
    subnets.fields = {name: field.to(dtype) for name, field in subnets.fields.items()}
    steps = subnets.fields["steps"]
    steps.copy_(torch.tensor(ages)[torch.arange(steps.shape[1]) % len(ages)].expand_as(steps))
    return subnets


def full_replay(kind: str, members: int) -> Replay:
    """Make rings full of random transitions, which have come round once."""
    replay, rng = Replay(members, ENVS, IMAGE if kind == "images" else VECTOR, 100, CPU), np.random.default_rng(9)
    replay.observations.copy_(torch.from_numpy(drawn(kind, replay.observations.shape, rng)))
    shape = replay.steps.shape[:-1]
    columns = (rng.integers(OUTPUTS, size=shape), rng.normal(size=shape), rng.random(shape) < 0.1)
    replay.steps.copy_(torch.from_numpy(np.stack([*columns, rng.random(shape) < 0.9], axis=-1)))
    replay.head[:], replay.filled[:] = 17, replay.slots
    return replay


def drawn(kind: str, shape: Sequence[int], rng: np.random.Generator) -> Observations:
    if kind == "images":
        return rng.integers(256, size=shape, dtype=np.uint8)
    return rng.normal(size=shape).astype(np.float32)


def begin(
    made: type[TorchLearners],
    kind: str,
    groups: Rows | None = None,
    ages: Sequence[int] = (0,),
    device: torch.device = CPU,
    dtype: torch.dtype = torch.float32,
    **config: Any,
) -> tuple[Any, list[Subnets]]:
    """Make learners, of mixed groups unless others are named, and their subnets."""
    groups = mixed(kind) if groups is None else groups
    settings = {"train_frequency": ENVS, "learning_starts": 60, "buffer_size": 100, "batch_size": 6}
    chosen = Config(**settings | {"target_network_frequency": 24} | config)
    subnets = [subnets_of(network, rows, ages, dtype) for network, rows, _ in groups]
    for one in subnets:
        one.fields = {name: field.to(device) for name, field in one.fields.items()}
    count = sum(len(rows) for _, rows, _ in groups)
    replay = full_replay(kind, count)
    for name in ("observations", "steps", "head", "filled"):
        setattr(replay, name, getattr(replay, name).to(device))
    parts = [Group(list(rows), one, steps) for (_, rows, steps), one in zip(groups, subnets, strict=True)]
    samplers = [np.random.default_rng(100 + row) for row in range(count)]
    return made(chosen, parts, range(count), replay, samplers, device), subnets


def learn(learners: TorchLearners, slots: int = 24) -> Statistics:
    for slot in range(slots):
        learners.learn(slot * ENVS, (slot + 1) * ENVS)
    return learners.finish()


def assert_same_bits(one: tuple[Statistics, list[Subnets]], other: tuple[Statistics, list[Subnets]]) -> None:
    for left, right in zip(one[1], other[1], strict=True):
        assert all(torch.equal(left.fields[name], right.fields[name]) for name in FIELDS)
    for name, value in vars(one[0]).items():
        np.testing.assert_array_equal(value, getattr(other[0], name), err_msg=name)


@pytest.mark.parametrize("ages", [(0,), (0, 30, 7)], ids=["one age", "numbers of three ages"])
@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("images", {}),
        ("images", {"double": True, "precision": "bfloat16"}),
        ("images", {"tau": 0.3, "huber": True, "gradient_steps": 3}),
        ("vectors", {}),
        ("vectors", {"double": True, "tau": 0.3}),
    ],
    ids=str,
)
def test_captured_steps_are_the_references_to_the_last_bit(
    kind: str, config: Mapping[str, Any], ages: Sequence[int]
) -> None:
    results = []
    for made in (TorchLearners, CapturedLearners):
        learners, subnets = begin(made, kind, ages=ages, **config)
        results.append((learn(learners), subnets))
    assert_same_bits(*results)
    updates = results[0][0].gradient_steps / config.get("gradient_steps", 1)
    assert updates.tolist() == [24, 24, 19, 24, 9], "each group begins at its own age"
    assert not results[0][0].diverged.any()


@pytest.mark.parametrize("kind", NETWORKS)
def test_actions_are_the_references(kind: str) -> None:
    (plain, _), (captured, _) = begin(TorchLearners, kind), begin(CapturedLearners, kind)
    rng, shape = np.random.default_rng(0), (5, ENVS, *plain.replay.observations.shape[3:])
    first, second = drawn(kind, shape, rng), drawn(kind, shape, rng)
    expected, kept = plain.act(first), captured.act(first)
    assert captured.seen.dtype == captured.replay.observations.dtype
    assert captured.act(second).tolist() == plain.act(second).tolist()
    assert len(np.unique(expected)) > 1
    assert kept.tolist() == expected.tolist(), "what was given is not written over"


# What a CUDA graph needs.


class Recording(TorchDispatchMode):
    """A graph on the CPU: a list of calls with their tensors, repeated without the Python code that made them."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = list[tuple[Any, Any, Any, Any]]()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = function(*args, **(kwargs or {}))
        self.calls.append((function, args, kwargs or {}, results))
        return results

    @torch.inference_mode()
    def replay(self) -> None:
        """Compute everything again, every result into the memory that it had."""
        for function, args, kwargs, results in self.calls:
            again = function(*args, **kwargs)
            for there, new in zip(tree_leaves(results), tree_leaves(again), strict=True):
                if isinstance(there, torch.Tensor) and there.data_ptr() != new.data_ptr():
                    there.copy_(new)


@pytest.mark.parametrize("ages", [(0,), (0, 30, 7)], ids=["one age", "numbers of three ages"])
@pytest.mark.parametrize(
    ("made", "kind", "precision"),
    [
        (CapturedLearners, "images", "float32"),
        (CapturedLearners, "images", "bfloat16"),
        (StackedLearners, "vectors", "float32"),
    ],
)
def test_steps_that_are_recorded_once_and_repeated_are_the_same_steps(
    made: type[CapturedLearners], kind: str, precision: str, ages: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does warming up change nothing; Adam's two ways, and the copies that bfloat16 computes with."""
    recordings = list[Recording]()

    def repeated(function: Callable[[], None], tensors: Sequence[torch.Tensor], device: torch.device) -> Any:
        cuda_graphs.warm_up(function, tensors)
        recordings.append(Recording())

        def record() -> None:
            recordings[-1].calls.clear()
            with recordings[-1]:
                function()

        cuda_graphs.warm_up(record, tensors)  # for what is captured on a GPU is not computed
        return recordings[-1].replay

    results, actions = [], []
    for records in (False, True):
        with monkeypatch.context() as patch:
            if records:
                patch.setattr(dqn_captured, "repeated", repeated)
            learners, subnets = begin(made, kind, ages=ages, precision=precision)
            results.append((learn(learners), subnets))
            seen = drawn(kind, learners.seen.shape, np.random.default_rng(0))
            actions += [learners.act(seen).tolist()]
    assert len(recordings) == 4, "acting; the steps of the oldest two groups, of three, and of all"
    assert_same_bits(*results)
    assert actions[0] == actions[1]


class Blind(TorchDispatchMode):
    """Refuses what waits for a number, in the backward pass too."""

    WAITING = frozenset({"_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "_unique2", "is_nonzero"})

    def __init__(self) -> None:
        super().__init__()
        self.seen = set[str]()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        assert name not in self.WAITING, f"{name} waits for the device"
        self.seen.add(name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("ages", [(0,), (0, 30, 7)], ids=["one age", "numbers of three ages"])
@pytest.mark.parametrize(("precision", "double"), [("float32", False), ("bfloat16", True)])
def test_a_step_looks_at_no_number_and_keeps_every_tensor_where_it_is(
    precision: str, double: bool, ages: Sequence[int]
) -> None:
    """A graph is recorded once: a step that waited for a number, or moved a tensor, could not be replayed."""
    learners, _ = begin(CapturedLearners, "images", ages=ages, double=double, precision=precision)

    def places() -> list[int]:
        replay = learners.replay
        tensors = [learners.uniform, learners.seen, learners.best, learners.rings]
        tensors += [replay.observations, replay.steps, replay.head, replay.filled]
        for one in learners.learners:
            tensors += [*changed(one), *one.targets.values(), *one.parts.values()]
        return [tensor.data_ptr() for tensor in tensors]

    before, blind = places(), Blind()
    learners.uniform.zero_()
    with blind:
        learners.step(len(learners.learners))
        learners.choose()
    assert {"convolution_backward", "argmax", "index_select"} <= blind.seen, "the whole step was looked at"
    learn(learners)
    assert places() == before


def test_waiting_for_a_number_is_noticed() -> None:
    with pytest.raises(AssertionError, match="_local_scalar_dense waits for the device"), Blind():
        torch.ones(3).sum().item()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_graphs_on_a_gpu_make_the_updates_of_the_cpu() -> None:
    (here, own), (there, others) = (
        begin(CapturedLearners, "images", device=torch.device(name), dtype=torch.float64) for name in ("cpu", "cuda")
    )
    assert learn(there).gradient_steps.tolist() == learn(here).gradient_steps.tolist()
    for one, other in zip(own, others, strict=True):
        for name in FIELDS:
            torch.testing.assert_close(other.fields[name].cpu(), one.fields[name], rtol=1e-9, atol=1e-9)
