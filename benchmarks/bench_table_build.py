"""How long `archgym table build` takes: 27 architectures, 10 seeds, 50,000 steps of CartPole-v1 each, on all cores.

Hypothesis: 13.5 million steps of training from scratch, greedy evaluations included, need less than 30 minutes on two
cores. Method: one table from the first process to the written files, wall time, and CPU time of all processes; beside
it the part of it that went into windows of training, by the learners' own clocks (the card's `seconds`). Shared-weight
scores only where they are asked for. One round, since it takes minutes: on a machine with other load the CPU time is
what to read.

    OMP_NUM_THREADS=1 python -m benchmarks.bench_table_build
"""

import contextlib
import io
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from archgym import table as tables
from archgym.table_tools.build import Build, build
from benchmarks.machine import describe, spent


@dataclass(frozen=True)
class Args:
    task: str = "CartPole-v1"
    """The inner problem."""
    space: str = "mlp"
    """The search space."""
    sample: int | None = None
    """Architectures; None: all of the space."""
    seeds: int = 10
    """Learning curves of each."""
    windows: int = 20
    """Of a curve."""
    window_steps: int = 2_500
    """Of a window."""
    supernet_seeds: int = 0
    """Supernets that are trained and scored as well."""
    members: int = Build.members
    """Learners side by side in a process."""
    jobs: int = os.cpu_count() or 1
    """Processes, one thread each."""


TOY = Args(sample=2, seeds=2, windows=1, window_steps=200, jobs=1)


def main(args: Args) -> None:
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        order = Build(**vars(args), out=Path(folder) / "built.npz")
        clock, before = time.perf_counter(), spent()
        with contextlib.redirect_stdout(io.StringIO()):
            path = build(order, "")
        wall, processor = time.perf_counter() - clock, spent() - before
        table = tables.load(path)
        size = path.stat().st_size
    shape, steps = table.columns["env_steps"].shape, int(table.columns["env_steps"].sum())
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"\n{' x '.join(map(str, shape))} windows (architectures x seeds x windows) of {args.task}, ", end="")
    print(f"{steps:,} steps, processes: {args.jobs}; load {load}; {size:,} bytes\n")
    print("| | seconds |\n|---|---|")
    rows = {"wall": wall, "CPU": processor, "of it windows of training, by the learners' clocks": table.card.seconds}
    print("\n".join(f"| {name} | {seconds:.1f} |" for name, seconds in rows.items()))
    print(f"\n{steps / processor:,.0f} steps of training per CPU-second, everything included")


if __name__ == "__main__":
    main(tyro.cli(Args))
