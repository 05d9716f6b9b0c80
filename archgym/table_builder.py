"""Builds a recorded table: trains every architecture of a space, or a sample of it, from scratch on several seeds.

A learner of a table lives alone: a lifetime with `transfer="own"` in which one architecture is trained in every window.
So a live search with `own` meets the very numbers that are recorded here.
"""

import json
import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym import table as tables
from archgym.evaluators import open_evaluator
from archgym.provenance import processor, versions
from archgym.search_space import Architecture
from archgym.seeding import Consumer, generator
from archgym.settings import Problem, Settings
from archgym.table import COLUMNS, Table
from archgym.table_card import Card
from archgym.table_log import SUPERNET, Cell, Log

SEEDS, SAMPLE, DRAWS = 0, 1, 2  # keys of random numbers below the table's seed
LARGEST = 100_000  # architectures that are all trained; of larger spaces a sample must be asked for
MARGIN_BYTES = 20_000_000  # that must be free on the disk before a batch is trained


@dataclass(frozen=True)
class Plan:
    """What a table is to hold.

    Args:
        settings: Of the training of one architecture from scratch; see `settings_of`.
        seeds: Learning curves per architecture.
        ages: Windows after which networks are evaluated greedily.
        episodes: Of one evaluation.
        sample: Number of architectures, drawn without repeats behind the default one; None: all of them.
        supernet_seeds: Supernets trained on uniformly drawn architectures, whose scores are recorded.
        supernet_windows: Length of their lifetimes; scored after each fifth of it.
        seed: Root of everything random.
        command: What asked for it.
    """

    settings: Settings
    seeds: int
    ages: tuple[int, ...]
    episodes: int = 10
    sample: int | None = None
    supernet_seeds: int = 0
    supernet_windows: int = 0
    seed: int = 0
    command: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be built, before anything is trained or written."""
        windows, space = self.settings.windows, Problem(self.settings).space
        for name, least in (("seeds", 2), ("episodes", 1), ("supernet_seeds", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(self, name)}.")
        if (
            not self.ages
            or list(self.ages) != sorted({*self.ages})
            or not 1 <= self.ages[0] <= self.ages[-1] <= windows
        ):
            raise ValueError(f"ages: expected rising numbers of windows from 1 to {windows}, got {list(self.ages)}.")
        if self.supernet_seeds and (self.supernet_windows < 5 or self.supernet_windows % 5):
            raise ValueError(f"supernet_windows: expected a multiple of 5, got {self.supernet_windows}.")
        if self.sample is not None and not 1 <= self.sample <= space.size:
            raise ValueError(
                f"sample: expected 1 to {space.size:,} architectures, which {space.name!r} has, got {self.sample}."
            )
        if self.sample is None and space.size > LARGEST:
            raise ValueError(
                f"sample: expected a number, for {space.name!r} has {space.size:,} architectures and at most "
                f"{LARGEST:,} are trained without one."
            )

    def architectures(self) -> list[Architecture]:
        """List what is trained; a larger sample begins with a smaller one."""
        space = Problem(self.settings).space
        if self.sample is None:
            return list(space.enumerate())
        rng = generator(self.seed, Consumer.TABLE, SAMPLE)
        found: dict[bytes, Architecture] = {}
        own = space.default_architecture
        while len(found) < self.sample:
            found.setdefault(own.tobytes(), own)
            own = space.sample(rng)
        return list(found.values())

    def seed_list(self, count: int) -> list[int]:
        """List seeds of lifetimes; more seeds begin with fewer."""
        return [int(generator(self.seed, Consumer.TABLE, SEEDS, number).integers(2**63)) for number in range(count)]

    @property
    def supernet_ages(self) -> list[int]:
        """Windows after which a supernet is scored."""
        return [self.supernet_windows * part // 5 for part in range(1, 6)] if self.supernet_seeds else []

    def sample_rule(self) -> str:
        """Say how the architectures were chosen."""
        if self.sample is None:
            return "all architectures of the space"
        return f"the default and others drawn uniformly without repeats, {self.sample} in all, seed {self.seed}"

    def fixed(self) -> dict[str, Any]:
        """Give what a log must have been made with; the numbers of seeds and architectures may grow."""
        return {
            "settings": self.settings.to_dict(),
            "ages": list(self.ages),
            "episodes": self.episodes,
            "seed": self.seed,
            "supernet_windows": self.supernet_windows,
            "drawn": self.sample is not None,
        }


def settings_of(keywords: Mapping[str, Any]) -> Settings:
    """Complete the settings of a training from scratch: every learner alone, the same numbers in any batch."""
    return Settings.from_keywords({**keywords, "transfer": "own", "exact": True})


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
        cells = product(range(len(self.architectures)), range(plan.seeds))
        self.cells: list[Cell] = [*((SUPERNET, seed) for seed in range(plan.supernet_seeds)), *cells]
        self.learner = ""
        log.want(self.cells)

    def step(self, members: int) -> int:
        """Train one batch of at most so many cells; returns how many there were to train.

        Raises:
            OSError: If the disk is full; what was handed in stays.
        """
        free = shutil.disk_usage(self.log.path.parent).free
        if free < MARGIN_BYTES:
            raise OSError(
                None,
                f"cannot go on: {free / 1e6:.0f} MB are free, expected {MARGIN_BYTES / 1e6:.0f}",
                self.log.path.name,
            )
        cells = self.log.claim(members)
        if not cells:
            return 0
        records = self._supernets(cells) if cells[0][0] == SUPERNET else self._curves(cells)
        self.log.hand_in(dict(zip(cells, records, strict=True)))
        return len(cells)

    def missing(self) -> int:
        """Count the cells of this table that are not trained yet."""
        return len(self.cells) - self.log.count(self.cells)

    def _curves(self, cells: Sequence[Cell]) -> list[dict[str, Any]]:
        """Train a batch from scratch, side by side."""
        actions = np.stack([self.architectures[number] for number, _ in cells])
        evaluator, members = open_evaluator(self.problem, len(cells)), list(range(len(cells)))
        evaluator.reset([self.seeds[seed] for _, seed in cells])
        records: list[dict[str, Any]] = [{"evaluations": [], **{name: [] for name in COLUMNS}} for _ in cells]
        for window in range(1, self.plan.settings.windows + 1):
            clock = time.process_time()
            results = evaluator.train_window(actions)
            seconds = round((time.process_time() - clock) / len(cells), 6)
            for record, result in zip(records, results, strict=True):
                for name in COLUMNS:
                    record[name].append(seconds if name == "seconds" else getattr(result, name))
            if window in self.plan.ages:
                returns, _ = evaluator.evaluate(actions, members, self.plan.episodes)
                for record, value in zip(records, returns.tolist(), strict=True):
                    record["evaluations"].append(value)
        return records

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
            ValueError: If it was recorded with other settings.
        """
        card = table.card
        for name, own, other in (
            ("settings", self.plan.settings.to_dict(), Settings(**card.settings).to_dict()),
            ("ages", list(self.plan.ages), card.ages),
            ("episodes", self.plan.episodes, card.episodes),
        ):
            if json.loads(json.dumps(own)) != other:
                raise ValueError(
                    f"--out: expected a table recorded with {name} {other!r}, as the one there; got {own!r}."
                )
        if card.computed != self.computed():
            warnings.warn(
                f"the rows that are there were computed with {card.computed}, new ones with {self.computed()}.",
                stacklevel=2,
            )
        places = {seed: number for number, seed in enumerate(card.seeds)}
        records: dict[Cell, Any] = {}
        for number, seed in product(range(len(self.architectures)), range(self.plan.seeds)):
            if table.is_valid(self.architectures[number]) and self.seeds[seed] in places:
                at = table.index(self.architectures[number]), places[self.seeds[seed]]
                own = {name: column[at].tolist() for name, column in table.columns.items()}
                records[number, seed] = {"evaluations": table.evaluations[at].tolist(), **own}
        if table.supernet is not None and card.supernet["ages"] == self.plan.supernet_ages and table.full:
            for number, seed in enumerate(self.supernets):
                if seed in card.supernet["seeds"]:
                    scores = table.supernet[card.supernet["seeds"].index(seed)]
                    records[SUPERNET, number] = {"scores": scores.tolist()}
        self.log.put(records)
        return len(records)

    def computed(self) -> dict[str, str]:
        """Tell what the numbers depend on beside the settings."""
        self.learner = self.learner or open_evaluator(self.problem, 1).learner
        return {"processor": processor(), "learner": self.learner, **versions()}

    def table(self) -> Table:
        """Put the finished cells together.

        Raises:
            ValueError: If cells are missing.
        """
        found = self.log.records(self.cells)
        if len(found) < len(self.cells):
            raise ValueError(f"table: {len(self.cells) - len(found)} of {len(self.cells)} cells are not trained yet.")
        shape = len(self.architectures), self.plan.seeds

        def gather(name: str, kind: type[np.generic]) -> NDArray[Any]:
            rows = [found[cell][name] for cell in self.cells if cell[0] != SUPERNET]
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
            seeds=self.seeds,
            ages=list(self.plan.ages),
            episodes=self.plan.episodes,
            supernet=supernet if scores else {},
            computed=self.computed(),
            command=self.plan.command,
            seconds=round(float(columns["seconds"].sum()), 1),
        )
        evaluations = gather("evaluations", np.float64)
        return Table(card, np.stack(self.architectures), columns, evaluations, np.array(scores) if scores else None)


def write(builder: Builder, path: Path) -> Card:
    """Write the finished table."""
    return tables.save(builder.table(), path)
