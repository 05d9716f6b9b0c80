"""What architectures are truly worth: trained from scratch, as a table has recorded it or for the purpose.

One half of the seeds chooses among architectures and the other says what the chosen one is worth, and then they change
places (`archgym.study.shortlist`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from math import comb
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from archgym.problem import Problem
from archgym.running import scratch
from archgym.running.workers import Job
from archgym.search_space import Architecture
from archgym.study.shortlist import Scores
from archgym.table import Table


class TrueScores(Protocol):
    """True scores, and the words that say on a page where they come from."""

    @property
    def seeds(self) -> int:
        """Count the seeds, all of which judge."""

    @property
    def numbers(self) -> dict[str, int]:
        """Count what intervals draw anew besides the searches, by name; few of one of them decide nothing."""

    @property
    def rows(self) -> list[Architecture]:
        """The architectures whose scores are known."""

    @property
    def pool(self) -> NDArray[np.int64]:
        """The rows that random architectures are drawn from."""

    @property
    def sampled(self) -> bool:
        """Whether that pool is a sample of the space, which other draws would give otherwise."""

    @property
    def training_steps(self) -> int:
        """Inner environment steps of one training from scratch."""

    def halves(self, score: str) -> tuple[Scores, Scores]:
        """Give the scores on both halves of the seeds, normalised, (architectures, seeds) each."""

    def jobs(self) -> list[Job]:
        """List the trainings that are still to be done."""

    def amount(self, chosen: int) -> str:
        """Say what is to be trained for so many architectures that searches choose, in a sentence; or nothing."""

    def needed(self, seeds: int) -> str:
        """Say what has so many of `numbers`."""

    @property
    def source(self) -> str:
        """Where they come from, after `True scores are`."""

    @property
    def budget(self) -> str:
        """What a training from scratch was given."""

    def limit(self, count: int, draws: int) -> str:
        """Say what sets of so many random architectures, of which so many are drawn, do not tell."""

    @property
    def spent(self) -> str:
        """What the trainings took."""


@dataclass(frozen=True)
class Recorded:
    """Scores that are looked up.

    Args:
        table: Of all architectures of a space.
    """

    table: Table

    @property
    def seeds(self) -> int:
        """Those of the table."""
        return len(self.table.card.seeds)

    @property
    def numbers(self) -> dict[str, int]:
        """The seeds."""
        return {"seeds that judge": self.seeds}

    @property
    def rows(self) -> list[Architecture]:
        """All that the table holds."""
        return list(self.table.architectures)

    @property
    def pool(self) -> NDArray[np.int64]:
        """All of them."""
        return np.arange(len(self.table.architectures))

    @property
    def sampled(self) -> bool:
        """It is the whole space."""
        return False

    @property
    def training_steps(self) -> int:
        """Those of a recorded curve."""
        return self.table.windows * self.table.problem.window_steps

    def halves(self, score: str) -> tuple[Scores, Scores]:
        """Look the scores up."""
        found, half = self.table.scores(score), self.table.card.search_seeds
        return found[:, :half], found[:, half:]

    def jobs(self) -> list[Job]:
        """Nothing is trained."""
        return []

    def amount(self, chosen: int) -> str:
        """Say nothing."""
        return ""

    def needed(self, seeds: int) -> str:
        """A table."""
        return f"a table of {seeds} seeds"

    @property
    def source(self) -> str:
        """Which table."""
        return (
            f"looked up in the recorded table of all {self.table.problem.space.size} architectures, {self.seeds} seeds"
        )

    @property
    def budget(self) -> str:
        """Nothing."""
        return "looked up"

    def limit(self, count: int, draws: int) -> str:
        """The seeds."""
        return "The table holds all architectures. Its seeds are few, and the same for all searches."

    @property
    def spent(self) -> str:
        """Nothing."""
        return "looked up"


@dataclass(frozen=True)
class Trained:
    """Scores that are made: of architectures drawn at random, of one made by people, and of what searches choose.

    Args:
        problem: What is searched.
        folder: Keeps the results.
        steps: Inner environment steps of one training.
        seeds: Of the trainings of every architecture.
        sample: How many architectures are drawn.
        drawing: What they are drawn with.
        words: What the seeds of the trainings, which all architectures share, are drawn with.
        usual: The one made by people.
        chosen: Gives the architectures that searches have chosen so far.
    """

    problem: Problem
    folder: Path
    steps: int
    seeds: int
    sample: int
    drawing: np.random.SeedSequence
    words: np.random.SeedSequence
    usual: Architecture
    chosen: Callable[[], Iterable[Architecture]]

    @cached_property
    def drawn(self) -> list[Architecture]:
        """The random architectures, distinct ones."""
        space, rng = self.problem.space, np.random.default_rng(self.drawing)
        found: dict[tuple[int, ...], Architecture] = {}
        while len(found) < min(self.sample, space.size):
            one = space.sample(rng)
            found.setdefault(tuple(one.tolist()), one)
        return list(found.values())

    @property
    def sampled(self) -> bool:
        """Unless it is the whole space."""
        return self.sample < self.problem.space.size

    @property
    def numbers(self) -> dict[str, int]:
        """The seeds, and a sample."""
        return {"seeds that judge": self.seeds} | ({"random architectures": self.sample} if self.sampled else {})

    @property
    def wanted(self) -> list[Architecture]:
        """All architectures that are trained."""
        found: dict[tuple[int, ...], Architecture] = {}
        for one in [*self.drawn, self.usual, *self.chosen()]:
            found.setdefault(tuple(one.tolist()), one)
        return list(found.values())

    def training(self, architecture: Architecture) -> scratch.Job:
        """Give the training of an architecture."""
        settings, _ = scratch.retraining(self.problem.settings, self.steps)
        seeds = [int(word) for word in self.words.generate_state(self.seeds)]
        name = "-".join(map(str, architecture.tolist()))
        return scratch.Job(settings.to_dict(), architecture.tolist(), seeds, self.folder, name, False)

    def jobs(self) -> list[Job]:
        """Those of `wanted` whose trainings have not ended."""
        self.folder.mkdir(exist_ok=True)
        todo = [job for job in map(self.training, self.wanted) if job.result() is None]
        return [Job(one.name, scratch.train, (one,)) for one in todo]

    @property
    def rows(self) -> list[Architecture]:
        """Those of `wanted` whose trainings have ended."""
        return [one for one, _ in self._ended]

    @property
    def pool(self) -> NDArray[np.int64]:
        """Those that were drawn."""
        places = {tuple(one.tolist()): row for row, one in enumerate(self.rows)}
        return np.array([places[key] for one in self.drawn if (key := tuple(one.tolist())) in places])

    @property
    def training_steps(self) -> int:
        """Full windows, as many as `steps` hold."""
        return scratch.retraining(self.problem.settings, self.steps)[1]

    def halves(self, score: str) -> tuple[Scores, Scores]:
        """Read what the trainings came to."""
        name = "scores" if score == "area" else "last_fifth"
        found = np.array([result[name] for result in self._results], dtype=np.float64)
        if score != "area":
            low, high = self.problem.random_return, self.problem.reference_return
            found = (found - low) / (high - low)
        half = found.shape[1] // 2
        return found[:, :half], found[:, half:]

    def amount(self, chosen: int) -> str:
        """Say how many trainings that is at most."""
        most = min(self.problem.space.size, self.sample + 1 + chosen)
        steps = most * self.seeds * self.steps
        return f"Then at most {most} x {self.seeds} trainings from scratch, {steps:,} steps."

    def needed(self, seeds: int) -> str:
        """The arguments of a study."""
        return f"--retrain-seeds {seeds}" + f" and --sample {seeds}" * (self.sampled and self.sample < seeds)

    @property
    def source(self) -> str:
        """How they were trained."""
        settings = self.training(self.usual).settings
        windows = f"{settings['windows']} windows of {settings['window_steps']:,} steps"
        return (
            f"those of trainings from scratch on {self.seeds} seeds, {windows} with {settings['inner_envs']} inner "
            f"environments; {len(self.rows)} architectures were trained, {len(self.pool)} of them drawn at random"
        )

    @property
    def budget(self) -> str:
        """Steps."""
        return f"{self.steps:,} steps"

    def limit(self, count: int, draws: int) -> str:
        """The architectures that were drawn."""
        sets = comb(len(self.pool), count)
        anew = "are a sample, which intervals draw anew" if self.sampled else "are the whole space"
        return (
            f"The {len(self.pool)} random architectures {anew}. There are {sets:,} distinct sets of {count} of them, "
            f"among the {draws:,} that are drawn; regrets are distances to the best that was trained."
        )

    @property
    def spent(self) -> str:
        """Steps and seconds."""
        steps, seconds = (sum(result[name] for result in self._results) for name in ("steps", "seconds"))
        return f"{steps:,} environment steps, {seconds:,.0f} seconds"

    @property
    def _results(self) -> list[dict[str, Any]]:
        return [result for _, result in self._ended]

    @cached_property
    def _ended(self) -> list[tuple[Architecture, dict[str, Any]]]:
        """Read all results, once, when the trainings are over."""
        found = ((one, self.training(one).result()) for one in self.wanted)
        return [(one, result) for one, result in found if result is not None]
