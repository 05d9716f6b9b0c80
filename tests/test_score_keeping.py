"""The score-keeping controller: what its scores are, how each rule chooses by them, and whose they are."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from archgym.agents.score_keeping import Agent, Args, Scores
from archgym.search_space import SearchSpace, max_params
from archgym.search_spaces.grid import sized
from archgym.search_spaces.mlp import SPACE
from archgym.search_spaces.mlp_wide import SPACE as WIDE

LINE = sized("1x3")  # three architectures


def agent_on(space: SearchSpace, **arguments: Any) -> Agent:
    return Agent(SimpleNamespace(unwrapped=SimpleNamespace(search_space=space)), Args(**arguments))


def live(agent: Agent, rewards: Any, members: int, windows: int) -> np.ndarray:
    """Let an agent choose and earn; gives the actions, (windows, members, choices)."""
    chosen = []
    for _ in range(windows):
        chosen.append(agent.act(np.zeros((members, 1), np.float32)))
        agent.learn(np.array([rewards(tuple(action)) for action in chosen[-1].tolist()]), {})
    return np.array(chosen)


def told(agent: Agent, table: int, rewards: dict[tuple[int, ...], list[float]]) -> Agent:
    """Tell an agent of windows, one after the other."""
    scores = agent.tables[table]
    for key, own in rewards.items():
        for reward in own:
            scores.end(key, scores.begin(key), reward)
    return agent


# Scores


def test_a_score_is_the_mean_of_an_architectures_rewards_and_one_imagined_window_of_average_reward() -> None:
    scores = told(agent_on(LINE), 0, {(0,): [1.0, 3.0], (1,): [8.0]}).tables[0]
    values, counts = scores.of([(0,), (1,), (2,)])
    assert values == pytest.approx([(1 + 3 + 4) / 3, (8 + 4) / 2, 4.0])
    assert counts.tolist() == [3, 2, 1]
    assert scores.deviation == pytest.approx(np.std([1.0, 3.0, 8.0]))


def test_a_window_under_way_counts_with_the_average_reward_until_its_own_is_known() -> None:
    scores = told(agent_on(LINE), 0, {(0,): [1.0], (1,): [3.0]}).tables[0]
    imagined = scores.begin((2,))
    assert imagined == 2.0
    assert scores.of([(2,)])[0] == pytest.approx([2.0])
    scores.end((2,), imagined, 8.0)
    assert scores.of([(2,)])[0] == pytest.approx([(8.0 + 4.0) / 2])


def test_before_any_reward_all_architectures_score_alike() -> None:
    values, _ = Scores().of([(0,), (1,)])
    assert values.tolist() == [0.0, 0.0]
    assert Scores().deviation == 1.0


# Rules


def test_softmax_draws_by_the_exponential_of_the_scores_in_units_of_the_rewards_deviation() -> None:
    agent = told(agent_on(LINE, rule="softmax", temperature=0.5), 0, {(0,): [0.0], (1,): [2.0], (2,): [4.0]})
    drawn = [agent.choose(agent.tables[0])[0] for _ in range(4_000)]
    scores, deviation = np.array([1.0, 2.0, 3.0]), np.std([0.0, 2.0, 4.0])
    expected = np.exp(scores / (0.5 * deviation))
    assert chisquare(np.bincount(drawn, minlength=3), 4_000 * expected / expected.sum()).pvalue > 1e-4


def test_softmax_does_not_care_for_the_unit_of_the_rewards() -> None:
    found = []
    for unit in (1.0, 1000.0):
        agent = told(agent_on(SPACE, rule="softmax"), 0, {(0, 0, 0): [0.5 * unit], (1, 1, 1): [0.75 * unit]})
        found.append([agent.choose(agent.tables[0]) for _ in range(50)])
    assert found[0] == found[1]


def test_epsilon_greedy_takes_the_highest_score_but_for_a_share_of_uniform_draws() -> None:
    agent = told(agent_on(LINE, rule="epsilon-greedy", epsilon=0.3), 0, {(0,): [0.0], (1,): [2.0], (2,): [4.0]})
    drawn = [agent.choose(agent.tables[0])[0] for _ in range(4_000)]
    assert chisquare(np.bincount(drawn, minlength=3), [400, 400, 3_200]).pvalue > 1e-4


def test_ucb_adds_to_a_score_what_it_may_be_wrong_by() -> None:
    rewards = {(0,): [1.0] * 9, (1,): [0.9], (2,): [-3.0]}
    bold, careful = (told(agent_on(LINE, rule="ucb", exploration_weight=c), 0, rewards) for c in (1.0, 0.0))
    assert {bold.choose(bold.tables[0]) for _ in range(20)} == {(1,)}
    assert {careful.choose(careful.tables[0]) for _ in range(20)} == {(0,)}


@pytest.mark.parametrize("rule", ["softmax", "epsilon-greedy", "ucb"])
def test_every_rule_settles_on_the_best_of_the_papers_27_and_tries_others_first(rule: str) -> None:
    best = (2, 1, 0)
    agent = agent_on(SPACE, rule=rule, num_envs=4, seed=3)
    actions = live(agent, lambda key: float(sum(np.equal(key, best))), 4, 120)
    assert len({tuple(one) for one in actions[:30].reshape(-1, 3).tolist()}) > 15
    late = (actions[-20:] == best).all(-1).mean()
    assert late > 0.5


# Whose scores


def test_every_member_keeps_its_own_scores() -> None:
    agent = agent_on(LINE, rule="epsilon-greedy", epsilon=0.0, num_envs=2)
    told(agent, 0, {(0,): [1.0], (1,): [0.0]})
    told(agent, 1, {(0,): [0.0], (1,): [1.0]})
    assert agent.act(np.zeros((2, 1), np.float32)).tolist() == [[0], [1]]


def test_pooled_members_learn_from_one_another_and_spread_within_a_window() -> None:
    agent = agent_on(LINE, rule="ucb", exploration_weight=5.0, num_envs=3, pool=True)
    assert sorted(agent.act(np.zeros((3, 1), np.float32)).ravel().tolist()) == [0, 1, 2]
    agent.learn(np.array([0.0, 1.0, 2.0]), {})
    assert agent.tables[0].moments.tolist() == [3.0, 3.0, 5.0]


def test_of_a_large_space_only_what_was_seen_is_kept_beside_some_that_was_not() -> None:
    agent = agent_on(WIDE, unseen=5)
    live(agent, lambda key: float(key[0]), 1, 30)
    assert len(agent.tables[0].windows) <= 30
    found = agent.candidates(agent.tables[0])
    assert len(agent.tables[0].windows) < len(found) <= len(agent.tables[0].windows) + 5
    assert len(set(found)) == len(found)


def test_a_constraint_holds_for_every_choice() -> None:
    limited = WIDE.constrained(max_params(WIDE, 3000, 4, 2))
    for rule in ("softmax", "epsilon-greedy", "ucb"):
        for action in live(agent_on(limited, rule=rule), lambda key: float(key[1]), 1, 20)[:, 0]:
            assert limited.canonical(action).tolist() == action.tolist()


def test_what_was_learned_goes_on_in_a_narrower_space_without_what_is_not_in_it() -> None:
    """Choices are equal, but `--max-params`, or a task with other inputs, leaves fewer architectures."""
    first = agent_on(WIDE, seed=3)
    live(first, lambda key: float(key[0]), 1, 60)
    limited = WIDE.constrained(max_params(WIDE, 3000, 4, 2))
    agent = agent_on(limited, rule="epsilon-greedy", epsilon=0.0)
    agent.load_state(first.state())
    kept = agent.tables[0].windows
    assert 0 < len(kept) < len(first.tables[0].windows)
    for key in first.tables[0].windows:
        assert (key in kept) == bool(limited.mask(key[:-1])[key[-1]])
        if key in kept:
            assert (kept[key], agent.tables[0].sums[key]) == (
                first.tables[0].windows[key],
                first.tables[0].sums[key],
            )
    for action in live(agent, lambda key: 0.0, 1, 10)[:, 0]:
        assert limited.canonical(action).tolist() == action.tolist()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"rule": "softmx"}, "unknown rule 'softmx': .* Did you mean 'softmax'"),
        ({"temperature": 0.5}, "temperature: expected no value beside rule 'ucb', got 0.5"),
        ({"rule": "softmax", "epsilon": 0.5}, "epsilon: expected no value beside rule 'softmax', got 0.5"),
        ({"rule": "softmax", "temperature": 0.0}, "temperature: expected a positive number, got 0.0"),
        ({"rule": "epsilon-greedy", "epsilon": 1.5}, "epsilon: expected a number from 0 to 1, got 1.5"),
        ({"exploration_weight": -1.0}, "exploration_weight: expected a number of at least 0, got -1.0"),
        ({"unseen": 0}, "unseen: expected a positive integer, got 0"),
        ({"exploration_weight": float("inf")}, "exploration_weight: expected a finite number, got inf"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        agent_on(SPACE, **arguments)
