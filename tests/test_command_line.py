"""The command line: what it prints and writes, and one sentence for everything that is wrong."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import tyro
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import archgym
from archgym import journal, lookup
from archgym.__main__ import main
from archgym.inner.tasks import get_task
from archgym.problem import Problem
from archgym.running import agent_state, search
from archgym.running.arguments import RECOMMENDATIONS, SearchArgs, flags
from archgym.running.outcome import reached, switches
from archgym.search_spaces.mlp import SPACE
from archgym.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
AGENTS = lookup.names("archgym.agents")
INNER = ("envs_per_member=1", "batch_size=8", "learning_starts=20")
TINY = ["--windows", "2", "--window-steps", "60", "--num-envs", "2", "--inner", *INNER]
FILES = {"config.json", "journal.jsonl", "best.json", "best.safetensors", "recommendation.json", "report.html"}
FILES |= {"journal.checkpoint.safetensors", "agent_seconds.json"}

pytestmark = pytest.mark.filterwarnings("ignore:window_steps=.* is shorter")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def archgym_says(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run one command in this process: its exit code, and what it said where."""
    try:
        main(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    else:
        code = 0
    said = capsys.readouterr()
    return code, said.out, said.err


def rewards_of(folder: Path) -> list[Any]:
    path = folder / "journal.jsonl"
    return [row["reward"] for row in journal.read_rows(path.read_bytes(), path)[0] if "reward" in row]


def tiny(agent: str, out: Path, **arguments: Any) -> tuple[Any, Any]:
    """Give an agent's module and arguments of two short windows."""
    module = lookup.load("archgym.agents", agent, "agent")
    short = {"windows": 2, "window_steps": 60, "num_envs": 2, "inner": INNER, "out": out}
    return module, module.Args(**{**short, **arguments})


# What works


def test_list_names_everything_that_has_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    from archgym import papers, table_card
    from archgym.inner.tasks import TASKS

    code, said, _ = archgym_says("list", capsys=capsys)
    assert code == 0
    names = {line.split()[0] for line in said.splitlines() if line.startswith("  ")}
    ids = {id for id in gym.registry if id.startswith("ArchSearch-")}
    recorded = table_card.shipped() or ["none"]
    known = {*TASKS, *lookup.names("archgym.search_spaces"), *AGENTS, *ids, *recorded}
    assert names == known | {*lookup.names("archgym.studies"), *papers.PAPERS}
    assert "27 architectures: depth (3), width (3), activation (3)" in said
    assert "4,056 architectures" in said
    own = TASKS["MountainCar-v0"].settings["dqn"]
    assert f"; dqn: train_frequency={own['train_frequency']} gradient_steps={own['gradient_steps']}\n" in said


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert archgym_says("--version", capsys=capsys)[:2] == (0, f"{archgym.__version__}\n")


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("search",), ("search", "--help"), ("report", "--help")])
def test_usage_is_shown_to_whoever_asks(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, said, wrong = archgym_says(*words, capsys=capsys)
    assert (code, wrong) == (0, "")
    assert said.startswith("usage: archgym")


def test_doctor_finds_nothing_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = archgym_says("doctor", capsys=capsys)
    assert code == 0, said
    lines = said.splitlines()
    assert len(lines) == 7
    assert all(line.startswith("ok ") for line in lines[:-1])
    assert lines[-1] == "all checks passed"


def test_doctor_fails_where_an_action_has_no_effect(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from archgym import doctor

    monkeypatch.setattr(doctor, "SETTINGS", {**doctor.SETTINGS, "learning_rate": 1e-12})
    code, said, _ = archgym_says("doctor", capsys=capsys)
    assert code == 1
    assert "FAIL  a window changes exactly the weights of the chosen subnet" in said
    assert "1 of 6 checks failed" in said


def test_the_settings_that_a_task_brings_along_are_recorded(tmp_path: Path) -> None:
    for preset, expected in (("default", get_task("MountainCar-v0").settings["dqn"]), ("cleanrl", {})):
        inner = ("envs_per_member=1", "learning_starts=20")
        module, args = tiny("fixed", tmp_path / preset, task="MountainCar-v0", preset=preset, inner=inner)
        folder = search.run(module.Agent, args, "fixed")
        assert json.loads((folder / "config.json").read_text())["task_settings"] == expected


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agent_runs_repeats_under_its_seed_and_leaves_a_whole_folder(agent: str, tmp_path: Path) -> None:
    told = []
    for name, seed in (("one", 4), ("two", 4), ("three", 5)):
        module, args = tiny(agent, tmp_path / name, seed=seed)
        folder = search.run(module.Agent, args, agent)
        assert folder == tmp_path / name
        told.append(rewards_of(folder))
    assert issubclass(module.Args, SearchArgs)
    assert module.__doc__
    assert [len(rewards) for rewards in told[0]] == [2, 2]
    assert told[0] == told[1] != told[2]

    folder = tmp_path / "one"
    events = [file.name for file in folder.iterdir() if file.name.startswith("events.out.tfevents.")]
    assert len(events) == 1
    learned = {agent_state.FILE} if hasattr(module.Agent, "state") else set()
    assert {file.name for file in folder.iterdir()} == {*FILES, *events, *learned}
    config = json.loads((folder / "config.json").read_text())
    assert config["agent"] == agent
    assert config["versions"]["archgym"] == archgym.__version__
    assert config["settings"]["windows"] == 2
    assert config["command"].startswith(f"archgym search {agent} --windows 2")
    recommended = json.loads((folder / "recommendation.json").read_text())
    assert 1 <= len(recommended["architectures"]) <= RECOMMENDATIONS
    assert recommended["search_steps"] >= 2 * 2 * 60
    best = json.loads((folder / "best.json").read_text())
    assert best["architecture"] == SPACE.label(SPACE.canonical(best["action"]))

    scalars = EventAccumulator(str(folder)).Reload()
    tags = set(scalars.Tags()["scalars"])
    assert tags >= {"charts/episodic_return", "charts/SPS", "charts/epsilon", "losses/td_loss", "losses/q_values"}
    assert [event.step for event in scalars.Scalars("charts/reward")] == [120, 240]
    assert [event.value for event in scalars.Scalars("charts/reward")] == pytest.approx([sum(r) / 2 for r in told[0]])


@pytest.mark.parametrize("agent", AGENTS)
def test_the_command_in_the_configuration_gives_the_same_arguments_again(agent: str, tmp_path: Path) -> None:
    module, args = tiny(agent, tmp_path, seed=9, task="Acrobot-v1", cost_weight=0.25, max_params=9000, retrain=7)
    given = dataclasses.replace(args, out=None)
    assert tyro.cli(module.Args, args=flags(args)) == given


def test_flags_of_true_and_false_are_written_as_they_are_read() -> None:
    @dataclasses.dataclass(frozen=True)
    class Args(SearchArgs):
        eager: bool = False
        careful: bool = True

    args = Args(eager=True, careful=False)
    assert flags(args) == ["--eager", "--no-careful"]
    assert tyro.cli(Args, args=flags(args)) == args


def test_a_script_a_module_and_the_command_do_the_same(tmp_path: Path) -> None:
    ways = {
        "script": [str(ROOT / "agents" / "lstm_reinforce.py")],
        "module": ["-m", "archgym.agents.lstm_reinforce"],
        "command": ["-m", "archgym", "search", "lstm-reinforce"],
    }
    flags = [*TINY, "--seed", "6"]
    processes = {
        name: subprocess.Popen(
            [sys.executable, *way, *flags, "--out", name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name, way in ways.items()
    }
    for name, process in processes.items():
        said, wrong = process.communicate()
        assert process.returncode == 0, wrong
        for file in ("report.html", "journal.jsonl", "best.json", "best.safetensors", "config.json"):
            assert str(Path(name, file)) in said
    assert rewards_of(tmp_path / "script") == rewards_of(tmp_path / "module") == rewards_of(tmp_path / "command")


def test_a_search_without_flags_takes_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    """The words of the command itself are no flags of the agent."""
    code = (
        "import sys; sys.argv = ['archgym', 'search', 'fixed']\n"
        "from archgym.running import search\n"
        "search.run = lambda agent, args, name, **more: print(args == type(args)(), name) or search.Path()\n"
        "from archgym.__main__ import main; main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("True fixed\n"), done.stderr


def test_a_search_imports_the_module_of_its_own_agent_only() -> None:
    code = (
        "import sys\nfrom archgym.__main__ import main\n"
        "try: main(['search', 'fixed', '--windows', '0'])\n"
        "except SystemExit as end: assert end.code == 2\n"
        "print(sorted(name for name in sys.modules if name.startswith('archgym.agents')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "['archgym.agents', 'archgym.agents.fixed']\n", done.stderr


def test_a_default_run_folder_tells_environment_agent_and_seed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, said, _ = archgym_says("search", "fixed", *TINY, "--seed", "7", capsys=capsys)
    assert code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("ArchSearch-DQN-v0__fixed__7__")
    assert f"runs/{folder.name}/report.html" in said


def test_a_finished_search_resumes_to_the_same_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["search", "random-search", *TINY, "--out", "run"]
    assert archgym_says(*words, capsys=capsys)[0] == 0
    before = {name: (tmp_path / "run" / name).read_bytes() for name in FILES - {"report.html", "agent_seconds.json"}}
    assert archgym_says(*words, "--resume", capsys=capsys)[0] == 0
    assert {name: (tmp_path / "run" / name).read_bytes() for name in before} == before


def test_the_report_is_written_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert archgym_says("search", "fixed", *TINY, "--out", "run", capsys=capsys)[0] == 0
    page = tmp_path / "run" / "report.html"
    page.unlink()
    assert archgym_says("report", "run", capsys=capsys)[:2] == (0, "run/report.html\n")
    assert "<svg" in page.read_text(encoding="utf-8")


# An agent of one's own

MINE = """
from dataclasses import dataclass
from archgym.running.arguments import SearchArgs

@dataclass(frozen=True)
class Args(SearchArgs):
    pass

class Agent:
    def __init__(self, envs, args):
        self.envs = envs
    def act(self, observations):
        return self.envs.action_space.sample()
    def learn(self, rewards, infos):
        pass  # nothing to log
"""


def test_an_agent_of_ones_own_is_found_in_the_present_folder_and_warnings_are_notes(tmp_path: Path) -> None:
    (tmp_path / "mylab_agents").mkdir()
    (tmp_path / "mylab_agents" / "mine.py").write_text(MINE)
    words = ["search", "mylab_agents.mine", "--env-id", "ArchSearch-Synthetic-v0", "--windows", "2", "--out", "run"]
    command = Path(sys.executable).with_name("archgym")
    done = subprocess.run([command, *words, "--window-steps", "500"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").exists()
    assert all(line.startswith("archgym: note: ") for line in done.stderr.splitlines()), done.stderr


@pytest.mark.parametrize("method", ["act", "learn", "recommend"])
def test_a_fault_in_an_agents_own_code_keeps_its_traceback(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty = f"{MINE}\nimport numpy as np\nAgent.{method} = lambda self, *given: np.zeros(2) + np.zeros(3)\n"
    (tmp_path / f"mylab_{method}").mkdir()
    (tmp_path / f"mylab_{method}" / "mine.py").write_text(faulty)
    monkeypatch.syspath_prepend(tmp_path)
    words = ["search", f"mylab_{method}.mine", "--env-id", "ArchSearch-Synthetic-v0", "--windows", "2"]
    with pytest.raises(RuntimeError, match="the agent's own code failed: operands could not be broadcast"):
        main(words)


LAB = """
import gymnasium as gym
from archgym.envs.vector import ArchSearchVectorEnv

class Mine(ArchSearchVectorEnv):
    pass

own = {"trainer": "synthetic", "noise": 0.0}
gym.register("MineVector-v0", entry_point="archgym.envs.single:ArchSearchEnv", vector_entry_point=Mine, kwargs=own)
gym.register("MineSingle-v0", entry_point="archgym.envs.single:ArchSearchEnv", kwargs=own)
"""


def test_an_id_may_name_the_module_that_registers_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mylab_ids.py").write_text(LAB)
    monkeypatch.syspath_prepend(tmp_path)
    short = ("search", "fixed", "--windows", "2", "--env-id")
    for place, env_id in enumerate(("archgym:ArchSearch-Synthetic-v0", "mylab_ids:MineVector-v0")):
        assert archgym_says(*short, env_id, "--out", f"run{place}", capsys=capsys)[0] == 0
    assert json.loads((tmp_path / "run1" / "config.json").read_text())["settings"]["trainer_settings"]["noise"] == 0.0
    for env_id in ("mylab_ids:MineSingle-v0", "mylab_ids:Nosuch-v0"):
        code, _, wrong = archgym_says(*short, env_id, capsys=capsys)
        assert (code, "that 'mylab_ids' registers with a vector_entry_point" in wrong) == (2, True), wrong
    for id in ("MineVector-v0", "MineSingle-v0"):
        del gym.registry[id]


def test_a_search_names_its_folder_before_it_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = archgym_says(
        "search", "fixed", "--env-id", "ArchSearch-Synthetic-v0", "--windows", "2", capsys=capsys
    )
    first, second = said.splitlines()[:2]
    folder = re.fullmatch(r"Run folder: (\S+) \(interrupted, the same command goes on with --out \1 --resume\)", first)
    assert code == 0
    assert folder, first
    assert (tmp_path / folder[1] / "journal.jsonl").exists()
    assert "windows/s scored, nothing trained" in second


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("Args = 1", "expected a module that defines Agent and Args, got mylab_half.own."),
        ("class Agent: pass", "expected a module that defines Agent and Args, got mylab_half.own."),
        ("class Agent: pass\nclass Args: pass", "expected Args to be a dataclass below .*SearchArgs"),
    ],
)
def test_what_is_no_agent_is_refused(
    code: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mylab_half").mkdir()
    (tmp_path / "mylab_half" / "own.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("mylab_half", "mylab_half.own"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    code_given, _, wrong = archgym_says("search", "mylab_half.own", capsys=capsys)
    assert (code_given, bool(re.search(sentence, wrong))) == (2, True), wrong
    for name in ("mylab_half", "mylab_half.own"):
        sys.modules.pop(name, None)


def test_a_search_leaves_the_folder_of_a_comparison_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "plan.json").write_text("{}")
    code, _, wrong = archgym_says("search", "fixed", *TINY, "--out", "taken", capsys=capsys)
    assert (code, wrong) == (2, "archgym: taken holds a comparison or a study: choose another folder (--out).\n")
    assert [file.name for file in (tmp_path / "taken").iterdir()] == ["plan.json"]


# What is wrong: exit code 2, one sentence, nothing written

FIXED, LSTM, ENAS = ("search", "fixed"), ("search", "lstm-reinforce"), ("search", "enas")
WRONG: dict[tuple[str, ...], str] = {
    (
        "serach",
        "fixed",
    ): "unknown command 'serach': expected one of compare, doctor, list, report, search, study, table. Did you mean",
    ("search", "fixd"): "unknown agent 'fixd': expected one of .* Did you mean 'fixed'?",
    ("search", "nosuch"): r"unknown agent 'nosuch': expected one of [^?]*tpe\.$",  # nothing is near it
    ("search", "mylab.agents.mine"): "unknown agent 'mylab.agents.mine': there is no module 'mylab' to import.",
    (*FIXED, "--task", "CartPol-v1"): "unknown task 'CartPol-v1': expected one of .* Did you mean 'CartPole-v1'?",
    (*FIXED, "--task", "Pendulum-v1"): "task 'Pendulum-v1': .*actions",
    (*FIXED, "--space", "mpl"): "unknown search space 'mpl': expected one of .* Did you mean 'mlp'?",
    (
        *FIXED,
        "--transfer",
        "shard",
    ): "unknown transfer 'shard': expected one of distil, fresh, .*shared. Did you mean 'shared'?",
    (*FIXED, "--reward", "profit"): "unknown reward 'profit': expected one of evaluation, improvement, return.",
    (
        *FIXED,
        "--preset",
        "clenrl",
    ): "unknown preset 'clenrl': expected one of atari, cleanrl, default. Did you mean 'cleanrl'?",
    (*FIXED, "--env-id", "ArchSearch-DQN"): "unknown environment .* Did you mean 'ArchSearch-DQN-v0'?",
    (*FIXED, "--env-id", "archgym:CartPole-v1"): "unknown environment 'archgym:CartPole-v1': expected one of",
    (*FIXED, "--env-id", "ArchSearch-DQN", "--retrain", "60"): "unknown environment .* mean 'ArchSearch-DQN-v0'?",
    (*FIXED, "--env-id", "archgym.nosuch:Some-v0"): "unknown environment .* no module 'archgym.nosuch' to import.",
    (*FIXED, "--env-id", "nosuch:Some-v0"): "unknown environment .* there is no module 'nosuch' to import.",
    (*FIXED, "--windows", "0"): "windows: expected a positive integer, got 0.",
    (*FIXED, "--windows", "-3"): "windows: expected a positive integer, got -3.",
    (*FIXED, "--windows", "2.5"): "--windows: expected int, got '2.5'.",
    (*FIXED, "--windows=many"): "--windows: expected int, got 'many'.",
    (*FIXED, "--window-steps", "0"): "window_steps: expected a positive integer, got 0.",
    (*FIXED, "--window-steps", "x"): r"--window-steps: expected int \| None, got 'x'.",
    (
        *FIXED,
        "--window-steps",
        "3",
    ): r"window_steps: expected a multiple of envs_per_member \(4\), .* got 3. Nearest: 4.",
    (*FIXED, "--num-envs", "0"): "num_envs: expected a positive integer, got 0.",
    (*FIXED, "--num-envs", "two"): "--num-envs: expected int, got 'two'.",
    (*FIXED, "--retrain", "0"): "--retrain: expected a positive number of steps, got 0.",
    (*FIXED, "--retrain", "-5"): "--retrain: expected a positive number of steps, got -5.",
    (*FIXED, "--retrain", "1e5"): r"--retrain: expected int \| None, got '1e5'.",
    (*FIXED, "--retrain", "2500", "--inner", "learning_starts=9000"): "learning_starts: expected fewer than the 2500",
    (*FIXED, "--max-params", "10"): "max_params: expected at least 1282 .* got 10.",
    (*FIXED, "--cost-weight", "-1"): "cost_weight: expected a number of at least 0, got -1.0.",
    (*FIXED, "--cost-weight", "dear"): "--cost-weight: expected float, got 'dear'.",
    (*FIXED, "--seed", "-1"): "--seed: expected an integer of at least 0, got -1.",
    (*FIXED, "--seed"): "--seed: expected int, got nothing.",
    (*FIXED, "--device", "tpu"): "device: expected one of cpu.* got 'tpu'.",
    (*FIXED, "--device", "cuda:99"): "device: expected one of cpu.* got 'cuda:99'.",
    (*FIXED, "--inner", "gamma"): "--inner: expected name=value, got 'gamma'.",
    (*FIXED, "--inner", "gama=0.9"): "unknown .* 'gama': .* Did you mean 'gamma'?",
    (*FIXED, "--inner", "gamma=high"): "gamma: expected a number from 0 to 1, got 'high'.",
    (*FIXED, "--inner", "windows=3"): "--inner: expected settings without a flag of their own, got windows.",
    (*FIXED, "--inner", "journal=x"): "--inner: expected settings without a flag of their own, got journal.",
    (*FIXED, "--windos", "3"): "unknown argument '--windos': expected one of .* Did you mean '--windows'?",
    (*FIXED, "stray"): "unknown argument 'stray': expected one of",
    (*FIXED, "--architecture", "depth=7 width=32 activation=relu"): "unknown option of 'depth' '7': .* 2, 3, 4.",
    (*FIXED, "--architecture", "depth=2"): "expected a value of width, activation, got none.",
    (*ENAS, "--controller", "ens"): "unknown controller 'ens': .* Did you mean 'enas'?",
    (*ENAS, "--controller", "enas", "--temperature", "2"): "temperature: expected no value beside controller 'enas'",
    (*FIXED, "--start-from", "nowhere"): "--start-from: expected an agent that can go on with .*, got 'fixed'.",
    (*LSTM, "--start-from", "nowhere"): "--start-from: expected a run folder with an agent.npz, .* none at nowhere.",
    (*LSTM, "--temperature", "0"): "temperature: expected a positive number, got 0.0.",
    (*LSTM, "--hidden-size", "-1"): "hidden_size: expected a positive number, got -1.",
    (*FIXED, "--resume"): r"--resume: expected the folder of the search to go on with \(--out DIR\), got none.",
    (
        *FIXED,
        "--resume",
        "--out",
        "nowhere",
    ): "resume: expected a journal in nowhere, found none. Start without --resume.",
    ("doctor", "--device", "tpu"): "device: expected one of cpu.* got 'tpu'.",
    (
        "doctor",
        "--devise",
        "cpu",
    ): "unknown argument '--devise': expected one of --device, --speed. Did you mean '--device'?",
    ("report",): "report: expected one run folder, got 0 arguments.",
    ("report", "nowhere"): "nowhere",
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_input_gives_one_sentence_and_writes_nothing(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said, wrong = archgym_says(*words, capsys=capsys)
    assert code == 2
    assert said == ""
    (line,) = wrong.splitlines()
    assert line.startswith("archgym: ")
    assert re.search(WRONG[words], line)
    assert not any(tmp_path.iterdir())


def test_a_wrong_resume_gives_one_sentence_and_leaves_the_folder_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["search", "lstm-reinforce", *TINY, "--out", "run"]
    assert archgym_says(*words, capsys=capsys)[0] == 0
    (tmp_path / "empty").mkdir()
    folder = tmp_path / "run"
    before = {file: file.read_bytes() for file in folder.iterdir()}
    for given, sentence in (
        (words, r"journal: run/journal.jsonl is already there; resume it .* or choose another place."),
        ([*words, "--resume", "--windows", "3"], "expected the arguments .* windows was 2 and is now 3."),
        ([*words, "--resume", "--task", "Acrobot-v1"], "task was 'CartPole-v1' and is now 'Acrobot-v1'."),
        ([*words, "--resume", "--num-envs", "3"], "num_envs was 2 and is now 3."),
        ([*words, "--resume", "--seed", "2"], "expected the arguments .* seed was 1 and is now 2."),
        (
            [*words, "--resume", "--learning-rate", "1"],
            "expected the arguments .* learning_rate was 0.005 and is now 1.0.",
        ),
        (
            ["search", "fixed", *words[2:], "--resume"],
            "--resume: run holds a search of 'lstm-reinforce', not of 'fixed'.",
        ),
        ([*words[:-1], "empty", "--resume"], "resume: expected a journal in empty, found none."),
        ([*words[:-1], "run/config.json"], "run/config.json: File exists"),
        ([*words[:-1], "run/config.json/deeper"], "run/config.json/deeper: Not a directory"),
    ):
        code, said, wrong = archgym_says(*given, capsys=capsys)
        assert (code, said) == (2, "")
        (line,) = wrong.splitlines()
        assert re.search(sentence, line), line
        assert {file: file.read_bytes() for file in folder.iterdir()} == before
        assert not any((tmp_path / "empty").iterdir())


@pytest.mark.parametrize("content", ['{"agent": "fix', "[]"])
def test_a_damaged_record_of_the_arguments_is_named_at_a_resume(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["search", "fixed", *TINY, "--out", "run"]
    assert archgym_says(*words, capsys=capsys)[0] == 0
    (tmp_path / "run" / "config.json").write_text(content)
    code, _, wrong = archgym_says(*words, "--resume", capsys=capsys)
    assert code == 2
    assert wrong.startswith("archgym: run/config.json is damaged: expected ")


def test_wrong_input_is_the_same_for_a_process_of_its_own(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("archgym")), "search", "random-search", "--windows", "none"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "archgym: --windows: expected int, got 'none'.\n"
    assert not any(tmp_path.iterdir())


def test_rates_of_many_members_are_summarised() -> None:
    # (windows, members, choices): none, a half and all of the windows change the architecture; the last one goes back
    three = np.array([[[0], [0], [0]], [[0], [0], [1]], [[0], [1], [0]]])
    one = switches(three[:, 2:])
    assert one == "Switch rate 100.0 %, oscillation (A, B, A) 100.0 %."
    each = switches(three)
    assert each == "Switch rate 50.0 % (by member 0, 50, 100), oscillation (A, B, A) 33.3 % (by member 0, 0, 100)."
    many = switches(np.concatenate([three, *[three[:, 1:2]] * 61], axis=1))
    assert many == (
        "Switch rate 50.0 % (of the 64 members: median 50, range 0 to 100), "
        "oscillation (A, B, A) 1.6 % (of the 64 members: median 0, range 0 to 100)."
    )


@pytest.mark.parametrize(("trainer", "after"), [("dqn", "after"), ("synthetic", "after windows that stand for")])
def test_steps_to_the_reference_are_said_to_be_trained_only_where_they_are(trainer: str, after: str) -> None:
    problem = Problem(Settings(trainer=trainer, window_steps=2500, reward="return"))
    history = [SimpleNamespace(normalised_return=value, env_steps=2500) for value in (0.5, 1.0)]
    said = reached(problem, [history])  # type: ignore[list-item]
    assert said.endswith(f", the reference; the median of them {after} 5,000 steps.")
    assert reached(problem, [history[:1]]).endswith("with a return of 475.")  # type: ignore[list-item]
