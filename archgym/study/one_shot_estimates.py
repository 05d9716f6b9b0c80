"""What can be estimated of the one-shot protocol: scores of what searches come to, and differences from random sets.

Statistics and intervals are those of `archgym.study.shortlist`. `archgym.studies.one_shot` asks and answers.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.compare.stats import probability_of_improvement
from archgym.study import shortlist, study
from archgym.study.one_shot_runs import DRAWN, LUCK, Runs
from archgym.study.shortlist import Scores


class Estimates(Runs):
    """Everything of the study but its answers and its page."""

    @cached_property
    def truth(self) -> tuple[Scores, Scores]:
        """True scores on both halves of the seeds, normalised, (architectures, seeds) each."""
        return self.true_scores.halves(self.args.score)

    @cached_property
    def places(self) -> dict[tuple[int, ...], int]:
        """The row of every architecture whose true score is known."""
        return {tuple(one.tolist()): row for row, one in enumerate(self.true_scores.rows)}

    @cached_property
    def pool(self) -> NDArray[np.int64]:
        """The rows that random architectures are drawn from: all of a table, or those that were drawn."""
        return self.true_scores.pool

    def sets(self, count: int) -> NDArray[np.int64]:
        """Sets of so many random architectures, as places in the pool, (draws, count)."""
        rng = np.random.default_rng(np.random.SeedSequence(self.args.seed, spawn_key=(study.STREAM, DRAWN, count)))
        return shortlist.drawn_sets(rng, len(self.pool), count, self.args.draws)

    def best_of_drawn(self, count: int) -> Scores:
        """What sets of so many random architectures come to, (draws,)."""
        return shortlist.best_of_sets(self.pool[self.sets(count)], *self.truth)

    def ranks_all(self, arm: str) -> bool:
        """Tell whether every search of an arm has ranked all that random architectures are drawn from."""
        drawn = {tuple(self.true_scores.rows[row].tolist()) for row in self.pool}
        return all(
            drawn <= {tuple(one) for one in self.recommended(self.arms[arm], seed) or []} for seed in self.complete
        )

    @cached_property
    def steps(self) -> dict[str, float]:
        """Inner environment steps of a search, by arm."""
        return {arm: float(np.mean([run.steps for run in runs])) for arm, runs in self.runs.items()}

    def paid(self, arm: str) -> int:
        """Count the random architectures whose trainings take as many steps as a search and its K trainings do."""
        return self.args.top + int(self.steps[arm] // self.true_scores.training_steps)

    def guess(self, arm: str) -> Scores:
        """What the searches of an arm rank by, (architectures, searches): minus the rank; what has none comes last."""
        columns = []
        for seed in self.complete:
            column = np.full(len(self.places), -float(self.problem.space.size))
            for rank, one in enumerate(self.recommended(self.arms[arm], seed) or []):
                if tuple(one) in self.places:
                    column[self.places[tuple(one)]] = -rank
            columns.append(column)
        return np.array(columns).T

    @cached_property
    def found(self) -> dict[str, dict[str, Any]]:
        """The estimates of every arm, and what has no interval: `paid`, `each`, `beats`, `luck`.

        What an arm has not ranked has no place in its ranking: then there is no `tau`, `regret` and `regret_saved`.
        """
        first, second = self.truth
        top, row, sets = self.args.top, self.places[tuple(self.usual.tolist())], self.sets(self.args.top)
        drawn = self.best_of_drawn(top)
        found: dict[str, dict[str, Any]] = {}
        for arm in self.arms:
            samples, paid = (self.guess(arm), first, second), self.paid(arm)
            each = shortlist.best_of(*samples, top)
            found[arm] = {"paid": paid, "each": each, "beats": probability_of_improvement(each, drawn)}
            found[arm] |= {
                "score": self._estimate(shortlist.score, *samples, count=top),
                "over_random": self._beside_pool(shortlist.over_sets, *samples, count=top, sets=sets),
                "over_usual": self._estimate(shortlist.over_one, *samples, count=top, row=row),
                "random_over_usual": self._beside_pool(shortlist.sets_over_one, first, second, sets=sets, row=row),
            }
            found[arm]["luck"] = {"over_random": self.luck(float(each.mean()), drawn)}
            if self.ranks_all(arm):
                found[arm] |= {
                    "tau": self._beside_pool(shortlist.tau, *samples),
                    "regret": self._beside_pool(shortlist.regret, *samples, count=top),
                    "regret_saved": self._beside_pool(shortlist.regret_saved, *samples, count=top),
                }
                saved = shortlist.judged(first, second)[self.pool[sets]].max(1)  # chance: whoever chooses of a set
                best = float(np.mean(saved)) + found[arm]["regret_saved"]["value"]
                found[arm]["luck"]["regret_saved"] = self.luck(best, saved)
            if paid <= len(self.pool):  # otherwise true scores of too few are known
                more = self.sets(paid)
                found[arm]["over_paid"] = self._beside_pool(shortlist.over_sets, *samples, count=top, sets=more)
                found[arm]["luck"]["over_paid"] = self.luck(float(each.mean()), self.best_of_drawn(paid))
        return found

    def luck(self, reached: float, sets: Scores) -> float:
        """Give the chance that as many sets drawn at random as there are searches reach as much, or as little."""
        rng = np.random.default_rng(np.random.SeedSequence(self.args.seed, spawn_key=(study.STREAM, LUCK)))
        return shortlist.luck(reached, sets, len(self.complete), rng)

    def _beside_pool(self, statistic: Callable[..., float], *samples: Scores, **fixed: Any) -> dict[str, float]:
        """Estimate a statistic of random architectures as well, which are drawn anew where they are a sample."""
        if self.true_scores.sampled:
            return self._estimate(statistic, *samples, self.pool[None], **fixed)
        return self._estimate(statistic, *samples, pool=self.pool, **fixed)

    def _estimate(self, statistic: Callable[..., float], *samples: NDArray[Any], **fixed: Any) -> dict[str, float]:
        """Give a statistic, with its standard error where what is drawn anew is enough to decide something."""
        if self.decides(len(self.complete), self.level):
            return shortlist.estimate(statistic, *samples, **fixed)
        return {"value": statistic(*samples, **fixed)}

    def of(self, arm: str, name: str, level: float = 0.95) -> dict[str, Any]:
        """Give an estimate with its interval, or with what there is too `few` of for one."""
        own = self.found[arm][name]
        if "error" in own:
            return {**shortlist.between(own, level)}
        count, what = min((count, what) for what, count in self._drawn(len(self.complete)).items())
        return {**own, "low": None, "high": None, "few": f"{count} {what}"}
