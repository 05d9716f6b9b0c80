"""PPO on the sequential view: its formulas by hand, what it reads, what it learns from, and what it refuses."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import archgym  # noqa: F401  (registers the ids)
from archgym import drafts
from archgym.agents import ppo
from archgym.agents.ppo import Agent, Args, advantages
from archgym.running import search

ENV_ID = "ArchSearch-Synthetic-Sequential-v0"
pytestmark = pytest.mark.filterwarnings("ignore:window_steps=1000 is shorter")


def make(members: int = 4, env_id: str = ENV_ID, **arguments: Any) -> tuple[Any, Agent]:
    given = {"space": "grid:3x3", "windows": 8, "window_steps": 1000, "num_envs": members, **arguments}
    args = Args(env_id=env_id, **given)
    envs = gym.make_vec(env_id, num_envs=members, journal="", **args.environment())
    return envs, Agent(envs, args)


def live(members: int = 4, **arguments: Any) -> tuple[Any, Agent, list[list[list[int]]]]:
    envs, agent = make(members, **arguments)
    for _ in search.windows(envs, agent, agent.args.seed):
        pass
    histories = envs.unwrapped.histories
    return envs, agent, [[result.action for result in history] for history in histories]


def weights(agent: Agent) -> list[np.ndarray]:
    return [parameter.detach().numpy().copy() for parameter in agent.parameters]


# Advantages


def test_with_lambda_one_an_advantage_is_what_the_window_earned_less_the_value() -> None:
    rewards, values = np.array([[0.0], [0.0], [2.0]]), np.array([[0.5], [1.0], [-1.0]])
    found = advantages(rewards, values, np.array([False, False, True]), 1.0, 1.0)
    assert found[:, 0] == pytest.approx([1.5, 1.0, 3.0])


def test_with_lambda_zero_it_is_the_error_of_one_step() -> None:
    rewards, values = np.array([[0.0], [0.0], [2.0]]), np.array([[0.5], [1.0], [-1.0]])
    found = advantages(rewards, values, np.array([False, False, True]), 0.9, 0.0)
    assert found[:, 0] == pytest.approx([0.9 * 1.0 - 0.5, 0.9 * -1.0 - 1.0, 3.0])


def test_between_the_two_errors_are_discounted_by_gamma_and_lambda() -> None:
    rewards, values = np.array([[0.0], [2.0]]), np.array([[0.5], [1.0]])
    found = advantages(rewards, values, np.array([False, True]), 0.9, 0.5)
    assert found[:, 0] == pytest.approx([(0.9 * 1.0 - 0.5) + 0.9 * 0.5 * 1.0, 1.0])


def test_no_credit_crosses_from_one_architecture_to_the_one_before() -> None:
    last = np.array([False, True, False, True])
    values = np.linspace(0, 1, 8).reshape(4, 2)
    rewards = np.zeros((4, 2))
    before = advantages(rewards, values, last, 1.0, 0.95)
    rewards[3] = 100.0
    values[2] = -50.0
    after = advantages(rewards, values, last, 1.0, 0.95)
    assert (after[:2] == before[:2]).all()
    assert (after[2:] != before[2:]).all()


def test_members_are_compared_within_a_window_and_one_alone_with_its_past() -> None:
    rewards = np.array([0.5, -1.0, 0.25, 2.0])
    _, agent = make()
    expected = [(reward - np.delete(rewards, member).mean()) / rewards.std() for member, reward in enumerate(rewards)]
    assert agent.merit(rewards) == pytest.approx(expected)
    assert agent.merit(rewards + 10) == pytest.approx(expected)  # a rising tide is no merit
    assert agent.merit(np.full(4, -1.0)).tolist() == [0.0] * 4  # all diverged
    for better in (0.001, 50.0):  # of two the spread is half the difference
        assert make(2)[1].merit(np.array([better, 0.0])) == pytest.approx([2.0, -2.0], rel=1e-4)
    _, alone = make(1, baseline_decay=0.5)
    found = [float(alone.merit(np.array([reward]))[0]) for reward in (1.0, 2.0, 4.0)]
    assert found == [0.0, 2.0 - 1.0, 4.0 - 1.5]


# The update


def rollout(agent: Agent, merits: Any, actions: Any = (0, 1, 2, 0)) -> None:
    """Put one architecture's decisions of 4 members into the rollout, all of them of the first choice, and update."""
    inputs = np.tile(drafts.encode(agent.space, np.zeros((1, 0), dtype=np.int64)), (4, 1))
    masks = np.ones((4, 3), dtype=bool)
    with torch.no_grad():
        logs = agent.log_probabilities(torch.from_numpy(inputs), torch.from_numpy(masks)).double().numpy()
    picked = logs[np.arange(4), actions]
    decision = (inputs, masks, np.array(actions), picked, np.zeros(4), np.array(merits, dtype=np.float64))
    agent.rollout = [(*decision, np.array(True))]
    agent.update()


