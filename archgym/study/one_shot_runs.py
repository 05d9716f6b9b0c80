"""The searches of the one-shot protocol, and what they rank highest trained from scratch.

Where a table of the trainer, task and whole space comes with archgym, true returns are looked up in it: live searches
have seen none of its seeds. Elsewhere the K best of all searches, random architectures and the one made by people are
trained from scratch (`archgym.study.true_scores`). `archgym.study.one_shot_estimates` works out what came of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from archgym import papers, table_card
from archgym import table as tables
from archgym.problem import Problem
from archgym.running import workers
from archgym.running.arguments import SearchArgs, keywords_of
from archgym.running.arms import parse_arm
from archgym.search_space import Architecture
from archgym.settings import Settings
from archgym.study import stats, study
from archgym.study.arm import Arm, make_arm
from archgym.study.true_scores import Recorded, Trained, TrueScores
from archgym.table import SCORES, Table

RANDOM, BY_HAND, DEFAULT = "best of K random", "made by hand", "the space's default"
DRAWN, TRAINED, LUCK = 2, 3, 4  # keys of random numbers: which architectures are drawn, what they are trained on, luck
RANKED_WHOLE = 1_000  # architectures of a space up to which a search ranks them all
ASKED = 5  # claims about an agent


@dataclass(frozen=True)
class Args(study.Args):
    """ENAS and SPOS beside random search, by the protocol of the paper."""

    agents: tuple[str, ...] = ("enas", "spos")
    """The searches: agents whose recommendations are ranked by a proxy, best first; with settings of their own as in
    `enas:controller=mazyavkina` (several: separated by commas)."""
    env_id: str = "ArchSearch-DQN-v0"
    """The environment, and with it the inner trainer."""
    task: str = "CartPole-v1"
    """The inner problem."""
    paper: str | None = None
    """A paper's experiment (`archgym list`), of which this is the protocol: its environment, task, space and settings
    hold where no flag says otherwise."""
    windows: int = 160
    """Windows of a search."""
    num_envs: int = 1
    """Lifetimes side by side in every search."""
    seeds: int = 10
    """Searches of every agent; 9 are the fewest by which two agents' answers can be decided."""
    top: int = 3
    """K: how many architectures are trained from scratch after a search."""
    score: str = "area"
    """The true score: `area` under the learning curve, its `last_fifth`, or the newest `greedy` evaluation (tables)."""
    draws: int = 1_000
    """Sets of K random architectures."""
    table: str = "auto"
    """Where true scores are looked up: a table of the whole space, `auto` (the one that comes with archgym, if there is
    one), or `none`: networks are trained from scratch."""
    sample: int = 12
    """Without a table: architectures drawn at random and trained from scratch, which sets of K are drawn from."""
    retrain: int = 60_000
    """Without a table: inner environment steps of one training from scratch."""
    retrain_seeds: int = 10
    """Without a table: trainings from scratch of every architecture; of both halves of the seeds one chooses and the
    other judges, in turns. That is the price: with the defaults up to 73 architectures (the 12 drawn, the one made by
    hand, the 3 best of 20 searches; in `mlp` 27) x 10 x 60,000 steps, 44 million in all. 9 are the fewest that decide
    two agents' answers."""


