"""The arms of the study of NAS-DQN, and what is measured of their runs.

A controller that exchanges networks, by three rules and an LSTM, beside random switching, fixed networks, and two
controls that the paper (Rahmani et al., arXiv 2510.19872) lacks. `archgym.studies.nas_dqn` asks and answers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym import table as tables
from archgym import table_card
from archgym.papers import PAPERS
from archgym.problem import Problem
from archgym.running import workers
from archgym.search_space import Architecture
from archgym.settings import SEPARATE
from archgym.stats import switch_rates
from archgym.study import stats, study
from archgym.study.arm import Arm, make_arm

PAPER = PAPERS["nas-dqn"]
RULES = ("softmax", "epsilon-greedy", "ucb")  # of the score-keeping controller; the first one answers
LSTM, RANDOM, LOSSLESS, RESET, BEST = "lstm", "random-switching", "random-lossless", "fixed-reset", "fixed-best"
SIZES = ("fixed-small", "fixed-middle", "fixed-large")
MEDIAN, HINDSIGHT = "median fixed", "best fixed in hindsight"
BESIDE = (RANDOM, MEDIAN, LOSSLESS, RESET)  # what a controller is compared with, by every claim but that of overhead


@dataclass(frozen=True)
class Args(study.Args):
    """NAS-DQN against what it claims to beat."""

    task: str = PAPER.tasks[0]
    """The inner problem. On the paper's own a window is 200 episodes long unless --window-steps, or --inner
    window_episodes=N, says otherwise; on others as long as the task's usual one."""
    threshold: float = 0.9
    """The normalised return that two successive windows must have; how soon is the speed of convergence (0: random
    policy, 1: reference)."""


