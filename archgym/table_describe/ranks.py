"""How well a recorded table's scores rank: for each other, after short trainings, and with shared weights.

Rank correlations are Kendall's tau. Where one score is to rank for another beyond luck, they come from different seeds:
the search seeds rank for the test seeds, and the test seeds for the search seeds.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.table import SCORES, Table
from archgym.table_describe.estimates import Estimate, Estimates, at, mean
from archgym.table_describe.stats import kendall, kendalls, random_regret, top_regret

BUDGETS = 8  # shorter trainings whose ranking is looked at
TOP = (1, 3, 5)  # how many of a ranking's first are looked at


class Ranks:
    """Rank correlations within one table.

    Args:
        table: Which.
        estimates: How intervals are drawn.
    """

    def __init__(self, table: Table, estimates: Estimates) -> None:
        self.table, self.estimates, self.half = table, estimates, table.card.search_seeds

    def halves(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give values (A, S, ...) on the search seeds and on the test seeds."""
        return values[:, : self.half], values[:, self.half :]

    def agreement(self) -> dict[str, Any]:
        """Tell how the scores rank against each other, and what exploration costs or brings at the newest age."""
        table, pairs = self.table, list(combinations(range(len(SCORES)), 2))
        scores = np.stack([table.scores(kind) for kind in SCORES], axis=2)  # (A, S, scores)

        def same(own: NDArray[np.float64]) -> list[float]:
            taus = kendalls(own.mean(1), own.mean(1))
            return [taus[pair] for pair in pairs]

        def other(one: NDArray[np.float64], another: NDArray[np.float64]) -> NDArray[np.float64]:
            taus = kendalls(one.mean(1), another.mean(1))
            return np.array([(taus[i, j] + taus[j, i]) / 2 for i, j in pairs])

        within = self.estimates.of(same, scores, lowest=-1.0, highest=1.0)
        across = self.estimates.of(other, *self.halves(scores), lowest=-1.0, highest=1.0)
        return {
            "taus": [
                {"scores": [SCORES[i], SCORES[j]], "same": at(within, row), "other": at(across, row)}
                for row, (i, j) in enumerate(pairs)
            ],
            "age": table.card.ages[-1] * table.problem.window_steps,
            "episodes": table.card.episodes,
            "greedy": float(table.evaluations[:, :, -1].mean()),
            "training": float(table.columns["raw_return"][:, :, table.card.ages[-1] - 1].mean()),
        }

    def budgets(self) -> dict[str, Any]:
        """Tell how well the first part of a training ranks for the whole: Kendall's tau across seeds, both ways."""
        table, windows = self.table, self.table.windows
        ends = np.unique(np.geomspace(1, windows, BUDGETS).round().astype(int))
        # one array of both, so that a seed that is drawn brings its curve and its scores
        finals = np.stack([table.scores(kind) for kind in SCORES], axis=2)
        samples = self.halves(np.concatenate([table.normalised, finals], axis=2))  # (A, S, windows + scores)

        def taus(search: NDArray[np.float64], test: NDArray[np.float64]) -> NDArray[np.float64]:
            ways = ((search.mean(1), test.mean(1)), (test.mean(1), search.mean(1)))
            shorter = [np.stack([one[:, :end].mean(1) for end in ends], axis=1) for one, _ in ways]
            taus = [kendalls(other[:, windows:], short) for short, (_, other) in zip(shorter, ways, strict=True)]
            return (taus[0] + taus[1]) / 2

        found = self.estimates.of(taus, *samples, lowest=-1.0, highest=1.0)
        steps = [int(end) * table.problem.window_steps for end in ends]
        content: dict[str, Any] = {"steps": steps}
        for row, kind in enumerate(SCORES):
            content[kind] = [at(found, row, place) for place in range(len(ends))]

        def again(search: NDArray[np.float64], test: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.diag(kendalls(search[:, :, windows:].mean(1), test[:, :, windows:].mean(1)))

        repeats = self.estimates.of(again, *samples, lowest=-1.0, highest=1.0)
        content["again"] = {kind: at(repeats, row) for row, kind in enumerate(SCORES)}
        return content

    def shared(self) -> dict[str, Any] | None:
        """Tell how well the scores with a supernet's weights rank, by its age; None: there are none.

        Such a score is a few greedy episodes in one supernet, so that noise alone keeps its tau low. Beside that of one
        supernet (`one`: a search has one) stands that of the mean of all (`mean`), each at every age and by the mean
        over the ages. Yardsticks (`scratch`) are what the training of every architecture from scratch on one seed
        gives: its newest greedy evaluation, of as few episodes, and the score itself. A seed must have no part in the
        truth that it ranks for, so that seeds of one half are judged by the mean of the other half, as in `budgets`;
        supernets are judged by the mean of all seeds, a truth with less noise, in favour of the supernets.
        """
        table = self.table
        if table.supernet is None or len(table.supernet) < 2:
            return None
        own, top = table.card.supernet, [count for count in TOP if count < len(table.architectures)]
        guesses = np.asarray(table.supernet).transpose(2, 0, 1)  # (A, supernets, ages)
        guesses = np.concatenate([guesses, guesses.mean(2, keepdims=True)], axis=2)

        def one(shared: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
            return _ranked(shared, scores.mean(1), top)

        def together(shared: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
            return _ranked(shared.mean(1, keepdims=True), scores.mean(1), top)

        def scratch(search: NDArray[np.float64], test: NDArray[np.float64]) -> NDArray[np.float64]:
            ways = (search, test), (test, search)
            found = [_ranked(guesses, truth[:, :, -1].mean(1), top) for guesses, truth in ways]
            return (found[0] + found[1]) / 2

        bounds = {
            "lowest": np.array([[-1.0], *[[0.0]] * len(top)]),
            "highest": np.array([[1.0], *[[np.inf]] * len(top)]),
        }
        content: dict[str, Any] = {
            "windows": list(own["ages"]),
            "steps": [age * table.problem.window_steps for age in own["ages"]],
            "seeds": len(own["seeds"]),
            "episodes": own["episodes"],
            "top": top,
            "same_seed": self._same_seed(),
        }
        for kind in SCORES:
            scores = table.scores(kind)
            halves = self.halves(np.stack([table.scores("greedy"), scores], axis=2))  # (A, seeds, 2), the last is true
            found = {
                "one": self.estimates.of(one, guesses, scores, **bounds),
                "mean": self.estimates.of(together, guesses, scores, **bounds),
                "scratch": self.estimates.of(scratch, *halves, **bounds),
            }
            content[kind] = {word: _laid_out(estimate, len(top)) for word, estimate in found.items()}
            content[kind]["random"] = [random_regret(scores.mean(1), count) for count in top]
        return content

    def _same_seed(self) -> dict[str, Any] | None:
        """Tell whether a supernet ranks curves of its own seed, whose inner environments it meets, better than others.

        Returns:
            Kendall's tau with areas, mean over supernets and ages: `own`, `others`, and the difference with Student's
            interval over the supernets; None where fewer than two supernets have a seed of the curves.
        """
        table, seeds = self.table, self.table.card.seeds
        assert table.supernet is not None, "looked at by `shared`"
        places = [(row, seeds.index(one)) for row, one in enumerate(table.card.supernet["seeds"]) if one in seeds]
        if len(places) < 2:
            return None
        areas, pairs = table.scores("area"), []
        for row, own in places:
            each = np.array([[kendall(one, area) for area in areas.T] for one in table.supernet[row]]).mean(0)
            pairs.append((each[own], np.delete(each, own).mean()))
        own, others = np.array(pairs).T
        return {"own": float(own.mean()), "others": float(others.mean()), "difference": mean(own - others)}


def _ranked(guesses: NDArray[np.float64], truth: NDArray[np.float64], top: Sequence[int]) -> NDArray[np.float64]:
    """Tell how well guesses rank, mean over n equals.

    Args:
        guesses: (A, n, k).
        truth: (A,).
        top: How many of the first are looked at.

    Returns:
        (1 + len(top), k): tau, and the regrets of the best of the first so many.
    """
    columns, shape = guesses.reshape(len(truth), -1), guesses.shape[1:]
    taus = kendalls(columns, truth[:, None]).reshape(1, *shape)
    lost = [[top_regret(column, truth, count) for column in columns.T] for count in top]
    return np.asarray(np.concatenate([taus, np.reshape(lost, (len(top), *shape))]).mean(1))


def _laid_out(found: Estimate, top: int) -> dict[str, Any]:
    """Take an estimate of `_ranked` apart: `tau` by k, and `regret` by row of `top` and k."""
    places = range(len(found["value"][0]))
    tau, *regret = [[at(found, row, place) for place in places] for row in range(1 + top)]
    return {"tau": tau, "regret": regret}
