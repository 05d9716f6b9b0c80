"""What a user would run instead of one archgym environment: DQN programs on one thread, and `archgym` with one member.

Hypothesis: a single member is at least six times as fast as Stable-Baselines3, and faster than a plain script. Method:
that of `bench_window.py`, K = 1; the programs are described in `peers.py`.

    python -m benchmarks.bench_peers
    python -m pytest benchmarks/bench_peers.py --benchmark-only
"""

import os
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import pytest
import tyro

from benchmarks.bench_window import FIXED, WAYS, population
from benchmarks.peers import PROGRAMS, SETTINGS, Program, never
from benchmarks.rounds import CLOCK, Contender, Makers, Measured, report, seconds, show, take_turns


@dataclass(frozen=True)
class Args:
    steps: int = 5_000
    """Environment steps of a run."""
    rounds: int = 7
    """Runs of every contender, after one that does not count."""


TOY = Args(steps=200, rounds=1)
SIZE = TOY if "ARCHGYM_TOY" in os.environ else Args()  # of the runs under pytest


def alone(program: Program, steps: int) -> Contender:
    return Contender("environment step", steps, seconds(lambda seed: program(steps, seed, SETTINGS, never)))


def contenders(args: Args) -> Makers:
    """List what makes each contender: first Stable-Baselines3, the reference."""
    programs = {name: partial(alone, program, args.steps) for name, program in PROGRAMS.items()}
    ways = {
        f"archgym {name} K=1": partial(population, way, 1, FIXED, args.steps)
        for name, way in WAYS.items()
        if 1 in way.members
    }
    return {**programs, **ways}


@cache
def measured() -> Measured:
    return take_turns(contenders(SIZE), SIZE.rounds)


def main(args: Args) -> None:
    show(f"One learner on CartPole-v1, 120-84, {args.steps} steps", take_turns(contenders(args), args.rounds))


@pytest.mark.parametrize("name", contenders(SIZE))
@pytest.mark.benchmark(group="peers", timer=CLOCK)
def test_peers(benchmark: Any, name: str) -> None:
    report(benchmark, measured(), name)


if __name__ == "__main__":
    main(tyro.cli(Args))
