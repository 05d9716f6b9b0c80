"""A recorded table: learning curves of every architecture of a space on a task, several seeds. Load, check, query.

Half of the seeds answer searches; `best` and `regret` stand on the other half, so that nobody finds by luck what is
then called the best. Needs no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from archgym import table_card, table_file
from archgym.problem import Problem
from archgym.search_space import Architecture, SearchSpace
from archgym.settings import Settings
from archgym.table_card import Card
from archgym.table_file import COLUMNS

SCORES = ("area", "last_fifth", "greedy")


@dataclass(frozen=True)
class Answer:
    """What training one architecture from scratch came to after a budget.

    A budget below the whole is the first part of the long training, whose schedule (exploration above all) is laid out
    for all that is recorded. A training of that budget alone would have a schedule of its own, and other returns.
    """

    raw_return: float
    """Mean return of the last window's episodes."""
    normalised_return: float
    """The same with 0 = random policy and 1 = reference."""
    area: float
    """Normalised area under the learning curve so far: the mean normalised return of its windows."""
    evaluation: float | None
    """Mean return of greedy episodes at that age; None where none were played."""
    env_steps: int
    """Inner environment steps that the windows took; greedy episodes are not charged."""
    seconds: float
    """CPU-seconds that they took: the equal share of a batch that was trained side by side (`table_file.COLUMNS`)."""
    parameters: int
    """Trainable parameters."""
    flops: int
    """Floating-point operations of one forward pass."""


@dataclass(frozen=True)
class Counters:
    """What queries have cost so far."""

    env_steps: int = 0
    """Inner environment steps."""
    seconds: float = 0.0
    """CPU-seconds, as in `Answer`."""


