"""Successive halving: rungs, brackets, promotions by owners and by forks, and scores that can be compared."""

from typing import Any

import numpy as np
import pytest

from archgym.agents.successive_halving import Agent, Args, Trial
from archgym.search_space import SearchSpace, max_params
from archgym.search_spaces.grid import sized
from archgym.search_spaces.mlp_wide import SPACE as WIDE

SPACE = sized("6x4")
WIDE_LIMITED = WIDE.constrained(max_params(WIDE, 3000, 4, 2))


class Members:
    """Stands for an environment: has a space, and keeps what was forked."""

    def __init__(self, space: SearchSpace) -> None:
        self.search_space, self.unwrapped = space, self
        self.forks: list[tuple[int, int, tuple[int, ...]]] = []

    def fork(self, source: int, target: int, architecture: np.ndarray) -> None:
        self.forks.append((source, target, tuple(architecture.tolist())))


def agent_on(space: SearchSpace = SPACE, **arguments: Any) -> Agent:
    given = {"windows": 40, "num_envs": 4, "sampler": "uniform", **arguments}
    return Agent(Members(space), Args(**given))


def value(architecture: np.ndarray) -> float:
    return float(architecture.sum()) + float(architecture @ 4.0 ** -np.arange(1, len(architecture) + 1))


def live(agent: Agent, windows: int, members: int = 4, rise: float = 0.0) -> list[list[tuple[int, ...]]]:
    """Earn the architectures' values, without noise; gives the architectures, (windows, members)."""
    told = []
    for window in range(windows):
        actions = agent.act(np.zeros((members, 1), dtype=np.float32))
        told.append([tuple(action) for action in actions.tolist()])
        agent.learn(np.array([value(action) + rise * window for action in actions]), {})
    return told


