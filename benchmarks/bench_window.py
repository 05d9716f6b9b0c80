"""Inner environment steps per CPU-second, learning included, beside Stable-Baselines3's DQN at the same settings.

Hypothesis: members trained side by side make at least 12 times the steps of Stable-Baselines3 with torch alone, and
the learner reaches half of what its products of matrices allow. Method: a run is a learner's whole life of `--steps`
environment steps per member on CartPole-v1, from nothing: batch 128, one gradient step per 10 environment steps,
replay 10,000, target network copied every 500 steps, exploration as archgym's default has it, learning from step 128
on. Contenders take turns in every round, one thread; the ratio is taken within a round. CPU-seconds are those of the
process, all threads, set-up left out. Architectures drawn anew in every round: of two ReLU layers, 32 to 128 units
wide, and, as *mixed*, of the 27 of `mlp`, which are up to four layers deep and mostly not ReLU. The two bounds are no
learners: the first is the time of the products between the hidden layers alone, for as many gradient steps
(`archgym.speed.hidden_products`), the second what their operations take at the speed of a large product, both in
float32: what computes in bfloat16 may exceed them. What uses two threads is measured in wall time, so it needs a
machine that does nothing else.

    python -m benchmarks.bench_window
    python -m pytest benchmarks/bench_window.py --benchmark-only
"""

import itertools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
import tyro

from archgym.speed import hidden_products, large_product, learners, timed
from benchmarks.environment import DQN, make
from benchmarks.peers import HIDDEN, SETTINGS, stable_baselines
from benchmarks.rounds import CLOCK, Contender, Makers, Measured, interval, report, seconds, show, take_turns

FIXED, WIDTHS, MIXED = "benchmarks.cleanrl_network", "benchmarks.mixed_widths", "mlp"  # search spaces
PEER, FLOOR, PEAK = "Stable-Baselines3", "bound: the products alone", "bound: at the peak"


@dataclass(frozen=True)
class Way:
    """A way of training 120-84 and mixed architectures in archgym: a row of `WAYS`."""

    keywords: Mapping[str, Any] = field(default_factory=dict)
    """Of the environment, beside the space and the windows."""
    members: tuple[int, ...] = (1, 8, 32)
    """K of 120-84."""
    mixed: tuple[int, ...] = (8, 32)
    """K of mixed architectures."""
    env_id: str = DQN
    wall: bool = False
    """Whether wall time counts, and not CPU time: with more than one core."""


LEARNERS = learners()
WAYS: dict[str, Way] = {
    **{name: Way({**asdict(SETTINGS), **keywords}) for name, keywords in LEARNERS.items()},
    "reference": Way({**asdict(SETTINGS), "learner": "reference"}, members=(8, 32), mixed=(8,)),
    "share_weights": Way({**asdict(SETTINGS), "share_weights": True}, members=(8,), mixed=(8,)),
    "PQN": Way(members=(1, 8), mixed=(8,), env_id="ArchSearch-PQN-v0"),
    "PPO": Way(members=(1, 8), mixed=(8,), env_id="ArchSearch-PPO-v0"),
}
"""Contenders; a new learner or trainer is a row here. PQN and PPO have settings of their own: other work per step."""
MANY = (SETTINGS.train_frequency, 40)  # inner environments, in another trial: 1 and 4 gradient steps after every slot
TOGETHER = ["torch"]  # what is measured with so many, too
if "native" in LEARNERS:
    TOGETHER += ["native", "native bfloat16"]
    ROUNDED = {**WAYS["native"].keywords, "precision": "bfloat16"}
    WAYS["native bfloat16"] = Way(ROUNDED)
    WAYS["PQN bfloat16"] = Way({"precision": "bfloat16"}, members=(8,), mixed=(8,), env_id="ArchSearch-PQN-v0")
    if (os.cpu_count() or 1) > 1:
        for name in ("native", "native bfloat16"):
            ways = Way({**WAYS[name].keywords, "threads": 2}, (32,), (32,), wall=True)
            WAYS[f"{name}, 2 threads, wall time"] = ways
