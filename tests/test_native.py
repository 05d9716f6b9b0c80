"""The compiled learners against the torch reference: the same replay, the same draws, the same updates."""

import ctypes
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import archgym
from archgym import native
from archgym.learners import dqn, dqn_native, dqn_torch, pqn, pqn_native, pqn_torch
from archgym.learners import native as handed
from archgym.population import Population
from archgym.problem import Problem
from archgym.replay import Replay
from archgym.search_spaces.mlp import MLP
from archgym.settings import Settings
from archgym.supernet import FIELDS, Layout, Subnets, Supernet, check_out
from archgym.supernets import mlp
from archgym.training import Group

CPU, INPUTS, OUTPUTS, ENVS, MEMBERS = torch.device("cpu"), 5, 3, 4, 3
BUILDS = sorted(Path(native.__file__).parent.glob("_learners_*.so"))
TWICE = torch.float64  # where rounding does not hide a fault

pytestmark = pytest.mark.filterwarnings("ignore:window_steps")
if native.library() is None:
    pytest.skip("the compiled learners were not built: no C++ compiler at installation", allow_module_level=True)

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
    st.sampled_from(handed.ACTIVATIONS),
    st.booleans(),
    st.booleans(),
)


def subnets_of(network: MLP, dtype: torch.dtype, seeds: Sequence[int], inputs: int = INPUTS) -> Subnets:
    layout = Layout(mlp, [network], inputs, OUTPUTS)
    nets = [Supernet(layout, np.random.default_rng(seed), CPU) for seed in seeds]
    subnets = check_out(nets, network, [False] * len(nets))
    subnets.fields = {name: field.to(dtype) for name, field in subnets.fields.items()}
    return subnets


def play_dqn(
    learner: str,
    network: MLP,
    dtype: torch.dtype = torch.float32,
    seeds: Sequence[int] = range(MEMBERS),
    slots: int = 130,
    steps: torch.Tensor | None = None,
    batch_size: int = 128,
    remember: bool = True,
    **config: Any,
) -> tuple[Subnets, Any, Replay, list[Any]]:
    """Feed learners made-up transitions; a gradient step every second slot, once there are 20 steps."""
    count, subnets = len(seeds), subnets_of(network, dtype, seeds)
    if steps is not None:
        subnets.fields["steps"] = steps.to(dtype).expand_as(subnets.fields["steps"]).clone()
    replay = Replay(count, ENVS, INPUTS, 200, CPU)
    chosen = dqn.Config(
        **{"train_frequency": 2 * ENVS, "learning_starts": 20, "buffer_size": 200, "batch_size": batch_size, **config}
    )
    groups, samplers = [Group(list(range(count)), subnets, 0)], [np.random.default_rng(100 + seed) for seed in seeds]
    learners: dqn.Learners
    if learner == "native":
        learners = dqn_native.NativeLearners(chosen, groups, list(range(count)), replay, samplers, remember)
    else:
        if dtype == TWICE:  # a reference all of whose arithmetic is double
            replay.observations, replay.steps = replay.observations.to(dtype), replay.steps.to(dtype)
            write, complete = replay.write, replay.complete
            replay.write = lambda m, o, a: write(m, o.to(dtype), a)  # type: ignore[method-assign]
            replay.complete = lambda m, r: complete(m, r.to(dtype))  # type: ignore[method-assign]
        learners = dqn_torch.TorchLearners(chosen, groups, list(range(count)), replay, samplers, CPU)
    actions = []
    for slot in range(slots):
        rngs = [np.random.default_rng((seed, slot)) for seed in seeds]
        observations = np.stack([rng.normal(size=(ENVS, INPUTS)) for rng in rngs]).astype(np.float32)
        if learner == "native" or dtype != TWICE:
            actions.append(learners.act(observations).copy())
        learners.record(
            observations,
            np.stack([rng.integers(OUTPUTS, size=ENVS) for rng in rngs]),
        )
        learners.complete(
            np.stack([rng.normal(size=ENVS).astype(np.float32).astype(np.float64) for rng in rngs]),
            np.stack([rng.random(ENVS) < 0.1 for rng in rngs]),
            np.stack([rng.random(ENVS) < 0.9 for rng in rngs]),
        )
        learners.learn(slot * ENVS, (slot + 1) * ENVS)
    return subnets, learners.finish(), replay, actions


