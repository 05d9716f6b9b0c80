"""Random search: uniform draws; the selection with shared weights (RSWS) on planted scores and on a real learner."""

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from scipy.stats import chisquare

import archgym  # noqa: F401  (registers the ids)
from archgym.agents.random_search import Agent, Args
from archgym.running import search
from archgym.running.agent import incumbents
from archgym.search_space import SearchSpace, max_params
from archgym.search_spaces.grid import sized
from archgym.search_spaces.mlp import SPACE
from archgym.search_spaces.mlp_wide import SPACE as WIDE

INNER = {"envs_per_member": 2, "learning_starts": 16, "batch_size": 8}
SHORT = {"windows": 2, "window_steps": 60}  # a toy
LIMITED = SPACE.constrained(max_params(SPACE, 5000, 4, 2))
GRID = sized("2x3")
Call = tuple[list[tuple[int, ...]], int, list[int]]

pytestmark = pytest.mark.filterwarnings("ignore:window_steps=60 is shorter")


class Scorer:
    """Stands for an environment that trains: gives planted scores, and keeps what it was asked."""

    def __init__(self, space: SearchSpace, members: int, trains: bool = True) -> None:
        self.search_space, self.num_envs, self.trains = space, members, trains
        self.calls: list[Call] = []
        self.unwrapped = self

    def evaluate(self, architectures: Any, episodes: int, members: list[int]) -> np.ndarray:
        keys = [tuple(one) for one in np.asarray(architectures).tolist()]
        self.calls.append((keys, episodes, list(members)))
        return np.array([self.value(key, episodes) + 100.0 * member for key, member in zip(keys, members, strict=True)])

    def value(self, key: tuple[int, ...], episodes: int) -> float:
        """Members differ by 100, architectures by their options; with many episodes the order is another one."""
        value = 3.0 * key[0] + key[1]
        return value if episodes == 1 else -abs(value - 6.0)


def agent_on(envs: Any, **arguments: Any) -> Agent:
    return Agent(envs, Args(**{"num_envs": envs.num_envs, **arguments}))


def shared(envs: Any, **arguments: Any) -> Agent:
    return agent_on(envs, selection="shared", **arguments)


# The draws


@pytest.mark.parametrize("space", [SPACE, LIMITED], ids=["mlp", "limited"])
def test_it_draws_uniformly_over_the_architectures_of_the_space(space: SearchSpace) -> None:
    actions = agent_on(Scorer(space, 1)).act(np.zeros((3_000, 1), dtype=np.float32))
    drawn, counts = np.unique(actions, axis=0, return_counts=True)
    assert all(one.tolist() == space.canonical(one).tolist() for one in drawn)
    assert len(drawn) == space.size
    assert chisquare(counts).pvalue > 1e-4


def test_the_selection_changes_no_window() -> None:
    plain, other = agent_on(Scorer(SPACE, 3)), shared(Scorer(SPACE, 3))
    for _ in range(4):
        assert (plain.act(np.zeros((3, 1), np.float32)) == other.act(np.zeros((3, 1), np.float32))).all()


def test_it_recommends_by_the_incumbents_rule_unless_told_otherwise() -> None:
    envs = gym.make_vec("ArchSearch-Synthetic-v0", num_envs=2, journal="", space="grid:2x3", **SHORT)
    agent = agent_on(envs)
    assert sum(1 for _ in search.windows(envs, agent, 1)) == 2
    expected = incumbents(envs.unwrapped.histories, 3)
    assert [one.tolist() for one in agent.recommend(3)] == [one.tolist() for one in expected]


# The selection with shared weights, on planted scores


def test_draws_are_dealt_out_once_each_and_finalists_are_scored_by_every_member() -> None:
    envs = Scorer(sized("6x4"), 3)
    shared(envs, draws=11, finalists=2, draw_episodes=1, final_episodes=7).recommend(1)
    (first, one, dealt), (second, many, owners) = envs.calls
    assert (len(first), one, dealt) == (11, 1, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1])
    assert (len(second), many, owners) == (6, 7, [0, 1, 2, 0, 1, 2])
    assert second[0:3] == [second[0]] * 3
    assert second[3:6] == [second[3]] * 3
    assert second[0] != second[3]


def test_a_first_score_is_relative_to_its_members_draws() -> None:
    envs = Scorer(sized("6x4"), 2)
    found = shared(envs, draws=6).first_scores()
    keys, _, dealt = envs.calls[0]
    for member in (0, 1):
        own = [key for key, owner in zip(keys, dealt, strict=True) if owner == member]
        mean = np.mean([envs.value(key, 1) for key in own])
        for key in own:
            assert found[key] == pytest.approx(envs.value(key, 1) - mean)  # the 100 of the second member is gone


def test_what_is_drawn_twice_is_scored_once_by_a_member_and_averaged_over_members() -> None:
    envs = Scorer(sized("1x2"), 2)
    envs.value = lambda key, episodes: float(key[0])  # type: ignore[method-assign]
    found = shared(envs, draws=40).first_scores()
    keys, _, dealt = envs.calls[0]
    assert sorted(zip(keys, dealt, strict=True)) == [((0,), 0), ((0,), 1), ((1,), 0), ((1,), 1)]
    assert found == {(0,): -0.5, (1,): 0.5}


