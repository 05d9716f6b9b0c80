"""What a search may spend on evaluations: settled before it begins, paid by whoever asks, spent to the last step."""

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import archgym  # noqa: F401  (registers the ids)
from archgym import budget, journal
from archgym.agents import random_search, regularized_evolution
from archgym.problem import Problem
from archgym.running import search
from archgym.settings import Settings

SHORT = {"windows": 2, "window_steps": 60, "envs_per_member": 2, "learning_starts": 16, "batch_size": 8}
SEARCH = {"windows": 2, "window_steps": 60, "num_envs": 3}
INNER = ("envs_per_member=2", "learning_starts=16", "batch_size=8")
EPISODE = 500  # CartPole-v1

pytestmark = pytest.mark.filterwarnings("ignore:window_steps=60 is shorter")


def problem(**keywords: Any) -> Problem:
    return Problem(Settings.from_keywords({**SHORT, **keywords}))


def begun(**keywords: Any) -> Any:
    envs = gym.make_vec("ArchSearch-DQN-v0", num_envs=2, journal="", **{**SHORT, **keywords})
    envs.reset(seed=1)
    return envs


class Asking(random_search.Agent):
    """Asks for an evaluation of 2 episodes before every window, and says of how many it will."""

    says = 4

    def __init__(self, envs: Any, args: Any) -> None:
        super().__init__(envs, args)
        self.asked_episodes = self.says

    def act(self, observations: Any) -> Any:
        actions = super().act(observations)
        self.envs.unwrapped.evaluate(actions[:2], 1, [0, 1])
        return actions


class Silent(Asking):
    """Asks all the same."""

    says = 0


class Modest(Asking):
    """Asks for more than it says."""

    says = 3


def found(agent: Any, folder: Path, **arguments: Any) -> tuple[int, list[dict[str, Any]]]:
    """Search; gives the inner steps that it reports, and the rows of its journal."""
    args = random_search.Args(**{**SEARCH, "inner": INNER, "out": folder, **arguments})
    search.run(agent, args, "it", page=False)
    path = folder / "journal.jsonl"
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in journal.read_rows(path.read_bytes(), path)[0]]
    steps: int = json.loads((folder / "recommendation.json").read_text())["search_steps"]
    return steps, rows


# What it is


def test_it_is_what_the_agent_asks_for_and_ten_episodes_of_every_member_at_the_end() -> None:
    assert budget.planned(problem(), 3, None, 0) == 3 * 10 * EPISODE
    assert budget.planned(problem(), 3, None, 7) == (3 * 10 + 7) * EPISODE
    assert budget.planned(problem(), 3, 20_000, 7) == 20_000
    landscape = Problem(Settings(trainer="synthetic"))
    assert budget.planned(landscape, 3, None, 0) == 0
    assert budget.planned(landscape, 3, None, 7) == 7 * EPISODE


def test_it_is_a_whole_number_of_steps_of_all_inner_environments_too() -> None:
    odd = problem(envs_per_member=3)
    assert budget.planned(odd, 1, None, 0) == 6_000  # 5,000 is not: the next multiple of 1,500
    with pytest.raises(ValueError, match=r"expected a multiple of 1500 \(an episode .* is 500 steps\), got 5,000"):
        budget.planned(odd, 1, 5_000, 0)


def test_all_steps_of_a_search_are_those_of_its_windows_and_the_budget() -> None:
    assert budget.search_steps(problem(), 3, 15_000) == 3 * 2 * 60 + 15_000
    own = problem(reward="evaluation", evaluation_episodes=4)
    assert budget.search_steps(own, 3, 15_000) == 3 * 2 * (60 + 4 * EPISODE) + 15_000


# An environment that has one


def test_without_one_there_is_no_limit() -> None:
    envs = begun()
    assert envs.evaluation_left is None
    envs.evaluate(envs.action_space.sample(), 50)
    with pytest.raises(ValueError, match="evaluate_rest: expected an environment with a budget"):
        envs.evaluate_rest(envs.action_space.sample())


def test_who_asks_pays_and_what_is_kept_for_the_end_cannot_be_asked_for() -> None:
    envs = begun(evaluation_steps=14_000)  # 10,000 are kept
    both = envs.action_space.sample()
    envs.evaluate(both, 3)
    assert envs.evaluation_left == 11_000
    with pytest.raises(ValueError, match=r"at most the 1,000 inner steps that are left .*, got 4 episodes .*, 2,000"):
        envs.evaluate(both, 2)
    assert envs.evaluation_left == 11_000
    envs.evaluate(both, 1)
    assert envs.evaluation_left == 10_000
    with pytest.raises(ValueError, match=r"at most the 0 inner steps"):
        envs.evaluate(both[:1], 1, [0])
    assert np.isfinite(envs.evaluate_rest(both)).all()
    assert envs.evaluation_left == 0
    assert np.isnan(envs.evaluate_rest(both)).all()
    envs.reset(seed=2)
    assert envs.evaluation_left == 14_000


