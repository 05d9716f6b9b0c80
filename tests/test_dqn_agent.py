"""DQN on the sequential view: its targets by hand, the trend it takes out, what it recommends and what it refuses."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import archgym  # noqa: F401  (registers the ids)
from archgym import drafts
from archgym.agents.dqn import Agent, Args, best, linear_schedule
from archgym.running import search
from archgym.stats import detrend

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


def weights(network: torch.nn.Module) -> list[np.ndarray]:
    return [parameter.detach().numpy().copy() for parameter in network.parameters()]


def constant(network: torch.nn.Module, values: Any) -> None:
    """Make a network answer with these values whatever it reads."""
    with torch.no_grad():
        network[-1].weight.zero_()
        network[-1].bias.copy_(torch.tensor(values))


def q_of(agent: Agent, architecture: Any, choice: int) -> float:
    rows = torch.from_numpy(drafts.encode(agent.space, np.array([architecture])[:, :choice]))
    with torch.no_grad():
        return float(agent.q_network(rows)[0, architecture[choice]])


# Exploration


def test_the_exploration_rate_falls_linearly_and_stays() -> None:
    assert [linear_schedule(1.0, 0.1, 9.0, t) for t in (0, 3, 9, 20)] == pytest.approx([1.0, 0.7, 0.1, 0.1])


def test_it_explores_at_first_and_acts_greedily_in_the_end() -> None:
    chosen = []
    for rate in (1.0, 0.0):
        envs, agent = make(32, start_e=rate, end_e=rate)
        constant(agent.q_network, [0.0, 1.0, 0.5])
        chosen.append(np.bincount(agent.act(envs.reset(seed=1)[0]), minlength=3))
    assert chosen[1].tolist() == [0, 32, 0]
    assert (chosen[0] >= 4).all()


@pytest.mark.parametrize("rate", [1.0, 0.0])
def test_what_it_does_is_legal(rate: float) -> None:
    _, agent, actions = live(space="mlp-wide", max_params=3_000, start_e=rate, end_e=rate)
    for history in actions:
        for action in history:
            assert agent.space.canonical(action).tolist() == action


def test_the_best_is_sought_among_what_is_legal() -> None:
    values, masks = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0]]), np.array([[0, 1, 1], [1, 1, 1]], dtype=bool)
    found, options = best(values, masks)
    assert found.tolist() == [2.0, 3.0]
    assert options.tolist() == [2, 0]


# Targets


def targets(agent: Agent) -> np.ndarray:
    return agent.targets(*agent.sample()).numpy()


def test_a_target_is_the_windows_worth_at_the_last_choice_and_the_best_legal_value_before() -> None:
    _, agent, _ = live(gamma=0.5)
    constant(agent.target_network, [8.0, 2.0, 4.0])
    agent.masks[:, :, 0] = False  # the best of all is not legal
    agent.worth = np.arange(32.0).reshape(8, 4) + 100
    for member in range(4):
        found = agent.targets(np.arange(24), np.full(24, member)).reshape(8, 3)
        assert found[:, :2].tolist() == [[2.0, 2.0]] * 8  # 0.5 x 4, not 0.5 x 8
        assert found[:, 2].tolist() == agent.worth[:, member].tolist()


def test_a_step_moves_the_values_towards_the_targets() -> None:
    _, agent, _ = live()
    constant(agent.q_network, [0.0, 0.0, 0.0])
    constant(agent.target_network, [5.0, 5.0, 5.0])
    agent.worth[:] = 5.0
    agent.train()
    assert agent.scalars == {"losses/td_loss": pytest.approx(25.0), "losses/q_values": 0.0}
    agent.train()
    assert agent.scalars["losses/q_values"] > 0


def test_the_replay_forgets_the_oldest_windows() -> None:
    for buffer_size, kept in ((10_000, range(24)), (24, range(18, 24)), (1, range(21, 24))):
        _, agent, _ = live(buffer_size=buffer_size, batch_size=2_000)
        times, members = agent.sample()
        assert set(times.tolist()) == set(kept)
        assert set(members.tolist()) == set(range(4))


def test_the_target_network_follows_by_tau_at_its_frequency() -> None:
    envs, agent = make(tau=0.25, target_network_frequency=2, learning_starts=0, learning_rate=0.01)
    observations, _ = envs.reset(seed=1)
    moved = []
    for _ in range(6):
        before = weights(agent.target_network)
        observations, rewards, _, _, infos = envs.step(agent.act(observations))
        agent.learn(rewards, infos)
        after, followed = weights(agent.target_network), weights(agent.q_network)
        moved.append(any((a != b).any() for a, b in zip(before, after, strict=True)))
        if moved[-1]:
            for old, new, own in zip(before, after, followed, strict=True):
                assert new == pytest.approx(0.75 * old + 0.25 * own, abs=1e-6)
    assert moved == [False, False, False, True, False, True]  # nothing to learn from before the first window's end


# The trend


def test_at_first_the_trend_of_all_rewards_is_taken_out() -> None:
    _, agent, _ = live()
    constant(agent.q_network, [0.0, 0.0, 0.0])
    assert agent.without_trend() == pytest.approx(detrend(agent.rewards))


def test_what_q_explains_is_no_trend() -> None:
    _, agent, _ = live()
    agent.actions[agent.choices - 1 :: agent.choices] = np.repeat([0, 2], 4)[:, None]  # worse ones, then better ones
    constant(agent.q_network, [0.0, 0.5, 1.0])
    merit = np.repeat([0.0, 1.0], 4)[:, None] * np.ones((1, 4))
    rising = np.linspace(0, 3, 8)[:, None]
    agent.rewards = merit + 7.0
    assert agent.without_trend() == pytest.approx(merit)
    agent.rewards = merit + rising
    inner = slice(1, -1)  # the ends average over fewer windows
    assert agent.without_trend()[inner] == pytest.approx(merit[inner])


def test_rewards_of_members_that_all_diverged_are_worth_what_was_expected() -> None:
    _, agent, _ = live()
    constant(agent.q_network, [0.25, 0.25, 0.25])
    agent.rewards = np.full((8, 4), -1.0)
    assert agent.without_trend() == pytest.approx(0.25)


# The search


def test_nothing_is_learned_before_learning_starts_nor_before_a_window_has_ended() -> None:
    for learning_starts, first in ((None, 3), (0, 3), (5, 5)):
        envs, agent = make(learning_starts=learning_starts)
        observations, _ = envs.reset(seed=1)
        changed = []
        for _ in range(7):
            before = weights(agent.q_network)
            observations, rewards, _, _, infos = envs.step(agent.act(observations))
            agent.learn(rewards, infos)
            changed.append(any((a != b).any() for a, b in zip(before, weights(agent.q_network), strict=True)))
        assert changed == [step >= first for step in range(1, 8)]


def test_it_trains_at_its_frequency_and_tells_of_it_after_every_window() -> None:
    envs, agent = make(train_frequency=2)
    told = [scalars for *_, scalars in search.windows(envs, agent, 1)]
    losses = [{tag for tag in scalars if tag.startswith("losses/")} for scalars in told]
    assert losses == [set(), *[{"losses/td_loss", "losses/q_values"}] * 7]  # the first step is at the fourth decision


@pytest.mark.parametrize("arguments", [{}, {"inputs": "all"}, {"num_envs": 1}, {"windows": 1}])
def test_a_search_repeats_under_its_seed(arguments: dict[str, Any]) -> None:
    members = arguments.pop("num_envs", 4)
    _, first, actions = live(members, seed=3, **arguments)
    _, again, repeated = live(members, seed=3, **arguments)
    assert actions == repeated
    assert [a.tolist() for a in first.recommend(3)] == [a.tolist() for a in again.recommend(3)]
    assert live(members, seed=4, **arguments)[2] != actions


def test_making_it_leaves_torchs_own_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    make()
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("space", ["mlp-wide", "mlp"])
def test_drafts_are_what_observations_end_with(space: str) -> None:
    envs, agent = make(2, space=space, max_params=3_000, start_e=1.0, end_e=1.0)
    observations, _ = envs.reset(seed=1)
    prefixes = np.zeros((2, 0), dtype=np.int64)
    for _ in range(2 * agent.choices):
        assert (drafts.encode(agent.space, prefixes) == observations[:, -agent.draft :]).all()
        actions = agent.act(observations)
        assert (agent.inputs[agent.t] == observations[:, -agent.draft :]).all()
        observations, rewards, _, _, infos = envs.step(actions)
        agent.learn(rewards, infos)
        prefixes = np.hstack([prefixes, actions[:, None]])
        if prefixes.shape[1] == agent.choices:
            prefixes = np.zeros((2, 0), dtype=np.int64)


# Recommendations


def test_it_recommends_the_highest_q_of_all_where_the_beam_holds_all() -> None:
    _, agent, _ = live()
    scores = {tuple(one.tolist()): q_of(agent, one.tolist(), 2) for one in agent.space.enumerate()}
    wanted = sorted(scores, key=lambda key: -scores[key])
    assert [tuple(found.tolist()) for found in agent.recommend(100)] == wanted  # all 27, best first
    narrow = [tuple(found.tolist()) for found in agent.recommend(1)]
    assert narrow == wanted[:1]  # a beam of 16 holds all 9 prefixes of two choices


def test_on_the_whole_observation_it_recommends_what_the_members_hold_for_best_on_average() -> None:
    _, agent, _ = live(inputs="all")
    rows = [drafts.encode(agent.space, one[None, :2]) for one in agent.space.enumerate()]
    last = [int(one[2]) for one in agent.space.enumerate()]
    with torch.no_grad():
        values = [
            float(
                agent.q_network(torch.from_numpy(np.hstack([agent.lives, np.repeat(row, 4, axis=0)])))[:, option].mean()
            )
            for row, option in zip(rows, last, strict=True)
        ]
    assert agent.recommend(1)[0].tolist() == list(agent.space.enumerate())[int(np.argmax(values))].tolist()


def test_equal_values_are_recommended_in_the_order_of_the_space() -> None:
    _, agent = make()
    constant(agent.q_network, [0.0, 0.0, 0.0])
    agent.lives = np.zeros((4, 1), dtype=np.float32)
    assert [one.tolist() for one in agent.recommend(2)] == [[0, 0, 0], [0, 0, 1]]


def test_recommendations_keep_to_the_constraints() -> None:
    _, agent, _ = live(space="mlp-wide", max_params=3_000)
    found = agent.recommend(50)
    assert len({tuple(one.tolist()) for one in found}) == len(found) > 3
    for one in found:
        assert agent.space.canonical(one).tolist() == one.tolist()


def test_a_space_of_one_choice_is_searched() -> None:
    _, agent, actions = live(space="grid:1x3")
    assert all(0 <= action[0] < 3 for history in actions for action in history)
    assert len(agent.recommend(5)) == 3


# Refusals


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("learning_rate", 0.0, "a positive number"),
        ("batch_size", 0, "a positive number"),
        ("buffer_size", 0, "a positive number"),
        ("train_frequency", 0, "a positive number"),
        ("target_network_frequency", -1, "a positive number"),
        ("learning_starts", -1, "a number of at least 0"),
        ("gamma", 1.1, "a number from 0 to 1"),
        ("tau", 0.0, "a number from more than 0 to 1"),
        ("start_e", -0.1, "a number from 0 to 1"),
        ("exploration_fraction", 0.0, "a number from more than 0 to 1"),
        ("learning_rate", float("inf"), "a finite number"),
        ("learning_starts", 25, r"at most 24 \(a member's decisions in this search\)"),
        ("train_frequency", 25, r"at most 24 \(a member's decisions in this search\)"),
    ],
)
def test_wrong_settings_are_refused(name: str, value: float, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: expected {expected}, got {value}"):
        make(**{name: value})


def test_a_search_may_end_with_its_first_gradient_step_but_not_before() -> None:
    assert "losses/td_loss" in live(learning_starts=24)[1].scalars
    assert "losses/td_loss" in live(learning_starts=20, train_frequency=20)[1].scalars
    with pytest.raises(ValueError, match=r"learning_starts: expected at most 20 .*, got 21; nothing would be learned"):
        make(learning_starts=21, train_frequency=20)  # steps at decision 20 alone


def test_the_default_start_of_learning_is_not_refused_where_a_rare_step_never_comes() -> None:
    with pytest.warns(UserWarning, match="learning_starts: expected at most 2 .*, got 3; nothing would be learned"):
        make(windows=1, train_frequency=2)


def test_unknown_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown inputs 'drafts'.*Did you mean 'draft'"):
        make(inputs="drafts")
