"""What a step on a recorded table costs, for one environment and for many, and what it takes to begin.

Hypothesis: 100,000 steps per second in a single environment and 5 million in a vector of 1,024; `gymnasium.make` of a
tabular id in a new process within 0.6 s, importing included; a table loads within 50 ms. Method: lifetimes under random
actions, one after the other, resets included; *in Python* is the reference, which is what steps go through where
nothing is compiled or a journal is written. Steps and loading are counted in CPU-seconds, processes in wall time. The
table has drawn numbers in the size of one that ships, `mlp` on CartPole-v1 with 10 seeds and 40 windows, unless another
is named; drawn numbers compress less well than recorded ones.

    python -m benchmarks.bench_table
    python -m pytest benchmarks/bench_table.py --benchmark-only
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
import pytest
import tyro

from archgym import table as tables
from archgym import table_file
from archgym.envs import table_kernel
from benchmarks import drawn_table
from benchmarks.environment import make
from benchmarks.rounds import CLOCK, Contender, Makers, Measured, report, seconds, show, take_turns

ID = "ArchSearch-DQN-Tabular-v0"
MAKE = f"import gymnasium; gymnasium.make('archgym:{ID}', table={{table!r}}, windows={{windows}})"
IMPORT = "import gymnasium"
FOLDER = tempfile.TemporaryDirectory(prefix="archgym-bench-")  # gone with the process


@dataclass(frozen=True)
class Args:
    table: str = ""
    """A file or the name of a table; "": one of drawn numbers."""
    members: int = 1024
    """K of the vector environment."""
    windows: int = 24
    """Windows of a lifetime."""
    lifetimes: int = 500
    """Of the single environment in a round; of the members of the vector environment a tenth of it, in Python one."""
    rounds: int = 7
    """After one that does not count."""


TOY = Args(members=3, windows=2, lifetimes=2, rounds=1)
SIZE = TOY if "ARCHGYM_TOY" in os.environ else Args()  # of the runs under pytest


@cache
def drawn() -> str:
    """Write a table of drawn numbers in the size of one that ships."""
    path = Path(FOLDER.name) / "drawn.npz"
    drawn_table.write(path)
    return str(path)


def single(args: Args, compiled: bool) -> Contender:
    """Enter one environment with the wrappers that `gymnasium.make` puts around it."""
    env = opened(compiled, lambda: gym.make(ID, table=args.table, windows=args.windows, journal=""))

    def begin(seed: int) -> Callable[[], None]:
        rng = np.random.default_rng(seed)
        actions = [env.unwrapped.search_space.sample(rng) for _ in range(args.windows)]  # type: ignore[attr-defined]
        env.reset(seed=seed)

        def live() -> None:
            for _ in range(args.lifetimes):
                for action in actions:
                    env.step(action)
                env.reset()

        return live

    return Contender("step of a member", args.lifetimes * args.windows, seconds(begin))


def vector(args: Args, compiled: bool) -> Contender:
    """Enter a vector environment."""
    envs = opened(compiled, lambda: make(args.members, ID, table=args.table, windows=args.windows))
    lifetimes = max(1, args.lifetimes // 10) if compiled else 1

    def begin(seed: int) -> Callable[[], None]:
        rng = np.random.default_rng(seed)
        actions = np.stack([envs.search_space.sample(rng) for _ in range(args.windows * args.members)])
        batches = list(actions.reshape(args.windows, args.members, -1))
        envs.reset(seed=seed)

        def live() -> None:
            for _ in range(lifetimes):
                for batch in batches:
                    envs.step(batch)
                envs.step(batch)  # begins all of them anew

        return live

    return Contender("step of a member", lifetimes * args.windows * args.members, seconds(begin))


def opened(compiled: bool, open_one: Callable[[], Any]) -> Any:
    """Make an environment, compiled or as where nothing is."""
    if compiled:
        assert table_kernel.library() is not None, "expected archgym/native/lives.cpp to be built"
        return open_one()
    with mock.patch.object(table_kernel, "library", return_value=None):
        return open_one()


def process(code: str) -> Contender:
    """Enter a new process, by its wall time."""

    def run(seed: int) -> float:
        clock = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - clock

    return Contender("process", 1, run)


def loading(args: Args) -> Contender:
    """Enter reading and verifying a table."""

    def begin(seed: int) -> Callable[[], object]:
        forget = table_file.read.cache_clear
        forget()
        return lambda: tables.load(args.table)

    return Contender("table", 1, seconds(begin))


def steps(args: Args) -> Makers:
    return {
        "single": partial(single, args, True),
        f"vector of {args.members}": partial(vector, args, True),
        "single, in Python": partial(single, args, False),
        f"vector of {args.members}, in Python": partial(vector, args, False),
    }


def starts(args: Args) -> Makers:
    return {
        "import gymnasium, new process": partial(process, IMPORT),
        "make, new process": partial(process, MAKE.format(table=args.table, windows=args.windows)),
        "load the table": partial(loading, args),
    }


@cache
def measured(kind: Callable[[Args], Makers], args: Args) -> Measured:
    own = replace(args, table=args.table or drawn())
    return take_turns(kind(own), own.rounds)


def main(args: Args) -> None:
    table = args.table or drawn()
    found = tables.load(table)
    size = os.path.getsize(table) if os.path.exists(table) else 0
    shape = found.columns["raw_return"].shape
    print(f"{table}: {size:,} bytes, {' x '.join(map(str, shape))} windows (architectures x seeds x windows)\n")
    show(f"Steps on a recorded table, lifetimes of {args.windows} windows, resets included", measured(steps, args))
    print()
    show("Beginning", measured(starts, args))


@pytest.mark.parametrize("name", steps(SIZE))
@pytest.mark.benchmark(group="table", timer=CLOCK)
def test_steps(benchmark: Any, name: str) -> None:
    report(benchmark, measured(steps, SIZE), name)


@pytest.mark.parametrize("name", starts(SIZE))
@pytest.mark.benchmark(group="table-start", timer=CLOCK)
def test_starts(benchmark: Any, name: str) -> None:
    report(benchmark, measured(starts, SIZE), name)


if __name__ == "__main__":
    main(tyro.cli(Args))