def first_choice(agent: Agent) -> np.ndarray:
    inputs = torch.from_numpy(drafts.encode(agent.space, np.zeros((1, 0), dtype=np.int64)))
    with torch.no_grad():
        return agent.log_probabilities(inputs, torch.ones((1, 3), dtype=torch.bool)).exp()[0].numpy()


def test_what_earned_more_becomes_more_probable() -> None:
    for better in range(3):
        _, agent = make(ent_coef=0.0)
        before = first_choice(agent)
        rollout(agent, np.where(np.arange(4) % 3 == better, 1.0, -1.0), [0, 1, 2, better])
        gain = first_choice(agent) / before
        assert gain.argmax() == better
        assert gain[better] > 1


def test_once_a_ratio_has_left_the_clipping_range_it_is_pushed_no_further() -> None:
    moved = []
    for clip_coef in (0.05, 10.0):
        settings = {"ent_coef": 0.0, "vf_coef": 0.0, "learning_rate": 1e-4, "update_epochs": 150, "anneal_lr": False}
        _, agent = make(clip_coef=clip_coef, **settings)
        before = first_choice(agent)
        rollout(agent, [1.0, -1.0, -1.0, 1.0])
        moved.append(first_choice(agent)[0] / before[0])
    assert 1.05 < moved[0] < 1.3 < 2 < moved[1]


def test_the_losses_of_a_first_step_are_those_of_the_formulas() -> None:
    _, agent = make(update_epochs=1, norm_adv=False, clip_vloss=False)
    inputs = torch.from_numpy(drafts.encode(agent.space, np.zeros((1, 0), dtype=np.int64)))
    with torch.no_grad():
        value = float(agent.critic(inputs))
    probabilities = first_choice(agent)
    merits = np.array([1.0, -0.5, 0.25, 2.0])
    rollout(agent, merits)
    assert agent.scalars["losses/policy_loss"] == pytest.approx(-merits.mean(), rel=1e-5)  # all ratios are 1
    assert agent.scalars["losses/value_loss"] == pytest.approx(0.5 * ((value - merits) ** 2).mean(), rel=1e-4)
    assert agent.scalars["losses/entropy"] == pytest.approx(-(probabilities * np.log(probabilities)).sum(), rel=1e-5)
    assert agent.scalars["losses/approx_kl"] == pytest.approx(0.0, abs=1e-6)


def test_a_value_that_would_move_too_far_is_charged_as_if_it_had_not() -> None:
    _, agent = make(update_epochs=1, norm_adv=False, clip_vloss=True)
    with torch.no_grad():
        agent.critic[-1].weight.zero_()
        agent.critic[-1].bias.fill_(1.0)  # the rollout's values are 0: 0.2 is as far as it may go
    rollout(agent, np.ones(4))
    assert agent.scalars["losses/value_loss"] == pytest.approx(0.5 * (0.2 - 1.0) ** 2, rel=1e-5)


def test_the_entropy_bonus_pulls_towards_uniform() -> None:
    largest = []
    for ent_coef in (0.0, 1.0):
        _, agent = make(ent_coef=ent_coef, norm_adv=False, gae_lambda=0.0, update_epochs=20, clip_coef=10.0)
        with torch.no_grad():
            agent.actor[-1].bias[1] += 2.0
            agent.critic[-1].weight.zero_()  # values of 0: nothing is better than expected
        rollout(agent, np.zeros(4))
        largest.append(first_choice(agent).max())
    assert largest[1] < largest[0] - 0.05


def test_passes_end_once_the_policy_has_moved_as_far_as_target_kl() -> None:
    moved = []
    for target_kl in (None, 1e-9):
        _, agent = make(target_kl=target_kl, update_epochs=30)
        before = first_choice(agent)
        rollout(agent, [1.0, -1.0, -1.0, 1.0])
        moved.append(np.abs(first_choice(agent) - before).max())
    assert 0 < moved[1] < 0.5 * moved[0]