def play_pqn(
    learner: str,
    network: MLP,
    dtype: torch.dtype = torch.float32,
    seeds: Sequence[int] = range(MEMBERS),
    rollouts: int = 3,
    slots: int = 21,
    **config: Any,
) -> tuple[Subnets, Any, None, list[Any]]:
    """Feed learners made-up rollouts, 16 gradient steps each."""
    count, subnets = len(seeds), subnets_of(network, dtype, seeds)
    chosen, groups = pqn.Config(num_steps=slots, **config), [Group(list(range(count)), subnets, 0)]
    learners: pqn.Learners
    if learner == "native":
        learners = pqn_native.NativeLearners(chosen, groups, INPUTS, ENVS, rollouts * slots)
    else:
        learners = pqn_torch.TorchLearners(chosen, groups, OUTPUTS, CPU)
    plain = dtype == TWICE and learner == "torch"
    acted = []
    for number in range(rollouts):
        rngs = [np.random.default_rng((seed, number)) for seed in seeds]

        def stacked(draw: Callable[[np.random.Generator], Any], rngs: Any = rngs) -> Any:
            return np.stack([draw(rng) for rng in rngs], axis=1)

        observations = stacked(lambda rng: rng.normal(size=(slots, ENVS, INPUTS))).astype(np.float32)
        returns = stacked(lambda rng: rng.normal(size=(slots, ENVS))).astype(np.float32)
        if not plain:
            acted.append([array.copy() for array in learners.act(observations[0])])
        rollout = pqn.Rollout(
            observations.astype(np.float64) if plain else observations,
            stacked(lambda rng: rng.integers(OUTPUTS, size=(slots, ENVS))),
            returns.astype(np.float64) if plain else returns,  # type: ignore[arg-type]
            stacked(lambda rng: rng.random((slots, ENVS)) < 0.9),
        )
        epochs = range(chosen.update_epochs)
        orders = np.stack([[rng.permutation(np.arange(slots * ENVS)) for _ in epochs] for rng in rngs])
        learners.learn(rollout, orders, np.full(count, 1e-3))
    return subnets, learners.finish(), None, acted


PLAYS: dict[str, Callable[..., Any]] = {"dqn": play_dqn, "pqn": play_pqn}
PRECISIONS = ("float32", "bfloat16")


def assert_equal(one: Any, other: Any, tolerance: float) -> None:
    """Compare what two learners came to."""
    for name in FIELDS:
        difference = (one[0].fields[name] - other[0].fields[name]).abs().max()
        assert difference <= tolerance, f"{name} differs by {difference}"
    assert one[1].gradient_steps.tolist() == other[1].gradient_steps.tolist()
    assert not one[1].diverged.any()
    np.testing.assert_allclose(one[1].loss, other[1].loss, rtol=1e-4)
    np.testing.assert_allclose(one[1].value, other[1].value, rtol=1e-4, atol=1e-6)


def assert_as_precise(kind: str, network: MLP) -> None:
    """Compare in single precision: the compiled learner is as near to double precision as torch is.

    How near depends on the network: Adam's first steps have the length of the step size even where the gradient is
    nothing but rounding, and a unit of a ReLU may switch on a step earlier.
    """
    exact = PLAYS[kind]("torch", network, TWICE)
    torch_one, own = PLAYS[kind]("torch", network), PLAYS[kind]("native", network)
    errors = [(one[0].fields["weight"] - exact[0].fields["weight"]).abs().mean() for one in (torch_one, own)]
    assert errors[1] <= 4 * errors[0] + 1e-8, errors
    np.testing.assert_allclose(own[1].loss, exact[1].loss, rtol=1e-3)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("settings", [{}, {"double": True}, {"tau": 0.3, "huber": True}, {"batch_size": 37}], ids=str)
