"""The ENAS controller: its state, when and from what it learns, and the settings of the papers."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from archgym.agents.enas import PRESETS, Agent, Args
from archgym.search_space import SearchSpace
from archgym.search_spaces.mlp import SPACE
from archgym.search_spaces.mlp_wide import SPACE as WIDE


def agent_on(space: SearchSpace = SPACE, **arguments: Any) -> Agent:
    given = {"windows": 24, "num_envs": 4, **arguments}
    return Agent(SimpleNamespace(unwrapped=SimpleNamespace(search_space=space)), Args(**given))


def weights(agent: Agent) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten().clone() for parameter in agent.controller.parameters()])


def window(agent: Agent, rewards: Any) -> np.ndarray:
    actions = agent.act(np.zeros((len(rewards), 1), np.float32))
    agent.learn(np.array(rewards, dtype=np.float64), {})
    return actions


def updates(agent: Agent, windows: int, members: int = 4) -> list[int]:
    """Live; gives the windows after which the controller had moved, counted from 1."""
    rng, found = np.random.default_rng(0), []
    for number in range(1, windows + 1):
        before = weights(agent)
        window(agent, rng.normal(size=members))
        found += [] if torch.equal(before, weights(agent)) else [number]
    return found


# Its state


def test_the_controllers_recurrent_state_is_carried_across_the_decisions_of_an_architecture() -> None:
    """Published defect: it began every decision from zeros, and saw the choice before alone."""
    agent = agent_on(WIDE)
    states: list[tuple[torch.Tensor, torch.Tensor]] = []
    agent.controller.lstm.register_forward_hook(lambda _, inputs, output: states.append((inputs[1], output)))  # type: ignore[arg-type]
    agent.act(np.zeros((3, 1), np.float32))
    assert len(states) == len(WIDE.choices)
    for (given, _), (_, left) in zip(states[1:], states[:-1], strict=True):
        assert torch.equal(given[0], left[0])
        assert torch.equal(given[1], left[1])
    assert not states[0][0][0].any()

    agent = agent_on()

    def last_of(first: int) -> np.ndarray:
        """Give the distribution of the last choice, after one first choice and an equal second one."""
        given = np.array([[first, 1, option] for option in range(3)])
        with torch.no_grad():
            joint = agent.controller(3, given=given)[1].exp().numpy()
        return np.asarray(joint / joint.sum())

    assert np.abs(last_of(0) - last_of(2)).max() > 1e-4


# When it learns


def test_the_controller_is_updated_once_every_ten_windows_of_all_members_together() -> None:
    assert updates(agent_on(controller="mazyavkina", num_envs=1, windows=60), 35, members=1) == [10, 20, 30]
    assert updates(agent_on(controller="mazyavkina"), 10) == [3, 6, 9]  # four at a time: after twelve
    assert updates(agent_on(update_every=3, warmup=0.0, num_envs=1), 8, members=1) == [3, 6]
    assert updates(agent_on(controller="enas", num_envs=1, windows=60), 25, members=1) == [10, 20]
    assert updates(agent_on(controller="enas", num_envs=1, update_every=10), 10, members=1) == [10]


def test_the_default_learns_nothing_in_the_first_fifth_of_the_windows() -> None:
    assert updates(agent_on(update_every=1, windows=10), 5) == [3, 4, 5]


def test_an_update_takes_the_gradient_of_all_windows_since_the_last_one() -> None:
    settings = {"controller": "mazyavkina", "windows": 1_000_000}  # the cosine has hardly begun to fall
    agent, twin = agent_on(**settings), agent_on(**settings)
    architectures = np.concatenate([twin.act(np.zeros((4, 1), np.float32)) for _ in range(3)])
    rewards = np.random.default_rng(1).normal(size=(3, 4))
    for own in rewards:
        window(agent, own)
    _, log_probability, entropy = twin.controller(12, given=architectures)
    loss = -(torch.from_numpy(rewards.ravel()).float() * log_probability).mean() - 1e-4 * entropy.mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(twin.controller.parameters(), 0.5)
    torch.optim.Adam(twin.controller.parameters(), lr=1e-3, eps=1e-5).step()
    assert torch.allclose(weights(agent), weights(twin), atol=1e-6)
    assert not torch.allclose(weights(agent), weights(agent_on(**settings)), atol=1e-5)


@pytest.mark.parametrize(("controller", "settles"), [("default", True), ("enas", False), ("mazyavkina", False)])
def test_the_papers_settings_leave_it_near_uniform_in_a_search_of_this_size(controller: str, settles: bool) -> None:
    largest, everything = [], np.stack(list(SPACE.enumerate()))
    for seed in range(5):
        agent, rng = agent_on(controller=controller, num_envs=16, seed=seed), np.random.default_rng(seed)
        values = rng.normal(size=3)[None] * np.arange(3)[:, None]  # of each option of each choice
        for _ in range(24):
            actions = agent.act(np.zeros((16, 1), np.float32))
            own = values[actions, np.arange(3)].sum(1)
            agent.learn(0.1 * own + rng.normal(0, 0.2, 16), {})
        with torch.no_grad():
            largest.append(float(agent.controller(27, given=everything)[1].exp().max()))
    assert np.mean(largest) > 4 / 27 if settles else np.mean(largest) < 2 / 27


# From what it learns


def test_the_baseline_of_mazyavkina_keeps_a_fifth_of_its_old_value_and_begins_at_nothing() -> None:
    agent = agent_on(controller="mazyavkina", num_envs=1)
    agent.rewards = [np.array([1.0]), np.array([3.0])]
    assert agent.advantage(2).tolist() == [1.0, 3.0]  # less 0
    assert agent.baseline == pytest.approx(0.8 * 2.0)
    assert agent.advantage(1) == pytest.approx([3.0 - 1.6])
    assert agent.baseline == pytest.approx(0.2 * 1.6 + 0.8 * 3.0)


def test_the_baseline_of_enas_begins_at_nothing_and_an_update_moves_it_as_ten_samples_do() -> None:
    agent = agent_on(controller="enas", num_envs=5)
    agent.rewards = [np.full(5, 2.0), np.full(5, 2.0)]
    assert agent.advantage(2).tolist() == [2.0] * 10  # less 0
    expected = 0.0
    for _ in range(10):
        expected = 0.99 * expected + 0.01 * 2.0
    assert agent.baseline == pytest.approx(expected)


def test_without_a_first_one_the_baseline_begins_with_the_first_rewards() -> None:
    agent = agent_on(num_envs=2, baseline_momentum=0.5)
    agent.rewards = [np.array([1.0, 3.0])]
    assert agent.advantage(1).tolist() == [-1.0, 1.0]
    agent.rewards.append(np.array([2.0, 5.0]))
    assert agent.advantage(1) == pytest.approx([0.0, 3.0])
    assert agent.baseline == pytest.approx(0.5 * 2 + 0.5 * 3.5)


def test_the_entropy_of_enas_is_a_part_of_the_reward_and_has_no_gradient() -> None:
    settings = {"controller": "enas", "windows": 30, "num_envs": 5}
    agent, twin = agent_on(**settings), agent_on(**settings)
    with torch.no_grad():
        for one in (agent, twin):
            one.controller.heads[0].bias[0] += 8.0  # far from uniform: the entropies differ
    architectures = np.concatenate([twin.act(np.zeros((5, 1), np.float32)) for _ in range(2)])
    rewards = np.random.default_rng(1).normal(size=(2, 5))
    for own in rewards:
        window(agent, own)
    _, log_probability, entropy = twin.controller(10, given=architectures)
    earned = torch.from_numpy(rewards.ravel()).float() + 1e-3 * entropy.detach()  # less a baseline of 0
    (-(earned * log_probability).mean()).backward()
    torch.optim.Adam(twin.controller.parameters(), lr=1e-3, betas=(0.0, 0.999), eps=1e-3).step()
    assert torch.allclose(weights(agent), weights(twin), atol=1e-7)
    assert agent.baseline == pytest.approx((1 - 0.99**10) * float(earned.mean()))


def test_a_tide_that_lifts_all_rewards_is_no_merit_to_the_default() -> None:
    agent = agent_on(num_envs=8)
    own = np.random.default_rng(2).normal(size=(6, 8))
    agent.rewards = list(own)
    still = agent.advantage(2)
    agent.rewards = list(own + np.arange(6)[:, None])
    assert agent.advantage(2) == pytest.approx(still)


def test_the_step_size_of_mazyavkina_falls_by_a_cosine_from_a_whole_first_to_a_last_step_that_counts() -> None:
    agent, found = agent_on(controller="mazyavkina", num_envs=1, windows=40), []
    for number in range(1, 41):
        before = weights(agent)
        window(agent, [float(number)])
        if number % 10 == 0:
            found.append(agent.optimizer.param_groups[0]["lr"])
            assert not torch.equal(weights(agent), before)
    assert found == pytest.approx([0.5e-3 * (1 + np.cos(np.pi * share)) for share in (0, 0.25, 0.5, 0.75)])


def test_the_papers_settings_are_those_that_are_known() -> None:
    enas, other = agent_on(controller="enas"), agent_on(controller="mazyavkina")
    assert (enas.controller.temperature, enas.controller.tanh_constant) == (5.0, 2.5)
    assert (other.controller.temperature, other.controller.tanh_constant) == (1.0, None)
    assert (enas.controller.lstm.hidden_size, other.controller.lstm.hidden_size) == (100, 64)
    for agent, betas, epsilon in ((enas, (0.0, 0.999), 1e-3), (other, (0.9, 0.999), 1e-5)):
        group = agent.optimizer.param_groups[0]
        assert (group["lr"], group["betas"], group["eps"]) == (1e-3, betas, epsilon)
    assert (enas.args.update_every, enas.args.max_grad_norm, enas.args.entropy_coefficient) == (10, None, 1e-3)
    assert (other.args.update_every, other.args.max_grad_norm, other.args.entropy_coefficient) == (10, 0.5, 1e-4)


def test_a_search_that_ends_before_the_first_update_is_refused_or_said_where_nobody_asked_for_it() -> None:
    with pytest.raises(ValueError, match=r"update_every: expected at most 8 .*, got 9; nothing would be learned"):
        agent_on(windows=2, update_every=9)
    assert updates(agent_on(windows=2, update_every=8, warmup=0.0), 2) == [2]
    with pytest.raises(ValueError, match=r"warmup: expected less than 0.6 .* after 3 of 5 windows\), got 0.7; nothing"):
        agent_on(windows=5, num_envs=1, update_every=3, warmup=0.7)
    for controller in ("default", "enas", "mazyavkina"):
        with pytest.warns(UserWarning, match="update_every: expected at most 8 .*, got 10; nothing would be learned"):
            agent_on(windows=2, controller=controller)


def test_it_recommends_what_the_controller_finds_most_probable() -> None:
    agent = agent_on()
    with torch.no_grad():
        for head, option in zip(agent.controller.heads, (2, 0, 1), strict=True):
            head.bias[option] += 5.0
    assert agent.recommend(1)[0].tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"controller": "mazy"}, "unknown controller 'mazy': .* Did you mean 'mazyavkina'"),
        *(
            ({"controller": preset, name: 0.77}, f"{name}: expected no value beside controller '{preset}', got 0.77")
            for preset, own in PRESETS.items()
            for name in own
        ),
        ({"first_baseline": 0.0}, "first_baseline: expected no value beside baseline_momentum None, got 0.0"),
        (
            {"first_baseline": float("nan"), "baseline_momentum": 0.5},
            "first_baseline: expected a finite number, got nan",
        ),
        ({"learning_rate": float("inf")}, "learning_rate: expected a finite number, got inf"),
        ({"entropy_coefficient": float("inf")}, "entropy_coefficient: expected a finite number, got inf"),
        ({"adam_beta1": 1.0}, "adam_beta1: expected a number from 0 to less than 1, got 1.0"),
        ({"update_every": 0}, "update_every: expected a positive number, got 0"),
        ({"hidden_size": 0}, "hidden_size: expected a positive number, got 0"),
        ({"baseline_momentum": 1.5}, "baseline_momentum: expected a number from 0 to 1, got 1.5"),
        ({"max_grad_norm": -1.0}, "max_grad_norm: expected a positive number, got -1.0"),
        ({"tanh_constant": 0.0}, "tanh_constant: expected a positive number, got 0.0"),
        ({"entropy_coefficient": -0.1}, "entropy_coefficient: expected a number of at least 0, got -0.1"),
        ({"warmup": 2.0}, "warmup: expected a share of the windows from 0 to less than 1, got 2.0"),
        ({"warmup": 1.0}, "warmup: expected a share of the windows from 0 to less than 1, got 1.0"),
        ({"warmup": -0.1}, "warmup: expected a share of the windows from 0 to less than 1, got -0.1"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        agent_on(**arguments)