def test_the_learning_rate_falls_to_the_last_rollouts_share() -> None:
    for anneal_lr, last in ((True, 5e-3 / 8), (False, 5e-3)):
        _, agent, _ = live(anneal_lr=anneal_lr)
        assert agent.updates == 8
        assert agent.optimizer.param_groups[0]["lr"] == pytest.approx(last)


# Rollouts


@pytest.mark.parametrize(("members", "steps"), [(1, 12), (2, 6), (3, 6), (4, 3), (7, 3)])
def test_a_rollout_is_the_fewest_windows_that_make_four_architectures(members: int, steps: int) -> None:
    assert make(members)[1].num_steps == steps


def test_nothing_is_learned_before_a_rollout_is_full_and_something_is_then() -> None:
    envs, agent = make(num_steps=6)
    observations, _ = envs.reset(seed=1)
    changes = []
    for _ in range(7):
        before = weights(agent)
        observations, rewards, _, _, infos = envs.step(agent.act(observations))
        told = agent.learn(rewards, infos)
        changes.append(any((a != b).any() for a, b in zip(before, weights(agent), strict=True)))
    assert changes == [False] * 5 + [True, False]
    assert set(told) == {f"losses/{name}" for name in ("policy_loss", "value_loss", "entropy", "approx_kl")}


def test_a_search_shorter_than_the_default_rollout_says_so_and_ends_without_learning() -> None:
    with pytest.warns(UserWarning, match="num_steps: expected at most 6 .*, got 12; nothing would be learned"):
        _, agent, actions = live(1, windows=2)
    assert agent.updates == 0
    assert len(actions[0]) == 2


def test_all_members_diverged_or_alike_leave_finite_weights() -> None:
    envs, agent = make()
    observations, _ = envs.reset(seed=1)
    for _ in range(24):
        observations, rewards, _, _, infos = envs.step(agent.act(observations))
        agent.learn(-np.ones_like(rewards) if "env_steps" in infos else rewards, infos)
    assert all(np.isfinite(part).all() for part in weights(agent))


def test_a_rollout_of_the_whole_search_is_learned_from_in_as_many_minibatches_as_can_be_normalised() -> None:
    _, agent, _ = live(4, windows=2, num_steps=6, num_minibatches=12)
    assert agent.updates == 1


@pytest.mark.parametrize("arguments", [{}, {"inputs": "all"}, {"num_minibatches": 3}])
def test_a_search_repeats_under_its_seed(arguments: dict[str, Any]) -> None:
    _, first, actions = live(seed=3, **arguments)
    _, again, repeated = live(seed=3, **arguments)
    assert actions == repeated
    assert [a.tolist() for a in first.recommend(3)] == [a.tolist() for a in again.recommend(3)]
    assert live(seed=4, **arguments)[2] != actions


def test_making_it_leaves_torchs_own_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    make()
    assert torch.equal(torch.rand(1), expected)


def test_what_is_not_legal_has_no_probability_no_entropy_and_is_never_done() -> None:
    envs, agent = make(64, space="mlp-wide", max_params=3_000)
    observations, _ = envs.reset(seed=1)
    for _ in agent.space.choices:
        masks = envs.unwrapped.action_masks()
        actions = agent.act(observations)
        assert masks[np.arange(64), actions].all()
        logs = agent.log_probabilities(torch.from_numpy(agent.decision[0]), torch.from_numpy(masks))
        probabilities = logs.exp().detach().numpy()
        assert ((probabilities > 0) == masks).all()
        assert probabilities.sum(-1) == pytest.approx(1, abs=1e-5)
        assert agent.decision[3] == pytest.approx(np.log(probabilities[np.arange(64), actions]), abs=1e-5)
        observations, rewards, _, _, infos = envs.step(actions)
        agent.learn(rewards, infos)
    assert not masks.all()
    assert np.isfinite(agent.scalars["losses/entropy"])
    assert all(np.isfinite(part).all() for part in weights(agent))


# What it reads, and what it recommends


