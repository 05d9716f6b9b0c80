"""What a view costs per step, when nothing is trained behind it.

Hypothesis: below 50 microseconds per step for every view. Method: random legal actions on a planted landscape (the null
learner), lifetimes of 100 windows; the wall time of `step` less what the landscape itself takes
(`env.unwrapped.timings`), per step; rounds with all views taking turns. A step of the sequential view decides one
choice; a step of the AEC view is one agent's. *Adds* is the difference from `ArchSearchEnv` per window, divided by the
steps that a window takes: the price of a step of that view.

    python benchmarks/bench_views.py
    python -m pytest benchmarks/bench_views.py --benchmark-only
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import tyro

import archgym  # noqa: F401  (registers the environments)
from archgym.envs import multi_agent
from archgym.envs.editing import EditingEnv

ROOT = Path(__file__).resolve().parent.parent
BASE, SEQUENTIAL = "ArchSearch-Synthetic-v0", "ArchSearch-Synthetic-Sequential-v0"


@dataclass(frozen=True)
class Args:
    space: str = "grid:10x4"
    """The search space."""
    windows: int = 100
    """Windows of a lifetime."""
    rounds: int = 7
    """Lifetimes of every view, after one that does not count."""


TOY = Args(space="grid:3x3", windows=4, rounds=1)
SIZE = TOY if "ARCHGYM_TOY" in os.environ else Args()  # of the runs under pytest


def single(env: Any, rng: np.random.Generator) -> tuple[float, int]:
    """Live one lifetime of a Gymnasium environment: seconds of its steps, and how many there were."""
    _, info = env.reset(seed=int(rng.integers(2**31)))
    seconds, steps, over = 0.0, 0, False
    while not over:
        mask = info.get("action_mask")
        action = env.action_space.sample() if mask is None else int(rng.choice(np.flatnonzero(mask)))
        clock = time.perf_counter()
        _, _, over, _, info = env.step(action)
        seconds += time.perf_counter() - clock
        steps += 1
    return seconds, steps


def vector(envs: Any, rng: np.random.Generator) -> tuple[float, int]:
    """Live the lifetimes of a vector environment: seconds and steps of all members together."""
    envs.reset(seed=int(rng.integers(2**31)))
    seconds, steps, over = 0.0, 0, np.zeros(1, dtype=bool)
    while not over.all():
        actions = envs.action_space.sample()
        clock = time.perf_counter()
        _, _, over, _, _ = envs.step(actions)
        seconds += time.perf_counter() - clock
        steps += envs.num_envs
    return seconds, steps


def parallel(env: Any, rng: np.random.Generator) -> tuple[float, int]:
    """Live one lifetime of the parallel PettingZoo view."""
    env.reset(seed=int(rng.integers(2**31)))
    seconds, steps = 0.0, 0
    while env.agents:
        actions = {agent: env.action_space(agent).sample() for agent in env.agents}
        clock = time.perf_counter()
        env.step(actions)
        seconds += time.perf_counter() - clock
        steps += 1
    return seconds, steps


def aec(env: Any, rng: np.random.Generator) -> tuple[float, int]:
    """Live one lifetime of the AEC PettingZoo view."""
    env.reset(seed=int(rng.integers(2**31)))
    seconds, steps = 0.0, 0
    for agent in env.agent_iter():
        *_, terminated, truncated, _ = env.last()
        action = None if terminated or truncated else env.action_space(agent).sample()
        clock = time.perf_counter()
        env.step(action)
        seconds += time.perf_counter() - clock
        steps += action is not None
    return seconds, steps


View = tuple[Any, Callable[[Any, np.random.Generator], tuple[float, int]], Callable[[], float]]


def views(args: Args) -> dict[str, View]:
    """Make every view of the same problem: how to live in it, and what its landscape has taken so far."""
    keywords = {"space": args.space, "windows": args.windows, "window_steps": 2_500}
    base, asks = gym.make(BASE, **keywords), gym.make(SEQUENTIAL, **keywords)
    edits = EditingEnv(gym.make(BASE, **keywords))
    eight, eight_asks = gym.make_vec(BASE, num_envs=8, **keywords), gym.make_vec(SEQUENTIAL, num_envs=8, **keywords)
    team = multi_agent.parallel_env(trainer="synthetic", **keywords)
    turns = multi_agent.env(trainer="synthetic", **keywords)

    def score(env: Any) -> Callable[[], float]:
        return lambda: float(env.unwrapped.timings["score"])

    return {
        "ArchSearchEnv": (base, single, score(base)),
        "SequentialEnv": (asks, single, score(asks)),
        "EditingEnv": (edits, single, score(edits)),
        "ArchSearchVectorEnv, K=8": (eight, vector, score(eight)),
        "SequentialVectorEnv, K=8": (eight_asks, vector, score(eight_asks)),
        "PettingZoo parallel": (team, parallel, lambda: float(team.unwrapped.base.timings["score"])),
        "PettingZoo AEC": (turns, aec, lambda: float(turns.unwrapped.base.timings["score"])),
    }


def measure(args: Args) -> dict[str, tuple[float, float]]:
    """Measure every view in turn: microseconds per step without the landscape, and steps per window of one member."""
    made, rng = views(args), np.random.default_rng(0)
    found: dict[str, list[float]] = {name: [] for name in made}
    length: dict[str, float] = {}
    for _ in range(args.rounds + 1):
        for name, (env, live, score) in made.items():
            before = score()
            seconds, steps = live(env, rng)
            found[name].append(1e6 * (seconds - (score() - before)) / steps)
            length[name] = steps / args.windows / (8 if "K=8" in name else 1)
    return {name: (float(np.median(values[1:])), length[name]) for name, values in found.items()}


def main(args: Args) -> None:
    sys.path.insert(0, str(ROOT))
    from benchmarks.machine import describe

    print(describe())
    print(
        f"\nMicroseconds per step (of one member) on {args.space}, landscape apart, medians of {args.rounds} rounds\n"
    )
    print("| view | steps per window | us per step | adds per step |\n|---|---|---|---|")
    table = measure(args)
    base = table["ArchSearchEnv"][0]
    for name, (cost, steps) in table.items():
        print(f"| {name} | {steps:g} | {cost:.1f} | {cost - base / steps:+.1f} |")


@pytest.mark.benchmark(group="views")
def test_views(benchmark: Any) -> None:
    table = benchmark.pedantic(measure, (SIZE,), rounds=1)
    benchmark.extra_info.update({name: cost for name, (cost, _) in table.items()})


if __name__ == "__main__":
    main(tyro.cli(Args))
