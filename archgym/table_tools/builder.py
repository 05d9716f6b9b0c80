"""Builds a recorded table: trains every architecture of a space, or a sample of it, from scratch on several seeds.

A learner of a table lives alone: a lifetime with `transfer="own"` in which one architecture is trained in every window.
So a live search with `own` meets the very numbers that are recorded here.
"""

import fcntl
import json
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym import table as tables
from archgym.evaluators import open_evaluator
from archgym.problem import Problem
from archgym.search_space import Architecture
from archgym.seeding import Consumer, generator
from archgym.settings import Settings
from archgym.table import Table
from archgym.table_card import Card
from archgym.table_file import COLUMNS
from archgym.table_tools.computed import check_trainer, computed_with, merged
from archgym.table_tools.log import SUPERNET, Cell, Log, differing
from archgym.table_tools.plan import DRAWS, Plan

MARGIN_BYTES = 20_000_000  # that must be free on the disk before a batch is trained
GOLDEN, WHOLE = 2_654_435_769, 2**32  # their quotient is the golden ratio's fractional part


class Builder:
    """Trains what is open in a log, batch by batch.

    Args:
        plan: What the table is to hold.
        log: Where it is kept.
    """

    def __init__(self, plan: Plan, log: Log) -> None:
        self.plan, self.log, self.problem = plan, log, Problem(plan.settings)
        self.architectures, self.seeds = plan.architectures(), plan.seed_list(plan.seeds)
        self.supernets = plan.seed_list(plan.supernet_seeds)
        # A space lists its architectures from small to large, and the small ones are soon trained. In the order of the
        # fractional parts of the golden ratio's multiples all sizes take turns: the first tell how long the rest takes.
        order = sorted(range(len(self.architectures)), key=lambda number: number * GOLDEN % WHOLE)
        cells = product(order, range(plan.seeds))
        self.cells: list[Cell] = [*((SUPERNET, seed) for seed in range(plan.supernet_seeds)), *cells]
        self._noted = False
        for computed in log.noted():
            check_trainer(f"log: {log.path}", computed, self.computed)
        self._check_supernets(log.records([cell for cell in self.cells if cell[0] == SUPERNET]))
        log.want(self.cells)

    def step(self, members: int) -> int:
        """Train one batch: at most so many seeds of one architecture. Returns how many there were to train.

        Raises:
            OSError: If the disk is full; what was handed in stays.
        """
        free = shutil.disk_usage(self.log.path.parent).free
        if free < MARGIN_BYTES:
            raise OSError(
                None,
                f"cannot go on: {free / 1e6:.0f} MB are free, expected {MARGIN_BYTES / 1e6:.0f}; what was handed in "
                "stays in the work log",
                str(self.log.path),
            )
        cells = self.log.claim(self.cells, members)
        if not cells:
            return 0
        if not self._noted:
            self.log.note(self.computed)
            self._noted = True
        records = self._supernets(cells) if cells[0][0] == SUPERNET else self._curves(cells)
        self.log.hand_in(dict(zip(cells, records, strict=True)))
        return len(cells)

    def missing(self) -> list[Cell]:
        """List the cells of this table that are not trained yet."""
        done = self.log.done()
        return [cell for cell in self.cells if cell not in done]

    def work(self, cells: Sequence[Cell]) -> int:
        """Count the windows that cells take."""
        lengths = (self.plan.supernet_windows if cell[0] == SUPERNET else self.plan.settings.windows for cell in cells)
        return sum(lengths)

    def _curves(self, cells: Sequence[Cell]) -> list[dict[str, Any]]:
        """Train a batch from scratch, side by side."""
        architectures = [self.architectures[number] for number, _ in cells]
        seeds = [self.seeds[seed] for _, seed in cells]
        plan = self.plan
        return train_curves(self.problem, architectures, seeds, plan.settings.windows, plan.ages, plan.episodes)

    def _supernets(self, cells: Sequence[Cell]) -> list[dict[str, Any]]:
        """Train supernets on uniformly drawn architectures, and score all architectures with their weights."""
        shared = {"transfer": "shared", "windows": self.plan.supernet_windows}
        problem = Problem(Settings(**{**self.plan.settings.to_dict(), **shared}))
        evaluator, seeds = open_evaluator(problem, len(cells)), [self.supernets[seed] for _, seed in cells]
        evaluator.reset(seeds)
        draws = [generator(seed, Consumer.TABLE, DRAWS) for seed in seeds]
        every = np.tile(np.stack(self.architectures), (len(cells), 1))
        owners = np.repeat(np.arange(len(cells)), len(self.architectures)).tolist()
        scores = []
        for window in range(1, self.plan.supernet_windows + 1):
            numbers = [int(rng.integers(len(self.architectures))) for rng in draws]
            evaluator.train_window(np.stack([self.architectures[number] for number in numbers]))
            if window in self.plan.supernet_ages:
                returns, _ = evaluator.evaluate(every, owners, self.plan.episodes)
                scores.append(returns.reshape(len(cells), -1))
        return [{"scores": [age[row].tolist() for age in scores]} for row in range(len(cells))]

    def take_over(self, table: Table) -> int:
        """Take the cells of an existing table that this one is to hold too.

        Returns:
            How many.

        Raises:
            ValueError: If it was recorded with other settings, or this one would hold less.
        """
        self.check_covers(table)
        card = table.card
        if odd := differing(card.computed, self.computed):
            warnings.warn(f"the rows that are there were computed with {odd}; the card will name both.", stacklevel=2)
        places = {seed: number for number, seed in enumerate(card.seeds)}
        records: dict[Cell, Any] = {}
        for number, seed in product(range(len(self.architectures)), range(self.plan.seeds)):
            if table.is_valid(self.architectures[number]) and self.seeds[seed] in places:
                at = table.index(self.architectures[number]), places[self.seeds[seed]]
                own = {name: column[at].tolist() for name, column in table.columns.items()}
                records[number, seed] = {"evaluations": table.evaluations[at].tolist(), **own}
        if table.supernet is not None:
            for number, seed in enumerate(card.supernet["seeds"]):
                records[SUPERNET, self.supernets.index(seed)] = {"scores": table.supernet[number].tolist()}
            self._check_supernets(records)
        if self.log.put(records):
            self.log.note(card.computed)
        return len(records)

    def check_covers(self, table: Table) -> None:
        """Refuse to write this table in the place of another one, or of one that holds more.

        Raises:
            ValueError: If that one was recorded with other settings, or has seeds, architectures or shared-weight
                scores that this one will not have.
        """
        card, known = table.card, {one.tobytes() for one in self.architectures}
        was = {"ages": card.ages, "episodes": card.episodes, **Settings(**card.settings).to_dict()}
        now = {"ages": self.plan.ages, "episodes": self.plan.episodes, **self.plan.settings.to_dict()}
        if odd := differing(was, json.loads(json.dumps(now))):
            raise ValueError(f"--out: the table there was recorded with {odd}. Another table needs another file.")
        check_trainer("--out: the table there", card.computed, self.computed)
        supernet = card.supernet or {"seeds": [], "ages": self.plan.supernet_ages}
        held = {
            "seeds": (len(card.seeds), not {*card.seeds} <= {*self.seeds}),
            "architectures": (len(table.architectures), any(one.tobytes() not in known for one in table.architectures)),
            "supernet seeds": (len(supernet["seeds"]), not {*supernet["seeds"]} <= {*self.supernets}),
            "supernet ages": (supernet["ages"], supernet["ages"] != self.plan.supernet_ages),
        }
        if lost := [f"{count} {name}" for name, (count, more) in held.items() if more]:
            raise ValueError(
                f"--out: the table there holds {', '.join(lost)}, some of which this one would not. Ask for them too, "
                f"or give another file."
            )

    def _check_supernets(self, records: Mapping[Cell, Any]) -> None:
        """Refuse shared-weight scores of another number of architectures: they are drawn from all there are."""
        own = len(self.architectures)
        for cell, record in records.items():
            if cell[0] == SUPERNET and (scored := len(record["scores"][0])) != own:
                raise ValueError(
                    f"sample: expected the {scored} architectures that the recorded supernets trained, got {own}. "
                    f"A sample with shared-weight scores cannot grow."
                )

    @cached_property
    def computed(self) -> dict[str, str]:
        """What the numbers depend on beside the settings."""
        return computed_with(self.problem)

    def table(self) -> Table:
        """Put the finished cells together.

        Raises:
            ValueError: If cells are missing, or shared-weight scores are of another number of architectures, which
                another builder on this log was asked for.
        """
        found = self.log.records(self.cells)
        self._check_supernets(found)
        if len(found) < len(self.cells):
            raise ValueError(f"table: {len(self.cells) - len(found)} of {len(self.cells)} cells are not trained yet.")
        sides = [*range(1, self.plan.seeds, 2), *range(0, self.plan.seeds, 2)]  # a further seed joins one of the two
        shape = len(self.architectures), len(sides)

        def gather(name: str, kind: type[np.generic]) -> NDArray[Any]:
            rows = [found[number, seed][name] for number, seed in product(range(shape[0]), sides)]
            return np.array(rows, dtype=kind).reshape(*shape, -1)

        columns = {name: gather(name, kind) for name, kind in COLUMNS.items()}
        scores = [found[SUPERNET, seed]["scores"] for seed in range(self.plan.supernet_seeds)]
        supernet = {"seeds": self.supernets, "ages": self.plan.supernet_ages, "episodes": self.plan.episodes}
        card = Card(
            settings=json.loads(json.dumps(self.plan.settings.to_dict())),
            choices=[(choice.name, list(choice.options)) for choice in self.problem.space.choices],
            architectures=len(self.architectures),
            sample=self.plan.sample_rule(),
            seed=self.plan.seed,
            seeds=[self.seeds[number] for number in sides],
            ages=list(self.plan.ages),
            episodes=self.plan.episodes,
            supernet=supernet if scores else {},
            computed=merged(self.log.noted() or [self.computed]),
            command=self.plan.command,
            seconds=round(float(columns["seconds"].sum(dtype=np.float64)), 1),
        )
        evaluations = gather("evaluations", np.float64)
        return Table(card, np.stack(self.architectures), columns, evaluations, np.array(scores) if scores else None)


