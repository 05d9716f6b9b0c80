"""Peak memory of a population, above what importing torch and EnvPool takes.

Hypothesis: 32 members with a replay of 10,000 transitions each add less than 150 MB. Method: a fresh process imports
torch and EnvPool, notes its resident memory, makes the environment and trains random architectures until every replay
is full (what nobody has written to is not resident). The peak is the kernel's high-water mark of the process (`VmHWM`
in /proc/self/status, so Linux only) less what was noted, in millions of bytes. Every case has a process of its own;
what else its program imports counts.

    python -m benchmarks.bench_memory
"""

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.machine import describe

ROOT = Path(__file__).resolve().parent.parent
STATUS = Path("/proc/self/status")
WINDOW_STEPS = 2_500


@dataclass(frozen=True)
class Case:
    """A row of `CASES`: K members of an environment, or none."""

    members: int
    space: str = "mlp"
    env_id: str = "ArchSearch-DQN-v0"
    keywords: tuple[tuple[str, Any], ...] = ()


CASES: dict[str, Case] = {
    "archgym K=1": Case(1),
    "archgym K=8": Case(8),
    "archgym K=32": Case(32),
    "archgym K=32, every one 120-84": Case(32, "benchmarks.cleanrl_network"),
    "archgym K=32, learner='torch'": Case(32, keywords=(("learner", "torch"),)),
    "archgym K=32, transfer='own'": Case(32, keywords=(("transfer", "own"),)),
    "Stable-Baselines3 DQN": Case(0),
}


@dataclass(frozen=True)
class Args:
    replay: int = 10_000
    """Transitions of a member."""
    processes: int = 3
    """Of every case."""
    most: int = 32
    """Largest K: cases with more members are left out."""
    inside: str = ""
    """Used by the benchmark itself: measure this case in this process."""


TOY = Args(replay=500, processes=1, most=1)


def resident(field: str) -> int:
    """Read `VmRSS` (now) or `VmHWM` (peak) of this process, in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def grow(case: Case, replay: int) -> None:
    """Do what takes memory."""
    if not case.members:
        from benchmarks.peers import SETTINGS, stable_baselines

        stable_baselines(replay, 1, SETTINGS)()
        return
    from benchmarks.environment import make

    steps = min(WINDOW_STEPS, replay)
    windows = math.ceil(replay / steps)
    keywords = {"space": case.space, "buffer_size": replay, **dict(case.keywords)}
    env = make(case.members, case.env_id, windows=windows, window_steps=steps, **keywords)
    env.reset(seed=1)
    env.action_space.seed(1)
    for _ in range(windows):
        env.step(env.action_space.sample())


def inside(name: str, replay: int) -> None:
    """Measure a case in this process and print the bytes: at the imports, and the peak above."""
    import envpool  # noqa: F401
    import torch

    torch.set_num_threads(1)
    imports = resident("VmRSS")
    grow(CASES[name], replay)
    print(json.dumps([imports, resident("VmHWM") - imports]))


def measure(name: str, args: Args) -> list[float]:
    """Start a process for a case: millions of bytes at the imports, and the peak above."""
    command = [sys.executable, "-m", "benchmarks.bench_memory", "--inside", name, "--replay", str(args.replay)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{run.stderr}")
    return [size / 1e6 for size in json.loads(run.stdout.splitlines()[-1])]


def main(args: Args) -> None:
    if not STATUS.exists():
        raise ValueError(f"bench_memory: expected Linux, where {STATUS} tells the peak; it is not here.")
    if args.inside:
        inside(args.inside, args.replay)
        return
    print(describe())
    print(f"\nMB, replay {args.replay:,} per member, full; medians of {args.processes} processes\n")
    print("| | imports of torch and EnvPool | peak above | per member |\n|---|---|---|---|")
    for name, case in CASES.items():
        if case.members <= args.most:
            imports, above = np.median([measure(name, args) for _ in range(args.processes)], axis=0)
            print(f"| {name} | {imports:.0f} | {above:.0f} | {above / max(1, case.members):.1f} |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Args))
