"""Comparisons on recorded tables: what is looked up, what is equal, what is resampled, and that nothing is trained."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym import lookup
from archgym import table as tables
from archgym.__main__ import main
from archgym.compare import command as compare
from archgym.compare import page as compare_page
from archgym.compare import scoreboard_tabular
from archgym.compare.tabular import TabularComparison, points, search_many, search_once
from archgym.running import search
from archgym.running.arms import Args, TabularArgs
from archgym.table import Table
from archgym.table_describe.stats import maximum_bias
from archgym.tabular import Tabular

pytestmark = pytest.mark.filterwarnings("ignore:windows=.* is more than")  # the planted tables are short
SMALL: dict[str, Any] = {"env_id": "ArchSearch-DQN-Tabular-v0", "windows": 6, "seeds": 12}
SMALL |= {"worlds": 3, "jobs": 1}
ARMS = ["local-search", "fixed:architecture=depth=3 width=64 activation=elu"]
AGENT = """
from dataclasses import dataclass
import os
import numpy as np
from archgym.running.arguments import SearchArgs

@dataclass(frozen=True)
class Args(SearchArgs):
    fault: str = "raises"
    \"\"\"What goes wrong.\"\"\"

class Agent:
    def __init__(self, envs, args):
        self.args, self.windows = args, 0

    def act(self, observations):
        self.windows += 1
        if self.windows == 3 and self.args.seed == 2:
            if self.args.fault == "dies":
                os._exit(9)
            raise RuntimeError("out of ideas")
        return np.zeros((len(observations), 3), dtype=np.int64)

    def learn(self, rewards, infos):
        return {}
"""


@pytest.fixture(scope="module")
def recorded(planted_table: Callable[..., Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a table in which the architecture decides nearly everything, and the last one is the best."""
    drawn = planted_table(seeds=6, windows=4, ages=(2, 4))
    rng, shape = np.random.default_rng(1), drawn.columns["raw_return"].shape
    effects = np.linspace(50, 400, shape[0])[:, None, None]
    columns = {**drawn.columns, "raw_return": effects + rng.normal(0, 5, (*shape[:2], 1)) + np.arange(shape[2])}
    path = tmp_path_factory.mktemp("table") / "t.npz"
    tables.save(Table(drawn.card, drawn.architectures, columns, drawn.evaluations, drawn.supernet), path)
    return path


