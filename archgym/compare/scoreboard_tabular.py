"""The scoreboards of a comparison on recorded tables, with regrets and ranks; intervals draw the table's seeds anew.

The content has the form of `archgym.compare.scoreboard`'s, and more below `table`.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table as Grid
from rich.text import Text

from archgym.compare.bootstrap import Resamples, around, ends, improvement_pairs, iqms, ranks
from archgym.compare.comparison import BEST_OF_K
from archgym.compare.stats import enough_draws
from archgym.compare.tabular import TabularComparison, about_tables, points, scores_on_test_seeds
from archgym.running import terminal
from archgym.table_describe.stats import maximum_bias

DRAWS = 2000  # at least
STREAM = 104  # key of the resampling below the seed
DIGITS = 6  # of scores
Values = NDArray[np.floating[Any]]


def build(comparison: TabularComparison) -> dict[str, Any]:
    """Score everything that a comparison has done; what is missing has failed and is left out."""
    scored = _Scored(comparison)
    names = scored.names
    return {
        "trains": False,
        "tasks": comparison.tasks,
        "seeds": comparison.seeds,
        "plan": comparison.read_plan(),
        "boards": {"lifetime": scored.lifetime(), "recommendation": scored.recommendation()},
        "regret": {name: [[] for _ in comparison.tasks] for name in names},
        "cost": {name: scored.cost(name) for name in names},
        "trained_steps": {task: comparison.record_steps(task) for task in comparison.tasks},
        "best_of_k": max(comparison.drawn(task) for task in comparison.tasks),
        "failures": comparison.failures,
        "table": {
            "tasks": about_tables(comparison),
            "worlds": comparison.worlds,
            "draws": scored.draws,
            "windows": points(comparison.args.windows),
            "steps": [scored.steps(task) for task in comparison.tasks],
            "bias": [scored.by_task[task].bias for task in comparison.tasks],
            **scored.incumbents(),
            "final": scored.final(),
        },
    }


@dataclass(frozen=True)
class _Judged:
    """The test seeds of one task: scores of all architectures, and what they are when the seeds are drawn anew."""

    area: Values  # (architectures,)
    last_fifth: Values
    greedy: Values
    regret: Values
    bias: float  # of every regret, for the best is a maximum over noisy means; estimated
    resamples: Resamples | None = None
    drawn: Values | None = None  # area, (draws, architectures)
    lost: Values | None = None  # regret


class _Scored:
    """The searches of a comparison as arrays, and their resamples."""

    def __init__(self, comparison: TabularComparison) -> None:
        self.comparison, self.tasks, self.seeds = comparison, comparison.tasks, comparison.seeds
        self.names = [arm.name for arm in comparison.arms]
        self.alive = [name for name in self.names if any(self._done(name, seed) for seed in self.seeds)]
        # A seed counts if all arms that ended any search have ended that one: arms are compared on the same ones.
        self.kept = [seed for seed in self.seeds if self.alive and all(self._done(name, seed) for name in self.alive)]
        self.judged_arms = [*self.alive, BEST_OF_K] if self.kept else []
        self.draws = enough_draws(len(self.names) + 1, DRAWS)
        self.table_seeds = min(comparison.search_seeds(task) for task in self.tasks)  # never more than test seeds
        self.by_task = {task: self._judge(task) for task in self.tasks}

    def _done(self, arm: str, seed: int) -> bool:
        return all((arm, task, seed) in self.comparison.found for task in self.tasks)

    def _judge(self, task: str) -> _Judged:
        comparison, allowed = self.comparison, self.comparison.evaluators[task].rows
        areas, last, greedy = (
            scores_on_test_seeds(comparison, task, kind) for kind in ("area", "last_fifth", "greedy")
        )
        area, bias = areas.mean(1), maximum_bias(areas[allowed])
        plain = _Judged(area, last.mean(1), greedy.mean(1), area[allowed].max() - area, bias)
        worlds = [comparison.world(seed) for seed in self.kept]
        if len({*worlds}) < 2 or min(map(worlds.count, worlds)) < 2:
            return plain  # too few searches succeeded for intervals
        rng = np.random.default_rng(
            np.random.SeedSequence(comparison.args.seed, spawn_key=(STREAM, self.tasks.index(task)))
        )
        own = Resamples(worlds, comparison.search_seeds(task), areas.shape[1], self.draws, rng)
        drawn = own.truth(areas)
        lost = drawn[:, allowed].max(1, keepdims=True) - drawn
        return replace(plain, resamples=own, drawn=drawn, lost=lost)

    def steps(self, task: str) -> list[int]:
        """Give the inner steps that are looked up by the points of a regret curve."""
        each = self.comparison.args.num_envs * self.comparison.problem(task).window_steps
        return [end * each for end in points(self.comparison.args.windows)]

    def every(self, arm: str, key: str) -> list[list[Any]]:
        """Give what the searches of an arm have of something, by task and seed; None where one failed."""
        own = self.comparison.found
        return [[own.get((arm, task, seed), {}).get(key) for seed in self.seeds] for task in self.tasks]

    def kept_of(self, arm: str, task: str, key: str) -> list[Any]:
        """Give the same of the searches that count, on one task."""
        return [self.comparison.found[arm, task, seed][key] for seed in self.kept]

    def rows(self, arm: str, task: str) -> NDArray[np.int64]:
        """Give the rows of what an arm recommends, (searches,)."""
        found = [self.comparison.recommended_row(arm, task, seed) for seed in self.kept]
        return np.array(found, dtype=np.int64)

    def cost(self, arm: str) -> dict[str, float | None]:
        """Summarise what an agent's decisions took, in milliseconds."""
        seconds = [one for row in self.every(arm, "decision") for one in row if one is not None]
        return {"decision_ms": 1000 * float(np.median(seconds)) if seconds else None}

    def lifetime(self) -> dict[str, Any]:
        """Score the lifetimes: the mean normalised return of their windows."""
        curves = {name: self.every(name, "curve") for name in self.names}
        kept, drawn = [], []
        for task in self.tasks:
            curve = [np.mean(self.kept_of(name, task, "curve"), axis=1) for name in self.alive if self.kept]
            kept.append(np.array(curve))
            if own := self.by_task[task].resamples:
                picked = [scores.astype(np.float32)[own.searches(scores)] for scores in curve]
                drawn.append(np.stack(picked, axis=1))
        return {
            "scores": {
                name: _each(rows, lambda one: round(float(np.mean(one)), DIGITS)) for name, rows in curves.items()
            },
            "final": {name: _each(rows, lambda one: None) for name, rows in curves.items()},
            "curves": curves,
            "steps": {name: _mean(self.every(name, "steps")) for name in self.names},
            **self._statistics(self.alive if self.kept else [], self.names, kept, drawn),
        }

    def recommendation(self) -> dict[str, Any]:
        """Score the recommendations: their curves on the test seeds, which are drawn anew for the intervals."""
        names = [*self.names, BEST_OF_K]
        parts = ("scores", "last_fifth", "greedy", "architectures", "parameters")
        board: dict[str, Any] = {part: {} for part in (*parts, "steps")}
        for name in names:
            told = [[self._told(name, task, seed) for seed in self.seeds] for task in self.tasks]
            for key in parts:
                board[key][name] = _each(told, lambda one, key=key: one[key])
            board["steps"][name] = _mean(self.every(name, "steps"))
        paid = [self.comparison.drawn(task) * self.comparison.record_steps(task) for task in self.tasks]
        board["steps"][BEST_OF_K] = float(np.mean(paid))
        kept, drawn = [], []
        for task in self.tasks:
            judged, rows = self.by_task[task], [self.rows(name, task) for name in self.judged_arms]
            kept.append(np.array([judged.area[own] for own in rows]))
            if judged.resamples is not None and judged.drawn is not None:
                picked = np.stack([own[judged.resamples.searches(judged.area[own])] for own in rows], axis=1)
                areas = judged.drawn.astype(np.float32)[:, None, :]
                drawn.append(np.take_along_axis(areas, picked, axis=2))  # (draws, arms, searches)
        statistics = self._statistics(self.judged_arms, names, kept, drawn)
        return {**board, **statistics, "controls": {"best_of_k": BEST_OF_K}}

    def _told(self, arm: str, task: str, seed: int) -> dict[str, Any] | None:
        """Look up what the recommendation of one search is; None if the search failed."""
        row = self.comparison.recommended_row(arm, task, seed)
        if row is None:
            return None
        table, judged = self.comparison.table(task), self.by_task[task]
        return {
            "scores": round(float(judged.area[row]), DIGITS),
            "last_fifth": round(float(judged.last_fifth[row]), DIGITS),
            "greedy": round(float(judged.greedy[row]), DIGITS),
            "architectures": self.comparison.problem(task).space.label(table.architectures[row]),
            "parameters": int(table.sizes[row, 0]),
        }

    def _statistics(
        self, names: list[str], all_names: list[str], kept: list[Values], drawn: list[Values]
    ) -> dict[str, Any]:
        """Compute interquartile means, and the probability of improvement of every pair.

        Args:
            names: Arms that ended searches.
            all_names: And those that did not.
            kept: By task, (arms, searches).
            drawn: By task, (draws, arms, searches); empty where there is nothing to resample.
        """
        nothing = {"iqm": None, "low": None, "high": None, "searches": 0}
        statistics: dict[str, Any] = {name: dict(nothing) for name in all_names}
        by_task: dict[str, list[list[float | None]]] = {name: [[None] for _ in self.tasks] for name in all_names}
        if not names:
            return {"statistics": statistics, "by_task": by_task, "pairs": []}
        seeds, all_drawn = self.table_seeds, iqms(np.concatenate(drawn, axis=2)) if drawn else None
        pooled = _estimates(iqms(np.concatenate(kept, axis=1)), all_drawn, seeds)
        each = [_estimates(iqms(own), iqms(drawn[place]) if drawn else None, seeds) for place, own in enumerate(kept)]
        for place, name in enumerate(names):
            value, low, high = pooled[place]
            statistics[name] = {"iqm": value, "low": low, "high": high, "searches": len(self.kept)}
            by_task[name] = [list(own[place]) for own in each]
        pairs = improvement_pairs(names, kept, drawn, seeds) if drawn else []
        return {"statistics": statistics, "by_task": by_task, "pairs": pairs}

    def incumbents(self) -> dict[str, Any]:
        """Follow the regret of the incumbents over simulated cost.

        Returns:
            `curves`: by arm and task, `mean` (less the bias of the best, at least 0), `low` and `high` at each point.
            `ranks`: by arm, the rank by mean regret, averaged over the tasks, at each point.
        """
        curves: dict[str, list[Any]] = {name: [] for name in self.alive}
        along = []
        for task in self.tasks if self.kept else ():
            judged, means = self.by_task[task], []
            for name in self.alive:
                found = self.kept_of(name, task, "incumbents")
                rows = np.array([[self.comparison.row(task, one) for one in own] for own in found])
                means.append(judged.regret[rows].mean(0))  # (points,)
                value = np.maximum(means[-1] - judged.bias, 0.0)
                curve: dict[str, Any] = {"mean": value.tolist(), "low": None, "high": None}
                if judged.resamples is not None and judged.lost is not None:
                    picked = rows[judged.resamples.searches(judged.regret[rows].mean(1))]  # (draws, searches, points)
                    drawn = [_mean_of(judged.lost, picked[:, :, place]) for place in range(rows.shape[1])]
                    low, high = around(value, np.stack(drawn, axis=1), self.table_seeds, 0.0)
                    curve |= {"low": low.tolist(), "high": high.tolist()}
                curves[name].append(curve)
            along.append(ranks(np.array(means).T))  # (points, arms)
        places = np.mean(along, axis=0) if along else np.zeros((0, len(self.alive)))
        return {"curves": curves, "ranks": dict(zip(self.alive, places.T.tolist(), strict=True))}

    def final(self) -> dict[str, Any]:
        """Give the regret of what was recommended, and the rank of the arms by it.

        Returns:
            By arm: `regret` by task (less the bias of the best, at least 0) and `rank` over the tasks, with their
            ends; `found`, by task the share of the searches that recommend the best architecture.
        """
        found: dict[str, dict[str, Any]] = {name: {"regret": [], "found": []} for name in self.judged_arms}
        means, drawn = [], []
        for task in self.tasks if self.judged_arms else ():
            judged = self.by_task[task]
            rows = [self.rows(name, task) for name in self.judged_arms]
            means.append([float(judged.regret[own].mean()) for own in rows])
            values = None
            if judged.resamples is not None and judged.lost is not None:
                picked = [own[judged.resamples.searches(judged.regret[own])] for own in rows]
                values = np.stack([_mean_of(judged.lost, own) for own in picked], axis=1)  # (draws, arms)
                drawn.append(values)
            less = np.maximum(np.array(means[-1]) - judged.bias, 0.0)
            low, high = around(less, values, self.table_seeds, 0.0) if values is not None else (None, None)
            for place, name in enumerate(self.judged_arms):
                one = {"value": float(less[place]), "low": None, "high": None}
                if low is not None and high is not None:
                    one |= {"low": float(low[place]), "high": float(high[place])}
                found[name]["regret"].append(one)
                found[name]["found"].append(float((judged.regret[rows[place]] <= 0).mean()))
        if means:
            placed = np.mean([ranks(np.array(own)) for own in means], axis=0)
            all_drawn = np.mean([ranks(own) for own in drawn], axis=0) if drawn else None
            estimates = _estimates(placed, all_drawn, self.table_seeds, 1.0, float(len(self.judged_arms)))
            for name, (value, low_end, high_end) in zip(self.judged_arms, estimates, strict=True):
                found[name]["rank"] = {"value": value, "low": low_end, "high": high_end}
        return found


