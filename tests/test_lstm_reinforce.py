"""The LSTM controller: it learns on a landscape that is known, and is the distribution that it says it is."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ttest_1samp

from archgym import lstm_controller
from archgym.agents.lstm_reinforce import Agent, Args
from archgym.search_space import SearchSpace, max_params
from archgym.search_spaces.mlp import SPACE
from archgym.search_spaces.mlp_wide import SPACE as WIDE

WINDOWS, MEMBERS, SEEDS = 24, 16, 40
LEVEL = 1e-4  # one-sided, of each comparison with uniform sampling
LIMITED = SPACE.constrained(max_params(SPACE, 5000, 4, 2))
WIDE_LIMITED = WIDE.constrained(max_params(WIDE, 3000, 4, 2))


def agent_on(space: SearchSpace, **arguments: Any) -> Agent:
    """Make the agent on something that has a space, which is all that it asks for."""
    given = {"windows": WINDOWS, "num_envs": MEMBERS, **arguments}
    return Agent(SimpleNamespace(unwrapped=SimpleNamespace(search_space=space)), Args(**given))


def observations(members: int) -> np.ndarray:
    return np.zeros((members, 1), dtype=np.float32)


def probabilities(agent: Agent, architectures: Any) -> np.ndarray:
    vectors = np.asarray(architectures, dtype=np.int64)
    with torch.no_grad():
        return np.exp(agent.controller(len(vectors), given=vectors)[1].double().numpy())


def everything(space: SearchSpace) -> np.ndarray:
    return np.stack(list(space.enumerate()))


# It learns


def landscape(kind: str, rng: np.random.Generator) -> dict[tuple[int, ...], float]:
    """Plant a true value for each of the 27, with mean 0 and deviation 1: unrelated ones, or sums over the choices."""
    architectures = [tuple(vector) for vector in everything(SPACE).tolist()]
    effects = [rng.normal(size=count) for count in SPACE.counts]
    values = rng.normal(size=len(architectures))
    if kind == "sums":
        values = np.array([sum(e[o] for e, o in zip(effects, one, strict=True)) for one in architectures])
    return dict(zip(architectures, ((values - values.mean()) / values.std()).tolist(), strict=True))


def search(kind: str, seed: int, **arguments: Any) -> tuple[float, float, float, float]:
    """Search a landscape: true values of the recommendation, of the first and the last fifth, largest probability."""
    rng = np.random.default_rng([7, seed])
    truth, agent = landscape(kind, rng), agent_on(SPACE, seed=seed, **arguments)
    sampled = []
    for window in range(WINDOWS):
        actions = agent.act(observations(MEMBERS))
        values = np.array([truth[tuple(action)] for action in actions.tolist()])
        rising = 1 - np.exp(-window / 6)
        agent.learn(rising + 0.1 * values + rng.normal(0, 0.2, MEMBERS), {})  # noise: twice the signal's deviation
        sampled.append(values.mean())
    best = tuple(agent.recommend(1)[0].tolist())
    largest = float(probabilities(agent, everything(SPACE)).max())
    return truth[best], float(np.mean(sampled[:5])), float(np.mean(sampled[-5:])), largest


@pytest.mark.parametrize("kind", ["sums", "unrelated"])
def test_sixteen_members_in_24_windows_beat_uniform_sampling_at_a_signal_to_noise_ratio_of_one_half(kind: str) -> None:
    recommended, first, last, _ = np.array([search(kind, seed) for seed in range(SEEDS)]).T
    # Uniform sampling has the true mean 0.
    assert ttest_1samp(recommended, 0.0, alternative="greater").pvalue < LEVEL
    assert ttest_1samp(last, 0.0, alternative="greater").pvalue < LEVEL
    assert ttest_1samp(recommended - last, 0.0, alternative="greater").pvalue < 0.05
    assert abs(first.mean()) < 0.1  # before the first update it samples uniformly, or nearly so


def test_it_is_far_from_uniform_after_a_search_of_this_size() -> None:
    assert np.array([search("sums", seed)[3] for seed in range(5)]).mean() > 4 / 27


def test_a_search_repeats_under_its_seed() -> None:
    assert search("sums", 3) == search("sums", 3)


# It is a distribution over the architectures of the space


@pytest.mark.parametrize("space", [SPACE, LIMITED, WIDE, WIDE_LIMITED], ids=["mlp", "limited", "wide", "wide limited"])
@pytest.mark.parametrize("limits", [{}, {"temperature": 5.0, "tanh_constant": 2.5}], ids=["free", "limited logits"])
def test_the_probabilities_of_all_architectures_sum_to_one(space: SearchSpace, limits: dict[str, float]) -> None:
    found = probabilities(agent_on(space, **limits), everything(space))
    assert len(found) == space.size
    assert (found > 0).all()
    assert found.sum() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("space", [SPACE, LIMITED, WIDE, WIDE_LIMITED], ids=["mlp", "limited", "wide", "wide limited"])
def test_every_sample_is_an_architecture_of_the_space(space: SearchSpace) -> None:
    agent = agent_on(space)
    for action in agent.act(observations(300)):
        assert action.tolist() == space.canonical(action).tolist()


def test_samples_follow_the_probabilities() -> None:
    agent, count = agent_on(LIMITED), 20_000
    with torch.no_grad():
        agent.controller.heads[1].bias[0] += 2.0  # away from uniform
    actions = agent.act(observations(count))
    architectures = everything(LIMITED)
    expected = probabilities(agent, architectures)
    counts = np.array([(actions == vector).all(1).sum() for vector in architectures])
    assert expected.max() > 1.5 * expected.min()
    assert np.abs(counts - count * expected).max() < 5 * np.sqrt(count * expected.max())


def test_the_log_probabilities_it_learns_from_are_those_of_what_it_chose() -> None:
    agent = agent_on(WIDE)
    actions = agent.act(observations(8))
    assert agent.log_probability.exp().detach().numpy() == pytest.approx(probabilities(agent, actions), rel=1e-5)


def test_the_entropy_of_a_uniform_controller_is_that_of_its_choices() -> None:
    agent = agent_on(SPACE)
    with torch.no_grad():
        for head in agent.controller.heads:
            head.weight.zero_()
            head.bias.zero_()
    agent.act(observations(4))
    assert agent.entropy.detach().numpy() == pytest.approx(np.log(27), rel=1e-6)


def test_a_choice_depends_on_all_choices_before_it_and_not_on_the_last_alone() -> None:
    agent = agent_on(SPACE)

    def third_given(first: int, second: int) -> np.ndarray:
        joint = probabilities(agent, [[first, second, option] for option in range(3)])
        return joint / joint.sum()

    assert np.abs(third_given(0, 1) - third_given(2, 1)).max() > 1e-4
    assert np.abs(third_given(0, 1) - third_given(0, 2)).max() > 1e-4


def test_every_option_of_every_choice_is_read_as_a_word_of_its_own() -> None:
    agent = agent_on(SPACE)
    agent.controller(1, given=np.array([[0, 1, 2]]))[1].sum().backward()
    gradient = agent.controller.embed.weight.grad
    assert gradient is not None
    read = gradient.abs().sum(1).nonzero().flatten().tolist()
    assert read == [0, 1 + 0, 1 + 3 + 1]  # the start, the first choice's option 0, the second one's option 1


def test_it_recommends_the_most_probable_architectures() -> None:
    agent = agent_on(LIMITED)
    with torch.no_grad():
        agent.controller.heads[0].bias[0] += 1.0
    architectures = everything(LIMITED)
    order = np.argsort(-probabilities(agent, architectures), kind="stable")
    assert [vector.tolist() for vector in agent.recommend(3)] == architectures[order[:3]].tolist()


def test_a_space_too_large_to_rank_whole_is_ranked_by_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lstm_controller, "ENUMERATED", 10)
    agent = agent_on(SPACE)
    with torch.no_grad():
        agent.controller.heads[0].bias[1] += 5.0
        agent.controller.heads[1].bias[2] += 5.0
        agent.controller.heads[2].bias[0] += 5.0
    assert agent.recommend(1)[0].tolist() == [1, 2, 0]
    found = agent.recommend(100)
    assert len({tuple(vector) for vector in np.array(found).tolist()}) == len(found)


# What it learns from


def test_each_member_is_compared_with_the_others_at_the_same_window() -> None:
    rewards = np.array([0.5, -1.0, 0.25, 2.0])
    found = agent_on(SPACE, num_envs=4).advantage(rewards)
    expected = [(reward - np.delete(rewards, member).mean()) / rewards.std() for member, reward in enumerate(rewards)]
    assert found == pytest.approx(expected)
    assert agent_on(SPACE, num_envs=4).advantage(rewards + 10) == pytest.approx(expected)  # a rising tide is no merit
    assert np.isfinite(agent_on(SPACE, num_envs=4).advantage(np.ones(4))).all()
    for better in (0.001, 50.0):  # of two the spread is half the difference
        assert agent_on(SPACE, num_envs=2).advantage(np.array([better, 0.0])) == pytest.approx([2.0, -2.0], rel=1e-4)


@pytest.mark.parametrize("winner", [0, 1, 2, 3])
def test_what_earned_more_than_the_others_becomes_more_probable(winner: int) -> None:
    agent = agent_on(SPACE, num_envs=4, warmup=0.0, entropy_coefficient=0.0)
    actions = np.array([[0, 0, 0], [1, 1, 1], [2, 2, 2], [0, 1, 2]])
    before = probabilities(agent, actions)
    _, agent.log_probability, agent.entropy = agent.controller(4, given=actions)
    rewards = np.zeros(4)
    rewards[winner] = 1.0
    agent.learn(rewards, {})
    gain = probabilities(agent, actions) / before
    assert gain.argmax() == winner
    assert gain[winner] > 1


def test_one_member_alone_is_compared_with_a_moving_average() -> None:
    agent = agent_on(SPACE, num_envs=1, baseline_decay=0.5)
    found = [float(agent.advantage(np.array([reward]))[0]) for reward in (1.0, 2.0, 4.0)]
    assert found == [0.0, 2.0 - 1.0, 4.0 - 1.5]


def test_nothing_is_learned_in_the_first_fifth_of_the_windows() -> None:
    agent = agent_on(SPACE, windows=10, num_envs=4)
    changes = []
    for _ in range(4):
        before = [parameter.clone() for parameter in agent.controller.parameters()]
        agent.act(observations(4))
        told = agent.learn(np.array([1.0, 0.0, 0.0, -1.0]), {})
        changes.append(any(not torch.equal(*pair) for pair in zip(before, agent.controller.parameters(), strict=True)))
        assert 0 < told["losses/controller_entropy"] <= np.log(27) + 1e-6
    assert changes == [False, False, True, True]


def test_the_entropy_bonus_pulls_towards_uniform() -> None:
    spread = []
    for coefficient in (0.0, 1.0):
        agent = agent_on(SPACE, num_envs=4, warmup=0.0, entropy_coefficient=coefficient)
        with torch.no_grad():
            agent.controller.heads[0].bias[0] += 2.0
        for _ in range(20):
            agent.act(observations(4))
            agent.learn(np.zeros(4), {})
        spread.append(probabilities(agent, everything(SPACE)).max())
    assert spread[1] < 0.8 * spread[0]


def test_making_it_leaves_torchs_own_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    agent_on(SPACE)
    assert torch.equal(torch.rand(1), expected)


# By PPO


def one_window(agent: Agent, rewards: Any) -> np.ndarray:
    actions = agent.act(observations(len(rewards)))
    agent.learn(np.array(rewards, dtype=np.float64), {})
    return actions


def test_ppo_beats_uniform_sampling_and_repeats_under_its_seed() -> None:
    found = [search("sums", seed, update="ppo") for seed in range(6)]
    recommended, _, last, _ = np.array(found).T
    assert ttest_1samp(recommended, 0.0, alternative="greater").pvalue < 0.01
    assert ttest_1samp(last, 0.0, alternative="greater").pvalue < 0.01
    assert search("sums", 0, update="ppo") == found[0]


def test_ppos_first_step_is_that_of_reinforce() -> None:
    rewards, found = [1.0, 0.0, 0.5, -1.0], []
    for update, others in (("reinforce", {}), ("ppo", {"update_epochs": 1}), ("ppo", {"update_epochs": 2})):
        agent = agent_on(SPACE, num_envs=4, warmup=0.0, update=update, **others)
        one_window(agent, rewards)
        found.append(probabilities(agent, everything(SPACE)))
    assert found[1] == pytest.approx(found[0], rel=1e-4)
    assert found[2] != pytest.approx(found[0], rel=1e-2)


def test_ppo_does_not_push_a_ratio_beyond_its_clipping_range() -> None:
    gains = []
    for clip_coef in (0.1, 100.0):
        settings = {"warmup": 0.0, "entropy_coefficient": 0.0, "learning_rate": 1e-4, "update_epochs": 80}
        agent = agent_on(SPACE, num_envs=2, update="ppo", clip_coef=clip_coef, **settings)
        before = probabilities(agent, everything(SPACE))
        actions = one_window(agent, [1.0, 0.0])
        ratio = (probabilities(agent, everything(SPACE)) / before).reshape(3, 3, 3)
        gains.append(ratio[tuple(actions[0])])
    assert 1.05 < gains[0] < 1.3
    assert gains[1] > 1.5


def test_ppo_too_waits_for_the_warm_up_and_copes_with_one_member() -> None:
    agent = agent_on(SPACE, windows=10, num_envs=1, update="ppo")
    changes = []
    for reward in (0.0, 1.0, 3.0, 2.0):
        before = [parameter.clone() for parameter in agent.controller.parameters()]
        one_window(agent, [reward])
        changes.append(any(not torch.equal(*pair) for pair in zip(before, agent.controller.parameters(), strict=True)))
    assert changes == [False, False, True, True]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"update": "pp"}, "unknown update 'pp'.*Did you mean 'ppo'"),
        ({"update_epochs": 2}, "update_epochs: expected no value beside update 'reinforce', got 2"),
        ({"clip_coef": 0.1}, "clip_coef: expected no value beside update 'reinforce', got 0.1"),
        ({"update": "ppo", "update_epochs": 0}, "update_epochs: expected a positive number, got 0"),
        ({"update": "ppo", "clip_coef": 0.0}, "clip_coef: expected a positive number, got 0.0"),
        ({"num_envs": 1, "baseline_decay": 1.1}, "baseline_decay: expected a number from 0 to 1, got 1.1"),
        ({"baseline_decay": 0.5}, "baseline_decay: expected no value beside num_envs 16, got 0.5"),
        ({"learning_rate": float("inf")}, "learning_rate: expected a finite number, got inf"),
        ({"entropy_coefficient": float("inf")}, "entropy_coefficient: expected a finite number, got inf"),
        ({"tanh_constant": 0.0}, "tanh_constant: expected a positive number, got 0.0"),
        ({"entropy_coefficient": -0.1}, "entropy_coefficient: expected a number of at least 0, got -0.1"),
        ({"warmup": 2.0}, "warmup: expected a share of the windows from 0 to less than 1, got 2.0"),
        ({"warmup": 1.0}, "warmup: expected a share of the windows from 0 to less than 1, got 1.0"),
        ({"warmup": -0.1}, "warmup: expected a share of the windows from 0 to less than 1, got -0.1"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        agent_on(SPACE, **arguments)
