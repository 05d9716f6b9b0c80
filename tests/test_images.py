"""Populations on tasks whose observations are images: the same contract as with vectors, and bytes in the replay."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from archgym.export import module
from archgym.greedy import play
from archgym.population import Population
from archgym.problem import Problem
from archgym.settings import Settings
from archgym.supernet import check_out

SMALL = {
    "task": "Orchard-v0", "space": "mini-kernels", "windows": 4, "window_steps": 80, "learning_starts": 24,
    "batch_size": 8, "train_frequency": 4, "target_network_frequency": 40,
}  # fmt: skip
A, B = [0, 0, 2], [2, 1, 0]  # width, kernel_1, kernel_2


def lived(members: int = 1, first: int = 0, windows: int = 3, **keywords: Any) -> Population:
    """Train A and B in turns, member k first the one and then the other."""
    problem = Problem(Settings.from_keywords({**SMALL, **keywords}))
    made = Population(problem, members)
    made.reset(range(first, first + members))
    for window in range(windows):
        made.train_window(np.array([[A, B][(window + first + member) % 2] for member in range(members)]))
    return made


@pytest.mark.parametrize("transfer", ["shared", "own", "fresh"])
def test_an_exact_member_lives_as_if_it_were_alone(transfer: str) -> None:
    together = lived(3, exact=True, transfer=transfer).get_state()
    for member in range(3):
        alone = lived(1, member, exact=True, transfer=transfer).get_state()
        assert alone.meta["lifetimes"][0]["windows"] == 3
        for name, array in alone.arrays.items():
            _, rest = name.split("/", 1)
            np.testing.assert_array_equal(array, together.arrays[f"{member}/{rest}"], strict=True)


def test_stacked_members_live_nearly_as_if_they_were_alone() -> None:
    stacked, exact = lived(4, exact=False), lived(4, exact=True)
    for name, array in stacked.get_state().arrays.items():
        np.testing.assert_allclose(array, exact.get_state().arrays[name], rtol=1e-3, atol=1e-4)


def test_the_replay_and_its_saved_state_hold_bytes() -> None:
    made = lived(2)
    assert made.replay.observations.dtype == torch.uint8
    state = made.get_state()
    images = [array for name, array in state.arrays.items() if name.endswith("/observations")]
    assert len(images) == 2
    assert all(array.dtype == np.uint8 for array in images)
    assert all(set(np.unique(array)) == {0, 255} for array in images)


def test_a_life_goes_on_from_its_state_to_the_last_bit() -> None:
    one, other = lived(2), lived(2, first=5)
    other.set_state(one.get_state())
    actions = np.array([A, B])
    assert one.train_window(actions) == other.train_window(actions)
    for (name, left), right in zip(one.get_state().arrays.items(), other.get_state().arrays.values(), strict=True):
        np.testing.assert_array_equal(left, right, err_msg=name)


def test_training_moves_the_chosen_network_alone() -> None:
    made = lived(windows=0)
    made.train_window(np.array([A]))
    before = made.get_state().arrays["0/0/weight"].copy()
    made.train_window(np.array([B]))
    supernet = next(iter(made.lifetimes[0].stores.values())).supernet
    moved = np.flatnonzero(before != supernet.fields["weight"].numpy())
    inside = supernet.layout.positions(made.problem.space.network_of(np.array(B))).numpy()
    assert len(moved) > 0.3 * len(inside)
    assert set(moved.tolist()) <= set(inside.tolist())


def test_an_exported_network_gives_the_actions_that_are_played() -> None:
    made = lived()
    network = module(made.problem, np.array(B), made.weights(0, np.array(B)))
    env: Any = gym.make("archgym:Orchard-v0")
    seeds = [7, 8, 9]
    returns = []
    for seed in seeds:
        observation, _ = env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            action = network(torch.from_numpy(observation)[None]).argmax()
            observation, reward, _, over, _ = env.step(action.item())
            total += reward
        returns.append(total)
    store = next(iter(made.lifetimes[0].stores.values()))
    subnets = check_out([store.supernet], made.problem.space.network_of(np.array(B)), [False])
    played, _ = play(made.problem.task, [([0], subnets)], [seeds], torch.device("cpu"))
    assert played[0] == np.mean(returns)


def test_pqn_trains_on_images_too() -> None:
    problem = Problem(Settings(task="Orchard-v0", space="mini-kernels", trainer="pqn", windows=2, window_steps=80))
    made = Population(problem, 2)
    made.reset([1, 2])
    results = made.train_window(np.array([A, B]))
    assert all(result.gradient_steps > 0 and not result.diverged for result in results)


@pytest.mark.filterwarnings("ignore:window_steps=.* is shorter")
def test_the_environment_of_images_takes_the_same_steps_alone_and_in_a_batch() -> None:
    keywords: dict[str, Any] = {**SMALL, "exact": True}
    single: Any = gym.make("archgym:ArchSearch-DQN-v0", **keywords)
    batch: Any = gym.make_vec("archgym:ArchSearch-DQN-v0", num_envs=2, **keywords)
    single.reset(seed=2)
    batch.reset(seed=[1, 2])
    for _ in range(2):
        _, reward, _, _, info = single.step(np.array(B))
        _, rewards, _, _, infos = batch.step(np.array([A, B]))
        assert (rewards[1], infos["raw_return"][1]) == (reward, info["raw_return"])
        assert (infos["parameters"][1], infos["flops"][1]) == (info["parameters"], info["flops"])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("trainer", ["dqn", "pqn"])
def test_the_networks_of_the_paper_train_on_atari(trainer: str, precision: str) -> None:
    pytest.importorskip("envpool", reason="EnvPool, which alone has Atari, has no build for this platform")
    keywords: dict[str, Any] = {"task": "Breakout-v5", "space": "nature-kernels", "preset": "atari"}
    keywords |= {"envs_per_member": 2, "window_steps": 24, "windows": 2, "trainer": trainer, "precision": precision}
    if trainer == "dqn":
        keywords |= {"learning_starts": 8, "batch_size": 4, "buffer_size": 24}
    else:
        keywords["layer_norm"] = True
    problem = Problem(Settings.from_keywords(keywords))
    assert problem.task.episode_limit == 2_100
    made = Population(problem, 1)
    made.reset([1])
    store = made.transfer.begin(made.lifetimes[0], problem.space.label(problem.space.parse("nature-cnn")))
    (result,) = made.train_window(problem.space.parse("nature-cnn")[None])
    assert result.gradient_steps == 4
    assert result.parameters == 4_045_476 + (trainer == "pqn") * 2 * (32 + 64 + 64 + 512)  # gains and biases of norms
    assert not result.diverged
    assert np.isfinite(result.loss)
    trained = next(iter(made.lifetimes[0].stores.values())).supernet
    moved = (trained.fields["weight"] != store.supernet.fields["weight"]).float().mean()
    assert 0.1 < float(moved) < 0.98, "all of the network but dead units, and none of the kernels beyond it"
    assert (made.replay is None) == (trainer == "pqn")
    if made.replay is not None:
        assert made.replay.observations.dtype == torch.uint8
