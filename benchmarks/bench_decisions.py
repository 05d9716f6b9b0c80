"""What a decision of every agent costs: choosing an architecture for each of K members, and learning from the rewards.

Hypothesis: a decision costs microseconds to a few milliseconds, at 50 choices too, while a window of training costs
hundreds: no agent is a burden to a search. Method: every agent of `agents/` searches a planted landscape over grids of
3, 10 and 50 choices with 4 options, K members side by side; its own seconds per window (`act` and `learn`; on the
sequential view those of all choices together), after a quarter of the windows. Median and largest: what is refitted now
and then shows in the largest.

    python benchmarks/bench_decisions.py
    python -m pytest benchmarks/bench_decisions.py --benchmark-only
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import tyro
from numpy.typing import NDArray

import archgym  # noqa: F401  (registers the environments)
from archgym import lookup, search

ROOT = Path(__file__).resolve().parent.parent
AGENTS = lookup.names("archgym.agents")


@dataclass(frozen=True)
class Args:
    agents: tuple[str, ...] = tuple(AGENTS)
    """Which ones."""
    choices: tuple[int, ...] = (3, 10, 50)
    """Choices of the space, of 4 options each."""
    members: int = 4
    """K."""
    windows: int = 40
    """Windows of a search."""


TOY = Args(choices=(3,), members=2, windows=4)
SIZE = TOY if "ARCHGYM_TOY" in os.environ else Args()  # of the runs under pytest


def decisions(name: str, choices: int, args: Args) -> NDArray[np.float64]:
    """Search once: the agent's seconds by window, (windows,)."""
    module = lookup.load("archgym.agents", name, "agent")
    env_id = search.view("ArchSearch-Synthetic-v0", module.Args)
    own = module.Args(
        env_id=env_id, space=f"grid:{choices}x4", windows=args.windows, num_envs=args.members, window_steps=2_500
    )
    envs: Any = gym.make_vec(env_id, num_envs=args.members, journal="", **own.environment())
    agent = module.Agent(envs, own)
    return np.array([scalars[search.AGENT_SECONDS] for _, _, scalars in search.windows(envs, agent, 1)])


def main(args: Args) -> None:
    sys.path.insert(0, str(ROOT))
    from benchmarks.machine import describe

    print(describe())
    print(f"\nMilliseconds of the agent per window of K={args.members} members, median (largest)\n")
    print(f"| agent | {' | '.join(f'{choices} choices' for choices in args.choices)} |")
    print("|---|" + "---|" * len(args.choices))
    for name in args.agents:
        cells = []
        for choices in args.choices:
            late = 1e3 * decisions(name, choices, args)[args.windows // 4 :]
            cells.append(f"{np.median(late):.3f} ({late.max():.1f})")
        print(f"| {name} | {' | '.join(cells)} |")


@pytest.mark.parametrize("choices", SIZE.choices)
@pytest.mark.parametrize("name", SIZE.agents)
@pytest.mark.benchmark(group="decisions")
def test_decisions(benchmark: Any, name: str, choices: int) -> None:
    seconds = benchmark.pedantic(decisions, (name, choices, SIZE), rounds=1)
    benchmark.extra_info["median_ms_per_window"] = 1e3 * float(np.median(seconds[SIZE.windows // 4 :]))


if __name__ == "__main__":
    main(tyro.cli(Args))
