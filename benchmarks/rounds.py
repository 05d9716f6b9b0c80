"""Contenders that take turns: how every benchmark of this folder measures, prints and reports.

A group is a table of contenders, the first of them its reference. In every round each contender runs once, after a
yardstick that has nothing to do with archgym; so other load on the machine meets all of them, and ratios are taken
within a round. A contender measures itself (CPU-seconds, a phase of an environment, another process), so that
setting up costs nothing. Under pytest a group is measured once, and its benchmarks report from that.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.machine import describe

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Contender:
    """Something to be measured.

    Args:
        unit: What one unit of its work is: "environment step", "window".
        amount: Units in a run.
        run: Runs once, with the number of the round as seed, and returns the seconds that count.
    """

    unit: str
    amount: float
    run: Callable[[int], float]


Makers = Mapping[str, Callable[[], Contender]]  # contenders by name, not made before they are measured


def seconds(
    begin: Callable[[int], Callable[[], object]], clock: Callable[[], float] = time.process_time
) -> Callable[[int], float]:
    """Make a `Contender.run` of a function that sets up with a seed and returns what is to be timed.

    Args:
        begin: That function.
        clock: Tells seconds; by default CPU-seconds of the process, all threads.
    """

    def run(seed: int) -> float:
        work = begin(seed)
        start = clock()
        work()
        return clock() - start

    return run


@dataclass(frozen=True)
class Measured:
    """What a group came to.

    Attributes:
        contenders: By name, the reference first.
        seconds: Of the runs of each, (rounds,).
        yardstick: Seconds of the yardstick in each round, (rounds,).
    """

    contenders: dict[str, Contender]
    seconds: dict[str, Array]
    yardstick: Array

    def cost(self, name: str) -> Array:
        """Give the seconds per unit of work, (rounds,)."""
        return self.seconds[name] / self.contenders[name].amount

    def speed(self, name: str) -> Array:
        """Give the units of work per second, (rounds,)."""
        return 1 / self.cost(name)

    def times(self, name: str, reference: str | None = None) -> Array:
        """Tell how many times as fast as a contender (None: the group's reference) it is, (rounds,)."""
        return self.cost(reference or next(iter(self.contenders))) / self.cost(name)


def take_turns(makers: Makers, rounds: int) -> Measured:
    """Measure contenders in turns, after one round that does not count; torch computes in one thread."""
    torch.set_num_threads(1)
    made = {name: make() for name, make in makers.items()}
    times: dict[str, list[float]] = {name: [] for name in made}
    marks = []
    for turn in range(rounds + 1):
        marks.append(yardstick())
        for name, contender in made.items():
            times[name].append(contender.run(turn))
    return Measured(made, {name: np.array(own[1:]) for name, own in times.items()}, np.array(marks[1:]))


def yardstick() -> float:
    """Do what never changes, a little interpreting and a little multiplying: CPU-seconds, about 0.03.

    `make bench-compare` counts in yardsticks, so that a machine that is slower today than at the last saved run does
    not make everything look slower.
    """
    matrix, total = np.full((256, 256), 1 / 256, dtype=np.float32), 0  # its square is itself
    start = time.process_time()
    for number in range(400_000):
        total += number & 7
    for _ in range(40):
        matrix = np.matmul(matrix, matrix)
    return time.process_time() - start


def interval(values: Array, form: str) -> str:
    """Write the median with the lowest and highest value."""
    return f"{np.median(values):{form}} [{values.min():{form}}, {values.max():{form}}]"


def show(title: str, measured: Measured) -> None:
    """Print a group as a table: medians, in brackets the lowest and highest round."""
    reference, units = next(iter(measured.contenders)), {one.unit for one in measured.contenders.values()}
    print(f"{describe()}\n{title}; {len(measured.yardstick)} rounds in turns, median [lowest, highest]\n")
    unit = units.pop() if len(units) == 1 else "unit"
    print(f"| | us per {unit} | per second | times as fast as {reference} |\n|---|---|---|---|")
    for name in measured.contenders:
        cells = (
            interval(1e6 * measured.cost(name), ",.4g"),
            interval(measured.speed(name), ",.0f"),
            interval(measured.times(name), ".3g"),
        )
        print(f"| {name} | {' | '.join(cells)} |")


class Clock:
    """The timer of pytest-benchmark here: it stands still, but for the seconds that contenders measured."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


CLOCK = Clock()


def report(benchmark: Any, measured: Measured, name: str) -> None:
    """Hand what was measured to pytest-benchmark, with what `benchmarks.saved_runs` reads."""
    turns, contender = iter(measured.seconds[name]), measured.contenders[name]
    times = measured.times(name)
    benchmark.extra_info.update(
        contender=name,
        reference=next(iter(measured.contenders)),
        unit=contender.unit,
        amount=contender.amount,
        microseconds=1e6 * float(np.median(measured.cost(name))),
        yardsticks=float(np.median(measured.seconds[name] / measured.yardstick)),
        times=[float(np.median(times)), float(times.min()), float(times.max())],
    )
    benchmark.pedantic(lambda: CLOCK.advance(next(turns)), rounds=len(measured.yardstick))
