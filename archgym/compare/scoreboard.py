"""The two scoreboards of a comparison: scores by search, their statistics, and what everything cost.

The unit of every statistic is a whole search: its score is the mean over its members, which share an agent and are
never resampled on their own. Tasks are strata.
"""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from archgym.compare.comparison import BEST_OF_K, FIXED, FROM_SCRATCH, RANDOM, WHOLE_BUDGET, Comparison
from archgym.compare.content import is_planted
from archgym.compare.stats import (
    enough_draws,
    holm,
    improvement_p_value,
    iqm,
    probability_of_improvement,
    stratified_interval,
)
from archgym.evaluators import open_evaluator
from archgym.journal import read_rows
from archgym.problem import Problem
from archgym.running import terminal
from archgym.running.arms import Arm
from archgym.stats import ranking

PREFIXES = 40  # points of a regret curve, at most
Searches = list[list[dict[str, Any] | None]]  # of an arm, (tasks, seeds), as `read_search` gives them


def build(comparison: Comparison) -> dict[str, Any]:
    """Read everything that a comparison has done, and score it; what is missing has failed and is left out."""
    arms = {
        arm.name: [[_search(comparison, arm, task, seed) for seed in comparison.seeds] for task in comparison.tasks]
        for arm in comparison.arms
    }
    boards = {"lifetime": _lifetime(arms), "recommendation": _recommendation(comparison, arms)}
    for board in boards.values():
        board["statistics"], board["pairs"] = _statistics(board["scores"])
    return {
        "trains": comparison.problem(comparison.tasks[0]).trains,
        "tasks": comparison.tasks,
        "seeds": comparison.seeds,
        "plan": comparison.read_plan(),
        "boards": boards,
        "regret": {name: [[one and one["regret"] for one in row] for row in rows] for name, rows in arms.items()},
        "cost": {name: _cost(rows) for name, rows in arms.items()},
        "trained_steps": {task: comparison.length(task) for task in comparison.tasks},
        "best_of_k": max(comparison.drawn(task) for task in comparison.tasks),
        "failures": comparison.failures,
    }


def _search(comparison: Comparison, arm: Arm, task: str, seed: int) -> dict[str, Any] | None:
    """Read one search: None if it did not end."""
    out = comparison.search_args(arm, task, seed).out
    if out is None or not (out / "recommendation.json").exists():
        return None
    return read_search(comparison.problem(task), out)


def read_search(problem: Problem, folder: Path) -> dict[str, Any]:
    """Score a search from its record.

    Args:
        problem: What was searched.
        folder: Its run folder; all members trained their windows together.

    Returns:
        `curve`: mean normalised return of the members, by window. `score`: its mean. `final`: normalised greedy return
        of the incumbent with the weights at the end, mean over the members; None where nothing is trained. `steps`: all
        inner steps; `decisions`: seconds of the agent, by window. `regret`: None, or of the incumbent after
        growing numbers of windows, with the steps and seconds until then.
    """
    journal = folder / "journal.jsonl"
    rows = read_rows(journal.read_bytes(), journal)[0]
    trained = [row for row in rows if row.get("call") == "train_window"]
    evaluated = [row for row in rows[rows.index(trained[-1]) :] if row.get("call") == "evaluate"]
    curve = np.array([np.mean(row["normalised_return"]) for row in trained])
    final = (
        None if not evaluated else float(np.mean([problem.normalise(value) for value in evaluated[-1]["raw_return"]]))
    )
    return {
        "curve": curve.tolist(),
        "score": float(curve.mean()),
        "final": final,
        "steps": sum(sum(row.get("env_steps", ())) for row in rows),
        "decisions": json.loads((folder / "agent_seconds.json").read_text())["by_window"],
        "regret": _regret(problem, rows),
    }


def _regret(problem: Problem, rows: list[dict[str, Any]]) -> dict[str, list[float]] | None:
    """Follow the true regret of the incumbent over a search, where the best architecture is known."""
    if problem.trains:
        return None
    evaluator = open_evaluator(problem, 1)
    trained = [row for row in rows if row.get("call") == "train_window"]
    actions = np.array([row["action"] for row in trained])
    rewards = np.array([row["reward"] for row in trained])
    steps = np.cumsum([sum(row["env_steps"]) for row in trained])
    seconds = np.cumsum([sum(row["seconds"].values()) for row in trained])
    ends = np.unique(np.linspace(1, len(trained), min(len(trained), PREFIXES)).round().astype(int))
    best = [np.array(ranking(actions[:end], rewards[:end])[0], dtype=np.int64) for end in ends]
    return {
        "steps": steps[ends - 1].tolist(),
        "seconds": seconds[ends - 1].tolist(),
        "values": [evaluator.regret(architecture) for architecture in best],
    }