def test_the_rest_is_dealt_out_to_the_last_episode(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    envs = gym.make_vec("ArchSearch-DQN-v0", num_envs=2, journal=str(path), evaluation_steps=12_500, **SHORT)
    envs.reset(seed=1)
    both = envs.action_space.sample()
    rest = envs.unwrapped.evaluate_rest(both)
    row = journal.read_rows(path.read_bytes(), path)[0][-1]
    assert (row["episodes"], row["env_steps"]) == ([13, 12], [6_500, 6_000])
    again = begun()
    assert rest.tolist() == [again.evaluate(both[:1], 13, [0])[0], again.evaluate(both[1:], 12, [1])[0]]
    envs.close()


def test_a_single_environment_has_one_as_well() -> None:
    env = gym.make("ArchSearch-DQN-v0", journal="", evaluation_steps=6_000, **SHORT).unwrapped
    env.reset(seed=1)
    action = env.action_space.sample()
    env.evaluate(action[None], 2)
    assert env.evaluation_left == 5_000
    same = gym.make("ArchSearch-DQN-v0", journal="", **SHORT).unwrapped
    same.reset(seed=1)
    assert env.evaluate_rest(action[None]).tolist() == same.evaluate(action[None], 10).tolist()
    assert env.evaluation_left == 0


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        (9_500, r"expected at least 10,000 \(20 episodes at the end, of 500 steps each\), got 9,500"),
        (10_200, r"expected a multiple of 500 .*, got 10,200. Nearest above: 10,500"),
        (-500, "evaluation_steps: expected None or an integer of at least 0, got -500"),
        (1e4, "evaluation_steps: expected None or an integer of at least 0, got 10000.0"),
    ],
)
def test_a_budget_that_does_not_do_is_refused(steps: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        begun(evaluation_steps=steps)


# A search


def test_a_search_spends_the_same_whatever_its_agent_asks_for(tmp_path: Path) -> None:
    expected = 3 * 2 * 60 + (3 * 10 + 50) * EPISODE
    agents = {"plain": random_search.Agent, "asking": Asking, "evolution": regularized_evolution.Agent}
    for name, agent in agents.items():
        args = regularized_evolution.Args if name == "evolution" else random_search.Args
        given = args(**SEARCH, inner=INNER, out=tmp_path / name, evaluation_steps=40_000)
        search.run(agent, given, name, page=False)
    given = random_search.Args(**SEARCH, inner=INNER, out=tmp_path / "rsws", evaluation_steps=40_000)
    shared = {"selection": "shared", "draws": 12, "finalists": 3, "final_episodes": 2}
    search.run(random_search.Agent, type(given)(**{**vars(given), **shared}), "rsws", page=False)
    spent = {path.parent.name: json.loads(path.read_text())["search_steps"] for path in tmp_path.glob("*/rec*.json")}
    assert spent == dict.fromkeys([*agents, "rsws"], expected)
    for name in spent:
        path = tmp_path / name / "journal.jsonl"
        rows = journal.read_rows(path.read_bytes(), path)[0]
        assert sum(sum(row.get("env_steps", ())) for row in rows) == expected


def test_windows_that_are_scored_by_evaluations_take_equal_steps_too(tmp_path: Path) -> None:
    steps, rows = found(random_search.Agent, tmp_path / "run", reward="evaluation")
    trained = [row["env_steps"] for row in rows if row["call"] == "train_window"]
    assert trained == [[60 + 10 * EPISODE] * 3] * 2
    assert steps == 6 * (60 + 10 * EPISODE) + 3 * 10 * EPISODE


def test_the_default_has_room_for_what_the_agent_says(tmp_path: Path) -> None:
    steps, rows = found(Asking, tmp_path / "run")
    assert steps == 3 * 2 * 60 + (30 + 4) * EPISODE
    assert [row["episodes"] for row in rows if row["call"] == "evaluate"] == [1, 1, [10, 10, 10]]
    assert rows[0]["settings"]["evaluation_steps"] == 34 * EPISODE


@pytest.mark.parametrize("agent", [Silent, Modest])
def test_an_agent_that_asks_for_more_than_it_says_is_told(agent: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Give the search more .*or let the agent say what it asks for"):
        found(agent, tmp_path / "run")


def test_what_cannot_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    sentence = r"expected at least 17,000 \(4 that the agent asks for and 30 episodes at the end"
    with pytest.raises(ValueError, match=sentence):
        found(Asking, tmp_path / "run", evaluation_steps=16_500)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("says", [-1, True, "many"])
def test_an_agent_that_says_nonsense_is_told(says: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Asking, "says", says)
    with pytest.raises(ValueError, match="asked_episodes of the agent: expected an integer of at least 0, got"):
        found(Asking, tmp_path / "run")


def test_a_search_that_asked_resumes_after_any_row_with_the_same_budget(tmp_path: Path) -> None:
    _, rows = found(Asking, tmp_path / "whole")
    lines = (tmp_path / "whole" / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for count in range(2, len(lines)):
        folder = tmp_path / str(count)
        folder.mkdir()
        (folder / "journal.jsonl").write_bytes(b"".join(lines[:count]))
        assert found(Asking, folder, resume=True)[1] == rows


def test_random_search_says_how_many_episodes_its_selection_takes() -> None:
    envs = begun()
    for arguments, expected in (({}, 0), ({"selection": "shared"}, 50 + 5 * 2 * 4)):
        args = random_search.Args(num_envs=2, **arguments)
        assert random_search.Agent(envs, args).asked_episodes == expected
    few = random_search.Args(num_envs=2, selection="shared", draws=6, draw_episodes=2, finalists=1, final_episodes=3)
    assert random_search.Agent(envs, few).asked_episodes == 6 * 2 + 3 * 2 * 3  # a search asks for 3 recommendations
