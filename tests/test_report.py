"""The page about a run folder: its numbers, its escaping, and what it refuses."""

import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archgym import report, stats
from archgym.settings import Problem, Settings

NASTY = "archgym search --name '<script>alert(1)</script>' & \"$x^2$\""


def write_journal(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as `archgym.journal` does: a checksum chained over all lines in front of each."""
    check, lines = 0, []
    for row in rows:
        body = json.dumps(row)
        check = zlib.crc32(body.encode(), check)
        lines.append(f'{{"check": "{check:08x}", {body[1:]}\n')
    path.write_text("".join(lines))


def write_run(folder: Path, space: str = "mlp", members: int = 4, windows: int = 10, *, protocol: bool = True) -> Path:
    """Write the folder of an invented search in which good options are taken more and more often."""
    rng = np.random.default_rng(5)
    settings = Settings(space=space, windows=windows, window_steps=2500)
    problem = Problem(settings)
    liking = [np.sort(rng.normal(0, 1, count)) for count in problem.space.counts]
    rows: list[dict[str, Any]] = [{"call": "header", "schema": 1, "settings": settings.to_dict()}]
    rows += [{"call": "reset", "seeds": [7], "members": list(range(members)), "seconds": {"open": 0.1, "agent": 0.2}}]
    last: list[str] = [""] * members
    for window in range(windows):
        heat = 3.0 * window / windows
        options = [[int(rng.choice(len(x), p=np.exp(heat * x) / np.exp(heat * x).sum())) for x in liking] for _ in last]
        chosen = [_canonical(problem, vector) for vector in options]
        sizes = [problem.space.network_of(vector) for vector in chosen]
        quality = [sum(x[o] for x, o in zip(liking, vector, strict=True)) / len(liking) for vector in chosen]
        level = 1.05 * (1 - np.exp(-3.5 * (window + 1) / windows))
        values = (level * (0.85 + 0.12 * np.array(quality)) + rng.normal(0, 0.13, members)).tolist()
        labels = [problem.space.label(vector) for vector in chosen]
        row: dict[str, Any] = {"call": "train_window", "members": list(range(members))}
        row["action"] = [vector.tolist() for vector in chosen]
        row["reward"] = np.clip(values, -1, 2).tolist()
        row["raw_return"] = [22.3 + value * 452.7 for value in values]
        row["normalised_return"] = values
        row["parameters"] = [net.parameters(problem.inputs, problem.outputs) for net in sizes]
        row["flops"] = [net.flops(problem.inputs, problem.outputs) for net in sizes]
        row["env_steps"] = [2504] * members
        row["diverged"] = [bool(rng.random() < 0.01) for _ in chosen]
        row["switched"] = [one not in ("", two) for one, two in zip(last, labels, strict=True)]
        row["cut_share"] = rng.uniform(0.02, 0.2, members).tolist()
        seconds = {"env": 3.1, "act": 2.2, "learn": 9.6, "switch": 0.3, "open": 0.2, "evaluate": 0.0, "agent": 0.4}
        rows.append({**row, "seconds": seconds})
        last = labels
    write_journal(folder / "journal.jsonl", rows)
    config = {"agent": "lstm-reinforce", "command": NASTY, "args": {"seed": 7, "num_envs": members}}
    config |= {"settings": settings.to_dict(), "versions": {"archgym": "0.1.0", "torch": "2.13.0"}}
    (folder / "config.json").write_text(json.dumps(config))
    if protocol:
        (folder / "protocol.json").write_text(json.dumps(_protocol(problem, rng)))
    return folder


def _canonical(problem: Problem, vector: list[int]) -> Any:
    return problem.space.canonical(np.array(vector))


def _protocol(problem: Problem, rng: np.random.Generator) -> dict[str, Any]:
    arms: list[dict[str, Any]] = []
    candidates = []
    for arm, level in (("default", 0.62), ("lstm-reinforce", 0.72), ("random-search", 0.62)):
        vector = problem.space.default_architecture if arm == "default" else problem.space.sample(rng)
        net, scores = problem.space.network_of(vector), rng.normal(level, 0.03, 5)
        x = np.linspace(0, 1, 24)
        curves = 22.3 + 452.7 * np.clip((1 - np.exp(-8 * level * x)) + rng.normal(0, 0.06, (5, 24)), 0, 1.05)
        gap = float(np.mean(scores) - np.mean(arms[0]["scores"])) if arms else 0.0
        verdict = "better" if gap > 0.05 else "undecided"
        place = {"arm": arm, "architecture": problem.space.label(vector), "action": vector.tolist()}
        arms.append(
            {
                **place,
                "parameters": net.parameters(problem.inputs, problem.outputs),
                "flops": net.flops(problem.inputs, problem.outputs),
                "scores": scores.tolist(),
                "last_fifth": curves[:, -5:].mean(1).tolist(),
                "curves": curves.tolist(),
                "difference": {"low": gap - 0.05, "high": gap + 0.05, "verdict": verdict} if arms else None,
            }
        )
        others = [problem.space.sample(rng) for _ in range(3) if arm != "default"]
        for other in (vector, *others) if others else ():
            tried = {"arm": arm, "architecture": problem.space.label(other), "action": other.tolist()}
            candidates.append({**tried, "scores": rng.normal(level, 0.04, 3).tolist()})
    spent = {"lstm-reinforce": 961536, "random-search": 961536}
    return {"steps": 60000, "search_steps": spent, "retraining_steps": 1080000, "candidates": candidates, "arms": arms}
