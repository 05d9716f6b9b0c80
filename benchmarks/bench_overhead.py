"""Where the time of a window goes, what the meta-environment itself costs, and how long starting up takes.

Hypothesis: what is neither acting, nor stepping inner environments, nor learning is below 1 % of a window, at K >= 8
with opening fresh inner environments and checkpoints included; `import archgym` takes less than 0.1 s beyond
Gymnasium, without torch. Method: windows of random architectures of `mlp` on CartPole-v1, default settings, with a
journal; `env.unwrapped.timings` against the wall time of `step`. *Switch* is checking out and in, *rest* is reward,
observation, info, journal, and setting the learner up and looking through what it trained; *meta* is both. *Opening*
fresh inner environments, and closing them, stands apart, and so do checkpoints, which are written at most every 30
seconds: one is written in every round, and a window is charged its share of it.
Start-up: a fresh process each time, wall time and, since the machine may be shared, CPU time.

    python -m benchmarks.bench_overhead
    python -m pytest benchmarks/bench_overhead.py --benchmark-only
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro
from numpy.typing import NDArray

from archgym import checkpoint, journal
from benchmarks.environment import make
from benchmarks.machine import describe
from benchmarks.rounds import CLOCK, Contender, Makers, Measured, report, take_turns

ROOT = Path(__file__).resolve().parent.parent
INTERVAL = journal.CHECKPOINT_SECONDS  # between two checkpoints, at least
PHASES = ("env", "act", "learn", "open", "switch", "rest")  # which together are a step
META = [PHASES.index("switch"), PHASES.index("rest")]
EVENTS = ("import gymnasium", "import archgym", "gym.make (loads torch)", "first reset")
START_UP = """
import json, sys, time
marks = [(time.perf_counter(), time.process_time())]
def mark():
    marks.append((time.perf_counter(), time.process_time()))
import gymnasium
mark()
import archgym
mark()
assert "torch" not in sys.modules, "import archgym loads torch"
env = gymnasium.make("ArchSearch-DQN-v0")
mark()
env.reset(seed=0)
mark()
print(json.dumps(marks))
"""


@dataclass(frozen=True)
class Args:
    members: tuple[int, ...] = (1, 8, 32)
    """K."""
    rounds: int = 5
    """Windows of each, after one that does not count."""
    window_steps: int = 5_000
    """Environment steps of one member in a window."""
    learner: str = "auto"
    """The environment's keyword: `auto`, `native` or `torch`."""
    processes: int = 7
    """Fresh processes, after one that does not count."""


TOY = Args(members=(1, 2), rounds=1, window_steps=400, processes=1)
SIZE = TOY if "ARCHGYM_TOY" in os.environ else Args()  # of the runs under pytest


class Windows:
    """A recorded environment whose windows are taken apart.

    Attributes:
        phases: Seconds of each of `PHASES`, a row per window.
        checkpoints: Seconds of one checkpoint after each window.
    """

    def __init__(self, members: int, args: Args) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "journal.jsonl"
        self.members, self.checkpoint = members, path.with_suffix(".one.safetensors")
        settings: dict[str, Any] = {"windows": args.rounds + 1, "window_steps": args.window_steps}
        self.env = make(members, journal=str(path), learner=args.learner, **settings)
        self.env.reset(seed=0)
        self.phases: list[NDArray[np.float64]] = []
        self.checkpoints: list[float] = []

    def contender(self) -> Contender:
        """Enter the meta-environment's seconds."""
        return Contender("window of a member", self.members, self.run)

    def run(self, seed: int) -> float:
        """Train one window; give the seconds of the meta-environment."""
        actions = self.env.action_space.sample()
        before, start = self.env.timings, time.perf_counter()
        self.env.step(actions)
        wall, after = time.perf_counter() - start, self.env.timings
        known = [after[phase] - before[phase] for phase in PHASES[:-1]]
        self.phases.append(np.array([*known, wall - sum(known)]))
        start = time.perf_counter()
        checkpoint.save(self.checkpoint, self.env.get_state(), 0, 0)
        self.checkpoints.append(time.perf_counter() - start)
        return float(self.phases[-1][META].sum())

    def shares(self) -> NDArray[np.float64]:
        """Give the shares of a window's wall time, (windows, phases and checkpoint)."""
        seconds = np.array(self.phases[1:])
        wall = seconds.sum(1)
        charged = np.array(self.checkpoints[1:]) / np.maximum(wall, INTERVAL)
        return np.column_stack([seconds / wall[:, None], charged])


