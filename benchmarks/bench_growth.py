"""How speed grows with the number of members, and what a space costs that is larger than anybody can list.

Hypothesis: steps per CPU-second rise until the products of matrices decide (K of about 8) and stay there up to K = 256;
constructing an environment, drawing an architecture and a switch take as long with 10^9 architectures as with 27.
Method: windows of `--steps` steps of a member with learning from step 128 on, CPU-seconds of the process, K taking
turns. Spaces: CPU-seconds, medians of `--spaces` times, everything imported before; `bench_switch.py` has the switches
in more detail.

    python -m benchmarks.bench_growth
"""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import tyro

from archgym.speed import timed
from benchmarks.bench_switch import SPACES, Case, case
from benchmarks.bench_switch import Args as SwitchArgs
from benchmarks.bench_window import FIXED, MIXED, WAYS, population
from benchmarks.environment import DQN
from benchmarks.rounds import show, take_turns

GRIDS = {"27": "grid:3x3", "1,048,576": "grid:10x4", "1,000,000,000": "grid:9x10"}
DRAWS = 100  # architectures


@dataclass(frozen=True)
class Args:
    members: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    """K."""
    steps: int = 1_000
    """Environment steps of one member in a run."""
    rounds: int = 5
    """Runs of every K, after one that does not count."""
    spaces: int = 7
    """Environments constructed of every space, after one that does not count."""


TOY = Args(members=(1, 2), steps=200, rounds=1, spaces=1)


def space_row(env_id: str, space: str, args: Args) -> list[float]:
    """Measure a space: milliseconds to construct and to reset, microseconds to draw, milliseconds per switch."""
    times: list[tuple[float, float, float]] = []
    for seed in range(args.spaces + 1):
        start = time.process_time()
        env: Any = gym.make(env_id, space=space, journal="").unwrapped
        made = time.process_time()
        env.reset(seed=seed)
        begun, rng = time.process_time(), np.random.default_rng(seed)
        drawing = timed(partial(env.search_space.sample, rng), DRAWS) / DRAWS
        times.append((1e3 * (made - start), 1e3 * (begun - made), 1e6 * drawing))
    row = np.median(times[1:], axis=0).tolist()
    if env_id == DQN:
        size = SwitchArgs(members=1, windows=20)
        contender = case(Case(space), size)
        row.append(1e3 * float(np.median([contender.run(seed) for seed in range(args.spaces + 1)][1:])) / size.windows)
    return row


def main(args: Args) -> None:
    for label, space in (("120-84", FIXED), ("mixed architectures of mlp", MIXED)):
        makers = {
            f"{name} K={members}": partial(population, way, members, space, args.steps)
            for name, way in WAYS.items()
            if not way.wall
            for members in args.members
        }
        show(f"{label}, windows of {args.steps} steps of a member", take_turns(makers, args.rounds))
        print()
    print(f"Spaces, medians of {args.spaces}\n")
    print("| architectures | space | construct, ms | reset, ms | draw, us | switch, ms |\n|---|---|---|---|---|---|")
    for env_id, spaces in (("ArchSearch-Synthetic-v0", GRIDS), (DQN, SPACES)):
        for name, space in spaces.items():
            row = [f"{value:.3g}" for value in space_row(env_id, space, args)]
            print(f"| {name.split()[0]} | `{space}` | {' | '.join([*row, ''] if len(row) < 4 else row)} |")


if __name__ == "__main__":
    main(tyro.cli(Args))
