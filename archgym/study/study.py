"""A study: a question about a method, arms that differ in agent and environment, and an answer with its intervals.

One file in `archgym/studies/` is one study. It names its arms and its claims; this module runs the arms side by side,
every run a search with a journal of its own, keeps what is done when it is killed, and writes down what came of it:
`study.json` with all numbers, and the page (`archgym.study.page`).
"""

import json
import os
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from archgym import budget
from archgym.problem import Problem
from archgym.provenance import processor, versions
from archgym.running import folder, jobs, search, workers
from archgym.running.arguments import SearchArgs, check_arguments, flags, parse_settings
from archgym.running.folder import Run
from archgym.settings import Settings
from archgym.study import stats
from archgym.study.arm import Arm

STREAM = 103  # key of a study's random numbers below the seed
SET = {*SearchArgs.__dataclass_fields__} - {*Settings.__dataclass_fields__}  # of a search, and every study sets them
SET |= {"evaluation_steps", "journal", "illegal", "paper", "trainer", "trainer_settings"}


@dataclass(frozen=True)
class Args:
    """What every study has; each adds its own arguments below these."""

    space: str = "mlp"
    """The search space: see `archgym list`, or the dotted name of a module."""
    windows: int = 24
    """Windows in a lifetime: how often the agent decides."""
    window_steps: int | None = None
    """Inner environment steps of one member in a window; None: follows from the task, or from the paper."""
    inner: tuple[str, ...] = ()
    """Settings that all arms share, as name=value: of the environment and of its inner trainer; not those that the
    study sets itself."""
    seeds: int = 10
    """Repeats of every arm; arms share the seeds."""
    seed: int = 1
    """Seed of everything: those of the repeats are drawn from it."""
    jobs: int | None = None
    """Processes side by side, one thread each; None: one per core."""
    out: Path | None = None
    """Folder of the study; None: runs/study__<name>__<seed>."""
    resume: bool = False
    """Go on with the study in the folder."""


