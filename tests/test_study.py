"""A study end to end on planted landscapes: it is made once, survives being killed, and refuses what it is not."""

import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from archgym import journal, lookup
from archgym.__main__ import main
from archgym.running import jobs, workers
from archgym.running.claim import Claim
from archgym.running.launch import parse
from archgym.studies import one_shot
from archgym.study import command, study
from archgym.study.arm import make_arm

AGENTS = ("spos", "spos:episodes=1")
FLAGS = ["--env-id", "ArchSearch-Synthetic-v0", "--space", "grid:3x3", "--window-steps", "2500", "--retrain", "5000"]
FLAGS += ["--agents", *AGENTS, "--seeds", "6", "--sample", "6", "--draws", "50", "--jobs", "1"]
SHORT = [*FLAGS, "--windows", "6"]
SECONDS = re.compile(r"[\d,]+ seconds")  # of wall-clock, which no two runs have in common
FAILING = """
from archgym.agents import spos
Args = spos.Args

class Agent(spos.Agent):
    def learn(self, rewards, infos):
        if self.args.seed in SEEDS:
            raise RuntimeError("out of ideas")
        return {}
"""


def args_of(words: list[str]) -> one_shot.Args:
    args: one_shot.Args = parse(one_shot.Args, words, "archgym study one-shot")
    return args


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One study, and what it wrote."""
    folder = tmp_path_factory.mktemp("study") / "run"
    assert command.main(one_shot.Study(args_of([*SHORT, "--out", str(folder)]))) == 0
    content: dict[str, Any] = json.loads((folder / "study.json").read_text())
    return folder, content


def wrong(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Give the sentence that a command ends with."""
    with pytest.raises(SystemExit) as end:
        main(["study", *words])
    said = capsys.readouterr()
    assert end.value.code == 2, said
    assert said.err.count("\n") == 1
    return said.err


def test_every_arm_has_a_run_for_every_repeat_and_they_share_the_seeds(done: tuple[Path, dict[str, Any]]) -> None:
    folder, content = done
    slugs = {arm: arm.replace(":", "_") for arm in AGENTS}
    assert {path.name for path in (folder / "searches").iterdir()} == set(slugs.values())
    seeds = {arm: sorted(int(path.name) for path in (folder / "searches" / slugs[arm]).iterdir()) for arm in AGENTS}
    assert seeds[AGENTS[0]] == seeds[AGENTS[1]] == sorted(content["seeds"])
    assert [one["name"] for one in content["arms"]] == list(AGENTS)


def test_the_seeds_of_the_repeats_are_far_apart(done: tuple[Path, dict[str, Any]]) -> None:
    """Neighbouring integers would be neighbours among the members of a vector environment."""
    seeds = sorted(done[1]["seeds"])
    assert len(set(seeds)) == 6
    assert min(after - before for before, after in pairwise(seeds)) > 1000
    other = one_shot.Study(args_of([*SHORT, "--seed", "2"])).seeds
    assert not set(other) & set(seeds)
    assert one_shot.Study(args_of([*SHORT, "--seeds", "9"])).seeds[:6] == done[1]["seeds"]


def test_the_arms_of_a_repeat_live_the_same_lifetimes(done: tuple[Path, dict[str, Any]]) -> None:
    folder, content = done
    for seed in content["seeds"]:
        paths = list((folder / "searches").glob(f"*/{seed}/journal.jsonl"))
        assert len(paths) == len(AGENTS)
        rows = [journal.read_rows(path.read_bytes(), path)[0] for path in paths]
        assert rows[0][1]["seeds"] == rows[1][1]["seeds"]
        assert rows[0][0]["settings"] == rows[1][0]["settings"]


def test_a_finished_run_keeps_no_checkpoint(done: tuple[Path, dict[str, Any]]) -> None:
    assert not list(done[0].rglob("*.checkpoint*"))


def test_the_command_on_the_page_makes_the_same_study(done: tuple[Path, dict[str, Any]]) -> None:
    _, content = done
    words = content["command"].split()
    assert words[:3] == ["archgym", "study", "one-shot"]
    again = one_shot.Study(args_of(words[3:]))
    assert again.plan()["args"] == content["args"]
    assert content["command"] in (done[0] / "report.html").read_text()


