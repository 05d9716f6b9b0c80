"""How long `archgym compare` takes on a recorded table: ten agents, 200 searches of each, 100 windows a search.

Hypothesis: with windows looked up and no run folders, the agents' own decisions are nearly all of the cost, and two
cores need less than five minutes. Method: one comparison from the first process to the written page, wall time and CPU
time of all processes; beside it what the agents' decisions took, by their own clocks. The table holds drawn numbers, of
the shape of the shipped ones: what is timed does not depend on them. One round, since it takes minutes: the CPU time is
what other load on the machine disturbs least.

    OMP_NUM_THREADS=1 python -m benchmarks.bench_compare
"""

import contextlib
import io
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from archgym.compare import command as compare
from archgym.running.arms import TabularArgs
from benchmarks import drawn_table
from benchmarks.machine import describe, spent


@dataclass(frozen=True)
class Args:
    arms: tuple[str, ...] = (
        *("random-search", "fixed", "local-search", "regularized-evolution", "bandits", "alphax", "successive-halving"),
        *("tpe", "lstm-reinforce", "bananas"),
    )
    """The agents."""
    searches: int = 200
    """Of every agent."""
    windows: int = 100
    """Of a search, all members together."""
    members: int = 1
    """Lifetimes side by side, K."""
    jobs: int = os.cpu_count() or 1
    """Processes."""
    architectures: int = 27
    """Rows of the table."""


TOY = Args(arms=("random-search", "fixed"), searches=4, windows=4, jobs=1)


def main(args: Args) -> None:
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        drawn_table.write(Path(folder) / "planted.npz", args.architectures)
        own = TabularArgs(
            env_id="ArchSearch-DQN-Tabular-v0",
            space="mlp" if args.architectures <= 27 else "mlp-wide",
            table=str(Path(folder) / "planted.npz"),
            windows=args.windows // args.members,
            num_envs=args.members,
            seeds=args.searches,
            jobs=args.jobs,
            out=Path(folder) / "run",
        )
        clock, before = time.perf_counter(), spent()
        with contextlib.redirect_stdout(io.StringIO()):
            code = compare.main(list(args.arms), own)
        assert code == 0, "an arm failed"
        wall, processor = time.perf_counter() - clock, spent() - before
        content = json.loads((Path(folder) / "run" / "compare.json").read_text())
    costs = {name: cost["decision_ms"] for name, cost in content["cost"].items()}
    decided = sum(costs.values()) / 1000 * args.searches * args.windows / args.members
    total = len(costs) * args.searches * args.windows
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"\n{len(costs)} agents x {args.searches} searches x {args.windows} windows (K = {args.members}), ", end="")
    print(f"{args.jobs} processes; load {load}\n")
    print("| | seconds |\n|---|---|")
    rows = {"wall": wall, "CPU": processor, "decisions of the agents, by their own clocks": decided}
    print("\n".join(f"| {name} | {seconds:.1f} |" for name, seconds in rows.items()))
    print(f"\nCPU: {1e6 * processor / total:.0f} us per window looked up\n")
    print("| agent | ms per decision |\n|---|---|")
    for name, cost in sorted(costs.items(), key=lambda item: item[1]):
        print(f"| {name} | {cost:.3f} |")


if __name__ == "__main__":
    main(tyro.cli(Args))