def trial(agent: Agent, index: int, reached: int, rewards: list[float], owner: int = 0, bracket: int = 0) -> Trial:
    """Put a paused trial into the agent."""
    architecture = np.array([index // 4**choice % 4 for choice in range(6)])
    made = Trial(architecture, owner, bracket, reached, True, reached, [(0, reward) for reward in rewards])
    agent.trials.append(made)
    return made


# Rungs and promotions


@pytest.mark.parametrize(
    ("arguments", "rungs"),
    [
        ({}, [1, 3, 9]),
        ({"max_resource": 8}, [1, 3]),
        ({"eta": 2, "min_resource": 2, "max_resource": 20}, [2, 4, 8, 16]),
        ({"windows": 5}, [1, 3]),
        ({"max_resource": 1}, [1]),
    ],
)
def test_rungs_are_powers_of_eta_within_the_budget(arguments: dict[str, Any], rungs: list[int]) -> None:
    assert agent_on(**arguments).rungs == rungs


def test_asha_promotes_the_top_1_in_eta_once_and_the_highest_rung_first() -> None:
    agent = agent_on()
    agent.brackets = [(0, 0)]
    trials = [trial(agent, index, 0, [float(index)]) for index in range(7)]
    assert agent.promotable(0) == [trials[6], trials[5]]  # 7 // 3
    trials[6].goal, trials[6].reached, trials[6].samples = 1, 1, [(0, 6.0)] * 3
    assert agent.promotable(0) == [trials[5]]  # it stays in the count of its rung, and is not promoted again
    others = [trial(agent, 10 + index, 1, [-1.0, 20.0, 20.0]) for index in range(2)]
    assert agent.promotable(1) == [others[0]]  # 3 // 3
    assert agent.promotable(0) == [trials[5], trials[4]]  # 9 // 3, one of them promoted
    assert agent.next_trial(0) is others[0]
    assert others[0].goal == 2
    assert agent.next_trial(0) is not others[0]


def test_a_promoted_architecture_runs_until_the_next_rung() -> None:
    agent = agent_on(num_envs=1)
    told = [window[0] for window in live(agent, 30, members=1)]
    assert len(set(told[:3])) == 3
    best = max(told[:3], key=lambda one: value(np.array(one)))
    assert told[3:5] == [best] * 2  # 2 windows more are 3
    counts = {one: told.count(one) for one in told[:-8]}
    assert set(counts.values()) <= {1, 3, 9}
    assert 9 in counts.values()


def test_with_promotion_by_the_owner_it_alone_promotes_and_rungs_are_pooled() -> None:
    for own, promoted in (
        ({"transfer": "own", "promotion": "owner"}, False),
        ({"transfer": "shared"}, True),
        ({"transfer": "fresh"}, True),
    ):
        agent = agent_on(**own)
        agent.brackets = [(0, 0)]
        trials = [trial(agent, index, 0, [float(index)], owner=index % 2) for index in range(4)]
        assert agent.promotable(0) == [trials[3]]  # of all four, though no member owns three
        assert (agent.next_trial(0) is trials[3]) == promoted
        if not promoted:
            assert agent.next_trial(1) is trials[3]


def test_with_promotion_by_the_owner_no_member_ever_trains_anothers_architecture() -> None:
    agent = agent_on(transfer="own", promotion="owner")
    told = live(agent, 40)
    for member in range(4):
        mine = {window[member] for window in told}
        others = {window[other] for window in told for other in range(4) if other != member}
        assert not mine & others
    assert max(one.reached for one in agent.trials) == 2
    assert agent.envs.forks == []


def test_a_free_member_takes_a_promoted_learner_over_by_a_fork() -> None:
    agent = agent_on(transfer="own")
    agent.brackets = [(0, 0)]
    trials = [trial(agent, index, 0, [float(index)], owner=index % 2) for index in range(4)]
    assert agent.next_trial(0) is trials[3]  # the other member's
    assert agent.envs.forks == [(1, 0, tuple(trials[3].architecture.tolist()))]
    assert (trials[3].owner, trials[3].left) == (0, {1})
    trials[3].reached, trials[3].samples = 1, [(0, 3.0)] * 3
    for index in range(4, 9):  # none of them is better
        trial(agent, index, 0, [-1.0], owner=1).goal = 1
    assert agent.next_trial(0) is trials[2]  # its own now: 9 // 3, and no fork
    assert len(agent.envs.forks) == 1


def test_the_last_learner_of_a_member_stays_with_it() -> None:
    agent = agent_on(transfer="own")
    agent.brackets = [(0, 0)]
    trials = [trial(agent, index, 0, [float(index)], owner=int(index == 2)) for index in range(3)]
    assert agent.next_trial(0) is not trials[2]
    assert agent.next_trial(1) is trials[2]
    assert agent.envs.forks == []


@pytest.mark.parametrize("place", ["owner", "left"])
def test_a_fork_never_replaces_another_learner_of_the_same_architecture(place: str) -> None:
    agent = agent_on(transfer="own")
    agent.brackets = [(0, 0)]
    trials = [trial(agent, index, 0, [float(index)], owner=1) for index in range(3)]
    again = trial(agent, 2, 0, [-1.0], owner=0 if place == "owner" else 3)  # the same architecture as the best
    again.left = {0} if place == "left" else set()
    assert agent.next_trial(0) is not trials[2]
    assert agent.next_trial(2) is trials[2]
    assert [target for _, target, _ in agent.envs.forks] == [2]


@pytest.mark.parametrize("scheduler", ["asha", "halving", "hyperband"])
def test_whoever_trains_a_learner_has_all_its_windows(scheduler: str) -> None:
    agent = agent_on(transfer="own", scheduler=scheduler, windows=60)
    ages: list[dict[tuple[int, ...], int]] = [{} for _ in range(4)]  # windows of the learners of each member
    seen = 0
    for window in range(60):
        actions = agent.act(np.zeros((4, 1), dtype=np.float32))
        for source, target, key in agent.envs.forks[seen:]:
            ages[target][key] = ages[source][key]
        seen = len(agent.envs.forks)
        for member, action in enumerate(actions):
            key = tuple(action.tolist())
            assert ages[member].get(key, 0) == len(agent.running[member].samples), f"window {window}"
            ages[member][key] = ages[member].get(key, 0) + 1
        agent.learn(np.array([value(action) for action in actions]), {})
    assert seen > 5


def test_with_shared_or_fresh_learners_nothing_is_forked() -> None:
    for transfer in ("shared", "fresh"):
        agent = agent_on(transfer=transfer)
        live(agent, 20)
        assert agent.envs.forks == []
        assert max(one.reached for one in agent.trials) > 0


# Brackets


def test_a_synchronous_rung_is_judged_when_it_is_full_and_the_next_bracket_begins_meanwhile() -> None:
    agent = agent_on(scheduler="halving", num_envs=2)
    live(agent, 4, members=2)
    assert (agent.brackets, len(agent.trials)) == ([(9, 0)], 8)
    live(agent, 1, members=2)
    assert (agent.brackets, len(agent.trials)) == ([(9, 0), (9, 0)], 10)  # the tenth has no place in the first
    first = sorted(agent.trials[:9], key=lambda one: -value(one.architecture))
    live(agent, 30, members=2)
    assert [one.reached for one in first] == [2, 1, 1, 0, 0, 0, 0, 0, 0]


def test_brackets_of_hyperband_have_its_sizes() -> None:
    agent = agent_on(scheduler="hyperband", eta=3, max_resource=81, windows=400)
    sizes = []
    for _ in range(6):
        agent.place()
        bracket, first = agent.brackets[-1]
        sizes.append((bracket, agent.rungs[first]))
        for _ in range(bracket):
            trial(agent, len(agent.trials), -1, [], bracket=len(agent.brackets) - 1)
    # n = ceil(5 / (s + 1) * 3^s), r = 81 / 3^s for s = 4, ..., 0.
    assert sizes == [(81, 1), (34, 3), (15, 9), (8, 27), (5, 81), (81, 1)]


# Scores


def test_a_rung_is_scored_by_the_windows_since_the_one_below_or_by_all_measurements() -> None:
    rewards = [0.0, 1.0, 2.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0]
    own, shared = (agent_on(transfer=transfer) for transfer in ("own", "shared"))
    made = trial(own, 1, 2, rewards)
    assert [own.score(made, rung) for rung in range(3)] == [0.0, 1.5, 6.0]
    assert [shared.score(made, rung) for rung in range(3)] == [0.0, 1.0, 39 / 9]
    made.samples += [(0, 9.0)]
    assert own.score(made, 3) == 9.0  # further than the last rung


def test_the_trend_of_shared_weights_is_that_of_uniform_first_measurements() -> None:
    agent = agent_on(num_envs=2)
    for window in range(40):
        made = trial(agent, window, 0, [])
        made.samples = [(window, window / 10), (window, 50.0)]
        trial(agent, window, 0, []).samples = [(window, -50.0)]
        agent.trials[-1].uniform = False
    trend = agent.smoothed()
    assert trend[10:30] == pytest.approx(np.arange(10, 30) / 10, abs=0.25)
    agent.trend = trend
    assert agent.score(agent.trials[0], 0) == pytest.approx(0.0 - trend[0])


@pytest.mark.parametrize(("transfer", "detrended"), [("shared", True), ("own", False), ("fresh", False)])
def test_only_shared_weights_age_with_the_lifetime(transfer: str, detrended: bool) -> None:
    agent = agent_on(transfer=transfer)
    live(agent, 10)
    assert agent.trend.any() == detrended


def test_a_rising_tide_does_not_choose_the_promoted() -> None:
    agent = agent_on(num_envs=4)
    live(agent, 40, rise=1.0)  # 0.5 times the spread of the values, every window
    flat = agent_on(num_envs=4)
    live(flat, 40)
    for one in (agent, flat):
        top = [value(made.architecture) for made in one.trials if made.reached == 2]
        assert np.mean(top) > np.mean([value(made.architecture) for made in one.trials]) + 1


# What is started


def test_no_architecture_is_begun_twice_while_there_are_others() -> None:
    agent = agent_on(sized("2x4"), windows=10)
    live(agent, 3)
    keys = [tuple(one.architecture) for one in agent.trials]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("transfer", "promotion"), [("own", "fork"), ("own", "owner"), ("shared", "fork"), ("fresh", "fork")]
)
@pytest.mark.parametrize("scheduler", ["asha", "halving", "hyperband"])
def test_a_space_of_two_architectures_can_be_searched_to_the_end(transfer: str, scheduler: str, promotion: str) -> None:
    agent = agent_on(sized("1x2"), transfer=transfer, scheduler=scheduler, promotion=promotion)
    live(agent, 40)
    assert agent.recommend(3)[0].tolist() == [1]
    if transfer == "own":  # each member one learner of each, and no more: a second one would not be fresh
        owned = [(member, tuple(one.architecture)) for one in agent.trials for member in {one.owner, *one.left}]
        assert len(owned) == len(set(owned)) == 8
        assert {one.owner for one in agent.trials} == {0, 1, 2, 3}


def test_the_model_knows_which_options_the_better_ones_have() -> None:
    agent = agent_on(sampler="model")
    agent.brackets = [(0, 0)]
    assert agent.effects() is None
    rng = np.random.default_rng(0)
    for _ in range(60):
        architecture = rng.integers(0, 4, 6)
        reward = float(architecture[2] == 3) - float(architecture[5] == 0)
        agent.trials.append(Trial(architecture, 0, 0, 0, True, 0, [(0, reward)]))
    effects = agent.effects()
    assert effects is not None
    assert (np.argmax(effects), np.argmin(effects)) == (4 * 2 + 3, 4 * 5)
    assert effects.sum() == pytest.approx(0, abs=1e-9)


def test_the_model_weighs_measurements_by_their_number_and_fits_by_hand() -> None:
    agent = agent_on(sized("1x2"))
    trials = [
        Trial(np.array([0]), 0, 0, 0, True, 0, [(0, 1.0)]),
        Trial(np.array([1]), 0, 0, 1, True, 1, [(0, 3.0)] * 3),
    ]
    # Weights 1 and 3, mean 2.5: centred codes (3/4, -3/4) and (-1/4, 1/4), scores -1.5 and 0.5, penalty 1. The slope d
    # of (1, -1) minimises (1.5 d + 1.5)^2 + 3 (0.5 d + 0.5)^2 + 2 d^2: d = -3 / 5.
    assert agent.fitted(trials, [0, 1]) == pytest.approx([-0.6, 0.6])


def test_two_in_three_starts_are_the_models() -> None:
    agent = agent_on(sampler="model", windows=200)
    live(agent, 200)
    assert 0.25 < np.mean([one.uniform for one in agent.trials]) < 0.42
    chosen, drawn = (np.mean([value(t.architecture) for t in agent.trials if t.uniform == u]) for u in (False, True))
    assert chosen > drawn + 2


@pytest.mark.parametrize("space", [WIDE, WIDE_LIMITED], ids=["wide", "wide limited"])
def test_everything_that_is_trained_is_an_architecture_of_the_space(space: SearchSpace) -> None:
    for window in live(agent_on(space, sampler="model"), 10):
        for action in window:
            assert space.canonical(np.array(action)).tolist() == list(action)


# The rest


def test_it_recommends_the_highest_rung_first_and_then_the_score_there() -> None:
    agent = agent_on()
    trial(agent, 1, 0, [9.0])
    trial(agent, 2, 1, [1.0, 1.0, 1.0])
    trial(agent, 3, 1, [2.0, 2.0, 2.0])
    trial(agent, 3, 0, [20.0])  # again, elsewhere
    trial(agent, 4, -1, [30.0])
    assert [one.tolist()[:2] for one in agent.recommend(9)] == [[3, 0], [2, 0], [1, 0], [0, 1]]
    assert len(agent.recommend(2)) == 2


def test_one_member_one_window_equal_rewards_and_diverged_ones_are_no_trouble() -> None:
    for members in (1, 3):
        for windows in (1, 5):
            agent = agent_on(sized("1x3"), windows=windows, num_envs=members, sampler="model")
            for _ in range(windows):
                agent.act(np.zeros((members, 1), dtype=np.float32))
                agent.learn(np.full(members, -1.0), {})
            assert 1 <= len(agent.recommend(3)) <= 3


def test_a_search_repeats_under_its_seed() -> None:
    assert live(agent_on(seed=3, sampler="model"), 20) == live(agent_on(seed=3, sampler="model"), 20)
    assert live(agent_on(seed=3), 5) != live(agent_on(seed=4), 5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"eta": 1}, "eta: expected an integer of at least 2, got 1"),
        ({"min_resource": 0}, "min_resource: expected an integer of at least 1, got 0"),
        ({"min_resource": 4, "max_resource": 3}, "max_resource: expected an integer of at least 4, got 3"),
        ({"min_resource": 9, "windows": 8}, "min_resource: expected at most the 8 windows, got 9"),
        ({"scheduler": "hyperbnd"}, "Did you mean 'hyperband'"),
        ({"sampler": "modle"}, "Did you mean 'model'"),
        ({"promotion": "folk"}, "Did you mean 'fork'"),
        ({"promotion": "owner"}, "promotion: expected no value beside transfer 'shared', got owner"),
        (
            {"promotion": "owner", "transfer": "fresh"},
            "promotion: expected no value beside transfer 'fresh', got owner",
        ),
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        agent_on(**arguments)
