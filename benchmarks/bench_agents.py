"""What a decision of every agent costs: choosing an architecture for each of K members, and learning from the rewards.

Hypothesis: a decision costs microseconds to a few milliseconds, at 50 choices too, while a window of training costs
hundreds: no agent is a burden to a search. Method: every agent of `agents/` searches a planted landscape over grids of
3, 10 and 50 choices with 4 options, K members side by side; its own seconds per window (`act` and `learn`; on the
sequential view those of all choices together), median of all windows after the first quarter. What is refitted now and
then shows in the largest of them. Agents take turns, searches with other seeds in every round.

    python -m benchmarks.bench_agents
    python -m pytest benchmarks/bench_agents.py --benchmark-only
"""

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import tyro
from numpy.typing import NDArray

import archgym  # noqa: F401  (registers the environments)
from archgym import lookup
from archgym.running import search
from archgym.running.agent import load_agent, view
from benchmarks.machine import describe
from benchmarks.rounds import CLOCK, Contender, Makers, Measured, report, take_turns

REFERENCE = "random-search"
AGENTS = sorted(lookup.names("archgym.agents"), key=lambda name: name != REFERENCE)  # the reference first


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
    rounds: int = 5
    """Searches of every agent, after one that does not count."""


TOY = Args(choices=(3,), members=2, windows=4, rounds=1)
SIZE = TOY if "ARCHGYM_TOY" in os.environ else Args()  # of the runs under pytest


class Searches:
    """An agent that searches grids of a size.

    Attributes:
        largest: Seconds of the longest of the windows that count, by round.
    """

    def __init__(self, name: str, choices: int, args: Args) -> None:
        self.module = load_agent(name)
        self.env_id = view("ArchSearch-Synthetic-v0", self.module.Args)
        self.choices, self.args, self.largest = choices, args, list[float]()

    def contender(self) -> Contender:
        """Enter the agent's seconds per window."""
        return Contender(f"window of {self.args.members} members", 1, self.run)

    def run(self, seed: int) -> float:
        """Search once."""
        late = self.decisions(seed)[self.args.windows // 4 :]
        self.largest.append(float(late.max()))
        return float(np.median(late))

    def decisions(self, seed: int) -> NDArray[np.float64]:
        """Search once: the agent's seconds by window, (windows,)."""
        args = self.args
        own = self.module.Args(
            env_id=self.env_id,
            space=f"grid:{self.choices}x4",
            windows=args.windows,
            num_envs=args.members,
            window_steps=2_500,
        )
        envs: Any = gym.make_vec(self.env_id, num_envs=args.members, journal="", **own.environment())
        agent = self.module.Agent(envs, own)
        return np.array([scalars[search.AGENT_SECONDS] for _, _, scalars in search.windows(envs, agent, seed)])


def searches(args: Args) -> dict[str, Searches]:
    """List every agent on every size of grid."""
    pairs = [(name, choices) for choices in args.choices for name in args.agents]
    return {f"{name}, {choices} choices": Searches(name, choices, args) for name, choices in pairs}


def contenders(made: dict[str, Searches]) -> Makers:
    return {name: own.contender for name, own in made.items()}


@cache
def measured() -> Measured:
    return take_turns(contenders(searches(SIZE)), SIZE.rounds)


def main(args: Args) -> None:
    made = searches(args)
    result = take_turns(contenders(made), args.rounds)
    print(describe())
    print(
        f"\nMilliseconds of the agent per window of K={args.members} members, {args.rounds} rounds, median (largest)\n"
    )
    print(f"| agent | {' | '.join(f'{choices} choices' for choices in args.choices)} |")
    print("|---|" + "---|" * len(args.choices))
    for agent in args.agents:
        cells = []
        for choices in args.choices:
            name = f"{agent}, {choices} choices"
            median, largest = np.median(result.seconds[name]), max(made[name].largest[1:])
            cells.append(f"{1e3 * median:.3f} ({1e3 * largest:.1f})")
        print(f"| {agent} | {' | '.join(cells)} |")


@pytest.mark.parametrize("name", searches(SIZE))
@pytest.mark.benchmark(group="agents", timer=CLOCK)
def test_agents(benchmark: Any, name: str) -> None:
    report(benchmark, measured(), name)


if __name__ == "__main__":
    main(tyro.cli(Args))
