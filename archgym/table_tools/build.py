"""`archgym table build`: trains what a table lacks, in one process or several, and writes it."""

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from archgym import TRAINERS, table_card
from archgym import table as tables
from archgym.problem import Problem
from archgym.running.arguments import parse_settings
from archgym.running.launch import parse
from archgym.running.progress import Progress, left
from archgym.running.workers import Failure, Job, Workers
from archgym.table_tools.builder import Builder, write
from archgym.table_tools.computed import computed_with
from archgym.table_tools.log import Cell
from archgym.table_tools.plan import Plan, going_on, open_log, settings_of

WAIT_SECONDS = 1.0  # between two looks at what other processes still train
# Settings that a table answers for, or that have no meaning where nobody searches.
SETTLED = {"table", "transfer", "exact", "share_weights", "reward", "cost_weight", "max_params", "journal"}
SETTLED |= {"evaluation_steps", "evaluation_episodes", "trainer_settings", "window_episodes", "inner_envs"}


@dataclass(frozen=True)
class Build:
    """Train every architecture of a space, or a sample, from scratch on several seeds; killed, it goes on where it was.

    Several processes may build one table together: run the same command again, or ask for `--jobs`. A finished table
    grows by asking for more seeds, or a larger sample, with the same `--out`.
    """

    space: str = "mlp"
    """The search space."""
    task: str = "CartPole-v1"
    """The inner problem."""
    trainer: str = "dqn"
    """The inner algorithm."""
    seeds: int = 10
    """Learning curves per architecture; half of them are for searches, the others for `best` and `regret`."""
    windows: int = 40
    """Windows of every learning curve."""
    window_steps: int | None = None
    """Inner environment steps of a window; None: as in a search."""
    envs_per_member: int = 4
    """Inner environments of one learner."""
    sample: int | None = None
    """Architectures, drawn without repeats behind the default one; None: all of the space."""
    ages: tuple[int, ...] = ()
    """Windows after which networks are evaluated greedily; none: after every fifth part of the curve."""
    episodes: int = 10
    """Of one greedy evaluation."""
    supernet_seeds: int = 0
    """Supernets trained on uniformly drawn architectures, in which all architectures are then scored."""
    supernet_windows: int | None = None
    """Length of their lifetimes, a multiple of 5; None: four times `windows`."""
    inner: tuple[str, ...] = ()
    """Single settings of the trainer, as name=value."""
    seed: int = 0
    """Root of everything random."""
    out: Path | None = None
    """File of the table (.npz); None: `tables/TRAINER--SPACE--TASK.npz`."""
    log: Path | None = None
    """Work log; None: beside the table, ending in `.sqlite`."""
    jobs: int = 1
    """Processes, one thread each."""
    members: int = 10
    """Learners that are trained side by side, seeds of one architecture; what a killed process loses at most."""

    def plan(self, command: str) -> Plan:
        """Work out what is to be recorded, and check it."""
        names = ("space", "task", "trainer", "windows", "window_steps", "envs_per_member")
        inner = parse_settings(self.inner)
        for name in inner:
            if name in {item.name for item in fields(self)} | SETTLED:
                raise ValueError(f"--inner: expected settings of the training without a flag of their own, got {name}.")
        if self.supernet_windows is not None and not self.supernet_seeds:
            raise ValueError(
                f"--supernet-windows: expected none without --supernet-seeds, got {self.supernet_windows}: no supernet "
                "is trained."
            )
        supernet_windows = 4 * self.windows if self.supernet_windows is None else self.supernet_windows
        keywords = {name: getattr(self, name) for name in names} | needs(self.trainer) | inner
        steps = Problem(settings_of(keywords)).window_steps
        settings = settings_of(keywords | {"window_steps": steps})
        fifths = tuple(sorted({max(1, self.windows * part // 5) for part in range(1, 6)}))
        return Plan(
            settings=settings,
            seeds=self.seeds,
            ages=self.ages or fifths,
            episodes=self.episodes,
            sample=self.sample,
            supernet_seeds=self.supernet_seeds,
            supernet_windows=supernet_windows if self.supernet_seeds else 0,
            seed=self.seed,
            command=command,
        )


def main(words: Sequence[str]) -> int:
    """Build a table; returns the exit code."""
    args = parse(Build, words, "archgym table build")
    build(args, " ".join(["archgym", "table", "build", *map(shlex.quote, words)]))
    return 0


def build(args: Build, command: str) -> Path:
    """Train what is missing, and write the table.

    Args:
        args: What is built.
        command: For the card.

    Returns:
        The file of its numbers.

    Raises:
        ValueError: If an argument is wrong, or file or log are another table's.
        OSError: If the disk is full; what was trained stays in the log.
    """
    plan = args.plan(command)
    for name in ("jobs", "members"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name}: expected at least 1, got {getattr(args, name)}.")
    out = args.out or Path("tables") / f"{table_card.name_of(plan.settings.to_dict())}.npz"
    if out.suffix != ".npz":
        raise ValueError(f"--out: expected a file ending in .npz, got {out}.")
    path = args.log or out.with_suffix(".sqlite")
    if not Problem(plan.settings).trains:
        raise ValueError(f"--trainer: expected one that trains networks, got {args.trainer!r}.")
    computed_with(Problem(plan.settings))  # refuses wrong settings of the trainer before a file is made
    plan = going_on(plan, path)
    with open_log(plan, path) as log:
        builder = Builder(plan, log)
        if out.exists():
            kept = builder.take_over(tables.load(out))
            print(f"{out} holds {kept} of {len(builder.cells)} cells already.")
        with Progress(f"table of {out.stem}", len(builder.cells), guess=False) as progress:
            if args.jobs == 1:
                train(builder, args.members, progress)
            else:
                train_in_processes(plan, path, builder, args, progress)
        card = write(builder, out)
    size = out.stat().st_size
    print(f"{out} ({size:,} bytes) and its card: {card.architectures} architectures, {len(card.seeds)} seeds, ", end="")
    print(f"{card.seconds:,.0f} CPU-seconds of training.")
    return out


def train(builder: Builder, members: int, progress: Progress | None = None) -> None:
    """Train until nothing is missing; waits for other processes, and takes over from those that die."""
    begun = time.time()
    while missing := builder.missing():
        if progress:
            show(builder, missing, begun, progress)
        if not builder.step(members):
            time.sleep(WAIT_SECONDS)
    if progress:
        show(builder, [], begun, progress)


def train_in_processes(plan: Plan, path: Path, builder: Builder, args: Build, progress: Progress) -> None:
    """Train in processes of their own until nothing is missing.

    Raises:
        ValueError: If one fails.
        OSError: If the disk is full.
    """
    begun = time.time()
    work = [Job(f"builder {number}", _work, (plan, path, args.members)) for number in range(1, args.jobs + 1)]

    def tick(running: list[Job]) -> None:
        if progress.due(0):
            show(builder, builder.missing(), begun, progress)

    with Workers(args.jobs) as workers:
        for job, result in workers.run(work, tick):
            if isinstance(result, Failure):
                print(result.trace, end="", file=sys.stderr)
                reason = result.reason.rstrip(".")
                raise ValueError(f"{job.name} failed: {reason}. What was handed in stays in {path}.")
            if result is not None:
                raise OSError(None, *result)
    show(builder, builder.missing(), begun, progress)


def _work(plan: Plan, path: Path, members: int) -> tuple[str, str] | None:
    """Train in a process; gives what is wrong with the disk, and where."""
    try:
        with open_log(plan, path) as log:
            train(Builder(plan, log), members)
    except OSError as error:
        if error.filename is None:
            raise
        return str(error.strerror), str(error.filename)
    return None


def show(builder: Builder, missing: Sequence[Cell], begun: float, progress: Progress) -> None:
    """Show how much is done, and how long the rest takes at the pace of all processes since this one began."""
    handed_in, text = builder.work(builder.log.ended(builder.cells, begun)), ""
    if handed_in and missing:
        text = left(builder.work(missing) * (time.time() - begun) / handed_in)
    progress.update(len(builder.cells) - len(missing), text)


def needs(trainer: str) -> dict[str, object]:
    """Give the settings that a trainer's environments bring along."""
    return next((own for name, own in TRAINERS.items() if name.lower() == trainer), {})
