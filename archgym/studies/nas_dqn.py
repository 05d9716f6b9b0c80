"""NAS-DQN's five claims, asked with ten seeds, equal steps and the controls that the paper lacks.

Rahmani et al., arXiv 2510.19872: a controller exchanges the network of a DQN every 200 episodes; layers of matching
shape are copied, and 25 % of the replay is kept. The paper compares with three fixed networks and with random
switching, on three seeds, and gives no numbers. The rule of its controller is unpublished: three are tried, and the
answers are those of the first, which was chosen before anything was run.

What is run and measured is in `archgym.study.nas_dqn_runs`; here are the claims, the answers and the page.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from archgym.study import nas_dqn_runs, stats
from archgym.study.figures import mean_lines, value_row
from archgym.study.nas_dqn_runs import BESIDE, BEST, LOSSLESS, LSTM, MEDIAN, PAPER, RANDOM, RESET, RULES, SIZES, Runs
from archgym.study.page import SWITCHING, interval

Args = nas_dqn_runs.Args
HINDSIGHT_SAYS = (
    "The best of the three fixed networks in hindsight is chosen by the very runs that it is shown with, and so looks "
    "better than it is."
)
NEGLIGIBLE = 0.01  # of the wall-clock
LISTED = 200  # architectures of a space up to which all switches between two of them are looked at
NEAR = 0.9  # a normalised return that leaves little room


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, and how it is measured."""

    claim: str
    measure: str
    higher: bool
    measured: str


CLAIMS = (
    Claim(
        "Final return is better",
        "final",
        True,
        "Normalised return in the last fifth of the windows (random policy 0, reference 1).",
    ),
    Claim(
        "Samples are used more efficiently",
        "area",
        True,
        "Area under the return curve: the normalised return, averaged over all windows.",
    ),
    Claim(
        "Convergence is faster",
        "steps",
        False,
        "Environment steps until the first of two successive windows at the threshold. A lifetime that never gets "
        "there counts with all of its steps: so what is said of it depends on how long it was given.",
    ),
    Claim(
        "Training is more stable",
        "spread",
        False,
        "Standard deviation of the normalised return over the windows of the second half of a lifetime, around a "
        "straight line through them. Who has learned nothing is stable too.",
    ),
)


