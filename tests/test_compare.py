"""A comparison of agents end to end: what is equal, what is counted, what fails alone, and that it goes on."""

import fcntl
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from math import comb
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym import journal
from archgym.__main__ import main
from archgym.compare import command as compare
from archgym.compare import scoreboard
from archgym.compare.comparison import Comparison
from archgym.problem import Problem
from archgym.running.arms import Args
from archgym.settings import Settings

SMALL = {"env_id": "ArchSearch-Synthetic-v0", "space": "grid:3x3", "windows": 4, "num_envs": 2, "seeds": 3}
SMALL |= {"retrain": 5000, "retrain_seeds": 2, "window_steps": 2500}
WORDS = [part for name, value in SMALL.items() for part in (f"--{name.replace('_', '-')}", str(value))]
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
        self.envs, self.args, self.windows = envs, args, 0

    def act(self, observations):
        self.windows += 1
        actions = np.zeros((len(observations), len(self.envs.unwrapped.search_space.choices)), dtype=np.int64)
        if self.windows == 3 and self.args.seed == 2:
            if self.args.fault == "raises":
                raise RuntimeError("out of ideas")
            if self.args.fault == "dies":
                os._exit(9)
            actions += 99
        return actions

    def learn(self, rewards, infos):
        return {}
"""

TOY = """
import gymnasium as gym

