"""What a recorded table tells, in numbers.

Whether architectures differ by more than their seeds, which choices matter, how well short budgets and shared weights
rank (`archgym.table_describe.ranks`), and how many seeds it takes to see a difference. Whatever is chosen (the best
architecture, the one in the middle) is chosen on the search seeds and judged on the test seeds. Intervals draw the
seeds of the table anew (`archgym.table_describe.stats.seed_interval`) and keep its architectures; those of differences
between two named architectures, and of single architectures, are Student's over the seeds, which both have in common.
"""

from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.stats import mean_interval
from archgym.table import SCORES, Table
from archgym.table_describe.design import Design, deciding
from archgym.table_describe.estimates import Estimates, at, mean
from archgym.table_describe.ranks import Ranks
from archgym.table_describe.sample import left_out
from archgym.table_describe.stats import maximum_bias, seeds_needed, spread

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
    estimates = Estimates(draws, seed)
    about, ranks = _About(table, estimates), Ranks(table, estimates)
    names = ("space", "task", "trainer", "windows", "window_steps")
    return {
        "name": Path(name).stem if name.endswith(".npz") else name,
        "asked": name,
        **{key: card.settings[key] for key in names},
        "architectures": card.architectures,
        "sample": card.sample,
        "left_out": left_out(table, seed),
        "seeds": len(card.seeds),
        "search_seeds": card.search_seeds,
        "steps": table.windows * table.problem.window_steps,
        "draws": draws,
        "seed": seed,
        "card": {"computed": card.computed, "command": card.command, "checksum": card.checksum},
        "levels": {"random": table.problem.random_return, "reference": table.problem.reference_return},
        "spread": {kind: about.spread(table.scores(kind)) for kind in SCORES},
        "first_window": about.spread(table.normalised[:, :, 0]),
        "standing": {kind: about.standing(kind) for kind in SCORES},
        "choices": {kind: about.choices(kind) for kind in SCORES},
        "margin": {kind: about.margin(kind) for kind in SCORES},
        "bias": {kind: maximum_bias(about.halves(kind)[1]) for kind in SCORES},
        "end": about.end(),
        "agreement": ranks.agreement(),
        "budgets": ranks.budgets(),
        "shared": ranks.shared(),
        "needed": {kind: about.needed(kind) for kind in SCORES},
        "curves": about.curves(),
    }


class _About:
    """One table, and how its intervals are drawn."""

    def __init__(self, table: Table, estimates: Estimates) -> None:
        self.table, self.estimates, self.half = table, estimates, table.card.search_seeds
        self.labels = [table.space.label(one) for one in table.architectures]
        self.default = table.index(table.space.default_architecture)

    def halves(self, kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the scores on the search seeds and on the test seeds, (A, seeds) each."""
        scores = self.table.scores(kind)
        return scores[:, : self.half], scores[:, self.half :]

    def spread(self, scores: NDArray[np.float64]) -> dict[str, Any]:
        """Compare the spread of scores (A, S) between architectures with that between seeds."""

        def parts(values: NDArray[np.float64]) -> list[float]:
            own = spread(values)
            deviations = [float(np.sqrt(one)) for one in (own.architectures, own.seeds, own.rest)]
            return [*deviations, own.repeatability, own.of_mean(values.shape[1] - values.shape[1] // 2)]

        found = self.estimates.of(parts, scores, lowest=0.0)
        names = ("architectures", "seeds", "rest", "repeatability", "repeatability_of_truth")
        return {name: at(found, place) for place, name in enumerate(names)}

    def standing(self, kind: str) -> dict[str, Any]:
        """Give the quartiles of the architectures' mean scores over all seeds, and where the default stands."""
        scores = self.table.scores(kind)
        means = scores.mean(1)

        def rank(values: NDArray[np.float64]) -> float:
            own = values.mean(1)
            return 1.0 + float((own > own[self.default]).sum())

        return {
            "quartiles": np.quantile(means, [0, 0.25, 0.5, 0.75, 1]).tolist(),  # the lowest and the highest as well
            "default": float(means[self.default]),
            "rank": self.estimates.of(rank, scores, lowest=1.0, highest=len(means)),
        }

    def choices(self, kind: str) -> dict[str, Any]:
        """Share the variance between architectures out to the choices."""
        space, architectures = self.table.space, self.table.architectures
        design = Design(architectures, deciding(space, architectures))
        found = self.estimates.of(
            lambda scores: list(design.shares(scores).values()), self.table.scores(kind), lowest=0.0
        )  # fmt: skip
        rows = [
            {"choices": [space.choices[place].name for place in term], **at(found, row)}
            for row, term in enumerate(design.models)
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
            "margin": mean(test[best] - test[self.default]),
            "rule": self.estimates.of(margin, search, test),  # its interval chooses anew as well
            "where_chosen": float(search.mean(1)[best] - search.mean(1)[self.default]),
            "in_hindsight": float(means.max() - means[self.default]),
            "over_splits": float(np.mean([margin(scores[:, own], scores[:, rest]) for own, rest in self._splits()])),
        }

    def end(self) -> dict[str, Any]:
        """Tell how many architectures still learn when their curves end.

        One rises (falls) still if Student's interval, over the seeds, of its mean normalised return in the last fifth
        less that in the fifth before lies above (below) 0. With few seeds that misses small rises: how many means are
        above 0 (`positive`), and their mean (`rise`), say whether the architectures together have ended to rise.
        """
        curves, part = self.table.normalised, max(1, self.table.windows // 5)
        last, before = curves[:, :, -part:].mean(2), curves[:, :, -2 * part : -part].mean(2)
        ends = np.array([mean_interval(own) for own in last - before])
        return {
            "steps": part * self.table.problem.window_steps,
            "rising": int((ends[:, 0] > 0).sum()),
            "falling": int((ends[:, 1] < 0).sum()),
            "rise": self.estimates.of(lambda own: own.mean(), last - before),
            "positive": int(((last - before).mean(1) > 0).sum()),
            "reached": int((last.mean(1) >= REACHED).sum()),
            "level": REACHED,
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

    def needed(self, kind: str) -> list[dict[str, Any]]:
        """Count the seeds that it takes to tell the best architecture from others, by the power of Welch's test."""
        search, test = self.halves(kind)
        order = np.argsort(-search.mean(1), kind="stable")
        best, others = int(order[0]), {"runner-up": int(order[1]), "middle": int(order[len(order) // 2])}
        others |= {"default": self.default} if self.default != best else {}
        rows = []
        for word, other in others.items():
            found = mean(test[best] - test[other])
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


def _rounded(values: NDArray[np.float64]) -> Any:
    return np.round(values, 6).tolist()