def test_fifty_updates_of_dqn_in_double_precision_are_the_references(network: MLP, settings: dict[str, Any]) -> None:
    reference = play_dqn("torch", network, TWICE, **settings)
    assert reference[1].gradient_steps.min() >= 50
    assert_equal(play_dqn("native", network, TWICE, **settings), reference, 1e-12)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_updates_of_pqn_in_double_precision_are_the_references(network: MLP) -> None:
    for slots in (21, 32, 1):
        reference = play_pqn("torch", network, TWICE, slots=slots, max_grad_norm=0.5)
        assert_equal(play_pqn("native", network, TWICE, slots=slots, max_grad_norm=0.5), reference, 1e-12)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(network=networks, kind=st.sampled_from(sorted(PLAYS)))
def test_any_network_is_trained_as_the_reference_trains_it(network: MLP, kind: str) -> None:
    reference = PLAYS[kind]("torch", network, TWICE, seeds=[0])
    assert_equal(PLAYS[kind]("native", network, TWICE, seeds=[0]), reference, 1e-10)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("kind", PLAYS)
def test_in_single_precision_it_is_as_near_to_the_truth_as_torch(kind: str, network: MLP) -> None:
    assert_as_precise(kind, network)


@pytest.mark.parametrize("kind", PLAYS)
def test_actions_are_the_references(kind: str) -> None:
    for network in NETWORKS:
        first, second = (np.array(PLAYS[kind](learner, network)[3][0]) for learner in ("torch", "native"))
        np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("kind", PLAYS)
def test_slices_of_different_ages_are_corrected_each_by_its_own_count(kind: str) -> None:
    size = subnets_of(NETWORKS[0], TWICE, [0]).fields["steps"].shape[1]
    ages = torch.arange(size) % 7 * 50

    def aged(learner: str) -> Any:
        if kind == "dqn":
            return play_dqn(learner, NETWORKS[0], TWICE, steps=ages)
        before = Subnets.__init__

        def begin(self: Subnets, *arguments: Any) -> None:
            before(self, *arguments)
            self.fields["steps"] = ages.to(self.fields["steps"]).expand_as(self.fields["steps"]).clone()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Subnets, "__init__", begin)
            return play_pqn(learner, NETWORKS[0], TWICE)

    reference, young = aged("torch"), PLAYS[kind]("torch", NETWORKS[0], TWICE)
    assert not torch.equal(reference[0].fields["weight"], young[0].fields["weight"])
    assert_equal(aged("native"), reference, 1e-12)
    assert reference[0].fields["steps"][0, 1] - reference[0].fields["steps"][0, 0] == 50


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", PLAYS)
def test_a_member_comes_to_the_same_bits_in_any_company(kind: str, precision: str) -> None:
    alone = PLAYS[kind]("native", NETWORKS[0], seeds=[7], precision=precision)
    for seeds, row in (([7, 1], 0), ([1, 2, 7], 2), ([3, 4, 5, 6, 7], 4)):
        together = PLAYS[kind]("native", NETWORKS[0], seeds=seeds, precision=precision)
        for name in FIELDS:
            assert torch.equal(alone[0].fields[name][0], together[0].fields[name][row]), (seeds, name)


@pytest.mark.parametrize("network", NETWORKS[:3], ids=str)
def test_remembered_values_of_the_target_network_change_no_bit(network: MLP) -> None:
    fields = [play_dqn("native", network, remember=remember, slots=260)[0].fields for remember in (False, True)]
    assert all(torch.equal(fields[0][name], fields[1][name]) for name in FIELDS)


