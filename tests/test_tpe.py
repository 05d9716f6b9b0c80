"""Optuna's samplers as an agent: what is asked, what is told, and what becomes of proposals outside the space."""

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

optuna = pytest.importorskip("optuna")

from archgym.agents.tpe import NEED_SCIPY, SAMPLERS, TRIES, Agent, Args  # noqa: E402  (nothing to test without optuna)
from archgym.search_space import Constraint, SearchSpace, max_params  # noqa: E402
from archgym.search_spaces.grid import sized  # noqa: E402
from archgym.search_spaces.mlp_wide import SPACE as WIDE  # noqa: E402

GRID = sized("4x3")
LIMITED = WIDE.constrained(max_params(WIDE, 3000, 4, 2))
STATES = optuna.trial.TrialState


def agent_on(space: SearchSpace, **arguments: Any) -> Agent:
    return Agent(SimpleNamespace(unwrapped=SimpleNamespace(search_space=space)), Args(**arguments))


def observations(members: int) -> np.ndarray:
    return np.zeros((members, 1), dtype=np.float32)


def search(space: SearchSpace, windows: int = 12, members: int = 3, **arguments: Any) -> tuple[Agent, np.ndarray]:
    """Search for many zeros; gives the agent and its actions (windows, members, choices)."""
    agent, actions = agent_on(space, **arguments), []
    for _ in range(windows):
        actions.append(agent.act(observations(members)))
        agent.learn(-actions[-1].mean(1), {})
    return agent, np.stack(actions)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_repeats_under_its_seed(sampler: str) -> None:
    first, again, other = (search(LIMITED, sampler=sampler, seed=seed)[1] for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("members", [1, 4])
def test_every_proposal_is_an_architecture_of_the_space(sampler: str, members: int) -> None:
    for action in search(LIMITED, members=members, sampler=sampler)[1].reshape(-1, len(LIMITED.choices)):
        assert LIMITED.canonical(action).tolist() == action.tolist()


def test_tpe_comes_closer_to_many_zeros_than_random_draws() -> None:
    found = {name: search(sized("6x4"), 25, sampler=name)[1][-8:].mean() for name in ("tpe", "random")}
    assert found["tpe"] < 0.6 * found["random"]


def test_a_trial_holds_the_active_choices_of_what_was_trained_and_its_reward() -> None:
    agent = agent_on(WIDE)
    actions = agent.act(observations(5))
    agent.learn(np.arange(5.0), {})
    for number, (trial, action) in enumerate(zip(agent.study.trials, actions, strict=True)):
        inactive = WIDE.inactive_positions(action)
        active = {
            c.name: int(i) for p, (c, i) in enumerate(zip(WIDE.choices, action, strict=True)) if p not in inactive
        }
        assert trial.params == active
        assert (trial.value, trial.state) == (number, STATES.COMPLETE)


def test_trials_under_way_are_running_until_the_window_is_over() -> None:
    agent = agent_on(GRID)
    agent.act(observations(4))
    assert [trial.state for trial in agent.study.trials] == [STATES.RUNNING] * 4
    agent.learn(np.zeros(4), {})
    assert [trial.state for trial in agent.study.trials] == [STATES.COMPLETE] * 4


def test_detrended_tells_rewards_less_the_mean_of_the_last_two_windows() -> None:
    agent = agent_on(GRID, detrended=True)
    for rewards in ([0.0, 0.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]):
        agent.act(observations(4))
        agent.learn(np.array(rewards), {})
    # Four members: one neighbouring window makes eight rewards. Means 0.5 and 2.5, their mean 1.5.
    assert [trial.value for trial in agent.study.trials] == [-0.5, -0.5, 0.5, 0.5, -0.5, 0.5, 1.5, 2.5]


def test_a_proposal_outside_the_space_is_told_as_pruned_and_replaced() -> None:
    even = GRID.constrained(Constraint("an even sum", lambda architecture: architecture.sum() % 2 == 0))
    agent, actions = search(even)
    assert (actions.sum(-1) % 2 == 0).all()
    states = [trial.state for trial in agent.study.trials]
    assert states.count(STATES.COMPLETE) == actions.shape[0] * actions.shape[1]
    pruned = [trial for trial in agent.study.trials if trial.state == STATES.PRUNED]
    assert pruned
    assert all(sum(trial.params.values()) % 2 for trial in pruned)


def test_after_so_many_proposals_outside_the_space_its_own_sample_becomes_the_trial() -> None:
    single = sized("8x4").constrained(Constraint("all threes", lambda architecture: bool((architecture == 3).all())))
    agent = agent_on(single, sampler="random")
    actions = agent.act(observations(2))
    assert (actions == 3).all()
    assert agent.learn(np.array([0.5, -1.0]), {}) == {"charts/rejected_proposals": 2 * TRIES}
    told = [trial for trial in agent.study.trials if trial.state == STATES.COMPLETE]
    assert [set(trial.params.values()) for trial in told] == [{3}, {3}]
    assert [trial.value for trial in told] == [0.5, -1.0]


@pytest.mark.parametrize("sampler", ["gp", "tpe"])
def test_until_so_many_rewards_are_in_one_rejection_is_the_last(sampler: str) -> None:
    narrow = sized("6x4").constrained(Constraint("few", lambda architecture: architecture.sum() % 16 == 0))
    agent = agent_on(narrow, startup=7, seed=3, sampler=sampler)
    rejected = []
    for _ in range(3):  # 0, 3 and 6 rewards
        agent.learn(-agent.act(observations(3)).mean(1), {})
        rejected.append(agent.rejected)
    assert rejected == [1, 0, 0]


@pytest.mark.parametrize("sampler", ["gp", "tpe"])
def test_where_nothing_is_rejected_the_space_is_not_drawn_from(sampler: str) -> None:
    agent, fresh = agent_on(GRID, startup=7, sampler=sampler), agent_on(GRID, startup=7, sampler=sampler)
    for _ in range(3):
        agent.learn(-agent.act(observations(3)).mean(1), {})
    assert agent.rng.bit_generator.state == fresh.rng.bit_generator.state


def test_once_so_many_rewards_are_in_proposals_are_the_samplers() -> None:
    narrow = sized("6x4").constrained(Constraint("few", lambda architecture: architecture.sum() % 16 == 0))
    for startup, more in ((3, True), (4, False)):
        agent = agent_on(narrow, startup=startup)
        agent.act(observations(3))
        agent.learn(np.zeros(3), {})
        agent.act(observations(3))
        assert (agent.rejected > 1) == more


def test_samplers_without_a_startup_are_asked_from_the_beginning() -> None:
    agent = agent_on(GRID, sampler="qmc")
    actions = agent.act(observations(3))
    rng = agent_on(GRID, sampler="qmc").rng
    assert actions.tolist() != [GRID.sample(rng).tolist() for _ in range(3)]


def test_a_space_of_one_choice_is_searched_for_longer_than_it_has_options() -> None:
    agent, actions = search(sized("1x2"), windows=15)
    assert set(actions.ravel().tolist()) == {0, 1}
    assert len(agent.study.trials) == 45


def test_members_that_all_diverge_are_no_obstacle() -> None:
    agent = agent_on(GRID)
    for _ in range(6):
        agent.act(observations(4))
        agent.learn(np.full(4, -1.0), {})
    assert len(agent.study.trials) == 24


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ValueError, match=r"pip install 'archgym\[optuna\]'"):
        agent_on(GRID)


@pytest.mark.parametrize("sampler", NEED_SCIPY)
def test_without_scipy_a_sampler_that_needs_it_says_so(sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ValueError, match=f"expected the package scipy for '{sampler}', got none installed"):
        agent_on(GRID, sampler=sampler)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"sampler": "cmaes"}, "sampler"),
        ({"startup": 0}, "startup: expected"),
        ({"sampler": "nsga2", "population": 1}, "population: expected at least 2 individuals, got 1"),
        ({"population": 20}, "population: expected no value beside sampler 'tpe', got 20"),
        ({"sampler": "random", "startup": 5}, "startup: expected no value beside sampler 'random', got 5"),
        ({"sampler": "nsga3", "startup": 5}, "startup: expected no value beside sampler 'nsga3', got 5"),
    ],
)
def test_a_wrong_setting_is_refused_with_a_sentence(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        agent_on(GRID, **arguments)


def test_optuna_says_nothing(capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)
    for sampler in SAMPLERS:
        search(GRID, 4, sampler=sampler)
    assert optuna.logging.get_verbosity() == optuna.logging.WARNING
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