class Runs(study.Study):
    """What is run."""

    name = "one-shot"
    own_settings = frozenset({"transfer"})
    args: Args

    @cached_property
    def arms(self) -> dict[str, Arm]:
        """The searches by name."""
        args = self.args
        own = {"env_id": args.env_id, "task": args.task, "space": args.space, "windows": args.windows}
        own |= {"num_envs": args.num_envs, "transfer": "shared", "recommendations": self.ranked}
        own |= {name: getattr(args, name) for name in ("window_steps", "paper") if getattr(args, name) is not None}
        found: dict[str, Arm] = {}
        for spec in args.agents:
            given = parse_arm(spec)
            options = {
                item.name: getattr(given.args, item.name)
                for item in fields(given.args)
                if item.name not in SearchArgs.__dataclass_fields__
            }
            told = ", ".join(f"{name}={value}" for name, value in options.items() if _tells(given.args, name))
            words = f"Searches with shared weights, and ranks by {given.args.proxy}. Settings of its own: " + (
                f"{told}; the others are its defaults." if told else "its defaults."
            )
            arm = make_arm(spec, given.agent, words, {**self.given, **own}, options=options)
            twin = next((one.name for one in found.values() if (one.agent, one.args) == (arm.agent, arm.args)), None)
            if twin is not None:
                raise ValueError(f"--agents: expected each once, got {twin!r} and {spec!r}, which are the same.")
            found[spec] = arm
        return found

    @cached_property
    def problem(self) -> Problem:
        """What is searched."""
        own = {name: getattr(self.args, name) for name in ("env_id", "task", "space")}
        own |= {} if self.args.paper is None else {"paper": self.args.paper}
        return Problem(make_arm(RANDOM, "random-search", "", {**self.given, **own}).args.settings())

    @cached_property
    def ranked(self) -> int:
        """How many architectures a search is to rank: all of a small space."""
        size = self.problem.space.size
        return size if size <= RANKED_WHOLE else self.args.top

    @cached_property
    def usual(self) -> Architecture:
        """The network that people have made, if the space names one, or else the space's default."""
        return self.problem.space.parse(self.problem.space.by_hand or "default")

    @property
    def usual_name(self) -> str:
        """What that network is called."""
        return DEFAULT if self.problem.space.by_hand is None else BY_HAND

    @cached_property
    def table(self) -> Table | None:
        """The table that true scores are looked up in; None: networks are trained from scratch."""
        args, trainer = self.args, str(keywords_of(self.args.env_id).get("trainer", Settings.trainer))
        named = {"trainer": trainer, "space": args.space, "task": args.task}
        if args.table == "none" or (
            args.table == table_card.AUTO and table_card.name_of(named) not in table_card.shipped()
        ):
            return None
        found = tables.load(table_card.find(args.table, named))
        if args.table == table_card.AUTO and not found.full:
            return None
        recorded = {name: found.card.settings[name] for name in named}
        if recorded != named or not found.full:
            raise ValueError(
                f"--table: expected one of all architectures of {args.space} on {args.task} by {trainer.upper()}, got "
                f"{found.card.sample} of {recorded['space']} on {recorded['task']} by {recorded['trainer'].upper()}."
            )
        return found

    def check(self) -> None:
        """Refuse what could not be done."""
        args = self.args
        if not args.agents:
            raise ValueError("--agents: expected at least one, got none.")
        if args.paper is not None and not papers.find(args.paper).one_shot:
            known = ", ".join(name for name, paper in papers.PAPERS.items() if paper.one_shot)
            raise ValueError(f"--paper: expected one that searches by this protocol ({known}), got {args.paper!r}.")
        if keywords_of(args.env_id).get("table"):
            raise ValueError(
                "--env-id: expected an environment that trains networks, which share weights, got "
                f"{args.env_id}, which looks windows up; true scores are looked up in a table by themselves (--table)."
            )
        for arm in self.arms.values():
            if arm.args.proxy is None:
                raise ValueError(
                    f"--agents: expected agents that rank by a proxy from shared weights (such as enas, spos, "
                    f"random-search:selection=shared), got {arm.name!r}, which ranks by what its windows earned."
                )
        size = self.problem.space.size
        for name in ("top", "draws", "sample", "retrain", "retrain_seeds"):
            if getattr(args, name) < 1:
                raise ValueError(f"--{name.replace('_', '-')}: expected a positive number, got {getattr(args, name)}.")
        if args.top > size:
            raise ValueError(f"--top: expected at most the {size:,} architectures of {args.space}, got {args.top:,}.")
        if args.score not in SCORES:
            raise ValueError(f"--score: expected {' or '.join(SCORES)}, got {args.score!r}.")
        if self.table is None:
            if args.score == "greedy":
                raise ValueError(
                    "--score: expected area or last_fifth without a table, got 'greedy', which tables record."
                )
            if args.sample < args.top:
                raise ValueError(f"--sample: expected at least the {args.top} of --top, got {args.sample}.")
            if args.retrain_seeds < 4:
                raise ValueError(
                    f"--retrain-seeds: expected at least 4, two to choose and two to judge, got {args.retrain_seeds}."
                )
        super().check()

    @property
    def level(self) -> float:
        """The level of every interval that answers a claim, for all answers of the page to hold with 95 %."""
        return stats.together(ASKED * len(self.args.agents))

    @property
    def levels(self) -> list[float]:
        """The same for every answer."""
        return [self.level] * (ASKED * len(self.args.agents))

    def decides(self, searches: int, level: float) -> bool:
        """Tell whether so many searches, and what else intervals draw anew, can decide anything at a level."""
        return stats.decides(min(self._drawn(searches).values()), level)

    def _drawn(self, searches: int) -> dict[str, int]:
        """Count what intervals draw anew, by name."""
        return {"searches": searches, **self.true_scores.numbers}

    def numbers(self, searches: int) -> str:
        """Say how many there are of what intervals draw anew."""
        said = [f"{count} {name}" for name, count in self._drawn(searches).items()]
        return f"{', '.join(said[:-1])} and {said[-1]}"

    def enough(self, seeds: int) -> str:
        """Say what it takes to decide every answer, true scores included."""
        return (
            f"{len(self.levels)} answers that hold together with 95 % take at least --seeds {seeds} with "
            f"{self.true_scores.needed(seeds)}."
        )

    def stages(self) -> Iterator[tuple[str, list[workers.Job]]]:
        """The searches, then the trainings from scratch of what they rank highest, and of the controls."""
        yield "searches", self.searches(list(self.arms.values()), self.seeds)
        yield "from scratch", self.true_scores.jobs()

    def amount(self) -> str:
        """Say how much is to be done, with the trainings from scratch that follow the searches."""
        chosen = len(self.arms) * self.args.seeds * self.args.top
        return " ".join(filter(None, (super().amount(), self.true_scores.amount(chosen))))

    # True scores

    @cached_property
    def true_scores(self) -> TrueScores:
        """Where the true scores are from."""
        if self.table is not None:
            return Recorded(self.table)
        return Trained(
            self.problem,
            self.folder / "scratch",
            steps=self.args.retrain,
            seeds=self.args.retrain_seeds,
            sample=self.args.sample,
            drawing=np.random.SeedSequence(self.args.seed, spawn_key=(study.STREAM, DRAWN)),
            words=np.random.SeedSequence(self.args.seed, spawn_key=(study.STREAM, TRAINED)),
            usual=self.usual,
            chosen=self.chosen,
        )

    def chosen(self) -> Iterator[Architecture]:
        """Give the K best of all searches that have ended."""
        for arm in self.arms.values():
            for seed in self.seeds:
                for one in (self.recommended(arm, seed) or [])[: self.args.top]:
                    yield np.array(one, dtype=np.int64)

    def spent(self) -> dict[str, str]:
        """Give what the trainings from scratch took, besides the searches."""
        return {**super().spent(), "from scratch": self.true_scores.spent}


def _tells(args: Any, name: str) -> bool:
    """Tell whether a setting says which variant of an agent it is: another one than its default, or a word."""
    value = getattr(args, name)
    return isinstance(value, str) or value != getattr(type(args), name)
