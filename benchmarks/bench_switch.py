"""What a switch of architecture costs: checking a subnet out of its store before a window and in again after it.

Hypothesis: a switch is a copy of the subnet's numbers, about a millisecond for the widest, whatever the size of the
space. Method: windows so short that nothing is learned in them, K members; the phase `switch` of
`env.unwrapped.timings`, per member. The two architectures that take turns are the same in every space: 2 layers of 128
with relu, 4 layers of 128 with tanh. Their supernets are alike too, but for LayerNorm, which `mlp` does not have.

And what it costs under each `transfer`, against a gradient step of the same network and minibatch (2 layers of 128, 128
transitions; the phase `learn`, which writes the replay too, in windows with a gradient step per environment step).
Hypothesis: all but `distil` cost less than 50 gradient steps of the compiled learner; `distil` costs its own 400, of
the reference learner.

    python -m benchmarks.bench_switch
    python -m pytest benchmarks/bench_switch.py --benchmark-only
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import tyro

from archgym.search_space import Architecture, Option, SearchSpace
from benchmarks.environment import make
from benchmarks.large_mlp import architectures
from benchmarks.rounds import CLOCK, Contender, Makers, Measured, report, show, take_turns

TURNS: tuple[Mapping[str, Option], ...] = ({"depth": 2, "activation": "relu"}, {"depth": 4, "activation": "tanh"})
SPACES = {
    "27 architectures": "mlp",
    "4,056 architectures": "mlp-wide",
    f"{architectures(16):,} architectures": "benchmarks.large_mlp:16",
    f"{architectures(100):,} architectures": "benchmarks.large_mlp:100",
}


@dataclass(frozen=True)
class Case:
    """A row of `CASES`."""

    space: str = "mlp"
    switches: bool = True
    """Whether every window has the other architecture."""
    keywords: Mapping[str, Any] = field(default_factory=dict)


CASES = {
    **{name: Case(space) for name, space in SPACES.items()},
    "27, the same architecture again": Case(switches=False),
    "27, transfer='own'": Case(keywords={"transfer": "own"}),
    "27, transfer='fresh'": Case(keywords={"transfer": "fresh"}),
}


TRANSFERS = ("shared", "matching", "restart", "net2net", "distil", "fresh")
LEARNERS = {"compiled": "native", "torch": "torch", "reference": "reference"}
STEPS, WAIT = 400, 128  # environment steps of a window that learns, and those before its first gradient step


@dataclass(frozen=True)
class Args:
    members: int = 8
    """K."""
    windows: int = 40
    """Windows of a run."""
    switches: int = 8
    """Windows of a run under each transfer."""
    rounds: int = 7
    """Runs of every case, after one that does not count."""


TOY = Args(members=2, windows=2, switches=1, rounds=1)
SIZE = TOY if "ARCHGYM_TOY" in os.environ else Args()  # of the runs under pytest


def named(space: SearchSpace, given: Mapping[str, Option]) -> Architecture:
    """Encode a network of full width: what is not given is the widest, without LayerNorm and skips."""
    options = {choice.name: choice.options[-1 if choice.name.startswith("width") else 0] for choice in space.choices}
    return space.canonical(space.encode_options({**options, **given}))


def case(own: Case, args: Args) -> Contender:
    settings = {"windows": args.windows, "window_steps": 40, "space": own.space, **own.keywords}
    starts = 39 if settings.get("transfer") == "fresh" else 40 * args.windows - 1  # nothing is learned before
    env = make(args.members, learning_starts=starts, **settings)
    turns = [np.tile(named(env.search_space, given), (args.members, 1)) for given in TURNS]

    def run(seed: int) -> float:
        env.reset(seed=seed)
        before = env.timings["switch"]
        for window in range(args.windows):
            env.step(turns[window % 2 if own.switches else 0])
        return float(env.timings["switch"] - before)

    return Contender("switch", args.members * args.windows, run)


def transfer_case(transfer: str, args: Args) -> Contender:
    """Switch in every window but the first, which fills the replay."""
    steps = 4 * 40  # more than a minibatch, which is what `distil` waits for
    starts = steps - 1 if transfer == "fresh" else steps * (args.switches + 1) - 1
    settings = {"windows": args.switches + 1, "window_steps": steps, "transfer": transfer}
    env = make(args.members, learning_starts=starts, **settings)
    turns = [np.tile(named(env.search_space, given), (args.members, 1)) for given in TURNS]

    def run(seed: int) -> float:
        env.reset(seed=seed)
        env.step(turns[0])
        before = env.timings["switch"]
        for window in range(args.switches):
            env.step(turns[(window + 1) % 2])
        return float(env.timings["switch"] - before)

    return Contender("switch", args.members * args.switches, run)


def learning_case(learner: str, args: Args) -> Contender:
    """Learn at every environment step of one window."""
    settings = {"windows": 1, "window_steps": STEPS, "learner": learner, "learning_starts": WAIT, "train_frequency": 1}
    env = make(args.members, **settings)
    architectures = np.tile(named(env.search_space, TURNS[0]), (args.members, 1))

    def run(seed: int) -> float:
        env.reset(seed=seed)
        before = env.timings["learn"]
        *_, infos = env.step(architectures)
        assert (infos["gradient_steps"] == STEPS - WAIT).all()
        return float(env.timings["learn"] - before)

    return Contender("gradient step", args.members * (STEPS - WAIT), run)


def contenders(args: Args) -> Makers:
    """List what makes each contender; the reference is the small space."""
    return {name: partial(case, own, args) for name, own in CASES.items()}


def transfers(args: Args) -> Makers:
    """List what makes each contender; the reference is a gradient step of the compiled learner."""
    learning = {f"a gradient step, {name}": partial(learning_case, own, args) for name, own in LEARNERS.items()}
    return {**learning, **{f"a switch, {name}": partial(transfer_case, name, args) for name in TRANSFERS}}


@cache
def measured() -> Measured:
    return take_turns(contenders(SIZE), SIZE.rounds)


@cache
def measured_transfers() -> Measured:
    return take_turns(transfers(SIZE), SIZE.rounds)


def main(args: Args) -> None:
    show(f"Checking out and in, per member, K={args.members}", take_turns(contenders(args), args.rounds))
    show(f"\nA switch under each transfer, per member, K={args.members}", take_turns(transfers(args), args.rounds))


@pytest.mark.parametrize("name", contenders(SIZE))
@pytest.mark.benchmark(group="switch", timer=CLOCK)
def test_switch(benchmark: Any, name: str) -> None:
    report(benchmark, measured(), name)


@pytest.mark.parametrize("name", transfers(SIZE))
@pytest.mark.benchmark(group="transfer", timer=CLOCK)
def test_transfer(benchmark: Any, name: str) -> None:
    report(benchmark, measured_transfers(), name)


if __name__ == "__main__":
    main(tyro.cli(Args))
