"""A search that is really killed, again and again, ends with the very rewards of one that was left alone."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archgym import journal, lookup
from archgym.running import search

INNER = ("envs_per_member=2", "batch_size=32", "learning_starts=40")
SEARCH = {"num_envs": 2, "windows": 60, "window_steps": 160, "seed": 3, "transfer": "shared", "inner": INNER}
CARRIED = {"window_episodes": 4, "inner": (*INNER, "inner_envs=carry")}  # nothing can be saved: all is trained again
NEW_ROWS, DELAY = 7, 0.1  # a process is stopped after fewer new rows than this, and up to so many seconds later
KILL, INTERRUPT = signal.SIGKILL, signal.SIGINT
RUN = (
    "import sys, warnings; warnings.simplefilter('ignore')\n"
    "from archgym import journal; journal.CHECKPOINT_SECONDS = float(sys.argv.pop(1))\n"
    "from archgym.__main__ import main; main()\n"
)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    path = folder / "journal.jsonl"
    rows = journal.read_rows(path.read_bytes(), path)[0]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def start(agent: str, folder: Path, seconds: float, own: dict[str, Any], *, resume: bool) -> subprocess.Popen[str]:
    flags = [part for name, value in own.items() if name != "inner" for part in (flag(name), str(value))]
    command = [sys.executable, "-c", RUN, str(seconds), "search", agent, *flags, "--inner", *own["inner"]]
    command += ["--out", str(folder), *(["--resume"] if resume else [])]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A shell lets what it runs in the background ignore interrupts, and so these tests, and so their processes.
    heeds = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, env=os.environ, preexec_fn=heeds, **pipes)


def wait_for(condition: Any, process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


@pytest.mark.filterwarnings("ignore:window_steps=160 is shorter")
@pytest.mark.parametrize(
    ("agent", "checkpoint_seconds", "stops", "keywords"),
    [
        ("random-search", 0.3, (KILL, KILL, KILL), {}),
        ("random-search", 0.0, (KILL, KILL), CARRIED),
        ("lstm-reinforce", 30.0, (KILL, INTERRUPT, KILL), {}),
        ("successive-halving", 0.3, (KILL, KILL), {"transfer": "own"}),  # its promotions fork learners
        # A replay, a state that is carried, another library; test_agents.py cuts the journals of all agents.
        *((name, 0.3, (KILL,), {}) for name in ("dqn", "enas", "tpe")),
    ],
)
def test_a_search_killed_at_random_instants_ends_like_one_that_was_left_alone(
    agent: str, checkpoint_seconds: float, stops: tuple[signal.Signals, ...], keywords: dict[str, Any], tmp_path: Path
) -> None:
    module, own = lookup.load("archgym.agents", agent, "agent"), {**SEARCH, **keywords}
    args = module.Args(**own, out=tmp_path / "alone")
    alone = search.run(module.Agent, args, agent)
    straight = rows_of(alone)
    assert any(row["call"] == "fork" for row in straight) == (own["transfer"] == "own")

    folder, rng = tmp_path / "killed", np.random.default_rng(len(agent))
    record = folder / "journal.jsonl"

    def lines() -> int:
        return record.read_bytes().count(b"\n") if record.exists() else 0

    for stop in stops:
        begin, events = lines(), set(folder.glob("events*"))
        process = start(agent, folder, checkpoint_seconds, own, resume=begin > 0)
        # Events are begun anew, by a resume too: from then on it is under way.
        wait_for(lambda events=events: lines() and set(folder.glob("events*")) - events, process)
        target = begin + int(rng.integers(NEW_ROWS))
        wait_for(lambda target=target: lines() >= target, process)
        time.sleep(rng.uniform(0, DELAY))
        process.send_signal(stop)
        _, said = process.communicate()
        assert process.returncode == (-KILL if stop == KILL else 130), said
        assert "Traceback" not in said
        assert begin <= lines() < len(straight)
    assert lines() > 2 or len(stops) == 1

    process = start(agent, folder, checkpoint_seconds, own, resume=True)
    _, said = process.communicate()
    assert process.returncode == 0, said
    resumed = rows_of(folder)
    assert [row.get("action") for row in resumed] == [row.get("action") for row in straight]
    assert [row.get("reward") for row in resumed] == [row.get("reward") for row in straight]
    assert resumed == straight
    assert (folder / "journal.checkpoint.safetensors").exists() == (keywords is not CARRIED)
    for file in ("best.safetensors", "best.json", "recommendation.json"):
        assert (folder / file).read_bytes() == (alone / file).read_bytes()
    assert json.loads((folder / "config.json").read_text())["agent"] == agent
    assert len(list(folder.glob("events*"))) == 1
