"""Networks and replay on another device than the CPU.

On a machine without a GPU torch's `meta` device stands in for one: like a CUDA device it refuses to be mixed with the
CPU (but for values that are written by an index), and it has shapes and no numbers. So the whole path of a window runs
on it, and a tensor that was left on the CPU is found. Values are compared where there is a GPU.
"""

from typing import Any

import numpy as np
import pytest
import torch

from archgym import population
from archgym.learners.dqn_captured import CapturedLearners
from archgym.population import Population
from archgym.problem import Problem
from archgym.settings import Settings
from archgym.supernet import FIELDS
from archgym.supernets import kernels

SMALL = {"windows": 3, "envs_per_member": 2, "window_steps": 24}
OF_TRAINER: dict[str, dict[str, Any]] = {
    "dqn": {"learning_starts": 12, "batch_size": 8},
    "pqn": {"window_steps": 16, "num_steps": 4, "update_epochs": 1, "layer_norm": True},  # norms are slow there
    "ppo": {"window_steps": 16, "num_steps": 4, "update_epochs": 1, "actor_critic": True},
}


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> str:
    """Let a population be made on the meta device, and let zeros come back from it."""
    monkeypatch.setattr(population, "find_device", torch.device)
    real = {name: getattr(torch.Tensor, name) for name in ("cpu", "__bool__", "__int__", "__float__")}

    def zeros(tensor: torch.Tensor) -> torch.Tensor:
        return torch.zeros(tensor.shape, dtype=tensor.dtype) if tensor.is_meta else real["cpu"](tensor)

    monkeypatch.setattr(torch.Tensor, "cpu", zeros)
    for name, value in (("__bool__", True), ("__int__", 0), ("__float__", 0.0)):
        known = real[name]
        monkeypatch.setattr(
            torch.Tensor, name, lambda tensor, known=known, value=value: value if tensor.is_meta else known(tensor)
        )
    return "meta"


def problem_on(device: str, trainer: str = "dqn", **keywords: Any) -> Problem:
    settings = {**SMALL, **OF_TRAINER[trainer], "trainer": trainer, "device": device, **keywords}
    return Problem(Settings.from_keywords(settings))


def lived(device: str, **keywords: Any) -> Population:
    """Live through everything that a population can do."""
    problem = problem_on(device, **keywords)
    made, rng = Population(problem, 3), np.random.default_rng(0)
    made.reset([1, 2, 3])
    for _ in range(2):
        architectures = np.stack([problem.space.sample(rng) for _ in range(3)])
        made.train_window(architectures)
    made.evaluate(architectures, [0, 1, 2], 2)
    if not made.shares:
        made.fork(0, 1)
    made.set_state(made.get_state())
    made.train_window(architectures)
    return made


@pytest.mark.parametrize(
    "keywords",
    [
        {"space": "mlp-wide"},
        {"space": "mlp-wide", "learner": "torch"},
        {"space": "mlp-wide", "transfer": "own", "double": True, "learner": "torch"},
        {"space": "mlp-wide", "transfer": "own", "double": True},
        {"space": "mlp", "transfer": "fresh", "exact": True, "tau": 0.1, "learner": "torch"},
        {"space": "mlp", "reward": "evaluation", "evaluation_episodes": 1},
        {"trainer": "pqn", "space": "mlp-wide"},
        {"trainer": "pqn", "space": "mlp", "transfer": "own", "exact": True},
        {"trainer": "pqn", "task": "Orchard-v0", "space": "mini-kernels"},
        {"task": "Orchard-v0", "space": "mini-kernels", "double": True},
        {"task": "Orchard-v0", "space": "mini-kernels", "learner": "torch", "double": True, "precision": "bfloat16"},
        {"space": "mlp-wide", "share_weights": True, "tau": 0.1},
        {"trainer": "pqn", "space": "mlp-wide", "share_weights": True},
        {"trainer": "ppo", "space": "mlp-wide"},
        {"trainer": "ppo", "task": "Orchard-v0", "space": "mini-kernels", "transfer": "own", "exact": True},
        {"trainer": "ppo", "space": "mlp", "share_weights": True},
    ],
    ids=lambda keywords: "-".join(map(str, keywords.values())),
)
def test_nothing_that_a_population_does_mixes_devices(stand_in: str, keywords: dict[str, Any]) -> None:
    made = lived(stand_in, **keywords)
    stores = [store for life in made.lifetimes for store in life.stores.values()]
    assert {store.supernet.fields[name].device.type for store in stores for name in FIELDS} == {stand_in}
    if made.replay is not None:
        assert made.replay.observations.device.type == made.replay.steps.device.type == stand_in
    architecture = made.problem.space.default_architecture
    assert {weight.device.type for weight in made.weights(0, architecture).values()} == {stand_in}


def test_members_of_equal_convolutional_networks_take_captured_steps_side_by_side(
    stand_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepped, computed = set[type](), set[tuple[int, bool]]()
    step, side_by_side = CapturedLearners.step, kernels.side_by_side

    def noted_step(learners: CapturedLearners, count: int) -> None:
        stepped.add(type(learners))
        step(learners, count)

    def noted(network: Any, weights: Any, observations: torch.Tensor) -> torch.Tensor:
        computed.add((len(observations), torch.is_grad_enabled()))
        return side_by_side(network, weights, observations)

    monkeypatch.setattr(CapturedLearners, "step", noted_step)
    monkeypatch.setattr(kernels, "side_by_side", noted)
    problem = problem_on(stand_in, task="Orchard-v0", space="mini-kernels", learner="torch")
    made = Population(problem, 3)
    made.reset([1, 2, 3])
    made.train_window(np.tile(problem.space.default_architecture, (3, 1)))
    assert stepped == {CapturedLearners}
    assert computed == {(3, True), (3, False)}


def test_the_stand_in_refuses_to_be_mixed_with_the_cpu() -> None:
    for mixed in (lambda a, b: a + b, lambda a, b: a.lerp_(b, 0.5), lambda a, b: torch.cat([a, b])):
        with pytest.raises(RuntimeError, match="cpu is not on the expected device meta"):
            mixed(torch.zeros(3, device="meta"), torch.ones(3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize(
    ("trainer", "learner"), [("dqn", "reference"), ("dqn", "torch"), ("pqn", "reference"), ("ppo", "reference")]
)
def test_a_gpu_gives_the_windows_of_the_cpu(trainer: str, learner: str) -> None:
    def rewards(device: str) -> list[float]:
        problem = problem_on(device, trainer, learner=learner)
        made = Population(problem, 2)
        made.reset([1, 2])
        actions = np.tile(problem.space.default_architecture, (2, 1))
        return [result.raw_return for _ in range(2) for result in made.train_window(actions)]

    assert rewards("cuda") == pytest.approx(rewards("cpu"), rel=0.2)