def _lifetime(arms: dict[str, Searches]) -> dict[str, Any]:
    """Score the lifetimes: the area under the return curve, and the greedy return at the end."""
    return {
        "scores": {name: [[one and one["score"] for one in row] for row in rows] for name, rows in arms.items()},
        "final": {name: [[one and one["final"] for one in row] for row in rows] for name, rows in arms.items()},
        "curves": {name: [[one and one["curve"] for one in row] for row in rows] for name, rows in arms.items()},
        "steps": {name: _mean([one["steps"] for row in rows for one in row if one]) for name, rows in arms.items()},
    }


def _recommendation(comparison: Comparison, arms: dict[str, Searches]) -> dict[str, Any]:
    """Score the recommendations: trained from scratch, the area under the learning curve, and its last fifth."""
    nothing: Searches = [[None] * len(comparison.seeds)] * len(comparison.tasks)  # of what is no search
    board: dict[str, Any] = {"scores": {}, "last_fifth": {}, "architectures": {}, "parameters": {}, "steps": {}}
    names = [arm.name for arm in comparison.arms] + list(FROM_SCRATCH)
    for name in names:
        parts: dict[str, list[list[Any]]] = {key: [] for key in board}
        for task, searches in zip(comparison.tasks, arms.get(name, nothing), strict=True):
            pairs = zip(comparison.seeds, searches, strict=True)
            row = [_recommended(comparison, name, task, seed, searched) for seed, searched in pairs]
            for key in parts:
                parts[key].append([one and one[key] for one in row])
        for key, rows in parts.items():
            board[key][name] = rows
        steps = [one for row in parts["steps"] for one in row if one is not None]
        board["steps"][name] = _mean(steps)
    board["controls"] = {"best_of_k": BEST_OF_K, "whole_budget": WHOLE_BUDGET}
    return board


