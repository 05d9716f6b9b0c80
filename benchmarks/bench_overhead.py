"""What the meta-environment itself costs, and how long importing archgym and making the first environment take.

Hypothesis: all that `env.step` does beside acting, stepping inner environments and learning is below 2 % of a window,
and `import archgym` takes less than 0.1 s beyond Gymnasium, without torch. Method: windows of 2,500 steps of random
architectures of `mlp` on CartPole-v1, default settings, with a journal; `env.unwrapped.timings` against the wall time
of `step`. *Meta* is checking out and in, reward, observation, info and journal; opening fresh inner environments stands
apart. Start-up: a fresh process each time, wall time and, since the machine may be shared, CPU time.

    python benchmarks/bench_overhead.py
    python -m pytest benchmarks/bench_overhead.py --benchmark-only
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
import tyro
from numpy.typing import NDArray

import archgym  # noqa: F401  (registers the environments)

ROOT = Path(__file__).resolve().parent.parent
PHASES = ("env", "act", "learn", "open", "meta")  # which together are a step
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
    members: tuple[int, ...] = (1, 8)
    """K."""
    windows: int = 11
    """Windows of each, after one that does not count."""
    window_steps: int = 2_500
    """Environment steps of one member in a window."""
    processes: int = 7
    """Fresh processes, after one that does not count."""


TOY = Args(members=(1, 2), windows=2, window_steps=400, processes=1)
SIZE = TOY if "ARCHGYM_TOY" in os.environ else Args()  # of the runs under pytest


@contextmanager
def environment(members: int, args: Args) -> Iterator[Any]:
    """Open a recorded environment in a new lifetime."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        env = gym.make_vec(
            "ArchSearch-DQN-v0",
            num_envs=members,
            windows=args.windows + 1,
            window_steps=args.window_steps,
            journal=str(Path(folder) / "journal.jsonl"),
        )
        env.reset(seed=0)
        yield env
        env.close()


def step(env: Any) -> NDArray[np.float64]:
    """Train a window of random architectures: seconds of each of `PHASES`."""
    before, start = env.unwrapped.timings, time.perf_counter()
    env.step(env.action_space.sample())
    wall, after = time.perf_counter() - start, env.unwrapped.timings
    known = [after[phase] - before[phase] for phase in PHASES[:-1]]
    return np.array([*known, wall - sum(known)])


def start_up() -> NDArray[np.float64]:
    """Start a process: wall and CPU seconds of each of `EVENTS`, (events, 2)."""
    output = subprocess.run([sys.executable, "-c", START_UP], capture_output=True, text=True, check=True, cwd=ROOT)
    return np.diff(np.array(json.loads(output.stdout)), axis=0)


def main(args: Args) -> None:
    sys.path.insert(0, str(ROOT))
    from benchmarks.machine import describe

    print(describe())
    print(f"\nShares of a window of {args.window_steps} steps, medians of {args.windows} windows\n")
    print(f"| K | ms per window | {' | '.join(PHASES)} |")
    print("|---|---|" + "---|" * len(PHASES))
    for members in args.members:
        with environment(members, args) as env:
            seconds = np.array([step(env) for _ in range(args.windows + 1)])[1:]  # (windows, phases)
        shares = np.median(seconds / seconds.sum(1, keepdims=True), axis=0)
        cells = " | ".join(f"{share:.2%}" for share in shares)
        print(f"| {members} | {1e3 * np.median(seconds.sum(1)):.0f} | {cells} |")
    print(f"\nStart-up, medians of {args.processes} fresh processes\n")
    print("| | wall ms | CPU ms |\n|---|---|---|")
    times = np.median([start_up() for _ in range(args.processes + 1)][1:], axis=0)
    for event, (wall, cpu) in zip(EVENTS, 1e3 * times, strict=True):
        print(f"| {event} | {wall:.1f} | {cpu:.1f} |")


@pytest.mark.parametrize("members", SIZE.members)
@pytest.mark.benchmark(group="overhead")
def test_meta_environment(benchmark: Any, members: int) -> None:
    seconds: list[NDArray[np.float64]] = []
    with environment(members, SIZE) as env:
        benchmark.pedantic(lambda: seconds.append(step(env)), rounds=SIZE.windows, warmup_rounds=1)
    measured = np.array(seconds[-SIZE.windows :])
    shares = np.median(measured / measured.sum(1, keepdims=True), axis=0)
    benchmark.extra_info.update(zip(PHASES, shares.tolist(), strict=True))


@pytest.mark.benchmark(group="start-up")
def test_start_up(benchmark: Any) -> None:
    times: list[NDArray[np.float64]] = []
    benchmark.pedantic(lambda: times.append(start_up()), rounds=SIZE.processes, warmup_rounds=1)
    benchmark.extra_info.update(zip(EVENTS, np.median(times, axis=0)[:, 0].tolist(), strict=True))


if __name__ == "__main__":
    main(tyro.cli(Args))
