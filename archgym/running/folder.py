"""Reads a run folder: what was asked for, the journal as arrays, and the scores that follow from it."""

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.files import read_json
from archgym.journal import read_rows
from archgym.problem import Problem
from archgym.settings import Settings
from archgym.stats import scores
from archgym.tabular import Tabular

Key = tuple[int, ...]  # an architecture
READ = ("reward", "raw_return", "normalised_return", "env_steps", "diverged", "switched", "cut_share")
MOST_PREFIXES = 200  # points in time at which the incumbent is computed


@dataclass(frozen=True)
class Run:
    """What a run folder holds."""

    config: dict[str, Any]
    problem: Problem
    seeds: list[int]
    seconds: dict[str, float]
    """By phase."""
    steps: int
    """Inner environment steps in all, evaluations included."""
    columns: dict[str, NDArray[np.float64]]
    """By name, (windows, members); NaN where a member was trained for fewer windows than others."""
    actions: NDArray[np.int64]
    """(windows, members, choices); -1 where there is no window."""
    best: dict[str, Any] | None
    protocol: dict[str, Any] | None
    recommendation: dict[str, Any] | None

    @cached_property
    def scores(self) -> dict[Key, float]:
        """Score of every architecture, at the end."""
        return scores(self.actions, self.columns["reward"])

    @cached_property
    def incumbent(self) -> Key:
        """The architecture of the highest score."""
        return max(self.scores, key=lambda key: self.scores[key])

    @cached_property
    def default(self) -> Key:
        """The control arm's architecture."""
        return tuple(self.problem.space.default_architecture.tolist())

    @cached_property
    def recorded(self) -> Tabular | None:
        """The table that windows were looked up in; None: networks were trained."""
        if not self.problem.settings.table:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the search has said it
            return Tabular(self.problem, 1)

    @property
    def recommended(self) -> Key:
        """The architecture that the search recommends first; the incumbent while it goes on."""
        first = (self.recommendation or {}).get("architectures", [self.incumbent])[0]
        return tuple(int(option) for option in first)

    def label(self, key: Key) -> str:
        """Write an architecture as one line."""
        return self.problem.space.label(np.array(key))

    def sizes(self, key: Key) -> tuple[int, int]:
        """Count parameters and FLOPs of an architecture."""
        network, ends = self.problem.space.network_of(np.array(key)), (self.problem.inputs, self.problem.outputs)
        return network.parameters(*ends), network.flops(*ends)


def read(folder: Path) -> Run:
    """Read a run folder; a half-written last line of the journal is left out.

    Raises:
        ValueError: If a file of it is missing or damaged.
    """
    config, path = read_json(folder / "config.json"), folder / "journal.jsonl"
    if config is None or not isinstance(config.get("settings"), dict):
        raise ValueError(f"report: expected a config.json with settings in {folder}, found none.")
    problem = Problem(Settings.from_keywords(config["settings"]))
    data = path.read_bytes() if path.exists() else b""
    rows = read_rows(data[: data.rfind(b"\n") + 1], path)[0]
    trained = [row for row in rows if row.get("call") == "train_window"]
    if not trained:
        raise ValueError(f"report: expected a journal with at least one window in {folder}, found none.")
    seconds: dict[str, float] = {}
    for phase, value in (item for row in rows for item in row.get("seconds", {}).items()):
        seconds[phase] = seconds.get(phase, 0.0) + value
    entries: dict[int, list[tuple[dict[str, Any], int]]] = {}  # of each member, in order: a row and the place in it
    for row in trained:
        for place, member in enumerate(row["members"]):
            entries.setdefault(member, []).append((row, place))
    shape = (max(map(len, entries.values())), len(entries))
    columns = {name: np.full(shape, np.nan) for name in READ}
    actions = np.full((*shape, len(problem.space.choices)), -1)
    for column, member in enumerate(sorted(entries)):
        for window, (row, place) in enumerate(entries[member]):
            actions[window, column] = problem.space.canonical(row["action"][place])
            for name in READ:
                columns[name][window, column] = row[name][place]
    seeds: list[int] = next((row["seeds"] for row in rows if row.get("call") == "reset"), [])
    others = (read_json(folder / name) for name in ("best.json", "protocol.json", "recommendation.json"))
    steps = sum(sum(row.get("env_steps", ())) for row in rows)
    return Run(config, problem, seeds, seconds, steps, columns, actions, *others)


def incumbents(run: Run) -> tuple[list[int], list[Key]]:
    """Compute the incumbent after a growing number of windows: these numbers, and the incumbent after each."""
    windows, found = len(run.actions), []
    ends = np.unique(np.linspace(1, windows, min(windows, MOST_PREFIXES)).round().astype(int)).tolist()
    for end in ends:
        values = scores(run.actions[:end], run.columns["reward"][:end])
        found.append(max(values, key=lambda key: values[key]))
    return ends, found