def _recommended(
    comparison: Comparison, arm: str, task: str, seed: int, searched: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Read what the recommendation of one search came to; None if something failed."""
    problem, space = comparison.problem(task), comparison.problem(task).space
    action = comparison.recommendation(FIXED if arm == WHOLE_BUDGET else arm, task, seed)
    if action is None:
        return None
    job = comparison.whole_budget_job(task, seed) if arm == WHOLE_BUDGET else comparison.scratch_job(task, seed, action)
    result = job.result()
    if result is None:
        return None
    assert comparison.args.retrain is not None
    windows = round(comparison.args.retrain / problem.full_window_steps)
    curves = np.array(result["curves"])[:, -max(1, windows) :]  # of the whole budget, what a training from scratch sees
    scores = [problem.normalise(float(curve.mean())) for curve in curves]
    last = [problem.normalise(float(curve[-max(1, len(curve) // 5) :].mean())) for curve in curves]
    vector = np.array(action, dtype=np.int64)
    steps = result["steps"]
    if arm == BEST_OF_K:
        steps += sum(one["steps"] for job in comparison.drawn_jobs(task, seed) if (one := job.result()))
    elif searched is not None:
        steps += searched["steps"]
    return {
        "scores": float(np.mean(scores)),
        "last_fifth": float(np.mean(last)),
        "architectures": space.label(vector),
        "parameters": space.network_of(vector).parameters(problem.inputs, problem.outputs),
        "steps": steps,
    }


def _statistics(scores: dict[str, list[list[float | None]]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Compute interquartile means with their intervals, and the probability of improvement of every pair.

    Args:
        scores: By arm, (tasks, seeds), None where something failed.
    """
    table = {name: _complete(rows) for name, rows in scores.items()}  # seeds that every task has
    statistics: dict[str, Any] = {}
    for name, (_, values) in table.items():
        if len(values):
            low, high = stratified_interval(iqm, values) if len(values) > 1 else (None, None)
            statistics[name] = {"iqm": iqm(values), "low": low, "high": high, "searches": len(values)}
        else:
            statistics[name] = {"iqm": None, "low": None, "high": None, "searches": 0}
    pairs: list[dict[str, Any]] = []
    for first, second in combinations(table, 2):
        (kept, x), (others, y) = table[first], table[second]
        common = [seed for seed in kept if seed in others]  # common random numbers: the same seeds on both sides
        x, y = x[[kept.index(seed) for seed in common]], y[[others.index(seed) for seed in common]]
        if len(common) < 2:
            continue
        low, high = stratified_interval(probability_of_improvement, x, y, paired=True)
        pairs.append(
            {
                "first": first,
                "second": second,
                "improvement": probability_of_improvement(x, y),
                "low": low,
                "high": high,
                "p": improvement_p_value(x, y, draws=enough_draws(len(table))),
            }
        )
    for pair, adjusted in zip(pairs, holm([pair["p"] for pair in pairs]) if pairs else [], strict=True):
        pair["holm"] = float(adjusted)
    return statistics, pairs


def _complete(rows: list[list[float | None]]) -> tuple[list[int], NDArray[np.float64]]:
    """Keep the searches that succeeded on every task: their places, and their scores (searches, tasks)."""
    kept = [seed for seed, scores in enumerate(zip(*rows, strict=True)) if None not in scores]
    return kept, np.array([[row[seed] for row in rows] for seed in kept], dtype=np.float64).reshape(-1, len(rows))


def _cost(rows: list[list[dict[str, Any] | None]]) -> dict[str, float | None]:
    """Summarise what an agent's decisions took, in milliseconds for all members of a window."""
    seconds = [value for row in rows for one in row if one for value in one["decisions"]]
    return {"decision_ms": None if not seconds else 1000 * float(np.median(seconds))}


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def print_tables(content: dict[str, Any]) -> None:
    """Print both scoreboards, each against random search."""
    console = terminal.console()
    titles = {
        "lifetime": "Lifetimes: normalised return while searching (area under the curve)",
        "recommendation": "Recommendations: trained from scratch on seeds that no search has seen",
    }
    if "table" in content:
        titles["recommendation"] = "Recommendations: looked up on the test seeds, which no search has seen"
    if is_planted(content):
        titles["recommendation"] = (
            "Recommendations: nothing was trained, scored on the landscape on seeds that no search has seen"
        )
    for name, title in titles.items():
        console.print(board_table(content, name, title))
    tasks = ", ".join(content["tasks"])
    kind = "intervals draw searches and the table's seeds anew" if "table" in content else "stratified bootstrap"
    console.print(
        f"{len(content['seeds'])} searches of every arm on {tasks}; interquartile mean with its 95 % interval "
        f"({kind}); P(better): probability that a search of this arm beats one of random-search; p: two-sided, "
        "Holm-corrected over all pairs of the board."
    )
    for failure in content["failures"]:
        console.print(f"failed: {failure['job']}: {failure['reason']}", markup=False, highlight=False)


def board_table(content: dict[str, Any], board: str, title: str) -> Table:
    """Lay out one scoreboard."""
    own = content["boards"][board]
    table = Table(title=title)
    table.add_column("arm", overflow="fold")
    for column in ("searches", "IQM", "95 %", "P(better)", "95 %", "p", "verdict", "inner steps", "ms/decision"):
        table.add_column(column, justify="right", overflow="fold")
    for name, row in own["statistics"].items():
        pair = pair_of(own["pairs"], name, RANDOM) or {}
        steps, cost = own["steps"][name], content["cost"].get(name, {}).get("decision_ms")
        table.add_row(
            Text(name),
            str(row["searches"]),
            _number(row["iqm"]),
            _interval(row),
            _number(pair.get("improvement")),
            _interval(pair),
            _number(pair.get("holm")),
            verdict(pair),
            "-" if steps is None else f"{steps:,.0f}",
            "-" if cost is None else f"{cost:.2f}",
        )
    return table


def pair_of(pairs: list[dict[str, Any]], arm: str, other: str) -> dict[str, Any] | None:
    """Find the pair of two arms, turned so that the given one comes first."""
    for pair in pairs:
        if (pair["first"], pair["second"]) == (arm, other):
            return pair
        if (pair["second"], pair["first"]) == (arm, other):
            turned = {"improvement": 1 - pair["improvement"], "low": 1 - pair["high"], "high": 1 - pair["low"]}
            return {**pair, **turned, "first": arm, "second": other}
    return None


def verdict(pair: dict[str, Any] | None, level: float = 0.05) -> str:
    """Say what a pair shows at a level."""
    if not pair:
        return "-"
    if pair["holm"] >= level:
        return "undecided"
    return "better" if pair["improvement"] > 0.5 else "worse"


def _interval(ends: dict[str, Any]) -> Text:
    """Write an interval, without rich taking its bracket for markup."""
    return Text("-" if ends.get("low") is None else f"[{ends['low']:.3f}, {ends['high']:.3f}]")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