def test_the_same_command_gives_the_same_numbers_killed_or_not(
    done: tuple[Path, dict[str, Any]], kill: Callable[[subprocess.Popen[str]], int], tmp_path: Path
) -> None:
    """Killed at a random instant, with searches done and under way, it goes on and ends with the very same file."""
    folder = tmp_path / "killed"
    given = [*FLAGS, "--windows", "60", "--out", str(folder)]
    words = [sys.executable, "-m", "archgym", "study", "one-shot", *given]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    ended = lambda: list(folder.glob("searches/*/*/recommendation.json"))  # noqa: E731
    while not ended():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    kill(process)
    assert not (folder / "study.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in ended()}
    assert 0 < len(kept) < 12
    resumed = subprocess.run([*words, "--resume"], capture_output=True, text=True, check=False, env=os.environ)
    assert resumed.returncode == 0, resumed.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    alone = tmp_path / "alone"
    assert command.main(one_shot.Study(args_of([*FLAGS, "--windows", "60", "--out", str(alone)]))) == 0
    numbers = [json.loads((one / "study.json").read_text()) for one in (folder, alone)]
    pages = [SECONDS.sub("", (one / "report.html").read_text()) for one in (folder, alone)]
    for content in numbers:
        content["machine"] = {name: SECONDS.sub("", str(value)) for name, value in content["machine"].items()}
    assert numbers[0] == numbers[1]
    assert pages[0] == pages[1]


# What is refused


def test_a_study_resumed_with_other_arms_or_settings_is_refused(
    done: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = done
    before = (folder / "study.json").read_bytes()
    same = ["one-shot", *SHORT, "--out", str(folder), "--resume"]
    said = wrong(capsys, *same, "--agents", AGENTS[0])
    assert said.endswith(f"was made with: agents {list(AGENTS)!r}; got {[AGENTS[0]]!r}.\n")
    assert "was made with: windows 6; got 7." in wrong(capsys, *same, "--windows", "7")
    assert "was made with: draws 50; got 51." in wrong(capsys, *same, "--draws", "51")
    other = wrong(capsys, "nas-dqn", "--window-steps", "5000", "--out", str(folder), "--resume")
    assert other == f"archgym: --resume: {folder} holds the study 'one-shot', not the study 'nas-dqn'.\n"
    assert (folder / "study.json").read_bytes() == before


def test_a_folder_belongs_to_one_study_and_one_process(
    done: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder, _ = done
    out = ["--out", str(folder)]
    assert "holds a study already: go on with it (--resume)" in wrong(capsys, "one-shot", *SHORT, *out)
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "journal.jsonl").touch()
    search = ["--out", str(tmp_path / "search")]
    assert "search holds a search: choose another folder (--out)." in wrong(capsys, "one-shot", *SHORT, *search)
    nothing = ["--out", str(tmp_path / "none"), "--resume"]
    assert "--resume: expected a study in" in wrong(capsys, "one-shot", *SHORT, *nothing)
    assert not (tmp_path / "none").exists()
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "another study is being written there" in wrong(capsys, "one-shot", *SHORT, *out, "--resume")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nasdqn"], "unknown study 'nasdqn': expected one of controller-transfer, nas-dqn, one-shot. Did you mean"),
        (["one-shot", *SHORT, "--top", "28"], "--top: expected at most the 27 architectures of grid:3x3, got 28."),
        (["one-shot", *SHORT, "--seeds", "0"], "--seeds: expected a positive number, got 0."),
        (["one-shot", *SHORT, "--windows", "0"], "windows"),
        (["one-shot", *SHORT, "--sample", "2"], "--sample: expected at least the 3 of --top, got 2."),
        (["one-shot", *SHORT, "--retrain-seeds", "3"], "--retrain-seeds: expected at least 4, two to choose"),
        (["one-shot", *SHORT, "--score", "best"], "--score: expected area or last_fifth or greedy, got 'best'."),
        (["one-shot", *SHORT, "--score", "greedy"], "area or last_fifth without a table, got 'greedy'"),
        (["one-shot", *SHORT, "--agents", "random-serch"], "unknown agent 'random-serch'"),
        (
            ["one-shot", *SHORT, "--agents", "random-search"],
            "got 'random-search', which ranks by what its windows earned.",
        ),
        (
            ["one-shot", "--agents", "fixed"],
            "rank by a proxy from shared weights (such as enas, spos, random-search:sele",
        ),
        (
            ["one-shot", "--agents", "enas", "enas"],
            "--agents: expected each once, got 'enas' and 'enas', which are the sa",
        ),
        (
            ["one-shot", "--agents", "enas", "enas:controller=default"],
            "got 'enas' and 'enas:controller=default', which are",
        ),
        (["one-shot", "--agents", "enas:controler=enas"], "unknown argument '--controler'"),
        (["one-shot", "--agents", "enas:controller=mazy"], "unknown controller 'mazy'"),
        (["one-shot", "--agents", "enas:update_every=often"], "--update-every: expected int, got 'often'."),
        (["one-shot", "--agents", "enas:controller"], "expected agent:option=value,option=value, got 'controller'."),
        (["one-shot", "--agents", "spos:windows=3"], "windows is shared by all arms: give it as --windows."),
        (
            ["one-shot", "--paper", "nas-dqn"],
            "--paper: expected one that searches by this protocol (mazyavkina), got 'nas",
        ),
        (
            ["one-shot", "--env-id", "ArchSearch-DQN-Tabular-v0"],
            "expected an environment that trains networks, which sha",
        ),
        (["one-shot", *SHORT, "--seed", "-1"], "--seed: expected an integer of at least 0, got -1."),
        (["one-shot", *SHORT, "--table", "dqn--mlp--CartPole-v1"], "expected one of all architectures of grid:3x3"),
        (["one-shot", *SHORT, "--inner", "transfer=own"], "that one-shot does not set itself, got transfer."),
        (["one-shot", *SHORT, "--inner", "num_envs=4"], "settings without a flag of their own, got num_envs."),
        (["one-shot", "--top", "28"], "--top: expected at most the 27 architectures of mlp, got 28."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_input_is_refused_in_a_sentence_before_anything_is_written(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in wrong(capsys, *words)
    assert not list(tmp_path.iterdir())


def test_a_run_that_fails_is_reported_and_its_repeat_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = f"failing_{os.getpid()}"
    words = [
        *SHORT,
        "--windows",
        "2",
        "--out",
        str(tmp_path / "study"),
        "--agents",
        AGENTS[1],
        f"{module}.agent",
    ]
    seeds = one_shot.Study(args_of(SHORT)).seeds[1:3]
    (tmp_path / module).mkdir()
    (tmp_path / module / "__init__.py").write_text("")
    (tmp_path / module / "agent.py").write_text(FAILING.replace("SEEDS", str(seeds)))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    own = one_shot.Study(args_of(words))
    assert command.main(own) == 1
    content = json.loads((tmp_path / "study" / "study.json").read_text())
    assert [one["job"] for one in content["failures"]] == [f"{module}.agent, repeat {place}" for place in (2, 3)]
    assert own.complete == [seed for seed in own.seeds if seed not in seeds]
    assert "failed: " in capsys.readouterr().out
    assert "out of ideas" in (tmp_path / "study" / "report.html").read_text()


def test_what_is_to_be_done_is_said_before_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = one_shot.Study(args_of([*FLAGS, "--windows", "2", "--out", str(tmp_path / "study")]))

    class Begun(Exception):
        pass

    def begin(self: study.Study) -> None:
        assert capsys.readouterr().out == (
            "one-shot: 2 arms x 6 repeats = 12 searches, nothing is trained in them; processes side by side: 1. Then "
            "at most 27 x 10 trainings from scratch, 1,350,000 steps.\n"
            "Nothing can be decided with 6 searches, 10 seeds that judge and 6 random architectures: every answer will "
            "be 'undecided'. 10 answers that hold together with 95 % take at least --seeds 9 with --retrain-seeds 9 "
            "and --sample 9.\n"
        )
        raise Begun

    monkeypatch.setattr(study.Study, "run", begin)
    with pytest.raises(Begun):
        command.main(own)


def test_the_time_that_is_left_is_told_as_soon_as_one_job_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four jobs of 100 s each, one after the other."""
    clock, told = [0.0], []
    work = [workers.Job(f"job {number}", print, ()) for number in range(4)]

    class Pool(workers.Workers):
        def run(self, jobs: Any, tick: Any = None) -> Any:
            for job in jobs:
                tick([job])
                clock[0] += 100
                yield job, None

    monkeypatch.setattr("archgym.running.jobs.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("archgym.running.jobs.Progress.update", lambda self, done, text: told.append(text))
    assert jobs.work(Pool(1), "study", work) == []
    assert told == ["job 0", "job 1; about 5 min left", "job 2; about 3 min left", "job 3; about 2 min left"]


def test_every_study_has_what_the_command_line_needs() -> None:
    for name in lookup.names("archgym.studies"):
        module = lookup.load("archgym.studies", name, "study")
        assert module.Study.name == name
        assert issubclass(module.Args, study.Args)
        assert issubclass(module.Study, study.Study)


def test_settings_without_a_flag_become_inner_ones_and_those_with_one_do_not() -> None:
    arm = make_arm("a", "fixed", "", {"transfer": "shared", "envs_per_member": 2, "learning_rate": 0.1})
    assert arm.args.transfer == "shared"
    assert arm.args.inner == ("envs_per_member=2", "learning_rate=0.1")
    assert arm.args.settings().envs_per_member == 2
    assert arm.command == "archgym search fixed --transfer shared --inner envs_per_member=2 learning_rate=0.1"


def test_a_plan_of_before_an_argument_was_there_is_refused_in_a_sentence(tmp_path: Path) -> None:
    plan = {"study": "one", "args": {"seeds": 3, "table": None}, "arms": {}}
    (tmp_path / "plan.json").write_text(json.dumps({**plan, "args": {"seeds": 3}}))
    with pytest.raises(ValueError, match=r"expected the args that .* was made with: no table; got None"):
        Claim(tmp_path, plan, resume=True)


def test_a_damaged_plan_is_named(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"study": ')
    with pytest.raises(ValueError, match=r"plan\.json is damaged: expected JSON, found none"):
        Claim(tmp_path, {}, resume=True)
