"""SPOS: the windows do train the supernet, its scores are the supernet's, and the selection finds the best of them."""

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import archgym  # noqa: F401  (registers the ids)
from archgym.agents.spos import Agent, Args
from archgym.running import search
from archgym.search_space import SearchSpace, max_params
from archgym.search_spaces.grid import sized
from archgym.search_spaces.mlp import SPACE
from archgym.search_spaces.mlp_wide import SPACE as WIDE

INNER = {"envs_per_member": 2, "learning_starts": 16, "batch_size": 8}
SHORT = {"windows": 12, "window_steps": 60}  # a toy
LIMITED = WIDE.constrained(max_params(WIDE, 3000, 4, 2))

pytestmark = pytest.mark.filterwarnings("ignore:window_steps=60 is shorter")


class Scorer:
    """Stands for an environment: gives planted scores, and keeps what it was asked."""

    def __init__(self, space: SearchSpace, members: int) -> None:
        self.search_space, self.num_envs, self.unwrapped = space, members, self
        self.asked: list[list[tuple[int, ...]]] = []
        self.episodes = 0

    def evaluate(self, architectures: Any, episodes: int, members: list[int]) -> np.ndarray:
        keys = [tuple(one) for one in np.asarray(architectures).tolist()]
        self.asked.append(keys[:: self.num_envs])
        self.episodes += episodes * len(keys)
        assert members == list(range(self.num_envs)) * (len(keys) // self.num_envs)
        return np.array([sum(key) + 100.0 * member for key, member in zip(keys, members, strict=True)])


def agent_on(envs: Any, **arguments: Any) -> Agent:
    return Agent(envs, Args(**{"num_envs": envs.num_envs, **arguments}))


# The selection


def test_a_small_space_is_looked_through_whole_with_every_members_weights() -> None:
    envs = Scorer(SPACE, 3)
    agent = agent_on(envs, episodes=2)
    assert [one.tolist() for one in agent.recommend(2)] == [[2, 2, 2], [1, 2, 2]]
    assert len(envs.asked) == 1
    assert envs.asked[0] == [tuple(one.tolist()) for one in SPACE.enumerate()]
    assert envs.episodes == agent.asked_episodes == 27 * 3 * 2


@pytest.mark.parametrize("space", [sized("8x4"), WIDE, LIMITED], ids=["grid", "wide", "limited"])
def test_a_large_space_is_searched_by_evolution_within_its_evaluations(space: SearchSpace) -> None:
    envs = Scorer(space, 2)
    agent = agent_on(envs, evaluations=90, population=20)
    best = agent.recommend(1)[0]
    scored = [key for generation in envs.asked for key in generation]
    assert [len(generation) for generation in envs.asked] == [20, 20, 20, 20, 10]
    assert len(set(scored)) == 90  # nothing twice
    assert envs.episodes == agent.asked_episodes
    assert all(space.canonical(np.array(key)).tolist() == list(key) for key in scored)
    assert sum(best) == max(map(sum, scored))


def test_evolution_finds_more_than_as_many_draws() -> None:
    gains = []
    for seed in range(10):
        envs = Scorer(sized("8x4"), 1)
        bred = sum(agent_on(envs, seed=seed).recommend(1)[0])
        drawn = Scorer(sized("8x4"), 1)
        gains.append(bred - sum(agent_on(drawn, seed=seed, population=100).recommend(1)[0]))
    assert min(gains) > 0


def test_a_crossover_takes_every_option_from_one_of_its_parents_and_a_mutation_few_from_neither() -> None:
    agent = agent_on(Scorer(sized("40x4"), 1))
    one, two = (0,) * 40, (3,) * 40
    children = [child for child in (agent.crossed([one, two]) for _ in range(20)) if child is not None]
    assert {option for child in children for option in child} == {0, 3}
    assert any(0 < sum(child) < 120 for child in children)
    mutants = [agent.mutated([one]) for _ in range(100)]
    changed = np.mean([option != 0 for mutant in mutants for option in mutant or ()])
    assert changed == pytest.approx(0.1 * 0.75, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"transfer": "own"}, "transfer: expected one that shares weights beside agent 'spos', got 'own'"),
        ({"transfer": "fresh"}, "transfer: expected one that shares weights .*, got 'fresh'"),
        ({"transfer": "restart"}, "transfer: expected one that shares weights .*, got 'restart'"),
        ({"env_id": "ArchSearch-DQN-Tabular-v0"}, "transfer: expected one that shares weights .*, got 'own'"),
        ({"cost_weight": 0.1}, "cost_weight: expected 0 beside agent 'spos', .* got 0.1"),
        ({"evaluations": 0}, "evaluations: expected a positive integer, got 0"),
        ({"episodes": 0}, "episodes: expected a positive integer, got 0"),
        ({"population": 0}, "population: expected a positive integer, got 0"),
    ],
)
def test_what_means_nothing_is_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        agent_on(Scorer(SPACE, 1), **arguments)


# On a real learner


def test_the_spos_step_does_train_the_supernet() -> None:
    """Published defect: its step was taken on a copy of the loss, so that no weight ever moved."""
    envs = gym.make_vec("ArchSearch-DQN-v0", num_envs=2, journal="", space="mlp", **SHORT, **INNER)
    agent = agent_on(envs, windows=SHORT["windows"], episodes=1)
    paths = list(SPACE.enumerate())
    envs.reset(seed=1)
    before = [envs.unwrapped.export(path, member).state_dict() for path in paths for member in (0, 1)]
    assert sum(1 for _ in search.windows(envs, agent, 1)) == SHORT["windows"]
    after = [envs.unwrapped.export(path, member).state_dict() for path in paths for member in (0, 1)]
    pairs = zip(before, after, strict=True)
    moved = [all(not torch.equal(one[name], two[name]) for name in one) for one, two in pairs]
    trained = {(member, *result.action) for member in (0, 1) for result in envs.unwrapped.histories[member]}
    assert len({action[1:] for action in trained}) > 8  # uniform paths
    # Every weight and bias of every path: what it shares with the trained ones is a part of each of its layers.
    assert np.mean(moved) > 0.8
    envs.close()


def test_scores_are_those_of_the_supernets_weights_on_record_and_paid_for(tmp_path: Path) -> None:
    arguments = {"windows": 2, "window_steps": 60, "num_envs": 2, "seed": 4, "episodes": 1, "out": tmp_path}
    args = Args(**arguments, inner=tuple(f"{name}={value}" for name, value in INNER.items()))
    folder = search.run(Agent, args, "spos", page=False)
    rows = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    scored, final = (row for row in rows if row.get("call") == "evaluate")
    assert len(scored["action"]) == 27 * 2
    assert scored["members"] == [0, 1] * 27
    means = np.array(scored["raw_return"]).reshape(27, 2).mean(1)
    expected = [scored["action"][2 * index] for index in np.argsort(-means, kind="stable")[:3]]
    assert json.loads((folder / "recommendation.json").read_text())["architectures"] == expected
    settings = json.loads((folder / "config.json").read_text())["settings"]
    assert settings["evaluation_steps"] == (27 * 2 + 2 * 10) * 500
    assert final["episodes"] == [10, 10]
