"""Large networks: the type that they are computed in, and Adam in one pass over the memory."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from archgym.learners import adam_fused, pqn_torch
from archgym.learners.adam import Adam
from archgym.learners.adam_fused import FusedAdam, adam_for
from archgym.learners.dqn import Config
from archgym.learners.precision import Working
from archgym.population import Population
from archgym.problem import Problem
from archgym.replay import REWARD
from archgym.search_spaces import mini_kernels
from archgym.settings import Settings
from archgym.supernet import Layout, Subnets, Supernet, check_in, check_out, family_of, variants
from archgym.trainers.dqn import PRESETS
from archgym.training import Statistics

CPU = torch.device("cpu")
SPACE = mini_kernels.SPACE
SMALL, LARGE = (SPACE.parse(f"width=4 kernel_1={kernel} kernel_2={kernel}") for kernel in (1, 5))
RATE = 1e-2


def stores(count: int) -> list[Supernet]:
    layout = Layout(family_of(SPACE), variants(SPACE), (3, 10, 10), 3)
    return [Supernet(layout, np.random.default_rng(seed), CPU) for seed in range(count)]


def subnets_of(nets: list[Supernet], architecture: Any) -> Subnets:
    return check_out(nets, SPACE.network_of(architecture), [False] * len(nets))


def gradients(subnets: Subnets, count: int) -> list[Tensor]:
    rng, shape = np.random.default_rng(3), subnets.fields["weight"].shape
    return [torch.from_numpy(rng.normal(0, 1, shape).astype(np.float32)) for _ in range(count)]


def copied(subnets: Subnets) -> Subnets:
    return replace(subnets, fields={name: field.clone() for name, field in subnets.fields.items()})


def check_alike(plain: Subnets, fused: Subnets, steps: int) -> None:
    """Follow the same gradients in both ways."""
    one, other = Adam(plain), FusedAdam(fused)
    for gradient in gradients(plain, steps):
        one.step(gradient.clone(), RATE)
        other.step(gradient.clone(), RATE)
    assert one.finish().tolist() == other.finish().tolist()
    for name, field in plain.fields.items():
        torch.testing.assert_close(fused.fields[name], field, rtol=1e-5, atol=1e-7)


def test_fused_steps_are_those_of_adam() -> None:
    plain = subnets_of(stores(2), LARGE)
    fused = copied(plain)
    before = plain.fields["weight"].clone()
    check_alike(plain, fused, 20)
    assert ((plain.fields["weight"] - before).abs() > RATE).float().mean() > 0.5
    assert (fused.fields["steps"] == 20).all()
    check_alike(plain, fused, 5)  # and go on from counts and moments


def test_the_middle_of_kernels_makes_its_own_steps() -> None:
    nets = stores(2)
    first = subnets_of(nets, SMALL)
    adam = Adam(first)
    for gradient in gradients(first, 7):
        adam.step(gradient, RATE)
    adam.finish()
    check_in(nets, first, [True, True])
    plain = subnets_of(nets, LARGE)
    assert plain.fields["steps"].unique().tolist() == [0.0, 7.0]
    fused = copied(plain)
    check_alike(plain, fused, 10)
    assert fused.fields["steps"].unique().tolist() == [10.0, 17.0]


def test_members_of_different_age_are_each_corrected_by_their_own_count() -> None:
    nets = stores(2)
    old = subnets_of(nets[:1], LARGE)
    adam = Adam(old)
    for gradient in gradients(old, 9):
        adam.step(gradient, RATE)
    adam.finish()
    check_in(nets[:1], old, [True])
    plain = subnets_of(nets, LARGE)
    check_alike(plain, copied(plain), 6)


def test_a_number_that_is_not_finite_is_noticed() -> None:
    subnets = subnets_of(stores(3), LARGE)
    adam = FusedAdam(subnets)
    (gradient,) = gradients(subnets, 1)
    gradient[1, 5] = torch.inf
    adam.step(gradient, RATE)
    assert adam.finish().tolist() == [False, True, False]


@pytest.mark.parametrize("kind", [Adam, FusedAdam])
def test_a_moment_that_overflowed_is_noticed_and_large_numbers_are_sound(kind: type[Adam]) -> None:
    subnets = subnets_of(stores(3), LARGE)
    subnets.fields["weight"][0, :9] = 3e38  # finite, though their sum is not
    adam = kind(subnets)
    gradient = torch.zeros_like(subnets.fields["weight"])
    gradient[1, 5] = 1e25  # its square overflows, and the weight stays where it is
    adam.step(gradient, RATE)
    assert subnets.fields["weight"].isfinite().all()
    assert subnets.fields["exp_avg_sq"][1, 5] == torch.inf
    assert adam.finish().tolist() == [False, True, False]


def test_large_networks_are_fused_and_small_ones_where_all_numbers_are_of_one_age(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subnets = subnets_of(stores(2), LARGE)
    subnets.fields["steps"][0] += 7
    assert type(adam_for(subnets)) is FusedAdam, "members may differ in age"
    subnets.fields["steps"][0, 5] += 1
    assert type(adam_for(subnets)) is Adam
    monkeypatch.setattr(adam_fused, "LARGE", 1000)
    assert type(adam_for(subnets)) is FusedAdam


def test_with_float32_the_working_tensors_are_the_numbers_themselves() -> None:
    views = subnets_of(stores(1), LARGE).views("weight")
    working = Working(views, "float32", trains=True)
    for name, view in views.items():
        assert working.tensors[name].data_ptr() == view.data_ptr()
        assert working.tensors[name].requires_grad


def test_with_bfloat16_they_are_copies_that_follow_and_heads_are_not_rounded() -> None:
    views = subnets_of(stores(1), LARGE).views("weight")
    working = Working(views, "bfloat16", trains=True)
    assert {name for name, tensor in working.tensors.items() if tensor.dtype == torch.float32} == {
        "head.weight",
        "head.bias",
    }
    for view in views.values():
        view.mul_(1.5)
    assert not torch.equal(working.tensors["stem.weight"], views["stem.weight"].bfloat16())
    working.renew()
    for name, view in views.items():
        assert torch.equal(working.tensors[name], view.to(working.tensors[name].dtype))
        assert working.tensors[name].is_leaf


SETTINGS = {
    "task": "Orchard-v0", "space": "mini-kernels", "windows": 2, "window_steps": 80, "learning_starts": 16,
    "batch_size": 8, "train_frequency": 4, "target_network_frequency": 20,
}  # fmt: skip


def trained(**keywords: Any) -> dict[str, Any]:
    made = Population(Problem(Settings.from_keywords({**SETTINGS, **keywords})), 1)
    made.reset([1])
    made.train_window(LARGE[None])
    return made.get_state().arrays


def test_training_in_bfloat16_moves_float32_weights_nearly_as_float32_does() -> None:
    exact, rounded, untrained = trained(), trained(precision="bfloat16"), trained(learning_rate=1e-30)
    assert all(array.dtype == exact[name].dtype for name, array in rounded.items())
    start, end, other = (arrays["0/0/weight"] for arrays in (untrained, exact, rounded))
    moved, apart = np.abs(end - start).mean(), np.abs(end - other).mean()
    assert 0 < apart < 0.5 * moved
    assert (other != torch.from_numpy(other).bfloat16().float().numpy()).any()


PQN = {
    "task": "Orchard-v0", "space": "mini-kernels", "windows": 2, "window_steps": 128, "trainer": "pqn",
    "layer_norm": True, "num_steps": 16, "update_epochs": 2, "num_minibatches": 2,
}  # fmt: skip


def weights_after_a_window(**keywords: Any) -> NDArray[np.float32]:
    made = Population(Problem(Settings.from_keywords({**PQN, **keywords})), 1)
    made.reset([1])
    made.train_window(LARGE[None])
    weights: NDArray[np.float32] = made.get_state().arrays["0/0/weight"]
    return weights


def test_pqn_in_bfloat16_moves_float32_weights_nearly_as_in_float32() -> None:
    start, exact = weights_after_a_window(learning_rate=1e-30), weights_after_a_window()
    rounded = weights_after_a_window(precision="bfloat16")
    assert rounded.dtype == np.float32
    moved, apart = np.abs(exact - start).mean(), np.abs(exact - rounded).mean()
    assert 0 < apart < 0.5 * moved
    assert (rounded != torch.from_numpy(rounded).bfloat16().float().numpy()).any()


@pytest.mark.parametrize("shares", [False, True])
def test_pqn_computes_with_the_newest_weights_rounded(shares: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, finish = [], pqn_torch.TorchLearners.finish

    def look(learners: pqn_torch.TorchLearners) -> Statistics:
        for learner in learners.learners:
            views, tensors = learner.subnets.views("weight"), learner.own.tensors
            ended.append({name: torch.equal(tensors[name], view.to(tensors[name])) for name, view in views.items()})
            assert tensors["conv_0.weight"].dtype == torch.bfloat16
        return finish(learners)

    monkeypatch.setattr(pqn_torch.TorchLearners, "finish", look)
    made = Population(Problem(Settings.from_keywords({**PQN, "precision": "bfloat16", "share_weights": shares})), 2)
    made.reset([1, 2])
    made.train_window(np.stack([LARGE, np.zeros_like(LARGE)]))
    assert len(ended) == 2
    assert all(all(own.values()) for own in ended), ended


def test_bfloat16_is_refused_where_torch_trains_on_vectors_and_unknown_types_for_all() -> None:
    with pytest.raises(ValueError, match=r"precision: expected 'float32' where torch trains .* got 'bfloat16'"):
        Population(Problem(Settings.from_keywords({"precision": "bfloat16", "learner": "torch"})), 1)
    with pytest.raises(
        ValueError, match=r"unknown precision 'bfloat': expected one of bfloat16, float32. Did you mean 'bfloat16'"
    ):
        Config(precision="bfloat")


def test_clipped_rewards_are_learned_from_and_whole_ones_counted() -> None:
    assert PRESETS["atari"].clip_rewards
    with pytest.raises(ValueError, match="clip_rewards: expected True or False, got 1"):
        Config(clip_rewards=1)  # type: ignore[arg-type]
    keywords = {
        "task": "LunarLander-v3",
        "window_steps": 200,
        "windows": 2,
        "learning_starts": 16,
        "clip_rewards": True,
    }
    made = Population(Problem(Settings.from_keywords(keywords)), 1)
    made.reset([1])
    (result,) = made.train_window(made.problem.space.default_architecture[None])
    assert made.replay is not None
    assert float(made.replay.steps[..., REWARD].abs().max()) == 1.0
    assert abs(result.raw_return) > 20  # a crash costs 100
