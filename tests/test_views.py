"""All views of one problem: the same seed and the same decisions earn the same rewards in every one of them."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import archgym
from archgym.envs import multi_agent
from archgym.envs.editing import EditingEnv, EditingVectorEnv

ENTRY = "archgym.envs.single:ArchSearchEnv"
IDS = sorted(id for id, spec in gym.registry.items() if id.startswith("ArchSearch-") and spec.entry_point == ENTRY)
SIZES = {"windows": 4, "envs_per_member": 2, "window_steps": 60, "exact": True}
SETTINGS = {
    "dqn": {"learning_starts": 16, "batch_size": 8},
    "pqn": {"num_steps": 8},
    "ppo": {"num_steps": 8},
    "synthetic": {"noise": 0.2},
}
LEARNING = ("torch", "archgym.learners", "archgym.population", "archgym.replay", "archgym.supernet", "archgym.trainers")
# Every architecture is one edit away from the one before it, the first one from the start.
START = "depth=2 width=128 activation=relu"
PLAN = ("depth=3 width=128 activation=relu", "depth=3 width=32 activation=relu", "depth=3 width=32 activation=elu")
PLAN = (*PLAN, PLAN[1])
SEED = 5
FILES = sorted((Path(archgym.__file__).parent / "envs").glob("*.py"))

pytestmark = [pytest.mark.filterwarnings("ignore:window_steps=60 is shorter"), pytest.mark.usefixtures("recorded")]


def whole(env: Any, plan: list[np.ndarray]) -> Iterator[Any]:
    for architecture in plan:
        yield env.step(architecture)[1:3]


def sequential(env: Any, plan: list[np.ndarray]) -> Iterator[Any]:
    for architecture in plan:
        told = [env.step(option)[1:3] for option in architecture]
        assert told[:-1] == [(0.0, False)] * (len(architecture) - 1)
        yield told[-1]


def edits(plan: list[np.ndarray], counts: tuple[int, ...], present: np.ndarray) -> Iterator[int]:
    """Give the edits that lead from one architecture of the plan to the next."""
    for architecture in plan:
        (position,) = np.flatnonzero(architecture != present)
        yield int(np.cumsum([0, *counts])[position] + architecture[position])
        present = architecture


def editing(env: Any, plan: list[np.ndarray]) -> Iterator[Any]:
    for action in edits(plan, env.search_space.counts, env.search_space.parse(START)):
        yield env.step(action)[1:3]


def together(env: Any, plan: list[np.ndarray]) -> Iterator[Any]:
    for architecture in plan:
        _, rewards, over, _, _ = env.step(dict(zip(env.possible_agents, architecture.tolist(), strict=True)))
        assert len(set(rewards.values())) == 1
        yield rewards["choice_0"], over["choice_0"]


def in_turn(env: Any, plan: list[np.ndarray]) -> Iterator[Any]:
    for architecture in plan:
        for option in architecture.tolist():
            env.step(option)
        assert len(set(env.rewards.values())) == 1
        yield env.rewards["choice_0"], env.terminations["choice_0"]


def members(envs: Any, actions: list[Any]) -> Iterator[Any]:
    """Let every member act alike; they have one seed."""
    for action in actions:
        _, rewards, over, _, _ = envs.step(np.stack([np.asarray(action)] * 3))
        assert len(set(rewards.tolist())) == 1
        yield float(rewards[0]), bool(over[0])


@pytest.mark.parametrize("id", IDS)
def test_the_same_seed_and_decisions_earn_the_same_rewards_in_every_view(id: str) -> None:
    needs = gym.spec(id).kwargs
    own = {**SIZES, **SETTINGS[str(needs["trainer"])]}
    parts = f"{id.removesuffix('-v0')}-Sequential-v0"
    singles: dict[str, tuple[Any, Any]] = {
        "whole": (gym.make(id, **own), whole),
        "sequential": (gym.make(parts, **own), sequential),
        "editing": (EditingEnv(gym.make(id, **own), start=START), editing),
        "parallel": (multi_agent.parallel_env(**needs, **own), together),
        "aec": (multi_agent.env(**needs, **own), in_turn),
    }
    space = singles["whole"][0].unwrapped.search_space
    plan = [space.parse(label) for label in PLAN]
    told: dict[str, list[Any]] = {}
    for view, (env, live) in singles.items():
        env.reset(seed=SEED)
        told[view] = list(live(env, plan))
    vectors: dict[str, tuple[Any, list[Any]]] = {
        "whole, vector": (gym.make_vec(id, num_envs=3, **own), plan),
        "sequential, vector": (gym.make_vec(parts, num_envs=3, **own), [option for one in plan for option in one]),
        "editing, vector": (
            EditingVectorEnv(gym.make_vec(id, num_envs=3, **own), start=START),
            list(edits(plan, space.counts, space.parse(START))),
        ),
    }
    for view, (envs, actions) in vectors.items():
        envs.reset(seed=[SEED] * 3)
        told[view] = list(members(envs, actions))[:: -(len(actions) // len(plan))][::-1]
    rewards = [reward for reward, _ in told["whole"]]
    assert len(set(rewards)) > 1
    assert [over for _, over in told["whole"]] == [False, False, False, True]
    for view, story in told.items():
        assert story == told["whole"], view


def test_a_state_of_another_view_is_refused_and_changes_nothing() -> None:
    id, parts, own = "ArchSearch-Synthetic-v0", "ArchSearch-Synthetic-Sequential-v0", {"windows": 4}
    views: list[tuple[str, Any]] = [
        ("histories", gym.make(id, **own).unwrapped),
        ("drafts", gym.make(parts, **own).unwrapped),
        ("drafts", gym.make_vec(parts, num_envs=1, **own).unwrapped),
        ("edits", EditingEnv(gym.make(id, **own))),
        ("edits of members", EditingVectorEnv(gym.make_vec(id, num_envs=1, **own))),
    ]
    for seed, (_, env) in enumerate(views):
        env.reset(seed=seed)
    for kept, env in views[1:]:
        before = env.get_state()
        for other in [other for name, other in views if name != kept]:
            with pytest.raises(
                ValueError, match=f"^state: expected one that this view gave, with {kept}, got one with"
            ):
                env.set_state(other.get_state())
            assert env.get_state() == before
    with pytest.raises(ValueError, match=r"with histories, got one with none of a view\.$"):
        views[0][1].set_state(views[0][1]._lives.evaluator.get_state())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_view_loads_nothing_that_trains(path: Path) -> None:
    loaded = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:  # what runs when the module loads
        if isinstance(node, ast.Import):
            loaded |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            loaded |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    assert not [name for name in loaded if f"{name}.".startswith(tuple(f"{one}." for one in LEARNING))]