@pytest.mark.parametrize("space", ["mlp-wide", "mlp"])
def test_drafts_are_what_observations_end_with(space: str) -> None:
    envs, agent = make(2, space=space, max_params=3_000)
    observations, _ = envs.reset(seed=1)
    rng = np.random.default_rng(0)
    prefixes = np.zeros((2, 0), dtype=np.int64)
    for _ in range(2 * len(agent.space.choices)):
        assert (drafts.encode(agent.space, prefixes) == observations[:, -agent.draft :]).all()
        masks = envs.unwrapped.action_masks()
        actions = np.where(masks, rng.random(masks.shape), -1.0).argmax(-1)
        observations = envs.step(actions)[0]
        prefixes = np.hstack([prefixes, actions[:, None]])
        if prefixes.shape[1] == len(agent.space.choices):
            prefixes = np.zeros((2, 0), dtype=np.int64)


def test_by_default_it_reads_the_architecture_under_construction_alone() -> None:
    for inputs, differ in (("draft", False), ("all", True)):
        envs, agent = make(inputs=inputs)
        observations, _ = envs.reset(seed=1)
        agent.act(observations)
        before = agent.decision[3:]
        _, same = make(inputs=inputs)
        changed = observations.copy()
        changed[:, : -agent.draft] += 0.5
        same.act(changed)
        assert (before[1] != same.decision[4]).any() == differ


@pytest.mark.parametrize("inputs", ppo.INPUTS)
def test_it_recommends_the_most_probable_architectures(inputs: str) -> None:
    _, agent, _ = live(inputs=inputs)
    space, scores = agent.space, {}
    for architecture in space.enumerate():
        total = 0.0
        for choice, option in enumerate(architecture):
            rows = drafts.encode(space, architecture[None, :choice])
            lives = agent.lives if inputs == "all" else np.zeros((1, 0), dtype=np.float32)
            both = torch.from_numpy(np.hstack([lives, np.tile(rows, (len(lives), 1))]))
            with torch.no_grad():
                logs = agent.log_probabilities(both, torch.ones((len(lives), 3), dtype=torch.bool))
            total += float(logs[:, option].mean())
        scores[tuple(architecture.tolist())] = total
    best = sorted(scores, key=lambda key: -scores[key])[:3]
    assert [tuple(found.tolist()) for found in agent.recommend(3)] == best
    assert len(agent.recommend(100)) == 27  # no more than there are


def test_a_space_of_one_choice_is_searched() -> None:
    _, agent, actions = live(space="grid:1x3")
    assert all(0 <= action[0] < 3 for history in actions for action in history)
    assert len(agent.recommend(5)) == 3


# Refusals


@pytest.mark.parametrize(
    ("members", "arguments", "sentence"),
    [
        (4, {"num_steps": 4}, "num_steps: expected a multiple of the 3 choices"),
        (4, {"num_steps": 0}, "num_steps: expected a multiple of the 3 choices"),
        (1, {"num_steps": 3}, "num_steps: expected at least 6 for one member alone"),
        (4, {"num_minibatches": 7}, "num_minibatches: expected 1 to 6 .*two in each to be normalised.*, got 7"),
        (4, {"num_minibatches": 0}, "num_minibatches: expected 1 to 6"),
        (4, {"num_minibatches": 13, "norm_adv": False}, "num_minibatches: expected 1 to 12 .*decisions.*, got 13"),
        (4, {"num_steps": 27}, "num_steps: expected at most 24 .*, got 27; nothing would be learned"),
        (4, {"baseline_decay": 0.5}, "baseline_decay: expected no value beside num_envs 4, got 0.5"),
        (4, {"ent_coef": -0.1}, "ent_coef: expected a number of at least 0, got -0.1"),
        (4, {"ent_coef": float("nan")}, "ent_coef: expected a number of at least 0, got nan"),
        (4, {"vf_coef": float("nan")}, "vf_coef: expected a number of at least 0, got nan"),
        (4, {"vf_coef": float("inf")}, "vf_coef: expected a finite number, got inf"),
        (4, {"target_kl": 0.0}, "target_kl: expected a positive number, got 0.0"),
        (4, {"target_kl": float("inf")}, "target_kl: expected a finite number, got inf"),
        (4, {"inputs": "drafts"}, "unknown inputs 'drafts'.*Did you mean 'draft'"),
        (4, {"learning_rate": 0.0}, "learning_rate: expected a positive number, got 0.0"),
        (4, {"update_epochs": 0}, "update_epochs: expected a positive number, got 0"),
        (4, {"gamma": 1.5}, "gamma: expected a number from 0 to 1, got 1.5"),
    ],
)
def test_wrong_settings_are_refused(members: int, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make(members, **arguments)
