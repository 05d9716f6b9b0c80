"""The bandits: their formulas by hand, what is pulled and credited, and where the masks apply."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from archgym.agents.bandits import BANDITS, Agent, Args
from archgym.search_space import Constraint, SearchSpace, max_params
from archgym.search_spaces.grid import sized
from archgym.search_spaces.mlp_wide import SPACE as WIDE

GRID = sized("3x4")
LIMITED = WIDE.constrained(max_params(WIDE, 3000, 4, 2))


def agent_on(space: SearchSpace, **arguments: Any) -> Agent:
    given = {"windows": 20, "num_envs": 4, **arguments}
    return Agent(SimpleNamespace(unwrapped=SimpleNamespace(search_space=space)), Args(**given))


def observations(members: int) -> np.ndarray:
    return np.zeros((members, 1), dtype=np.float32)


def search(space: SearchSpace, windows: int = 20, members: int = 4, **arguments: Any) -> tuple[Agent, np.ndarray]:
    """Search for many zeros; gives the agent and its actions (windows, members, choices)."""
    agent, actions = agent_on(space, windows=windows, num_envs=members, **arguments), []
    for _ in range(windows):
        actions.append(agent.act(observations(members)))
        agent.learn(-actions[-1].mean(1), {})
    return agent, np.stack(actions)


# All three


@pytest.mark.parametrize("bandit", BANDITS)
def test_every_bandit_repeats_under_its_seed(bandit: str) -> None:
    first, again, other = (search(LIMITED, bandit=bandit, seed=seed)[1] for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("bandit", BANDITS)
@pytest.mark.parametrize("space", [WIDE, LIMITED], ids=["wide", "wide limited"])
@pytest.mark.parametrize("members", [1, 4])
def test_actions_and_recommendations_are_architectures_of_the_space(
    bandit: str, space: SearchSpace, members: int
) -> None:
    agent, actions = search(space, members=members, bandit=bandit)
    recommended = agent.recommend(5)
    assert len({tuple(one.tolist()) for one in recommended}) == 5
    for action in [*actions.reshape(-1, len(space.choices)), *recommended]:
        assert space.canonical(action).tolist() == action.tolist()


@pytest.mark.parametrize("bandit", BANDITS)
def test_every_bandit_finds_many_zeros(bandit: str) -> None:
    agents, actions = zip(*(search(sized("5x4"), 60, seed=seed, bandit=bandit) for seed in range(5)), strict=True)
    assert np.mean([one[-10:] for one in actions]) < 1.0  # 1.5 at random
    assert np.mean([agent.recommend(1)[0] for agent in agents]) < 0.75


@pytest.mark.parametrize("bandit", BANDITS)
def test_equal_rewards_and_a_single_choice_are_no_obstacle(bandit: str) -> None:
    agent = agent_on(sized("1x2"), bandit=bandit, num_envs=1)
    seen = set()
    for _ in range(20):
        seen.add(int(agent.act(observations(1))[0, 0]))
        agent.learn(np.array([-1.0]), {})
    assert seen == {0, 1}
    assert np.isfinite(agent.arms[0].sums).all()


@pytest.mark.parametrize("bandit", BANDITS)
def test_a_space_of_one_architecture_is_acted_out_and_nothing_is_pulled(bandit: str) -> None:
    single = GRID.constrained(Constraint("all threes", lambda architecture: bool((architecture == 3).all())))
    agent, actions = search(single, 3, bandit=bandit)
    assert (actions == 3).all()
    assert not any(arms.pulls.any() for arms in agent.arms)


@pytest.mark.parametrize("bandit", BANDITS)
def test_inactive_choices_are_neither_pulled_nor_credited(bandit: str) -> None:
    shallow = WIDE.constrained(Constraint("one layer", lambda architecture: bool(architecture[0] == 0)))
    agent, _ = search(shallow, bandit=bandit)
    pulled = [choice.name for choice, arms in zip(WIDE.choices, agent.arms, strict=True) if arms.pulls.any()]
    assert pulled == ["width_1", "activation", "layer_norm"]


def test_a_score_is_the_reward_less_the_trend_over_the_spread_of_all() -> None:
    agent = agent_on(sized("1x4"), bandit="ultho")
    for rewards in ([0.0, 0.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]):
        agent.act(observations(4))
        agent.learn(np.array(rewards), {})
    # Trend 1.5 at both windows: the means are 0.5 and 2.5, and four members average two windows.
    all_scores = np.array([-1.5, -1.5, -0.5, -0.5, -0.5, 0.5, 1.5, 2.5])
    expected = np.array([-0.5, 0.5, 1.5, 2.5]) / all_scores.std()
    assert list(agent.choices.last[0])[-4:] == pytest.approx(expected, rel=1e-6)


# Exp3


def test_exp3_mixes_a_softmax_of_the_sums_with_uniform_draws() -> None:
    agent = agent_on(GRID, bandit="exp3", mixing=0.2, rate=0.5)
    agent.arms[1].sums[:] = [2.0, 0.0, 0.0, -2.0]
    weights = np.exp([1.0, 0.0, 0.0, -1.0])
    assert agent.probabilities(1) == pytest.approx(0.8 * weights / weights.sum() + 0.2 / 4)
    assert agent.probabilities(0) == pytest.approx([0.25] * 4)


def test_exp3s_rate_follows_from_the_number_of_rewards() -> None:
    agent = agent_on(GRID, bandit="exp3", mixing=1e-12, windows=10, num_envs=2)
    agent.arms[0].sums[:] = [1.0, 0.0, 0.0, 0.0]
    found = agent.probabilities(0)
    assert math.log(found[0] / found[1]) == pytest.approx(math.sqrt(2 * math.log(4) / (4 * 20)))


def test_exp3_credits_a_score_over_the_probability_of_what_was_drawn() -> None:
    agent = agent_on(GRID, bandit="exp3", num_envs=2)
    actions = agent.act(observations(2))
    agent.learn(np.array([1.0, 0.0]), {})
    for choice, arms in enumerate(agent.arms):
        expected = np.zeros(4)
        for option, score in zip(actions[:, choice], (1.0, -1.0), strict=True):  # each one spread from the mean
            expected[option] += score / 0.25
        assert arms.sums == pytest.approx(expected, rel=1e-6)


def test_exp3_shares_the_probability_of_forbidden_options_among_the_others() -> None:
    agent = agent_on(GRID, bandit="exp3", mixing=0.1)
    draws = [agent.exp3(0, np.array([1, 3])) for _ in range(400)]
    assert {weight for _, weight in draws} == {2.0}
    assert 150 < sum(option == 1 for option, _ in draws) < 250


def test_draws_follow_the_probabilities() -> None:
    agent = agent_on(GRID, bandit="exp3", rate=1.0)
    agent.arms[0].sums[:] = [1.0, 0.0, 0.5, 0.0]
    drawn = np.bincount([agent.exp3(0, np.arange(4))[0] for _ in range(4000)], minlength=4) / 4000
    assert np.abs(drawn - agent.probabilities(0)).max() < 0.04


# UCB


def test_ucb_takes_the_highest_mean_and_bonus() -> None:
    agent = agent_on(GRID, bandit="ucb", exploration_weight=1.0, mixing=1e-12)
    arms = agent.arms[0]
    arms.pulls[:], arms.sums[:] = [10, 5, 4, 1], [8.3, 3.0, 0.0, -1.0]
    means = np.array([0.83, 0.6, 0.0, -1.0])
    bounds = means + np.sqrt(2 * math.log(20) / arms.pulls)
    assert arms.upper(np.arange(4), means, math.sqrt(2), 20.0) == pytest.approx(bounds)
    assert agent.ucb(arms, np.arange(4)) == (int(bounds.argmax()), 1.0) == (1, 1.0)
    assert agent.ucb(arms, np.array([0, 2]))[0] == 0


def test_ucb_tries_every_option_of_every_choice_before_any_again() -> None:
    agent = agent_on(GRID, bandit="ucb", mixing=1e-12)
    actions = agent.act(observations(4))
    assert all(sorted(column) == [0, 1, 2, 3] for column in actions.T.tolist())


def test_ucb_draws_uniformly_as_often_as_the_mixing_says() -> None:
    agent = agent_on(GRID, bandit="ucb", exploration_weight=0.0, mixing=0.4)
    agent.arms[0].pulls[:], agent.arms[0].sums[:] = 1, [9.0, 0.0, 0.0, 0.0]
    others = sum(agent.ucb(agent.arms[0], np.arange(4))[0] > 0 for _ in range(1000))
    assert 240 < others < 360  # 0.4 * 3 / 4


def test_a_pull_counts_for_the_next_member_before_its_reward_is_known() -> None:
    agent = agent_on(sized("1x2"), bandit="ucb", exploration_weight=1.0, mixing=1e-12)
    arms = agent.arms[0]
    arms.pulls[:], arms.sums[:] = [2, 2], [0.2, 0.0]
    assert agent.act(observations(2)).ravel().tolist() == [0, 1]


def test_ties_are_broken_at_random() -> None:
    agent = agent_on(GRID)
    assert {agent.best(np.array([1, 2, 3]), np.array([1.0, 0.0, 1.0])) for _ in range(50)} == {1, 3}


# ULTHO


def test_ultho_changes_one_choice_of_what_has_the_highest_recent_means() -> None:
    agent = agent_on(GRID, bandit="ultho", num_envs=1)
    for arms, best in zip(agent.arms, (1, 2, 3), strict=True):
        arms.pulls[:] = 1
        for option in range(4):
            arms.last[option].append(float(option == best))
    for _ in range(30):
        assert (agent.act(observations(1))[0] != [1, 2, 3]).sum() <= 1


def test_ultho_forgets_all_but_the_last_scores() -> None:
    agent = agent_on(GRID, bandit="ultho", recent=2)
    for score in (5.0, 1.0, 2.0):
        agent.arms[0].last[1].append(score)
    assert agent.arms[0].recent_means().tolist() == [0.0, 1.5, 0.0, 0.0]
    assert agent.arms[0].recent_best() == 1
    assert agent.arms[1].recent_best() is None
    agent.arms[1].last[2].append(-1.0)
    assert agent.arms[1].recent_best() == 2  # what has no score is not taken for average


def test_ultho_picks_the_choice_and_then_the_option_by_their_upper_bounds() -> None:
    agent = agent_on(GRID, bandit="ultho", num_envs=1, exploration_weight=0.5)
    agent.choices.pulls[:] = [3, 3, 3]
    for choice, mean in enumerate((0.1, 0.4, 0.2)):
        agent.choices.last[choice].append(mean)
    arms = agent.arms[1]
    arms.pulls[:] = [1, 4, 4, 4]
    for option, mean in enumerate((0.0, 0.1, 0.2, 0.1)):
        arms.last[option].append(mean)
    assert agent.act(observations(1))[0, 1] == 0  # 0.5 sqrt(ln 13) = 0.80 is more than 0.2 + 0.40
    assert agent.choices.pulls.tolist() == [3, 4, 3]
    assert arms.pulls.tolist() == [2, 4, 4, 4]
    agent.learn(np.array([0.0]), {})
    assert len(agent.choices.last[1]) == len(arms.last[0]) == 2


def test_the_members_of_ultho_take_turns_with_the_choices_and_options_of_a_window() -> None:
    agent, _ = search(sized("6x4"), 10, bandit="ultho")
    for _ in range(2):  # counted anew in every window
        agent.act(observations(24))
        assert agent.choices.under_way.tolist() == [4.0] * 6
        assert all(arms.under_way.tolist() == [1.0] * 4 for arms in agent.arms)
    agent.act(observations(16))
    assert sorted(agent.choices.under_way.tolist()) == [2.0] * 2 + [3.0] * 4
    assert max(arms.under_way.max() for arms in agent.arms) == 1.0


@pytest.mark.parametrize(("members", "distinct"), [(4, 2), (8, 4), (16, 10)])
def test_the_members_of_ultho_spread_over_architectures(members: int, distinct: int) -> None:
    found = []
    for seed in range(8):
        agent, rng = (
            agent_on(sized("6x4"), bandit="ultho", windows=20, num_envs=members, seed=seed),
            np.random.default_rng(seed),
        )
        for _ in range(20):
            actions = agent.act(observations(members))
            agent.learn(rng.normal(-actions.mean(1), 0.3), {})
            found.append(len({tuple(one) for one in actions.tolist()}))
    assert np.mean(found) > distinct


def test_sixteen_members_of_ultho_find_the_best_of_a_sum_over_the_choices() -> None:
    regrets = [search(sized("6x4"), 12, 16, bandit="ultho", seed=seed)[0].recommend(1)[0].mean() for seed in range(8)]
    assert np.mean(regrets) < 0.1  # 0 is the best, 1.5 at random; members that stay together come to 0.2


# Recommendations


def test_the_recommendation_ranks_sums_of_shrunken_means() -> None:
    agent = agent_on(sized("2x2"), bandit="ucb")
    for arms, sums in zip(agent.arms, ([6.0, 0.0], [0.0, 3.0]), strict=True):
        arms.pulls[:], arms.sums[:] = [2, 2], sums
    assert [one.tolist() for one in agent.recommend(4)] == [[0, 1], [0, 0], [1, 1], [1, 0]]
    agent.arms[0].pulls[:], agent.arms[0].sums[:] = [1, 20], [2.0, 15.0]  # 2 / 5 is less than 15 / 24
    assert agent.recommend(1)[0].tolist() == [1, 1]


def test_what_the_earlier_choices_force_is_no_merit_of_a_recommendation() -> None:
    ends = WIDE.constrained(Constraint("one layer or four", lambda architecture: architecture[0] in (0, 3)))
    agent = agent_on(ends, bandit="ucb")
    agent.arms[0].sums[0], agent.arms[4].sums[0] = (
        4.0,
        20.0,
    )  # depth 1 has merit, and more so the first option of the fourth width
    assert agent.recommend(1)[0][0] == 3  # depth 4, where that option is a choice


@pytest.mark.parametrize(
    ("bandit", "arguments", "sentence"),
    [
        ("ulthos", {}, "unknown bandit 'ulthos'.*Did you mean 'ultho'"),
        ("ucb", {"exploration_weight": -1.0}, "exploration_weight: expected a number of at least 0, got -1.0"),
        ("ucb", {"exploration_weight": float("inf")}, "exploration_weight: expected a finite number, got inf"),
        ("exp3", {"mixing": 0.0}, "mixing: expected a number above 0 and up to 1, got 0.0"),
        ("ucb", {"mixing": 1.5}, "mixing: expected a number above 0 and up to 1, got 1.5"),
        ("exp3", {"rate": 0.0}, "rate: expected a positive number or None, got 0.0"),
        ("ultho", {"recent": 0}, "recent: expected a positive number of scores, got 0"),
        ("exp3", {"exploration_weight": 2.0}, "exploration_weight: expected no value beside bandit 'exp3', got 2.0"),
        ("ultho", {"mixing": 0.5}, "mixing: expected no value beside bandit 'ultho', got 0.5"),
        ("ucb", {"rate": 0.5}, "rate: expected no value beside bandit 'ucb', got 0.5"),
        ("exp3", {"recent": 5}, "recent: expected no value beside bandit 'exp3', got 5"),
    ],
)
def test_a_wrong_setting_is_refused_with_a_sentence(bandit: str, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        agent_on(GRID, bandit=bandit, **arguments)
