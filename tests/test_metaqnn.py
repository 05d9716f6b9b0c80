"""MetaQNN: the update, the staircase, the treatment of known architectures, and scores that know no trend."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from archgym.agents.metaqnn import PAPER, TRIES, Agent, Args, Trend, epsilon
from archgym.search_space import SearchSpace, max_params
from archgym.search_spaces.grid import sized
from archgym.search_spaces.mlp_wide import SPACE as WIDE

TINY = sized("2x2")
WIDE_LIMITED = WIDE.constrained(max_params(WIDE, 3000, 4, 2))


def agent_on(space: SearchSpace, **arguments: Any) -> Agent:
    """Make the agent on something that has a space."""
    unwrapped = SimpleNamespace(search_space=space)
    return Agent(SimpleNamespace(unwrapped=unwrapped), Args(**{"windows": 10, "num_envs": 2, **arguments}))


def observations(members: int) -> np.ndarray:
    return np.zeros((members, 1), dtype=np.float32)


def window(agent: Agent, rewards: list[float]) -> np.ndarray:
    """Let the agent decide all choices, and earn; gives the architectures, (members, choices)."""
    actions = []
    for choice in range(len(agent.space.choices)):
        actions.append(agent.act(observations(len(rewards))))
        last = choice == len(agent.space.choices) - 1
        agent.learn(np.array(rewards) if last else np.zeros(len(rewards)), {})
    return np.stack(actions, axis=1)


def test_an_architecture_is_learned_in_reverse_order_of_time() -> None:
    agent = agent_on(TINY, alpha=0.5, initial_q=0.0)
    agent.update((1, 0), 1.0)
    assert agent.q == {(): [0.0, 0.25], (1,): [0.5, 0.0]}  # 0.5 * 1, and 0.5 * 0.5 in the same update
    agent.update((1, 1), 2.0)
    assert agent.q == {(): [0.0, 0.625], (1,): [0.5, 1.0]}  # 0.25 + 0.5 (1 - 0.25)
    agent.update((1, 1), -1.0)
    assert agent.q == {(): [0.0, 0.5625], (1,): [0.5, 0.0]}  # the best of what follows counts, not what was done


def test_the_staircase_has_the_papers_proportions() -> None:
    rates = [epsilon(done, 2700, 1500 / 2700) for done in range(2700)]
    stairs = {1.0: 1500, 0.9: 100, 0.8: 100, 0.7: 100, 0.6: 150, 0.5: 150, 0.4: 150, 0.3: 150, 0.2: 150, 0.1: 150}
    assert {rate: rates.count(rate) for rate in stairs} == stairs
    assert rates == sorted(rates, reverse=True)
    assert [epsilon(done, 12, 0.0) for done in range(12)] == [
        0.9,
        0.8,
        0.7,
        0.6,
        0.6,
        0.5,
        0.4,
        0.4,
        0.3,
        0.2,
        0.2,
        0.1,
    ]
    assert [epsilon(done, 4, 1.0) for done in range(6)] == [1.0] * 4 + [0.1] * 2


def test_the_paper_settings_are_taken_by_name_and_not_mixed() -> None:
    assert {name: agent_on(TINY, controller="paper").settings[name] for name in PAPER} == PAPER
    assert agent_on(TINY).settings["known"] == "measure"
    with pytest.raises(ValueError, match=r"alpha: expected no value beside controller 'paper', got 0\.5"):
        agent_on(TINY, controller="paper", alpha=0.5)


def test_at_epsilon_0_the_highest_q_is_chosen_and_ties_are_drawn() -> None:
    agent = agent_on(TINY)
    agent.q = {(): [0.1, 0.3], (0,): [9.0, 9.0], (1,): [0.2, 0.2]}
    assert {agent.draw(0.0) for _ in range(50)} == {(1, 0), (1, 1)}


def test_at_epsilon_1_everything_legal_is_chosen() -> None:
    agent = agent_on(TINY)
    agent.q = {(): [0.1, 0.3], (0,): [9.0, 0.0], (1,): [0.2, -np.inf]}
    assert {agent.draw(1.0) for _ in range(80)} == {(0, 0), (0, 1), (1, 0)}


@pytest.mark.parametrize("space", [WIDE, WIDE_LIMITED], ids=["wide", "wide limited"])
@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_every_draw_is_an_architecture_of_the_space(space: SearchSpace, rate: float) -> None:
    agent = agent_on(space)
    for _ in range(50):
        drawn = np.array(agent.draw(rate))
        assert drawn.tolist() == space.canonical(drawn).tolist()


def test_known_architectures_are_measured_again_and_their_mean_is_replayed() -> None:
    agent = agent_on(sized("1x2"), num_envs=1, windows=8)
    for number in range(8):
        window(agent, [float(number)])
    assert len(agent.means) <= 2
    assert len(agent.trained) == len(agent.samples) == 8
    scores = agent.scores()
    for architecture, mean in agent.means.items():
        own = [score for one, score in zip(agent.trained, scores, strict=True) if one == architecture]
        assert mean == pytest.approx(np.mean(own))


def test_reuse_learns_from_a_known_architecture_again_and_spends_the_window_on_another() -> None:
    agent = agent_on(TINY, known="reuse", alpha=0.5)
    agent.q = {(): [1.0, 0.0], (0,): [0.0, 1.0]}  # greedy: (0, 1)
    agent.means = {(0, 1): -1.0}
    agent.window = 10**6  # epsilon 0.1: nearly greedy
    chosen = agent.choose()
    assert chosen != (0, 1)
    assert set(agent.samples) == {(0, 1)}
    assert agent.q[0,][1] < 1.0  # learned


def test_reuse_trains_a_known_architecture_once_all_are_known_and_the_tries_are_spent() -> None:
    agent = agent_on(TINY, known="reuse")
    agent.means = {(0, 0): 0.0, (0, 1): 0.0, (1, 0): 0.0, (1, 1): 0.0}
    assert agent.choose() in agent.means
    assert len(agent.samples) == TRIES


def test_members_of_one_window_train_different_architectures_with_reuse() -> None:
    for known, apart in (("reuse", True), ("measure", False)):
        agent = agent_on(sized("2x4"), known=known, num_envs=3, windows=200)
        agent.q = {(): [1.0, 0.0, 0.0, 0.0], (0,): [1.0, 0.0, 0.0, 0.0]}
        agent.window = 199  # epsilon 0.1
        counts = []
        for _ in range(20):
            agent.plans = []
            for _ in range(3):
                agent.plans.append(agent.choose())
            counts.append(len(set(agent.plans)))
        assert (np.mean(counts) > 2.5) == apart


def test_the_trend_is_told_from_the_gain_of_the_search() -> None:
    rng, windows = np.random.default_rng(0), 40
    trend, flat = Trend(4, windows), Trend(4, windows)
    rise = np.linspace(0, 1, windows)
    for number in range(windows):  # option 1 of the first choice earns 0.5 more, and is chosen more and more
        options = np.stack([rng.random(4) < number / windows, rng.random(4) < 0.5], axis=1).astype(int)
        codes = np.concatenate([np.eye(2)[options[:, 0]], np.eye(2)[options[:, 1]]], axis=1)
        trend.add(number, codes, rise[number] + 0.5 * options[:, 0])
        flat.add(number, codes, 0.5 * options[:, 0])
    assert np.ptp(flat.values()) < 0.15
    assert 0.7 < np.ptp(trend.values()) < 1.1
    assert np.corrcoef(trend.values(), rise)[0, 1] > 0.98


def test_the_average_of_all_scores_is_about_0() -> None:
    agent = agent_on(sized("3x2"), windows=20)
    rng = np.random.default_rng(1)
    for number in range(20):
        window(agent, (number / 20 + rng.normal(0, 0.1, 2)).tolist())
    assert abs(agent.scores().mean()) < 0.01
    assert np.abs(agent.scores()).max() < 0.5


def test_nothing_is_learned_before_the_last_choice() -> None:
    agent = agent_on(TINY)
    agent.act(observations(2))
    assert agent.learn(np.zeros(2), {}) == {}
    assert (agent.trained, agent.window) == ([], 0)
    agent.act(observations(2))
    assert agent.learn(np.zeros(2), {}) == {"charts/epsilon": 0.9}
    assert (len(agent.trained), agent.window) == (2, 1)


@pytest.mark.parametrize("known", ["measure", "reuse"])
def test_one_member_one_choice_one_window_equal_rewards_and_diverged_ones_are_no_trouble(known: str) -> None:
    for members, rewards in ((1, [-1.0]), (3, [-1.0] * 3), (2, [0.0, -1.0])):
        for windows in (1, 5):
            agent = agent_on(sized("1x3"), known=known, windows=windows, num_envs=members)
            for _ in range(windows):
                window(agent, rewards)
            assert 1 <= len(agent.recommend(3)) <= 3
            assert all(np.isfinite(value) for values in agent.q.values() for value in values)


def test_it_recommends_by_the_shrunken_mean_of_the_scores() -> None:
    agent = agent_on(TINY)
    agent.trained = [(0, 0)] * 4 + [(0, 1), (1, 0)]
    agent.scores = lambda: np.array([0.5, 0.5, 0.5, 0.5, 1.0, -1.0])  # type: ignore[method-assign]
    found = [one.tolist() for one in agent.recommend(3)]
    assert found == [[0, 0], [0, 1], [1, 0]]  # 2 / (4 + 4), 1 / (1 + 4), -1 / (1 + 4)


def test_a_search_repeats_under_its_seed() -> None:
    def search(seed: int) -> list[list[list[int]]]:
        agent = agent_on(sized("4x3"), seed=seed)
        return [window(agent, [0.1 * number, 0.2]).tolist() for number in range(10)]

    assert search(3) == search(3) != search(4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"alpha": 0.0}, "alpha: expected a number above 0 and at most 1, got 0.0"),
        ({"uniform": 1.5}, "uniform: expected a share from 0 to 1, got 1.5"),
        ({"replays": -1}, "replays: expected an integer of at least 0, got -1"),
        ({"initial_q": float("nan")}, "initial_q: expected a finite number, got nan"),
        ({"known": "resue"}, "Did you mean 'reuse'"),
        ({"controller": "papr"}, "Did you mean 'paper'"),
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        agent_on(TINY, **arguments)