class Study(Runs):
    """See the module."""

    @property
    def levels(self) -> list[float]:
        """Four comparisons answer each claim together; one that of the overhead."""
        return [*[stats.together(len(BESIDE))] * len(CLAIMS), stats.together(1)]

    def answers(self) -> list[dict[str, Any]]:
        """Answer the five claims."""
        controllers = [*(f"score-{rule}" for rule in RULES), LSTM]
        found = []
        for claim, level in zip(CLAIMS, self.levels[:-1], strict=True):
            beside = self.beside(claim.measure)
            rows = {
                arm: [
                    stats.compared(
                        arm,
                        name,
                        stats.paired(self.measures[arm][claim.measure], other, level),
                        higher=claim.higher,
                    )
                    for name, other in beside.items()
                ]
                for arm in controllers
            }
            name, values = self.oracle(claim.measure, higher=claim.higher)
            best = stats.paired(self.measures[controllers[0]][claim.measure], values, level)
            others = "; ".join(f"{arm}: {stats.answer(rows[arm])}" for arm in controllers[1:])
            note = (
                f"By the other controllers: {others}. Beside {self.called(name)}, which does not count: "
                f"{interval(best)}. Yes: better than all four; no: worse than one of them. The four intervals hold "
                "together with 95 %, if differences are normal."
            )
            note += f" {self.censored()}" if claim.measure == "steps" else ""
            own = {"claim": claim.claim, "measured": claim.measured, "level": level, "note": note}
            found.append({**own, "answer": stats.answer(rows[controllers[0]]), "rows": rows[controllers[0]]})
        return [*found, self.overhead_answer(controllers)]

    def called(self, arm: str) -> str:
        """Name an arm on the page, with the one that is the same network."""
        return f"{arm} (the same network as {self.twins[arm]})" if arm in self.twins else arm

    def censored(self) -> str:
        """Say how many lifetimes never came to the threshold, which count with all of their steps."""
        first = f"score-{RULES[0]}"
        never = {first: self.measures[first]["reached"], **self.beside("reached")}
        said = ", ".join(f"{name} {int((values < 1).sum())}" for name, values in never.items())
        return (
            f"Of {len(self.complete)} lifetimes each, so many never got there: {said}. Such a one counts with the "
            "length of the run: a difference from one that did is at least as large, and how large depends on that "
            "length; between two that did not it is 0."
        )

    def overhead_answer(self, controllers: list[str]) -> dict[str, Any]:
        """Answer the claim that the controller's overhead is negligible, by the wall-clock alone."""
        level = self.levels[-1]

        def rows(arm: str) -> list[dict[str, Any]]:
            values = 100 * self.measures[arm]["overhead"]
            found = stats.paired(values, np.zeros(len(values)), level)
            name = f"{100 * NEGLIGIBLE:g} % of the wall-clock"
            return [stats.compared(arm, name, found, higher=False, than=100 * NEGLIGIBLE)]

        said = {arm: rows(arm)[0] for arm in controllers[1:]}
        others = "; ".join(f"{arm}: {stats.answer([row])}, {interval(row)}" for arm, row in said.items())
        lost = ", ".join(
            f"{arm} {interval(stats.mean(self.measures[arm]['lost']), 2)}"
            for arm in (controllers[0], RANDOM, LOSSLESS, SIZES[1])
        )
        return {
            "claim": "The controller's overhead is negligible",
            "measured": "The share of the wall-clock, in percent, that decisions, learning from them and exchanging "
            f"networks take, less that of {SIZES[1]} on the same seed, which decides and exchanges nothing. Negligible "
            f"is less than {100 * NEGLIGIBLE:g} %: yes, if the interval is below that; no, if it is above.",
            "answer": stats.answer(rows(controllers[0])),
            "level": level,
            "rows": rows(controllers[0]),
            "note": f"By the other controllers: {others}. What learning is lost by exchanges is another matter, and "
            f"does not count for the answer. As a share of the run (see the table of costs): {lost}. {LOSSLESS} loses "
            f"nothing at a switch: its share is what trying all networks costs apart from that. {SIZES[1]} itself "
            "shows what the measure finds where nothing is exchanged.",
        }

    def content(self) -> dict[str, Any]:
        """Work everything out."""
        return {
            "title": f"NAS-DQN's claims on {self.args.task}",
            "source": f"{PAPER.title}, {PAPER.source}",
            "question": "Does a controller that exchanges the network of a DQN while it is trained give a better final "
            "return, use samples more efficiently, converge faster and train more stably than random exchanges and "
            "fixed networks do, at a negligible cost? And if so, is it the controller that does it, or what any switch "
            "does: begin weights anew, and forget old transitions?",
            "method": self.method(),
            "tables": self.tables(),
            "figures": self.figures(),
            "answers": self.answers(),
            "limits": [
                *self.shorter(),
                f"Not published by the paper, hence choices of this project: {PAPER.unpublished}. The answers hold for "
                "these.",
                "One task. The figures of the paper are not known, so nothing here repeats or contradicts a number.",
                *self.handed_on(),
                *self.ceiling(),
                *self.few_decisions(),
                f"{len(self.complete)} seeds. Undecided does not mean equal: it says that these runs do not tell. "
                "Student's intervals take differences over seeds to be normal. Where a lifetime now and then fails "
                "altogether, few seeds may not show it, and the intervals are too narrow.",
                *([] if BEST in self.arms else [HINDSIGHT_SAYS]),
            ],
        }

    def shorter(self) -> list[str]:
        """Say how much more often than in the paper networks are exchanged, where a window is given in steps."""
        settings, problem = self.problem.settings, self.problem
        if settings.window_episodes is not None:
            return []
        episodes = problem.window_steps / problem.task.episode_limit
        return [
            f"A window is {episodes:g} episodes of full length here, and {PAPER.settings['window_episodes']} in the "
            "paper: there is less time to learn after each exchange, and there are more of them. Nothing is said "
            "about rarer ones."
        ]

    def handed_on(self) -> list[str]:
        """Say how many switches between two architectures hand no layer on, where layers of equal shape are copied."""
        problem = self.problem
        if problem.settings.transfer != "matching" or problem.space.size > LISTED:
            return []
        from archgym.inheritance import switches  # loads torch, which `--help` does not wait for

        none, some, every = switches(problem.space, problem.inputs, problem.outputs)
        return [
            f"Of the {none + some + every:,} switches between two of the {problem.space.size} architectures {none:,} "
            f"copy no layer at all, for no shape is the same, {some:,} copy some and {every:,} all: what most switches "
            f"do is begin anew. {LOSSLESS} differs from {RANDOM} in two things at once, weights and replay; {RESET} "
            "renews its last layer alone, which is less than most switches do."
        ]

    def ceiling(self) -> list[str]:
        """Say so where fixed networks leave little room for a better final return."""
        ends = [float(self.measures[arm]["final"].mean()) for arm in SIZES]
        if min(ends) < NEAR:
            return []
        return [
            f"The three fixed networks end at {min(ends):.2f} to {max(ends):.2f}, where the reference policy has 1: "
            "there is next to no room for a better final return, whoever chooses the networks."
        ]

    def few_decisions(self) -> list[str]:
        """Say so where a lifetime has fewer decisions than there are architectures."""
        windows, size = self.args.windows, self.problem.space.size
        if windows >= size:
            return []
        return [
            f"A lifetime has {windows} windows and there are {size} architectures: fewer decisions than choices, so "
            "most scores that a controller keeps are of one window or none. Where one was not found to be better than "
            "random switching, that says little about longer lifetimes."
        ]

    def method(self) -> list[str]:
        """Say what was done."""
        problem, args = self.problem, self.args
        episodes = problem.settings.window_episodes
        length = f"{problem.window_steps:,} environment steps"
        length = length if episodes is None else f"{episodes} episodes, at most {length},"
        steps = [self.measures[arm]["all_steps"].mean() for arm in self.arms]
        spent = f"{min(steps):,.0f}" if min(steps) == max(steps) else f"{min(steps):,.0f} to {max(steps):,.0f}"
        inherited = "weights of layers of equal shape are copied and the others begin anew"
        if problem.settings.transfer != "matching":
            inherited = f"weights are handed over by transfer={problem.settings.transfer}, not by the paper's rule"
        same = "; ".join(f"{one} is the same network as {other}" for one, other in self.twins.items())
        different = f", {len(self.arms) - len(self.twins)} of them different ({same})" if same else ""
        return [
            f"{len(self.arms)} arms{different}, {len(self.complete)} seeds each, the same for all; one run is one "
            f"lifetime of {args.windows} windows of {length} of DQN training, with an agent of its own. Every arm has "
            f"as many environment steps ({spent}).",
            f"Search space {args.space} ({problem.space.size} architectures). At a switch {inherited}, and "
            f"{100 * problem.settings.replay_keep:g} % of the replay are kept, the newest, unless the arm says "
            "otherwise.",
            f"Claims are answered by differences between arms on the same seeds, with Student's intervals over seeds, "
            f"which take the differences to be normal, for score-{RULES[0]}: the paper's own rule is unpublished, and "
            f"this one was chosen before anything was run. It is compared with {RANDOM}; with the {MEDIAN} network (of "
            f"the three, for every seed on its own); and with two controls that the paper lacks, {LOSSLESS} and "
            f"{RESET}.",
        ]

    def tables(self) -> list[dict[str, Any]]:
        """The numbers of all arms."""
        header = ["arm", "final return", "area under the curve", "steps to threshold", "reached"]
        header += ["late spread", "worst drop", "switches", "oscillates"]
        rows, costs = [], []
        for arm in self.arms:
            own = self.measures[arm]
            found = {name: stats.mean(values) for name, values in own.items()}
            rows.append(
                [
                    arm,
                    *(interval(found[name], 2) for name in ("final", "area")),
                    interval(found["steps"], 0),
                    f"{int(own['reached'].sum())} of {len(self.complete)}",
                    *(interval(found[name], 2) for name in ("spread", "drop")),
                    *(f"{100 * own[name].mean():.0f} %" for name in ("switches", "oscillates")),
                ]
            )
            shares = [interval(stats.mean(100 * own[name]), 2) for name in ("decision", "switch", "overhead")]
            lost = interval(stats.mean(100 * own["lost"]), 1)
            costs.append([arm, interval(found["decision_ms"], 2), *shares, lost])
        note = (
            f"Means over {len(self.complete)} seeds with Student's 95 % intervals. Returns are normalised: random "
            f"policy 0, reference 1. Threshold: {self.args.threshold:g} in two successive windows; reached: by how "
            "many, the others count with all of their steps. Late spread: standard deviation over the windows of the "
            "second half, around a straight line. Worst drop: largest fall of the return at a switch, of as many as "
            f"there are. {SWITCHING}"
        )
        costs_note = (
            "Decision: what the agent takes to choose and to learn, per window and as a share of the wall-clock. "
            "Exchange: taking weights out of the store and back, which a network that stays does too. Overhead: "
            f"decision and exchange, less those of {SIZES[1]} on the same seed. Learning lost: the share of the run "
            f"that was left when {SIZES[1]} of the same seed had come as far as the arm at its end (the mean of its "
            f"last fifth), in the first of two successive windows; 0 where it never did. It is a lag in whole windows, "
            f"of which one is {100 / self.args.windows:.2g} % of a run, and it does not tell exchanges from exploring: "
            f"{LOSSLESS} shows what exploring costs where nothing is lost at a switch, {SIZES[1]} what the measure "
            "finds without any exchange, of a network that stopped improving long before."
        )
        costs_header = [
            "arm",
            "decision, ms",
            "decision, %",
            "exchange, %",
            "overhead, %",
            "learning lost, %",
        ]
        return [
            {"title": "How well", "header": header, "rows": rows, "note": note},
            {"title": "What it cost", "header": costs_header, "rows": costs, "note": costs_note},
        ]

    def figures(self) -> list[dict[str, Any]]:
        """Curves, values by arm, and the differences that answer the claims."""
        curves, values = {}, {}
        for arm in self.arms:
            steps = np.mean([run.columns["env_steps"][:, 0] for run in self.runs[arm]], axis=0).cumsum()
            curves[arm] = mean_lines(steps, self.curves(arm))
            values[arm] = value_row(self.measures[arm]["final"])
        figures = [
            {
                "kind": "curves",
                "title": "Return over a lifetime",
                "caption": "Mean over the seeds of the windows' normalised return, with Student's 95 % interval. "
                "Broken lines and slanted names: networks that never switch, and controls.",
                "across": "environment steps",
                "up": "normalised return",
                "rows": curves,
            },
            {
                "kind": "values",
                "title": "Final return",
                "caption": "Mean of the last fifth of the windows, with Student's 95 % interval; ticks: the seeds.",
                "label": "normalised return",
                "rows": values,
            },
        ]
        for claim, one in zip(CLAIMS, self.answers(), strict=False):
            rows = {row["against"]: [row["low"], row["value"], row["high"]] for row in one["rows"]}
            if all(row[0] is not None for row in rows.values()):
                better = "more" if claim.higher else "less"
                figures.append(
                    {
                        "kind": "differences",
                        "title": one["claim"],
                        "caption": f"score-{RULES[0]} less each comparator, with {100 * one['level']:.4g} % intervals, "
                        f"which hold together with 95 % if differences are normal; {better} is better.",
                        "label": "difference",
                        "rows": rows,
                    }
                )
        return figures
