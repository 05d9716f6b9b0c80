"""The protocol of one-shot search: share weights, train the K best by the proxy from scratch, keep the best of these.

Mazyavkina et al., arXiv 2011.14632, for any task and space: is what ENAS and SPOS come to better than the best of K
architectures drawn at random, and than a network that people have made, and does the proxy (the controller's
probability, or the return with shared weights) rank architectures as training from scratch does?

Where a table of the trainer, space and task comes with archgym, true returns are looked up in it: its search seeds
choose among the K, and its test seeds say what the chosen one is worth. Elsewhere the K best of all searches, random
architectures and the one made by people are trained from scratch, half of the seeds to choose and half to judge.

The file is longer than others since it holds the words of its page.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from archgym import scratch, study, study_stats, table_card, workers
from archgym import table as tables
from archgym.problem import Problem
from archgym.search_space import Architecture
from archgym.study import Arm, make_arm
from archgym.study_page import interval
from archgym.table import SCORES, Table
from archgym.table_stats import kendall, random_regret, seed_interval, top_regret

RANDOM, BY_HAND = "best of K random", "made by hand"
DRAWN, TRAINED = 2, 3  # keys of random numbers: which architectures are drawn, and what they are trained on
RANKED_WHOLE = 1_000  # architectures of a space up to which a search ranks them all
Scores = NDArray[np.float64]  # (architectures, seeds)


@dataclass(frozen=True)
class Args(study.Args):
    """ENAS and SPOS beside random search, by the protocol of the paper."""

    agents: tuple[str, ...] = ("enas", "spos")
    """The searches: agents whose recommendations are ranked by their proxy, best first."""
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
    seeds: int = 8
    """Searches of every agent."""
    top: int = 3
    """K: how many architectures are trained from scratch after a search."""
    score: str = "area"
    """The true score: `area` under the learning curve, its `last_fifth`, or the newest `greedy` evaluation (tables)."""
    draws: int = 1_000
    """Sets of K random architectures."""
    table: str = "auto"
    """Where true scores are looked up: a table, `auto` (the one that comes with archgym, if there is one), or `none`:
    networks are trained from scratch."""
    sample: int = 12
    """Without a table: architectures drawn at random and trained from scratch, which sets of K are drawn from."""
    retrain: int = 60_000
    """Without a table: inner environment steps of one training from scratch."""
    retrain_seeds: int = 4
    """Without a table: trainings from scratch of every architecture; half of the seeds choose, half judge."""


class Study(study.Study):
    """See the module."""

    name = "one-shot"
    args: Args

    @cached_property
    def arms(self) -> dict[str, Arm]:
        """The searches by name."""
        args = self.args
        own = {"env_id": args.env_id, "task": args.task, "space": args.space, "windows": args.windows}
        own |= {"num_envs": args.num_envs, "transfer": "shared", "recommendations": self.ranked}
        own |= {name: getattr(args, name) for name in ("window_steps", "paper") if getattr(args, name) is not None}
        words = "Searches with shared weights; its recommendations, best first, are the proxy's ranking."
        return {agent: make_arm(agent, agent, words, {**self.given, **own}) for agent in args.agents}

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
    def by_hand(self) -> Architecture:
        """The network that people have made: the first one that the space knows by a name, or its default."""
        space = self.problem.space
        return space.parse(next(iter(space.known), "default"))

    @cached_property
    def table(self) -> Table | None:
        """The table that true scores are looked up in; None: networks are trained from scratch."""
        args, trainer = self.args, str(gym.spec(self.args.env_id).kwargs["trainer"])
        named = {"trainer": trainer, "space": args.space, "task": args.task}
        if args.table == "none" or (
            args.table == table_card.AUTO and table_card.name_of(named) not in table_card.shipped()
        ):
            return None
        found = tables.load(table_card.find(args.table, named))
        recorded = {name: found.card.settings[name] for name in named}
        if recorded != named or not found.full:
            raise ValueError(
                f"--table: expected one of all architectures of {args.space} on {args.task} by {trainer.upper()}, got "
                f"{found.card.sample} of {recorded['space']} on {recorded['task']} by {recorded['trainer'].upper()}."
            )
        return found

    def check(self) -> None:
        """Refuse what could not be done."""
        args, size = self.args, self.problem.space.size
        if not args.agents:
            raise ValueError("--agents: expected at least one, got none.")
        for name in ("top", "draws", "sample", "retrain", "retrain_seeds"):
            if getattr(args, name) < 1:
                raise ValueError(f"--{name.replace('_', '-')}: expected a positive number, got {getattr(args, name)}.")
        if args.top > size:
            raise ValueError(f"--top: expected at most the {size:,} architectures of {args.space}, got {args.top:,}.")
        if args.score not in SCORES:
            raise ValueError(f"--score: expected {' or '.join(SCORES)}, got {args.score!r}.")
        if self.table is None and args.score == "greedy":
            raise ValueError("--score: expected area or last_fifth without a table, got 'greedy', which tables record.")
        if self.table is None and args.sample < args.top:
            raise ValueError(f"--sample: expected at least the {args.top} of --top, got {args.sample}.")
        if self.table is None and args.retrain_seeds < 4:
            raise ValueError(
                f"--retrain-seeds: expected at least 4, two to choose and two to judge, got {args.retrain_seeds}."
            )
        super().check()

    def stages(self) -> Iterator[tuple[str, list[workers.Job]]]:
        """The searches, then the trainings from scratch of what they rank highest, and of the controls."""
        yield "searches", self.searches(list(self.arms.values()), self.seeds)
        if self.table is None:
            (self.folder / "scratch").mkdir(exist_ok=True)
            todo = [job for job in map(self.training, self.trained) if not _result(job).exists()]
            yield "from scratch", [workers.Job(job.name, scratch.train, (job,)) for job in todo]

    # True scores

    @cached_property
    def drawn(self) -> list[Architecture]:
        """The random architectures that are trained from scratch, distinct ones."""
        space, wanted = self.problem.space, min(self.args.sample, self.problem.space.size)
        rng = np.random.default_rng(np.random.SeedSequence(self.args.seed, spawn_key=(study.STREAM, DRAWN)))
        found: dict[tuple[int, ...], Architecture] = {}
        while len(found) < wanted:
            one = space.sample(rng)
            found.setdefault(tuple(one.tolist()), one)
        return list(found.values())

    @property
    def trained(self) -> list[Architecture]:
        """All architectures that are trained from scratch: those drawn, the one made by hand, and the K of searches."""
        found = {tuple(one.tolist()): one for one in [*self.drawn, self.by_hand]}
        for arm in self.arms.values():
            for seed in self.seeds:
                for one in (self.recommended(arm, seed) or [])[: self.args.top]:
                    found.setdefault(tuple(one), np.array(one, dtype=np.int64))
        return list(found.values())

    def training(self, architecture: Architecture) -> scratch.Job:
        """Give the training from scratch of an architecture, on the seeds that all share."""
        settings, _ = scratch.retraining(self.problem.settings, self.args.retrain)
        words = np.random.SeedSequence(self.args.seed, spawn_key=(study.STREAM, TRAINED))
        seeds = [int(word) for word in words.generate_state(self.args.retrain_seeds)]
        name = "-".join(map(str, architecture.tolist()))
        return scratch.Job(settings.to_dict(), architecture.tolist(), seeds, self.folder / "scratch", name, False)

    @cached_property
    def rows(self) -> list[Architecture]:
        """The architectures whose true scores are known."""
        if self.table is not None:
            return list(self.table.architectures)
        return [one for one in self.trained if _result(self.training(one)).exists()]

    @cached_property
    def truth(self) -> tuple[Scores, Scores]:
        """True scores on the seeds that choose and on those that judge, (architectures, seeds) each."""
        return self.scores(self.args.score)

    def scores(self, kind: str) -> tuple[Scores, Scores]:
        """True scores of a kind, normalised."""
        if self.table is not None:
            found, half = self.table.scores(kind), self.table.card.search_seeds
            return found[:, :half], found[:, half:]
        results = [json.loads(_result(self.training(one)).read_text()) for one in self.rows]
        name = "scores" if kind == "area" else "last_fifth"
        found = np.array([result[name] for result in results], dtype=np.float64)
        if kind != "area":
            low, high = self.problem.random_return, self.problem.reference_return
            found = (found - low) / (high - low)
        half = found.shape[1] // 2
        return found[:, :half], found[:, half:]

    @cached_property
    def places(self) -> dict[tuple[int, ...], int]:
        """The row of every architecture whose true score is known."""
        return {tuple(one.tolist()): row for row, one in enumerate(self.rows)}

    @cached_property
    def pool(self) -> NDArray[np.int64]:
        """The rows that random architectures are drawn from: all of a table, or those that were drawn."""
        if self.table is not None:
            return np.arange(len(self.rows))
        return np.array([self.places[key] for one in self.drawn if (key := tuple(one.tolist())) in self.places])

    def sets(self, count: int) -> NDArray[np.int64]:
        """Sets of so many random architectures, as rows, (draws, count)."""
        rng = np.random.default_rng(np.random.SeedSequence(self.args.seed, spawn_key=(study.STREAM, DRAWN, count)))
        return self.pool[study_stats.drawn_sets(rng, len(self.pool), count, self.args.draws)]

    @cached_property
    def steps(self) -> dict[str, float]:
        """Inner environment steps of a search, by arm."""
        return {arm: float(np.mean([run.steps for run in runs])) for arm, runs in self.runs.items()}

    def paid(self, arm: str) -> int:
        """Count the random architectures whose trainings take as many steps as a search and its K trainings do."""
        if self.table is not None:
            training = self.table.windows * self.table.problem.window_steps
        else:
            training = scratch.retraining(self.problem.settings, self.args.retrain)[1]
        return self.args.top + int(self.steps[arm] // training)

    def guess(self, arm: str) -> Scores:
        """What the searches of an arm rank by, (architectures, searches): minus the rank; what has none comes last."""
        columns = []
        for seed in self.complete:
            column = np.full(len(self.rows), -float(self.problem.space.size))
            for rank, one in enumerate(self.recommended(self.arms[arm], seed) or []):
                if tuple(one) in self.places:
                    column[self.places[tuple(one)]] = -rank
            columns.append(column)
        return np.array(columns).T

    # What came of it

    def estimate(self, statistic: Any, *samples: Scores) -> dict[str, Any]:
        """Give a statistic with its interval, drawing searches and the seeds of true scores anew, each on its own."""
        low, high = None, None
        if study_stats.decides(len(self.complete), 1 - study_stats.FAMILY):
            low, high = (float(end) for end in seed_interval(statistic, *samples))
        return {"value": float(statistic(*samples)), "low": low, "high": high}

    @cached_property
    def found(self) -> dict[str, dict[str, Any]]:
        """The estimates of every arm."""
        chosen_by, judged = self.truth
        top, hand = self.args.top, self.places[tuple(self.by_hand.tolist())]
        protocol = partial(study_stats.best_of, count=top)

        def score(guess: Scores, chosen_by: Scores, judged: Scores) -> float:
            return float(protocol(guess, chosen_by, judged).mean())

        def over_sets(sets: NDArray[np.int64], guess: Scores, chosen_by: Scores, judged: Scores) -> float:
            return score(guess, chosen_by, judged) - float(study_stats.best_of_drawn(sets, chosen_by, judged).mean())

        def over_hand(guess: Scores, chosen_by: Scores, judged: Scores) -> float:
            return score(guess, chosen_by, judged) - float(judged[hand].mean())

        def tau(guess: Scores, judged: Scores) -> float:
            means = judged[self.pool].mean(1)
            return float(np.mean([kendall(one, means) for one in guess[self.pool].T]))

        def regret(guess: Scores, judged: Scores) -> float:
            means = judged[self.pool].mean(1)
            return float(np.mean([top_regret(one, means, top) for one in guess[self.pool].T]))

        found: dict[str, dict[str, Any]] = {}
        drawn = study_stats.best_of_drawn(self.sets(top), chosen_by, judged)
        for arm in self.arms:
            guess, paid = self.guess(arm), self.paid(arm)
            each = protocol(guess, chosen_by, judged)
            found[arm] = {
                "score": self.estimate(score, guess, chosen_by, judged),
                "over_random": self.estimate(partial(over_sets, self.sets(top)), guess, chosen_by, judged),
                "over_hand": self.estimate(over_hand, guess, chosen_by, judged),
                "tau": self.estimate(tau, guess, judged),
                "regret": self.estimate(regret, guess, judged),
                "each": each,
                "beats": float(np.mean(each[:, None] > drawn) + np.mean(each[:, None] == drawn) / 2),
            }
            if paid <= len(self.pool):  # otherwise true scores of too few are known
                own = self.estimate(partial(over_sets, self.sets(paid)), guess, chosen_by, judged)
                found[arm] |= {"over_paid": own, "paid": paid}
        return found

    def answers(self) -> list[dict[str, Any]]:
        """Answer the claims, agent by agent."""
        top, level = self.args.top, 1 - study_stats.FAMILY
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
                "over_hand",
                "finds better networks than the one made by hand",
                BY_HAND,
                "Score from scratch of what the protocol comes to, less that of {hand}.",
            ),
            (
                "tau",
                "ranks architectures as training from scratch does, better than chance",
                "chance",
                "Kendall's rank correlation tau of the proxy with the scores from scratch; chance: 0.",
            ),
        )
        words: dict[str, Any] = {"top": top, "draws": self.args.draws, "hand": self.problem.space.label(self.by_hand)}
        found = []
        for arm, own in self.found.items():
            words["paid"] = own.get("paid")
            for name, claim, against, measured in claims:
                if name not in own:
                    continue
                row = study_stats.compared(arm, against, own[name])
                answer = {"claim": f"{arm} {claim.format(**words)}", "measured": measured.format(**words)}
                found.append({**answer, "answer": study_stats.answer([row]), "level": level, "rows": [row]})
        return found

    def content(self) -> dict[str, Any]:
        """Work everything out."""
        args, problem = self.args, self.problem
        where = (
            f"looked up in the recorded table of all {problem.space.size} architectures: its "
            f"{self.truth[0].shape[1]} search seeds choose, its {self.truth[1].shape[1]} test seeds judge"
            if self.table is not None
            else f"those of trainings from scratch for {args.retrain:,} steps: {self.truth[0].shape[1]} seeds choose, "
            f"{self.truth[1].shape[1]} others judge; {len(self.rows)} architectures were trained, {len(self.pool)} of "
            "them drawn at random"
        )
        kind = {
            "area": "area under the learning curve",
            "last_fifth": "last fifth of the learning curve",
            "greedy": "newest greedy evaluation",
        }[args.score]
        return {
            "title": f"One-shot search of {args.space} on {args.task}",
            "source": "Protocol of Mazyavkina et al., Optimizing the Neural Architecture of Reinforcement Learning "
            "Agents, arXiv 2011.14632",
            "question": f"Do {' and '.join(args.agents)}, which search with shared weights, find better networks than "
            f"the best of {args.top} architectures drawn at random, and than a network made by hand? Does what they "
            "rank by agree with training from scratch?",
            "method": [
                f"{len(self.complete)} searches of each agent, {args.windows} windows of "
                f"{Problem(next(iter(self.arms.values())).args.settings()).window_steps:,} environment steps with "
                f"{args.num_envs} lifetime{'s' if args.num_envs > 1 else ''}. Of what a search ranks highest the first "
                f"{args.top} are trained from scratch; the best of them is what the protocol comes to.",
                f"True scores are {where}. Score: {kind}, normalised (random policy 0, reference 1).",
                f"Best of K random: {args.draws:,} sets of {args.top} distinct architectures, of which the best is "
                "chosen in the same way. It has the steps of the trainings from scratch, not those of the search; so "
                "sets are also drawn of as many architectures as all of these steps train.",
                "Intervals draw the searches and the seeds of true scores anew, each on their own.",
            ],
            "tables": [self.result_table()],
            "figures": self.figures(),
            "answers": self.answers(),
            "limits": [
                f"One task, one space, {problem.settings.trainer.upper()}. The paper's own experiment, PPO on two "
                "games of Atari for 10 million steps, is offered by the same command and was not run here.",
                "Undecided does not mean equal: it says that these searches do not tell. Each claim is answered with a "
                "95 % interval of its own.",
            ],
        }

    def result_table(self) -> dict[str, Any]:
        """The numbers of all arms."""
        chosen_by, judged = self.truth
        means, best = judged.mean(1), float(judged.mean(1).max())
        drawn = study_stats.best_of_drawn(self.sets(self.args.top), chosen_by, judged)
        rows = [
            [
                arm,
                interval(own["score"]),
                f"{best - own['score']['value']:.3f}",
                f"{100 * own['beats']:.0f} %",
                interval(own["tau"], 2),
                interval(own["regret"]),
                f"{self.steps[arm]:,.0f}",
            ]
            for arm, own in self.found.items()
        ]
        for count in sorted({self.args.top, *(own["paid"] for own in self.found.values() if "paid" in own)}):
            other = study_stats.best_of_drawn(self.sets(count), chosen_by, judged)
            low, high = np.quantile(other, (0.025, 0.975))
            ends = f"{other.mean():.3f} [{low:.3f}, {high:.3f}]"
            beats = float(np.mean(other[:, None] > drawn) + np.mean(other[:, None] == drawn) / 2)
            regret = f"{random_regret(means[self.pool], self.args.top):.3f}" if count == self.args.top else "-"
            own_row = [ends, f"{best - other.mean():.3f}", f"{100 * beats:.0f} %", "0", regret, "0"]
            rows.append([f"best of {count} random", *own_row])
        hand = float(means[self.places[tuple(self.by_hand.tolist())]])
        beats = float(np.mean(hand > drawn) + np.mean(hand == drawn) / 2)
        rows.append([BY_HAND, f"{hand:.3f}", f"{best - hand:.3f}", f"{100 * beats:.0f} %", "-", "-", "0"])
        return {
            "title": f"What the protocol comes to, K = {self.args.top}",
            "header": [
                "arm",
                "score",
                "regret",
                "beats random sets",
                "tau",
                f"top-{self.args.top} regret",
                "search steps",
            ],
            "rows": rows,
            "note": "Score: from scratch, on the seeds that judge, of the chosen one; for random sets the middle 95 % "
            f"of the {self.args.draws:,} draws instead of an interval. Regret: distance of the score to the best of "
            "all architectures with known scores. Beats random sets: share of the sets whose chosen one is worse. Tau, "
            f"and the distance to the best of the best one among the {self.args.top} ranked highest: of the proxy.",
        }

    def figures(self) -> list[dict[str, Any]]:
        """Scores by arm, and the differences that answer the claims."""
        values = {
            arm: [own["score"]["low"], own["score"]["value"], own["score"]["high"], np.round(own["each"], 4).tolist()]
            for arm, own in self.found.items()
        }
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
        for name, title in {**titles, "over_hand": f"Beside the one {BY_HAND}"}.items():
            asked = {arm: own[name] for arm, own in self.found.items() if name in own}
            rows = {arm: [own["low"], own["value"], own["high"]] for arm, own in asked.items()}
            if rows and all(row[0] is not None for row in rows.values()):
                caption = "Difference of scores from scratch, with its 95 % interval; more is better."
                figures.append(
                    {"kind": "differences", "title": title, "caption": caption, "label": "difference", "rows": rows}
                )
        return figures


def _result(job: scratch.Job) -> Any:
    return job.folder / f"{job.name}.result.json"
