"""What a view costs per step, when nothing is trained behind it.

Hypothesis: below 50 microseconds per step for every view. Method: random legal actions on a planted landscape (the null
learner), lifetimes of 100 windows; the wall time of `step` less what the landscape itself takes
(`env.unwrapped.timings`), per step; rounds with all views taking turns. A step of the sequential view decides one
choice; a step of the AEC view is one agent's. *Adds* is the difference from `ArchSearchEnv` per window, divided by the
steps that a window takes: the price of a step of that view.

Editing is measured under constraints too (`max_params`), which it asks about every edit: in a space where choices can
be inactive, beside `ArchSearchEnv` there. What was answered once is remembered, so the first lifetime of an
environment, which asks most, is a row of its own.

    python -m benchmarks.bench_views
    python -m pytest benchmarks/bench_views.py --benchmark-only
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import tyro

import archgym  # noqa: F401  (registers the environments)
from archgym.envs import multi_agent
from archgym.envs.editing import EditingEnv
from benchmarks.environment import make
from benchmarks.machine import describe
from benchmarks.rounds import CLOCK, Contender, Makers, Measured, report, take_turns

BASE, SEQUENTIAL = "ArchSearch-Synthetic-v0", "ArchSearch-Synthetic-Sequential-v0"
LIMITED = ", constrained"


@dataclass(frozen=True)
class Args:
    space: str = "grid:10x4"
    """The search space."""
    windows: int = 100
    """Windows of a lifetime."""
    rounds: int = 7
    """Lifetimes of every view, after one that does not count."""
    constrained: str = "mlp-wide"
    """The search space of the views under constraints."""
    max_params: int = 5_000
    """Their constraint."""


TOY = Args(space="grid:3x3", windows=4, rounds=1)
SIZE = TOY if "ARCHGYM_TOY" in os.environ else Args()  # of the runs under pytest


def single(env: Any, rng: np.random.Generator) -> tuple[float, int]:
    """Live one lifetime of a Gymnasium environment: seconds of its steps, and how many there were."""
    _, info = env.reset(seed=int(rng.integers(2**31)))
    seconds, steps, over = 0.0, 0, False
    while not over:
        mask = info.get("action_mask")
        whole = env.unwrapped.search_space.sample(rng) if mask is None else None
        action = int(rng.choice(np.flatnonzero(mask))) if whole is None else whole
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


Live = Callable[[Any, np.random.Generator], tuple[float, int]]


def gymnasium_view(env_id: str, live: Live, args: Args) -> Contender:
    env = gym.make(env_id, **keywords(args))
    return contender(env, live, args.windows * asked(env_id, env.unwrapped), env.unwrapped)


def editing_view(args: Args) -> Contender:
    env = EditingEnv(gym.make(BASE, **keywords(args)))
    return contender(env, single, args.windows, env.unwrapped)


def limited_view(wrap: Callable[[Any], Any], again: Callable[[Any], Any], args: Args) -> Contender:
    """Enter a view under constraints; `wrap` makes it once, `again` anew for every lifetime."""
    limits = {**keywords(args), "space": args.constrained, "max_params": args.max_params}
    env = wrap(gym.make(BASE, **limits))
    return contender(env, lambda env, rng: single(again(env), rng), args.windows, env.unwrapped)


def vector_view(env_id: str, members: int, args: Args) -> Contender:
    env = make(members, env_id, **keywords(args))
    return contender(env, vector, members * args.windows * asked(env_id, env), env)


def team_view(module_name: str, live: Live, args: Args) -> Contender:
    env: Any = getattr(multi_agent, module_name)(trainer="synthetic", **keywords(args))
    per_window = len(env.possible_agents) if live is aec else 1
    return contender(env, live, args.windows * per_window, env.unwrapped.base)


def keywords(args: Args) -> dict[str, Any]:
    """Give what all views have in common."""
    return {"space": args.space, "windows": args.windows, "window_steps": 2_500}


def asked(env_id: str, env: Any) -> int:
    """Count the steps that a window takes."""
    return len(env.search_space.choices) if env_id == SEQUENTIAL else 1


def contender(env: Any, live: Live, steps: int, base: Any) -> Contender:
    """Enter a view: the seconds of its steps without those of the landscape."""

    def run(seed: int) -> float:
        before = base.timings["score"]
        seconds, lived = live(env, np.random.default_rng(seed))
        assert lived == steps, f"expected a lifetime of {steps} steps, lived {lived}"
        return float(seconds - (base.timings["score"] - before))

    return Contender("step of a member", steps, run)


def same(env: Any) -> Any:
    return env


def contenders(args: Args) -> Makers:
    """List what makes each view of the same problem; the first is the base view."""
    return {
        "ArchSearchEnv": partial(gymnasium_view, BASE, single, args),
        "SequentialEnv": partial(gymnasium_view, SEQUENTIAL, single, args),
        "EditingEnv": partial(editing_view, args),
        "ArchSearchVectorEnv, K=8": partial(vector_view, BASE, 8, args),
        "SequentialVectorEnv, K=8": partial(vector_view, SEQUENTIAL, 8, args),
        "PettingZoo parallel": partial(team_view, "parallel_env", parallel, args),
        "PettingZoo AEC": partial(team_view, "env", aec, args),
        f"ArchSearchEnv{LIMITED}": partial(limited_view, same, same, args),
        f"EditingEnv{LIMITED}": partial(limited_view, EditingEnv, same, args),
        f"EditingEnv, first lifetime{LIMITED}": partial(limited_view, same, EditingEnv, args),
    }


@cache
def measured() -> Measured:
    return take_turns(contenders(SIZE), SIZE.rounds)


def main(args: Args) -> None:
    print(describe())
    print(
        f"\nMicroseconds per step (of one member) on {args.space}, landscape apart, medians of {args.rounds} rounds; "
        f"constrained: on {args.constrained} with at most {args.max_params:,} parameters\n"
    )
    print("| view | steps per window | us per step | adds per step |\n|---|---|---|---|")
    result = take_turns(contenders(args), args.rounds)
    for name, own in result.contenders.items():
        base = 1e6 * float(np.median(result.cost(f"ArchSearchEnv{LIMITED if name.endswith(LIMITED) else ''}")))
        cost = 1e6 * float(np.median(result.cost(name)))
        steps = own.amount / args.windows / (8 if "K=8" in name else 1)
        print(f"| {name} | {steps:g} | {cost:.1f} | {cost - base / steps:+.1f} |")


@pytest.mark.parametrize("name", contenders(SIZE))
@pytest.mark.benchmark(group="views", timer=CLOCK)
def test_views(benchmark: Any, name: str) -> None:
    report(benchmark, measured(), name)


if __name__ == "__main__":
    main(tyro.cli(Args))