class Table:
    """A table in memory.

    Args:
        card: What it holds.
        architectures: (A, number of choices), canonical.
        columns: (A, S, W) each; see `archgym.table_file.COLUMNS`.
        evaluations: (A, S, ages), mean returns of greedy episodes.
        supernet: (seeds, ages, A), greedy returns with the weights of a supernet that was trained on uniformly drawn
            architectures; None: not recorded.

    Raises:
        ValueError: If the search space of that name is not the recorded one, or the shapes do not fit.
    """

    def __init__(
        self,
        card: Card,
        architectures: NDArray[np.int64],
        columns: Mapping[str, NDArray[Any]],
        evaluations: NDArray[np.float64],
        supernet: NDArray[np.float64] | None = None,
    ) -> None:
        self.card, self.architectures, self.columns = card, architectures, dict(columns)
        self.evaluations, self.supernet = evaluations, supernet
        if newer := sorted(set(card.settings) - set(Settings.__dataclass_fields__)):
            raise ValueError(f"table: it was recorded by another archgym: here are no settings {', '.join(newer)}.")
        self.problem = Problem(replace(Settings(**card.settings), table=""))
        self._check()
        self._index = {one.tobytes(): number for number, one in enumerate(architectures)}
        self._counters = Counters()

    @property
    def space(self) -> SearchSpace:
        """The search space."""
        return self.problem.space

    @property
    def windows(self) -> int:
        """Windows of every learning curve."""
        return int(self.columns["raw_return"].shape[2])

    @property
    def full(self) -> bool:
        """Whether the table holds every architecture of its space."""
        return self.space.size == len(self.architectures)

    @cached_property
    def normalised(self) -> NDArray[np.float64]:
        """Normalised returns, (A, S, W)."""
        low, high = self.problem.random_return, self.problem.reference_return
        return np.asarray((self.columns["raw_return"] - low) / (high - low))

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Parameters and FLOPs, (A, 2)."""
        ends = self.problem.inputs, self.problem.outputs
        networks = [self.space.network_of(one) for one in self.architectures]
        return np.array([[one.parameters(*ends), one.flops(*ends)] for one in networks])

    def scores(self, kind: str = "area") -> NDArray[np.float64]:
        """Score every learning curve, (A, S), normalised.

        Args:
            kind: `area` under it or the mean of its `last_fifth`, both of episodes with exploration; or `greedy`, the
                newest greedy evaluation, of `card.episodes` episodes without.

        Raises:
            ValueError: If there is no such score.
        """
        low, high = self.problem.random_return, self.problem.reference_return
        return np.asarray(((self.returns(kind) - low) / (high - low)).mean(2))

    def returns(self, kind: str) -> NDArray[np.float64]:
        """Give the returns that a score is the mean of, (A, S, n), not normalised.

        Raises:
            ValueError: If there is no such score.
        """
        if kind not in SCORES:
            raise ValueError(f"score: expected one of {', '.join(map(repr, SCORES))}, got {kind!r}.")
        if kind == "greedy":
            if not self.card.ages:
                raise ValueError("score: expected a table with greedy evaluations, got one without.")
            return self.evaluations[:, :, -1:]
        first = 0 if kind == "area" else self.windows - max(1, self.windows // 5)
        return self.columns["raw_return"][:, :, first:]

    def is_valid(self, architecture: ArrayLike | str) -> bool:
        """Tell whether an architecture, or a line that describes it, is one of the space and in the table."""
        try:
            self.index(architecture)
        except ValueError:
            return False
        return True

    def index(self, architecture: ArrayLike | str) -> int:
        """Find the row of an architecture.

        Args:
            architecture: One option index per choice, or a line as `SearchSpace.parse` reads it ("depth=2 width=64
                activation=relu", "default").

        Raises:
            ValueError: If it is none of the space, or not in the table.
        """
        own = self.space.parse(architecture) if isinstance(architecture, str) else architecture
        vector = self.space.canonical(own)
        row = self._index.get(vector.tobytes())
        if row is None:
            near = self.space.label(self.architectures[self.nearest(vector)])
            raise ValueError(
                f"architecture {self.space.label(vector)!r} is not in the table of {len(self.architectures)} "
                f"({self.card.sample}). Nearest: {near!r}."
            )
        return row

    def nearest(self, architecture: Architecture, rows: Sequence[int] | None = None) -> int:
        """Find the recorded architecture that differs in the fewest options; of several, the nearest in parameters.

        A choice that only one of the two has counts half as much as one in which they differ.

        Args:
            architecture: Canonical.
            rows: Where to look; None: everywhere.

        Returns:
            Its row.
        """
        among = np.arange(len(self.architectures)) if rows is None else np.asarray(rows)
        differences = np.abs(self._codes[among] - self.space.encode(architecture)).sum(1)
        among = among[differences == differences.min()]
        size = self.space.network_of(architecture).parameters(self.problem.inputs, self.problem.outputs)
        return int(among[np.abs(np.log(self.sizes[among, 0] / size)).argmin()])

    @cached_property
    def _codes(self) -> NDArray[np.float32]:
        return np.stack([self.space.encode(one) for one in self.architectures])

    def query(self, architecture: ArrayLike | str, budget: int | None = None, seed: int | None = None) -> Answer:
        """Look up what training an architecture from scratch comes to after a budget, and charge for it.

        Every query is charged from the first step on, also where the beginning of the same curve was paid for before.

        Args:
            architecture: As `index` takes it.
            budget: Inner environment steps, whole windows; None: all that is recorded. Less is the first part of that
                training, and no short training with a schedule of its own; see `Answer`.
            seed: Which of the search seeds, from 0; None: the mean over all of them, which costs all of them.

        Raises:
            ValueError: If the architecture or the budget is not recorded, or there is no such seed.
        """
        row, windows = self.index(architecture), self._windows_of(budget)
        seeds = self._seeds_of(seed)
        steps, seconds = self._charge(row, seeds, windows)
        raw = float(self.columns["raw_return"][row, seeds, windows - 1].mean())
        ages, own = self.card.ages, self.evaluations[row, seeds]
        return Answer(
            raw_return=raw,
            normalised_return=self.problem.normalise(raw),
            area=float(self.normalised[row, seeds, :windows].mean()),
            evaluation=float(own[:, ages.index(windows)].mean()) if windows in ages else None,
            env_steps=steps,
            seconds=seconds,
            parameters=int(self.sizes[row, 0]),
            flops=int(self.sizes[row, 1]),
        )

    def curve(self, architecture: ArrayLike | str, seed: int | None = None) -> NDArray[np.float64]:
        """Look up the whole learning curve of an architecture, and charge for it as `query` does.

        Args:
            architecture: As `index` takes it.
            seed: Which of the search seeds, from 0; None: the mean over all of them, which costs all of them.

        Returns:
            Mean returns of the episodes of every window, not normalised, (W,).

        Raises:
            ValueError: If the architecture is not recorded, or there is no such seed.
        """
        row, seeds = self.index(architecture), self._seeds_of(seed)
        self._charge(row, seeds, self.windows)
        return np.asarray(self.columns["raw_return"][row, seeds].mean(0))

    def simulate_train_eval(
        self, architecture: ArrayLike | str, budget: int | None = None, seed: int | None = None
    ) -> tuple[float, float, float]:
        """Look up as `query` does.

        Returns:
            The normalised area under the learning curve, the seconds that it took, and those of all queries so far.
        """
        answer = self.query(architecture, budget, seed)
        return answer.area, answer.seconds, self._counters.seconds

    def get_budget_counters(self) -> Counters:
        """Tell what queries have cost since the last reset."""
        return self._counters

    def reset_budget_counters(self) -> None:
        """Begin to count anew."""
        self._counters = Counters()

    def merged(self, count: int) -> "Table":
        """Make a table of longer windows, of so many in a row each; with all of them a window is a whole training.

        The return of a window is then the mean of theirs, the area under that part of the learning curve. Greedy
        evaluations at the ends of longer windows stay; shared-weight scores, whose ages are windows of supernets, do
        not.

        Args:
            count: Divides the number of windows.

        Raises:
            ValueError: If it does not.
        """
        if count < 1 or self.windows % count:
            raise ValueError(f"merged: expected a divisor of the {self.windows} recorded windows, got {count!r}.")
        parts = {name: column.reshape(*column.shape[:2], -1, count) for name, column in self.columns.items()}
        rules = {
            table_file.MEAN: lambda part: part.mean(3),
            table_file.SUM: lambda part: part.sum(3, dtype=part.dtype),
            table_file.ANY: lambda part: part.any(3),
            table_file.LAST: lambda part: part[..., -1],
        }
        kept = [place for place, age in enumerate(self.card.ages) if age % count == 0]
        longer = {"windows": self.windows // count, "window_steps": self.problem.window_steps * count}
        card = replace(
            self.card,
            settings={**self.card.settings, **longer},
            ages=[self.card.ages[place] // count for place in kept],
            supernet={},
        )
        columns = {name: rules[table_file.AS_ONE[name]](part) for name, part in parts.items()}
        return Table(card, self.architectures, columns, self.evaluations[:, :, kept])

    def best(self, score: str = "area") -> Architecture:
        """Give the recorded architecture with the highest mean score over the test seeds."""
        return np.array(self.architectures[int(self.truth(score).argmax())])

    def regret(self, architecture: ArrayLike | str, score: str = "area") -> float:
        """Give the distance of an architecture to the best one, in mean score over the test seeds.

        The best of many noisy means is too high by chance, and this distance with it, by as much for every
        architecture; `archgym.table_describe.stats.maximum_bias` estimates by how much.
        """
        truth = self.truth(score)
        return float(truth.max() - truth[self.index(architecture)])

    def truth(self, score: str = "area") -> NDArray[np.float64]:
        """Average scores over the test seeds, (A,); searches never see these."""
        return np.asarray(self.scores(score)[:, self.card.search_seeds :].mean(1))

    def _charge(self, row: int, seeds: slice, windows: int) -> tuple[int, float]:
        """Add the steps and seconds of the first windows of curves to the counters, and return them."""
        steps, seconds = (self.columns[name][row, seeds, :windows].sum().item() for name in ("env_steps", "seconds"))
        self._counters = Counters(self._counters.env_steps + steps, self._counters.seconds + seconds)
        return steps, seconds

    def _windows_of(self, budget: int | None) -> int:
        step, most = self.problem.window_steps, self.windows
        if budget is None:
            return most
        whole = isinstance(budget, int | np.integer) and not isinstance(budget, bool)
        if not whole or budget < 1 or budget % step or budget > most * step:
            raise ValueError(
                f"budget: expected environment steps in whole windows of {step:,}, up to the {most * step:,} that are "
                f"recorded, got {budget!r}."
            )
        return int(budget) // step

    def _seeds_of(self, seed: int | None) -> slice:
        count = self.card.search_seeds
        if seed is None:
            return slice(0, count)
        whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
        if not whole or not 0 <= seed < count:
            raise ValueError(f"seed: expected a search seed from 0 to {count - 1} (or None for all), got {seed!r}.")
        return slice(int(seed), int(seed) + 1)

    def _check(self) -> None:
        """Refuse what does not belong together."""
        own = [[choice.name, list(choice.options)] for choice in self.space.choices]
        if [[name, list(options)] for name, options in self.card.choices] != own:
            raise ValueError(
                f"table: expected the search space {self.space.name!r} that it was recorded with ("
                f"{', '.join(f'{name} {options}' for name, options in self.card.choices)}), "
                f"got one of that name with other choices."
            )
        shape = (self.card.architectures, len(self.card.seeds), self.card.settings["windows"])
        if shape[1] < 2:
            raise ValueError(f"table: expected at least 2 seeds, one for searches and one for tests, got {shape[1]}.")
        shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
            name: (self.columns[name].shape, shape) for name in COLUMNS
        }
        shapes["architectures"] = (self.architectures.shape, (shape[0], len(own)))
        shapes["evaluations"] = (self.evaluations.shape, (*shape[:2], len(self.card.ages)))
        if (self.supernet is None) == bool(self.card.supernet):
            raise ValueError(
                "table: expected shared-weight scores and a card that tells how they were made, or neither; got the "
                f"{'card' if self.supernet is None else 'scores'} alone."
            )
        if self.supernet is not None:
            ages, seeds = len(self.card.supernet["ages"]), len(self.card.supernet["seeds"])
            shapes["supernet"] = (self.supernet.shape, (seeds, ages, shape[0]))
        for name, (got, expected) in shapes.items():
            if got != expected:
                raise ValueError(f"table: expected {name} of shape {expected}, got {got}.")


def load(path: str | Path) -> Table:
    """Read a table and verify it. The same file is read once in a process; its counters are the caller's own.

    Args:
        path: The file of its numbers (`.npz`), the card beside it; or the name of a shipped table.

    Raises:
        ValueError: If it is not there, damaged, altered, newer than this archgym, or of another search space.
    """
    file = table_card.find(str(path), {}).resolve()
    stamp = [one.stat().st_mtime_ns for one in (file, file.with_suffix(".json")) if one.exists()]
    card, arrays = table_file.read(file, tuple(stamp))
    columns = {name: arrays[name] for name in COLUMNS}
    return Table(card, arrays["architectures"], columns, arrays["evaluations"], arrays.get("supernet"))


def save(table: Table, path: Path) -> Card:
    """Write a table: each of its two files at once or not at all. Whoever is killed leaves the old table or the new.

    Args:
        table: What is written.
        path: The file of its numbers, ending in `.npz`.

    Returns:
        The card with its checksum.

    Raises:
        OSError: If the disk is full; a table that was there stays as it is.
    """
    arrays: dict[str, NDArray[Any]] = {name: table.columns[name].astype(kind) for name, kind in COLUMNS.items()}
    arrays["architectures"] = table.architectures.astype(np.int16)
    arrays["evaluations"] = table.evaluations
    if table.supernet is not None:
        arrays["supernet"] = table.supernet
    return table_file.write(table.card, arrays, path)