def write(builder: Builder, path: Path) -> Card:
    """Write the finished table; of several processes, on one log or on logs of their own, one after the other.

    Raises:
        ValueError: If cells are missing, or another process has written another table meanwhile, or one that holds
            more.
        OSError: If the disk is full; everything stays in the log.
    """
    with builder.log.alone(), _alone_in(path.parent):
        if path.exists():
            builder.check_covers(tables.load(path))
        return tables.save(builder.table(), path)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder against other processes that would write a table there; they wait."""
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)  # which frees it


def train_curves(
    problem: Problem,
    architectures: Sequence[Architecture],
    seeds: Sequence[int],
    windows: int,
    ages: Sequence[int],
    episodes: int,
) -> list[dict[str, Any]]:
    """Train architectures from scratch, side by side.

    Args:
        problem: Settings as of `settings_of`.
        architectures: One per learner.
        seeds: Of their lifetimes.
        windows: How many.
        ages: Windows after which the networks are evaluated greedily.
        episodes: Of one evaluation.

    Returns:
        By learner: a value per window of every one of `COLUMNS`, and `evaluations` at the ages.
    """
    actions, members = np.stack(list(architectures)), list(range(len(seeds)))
    evaluator = open_evaluator(problem, len(seeds))
    evaluator.reset(seeds)
    records: list[dict[str, Any]] = [{"evaluations": [], **{name: [] for name in COLUMNS}} for _ in seeds]
    for window in range(1, windows + 1):
        clock = time.process_time()
        results = evaluator.train_window(actions)
        seconds = round((time.process_time() - clock) / len(seeds), 6)
        for record, result in zip(records, results, strict=True):
            for name in COLUMNS:
                record[name].append(seconds if name == "seconds" else getattr(result, name))
        if window in ages:
            returns, _ = evaluator.evaluate(actions, members, episodes)
            for record, value in zip(records, returns.tolist(), strict=True):
                record["evaluations"].append(value)
    return records