for name, envs in itertools.product(TOGETHER, MANY):
    WAYS[f"{name}, {envs} environments"] = Way({**WAYS[name].keywords, "envs_per_member": envs}, mixed=(32,))


@dataclass(frozen=True)
class Args:
    steps: int = 5_000
    """Environment steps of one member in a run."""
    rounds: int = 7
    """Runs of every contender, after one that does not count."""
    most: int = 32
    """Largest K: ways with more members are left out."""
    only: tuple[str, ...] = ()
    """Contenders with one of these words in the name, beside the reference; none: all."""


TOY = Args(steps=200, rounds=1, most=8)
SIZE = TOY if "ARCHGYM_TOY" in os.environ else Args()  # of the runs under pytest


def peer(steps: int) -> Contender:
    return Contender("environment step", steps, seconds(lambda seed: stable_baselines(steps, seed, SETTINGS)))


def population(way: Way, members: int, space: str, steps: int) -> Contender:
    env = make(members, way.env_id, space=space, windows=1, window_steps=steps, **way.keywords)

    def begin(seed: int) -> Callable[[], object]:
        env.reset(seed=seed)
        rng = np.random.default_rng(seed)
        architectures = np.stack([env.search_space.sample(rng) for _ in range(members)])
        return lambda: env.step(architectures)

    clock = time.perf_counter if way.wall else time.process_time
    return Contender("environment step", members * steps, seconds(begin, clock))


def floor(steps: int) -> Contender:
    products, updates = hidden_products(HIDDEN, SETTINGS.batch_size), steps // SETTINGS.train_frequency
    return Contender("environment step", steps, lambda seed: timed(products.run, updates))


def peak(steps: int) -> Contender:
    products, large = hidden_products(HIDDEN, SETTINGS.batch_size), large_product(torch.float32)
    flops = products.flops * steps // SETTINGS.train_frequency
    repeats = max(3, round(flops / large.flops))
    return Contender("environment step", steps, lambda seed: timed(large.run, repeats) / repeats / large.flops * flops)


def contenders(args: Args) -> Makers:
    """List what makes each contender: the reference, archgym's ways, the bounds."""
    makers: dict[str, Callable[[], Contender]] = {PEER: partial(peer, args.steps)}
    for name, way in WAYS.items():
        for space, label, counts in (
            (FIXED, "120-84", way.members),
            (WIDTHS, "widths 32 to 128", way.mixed),
            (MIXED, "mixed", way.mixed),
        ):
            for members in (one for one in counts if one <= args.most):
                makers[f"archgym {name} K={members} {label}"] = partial(population, way, members, space, args.steps)
    makers = {**makers, FLOOR: partial(floor, args.steps), PEAK: partial(peak, args.steps)}
    chosen = [name for name in makers if not args.only or any(word in name for word in args.only)]
    return {name: maker for name, maker in makers.items() if name in (PEER, FLOOR, PEAK, *chosen)}


@cache
def measured() -> Measured:
    return take_turns(contenders(SIZE), SIZE.rounds)


def main(args: Args) -> None:
    result = take_turns(contenders(args), args.rounds)
    show(f"Steps of all members on CartPole-v1, {args.steps} per member", result)
    print(f"\nShare of the bound, 120-84\n\n| | of {FLOOR} | of {PEAK} |\n|---|---|---|")
    for name in result.contenders:
        if name.endswith("120-84") or name == PEER:
            print(f"| {name} | {' | '.join(interval(result.times(name, one), '.0%') for one in (FLOOR, PEAK))} |")


@pytest.mark.parametrize("name", contenders(SIZE))
@pytest.mark.benchmark(group="window", timer=CLOCK)
def test_window(benchmark: Any, name: str) -> None:
    report(benchmark, measured(), name)


if __name__ == "__main__":
    main(tyro.cli(Args))
