"""The protocol of one-shot search: share weights, train the K best by the proxy from scratch, keep the best of these.

Mazyavkina et al., arXiv 2011.14632, for any task and space: is what ENAS and SPOS come to better than the best of K
architectures drawn at random, and than a network that people have made, and does the proxy (the controller's
probability, or the return with shared weights) rank architectures as training from scratch does?

Half of the seeds of the true scores choose among the K and the others say what the chosen one is worth, and then the
other way round. What is run and estimated is in `archgym.study.one_shot_runs` and
`archgym.study.one_shot_estimates`; here are the answers and the page.
"""

from typing import Any

import numpy as np

from archgym import papers
from archgym.compare.stats import probability_of_improvement
from archgym.problem import Problem
from archgym.study import one_shot_runs, shortlist, stats
from archgym.study.one_shot_estimates import Estimates
from archgym.study.one_shot_runs import ASKED, BY_HAND, DEFAULT, RANDOM
from archgym.study.page import interval
from archgym.table_describe.stats import random_regret

Args = one_shot_runs.Args
SIMULATED = (  # see `archgym.study.shortlist`
    "on scores like those of the recorded table of Acrobot-v1, and with a proxy that says nothing, any of an agent's "
    "five intervals, of 99 % each, missed in 12 % of simulated repeats."
)


