"""What a search came to: its recommendation, its best network and its page, written down and printed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym import budget
from archgym.files import write_json
from archgym.journal import read_rows
from archgym.problem import Problem
from archgym.running.agent import Agent, incumbents, own_code
from archgym.search_space import SearchSpace
from archgym.stats import switch_rates
from archgym.window import WindowResult

LISTED = 8  # members whose rates are printed one by one


def finish(envs: Any, agent: Agent, folder: Path, count: int, page: bool) -> None:
    """Write down what the search came to."""
    space: SearchSpace = envs.unwrapped.search_space
    histories = envs.unwrapped.histories
    incumbent = incumbents(histories, 1)[0]
    with own_code():
        chosen = agent.recommend(count) if hasattr(agent, "recommend") else incumbents(histories, count)
    chosen = [space.canonical(architecture) for architecture in chosen]
    scores = envs.unwrapped.evaluate_rest(np.tile(incumbent, (envs.num_envs, 1)))
    if envs.unwrapped.trains:  # the weights of the member that does best are exported
        envs.unwrapped.save(folder, incumbent, int(np.argmax(scores)))
    envs.close()
    path = folder / "journal.jsonl"
    steps = sum(sum(row["env_steps"]) for row in read_rows(path.read_bytes(), path)[0] if "env_steps" in row)
    content = {"architectures": [c.tolist() for c in chosen], "labels": [space.label(c) for c in chosen]}
    write_json(folder / "recommendation.json", {**content, "search_steps": steps})
    if page:
        from archgym.running import report  # here: matplotlib is slow to load

        report.write(folder)
    print(f"\nRecommended: {'; '.join(content['labels'])}")
    if envs.unwrapped.problem.settings.table:
        print(f"Regret of the first, on the table's test seeds: {envs.unwrapped.regret(chosen[0]):.3f}.")
    print(reached(envs.unwrapped.problem, histories))
    print(switches(np.array([[result.action for result in history] for history in histories]).swapaxes(0, 1)))


def reached(problem: Problem, histories: Sequence[Sequence[WindowResult]]) -> str:
    """Tell how many members came up to the reference, and after how many steps, from their windows.

    Where nothing is trained windows stand for steps.
    """
    first = []
    for history in histories:
        solved = [result.normalised_return >= 1 for result in history]
        if any(solved):
            until = history[: solved.index(True) + 1]
            first.append(sum(result.env_steps - budget.played(problem) for result in until))
    text = f"{len(first)} of {len(histories)} members had a window with a return of {problem.reference_return:g}"
    if not first:
        return f"{text}."
    after = "after" if problem.trains else "after windows that stand for"
    return f"{text}, the reference; the median of them {after} {np.median(first):,.0f} steps."


def switches(actions: NDArray[np.int64]) -> str:
    """Tell how often members exchanged their architecture and went back, from actions (windows, members, choices)."""
    texts = []
    for name, values in zip(("Switch rate", "oscillation (A, B, A)"), switch_rates(actions), strict=True):
        each, rates = "", [f"{100 * value:.0f}" for value in (*values, np.median(values), min(values), max(values))]
        if 1 < len(values) <= LISTED:
            each = f" (by member {', '.join(rates[:-3])})"
        elif len(values) > LISTED:
            each = f" (of the {len(values)} members: median {rates[-3]}, range {rates[-2]} to {rates[-1]})"
        texts.append(f"{name} {100 * values.mean():.1f} %{each}")
    return f"{', '.join(texts)}."
