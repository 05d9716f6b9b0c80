"""What a recorded table tells, in numbers.

Whether architectures differ by more than their seeds, which choices matter, how well short trainings and shared weights
rank, and how many seeds it takes to see a difference. Whatever is chosen (the best architecture, the one in the middle)
is chosen on the search seeds and judged on the test seeds. Intervals draw the seeds of the table anew
(`table_stats.seed_interval`); those of differences between two named architectures, and of single architectures, are
Student's over the seeds, which both have in common.
"""

from functools import partial
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.stats import mean_interval
from archgym.table import SCORES, Table
from archgym.table_stats import (
    Design,
    kendall,
    kendalls,
    maximum_bias,
    random_regret,
    seed_interval,
    seeds_needed,
    spread,
    top_regret,
)

BUDGETS = 8  # shorter trainings whose ranking is looked at
TOP = (1, 3, 5)  # how many of a ranking's first are looked at
REACHED = 0.95  # normalised return of an architecture that does as well as the reference
MOST_SPLITS = 252  # of the seeds into halves: all of 10 seeds


def describe(table: Table, name: str, draws: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Work everything out.

    Args:
        table: What is described.
        name: How it was asked for.
        draws: Resamples of every interval.
        seed: Of the resampling.

    Returns:
        Plain numbers and words, as `describe.json` holds them.

    Raises:
        ValueError: If there are fewer than four seeds, two architectures or two windows.
    """
    card = table.card
    if table.windows < 2:
        raise ValueError("describe: expected learning curves of at least 2 windows, got 1.")
    if len(card.seeds) < 4 or len(table.architectures) < 2:
        raise ValueError(
            f"describe: expected at least 2 architectures and 4 seeds, two for choosing and two for judging; the table "
            f"has {len(table.architectures)} and {len(card.seeds)}."
        )
    about = _About(table, partial(seed_interval, draws=draws, seed=seed))
    names = ("space", "task", "trainer", "windows", "window_steps")
    return {
        "name": Path(name).stem if name.endswith(".npz") else name,
        "asked": name,
        **{key: card.settings[key] for key in names},
        "architectures": card.architectures,
        "sample": card.sample,
        "full": table.full,
        "seeds": len(card.seeds),
        "search_seeds": card.search_seeds,
        "steps": table.windows * table.problem.window_steps,
        "draws": draws,
        "seed": seed,
        "card": {"computed": card.computed, "command": card.command, "checksum": card.checksum},
        "levels": {"random": table.problem.random_return, "reference": table.problem.reference_return},
        "spread": {kind: about.spread(kind) for kind in SCORES},
        "choices": {kind: about.choices(kind) for kind in SCORES},
        "margin": {kind: about.margin(kind) for kind in SCORES},
        "bias": {kind: maximum_bias(about.halves(kind)[1]) for kind in SCORES},
        "end": about.end(),
        "agreement": about.agreement(),
        "budgets": about.budgets(),
        "shared": about.shared(),
        "needed": {kind: about.needed(kind) for kind in SCORES},
        "curves": about.curves(),
    }


class _About:
    """One table, and how its intervals are drawn."""

    def __init__(self, table: Table, interval: Any) -> None:
        self.table, self.interval, self.half = table, interval, table.card.search_seeds
        self.labels = [table.space.label(one) for one in table.architectures]
        self.default = table.index(table.space.default_architecture)

    def halves(self, kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the scores on the search seeds and on the test seeds, (A, seeds) each."""
        scores = self.table.scores(kind)
        return scores[:, : self.half], scores[:, self.half :]

    def estimate(
        self, statistic: Any, *samples: NDArray[np.float64], lowest: float = -np.inf, highest: float = np.inf
    ) -> Any:
        """Give a statistic with its interval: a dictionary of numbers, or of lists where it is an array."""
        value = np.asarray(statistic(*samples), dtype=np.float64)
        low, high = self.interval(statistic, *samples, lowest=lowest, highest=highest)
        return {"value": value.tolist(), "low": low.tolist(), "high": high.tolist()}

    def difference(self, judged: NDArray[np.float64], first: int, second: int) -> dict[str, float]:
        """Give the mean difference of two architectures on the same seeds, with Student's interval."""
        each = judged[first] - judged[second]
        low, high = mean_interval(each)
        return {"value": float(each.mean()), "low": low, "high": high}

    def spread(self, kind: str) -> dict[str, Any]:
        """Compare the spread between architectures with that between seeds."""
        scores = self.table.scores(kind)

        def parts(values: NDArray[np.float64]) -> list[float]:
            own = spread(values)
            deviations = [float(np.sqrt(one)) for one in (own.architectures, own.seeds, own.rest)]
            return [*deviations, own.repeatability, own.of_mean(values.shape[1] - values.shape[1] // 2)]

        found = self.estimate(parts, scores, lowest=0.0)
        names = ("architectures", "seeds", "rest", "repeatability", "repeatability_of_truth")
        means = scores.mean(1)
        return {
            **{name: _at(found, place) for place, name in enumerate(names)},
            "highest": float(means.max()),
            "middle": float(np.median(means)),
            "lowest": float(means.min()),
        }

    def choices(self, kind: str) -> dict[str, Any]:
        """Share the variance between architectures out to the choices."""
        # An inactive choice has option 0: whether it is active is what other choices say, and belongs to them.
        space, design = self.table.space, Design(self.table.architectures)
        keys = [*design.without, *design.with_pair]
        found = self.estimate(
            lambda scores: [design.shares(scores)[key] for key in keys], self.table.scores(kind), lowest=0.0
        )
        rows = [
            {"choices": [space.choices[place].name for place in key], **_at(found, row)} for row, key in enumerate(keys)
        ]
        return {"exact": design.balanced, "shares": rows}

    def margin(self, kind: str) -> dict[str, Any]:
        """Judge the best architecture of the search seeds, and the default, on the test seeds."""
        search, test = self.halves(kind)
        best = int(search.mean(1).argmax())

        def margin(chosen: NDArray[np.float64], judged: NDArray[np.float64]) -> float:
            means = judged.mean(1)
            return float(means[chosen.mean(1).argmax()] - means[self.default])

        scores = self.table.scores(kind)
        means = scores.mean(1)
        return {
            "best": self.labels[best],
            "default": self.labels[self.default],
            "margin": self.difference(test, best, self.default),
            "rule": self.estimate(margin, search, test),  # its interval chooses anew as well
            "where_chosen": float(search.mean(1)[best] - search.mean(1)[self.default]),
            "in_hindsight": float(means.max() - means[self.default]),
            "over_splits": float(np.mean([margin(scores[:, own], scores[:, rest]) for own, rest in self._splits()])),
        }

    def end(self) -> dict[str, Any]:
        """Tell how many architectures still learn when their curves end.

        One rises (falls) still if Student's interval, over the seeds, of its mean normalised return in the last fifth
        less that in the fifth before lies above (below) 0.
        """
        curves, part = self.table.normalised, max(1, self.table.windows // 5)
        last, before = curves[:, :, -part:].mean(2), curves[:, :, -2 * part : -part].mean(2)
        ends = np.array([mean_interval(own) for own in last - before])
        return {
            "steps": part * self.table.problem.window_steps,
            "rising": int((ends[:, 0] > 0).sum()),
            "falling": int((ends[:, 1] < 0).sum()),
            "rise": self.estimate(lambda own: own.mean(), last - before),
            "reached": int((last.mean(1) >= REACHED).sum()),
            "level": REACHED,
        }

    def agreement(self) -> dict[str, Any]:
        """Tell how the scores rank against each other, and what exploration costs or brings at the newest age."""
        table, pairs = self.table, list(combinations(range(len(SCORES)), 2))
        scores = np.stack([table.scores(kind) for kind in SCORES], axis=2)  # (A, S, scores)
        search, test = scores[:, : self.half], scores[:, self.half :]

        def same(own: NDArray[np.float64]) -> list[float]:
            taus = kendalls(own.mean(1), own.mean(1))
            return [taus[pair] for pair in pairs]

        def other(one: NDArray[np.float64], another: NDArray[np.float64]) -> NDArray[np.float64]:
            taus = kendalls(one.mean(1), another.mean(1))
            return np.array([(taus[i, j] + taus[j, i]) / 2 for i, j in pairs])

        within = self.estimate(same, scores, lowest=-1.0, highest=1.0)
        across = self.estimate(other, search, test, lowest=-1.0, highest=1.0)
        return {
            "taus": [
                {"scores": [SCORES[i], SCORES[j]], "same": _at(within, row), "other": _at(across, row)}
                for row, (i, j) in enumerate(pairs)
            ],
            "age": table.card.ages[-1] * table.problem.window_steps,
            "episodes": table.card.episodes,
            "greedy": float(table.evaluations[:, :, -1].mean()),
            "training": float(table.columns["raw_return"][:, :, table.card.ages[-1] - 1].mean()),
        }

    def _splits(self) -> list[tuple[list[int], list[int]]]:
        """List ways to split the seeds into one half that chooses and another that judges; all, if not too many."""
        seeds = len(self.table.card.seeds)
        if comb(seeds, self.half) <= MOST_SPLITS:
            chosen = [list(own) for own in combinations(range(seeds), self.half)]
        else:
            rng = np.random.default_rng(0)
            chosen = [sorted(rng.permutation(seeds)[: self.half].tolist()) for _ in range(MOST_SPLITS)]
        return [(own, [one for one in range(seeds) if one not in own]) for own in chosen]

    def budgets(self) -> dict[str, Any]:
        """Tell how well a short training ranks for a long one: Kendall's tau across seeds, both ways."""
        table, windows = self.table, self.table.windows
        ends = np.unique(np.geomspace(1, windows, BUDGETS).round().astype(int))
        # one array of both, so that a seed that is drawn brings its curve and its scores
        finals = np.stack([table.scores(kind) for kind in SCORES], axis=2)
        whole = np.concatenate([table.normalised, finals], axis=2)  # (A, S, windows + scores)
        samples = whole[:, : self.half], whole[:, self.half :]

        def taus(search: NDArray[np.float64], test: NDArray[np.float64]) -> NDArray[np.float64]:
            ways = ((search.mean(1), test.mean(1)), (test.mean(1), search.mean(1)))
            shorter = [np.stack([one[:, :end].mean(1) for end in ends], axis=1) for one, _ in ways]
            taus = [kendalls(other[:, windows:], short) for short, (_, other) in zip(shorter, ways, strict=True)]
            return (taus[0] + taus[1]) / 2

        found = self.estimate(taus, *samples, lowest=-1.0, highest=1.0)
        steps = [int(end) * table.problem.window_steps for end in ends]
        content: dict[str, Any] = {"steps": steps}
        for row, kind in enumerate(SCORES):
            content[kind] = [_at(_at(found, row), place) for place in range(len(ends))]

        def again(search: NDArray[np.float64], test: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.diag(kendalls(search[:, :, windows:].mean(1), test[:, :, windows:].mean(1)))

        repeats = self.estimate(again, *samples, lowest=-1.0, highest=1.0)
        content["again"] = {kind: _at(repeats, row) for row, kind in enumerate(SCORES)}
        return content

    def shared(self) -> dict[str, Any] | None:
        """Tell how well the scores with a supernet's weights rank, by its age; None: there are none."""
        table = self.table
        if table.supernet is None or len(table.supernet) < 2:
            return None
        own = table.card.supernet
        guesses = np.asarray(table.supernet).transpose(2, 0, 1)  # (A, supernets, ages)
        ages, top = range(guesses.shape[2]), [count for count in TOP if count < len(table.architectures)]
        content: dict[str, Any] = {
            "windows": list(own["ages"]),
            "seeds": len(own["seeds"]),
            "episodes": own["episodes"],
        }
        content["steps"] = [age * table.problem.window_steps for age in own["ages"]]
        content["top"] = top
        content["same_seed"] = self._same_seed()
        for kind in SCORES:
            scores = table.scores(kind)

            def taus(shared: NDArray[np.float64], truth: NDArray[np.float64]) -> list[float]:
                # of every supernet on its own: a search has one
                means = truth.mean(1)
                return [float(np.mean([kendall(one, means) for one in shared[:, :, age].T])) for age in ages]

            def regrets(shared: NDArray[np.float64], truth: NDArray[np.float64]) -> list[list[float]]:
                means = truth.mean(1)
                return [
                    [float(np.mean([top_regret(one, means, count) for one in shared[:, :, age].T])) for age in ages]
                    for count in top
                ]

            found = self.estimate(taus, guesses, scores, lowest=-1.0, highest=1.0)
            lost = self.estimate(regrets, guesses, scores, lowest=0.0)
            content[kind] = {
                "tau": [_at(found, age) for age in ages],
                "regret": [[_at(_at(lost, row), age) for age in ages] for row in range(len(top))],
                "random": [random_regret(scores.mean(1), count) for count in top],
            }
        return content

    def _same_seed(self) -> dict[str, Any] | None:
        """Tell whether a supernet ranks curves of its own seed, which share its initial weights, better than others.

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
        low, high = mean_interval(own - others)
        difference = {"value": float((own - others).mean()), "low": low, "high": high}
        return {"own": float(own.mean()), "others": float(others.mean()), "difference": difference}

    def needed(self, kind: str) -> list[dict[str, Any]]:
        """Count the seeds that it takes to tell the best architecture from others, by the power of Welch's test."""
        search, test = self.halves(kind)
        order = np.argsort(-search.mean(1), kind="stable")
        best, others = int(order[0]), {"runner-up": int(order[1]), "middle": int(order[len(order) // 2])}
        others |= {"default": self.default} if self.default != best else {}
        rows = []
        for word, other in others.items():
            found = self.difference(test, best, other)
            variance = float(np.mean([half[[best, other]].var(axis=1, ddof=1) for half in (search, test)]))
            ends = (("value", "value"), ("low", "high"), ("high", "low"))  # the larger the difference, the fewer seeds
            seeds = {name: _seeds(found[end], variance) for name, end in ends}
            names = {"against": word, "best": self.labels[best], "other": self.labels[other]}
            rows.append({**names, "difference": found, "deviation": float(np.sqrt(variance)), "seeds": seeds})
        return rows

    def curves(self) -> dict[str, Any]:
        """Give the mean learning curves of all architectures, and those of three of them on the test seeds alone.

        Bands are cut off at the lowest and the highest return of any window in the table.
        """
        table, returns = self.table, self.table.columns["raw_return"]
        search = table.scores("area")[:, : self.half].mean(1)
        named = {"best": int(search.argmax()), "default": self.default, "worst": int(search.argmin())}
        bands = {}
        for word, row in named.items():
            own = returns[row, self.half :]
            ends = np.array([mean_interval(column) for column in own.T]).clip(returns.min(), returns.max())
            low, high = _rounded(ends[:, 0]), _rounded(ends[:, 1])
            bands[word] = {"row": row, "mean": _rounded(own.mean(0)), "low": low, "high": high}
        return {
            "labels": self.labels,
            "mean": _rounded(returns.mean(1)),
            "areas": _rounded(table.scores("area")),
            "named": bands,
        }


def _seeds(difference: float, variance: float) -> float | None:
    """Count the seeds that show a difference; None: it is none, or no number is enough."""
    count = seeds_needed(difference, (variance, variance)) if difference > 0 else float("inf")
    return count if np.isfinite(count) else None


def _at(found: dict[str, Any], place: int) -> dict[str, Any]:
    """Take one entry out of an estimate of several."""
    return {name: values[place] for name, values in found.items()}


def _rounded(values: NDArray[np.float64]) -> Any:
    return np.round(values, 6).tolist()
