"""A controller trained on one task, saved and continued on another, beside one that begins from nothing.

The controls are random search, and the network that the first task's search recommended, held fixed on the second: if
that does as well, its answer was enough, and the controller was not needed. On recorded tables
(`--env-id ArchSearch-DQN-Tabular-v0`) nothing is trained, and many repeats are cheap.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym import table as tables
from archgym import table_card
from archgym.evaluators import open_evaluator
from archgym.problem import Problem
from archgym.running import workers
from archgym.running.agent import load_agent
from archgym.running.arguments import SearchArgs
from archgym.running.folder import Run
from archgym.stats import switch_rates
from archgym.study import stats, study
from archgym.study.arm import Arm, make_arm
from archgym.study.figures import mean_lines, value_row
from archgym.study.page import SWITCHING, interval

SOURCE, NEW, CONTINUED, RANDOM, NETWORK = "source", "new", "continued", "random-search", "source-network"
ARMS = (CONTINUED, NEW, RANDOM, NETWORK)  # on the second task
QUARTER = 4
RATES = ("switches", "oscillates")
NARROW = (
    "The intervals draw searches anew, but not the seeds of the table, and are too narrow for saying what holds on "
    "others."
)


@dataclass(frozen=True)
class Args(study.Args):
    """A controller that goes on with another task."""

    agent: str = "lstm-reinforce"
    """The controller: one that can go on with what another search of it has learned."""
    source: str = "CartPole-v1"
    """The task that it is trained on first."""
    task: str = "Acrobot-v1"
    """The task that it goes on with."""
    env_id: str = "ArchSearch-DQN-v0"
    """The environment of both; a tabular one looks windows up in recorded tables."""
    num_envs: int = 8
    """Lifetimes side by side in every search, K."""


class Study(study.Study):
    """See the module."""

    name = "controller-transfer"
    args: Args

    @cached_property
    def arms(self) -> dict[str, Arm]:
        """The arms by name; the first one is that of the first task."""
        args = self.args
        before = f"{args.agent} on {args.source}, the first task: what it has learned is saved."
        goes_on = f"{args.agent} on {args.task}, begun with what it has learned in the search of {args.source} "
        goes_on += "of the same repeat (--start-from its folder)."
        answer = f"Never switches: the network that the search on {args.source} recommended, on {args.task}."
        found = [
            self.arm(SOURCE, args.agent, before, args.source),
            self.arm(CONTINUED, args.agent, goes_on, args.task),
            self.arm(NEW, args.agent, f"{args.agent} on {args.task}, begun from nothing.", args.task, control=True),
            self.arm(RANDOM, "random-search", "Draws every window's network at random.", args.task, control=True),
            self.arm(NETWORK, "fixed", answer, args.task, control=True),
        ]
        return {arm.name: arm for arm in found}

    def arm(self, name: str, agent: str, text: str, task: str, *, control: bool = False) -> Arm:
        """Build an arm on a task."""
        args = self.args
        own = {"env_id": args.env_id, "task": task, "space": args.space, "windows": args.windows}
        own |= {"num_envs": args.num_envs}
        own |= {} if args.window_steps is None else {"window_steps": args.window_steps}
        return make_arm(name, agent, text, {**self.given, **own}, control=control)

    @cached_property
    def sources(self) -> list[int]:
        """The seeds of the searches on the first task."""
        return self.spread(1)

    def search_args(self, arm: Arm, seed: int) -> SearchArgs:
        """Give the arguments of one run, with what it takes over from the first task's search of its repeat."""
        own = super().search_args(arm, seed)
        if arm.name not in (CONTINUED, NETWORK):
            return own
        first, source = self.arms[SOURCE], self.sources[self.seeds.index(seed)]
        changed: dict[str, Any] = {"start_from": super().search_args(first, source).out}
        if arm.name == NETWORK:
            chosen = self.recommended(first, source)
            changed = {} if chosen is None else {"architecture": self.problem.space.label(np.array(chosen[0]))}
        return replace(own, **changed)

    @cached_property
    def problem(self) -> Problem:
        """What is searched on the second task."""
        return Problem(self.arms[NEW].args.settings())

    def command_of(self, arm: Arm) -> str:
        """Give the search that one run of an arm is, with what it takes from the first task's in capitals."""
        words = {CONTINUED: " --start-from SOURCE", NETWORK: " --architecture RECOMMENDED"}
        return arm.command + words.get(arm.name, "")

    def check(self) -> None:
        """Refuse what could not be done."""
        args = self.args
        module = load_agent(args.agent)
        if not hasattr(module.Agent, "load_state"):
            raise ValueError(
                f"--agent: expected one that can go on with what another search has learned, got {args.agent!r}."
            )
        if args.source == args.task:
            raise ValueError(f"--source: expected another task than --task {args.task!r}.")
        super().check()

    def stages(self) -> Iterator[tuple[str, list[workers.Job]]]:
        """First the searches on the first task, then those that some of them are continued by."""
        first = self.arms[SOURCE]
        yield f"on {self.args.source}", self.searches([first], self.sources)
        lost = [seed for seed, own in zip(self.seeds, self.sources, strict=True) if not self.is_done(first, own)]
        yield f"on {self.args.task}", self.searches([self.arms[name] for name in ARMS], self.seeds, without=lost)

    # What came of it

    @property
    def judged(self) -> list[str]:
        """The arms on the second task."""
        return list(ARMS)

    def taken(self) -> list[Run]:
        """Those on the second task, and those on the first one before them."""
        pairs = zip(self.seeds, self.sources, strict=True)
        return [*super().taken(), *(self.read(self.arms[SOURCE], own) for seed, own in pairs if seed in self.complete)]

    def curves(self, arm: str) -> NDArray[np.float64]:
        """Mean normalised returns of the members, (seeds, windows)."""
        return np.array([run.columns["normalised_return"].mean(1) for run in self.runs[arm]])

    def regrets(self, arm: str) -> NDArray[np.float64]:
        """Regret of what a search recommends first, where the best network is known, (seeds,)."""
        evaluator, found = open_evaluator(self.problem, 1), []
        for seed in self.complete:
            chosen = self.recommended(self.arms[arm], seed)
            assert chosen is not None, "the runs that are compared have ended"
            found.append(evaluator.regret(self.problem.space.canonical(np.array(chosen[0]))))
        return np.array(found)

    @cached_property
    def measures(self) -> dict[str, dict[str, NDArray[np.float64]]]:
        """Every measure by arm, (seeds,)."""
        found = {}
        for arm in ARMS:
            curves, rates = self.curves(arm), np.array([switch_rates(run.actions) for run in self.runs[arm]])
            quarter = curves[:, : max(1, curves.shape[1] // QUARTER)]
            found[arm] = {
                "area": curves.mean(1),
                "begin": quarter.mean(1),
                "final": np.array([stats.last_fifth(curve) for curve in curves]),
                "switches": rates[:, 0].mean(1),
                "oscillates": rates[:, 1].mean(1),
            }
            if not self.problem.trains:
                found[arm]["regret"] = self.regrets(arm)
        return found

    @property
    def asked(self) -> list[str]:
        """The measures that claims are about; regret only where the best network is known."""
        return ["area", "begin", *(() if self.problem.trains else ("regret",))]

    @property
    def levels(self) -> list[float]:
        """The same for every answer: all hold together."""
        return [stats.together(len(self.asked))] * len(self.asked)

    def answers(self) -> list[dict[str, Any]]:
        """Answer the claims."""
        claims = {
            "area": (
                "A continued controller earns more while it searches",
                True,
                "Normalised return, averaged over all windows and members of a search.",
            ),
            "begin": (
                "It is ahead from the beginning",
                True,
                "Normalised return, averaged over the first quarter of the windows.",
            ),
            "regret": (
                "What it recommends is better",
                False,
                "Distance of the recommended network to the best one of the table, on its test seeds.",
            ),
        }
        found = []
        for measure, level in zip(self.asked, self.levels, strict=True):
            claim, higher, measured = claims[measure]
            values = {arm: self.measures[arm][measure] for arm in ARMS}
            against = {name: stats.paired(values[CONTINUED], values[name], level) for name in ARMS[1:]}
            row = stats.compared(CONTINUED, NEW, against[NEW], higher=higher)
            note = (
                f"Beside {RANDOM}: {interval(against[RANDOM])}; beside {NETWORK}: {interval(against[NETWORK])}; these "
                f"do not count for the answer. The intervals of all {len(self.asked)} answers hold together with 95 %, "
                "if differences are normal."
            )
            note += "" if self.problem.trains else f" {NARROW}"
            own = {"claim": claim, "measured": measured, "level": level, "note": note}
            found.append({**own, "answer": stats.answer([row]), "rows": [row]})
        return found

    def content(self) -> dict[str, Any]:
        """Work everything out."""
        args, count = self.args, len(self.complete)
        looked_up = not self.problem.trains
        limits = [
            "One pair of tasks, in one direction. Undecided does not mean equal.",
            "The windows of the first task are spent before, and are not counted on the second.",
        ]
        if looked_up:
            limits.append(f"Windows were looked up in recorded tables, whose few seeds all searches share. {NARROW}")
        limits += self.repeated()
        return {
            "title": f"A controller from {args.source} on {args.task}",
            "source": f"{args.agent}, {args.env_id}, space {args.space}",
            "question": f"Does {args.agent}, trained on {args.source} and continued on {args.task}, search better "
            "there than one that begins from nothing? And if so, better than the network that it recommended before?",
            "method": [
                f"{count} repeats. In each, {args.agent} searched {args.source} for {args.windows} windows with "
                f"{args.num_envs} lifetimes side by side; then it went on with {args.task}, with what it has learned, "
                "beside a new one on the same seeds. Networks, replay and everything else of the first "
                "task are not carried over.",
                f"Windows of {self.problem.window_steps:,} environment steps of every lifetime, as many for all "
                "arms." + (" Nothing was trained: windows come from recorded tables." if looked_up else ""),
                "Differences are between searches of the same repeat, with Student's intervals over repeats, which "
                "take the differences to be normal.",
                "In the commands of the arms SOURCE is the folder of the search on the first task of the same repeat "
                "(searches/source/SEED), and RECOMMENDED the architecture that it recommended first (in its "
                "recommendation.json).",
            ],
            "tables": [self.table(count)],
            "figures": self.figures(),
            "answers": self.answers(),
            "limits": limits,
        }

    def repeated(self) -> list[str]:
        """Say so where a lifetime is longer than what a table holds of an architecture."""
        settings = self.problem.settings
        if not settings.table or settings.windows <= (
            held := tables.load(table_card.find(settings.table, asdict(settings))).windows
        ):
            return []
        return [
            f"The table of {self.args.task} holds {held} windows of an architecture, and a lifetime has "
            f"{settings.windows}: one that is visited more often repeats its last window, so {NETWORK} stays as it is "
            f"from window {held + 1} on."
        ]

    def table(self, count: int) -> dict[str, Any]:
        """The numbers of all arms."""
        names = {"area": "return while searching", "begin": "first quarter", "final": "at the end", "regret": "regret"}
        names = {name: word for name, word in names.items() if name in self.measures[NEW]}
        rows = [
            [
                arm,
                *(interval(stats.mean(self.measures[arm][name])) for name in names),
                *(f"{100 * self.measures[arm][name].mean():.0f} %" for name in RATES),
            ]
            for arm in ARMS
        ]
        note = (
            f"Means over {count} repeats with Student's 95 % intervals; normalised returns (random policy 0, reference "
            "1), means of all members; at the end: in the last fifth of the windows. Regret, where the best network is "
            f"known: distance of the recommended one to it. {SWITCHING}"
        )
        header = ["arm", *names.values(), *RATES]
        return {"title": f"On {self.args.task}", "header": header, "rows": rows, "note": note}

    def figures(self) -> list[dict[str, Any]]:
        """Curves over the windows, and the return while searching by arm."""
        curves, values = {}, {}
        for arm in ARMS:
            curves[arm] = mean_lines(np.arange(1.0, self.args.windows + 1), self.curves(arm))
            values[arm] = value_row(self.measures[arm]["area"])
        return [
            {
                "kind": "curves",
                "title": f"Return over the windows on {self.args.task}",
                "caption": "Mean over the repeats, with Student's 95 % interval.",
                "across": "window",
                "up": "normalised return",
                "rows": curves,
            },
            {
                "kind": "values",
                "title": "Return while searching",
                "caption": "Mean over all windows, with Student's 95 % interval; ticks: the repeats.",
                "label": "normalised return",
                "rows": values,
            },
        ]