class Study(Estimates):
    """See the module."""

    def answers(self) -> list[dict[str, Any]]:
        """Answer the claims, agent by agent."""
        top = self.args.top
        usual = f"the one {BY_HAND}" if self.usual_name == BY_HAND else f"{DEFAULT} architecture"
        claims = (
            (
                "over_random",
                "finds better networks than the best of {top} drawn at random",
                RANDOM,
                "Score from scratch of what the protocol comes to, less the mean of {draws:,} sets of {top} random "
                "architectures, of which the best was chosen in the same way.",
            ),
            (
                "over_paid",
                "is worth its steps: it finds better networks than the best of {paid} drawn at random",
                f"{RANDOM}, equal steps",
                "The same, but sets of {paid} random architectures, whose trainings take as many steps as the search "
                "and its {top} trainings together.",
            ),
            (
                "over_usual",
                "finds better networks than {usual}",
                self.usual_name,
                "Score from scratch of what the protocol comes to, less that of {label}. Whether that is a merit of "
                "the search, the second line tells: the same for the best of {top} random architectures. It does not "
                "count in the answer.",
            ),
            (
                "tau",
                "ranks architectures as training from scratch does, better than chance",
                "chance",
                "Kendall's rank correlation tau of the proxy with the scores from scratch; chance: 0.",
            ),
            (
                "regret_saved",
                "has better networks among the {top} that it ranks highest than {top} drawn at random have",
                f"{top} drawn at random",
                "Distance of the best of {top} random architectures to the best of all, less that of the best of the "
                "{top} ranked highest: what the proxy saves, whoever chooses among the {top}.",
            ),
        )
        words: dict[str, Any] = {"top": top, "draws": self.args.draws, "usual": usual}
        words["label"] = self.problem.space.label(self.usual)
        found = []
        for arm, own in self.found.items():
            words["paid"] = own["paid"]
            for name, claim, against, measured in claims:
                if name not in own:
                    continue
                row = stats.compared(arm, against, self.of(arm, name, self.level))
                note, chance = "", own["luck"].get(name)
                if chance is not None:
                    note = (
                        f"As many random sets as there are searches reach as much, or as little, with p = {chance:.3g}"
                    )
                    lucky = row["verdict"] != "undecided" and chance > 1 - self.level
                    note += f", more than {1 - self.level:.3g}: that may be luck, and is undecided." if lucky else "."
                    row |= {"verdict": "undecided"} if lucky else {}
                rows = [row]
                if name == "over_usual":
                    beside = self.of(arm, "random_over_usual", self.level)
                    rows.append(stats.compared(f"best of {top} random", against, beside))
                answer = {"claim": f"{arm} {claim.format(**words)}", "measured": measured.format(**words)}
                found.append({**answer, "answer": stats.answer([row]), "level": self.level, "rows": rows, "note": note})
        return found

    def content(self) -> dict[str, Any]:
        """Work everything out."""
        args, names = self.args, " and ".join(self.args.agents)
        kind = {
            "area": "area under the learning curve",
            "last_fifth": "last fifth of the learning curve",
            "greedy": "newest greedy evaluation",
        }[args.score]
        settings = next(iter(self.arms.values())).args.settings()
        return {
            "title": f"One-shot search of {args.space} on {args.task}",
            "source": "Protocol of Mazyavkina et al., Optimizing the Neural Architecture of Reinforcement Learning "
            "Agents, arXiv 2011.14632",
            "question": f"Does a search with shared weights, by {names}, find better networks than the best of "
            f"{args.top} architectures drawn at random, and than {self._usual_in_words()}? Does what it ranks by agree "
            "with training from scratch?",
            "method": [
                f"{len(self.complete)} searches of each agent, {args.windows} windows of "
                f"{Problem(settings).window_steps:,} environment steps with "
                f"{args.num_envs} lifetime{'s' if args.num_envs > 1 else ''}. Of what a search ranks highest the first "
                f"{args.top} are trained from scratch; the best of them is what the protocol comes to.",
                f"True scores are {self.true_scores.source}. One half of the seeds chooses the best of the {args.top} "
                f"and the other says what it is worth, then the halves change places: all judge. Score: {kind}, "
                "normalised (random policy 0, reference 1).",
                f"Best of K random: {args.draws:,} sets of {args.top} distinct architectures, of which the best is "
                "chosen in the same way. It has the steps of the trainings from scratch, not those of the search"
                + self._paid_in_words(),
                f"Intervals are Student's, on what {self.numbers(len(self.complete))} make a number vary, each drawn "
                "anew on their own. Those of tables and figures are made for 95 % each; those that answer claims for "
                f"{100 * self.level:.4g} % each, by which up to {ASKED * len(self.arms)} would hold together with 95 % "
                "if all scores were normal. Scores of random sets are skewed, and a few searches may have met none of "
                f"the bad ones: {SIMULATED} So a difference from random sets counts only if as many random sets as "
                f"there are searches reach it with a chance of {100 * (1 - self.level):.2g} % at most; with this rule "
                "any of the five answers about an agent was wrong in 3 % of these repeats.",
            ],
            "tables": [self.result_table()],
            "figures": self.figures(),
            "answers": self.answers(),
            "limits": self.limits(),
        }

    def _usual_in_words(self) -> str:
        label = self.problem.space.label(self.usual)
        return f"a network made by hand ({label})" if self.usual_name == BY_HAND else f"the space's default ({label})"

    def _paid_in_words(self) -> str:
        """Say for whom sets are drawn that take as many steps as the search."""
        without = [f"{arm} ({own['paid']:,})" for arm, own in self.found.items() if "over_paid" not in own]
        text = "" if len(without) == len(self.found) else "; so sets are also drawn of as many as all these steps train"
        if without:
            text += f". As many as all these steps train are not drawn for {', '.join(without)}: true scores of only "
            text += f"{len(self.pool)} are known"
        return f"{text}."

    def limits(self) -> list[str]:
        """Say what the study does not tell."""
        args, top, trainer = self.args, self.args.top, self.problem.settings.trainer.upper()
        if args.paper is None:
            first = (
                "The paper's own experiment, PPO on two games of Atari for 10 million steps, is another one: "
                "`archgym study one-shot --paper mazyavkina`."
            )
        else:
            first = (
                f"The games, the space and the settings of {papers.find(args.paper).source}, where the command below "
                f"does not say otherwise. The paper has 4 searches and trains from scratch for 10 million steps; here "
                f"they are {len(self.complete)}, and {self.true_scores.budget}. It does not say "
                f"{papers.find(args.paper).unpublished}. Done otherwise here: {papers.find(args.paper).otherwise}."
            )
        found = [f"One task, one space, {trainer}. {first}"]
        found.append(self.true_scores.limit(top, args.draws))
        if partly := [arm for arm, own in self.found.items() if "tau" not in own]:
            found.append(
                f"Not every search of {', '.join(partly)} has ranked all {len(self.pool):,} architectures that random "
                "ones are drawn from: how well its proxy ranks is not asked."
            )
        if not self.decides(len(self.complete), self.level):
            found.append(
                f"{self.numbers(len(self.complete))} are too few to decide anything: it takes at least "
                f"{stats.fewest(self.level)} of each."
            )
        return [*found, "Undecided does not mean equal: it says that these searches and seeds do not tell."]

    def result_table(self) -> dict[str, Any]:
        """The numbers of all arms."""
        first, second = self.truth
        means, top = shortlist.judged(first, second), self.args.top
        best, drawn = float(means.max()), self.best_of_drawn(top)
        rows = [
            [
                arm,
                interval(self.of(arm, "score")),
                f"{best - own['score']['value']:.3f}",
                f"{100 * own['beats']:.0f} %",
                interval(self.of(arm, "tau"), 2) if "tau" in own else "-",
                interval(self.of(arm, "regret")) if "regret" in own else "-",
                f"{self.steps[arm]:,.0f}",
            ]
            for arm, own in self.found.items()
        ]
        for count in sorted({top, *(own["paid"] for own in self.found.values() if "over_paid" in own)}):
            other = self.best_of_drawn(count)
            low, high = np.quantile(other, (0.025, 0.975))
            ends = f"{other.mean():.3f} [{low:.3f}, {high:.3f}]"
            regret = f"{random_regret(means[self.pool], top):.3f}" if count == top else "-"
            own_row = [
                ends,
                f"{best - other.mean():.3f}",
                f"{100 * probability_of_improvement(other, drawn):.0f} %",
                "0",
            ]
            rows.append([f"best of {count} random", *own_row, regret, "0"])
        usual = float(means[self.places[tuple(self.usual.tolist())]])
        beats = f"{100 * probability_of_improvement([usual], drawn):.0f} %"
        rows.append([self.usual_name, f"{usual:.3f}", f"{best - usual:.3f}", beats, "-", "-", "0"])
        return {
            "title": f"What the protocol comes to, K = {top}",
            "header": ["arm", "score", "regret", "beats random sets", "tau", f"top-{top} regret", "search steps"],
            "rows": rows,
            "note": "Score: from scratch, on the seeds that judge, of the chosen one; for random sets the middle 95 % "
            f"of the {self.args.draws:,} draws instead of an interval. Regret: distance of the score to the best of "
            "all architectures with known scores. Beats random sets: share of the sets whose chosen one is worse. Tau, "
            f"and the distance to the best of the best one among the {top} ranked highest: of the proxy.",
        }

    def figures(self) -> list[dict[str, Any]]:
        """Scores by arm, and the differences that answer the claims."""
        values = {}
        for arm, own in self.found.items():
            score = self.of(arm, "score")
            values[arm] = [score["low"], score["value"], score["high"], np.round(own["each"], 4).tolist()]
        figures: list[dict[str, Any]] = [
            {
                "kind": "values",
                "title": "Score of what the protocol comes to",
                "caption": "Mean over the searches, with its 95 % interval; ticks: the searches.",
                "label": "score from scratch",
                "rows": values,
            }
        ]
        titles = {"over_random": f"Beside {RANDOM}", "over_paid": f"Beside {RANDOM}, equal steps"}
        for name, title in {**titles, "over_usual": f"Beside {self._usual_in_words()}"}.items():
            asked = {arm: self.of(arm, name) for arm, own in self.found.items() if name in own}
            rows = {arm: [own["low"], own["value"], own["high"]] for arm, own in asked.items()}
            if rows and all(row[0] is not None for row in rows.values()):
                caption = "Difference of scores from scratch, with its 95 % interval; more is better."
                figures.append(
                    {"kind": "differences", "title": title, "caption": caption, "label": "difference", "rows": rows}
                )
        return figures