@pytest.fixture(scope="module")
def done(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One comparison, and what it wrote."""
    folder = tmp_path_factory.mktemp("compare") / "run"
    assert compare.main(ARMS, TabularArgs(**SMALL, table=str(recorded), out=folder)) == 0
    content: dict[str, Any] = json.loads((folder / "compare.json").read_text())
    return {"folder": folder, **content}


def comparison(recorded: Path, folder: Path, arms: list[str] = ARMS, **other: Any) -> TabularComparison:
    return TabularComparison(arms, TabularArgs(**{**SMALL, "table": str(recorded), "out": folder, **other}))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "searches.jsonl").read_text().splitlines()]


# What is looked up


def test_searches_leave_a_line_each_and_no_run_folder(done: dict[str, Any]) -> None:
    names = {path.name for path in done["folder"].iterdir()}
    assert names == {"plan.json", "lock", "searches.jsonl", "worlds", "compare.json", "report.html"}
    found = {(one["arm"], one["task"], one["seed"]) for one in lines(done["folder"])}
    assert len(found) == len(lines(done["folder"])) == 4 * 12


def test_a_line_is_what_a_search_in_a_fresh_environment_of_its_world_comes_to(
    done: dict[str, Any], recorded: Path
) -> None:
    own = comparison(recorded, done["folder"])
    for one in lines(done["folder"])[::7]:
        arm = next(arm for arm in own.arms if arm.name == one["arm"])
        args = own.search_args(arm, one["task"], one["seed"])
        assert args.table == str(done["folder"] / "worlds" / f"CartPole-v1__{(one['seed'] - 1) % 3 + 1}.npz")
        again = search_once(arm.agent, args, search.make(args))
        recorded_parts = {name: one[name] for name in again if name != "decision"}
        assert recorded_parts == {name: value for name, value in again.items() if name != "decision"}


def test_recommendations_score_the_area_of_their_curves_on_the_test_seeds(done: dict[str, Any], recorded: Path) -> None:
    table, board = tables.load(recorded), done["boards"]["recommendation"]
    for one in lines(done["folder"]):
        row, seed = table.index(one["recommended"]), one["seed"] - 1
        assert board["scores"][one["arm"]][0][seed] == pytest.approx(table.truth("area")[row], abs=1e-6)
        for kind in ("last_fifth", "greedy"):
            assert board[kind][one["arm"]][0][seed] == pytest.approx(table.truth(kind)[row], abs=1e-6)
        assert board["architectures"][one["arm"]][0][seed] == table.space.label(table.architectures[row])
        assert board["parameters"][one["arm"]][0][seed] == table.sizes[row, 0]


def test_regrets_are_the_tables_less_the_bias_of_the_best(done: dict[str, Any], recorded: Path) -> None:
    table, final = tables.load(recorded), done["table"]["final"]
    (bias,) = done["table"]["bias"]
    assert bias == pytest.approx(maximum_bias(table.scores("area")[:, table.card.search_seeds :]))
    for arm in ("random-search", "local-search", "fixed"):
        regrets = [table.regret(one["recommended"]) for one in lines(done["folder"]) if one["arm"] == arm]
        assert final[arm]["regret"][0]["value"] == pytest.approx(max(0.0, np.mean(regrets) - bias))
        assert final[arm]["found"][0] == np.mean(np.array(regrets) == 0)
        incumbents = [
            [table.regret(own) for own in one["incumbents"]] for one in lines(done["folder"]) if one["arm"] == arm
        ]
        curve = np.maximum(0.0, np.mean(incumbents, axis=0) - bias)
        assert done["table"]["curves"][arm][0]["mean"] == pytest.approx(curve)


def test_an_arm_that_recommends_the_best_has_no_regret_and_the_first_rank(recorded: Path, tmp_path: Path) -> None:
    best = tables.load(recorded).space.label(tables.load(recorded).best())
    arm = f"fixed:architecture={best}"
    assert compare.main([arm], TabularArgs(**SMALL, table=str(recorded), out=tmp_path / "run")) == 0
    own = json.loads((tmp_path / "run" / "compare.json").read_text())["table"]["final"][arm]
    assert own["regret"][0]["value"] == 0
    assert own["found"] == [1]
    assert own["rank"]["value"] == 1


def test_simulated_cost_is_that_of_the_windows(done: dict[str, Any]) -> None:
    assert done["table"]["windows"] == points(6)
    assert done["table"]["steps"] == [[400 * end for end in points(6)]]
    assert set(done["boards"]["lifetime"]["steps"].values()) == {6 * 400}


def test_the_best_of_k_has_distinct_recorded_curves_for_the_cost_of_a_search(recorded: Path, tmp_path: Path) -> None:
    own = comparison(recorded, tmp_path / "run", windows=11)
    assert own.drawn("CartPole-v1") == 11 // 4
    assert comparison(recorded, tmp_path / "run", windows=3).drawn("CartPole-v1") == 1
    assert comparison(recorded, tmp_path / "run", windows=400).drawn("CartPole-v1") == 27
    assert comparison(recorded, tmp_path / "run", windows=400).best_of_k("CartPole-v1", 3) == 26  # the planted best
    rows = {own.best_of_k("CartPole-v1", seed) for seed in range(40)}
    assert len(rows) > 8  # it draws
    assert [own.best_of_k("CartPole-v1", seed) for seed in (5, 6)] == [own.best_of_k("CartPole-v1", s) for s in (5, 6)]


def test_the_control_that_needs_longer_curves_than_recorded_is_not_there(done: dict[str, Any]) -> None:
    arms = {"local-search", ARMS[1], "random-search", "fixed"}
    assert set(done["boards"]["lifetime"]["statistics"]) == arms
    assert set(done["boards"]["recommendation"]["statistics"]) == arms | {"best-of-k-random"}


# Worlds


def test_worlds_resample_search_seeds_and_leave_test_seeds_alone(done: dict[str, Any], recorded: Path) -> None:
    table, own = tables.load(recorded), comparison(recorded, done["folder"])
    drawn = []
    for world in range(3):
        places = own.world_seeds("CartPole-v1", world)
        drawn.append(places)
        assert set(places) <= {0, 1, 2}
        found = tables.load(done["folder"] / "worlds" / f"CartPole-v1__{world + 1}.npz")
        assert found.card.seeds == [table.card.seeds[place] for place in [*places, 3, 4, 5]]
        for name, column in table.columns.items():
            np.testing.assert_array_equal(found.columns[name], column[:, [*places, 3, 4, 5]])
    assert len({tuple(places) for places in drawn}) > 1


def test_every_world_has_as_many_searches_of_every_arm(done: dict[str, Any], recorded: Path) -> None:
    own = comparison(recorded, done["folder"])
    assert [sum(own.world(seed) == world for seed in own.seeds) for world in range(own.worlds)] == [4, 4, 4]
    assert comparison(recorded, done["folder"], seeds=5, worlds=20).worlds == 2


def test_no_search_meets_a_test_seed(recorded: Path, tmp_path: Path) -> None:
    table = tables.load(recorded)
    spoilt = {**table.columns, "raw_return": np.array(table.columns["raw_return"])}
    spoilt["raw_return"][:, 3:] = 77.0  # everything on the test seeds
    other = tmp_path / "other.npz"
    tables.save(Table(table.card, table.architectures, spoilt, table.evaluations, table.supernet), other)
    found = []
    for path in (recorded, other):
        folder = tmp_path / path.stem
        assert compare.main(["local-search"], TabularArgs(**SMALL, table=str(path), out=folder)) == 0
        found.append([{**one, "decision": 0} for one in lines(folder)])
    key = ("arm", "task", "seed")
    first, second = ({tuple(one[name] for name in key): one for one in own} for own in found)
    assert first == second


def test_intervals_know_of_the_seeds_of_the_table(planted_table: Callable[..., Table], tmp_path: Path) -> None:
    """Where the architecture is nothing and the seeds are everything, hundreds of searches decide nothing."""
    drawn = planted_table(seeds=6, windows=4, ages=(2, 4))
    shape = drawn.columns["raw_return"].shape
    noise = np.random.default_rng(3).normal(200, 60, (*shape[:2], 1)) + np.zeros(shape)
    path = tmp_path / "noise.npz"
    columns = {**drawn.columns, "raw_return": noise}
    tables.save(Table(drawn.card, drawn.architectures, columns, drawn.evaluations, drawn.supernet), path)
    args = TabularArgs(**{**SMALL, "seeds": 60, "worlds": 10}, table=str(path), out=tmp_path / "run")
    assert compare.main(["local-search"], args) == 0
    content = json.loads((tmp_path / "run" / "compare.json").read_text())
    board = content["boards"]["recommendation"]
    scores = np.array(board["scores"]["random-search"][0])
    own = board["statistics"]["random-search"]
    assert own["high"] - own["low"] > 2 * 2 * 1.96 * scores.std() / np.sqrt(60)  # twice what searches alone would say
    pair = next(pair for pair in board["pairs"] if {pair["first"], pair["second"]} == {"fixed", "random-search"})
    assert pair["holm"] > 0.05


# What is refused, what fails alone, and going on


WRONG = {
    ("--retrain", "5000"): "--retrain, --retrain-seeds: expected none on a recorded table",
    ("--retrain-seeds", "2"): "--retrain, --retrain-seeds: expected none on a recorded table",
    ("--seeds", "3"): "--seeds: expected at least 4 on a recorded table, got 3.",
    ("--worlds", "1"): "--worlds: expected at least 2 on a recorded table, got 1.",
    ("--jobs", "0"): "--jobs: expected at least 1 on a recorded table, got 0.",
    ("--transfer", "shared"): "transfer: expected 'own' or 'fresh' with a table",
    ("--space", "mlp-wide"): "space: expected 'mlp', which the table was recorded with, got 'mlp-wide'.",
    ("--table", "nowhere.npz"): "table: there is no file nowhere.npz.",
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_input_is_one_sentence_and_leaves_nothing(
    words: tuple[str, ...], recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--env-id", SMALL["env_id"], "--table", str(recorded), "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as end:
        main(["compare", "fixed", *given, *words])
    assert end.value.code == 2
    assert WRONG[words] in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_arguments_of_the_other_kind_are_refused(recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected TabularArgs for ArchSearch-DQN-Tabular-v0, got Args"):
        compare.main(["fixed"], Args(env_id=SMALL["env_id"], table=str(recorded), out=tmp_path / "run"))
    with pytest.raises(ValueError, match="expected Args for ArchSearch-DQN-v0, got TabularArgs"):
        compare.main(["fixed"], TabularArgs(env_id="ArchSearch-DQN-v0", out=tmp_path / "run"))


def test_too_few_recorded_seeds_are_refused(planted_table: Callable[..., Table], tmp_path: Path) -> None:
    tables.save(planted_table(seeds=3), tmp_path / "t.npz")
    with pytest.raises(ValueError, match=r"expected at least 2 seeds for searches and 2 for tests.* has 3 in all"):
        comparison(tmp_path / "t.npz", tmp_path / "run").check()


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "mylab_tabular").mkdir()
    (tmp_path / "mylab_tabular" / "__init__.py").touch()
    (tmp_path / "mylab_tabular" / "agent.py").write_text(AGENT)
    monkeypatch.syspath_prepend(tmp_path)
    return "mylab_tabular.agent"


@pytest.mark.parametrize("fault", ["raises", "dies"])
def test_an_arm_that_fails_harms_no_other(fault: str, faulty: str, recorded: Path, tmp_path: Path) -> None:
    folder, arm = tmp_path / "run", f"{faulty}:fault={fault}"
    assert compare.main([arm], TabularArgs(**SMALL, table=str(recorded), out=folder)) == 1
    content = json.loads((folder / "compare.json").read_text())
    (failure,) = content["failures"]
    lost = [2] if fault == "raises" else [2, 5, 8, 11]  # a process takes the other searches of its world along
    assert "RuntimeError: out of ideas" in failure["reason"] or "exit code 9" in failure["reason"]
    scores = content["boards"]["lifetime"]["scores"]
    assert [seed for seed, score in zip(content["seeds"], scores[arm][0], strict=True) if score is None] == lost
    assert None not in scores["random-search"][0]
    statistics = content["boards"]["lifetime"]["statistics"]
    assert {own["searches"] for own in statistics.values()} == {12 - len(lost)}
    assert "1 job failed" in (folder / "report.html").read_text()


def test_arms_that_have_no_seed_in_common_have_a_page(done: dict[str, Any], recorded: Path) -> None:
    own = comparison(recorded, done["folder"])
    for line in lines(done["folder"]):
        if line["seed"] % 2 == (line["arm"] == "random-search"):
            own.found[line["arm"], line["task"], line["seed"]] = line
    content = json.loads(json.dumps(scoreboard_tabular.build(own)))
    assert {one["searches"] for one in content["boards"]["lifetime"]["statistics"].values()} == {0}
    assert "Not known: there is no seed that all arms have ended." in compare_page.render(content)


def test_a_comparison_goes_on_where_it_was_and_ends_with_the_same_numbers(
    done: dict[str, Any], recorded: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    args = {**SMALL, "table": str(recorded), "out": folder}
    own = TabularComparison(ARMS, TabularArgs(**args))
    own.check()
    with own.folder_of_its_own():
        pass  # a comparison that was killed before anything was done
    whole = (done["folder"] / "searches.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "searches.jsonl").write_bytes(b"".join(whole[:17]) + whole[17][:40])  # killed in the middle of a line
    assert compare.main(ARMS, TabularArgs(**args, resume=True)) == 0
    kept = {json.dumps(one, sort_keys=True) for one in map(json.loads, whole[:17])}
    assert kept <= {json.dumps(one, sort_keys=True) for one in lines(folder)}
    assert len(lines(folder)) == 48
    content = json.loads((folder / "compare.json").read_text())
    for part in ("boards", "table", "regret"):
        assert content[part] == done[part]


def test_another_table_is_no_resume(done: dict[str, Any], planted_table: Callable[..., Table], tmp_path: Path) -> None:
    tables.save(planted_table(seeds=6, windows=4, ages=(2, 4), draw=9), tmp_path / "t.npz")
    args = TabularArgs(**SMALL, table=str(tmp_path / "t.npz"), out=done["folder"], resume=True)
    with pytest.raises(ValueError, match="--resume: expected the args"):
        compare.main(ARMS, args)


# Defaults, agents, pages


def test_the_command_line_has_other_defaults_on_tables(recorded: Path) -> None:
    assert TabularArgs(table="x", transfer="own").tabular
    assert Args(env_id=SMALL["env_id"]).tabular
    assert not Args().tabular
    assert (TabularArgs().seeds, TabularArgs().num_envs, TabularArgs().windows) == (200, 1, 100)


@pytest.mark.parametrize("agent", [name for name in lookup.names("archgym.agents") if name != "spos"])
def test_every_bundled_agent_but_one_searches_tables(agent: str, recorded: Path, tmp_path: Path) -> None:
    own = comparison(recorded, tmp_path / "run", [agent], num_envs=1 + len(agent) % 3, windows=4)
    own.check()
    args = own.search_args(own.arms[0], "CartPole-v1", 1)
    found = search_once(own.arms[0].agent, args, search.make(args))
    assert len(found["curve"]) == 4
    assert Tabular(own.problem("CartPole-v1"), 1).table.is_valid(found["recommended"])


def test_what_an_agent_warns_of_is_said_once_and_not_by_every_search(recorded: Path, tmp_path: Path) -> None:
    own = comparison(recorded, tmp_path / "run", ["regularized-evolution"], num_envs=1, windows=4)
    with pytest.warns(UserWarning, match="population: expected at most 3 .*; nothing is bred"):
        own.check()
    every = [own.search_args(own.arms[0], "CartPole-v1", seed) for seed in (1, 2)]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert len(search_many("regularized-evolution", "regularized-evolution", every)) == 2
    assert not said


def test_an_agent_that_selects_by_shared_weights_is_refused_with_a_sentence(recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="transfer: expected one that shares weights beside agent 'spos', got 'own'"):
        comparison(recorded, tmp_path / "run", ["spos"]).check()
    assert not (tmp_path / "run").exists()


def test_nothing_is_trained(done: dict[str, Any]) -> None:
    assert done["trains"] is False
    assert not list(done["folder"].rglob("*.safetensors"))
    assert gym.spec(SMALL["env_id"]).kwargs["table"] == "auto"


def test_the_page_tells_of_tables_and_of_nothing_that_was_not_done(done: dict[str, Any], recorded: Path) -> None:
    text = (done["folder"] / "report.html").read_text()
    for words in ("windows are looked up in recorded tables", "Regret over simulated cost on CartPole-v1", "3 worlds"):
        assert words in text
    for words in ("planted landscape", "fixed-whole-budget", "(Student's t)", "are Student's", "seeds that no search"):
        assert words not in text
    assert f"--table {recorded}" in text
    assert "--retrain" not in text


def test_the_terminal_tells_regrets_and_ranks(done: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    from archgym.compare import scoreboard, scoreboard_tabular

    scoreboard.print_tables(done)
    scoreboard_tabular.print_regrets(done)
    said = capsys.readouterr().out
    assert "looked up on the test seeds" in said
    assert "Regret of recommendations" in said
    assert f"Taken off every regret: {done['table']['bias'][0]:.3f} (CartPole-v1)." in " ".join(said.split())
    assert "best-of-k-random" in said


def test_several_tasks_have_a_table_each_and_ranks_over_all(
    planted_table: Callable[..., Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archgym.table_card.SHIPPED", tmp_path / "shipped")
    for task in ("CartPole-v1", "Acrobot-v1"):
        tables.save(planted_table(seeds=4, task=task), tmp_path / "shipped" / f"dqn--mlp--{task}.npz")
    args = TabularArgs(**SMALL, task="CartPole-v1,Acrobot-v1", out=tmp_path / "run")
    assert compare.main(["local-search"], args) == 0
    content = json.loads((tmp_path / "run" / "compare.json").read_text())
    assert [own["file"] for own in content["table"]["tasks"]] == [
        "dqn--mlp--CartPole-v1.npz",
        "dqn--mlp--Acrobot-v1.npz",
    ]
    for own in content["table"]["final"].values():
        assert len(own["regret"]) == 2
        assert own["rank"]["low"] <= own["rank"]["high"]
    places = [
        sorted(final["regret"][task]["value"] for final in content["table"]["final"].values()).index(
            content["table"]["final"]["local-search"]["regret"][task]["value"]
        )
        + 1
        for task in (0, 1)
    ]
    assert content["table"]["final"]["local-search"]["rank"]["value"] == np.mean(places)
    assert "Average ranks" in (tmp_path / "run" / "report.html").read_text()
    board = content["boards"]["recommendation"]
    assert len(board["by_task"]["local-search"]) == 2
    assert len(lines(tmp_path / "run")) == 2 * 3 * 12