class Runs(study.Study):
    """Everything of the study but its answers and its page."""

    name = "nas-dqn"
    own_settings = frozenset({"reset_layers"})
    args: Args

    @cached_property
    def shared(self) -> dict[str, Any]:
        """Settings of all arms: those of the paper on its own task, those that fit on others."""
        args = self.args
        own = {"task": args.task, "space": args.space, "windows": args.windows}
        own |= {} if args.window_steps is None else {"window_steps": args.window_steps}
        if args.task in PAPER.tasks:
            return own | {"paper": self.name} | self.given
        return own | {name: PAPER.settings[name] for name in ("transfer", "replay_keep")} | self.given

    @cached_property
    def arms(self) -> dict[str, Arm]:
        """The arms by name."""
        small, middle, large = (self.label(one) for one in self.sizes)
        keeping = "Keeps the score of every architecture, the mean return of its windows, and chooses the next"
        found = [self.arm(f"score-{rule}", "score-keeping", f"{keeping} by {rule}.", {"rule": rule}) for rule in RULES]
        found.append(self.arm(LSTM, "lstm-reinforce", "An LSTM, trained by REINFORCE, chooses every window's network."))
        found.append(
            self.arm(RANDOM, "random-search", "Draws every window's network at random; inherits as the others do.")
        )
        words = ("fewest", "median number of", "most")
        for name, label, word in zip(SIZES, (small, middle, large), words, strict=True):
            text = f"Never switches: {label}, the network with the {word} parameters, otherwise like the default."
            found.append(self.arm(name, "fixed", text, {"architecture": label}, control=True))
        if self.best is not None:
            text = f"Never switches: {self.best}, the best of the recorded table by its search seeds"
            labels = dict(zip((small, middle, large), SIZES, strict=True))
            text += f"; here that is {labels[self.best]}." if self.best in labels else "."
            found.append(self.arm(BEST, "fixed", text, {"architecture": self.best}, control=True))
        lossless = (
            "Draws every window's network at random as well, but nothing is lost at a switch: networks are slices of "
            "one supernet, which keeps all weights and moments, and the whole replay is kept. (A network of its own "
            "for every architecture would lose nothing either, but hand nothing on: in so few windows each would be "
            "trained about once.)"
        )
        found.append(self.arm(LOSSLESS, "random-search", lossless, control=True, transfer="shared", replay_keep=1.0))
        reset = (
            f"Never switches: {middle}; but its last layer begins anew in every window, and the replay is pruned as at "
            "a switch. What a switch does besides changing the architecture."
        )
        found.append(self.arm(RESET, "fixed", reset, {"architecture": middle}, control=True, reset_layers=1))
        return {arm.name: arm for arm in found}

    def arm(
        self,
        name: str,
        agent: str,
        text: str,
        options: dict[str, Any] | None = None,
        *,
        control: bool = False,
        **own: Any,
    ) -> Arm:
        """Build an arm from the options of its agent, and the settings that it has of its own."""
        return make_arm(name, agent, text, {**self.shared, **own}, options=options or {}, control=control)

    @cached_property
    def problem(self) -> Problem:
        """What all arms have in common."""
        return Problem(make_arm(RANDOM, "random-search", "", self.shared).args.settings())

    def label(self, architecture: Architecture) -> str:
        """Write an architecture as one line."""
        return self.problem.space.label(architecture)

    @cached_property
    def sizes(self) -> list[Architecture]:
        """The networks of fewest, middle and most parameters; of equal ones that most like the default."""
        space, ends = self.problem.space, (self.problem.inputs, self.problem.outputs)
        found: dict[int, Architecture] = {}
        for one in space.enumerate():
            size, other = space.network_of(one).parameters(*ends), (one != space.default_architecture).sum()
            if size not in found or other < (found[size] != space.default_architecture).sum():
                found[size] = one
        ordered = [found[size] for size in sorted(found)]
        return [ordered[0], ordered[len(ordered) // 2], ordered[-1]]

    @cached_property
    def best(self) -> str | None:
        """The best network of the table that comes with archgym, if one does, by the seeds that are for choosing."""
        name = table_card.name_of({"trainer": PAPER.trainer, "space": self.args.space, "task": self.args.task})
        if name not in table_card.shipped():
            return None
        table = tables.load(name)
        scores = table.scores("area")[:, : table.card.search_seeds].mean(1)
        return self.label(table.architectures[int(scores.argmax())])

    def check(self) -> None:
        """Refuse what could not be done."""
        if self.given.get("transfer") in SEPARATE:
            raise ValueError(
                f"--inner: expected a transfer that hands something over at a switch, as the arm {RESET!r} of "
                f"{self.name} needs, got {self.given['transfer']!r}."
            )
        if len({tuple(one.tolist()) for one in self.sizes}) < len(SIZES):
            raise ValueError(f"--space: expected networks of at least 3 sizes, got those of {self.args.space!r}.")
        super().check()

    def stages(self) -> Iterator[tuple[str, list[workers.Job]]]:
        """All runs, at once."""
        yield (
            f"{self.name}: {len(self.arms)} arms x {len(self.seeds)}",
            self.searches(list(self.arms.values()), self.seeds),
        )

    # What came of it

    def curves(self, arm: str) -> NDArray[np.float64]:
        """Normalised returns, (seeds, windows)."""
        return np.array([run.columns["normalised_return"][:, 0] for run in self.runs[arm]])

    @cached_property
    def measures(self) -> dict[str, dict[str, NDArray[np.float64]]]:
        """Every measure by arm, (seeds,)."""
        stayed, stayed_runs = self.curves(SIZES[1]), self.runs[SIZES[1]]
        found: dict[str, dict[str, NDArray[np.float64]]] = {}
        for arm in self.arms:
            rows: dict[str, list[float]] = {}
            for place, (run, curve) in enumerate(zip(self.runs[arm], self.curves(arm), strict=True)):
                switched = run.columns["switched"][:, 0] > 0
                switches, oscillates = (rates[0] for rates in switch_rates(run.actions))
                steps, wall = run.columns["env_steps"][:, 0], sum(run.seconds.values())
                until = stats.windows_to(curve, self.args.threshold)
                decided = self.decision_seconds(self.arms[arm], self.complete[place])
                own = {
                    "final": stats.last_fifth(curve),
                    "area": float(curve.mean()),
                    "steps": float(steps[:until].sum()),
                    "reached": float(until is not None),
                    "spread": stats.late_spread(curve),
                    "drop": stats.worst_drop(curve, switched),
                    "switches": float(switches),
                    "oscillates": float(oscillates),
                    "all_steps": float(steps.sum()),
                    "decision": decided / wall,
                    "switch": run.seconds.get("switch", 0.0) / wall,
                    "decision_ms": 1000 * decided / len(curve),
                    "lost": stats.lost_share(curve, stayed[place], stayed_runs[place].columns["env_steps"][:, 0]),
                }
                for name, value in own.items():
                    rows.setdefault(name, []).append(value)
            found[arm] = {name: np.array(values, dtype=np.float64) for name, values in rows.items()}
        none = found[SIZES[1]]["decision"] + found[SIZES[1]]["switch"]  # where nothing is decided or exchanged
        for one in found.values():
            one["overhead"] = one["decision"] + one["switch"] - none
        return found

    def beside(self, measure: str) -> dict[str, NDArray[np.float64]]:
        """What a controller is compared with, (seeds,) each: the paper's comparators, and the controls."""
        values = {arm: self.measures[arm][measure] for arm in self.arms}
        values[MEDIAN] = stats.middle([values[arm] for arm in SIZES])
        return {name: values[name] for name in BESIDE}

    def oracle(self, measure: str, *, higher: bool) -> tuple[str, NDArray[np.float64]]:
        """The best fixed network: of the table, or of those that were run, in hindsight."""
        if BEST in self.arms:
            return BEST, self.measures[BEST][measure]
        sign = 1 if higher else -1
        best = max(SIZES, key=lambda arm: sign * float(self.measures[arm][measure].mean()))
        return f"{HINDSIGHT} ({best})", self.measures[best][measure]