entry = "gymnasium.envs.classic_control:CartPoleEnv"
gym.register("lab/Toy-v0", entry_point=entry, max_episode_steps=40, reward_threshold=39)
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One comparison, and what it wrote."""
    folder = tmp_path_factory.mktemp("compare") / "run"
    assert compare.main(["random-search", "lstm-reinforce", "fixed:architecture=c0=2 c1=2 c2=2"], args(folder)) == 0
    content: dict[str, Any] = json.loads((folder / "compare.json").read_text())
    return {"folder": folder, **content}


def args(folder: Path, **other: Any) -> Args:
    return Args(**{**SMALL, "out": folder, **other})


def rows(folder: Path) -> list[dict[str, Any]]:
    path = folder / "journal.jsonl"
    return journal.read_rows(path.read_bytes(), path)[0]


# What a comparison is


def test_random_search_and_a_fixed_network_are_among_the_arms_whoever_is_asked_for(done: dict[str, Any]) -> None:
    arms = ["random-search", "lstm-reinforce", "fixed:architecture=c0=2 c1=2 c2=2", "fixed"]
    assert list(done["boards"]["lifetime"]["statistics"]) == arms
    assert list(done["boards"]["recommendation"]["statistics"]) == [*arms, "best-of-k-random", "fixed-whole-budget"]


def test_the_arms_of_a_seed_live_the_same_lifetimes(done: dict[str, Any]) -> None:
    for seed in done["seeds"]:
        folders = sorted((done["folder"] / "searches").glob(f"*/*/{seed}"))
        assert len(folders) == 4
        resets = [[row["seeds"] for row in rows(folder) if row["call"] == "reset"] for folder in folders]
        assert resets.count(resets[0]) == 4
        settings = [rows(folder)[0]["settings"] for folder in folders]
        assert settings.count(settings[0]) == 4


def test_different_seeds_live_different_lifetimes(done: dict[str, Any]) -> None:
    seeds = [rows(folder)[1]["seeds"] for folder in (done["folder"] / "searches").glob("*/random-search/*")]
    assert len({tuple(one) for one in seeds}) == 3


def test_all_searches_take_the_same_inner_steps_and_every_training_is_counted(done: dict[str, Any]) -> None:
    search, scratch = 4 * 2 * 2500, 2 * 5000
    assert set(done["boards"]["lifetime"]["steps"].values()) == {search}
    assert set(done["boards"]["recommendation"]["steps"].values()) == {search + scratch}
    assert done["best_of_k"] == search // 5000


def test_a_search_scores_the_mean_of_its_members_and_windows(done: dict[str, Any]) -> None:
    for seed, score in zip(done["seeds"], done["boards"]["lifetime"]["scores"]["random-search"][0], strict=True):
        (folder,) = (done["folder"] / "searches").glob(f"*/random-search/{seed}")
        returns = [row["normalised_return"] for row in rows(folder) if row["call"] == "train_window"]
        assert score == pytest.approx(np.mean(returns))


def test_recommendations_are_trained_from_scratch_on_seeds_that_no_search_has_seen(done: dict[str, Any]) -> None:
    searched = {seed for path in (done["folder"] / "searches").glob("*/*/*") for seed in rows(path)[1]["seeds"]}
    trained = [json.loads(path.read_text())["order"] for path in (done["folder"] / "scratch").glob("*.json")]
    assert trained
    assert not searched & {seed for order in trained for seed in order["seeds"]}
    assert all(order["settings"]["transfer"] == "own" for order in trained)


def test_arms_with_the_same_recommendation_have_the_same_score(done: dict[str, Any]) -> None:
    board = done["boards"]["recommendation"]
    seen: dict[tuple[int, str], float] = {}
    for arm, (labels,) in board["architectures"].items():
        for seed, label in enumerate(labels):
            score = board["scores"][arm][0][seed]
            if arm != "fixed-whole-budget":
                assert seen.setdefault((seed, label), score) == score


def test_the_regret_of_the_incumbent_is_followed_to_the_end_of_the_search(done: dict[str, Any]) -> None:
    for searches in done["regret"].values():
        for one in searches[0]:
            assert one["steps"][-1] == 4 * 2 * 2500
            assert one["steps"] == sorted(one["steps"])
            assert one["seconds"] == sorted(one["seconds"])
            assert min(one["values"]) >= 0


def test_what_a_decision_costs_is_measured_for_every_agent(done: dict[str, Any]) -> None:
    cost = {name: value["decision_ms"] for name, value in done["cost"].items()}
    assert all(value > 0 for value in cost.values())
    assert cost["lstm-reinforce"] > cost["fixed"]


def test_every_pair_is_tested_and_corrected_for_how_many_pairs_there_are(done: dict[str, Any]) -> None:
    for board in done["boards"].values():
        arms = len(board["statistics"])
        assert len(board["pairs"]) == arms * (arms - 1) // 2
        assert all(pair["holm"] >= pair["p"] for pair in board["pairs"])


def test_several_tasks_are_strata_of_one_comparison(tmp_path: Path) -> None:
    assert compare.main([], args(tmp_path / "run", task="CartPole-v1, Acrobot-v1", seeds=2)) == 0
    content = json.loads((tmp_path / "run" / "compare.json").read_text())
    assert content["tasks"] == ["CartPole-v1", "Acrobot-v1"]
    scores = np.array(content["boards"]["lifetime"]["scores"]["random-search"])
    assert scores.shape == (2, 2)
    statistics = content["boards"]["lifetime"]["statistics"]["random-search"]
    assert statistics["iqm"] == pytest.approx(np.sort(scores.ravel())[1:3].mean())


def test_a_task_of_a_module_and_a_namespace_is_compared_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toys.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    assert compare.main([], args(tmp_path / "run", task="toys:lab/Toy-v0", seeds=1, jobs=1)) == 0
    assert (tmp_path / "run" / "searches" / "toys_lab_Toy-v0").is_dir()
    gym.registry.pop("lab/Toy-v0")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A comparison of trained networks, one arm of which asks for evaluations, and with steps that never divide."""
    inner = ("envs_per_member=2", "batch_size=16", "learning_starts=50", "train_frequency=50")
    small = {"env_id": "ArchSearch-DQN-v0", "space": "mlp", "windows": 2, "window_steps": 1254, "seeds": 1}
    small |= {"retrain": 3000, "retrain_seeds": 2, "inner": inner}
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert compare.main([ASKING, "regularized-evolution"], args(folder, **small)) == 0
    content: dict[str, Any] = json.loads((folder / "compare.json").read_text())
    return {"folder": folder, **content}


ASKING = "random-search:selection=shared,draws=4,finalists=1,final_episodes=1"
SPENT = 2 * 2 * 1254 + (2 * 10 + 4 + 3 * 2) * 500  # windows, the ends of the lifetimes, and room for what ASKING asks