class Study(ABC):
    """A study; those of `archgym/studies/` define what is left open here.

    Args:
        args: What to study.
    """

    name = ""
    own_settings: frozenset[str] = frozenset()
    """Settings of the environment that a study sets itself, beside those that each does and those with a flag."""

    def __init__(self, args: Args) -> None:
        self.args = args
        self.folder = args.out or Path("runs") / f"study__{self.name}__{args.seed}"
        self.failures: list[dict[str, str]] = []

    @property
    @abstractmethod
    def arms(self) -> dict[str, Arm]:
        """The arms by name."""

    @abstractmethod
    def stages(self) -> Iterator[tuple[str, list[workers.Job]]]:
        """Give what is not done yet in stages, title and jobs; a stage is asked for when those before are done."""

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """Work out what came of it: `title`, `source`, `question`, `method`, `tables`, `figures`, `answers`, `limits`.

        See `archgym.study.page`.
        """

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds of the repeats, far apart: an agent's stream and a lifetime's are those of no other repeat."""
        return self.spread(0)

    def spread(self, key: int) -> list[int]:
        """Draw one seed per repeat, for one purpose."""
        words = np.random.SeedSequence(self.args.seed, spawn_key=(STREAM, key)).generate_state(self.args.seeds)
        return [int(word) for word in words]

    def check(self) -> None:
        """Refuse what could not be done, before anything is written.

        Raises:
            ValueError: If something was asked for wrongly.
        """
        for name in ("seeds", "windows", "jobs"):
            value = getattr(self.args, name)
            if value is not None and value < 1:
                raise ValueError(f"--{name}: expected a positive number, got {value}.")
        if self.args.seed < 0:
            raise ValueError(f"--seed: expected an integer of at least 0, got {self.args.seed}.")
        assert self.evaluation_steps, "every arm has accepted its arguments"
        for problem in self.problems.values():
            if not problem.task.fixed_length:
                budget.check_equal_windows(problem, f"study {self.name}")

    @cached_property
    def problems(self) -> dict[str, Problem]:
        """What is searched, by arm."""
        return {arm.name: Problem(arm.args.settings()) for arm in self.arms.values()}

    def amount(self) -> str:
        """Say how much is to be done: searches, and inner environment steps where networks are trained."""
        steps, different = 0, [arm for arm in self.arms.values() if arm.name not in self.twins]
        for arm in different:
            problem, evaluations = self.problems[arm.name], self.evaluation_steps[_place(arm)]
            steps += len(self.seeds) * budget.search_steps(problem, arm.args.num_envs, evaluations) * problem.trains
        arms = f"{len(self.arms)} arms" + f" ({len(different)} different ones)" * bool(self.twins)
        count = f"{arms} x {len(self.seeds)} repeats = {len(different) * len(self.seeds)} searches"
        most = any(problem.settings.window_episodes is not None for problem in self.problems.values())
        spent = f"{'at most ' * most}{steps:,} inner environment steps" if steps else "nothing is trained in them"
        return f"{self.name}: {count}, {spent}; processes side by side: {self.processes}."

    @property
    def processes(self) -> int:
        """How many work side by side."""
        return self.args.jobs or os.cpu_count() or 1

    @property
    @abstractmethod
    def levels(self) -> list[float]:
        """The level of the intervals of every answer, in the order of the answers."""

    def forewarned(self) -> list[str]:
        """Say, before anything is trained, what the study as it was asked for cannot tell."""
        seeds, levels = self.args.seeds, self.levels
        blind = [level for level in levels if not self.decides(seeds, level)]
        if not blind:
            return []
        what, which = "Nothing", "every answer"
        if len(blind) < len(levels):
            what, which = "Not everything", f"{len(blind)} of {len(levels)} answers"
        enough = self.enough(stats.fewest(max(levels)))
        return [f"{what} can be decided with {self.numbers(seeds)}: {which} will be 'undecided'. {enough}"]

    def decides(self, searches: int, level: float) -> bool:
        """Tell whether so many repeats, and what else intervals draw anew, can decide anything at a level."""
        return stats.decides(searches, level)

    def numbers(self, searches: int) -> str:
        """Say how many there are of what intervals draw anew."""
        return f"{searches} repeat{'s' * (searches != 1)}"

    def enough(self, seeds: int) -> str:
        """Say what it takes to decide every answer, where it is at least so many repeats."""
        return f"It takes at least --seeds {seeds}."

    @cached_property
    def evaluation_steps(self) -> dict[tuple[str, str], int]:
        """Inner steps of every search for greedy evaluations, by environment and task: enough for any of the arms.

        Raises:
            ValueError: If an arm refuses its arguments.
        """
        found: dict[tuple[str, str], int] = {}
        for arm in self.arms.values():
            check_arguments(arm.args)
            steps = search.planned(arm.args, search.rehearse(arm.module.Agent, arm.args, arm.agent))
            found[_place(arm)] = max(steps, found.get(_place(arm), 0))
        return found

    def plan(self) -> dict[str, Any]:
        """Write down what is done."""
        given = json.loads(json.dumps(asdict(self.args), default=str))
        args = {name: value for name, value in given.items() if name not in ("out", "resume", "jobs")}
        return {
            "study": self.name,
            "arms": {arm.name: arm.command for arm in self.arms.values()},
            "args": args,
            "versions": versions(),
        }

    def search_args(self, arm: Arm, seed: int) -> SearchArgs:
        """Give the arguments of one run; arms that are the very same search share it."""
        arm = self.arms[self.twins.get(arm.name, arm.name)]
        out = self.folder / "searches" / arm.slug / str(seed)
        return replace(arm.args, seed=seed, out=out, evaluation_steps=self.evaluation_steps[_place(arm)])

    def searches(self, chosen: Sequence[Arm], seeds: Sequence[int], without: Sequence[int] = ()) -> list[workers.Job]:
        """List the runs of some arms that are not finished; arms take turns, so that none is far ahead.

        Args:
            chosen: The arms.
            seeds: Of the repeats, in their order.
            without: Those of them that are left out.
        """
        todo = []
        for number, seed in enumerate(seeds, start=1):
            for arm in chosen:
                if arm.name not in self.twins and seed not in without and not self.is_done(arm, seed):
                    call = (arm.agent, self.search_args(arm, seed))
                    todo.append(workers.Job(f"{arm.name}, repeat {number}", jobs.search_once, call))
        return todo

    def is_done(self, arm: Arm, seed: int) -> bool:
        """Tell whether a run has ended."""
        return (_folder(self.search_args(arm, seed)) / "recommendation.json").exists()

    def read(self, arm: Arm, seed: int) -> Run:
        """Read a finished run."""
        return folder.read(_folder(self.search_args(arm, seed)))

    @property
    def given(self) -> dict[str, Any]:
        """The settings that all arms share, by name; what an arm has of its own goes before them.

        Raises:
            ValueError: If one has a flag of its own, or is for the study to set.
        """
        found = parse_settings(self.args.inner)
        for name in found:
            if name in {item.name for item in fields(self.args)}:
                raise ValueError(f"--inner: expected settings without a flag of their own, got {name}.")
            if name in SET | self.own_settings:
                raise ValueError(f"--inner: expected settings that {self.name} does not set itself, got {name}.")
        return found

    @property
    def judged(self) -> list[str]:
        """The arms that are compared with each other, by name."""
        return list(self.arms)

    @cached_property
    def complete(self) -> list[int]:
        """The seeds for which all arms that are compared have ended: only they are compared.

        Raises:
            ValueError: If there is none.
        """
        found = [seed for seed in self.seeds if all(self.is_done(self.arms[name], seed) for name in self.judged)]
        if not found:
            raise ValueError(f"{self.name}: there is no repeat that all arms have ended; {self._first_failure()}")
        return found

    @cached_property
    def runs(self) -> dict[str, list[Run]]:
        """The runs that are compared, by arm."""
        return {name: [self.read(self.arms[name], seed) for seed in self.complete] for name in self.judged}

    def _first_failure(self) -> str:
        one = next(iter(self.failures), None)
        return f"the first failure was that of {one['job']}: {one['reason']}" if one else "none failed."

    def recommended(self, arm: Arm, seed: int) -> list[list[int]] | None:
        """Read the architectures that a run recommends, best first; None if it failed."""
        if not self.is_done(arm, seed):
            return None
        path = _folder(self.search_args(arm, seed)) / "recommendation.json"
        chosen: list[list[int]] = json.loads(path.read_text())["architectures"]
        return chosen

    def decision_seconds(self, arm: Arm, seed: int) -> float:
        """Read what the agent of a finished run took to decide and to learn, in all."""
        path = _folder(self.search_args(arm, seed)) / "agent_seconds.json"
        return float(sum(json.loads(path.read_text())["by_window"]))

    def run(self) -> None:
        """Do what is not done yet."""
        with workers.Workers(self.processes) as pool:
            for title, todo in self.stages():
                self.failures += jobs.work(pool, title, todo)

    def spent(self) -> dict[str, str]:
        """Give what the study took, by what it was for; of the repeats that all arms have ended."""
        runs, trains = self.taken(), any(problem.trains for problem in self.problems.values())
        steps, seconds = sum(run.steps for run in runs), sum(sum(run.seconds.values()) for run in runs)
        untrained = "" if trains else " without training"
        return {"searches": f"{steps:,} environment steps{untrained}, {seconds:,.0f} seconds"}

    def taken(self) -> list[Run]:
        """List the runs that the study took, of the repeats that all arms have ended."""
        return [run for name, own in self.runs.items() if name not in self.twins for run in own]

    def machine(self) -> dict[str, Any]:
        """Say where it was made, and what it took; seconds of wall-clock are added up over all processes."""
        devices = ", ".join(sorted({arm.args.device for arm in self.arms.values()}))
        return {"processor": processor(), "cores": os.cpu_count() or 1, "device": devices, **self.spent()}

    def command_of(self, arm: Arm) -> str:
        """Give the search that one run of an arm is, for the page."""
        return arm.command

    @cached_property
    def twins(self) -> dict[str, str]:
        """Arms that are the very same search as one before them, by whose runs they are judged: name by name."""
        first: dict[str, str] = {}
        for arm in self.arms.values():
            first.setdefault(self.command_of(arm), arm.name)
        return {arm.name: one for arm in self.arms.values() if (one := first[self.command_of(arm)]) != arm.name}

    @property
    def command(self) -> str:
        """What makes the study again."""
        return shlex.join(["archgym", "study", self.name, *flags(replace(self.args, jobs=None))])


def _place(arm: Arm) -> tuple[str, str]:
    return arm.args.env_id, arm.args.task


def _folder(args: SearchArgs) -> Path:
    assert args.out is not None, "every run of a study has its folder"
    return args.out
