"""What a comparison gains from a second core: `archgym compare` against the same arms one after another.

Hypothesis: two processes with one thread each take about half the time of one. Method: the same small comparison of
trained networks, with one process and with one per core, rounds taking turns; wall time, start of the processes
included.

    python -m benchmarks.bench_jobs
"""

import contextlib
import io
import os
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from archgym.compare import command as compare
from archgym.running.arms import Args as CompareArgs
from benchmarks.machine import describe


@dataclass(frozen=True)
class Args:
    arms: tuple[str, ...] = ("regularized-evolution", "lstm-reinforce")
    """Beside random search and the fixed network."""
    jobs: int = os.cpu_count() or 1
    """Processes side by side."""
    seeds: int = 2
    """Searches of every arm."""
    windows: int = 4
    """Windows of a search, of 2,500 steps of 4 members."""
    retrain: int = 10_000
    """Steps of a training from scratch."""
    rounds: int = 3
    """Comparisons of each kind; the processes are started anew every time."""


TOY = Args(arms=(), jobs=1, seeds=1, windows=1, retrain=625, rounds=1)


def seconds(jobs: int, args: Args) -> float:
    """Compare once."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        own = CompareArgs(
            num_envs=4,
            windows=args.windows,
            window_steps=2_500 if args.retrain > 2_500 else 400,
            retrain=args.retrain,
            retrain_seeds=2,
            seeds=args.seeds,
            jobs=jobs,
            out=Path(folder) / "run",
        )
        clock = time.perf_counter()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="window_steps=.* is shorter")
            code = compare.main(list(args.arms), own)
        assert code == 0, "an arm failed"
        return time.perf_counter() - clock


def main(args: Args) -> None:
    print(describe())
    rounds = np.array([[seconds(1, args), seconds(args.jobs, args)] for _ in range(args.rounds)])
    alone, together = np.median(rounds, axis=0)
    ratio = np.median(rounds[:, 0] / rounds[:, 1])
    print(f"\n{len(args.arms) + 2} arms x {args.seeds} searches and trainings from scratch, medians of {args.rounds}\n")
    print("| processes | seconds | ratio |\n|---|---|---|")
    print(f"| 1 | {alone:.1f} | 1 |")
    print(f"| {args.jobs} | {together:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main(tyro.cli(Args))