def test_networks_are_really_trained_and_end_with_a_greedy_return(trained: dict[str, Any]) -> None:
    lifetime = trained["boards"]["lifetime"]
    for arm in ("random-search", "fixed"):
        assert trained["regret"][arm] == [[None]]
        assert -1 < lifetime["final"][arm][0][0] < 2
        assert lifetime["statistics"][arm]["low"] is None  # one search has no interval
    assert lifetime["pairs"] == []


def test_all_arms_take_equally_many_steps_though_one_asks_for_evaluations(trained: dict[str, Any]) -> None:
    searches = {
        path.parent.parent.name: json.loads(path.read_text())["search_steps"]
        for path in trained["folder"].glob("searches/*/*/*/recommendation.json")
    }
    assert len(searches) == 4
    assert set(searches.values()) == {SPENT}
    assert trained["boards"]["lifetime"]["steps"] == dict.fromkeys(trained["plan"]["arms"], SPENT)
    asked = {
        folder.parent.name: [row["episodes"] for row in rows(folder) if row["call"] == "evaluate"]
        for folder in trained["folder"].glob("searches/*/*/*")
    }
    assert asked["random-search"] == asked["fixed"] == [[15, 15]]
    (first, second, rest) = asked["random-search_selection=shared_draws=4_finalists=1_final_episodes=1"]
    assert (first, second) == (1, 1)
    assert sum(rest) < 30


