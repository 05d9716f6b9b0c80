"""What every agent of the shelf promises, on planted landscapes: it learns, repeats, keeps the budget and resumes."""

import json
import re
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from scipy.stats import wilcoxon

import archgym  # noqa: F401  (registers the ids)
from archgym import lookup
from archgym.running import search
from archgym.running.agent import incumbents

AGENTS = lookup.names("archgym.agents")
CONTROLS = ("fixed", "random-search")  # do not learn
UNIFORM = (
    "spos",
)  # learn nothing from rewards: their windows are random search's, and only what they recommend is not
LEARNERS = [name for name in AGENTS if name not in CONTROLS]
LANDSCAPES, LEVEL = 16, 0.01  # repeats, and the level of the one-sided tests
MEMBERS, WINDOWS, STEPS = (
    4,
    40,
    1000,
)  # 160 windows on 4,096 architectures; a window of 1,000 steps is short: no warning
PROBLEM = {"space": "grid:6x4", "windows": WINDOWS, "window_steps": STEPS, "noise": 0.1}

pytestmark = pytest.mark.filterwarnings("ignore:window_steps=1000 is shorter")


def agent_of(name: str, **arguments: Any) -> tuple[Any, Any]:
    """Give the class of an agent, and its arguments for a planted landscape."""
    module = lookup.load("archgym.agents", name, "agent")
    env_id = module.Args.__dataclass_fields__["env_id"].default.replace("DQN", "Synthetic")
    fixed = {"task": "CartPole-v1", "space": PROBLEM["space"], "windows": WINDOWS, "window_steps": STEPS}
    return module.Agent, module.Args(**{**fixed, "env_id": env_id, "num_envs": MEMBERS, **arguments})


def live(name: str, landscape: int, **arguments: Any) -> tuple[Any, list[list[list[int]]], list[list[int]]]:
    """Let an agent search a landscape; gives the environment, the actions (members, windows) and what it recommends."""
    agent_class, args = agent_of(name, seed=landscape, **arguments)
    envs = gym.make_vec(args.env_id, num_envs=MEMBERS, journal="", landscape=landscape, **PROBLEM)
    agent = agent_class(envs, args)
    for _ in search.windows(envs, agent, args.seed):
        pass
    histories = envs.unwrapped.histories
    actions = [[result.action for result in history] for history in histories]
    chosen = agent.recommend(1) if hasattr(agent, "recommend") else incumbents(histories, 1)
    return envs.unwrapped, actions, [list(map(int, one)) for one in chosen]


@cache
def regrets(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Give the true regret on every landscape: of the last quarter of the windows (mean), of the recommendation."""
    late, recommended = [], []
    for landscape in range(LANDSCAPES):
        envs, actions, chosen = live(name, landscape)
        last = [action for history in actions for action in history[-WINDOWS // 4 :]]
        late.append(np.mean([envs.regret(action) for action in last]))
        recommended.append(envs.regret(chosen[0]))
    return np.array(late), np.array(recommended)


@pytest.mark.parametrize("name", LEARNERS)
def test_it_finds_a_planted_optimum_faster_than_random_search(name: str) -> None:
    first = 1 if name in UNIFORM else 0
    for learner, control in zip(regrets(name)[first:], regrets("random-search")[first:], strict=True):
        assert learner.mean() < control.mean()
        assert wilcoxon(learner, control, alternative="less").pvalue < LEVEL


def test_random_search_does_not_learn() -> None:
    late, _ = regrets("random-search")
    envs = gym.make_vec("ArchSearch-Synthetic-v0", num_envs=1, landscape=0, **PROBLEM).unwrapped
    rng = np.random.default_rng(0)
    drawn = [envs.regret(envs.search_space.sample(rng)) for _ in range(400)]
    assert abs(late.mean() - np.mean(drawn)) < 0.05


@pytest.mark.parametrize("name", AGENTS)
def test_the_same_seed_gives_the_same_search(name: str) -> None:
    first, again = live(name, 7), live(name, 7)
    assert first[1:] == again[1:]
    if name != "fixed":
        assert live(name, 8)[1] != first[1]


@pytest.mark.parametrize("name", AGENTS)
def test_every_window_is_an_architecture_and_the_budget_is_kept_to_the_step(name: str) -> None:
    envs, actions, chosen = live(name, 3)
    assert [len(history) for history in actions] == [WINDOWS] * MEMBERS
    for action in [*(action for history in actions for action in history), *chosen]:
        assert envs.search_space.canonical(action).tolist() == action
    assert sum(result.env_steps for history in envs.histories for result in history) == MEMBERS * WINDOWS * STEPS


@pytest.mark.parametrize("name", AGENTS)
def test_it_copes_with_one_member_constraints_and_inactive_choices(name: str) -> None:
    agent_class, args = agent_of(name, space="mlp-wide", num_envs=1, windows=6, max_params=3_000, seed=5)
    envs = gym.make_vec(args.env_id, num_envs=1, journal="", **args.environment())
    agent = agent_class(envs, args)
    assert sum(1 for _ in search.windows(envs, agent, args.seed)) == 6
    assert all(result.parameters <= 3_000 for result in envs.unwrapped.histories[0])
    chosen = agent.recommend(3) if hasattr(agent, "recommend") else incumbents(envs.unwrapped.histories, 3)
    for architecture in chosen:
        envs.unwrapped.search_space.canonical(architecture)


@pytest.mark.parametrize("name", AGENTS)
def test_a_search_cut_at_any_line_of_its_journal_ends_as_it_would_have(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(len(name))
    agent_class, args = agent_of(name, windows=12, num_envs=2, seed=2, out=tmp_path / "whole")
    whole = search.run(agent_class, args, name)
    lines = (whole / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (cut := tmp_path / "cut").mkdir()
    keep = int(rng.integers(2, len(lines)))
    (cut / "journal.jsonl").write_bytes(b"".join(lines[:keep]) + lines[keep][:20])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="resume: dropped a half-written")
        search.run(agent_class, type(args)(**{**vars(args), "out": cut, "resume": True}), name)
    for file in ("recommendation.json",):
        assert (cut / file).read_text() == (whole / file).read_text()
    assert told(cut) == told(whole)


@pytest.mark.parametrize("name", AGENTS)
def test_a_search_of_a_single_window_is_never_refused_for_a_default_and_warned_of_once(
    name: str, tmp_path: Path
) -> None:
    agent_class, args = agent_of(name, windows=1, num_envs=1, out=tmp_path / "run")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        search.run(agent_class, args, name, page=False)
    told = [str(one.message) for one in said if "nothing" in str(one.message)]
    assert len(told) == (name in ("enas", "ppo", "regularized-evolution"))


@pytest.mark.parametrize("name", AGENTS)
def test_the_view_that_it_does_not_act_on_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    agent_class, args = agent_of(name, out=tmp_path / "run")
    whole, sequential = "ArchSearch-Synthetic-v0", "ArchSearch-Synthetic-Sequential-v0"
    wrong, kind = (whole, "single choices") if args.env_id == sequential else (sequential, "whole architectures")
    sentence = f"--env-id: expected a view whose actions are {kind} ({args.env_id}), got {wrong}."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        search.run(agent_class, replace(args, env_id=wrong), name)
    assert not (tmp_path / "run").exists()


def told(folder: Path) -> list[dict[str, Any]]:
    """Read a journal without what depends on the clock."""
    rows = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in ("seconds", "check")} for row in rows]