def _mean_of(lost: Values, picked: NDArray[np.int64]) -> Values:
    """Average the regrets (draws, architectures) of picked rows (draws, searches): (draws,)."""
    return np.asarray(np.take_along_axis(lost, picked, axis=1).mean(1))


def _estimates(
    values: Values, drawn: Values | None, seeds: int, lowest: float = -np.inf, highest: float = np.inf
) -> list[tuple[float, float | None, float | None]]:
    """Put values (n,) together with the ends of their resampled values (draws, n)."""
    if drawn is None:
        return [(float(value), None, None) for value in values]
    low, high = ends(values, drawn, seeds, lowest, highest)
    return [(float(value), float(low[place]), float(high[place])) for place, value in enumerate(values)]


def _each(rows: list[list[Any]], tell: Any) -> list[list[Any]]:
    """Tell something of every entry that is not missing."""
    return [[None if one is None else tell(one) for one in row] for row in rows]


def _mean(rows: list[list[Any]]) -> float | None:
    values = [one for row in rows for one in row if one is not None]
    return float(np.mean(values)) if values else None


def print_regrets(content: dict[str, Any]) -> None:
    """Print what the recommendations come to, the best rank first."""
    console = terminal.console()
    table, tasks = content["table"], content["tasks"]
    grid = Grid(title="Regret of recommendations on the test seeds (95 %), and ranks")
    grid.add_column("arm", overflow="fold")
    for column in (*tasks, "finds the best", "mean rank"):
        grid.add_column(column, justify="right", overflow="fold")
    for name, own in sorted(table["final"].items(), key=lambda item: item[1]["rank"]["value"]):
        share = f"{100 * float(np.mean(own['found'])):.0f} %"
        grid.add_row(Text(name), *(said(one) for one in own["regret"]), share, said(own["rank"], 1))
    console.print(grid)
    console.print(bias_said(content), highlight=False)


def bias_said(content: dict[str, Any]) -> str:
    """Say how much was taken off the regrets."""
    taken = zip(content["table"]["bias"], content["tasks"], strict=True)
    return (
        f"Taken off every regret: {', '.join(f'{bias:.3f} ({task})' for bias, task in taken)}. The best architecture "
        "is a maximum over noisy means, too high by about so much (a bootstrap estimate); differences between arms do "
        "not depend on it."
    )


def said(found: dict[str, Any], digits: int = 3) -> str:
    """Write a value with its interval."""
    value = f"{found['value']:.{digits}f}"
    return value if found["low"] is None else f"{value} ({found['low']:.{digits}f} to {found['high']:.{digits}f})"