def rounded(numbers: torch.Tensor) -> torch.Tensor:
    """Round to the nearest bfloat16, ties to even, by the bits."""
    bits = np.ascontiguousarray(numbers.detach().numpy(), dtype=np.float32).view(np.uint32)
    return torch.from_numpy(((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32))


class RoundedProduct(torch.autograd.Function):
    """x w' of rounded factors (G, B, n) and (G, m, n), added up in double precision, as are those of its gradients."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        ctx.factors = rounded(x).double(), rounded(w).double()
        return (ctx.factors[0] @ ctx.factors[1].transpose(1, 2)).float()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        (x, w), g = ctx.factors, rounded(gradient).double()
        return (g @ w).float(), (g.transpose(1, 2) @ x).float()


def rounding_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the torch reference round what is multiplied between hidden layers, and nothing else."""
    plain = torch.baddbmm

    def product(bias: torch.Tensor, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] == INPUTS or w.shape[-1] == OUTPUTS:  # from the observation, or to the values
            return plain(bias, x, w)
        result: torch.Tensor = RoundedProduct.apply(x, w.transpose(1, 2))
        return bias + result

    monkeypatch.setattr(torch, "baddbmm", product)


@pytest.mark.parametrize(
    "network",
    [*NETWORKS[:1], *NETWORKS[2:4], MLP((33, 17, 6), "tanh", skip=True), MLP((40, 33, 24))],
    ids=str,
)
@pytest.mark.parametrize("slots", [32, 21, 1])
def test_products_of_bfloat16_are_those_of_a_plain_reference_that_rounds(
    network: MLP, slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One gradient step: Adam's first moment is a tenth of the gradient, which all three products have part in.

    A sum whose last bit differs may round to the other neighbour in the next layer, so that few numbers differ more.
    """
    once = {"rollouts": 1, "slots": slots, "update_epochs": 1, "num_minibatches": 1, "max_grad_norm": 1e9}
    (own, _, _, acted), (exact, *_) = (
        play_pqn("native", network, precision=precision, **once) for precision in ("bfloat16", "float32")
    )
    rounding_torch(monkeypatch)
    reference, _, _, expected = play_pqn("torch", network, **once)
    np.testing.assert_allclose(acted[0][1], expected[0][1], atol=2e-4)
    moments = [one.fields["exp_avg"] for one in (own, exact, reference)]
    error, effect = ((moment - moments[2]).abs() for moment in moments[:2])
    assert error.mean() <= 0.02 * effect.mean(), "what rounding does, and hardly anything else"
    assert error.max() <= 2e-3 * moments[2].abs().max()


@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("kind", PLAYS)
def test_fifty_updates_in_bfloat16_lead_nearly_where_those_in_float32_lead(kind: str, network: MLP) -> None:
    (exact, told, *_), (own, also, *_) = (
        PLAYS[kind]("native", network, precision=precision) for precision in PRECISIONS
    )
    start = subnets_of(network, torch.float32, range(MEMBERS)).fields["weight"]
    moved, apart = (
        (one.fields["weight"] - other).abs().mean() for one, other in ((exact, start), (own, exact.fields["weight"]))
    )
    assert apart <= 0.1 * moved
    assert (apart > 0) == (len(network.hidden) > 1), "only what is between hidden layers is rounded"
    np.testing.assert_allclose(also.loss, told.loss, rtol=0.02)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("kind", PLAYS)
def test_the_instruction_for_bfloat16_changes_no_bit(kind: str, network: MLP, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = []
    for build in ("v4", "v4bf16"):
        load_build(build, monkeypatch)
        fields.append([PLAYS[kind]("native", network, precision=precision)[0].fields for precision in PRECISIONS])
    for without, with_it, precision in zip(*fields, PRECISIONS, strict=True):
        for name in FIELDS:
            assert torch.equal(without[name], with_it[name]), (precision, name)


def test_one_line_says_where_bfloat16_is_slow(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for build, expected in (("v4bf16", 0), ("baseline", 1)):
        load_build(build, monkeypatch)
        monkeypatch.setattr(native, "library", handed.library)
        native.tell_if_bfloat16_is_slow.cache_clear()
        with caplog.at_level(logging.WARNING, "archgym"):
            for precision in ("float32", "bfloat16", "bfloat16"):
                play_pqn("native", NETWORKS[1], seeds=[0], rollouts=1, precision=precision)
        assert (
            sum("computes bfloat16 in float32's arithmetic" in one.getMessage() for one in caplog.records) == expected
        )
    native.tell_if_bfloat16_is_slow.cache_clear()


@pytest.mark.parametrize("env_id", ["ArchSearch-DQN-v0", "ArchSearch-PQN-v0"])
def test_bfloat16_is_for_the_compiled_learner_alone_where_networks_read_vectors(env_id: str) -> None:
    with pytest.raises(
        ValueError,
        match=r"precision: expected 'float32' where torch trains \(but for convolutional networks\), got "
        r"'bfloat16': it is for learner='native'\.",
    ):
        gym.make(env_id, learner="torch", precision="bfloat16")
    with pytest.raises(ValueError, match=r"unknown precision 'bfloat': expected one of bfloat16, float32"):
        gym.make(env_id, precision="bfloat")


def test_the_ring_is_written_as_the_reference_writes_it() -> None:
    rings = [play_dqn(learner, NETWORKS[1])[2] for learner in ("torch", "native")]
    for name in ("observations", "steps", "head", "filled"):
        assert torch.equal(getattr(rings[0], name), getattr(rings[1], name)), name


def load_build(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make learners use one of the builds, or skip the test where it cannot run."""
    paths = [path for path in BUILDS if path.name.startswith(f"_learners_{name}.")]
    if not paths or name not in native.BUILDS.get(native.capability(), ("baseline",)):
        pytest.skip(f"the build {name!r} is not here, or not for this processor, which has {native.capability()}")
    loaded = ctypes.CDLL(str(paths[0]))
    monkeypatch.setattr(handed, "library", lambda: loaded)


@pytest.mark.parametrize("build", BUILDS, ids=lambda path: path.name.split(".")[0])
@pytest.mark.parametrize("kind", PLAYS)
def test_every_build_trains_as_the_reference(build: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load_build(build.name.split(".")[0].removeprefix("_learners_"), monkeypatch)
    for network in NETWORKS:
        assert_equal(PLAYS[kind]("native", network, TWICE), PLAYS[kind]("torch", network, TWICE), 1e-12)
        assert_as_precise(kind, network)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have one build")
def test_the_library_loaded_is_the_widest_that_the_processor_has() -> None:
    question = "from archgym import native; print(native.library()._name)"
    for capability, build in (("avx2", "v3"), ("default", "baseline")):
        answer = subprocess.run(
            [sys.executable, "-c", question],
            env={**os.environ, "ATEN_CPU_CAPABILITY": capability},
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"_learners_{build}." in answer.stdout, "torch is told what the processor has"
    build = native.BUILDS.get(native.capability(), ("baseline",))[0]
    loaded = native.library()
    assert loaded is not None
    assert f"_learners_{build}." in loaded._name


@pytest.fixture
def unbuilt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """An installation without a compiler."""
    monkeypatch.setattr(archgym, "__file__", str(tmp_path / "__init__.py"))
    native.library.cache_clear()
    yield
    native.library.cache_clear()


def test_without_a_compiler_torch_trains_and_one_line_says_so(unbuilt: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "archgym"):
        for _ in range(2):
            population = Population(Problem(Settings()), 2)
            assert population.learner == "torch"
    assert [record.getMessage() for record in caplog.records if "compiled" in record.getMessage()] == [
        "the compiled learner is missing (there was no C++ compiler when archgym was installed, or one older than GCC "
        "12): torch trains instead, several times slower."
    ]
    with pytest.raises(ValueError, match=r"learner: expected 'torch' or 'auto', got 'native': it was not built"):
        gym.make("ArchSearch-DQN-v0", learner="native")


def test_a_build_of_an_older_archgym_is_not_loaded(
    unbuilt: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "native").mkdir()
    for build in BUILDS:
        (tmp_path / "native" / build.name).write_bytes(build.read_bytes())
    assert native.library() is not None
    native.library.cache_clear()
    monkeypatch.setattr(native, "VERSION", native.VERSION + 1)
    with caplog.at_level(logging.WARNING, "archgym"):
        assert native.library() is None
    assert "(archgym has changed since it was installed; install it again)" in caplog.text


def test_a_build_for_another_machine_is_left_aside(
    unbuilt: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "native").mkdir()
    foreign = tmp_path / "native" / "_learners_baseline.cpython-311-aarch64-linux-gnu.so"
    foreign.write_bytes(b"\x7fELF of another processor")
    with caplog.at_level(logging.WARNING, "archgym"):
        assert native.library() is None
    assert f"the compiled learner is missing (what was built cannot be loaded: {foreign}" in caplog.text
    (build,) = (path for path in BUILDS if path.name.startswith("_learners_baseline."))
    (tmp_path / "native" / build.name).write_bytes(build.read_bytes())
    native.library.cache_clear()
    assert native.library() is not None


def test_learners_that_no_memory_is_given_for_are_refused_and_the_process_lives_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dqn_native, "DRAWS", 0)  # or NumPy would be refused its memory before
    with pytest.raises(MemoryError, match="expected networks and a batch_size that fit into memory"):
        play_dqn("native", MLP((16,), "relu"), batch_size=10**13, slots=0)


def test_a_learner_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown learner 'nativ'"):
        gym.make("ArchSearch-DQN-v0", learner="nativ")
    with pytest.raises(ValueError, match=r"learner: expected a name, got 3"):
        gym.make("ArchSearch-DQN-v0", learner=3)


@pytest.mark.parametrize("env_id", ["ArchSearch-DQN-v0", "ArchSearch-PQN-v0"])
def test_a_member_that_diverges_is_noticed_and_harms_no_other(env_id: str) -> None:
    def windows(rate: float) -> Any:
        env: Any = gym.make_vec(env_id, num_envs=2, windows=4, window_steps=800, learner="native", learning_rate=rate)
        env.reset(seed=[1, 2])
        return [env.step(np.zeros((2, 3), dtype=np.int64)) for _ in range(2)]

    for _, rewards, _, _, infos in windows(1e30):
        assert infos["diverged"].all()
        assert (rewards == -1).all()
    assert not windows(1e-3)[1][4]["diverged"].any()


@pytest.mark.parametrize("env_id", ["ArchSearch-DQN-v0", "ArchSearch-PQN-v0"])
def test_whole_windows_agree_with_the_references_until_rounding_tells(env_id: str) -> None:
    results = []
    soon = {"learning_starts": 20} if "DQN" in env_id else {}
    for learner in ("torch", "native"):
        env: Any = gym.make_vec(env_id, num_envs=4, windows=20, window_steps=400, learner=learner, **soon)
        env.reset(seed=3)
        rng = np.random.default_rng(0)
        actions = [np.stack([env.unwrapped.search_space.sample(rng) for _ in range(4)]) for _ in range(2)]
        results.append([env.step(action)[4] for action in actions])
    for was, now in zip(*results, strict=True):
        assert (was["gradient_steps"] == now["gradient_steps"]).all()
        assert (was["raw_return"] == now["raw_return"]).all(), "the same actions were taken"
        np.testing.assert_allclose(was["loss"], now["loss"], rtol=1e-3)


def test_an_array_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="expected an array of float32 in one piece, got one of float64"):
        handed.address(np.zeros(3), np.float32)
    with pytest.raises(ValueError, match="in one piece"):
        handed.address(np.zeros((4, 4), dtype=np.float32)[:, ::2], np.float32)