@cache
def start_up(turn: int) -> NDArray[np.float64]:
    """Start a process: wall and CPU seconds of each of `EVENTS`, (events, 2)."""
    output = subprocess.run([sys.executable, "-c", START_UP], capture_output=True, text=True, check=True, cwd=ROOT)
    return np.diff(np.array(json.loads(output.stdout)), axis=0)


def windows(args: Args) -> tuple[Measured, dict[str, Windows]]:
    """Measure windows in turns; what a contender costs is its meta-environment."""
    made = {f"K={members}": Windows(members, args) for members in args.members}
    journal.CHECKPOINT_SECONDS = math.inf  # written and timed by `Windows` instead
    try:
        return take_turns({name: own.contender for name, own in made.items()}, args.rounds), made
    finally:
        journal.CHECKPOINT_SECONDS = INTERVAL


measured_windows = cache(windows)


@cache
def measured_start_up(args: Args) -> Measured:
    def contender(place: int) -> Contender:
        return Contender("start", 1, lambda turn: float(start_up(turn)[place, 1]))

    makers: Makers = {event: partial(contender, place) for place, event in enumerate(EVENTS)}
    return take_turns(makers, args.processes)


def main(args: Args) -> None:
    print(describe())
    _, made = windows(args)
    print(
        f"\nShares of a window of {args.window_steps} steps of a member, learner={args.learner!r}, "
        f"medians of {args.rounds} windows\n"
    )
    print(f"| K | ms per window | {' | '.join(PHASES)} | meta | and opening | and checkpoints |")
    print("|---|---|" + "---|" * (len(PHASES) + 3))
    for own in made.values():
        shares, wall = own.shares(), np.array(own.phases[1:]).sum(1)
        meta, opening, charged = shares[:, META].sum(1), shares[:, PHASES.index("open")], shares[:, -1]
        columns = [*shares[:, :-1].T, meta, meta + opening, meta + opening + charged]
        cells = " | ".join(f"{np.median(column):.2%}" for column in columns)
        print(f"| {own.members} | {1e3 * np.median(wall):,.0f} | {cells} |")
    written = ", ".join(f"{name} {1e3 * np.median(own.checkpoints):.0f} ms" for name, own in made.items())
    print(f"\nA checkpoint takes {written}; a journal writes one every {INTERVAL:.0f} s at most.")
    print(f"\nStart-up, medians of {args.processes} fresh processes\n")
    print("| | wall ms | CPU ms |\n|---|---|---|")
    times = np.median([start_up(turn) for turn in range(args.processes + 1)][1:], axis=0)
    for event, (wall, cpu) in zip(EVENTS, 1e3 * times, strict=True):
        print(f"| {event} | {wall:.1f} | {cpu:.1f} |")


@pytest.mark.parametrize("members", SIZE.members)
@pytest.mark.benchmark(group="meta-overhead", timer=CLOCK)
def test_meta_environment(benchmark: Any, members: int) -> None:
    measured, made = measured_windows(SIZE)
    report(benchmark, measured, f"K={members}")
    shares = np.median(made[f"K={members}"].shares(), axis=0).tolist()
    benchmark.extra_info["shares"] = dict(zip((*PHASES, "checkpoint"), shares, strict=True))


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.benchmark(group="start-up", timer=CLOCK)
def test_start_up(benchmark: Any, event: str) -> None:
    report(benchmark, measured_start_up(SIZE), event)


if __name__ == "__main__":
    main(tyro.cli(Args))