def test_recommendations_and_their_controls_take_equally_many_steps_too(trained: dict[str, Any]) -> None:
    board = trained["boards"]["recommendation"]
    assert set(board["steps"].values()) == {SPENT + 2 * 2500}
    assert len(board["steps"]) == 6
    results = [json.loads(path.read_text()) for path in (trained["folder"] / "scratch").glob("*.result.json")]
    own = [one for one in results if len(one["order"]["seeds"]) == 1]
    assert trained["best_of_k"] == SPENT // 2500 == 8
    assert sorted(one["steps"] for one in own) == [SPENT // 8] * 8 + [SPENT + 2 * 2500]
    assert SPENT // 8 == 2502  # two windows, after a first one of a single step of both inner environments
    assert all(len(one["curves"][0]) == one["order"]["settings"]["windows"] for one in own)


def test_the_length_of_a_training_that_is_written_down_is_that_in_whole_windows(done: dict[str, Any]) -> None:
    assert done["trained_steps"] == {"CartPole-v1": 5000}
    other = Comparison([], args(done["folder"], retrain=6000))
    assert other.length("CartPole-v1") == 5000


def test_the_best_of_k_are_distinct_and_no_more_than_there_are(tmp_path: Path) -> None:
    small = {"space": "grid:2x2", "windows": 30}
    comparison = Comparison([], args(tmp_path / "run", **small))
    assert comparison.budget("CartPole-v1") // 5000 == 30
    jobs = comparison.drawn_jobs("CartPole-v1", 1)
    assert sorted(job.action for job in jobs) == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert {Problem(Settings(**job.settings)).horizon for job in jobs} == {150_000 // 4}


def test_what_does_not_divide_goes_to_the_first_of_the_best_of_k(tmp_path: Path) -> None:
    small = {"windows": 5, "num_envs": 1, "window_steps": 3004}
    comparison = Comparison([], args(tmp_path / "run", **small))
    jobs = comparison.drawn_jobs("CartPole-v1", 1)
    lengths = [job.settings["windows"] * job.settings["window_steps"] + job.head for job in jobs]
    assert lengths == [5012, 5004, 5004]
    assert sum(lengths) == comparison.budget("CartPole-v1") == 5 * 3004
    assert [job.head for job in jobs] == [12, 4, 4]


@pytest.mark.filterwarnings("ignore:window_steps=400 is shorter")
def test_a_budget_below_one_training_trains_one_network_for_that_long(tmp_path: Path) -> None:
    small = {"windows": 1, "num_envs": 1, "window_steps": 400}
    comparison = Comparison([], args(tmp_path / "run", **small))
    (job,) = comparison.drawn_jobs("CartPole-v1", 1)
    assert (job.settings["windows"], job.settings["window_steps"], job.head) == (1, 400, 0)


# What fails


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "mylab_faulty").mkdir()
    (tmp_path / "mylab_faulty" / "__init__.py").touch()
    (tmp_path / "mylab_faulty" / "agent.py").write_text(AGENT)
    monkeypatch.syspath_prepend(tmp_path)
    return "mylab_faulty.agent"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raises", "RuntimeError: out of ideas"),
        ("dies", "its process ended with exit code 9"),
        ("strays", "ValueError: architecture of 'grid:3x3': expected c0 from 0 to 2"),
    ],
)
def test_an_agent_that_fails_in_the_middle_harms_no_other(
    fault: str, reason: str, faulty: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{faulty}:fault={fault}"
    assert compare.main([name], args(tmp_path / "run")) == 1
    content = json.loads((tmp_path / "run" / "compare.json").read_text())
    (failure,) = content["failures"]
    assert failure["job"] == f"{name} on CartPole-v1, seed 2"
    assert failure["reason"].startswith(reason)
    assert re.sub(r"\s+", " ", reason) in re.sub(r"\s+", " ", capsys.readouterr().out)
    log = tmp_path / "run" / "searches" / "CartPole-v1" / re.sub(r"[:]", "_", name) / "2" / "log.txt"
    assert failure["reason"].endswith(f" (see {log})")
    assert ("Traceback" in log.read_text()) == (fault != "dies")  # a process that is gone writes nothing down
    assert reason in log.read_text() or fault == "dies"
    searches = {arm: one["searches"] for arm, one in content["boards"]["lifetime"]["statistics"].items()}
    assert searches == {name: 2, "random-search": 3, "fixed": 3}
    assert content["boards"]["lifetime"]["scores"][name][0][1] is None
    assert content["boards"]["recommendation"]["scores"][name][0][1] is None


WRONG = {
    ("random-serch",): "unknown agent 'random-serch': .* Did you mean 'random-search'?",
    ("fixed", "fixed"): "arms: expected each once, got 'fixed' twice.",
    ("fixed", "--seeds", "0"): "--seeds: expected a positive number, got 0.",
    ("fixed", "--jobs", "0"): "--jobs: expected a positive number, got 0.",
    ("fixed", "--retrain", "0"): "--retrain: expected a positive number",
    ("fixed", "--seeds", "many"): "--seeds: expected int, got 'many'",
    ("fixed", "--retrain-seeds", "-1"): "--retrain-seeds: expected a positive number, got -1.",
    ("fixed", "--task", "CartPole-v1,CartPole-v1"): "--task: expected each once",
    ("fixed", "--task", "CartPol-v1"): "unknown task 'CartPol-v1'",
    ("fixed", "--spaec", "mlp"): "unknown argument '--spaec': .* Did you mean '--space'",
    ("fixed", "--task", "CartPole-v1,LunarLander-v3", "--window-steps", "None"): (
        "expected one length of a window for all tasks; theirs are CartPole-v1 2500, LunarLander-v3 5000."
    ),
    ("fixed", "--resume"): "--resume: expected a comparison in .*, found none.",
    ("fixed:architecture",): "arm 'fixed:architecture': expected agent:option=value",
    ("fixed:architectur=default",): "unknown argument '--architectur': .* Did you mean '--architecture'",
    ("fixed:windows=3",): "arm 'fixed:windows=3': windows is shared by all arms: give it as --windows.",
    ("fixed:architecture=c0=9 c1=0 c2=0",): "unknown option of 'c0' '9'",
    ("fixed", "--env-id", "ArchSearch-Synthetc-v0"): "unknown environment",
    (
        "fixed",
        "--evaluation-steps",
        "700",
    ): "evaluation_steps: expected a multiple of 500 .*, got 700. Nearest above: 1",
    ("random-search", "--evaluation-steps", "500", "--env-id", "ArchSearch-DQN-v0", "--space", "mlp"): (
        "evaluation_steps: expected at least 10,000 .20 episodes at the end"
    ),
    (ASKING, "--evaluation-steps", "14500", "--env-id", "ArchSearch-DQN-v0", "--space", "mlp"): (
        "evaluation_steps: expected at least 15,000 .10 that the agent asks for and 20 episodes at the end"
    ),
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_input_gives_one_sentence_and_writes_nothing(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
    folder = tmp_path / "run"
    given = ["compare", *words[:flags], *WORDS, "--out", str(folder), *words[flags:]]
    with pytest.raises(SystemExit) as end:
        main(given)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(WRONG[words], line), line
    assert not folder.exists()


def test_a_comparison_of_nobody_is_not_begun(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["compare"])
    assert end.value.code == 2
    assert "compare: expected at least one agent" in capsys.readouterr().err


def test_the_page_is_written_anew_by_report(done: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    page = done["folder"] / "report.html"
    before = page.read_bytes()
    page.unlink()
    main(["report", str(done["folder"])])
    assert capsys.readouterr().out.strip() == str(page)
    assert page.read_bytes() == before


def test_a_folder_that_holds_a_comparison_is_not_written_over(done: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="holds a comparison already: go on with it"):
        compare.main(["lstm-reinforce"], args(done["folder"]))


@pytest.mark.parametrize("name", ["config.json", "journal.jsonl"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_that_holds_a_search_is_left_alone(name: str, resume: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path))} holds a search: choose another folder"):
        compare.main(["fixed"], args(tmp_path, resume=resume))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_resume_with_other_arms_or_settings_is_refused(done: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected the arms that"):
        compare.main(["lstm-reinforce"], args(done["folder"], resume=True))
    arms = ["random-search", "lstm-reinforce", "fixed:architecture=c0=2 c1=2 c2=2"]
    with pytest.raises(ValueError, match="windows 4; got 5"):
        compare.main(arms, args(done["folder"], windows=5, resume=True))


def test_two_comparisons_do_not_write_to_one_folder(tmp_path: Path) -> None:
    comparison = Comparison([], args(tmp_path / "run"))
    with comparison.folder_of_its_own(), pytest.raises(ValueError, match="another comparison is being written there"):
        compare.main([], args(tmp_path / "run", resume=True))
    assert not (tmp_path / "run" / "searches").exists()


def test_every_arm_acts_on_its_own_view_whichever_is_asked_for(tmp_path: Path) -> None:
    for asked in ("ArchSearch-Synthetic-v0", "ArchSearch-Synthetic-Sequential-v0"):
        comparison = Comparison(["dqn"], args(tmp_path, env_id=asked))
        views = {arm.name: comparison.search_args(arm, "CartPole-v1", 1).env_id for arm in comparison.arms}
        whole = dict.fromkeys(("random-search", "fixed"), "ArchSearch-Synthetic-v0")
        assert views == {"dqn": "ArchSearch-Synthetic-Sequential-v0", **whole}


# Going on


def test_a_comparison_that_was_killed_goes_on_and_ends_with_the_same_scores(
    done: dict[str, Any], kill: Callable[[subprocess.Popen[str]], int], tmp_path: Path
) -> None:
    arms = ["random-search", "lstm-reinforce", "fixed:architecture=c0=2 c1=2 c2=2"]
    command = [sys.executable, "-m", "archgym", "compare", *arms, *WORDS, "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while len(list(tmp_path.glob("run/searches/*/*/*/recommendation.json"))) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    kill(process)
    assert not (tmp_path / "run" / "compare.json").exists()
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("run/searches/*/*/*/recommendation.json")}
    done_again = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)
    assert done_again.returncode == 0, done_again.stderr
    content = json.loads((tmp_path / "run" / "compare.json").read_text())
    assert content["boards"] == done["boards"]
    assert all(path.stat().st_mtime_ns == then for path, then in finished.items())  # nothing was done twice


def test_a_search_cut_in_the_middle_of_its_first_line_begins_anew(tmp_path: Path) -> None:
    comparison = Comparison([], args(tmp_path / "run", seeds=1))
    own = comparison.search_args(comparison.arms[0], "CartPole-v1", 1)
    assert own.out is not None
    own.out.mkdir(parents=True)
    (own.out / "journal.jsonl").write_text('{"check": "0000')
    assert compare.main([], args(tmp_path / "run", seeds=1)) == 0


def test_a_finished_comparison_that_is_resumed_only_writes_its_result_anew(done: dict[str, Any]) -> None:
    arms = ["random-search", "lstm-reinforce", "fixed:architecture=c0=2 c1=2 c2=2"]
    before = {path: path.stat().st_mtime_ns for path in done["folder"].rglob("*.jsonl")}
    assert compare.main(arms, args(done["folder"], resume=True, jobs=1)) == 0
    assert {path: path.stat().st_mtime_ns for path in done["folder"].rglob("*.jsonl")} == before


# The tables


def test_a_verdict_needs_a_corrected_p_below_the_level() -> None:
    assert scoreboard.verdict({"holm": 0.04, "improvement": 0.9}) == "better"
    assert scoreboard.verdict({"holm": 0.04, "improvement": 0.1}) == "worse"
    assert scoreboard.verdict({"holm": 0.05, "improvement": 0.9}) == "undecided"
    assert scoreboard.verdict(None) == "-"


def test_a_pair_reads_the_same_from_both_sides() -> None:
    pair = {"first": "random-search", "second": "other", "improvement": 0.2, "low": 0.1, "high": 0.4, "p": 0.1}
    turned = scoreboard.pair_of([pair], "other", "random-search")
    assert turned is not None
    assert (turned["improvement"], turned["low"], turned["high"]) == pytest.approx((0.8, 0.6, 0.9))
    assert scoreboard.pair_of([pair], "random-search", "random-search") is None


def test_the_tables_show_both_boards_and_negative_results(
    done: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((done["folder"] / "compare.json").read_text())
    pair = next(pair for pair in content["boards"]["lifetime"]["pairs"] if pair["second"] == "lstm-reinforce")
    pair |= {"improvement": 1.0, "low": 1.0, "high": 1.0, "holm": 0.001}  # random search won
    scoreboard.print_tables(content)
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if "lstm-reinforce" in line]
    assert len(lines) == 2
    assert "worse" in lines[0]
    assert "[0.000, 0.000]" in lines[0]


def test_the_lock_is_given_back(tmp_path: Path) -> None:
    comparison = Comparison([], args(tmp_path / "run"))
    with comparison.folder_of_its_own():
        pass
    with (tmp_path / "run" / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_too_few_seeds_are_said_before_anything_is_trained(tmp_path: Path) -> None:
    few = Comparison(["lstm-reinforce"], args(tmp_path / "run"))
    assert few.enough_seeds() == 6  # 5 arms, 10 pairs: 10 x 2 / 252 is above 0.05, and 10 x 2 / 924 is not
    several = Comparison(["lstm-reinforce"], args(tmp_path / "run", task="CartPole-v1,Acrobot-v1"))
    assert several.enough_seeds() == 4  # 10 x 2 / 20^2 is 0.05, which is not below it


def test_so_many_arms_that_ten_thousand_draws_decide_nothing_have_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = Comparison([f"bandits:rate={rate}" for rate in range(1, 41)], args(tmp_path / "run"))
    assert many.enough_seeds() == 9  # 44 arms, 946 pairs: 946 x 2 / 12,870 is above 0.05, 946 x 2 / 48,620 is not
    asked = []
    monkeypatch.setattr(scoreboard, "improvement_p_value", lambda x, y, *, draws: asked.append(draws) or 1.0)
    monkeypatch.setattr(scoreboard, "stratified_interval", lambda *samples, **_: (0.0, 1.0))
    for arms in (11, 44):
        scoreboard._statistics({f"arm {place}": [[0.0, 1.0]] for place in range(arms)})
        assert set(asked[-comb(arms, 2) :]) == {10_000 if arms == 11 else 47_300}
        assert comb(arms, 2) / (1 + asked[-1]) < 0.05