def test_the_best_of_the_finalists_wins_by_its_second_scores() -> None:
    envs = Scorer(GRID, 1)
    found = [tuple(one.tolist()) for one in shared(envs, draws=200, finalists=3).recommend(3)]
    # All nine are drawn. First scores 0 to 8: the finalists are 8, 7 and 6; second scores are -2, -1 and 0.
    assert set(envs.calls[1][0]) == {(2, 2), (2, 1), (2, 0)}
    assert found == [(2, 0), (2, 1), (2, 2)]


def test_the_mean_over_all_members_weights_decides_and_not_the_luckiest_member() -> None:
    class Uneven(Scorer):
        def evaluate(self, architectures: Any, episodes: int, members: list[int]) -> np.ndarray:
            scores = {((0,), 0): 5.0, ((0,), 1): 5.0, ((1,), 0): 9.0, ((1,), 1): 0.0}
            keys = [tuple(one) for one in np.asarray(architectures).tolist()]
            return np.array([scores[pair] for pair in zip(keys, members, strict=True)])

    assert [one.tolist() for one in shared(Uneven(sized("1x2"), 2), draws=40).recommend(2)] == [[0], [1]]


def test_of_equal_second_scores_the_better_first_score_decides() -> None:
    envs = Scorer(GRID, 1)
    envs.value = lambda key, episodes: float(key[1]) if episodes == 1 else 500.0  # type: ignore[method-assign]
    assert shared(envs, draws=200, finalists=9).recommend(1)[0][1] == 2


def test_asking_for_more_than_there_are_finalists_scores_that_many() -> None:
    envs = Scorer(GRID, 1)
    assert len(shared(envs, draws=200, finalists=2).recommend(4)) == 4
    assert len(shared(envs, draws=200, finalists=2).recommend(100)) == GRID.size


def test_a_selection_repeats_under_its_seed() -> None:
    found = [[one.tolist() for one in shared(Scorer(WIDE, 2), seed=seed).recommend(3)] for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


# Refusals


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"selection": "best"}, "unknown selection 'best': expected one of incumbent, shared"),
        ({"transfer": "own"}, "transfer: expected one that shares weights beside selection 'shared', got 'own'"),
        ({"transfer": "fresh"}, "transfer: expected one that shares weights .*, got 'fresh'"),
        ({"cost_weight": 0.1}, "cost_weight: expected 0 beside selection 'shared', .* got 0.1"),
        ({"finalists": 0}, "finalists: expected a positive integer, got 0"),
        ({"draw_episodes": 0}, "draw_episodes: expected a positive integer, got 0"),
        ({"final_episodes": -1}, "final_episodes: expected a positive integer, got -1"),
        ({"draws": 7}, "draws: expected at least two for each of the 4 members, .* got 7"),
    ],
)
def test_what_means_nothing_beside_shared_weights_is_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        agent_on(Scorer(SPACE, 4), **{"selection": "shared", **arguments})


@pytest.mark.parametrize("name", ["draws", "finalists", "draw_episodes", "final_episodes"])
def test_the_settings_of_the_selection_are_refused_where_there_is_none(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected no value beside selection 'incumbent', got 9"):
        agent_on(Scorer(SPACE, 1), **{name: 9})


def test_where_nothing_is_trained_there_are_no_shared_weights_to_select_with() -> None:
    with pytest.raises(ValueError, match="selection: expected 'incumbent' where nothing is trained"):
        shared(Scorer(SPACE, 1, trains=False))


def test_the_incumbents_rule_goes_with_every_transfer() -> None:
    for transfer in ("own", "fresh", "shared"):
        agent_on(Scorer(SPACE, 1, trains=False), transfer=transfer)


# On a real learner


def live(journal: Path, resume: bool = False) -> tuple[list[list[int]], list[dict[str, Any]]]:
    """Search with a tiny DQN; gives what is recommended, and the rows of the journal that scored."""
    arguments = {"num_envs": 2, "journal": str(journal), "resume": resume}
    envs = gym.make_vec("ArchSearch-DQN-v0", **arguments, space="mlp-wide", **SHORT, **INNER)
    agent = shared(envs, draws=6, finalists=3)
    assert sum(1 for _ in search.windows(envs, agent, 1)) == SHORT["windows"]
    chosen = [one.tolist() for one in agent.recommend(2)]
    envs.close()
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    return chosen, [row for row in rows if row.get("call") == "evaluate"]


def test_on_a_real_learner_the_selection_is_on_record_with_its_steps_and_resumes(tmp_path: Path) -> None:
    chosen, (first, second) = live(tmp_path / "whole.jsonl")
    assert (len(first["action"]), first["episodes"], first["members"]) == (6, 1, [0, 1, 0, 1, 0, 1])
    assert (len(second["action"]), second["episodes"], second["members"]) == (3 * 2, 4, [0, 1, 0, 1, 0, 1])
    assert min(first["env_steps"]) >= 1
    assert min(second["env_steps"]) >= 4
    means = np.array(second["raw_return"]).reshape(3, 2).mean(1)
    assert chosen == [second["action"][2 * index] for index in np.argsort(-means, kind="stable")[:2]]
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    place = next(index for index, line in enumerate(lines) if b'"evaluate"' in line)
    (tmp_path / "cut.jsonl").write_bytes(b"".join(lines[: place + 1]))  # the second scores are lost
    again, (one, other) = live(tmp_path / "cut.jsonl", resume=True)
    assert again == chosen
    assert [row["raw_return"] for row in (one, other)] == [row["raw_return"] for row in (first, second)]
