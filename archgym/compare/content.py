"""`compare.json`: all numbers of a comparison, read again and refused if damaged."""

import json
from pathlib import Path
from typing import Any

NEEDED = ("space", "env_id", "num_envs", "windows", "window_steps", "transfer", "retrain", "retrain_seeds")  # of args
PARTS = {  # of the boards, by arm, task and seed
    "lifetime": ("scores", "final", "curves"),
    "recommendation": ("scores", "last_fifth", "architectures", "parameters"),
}


def read(folder: Path) -> dict[str, Any]:
    """Read the numbers of a comparison.

    Raises:
        ValueError: If the file is missing or damaged.
    """
    path = folder / "compare.json"
    if not path.exists():
        raise ValueError(f"report: expected a compare.json in {folder}, found none.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"report: expected the numbers of a comparison in {path}, found no JSON: {error}.") from None
    if missing := _missing(content):
        raise ValueError(f"report: {path} is damaged: expected {missing}.")
    whole: dict[str, Any] = content
    return whole


def _missing(content: Any) -> str:
    """Name what a damaged file lacks; empty if it lacks nothing."""
    kinds = {
        "trains": bool,
        "tasks": list,
        "seeds": list,
        "plan": dict,
        "boards": dict,
        "regret": dict,
        "cost": dict,
        "trained_steps": dict,
        "failures": list,
    }
    for name, kind in {**kinds, "best_of_k": int}.items():
        if not isinstance(content, dict) or not isinstance(content.get(name), kind):
            return f"{name!r}, a {kind.__name__}"
    if not set(content["tasks"]) <= set(content["trained_steps"]):
        return "'trained_steps' of every task"
    plan = content["plan"]
    if not plan.get("arms") or not set(NEEDED) <= set(plan.get("args", {})):
        return "'plan' with the arms and their args"
    arms, shape = set(plan["arms"]), (len(content["tasks"]), len(content["seeds"]))
    if not arms <= set(content["cost"]) or not arms <= set(content["regret"]):
        return "'cost' and 'regret' of every arm"
    for name, parts in PARTS.items():
        board = content["boards"].get(name, {})
        if not set(parts) | {"steps", "statistics", "pairs"} <= set(board) or not arms <= set(board["statistics"]):
            return f"the board {name!r} with all its parts and arms"
        for part in parts:
            rows = [board[part].get(arm, []) for arm in board["statistics"]]
            if any(len(own) != shape[0] or {len(row) for row in own} != {shape[1]} for own in rows):
                return f"{part!r} of every arm, task and seed on the board {name!r}"
    return ""


def is_planted(content: dict[str, Any]) -> bool:
    """Tell whether windows are those of a planted landscape: nothing was trained, and there is no table either."""
    return not content["trains"] and "table" not in content
