"""`archgym table check`: trains random rows of a recorded table again, and compares them with the record.

A row is one architecture trained from one seed. With the recorded processor, learner and versions every number must be
equal. Elsewhere sums are rounded otherwise, and training makes much of last bits: there the area under the new curve
must lie in the 99 % prediction interval of one more curve, by Student's t from the curves of that architecture. Its
standard deviation is the architecture's own, or that within all architectures where it is larger. A table that grew on
several machines does not tell which one a row is from: on any of them a row must be equal, or lie in that interval.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archgym import table as tables
from archgym import table_card
from archgym.running.launch import parse
from archgym.stats import student_t
from archgym.table import Table
from archgym.table_file import COLUMNS
from archgym.table_tools.builder import train_curves
from archgym.table_tools.computed import among, check_trainer, computed_with
from archgym.table_tools.log import differing

LEVEL = 0.99
TAKEN = set(COLUMNS) - {"seconds"}  # what training again must give


@dataclass(frozen=True)
class Args:
    """Train random rows of a table again, and compare; exit code 1 if one differs."""

    rows: int = 5
    """How many, drawn without repeats."""
    windows: int | None = None
    """Only the first windows of each; None: the whole curve."""
    seed: int = 0
    """Of the draw."""


def main(words: Sequence[str]) -> int:
    """Check a table; returns the exit code."""
    rest = list(words)
    named = bool(rest) and not rest[0].startswith("-")
    name = rest.pop(0) if named else ""
    args: Args = parse(Args, rest, "archgym table check NAME_OR_FILE")
    if not named:
        raise ValueError("table check: expected a file (.npz) or the name of a table (`archgym table list`), got none.")
    table = tables.load(table_card.find(name, {}))
    faults = 0
    for line, good in check(table, args):
        faults += not good
        print(line, flush=True)
    print("every row agrees" if not faults else f"{faults} of {args.rows} rows differ")
    return 1 if faults else 0


def check(table: Table, args: Args) -> list[tuple[str, bool]]:
    """Train rows again.

    Returns:
        A line about how it was compared, then one of every row; and whether each is as it must be.

    Raises:
        ValueError: If there are not so many rows or windows, or the trainer's settings have changed since.
    """
    card, seeds = table.card, len(table.card.seeds)
    windows = table.windows if args.windows is None else args.windows
    for value, name, most in (
        (args.rows, "rows", table.card.architectures * seeds),
        (windows, "windows", table.windows),
    ):
        if not 1 <= value <= most:
            raise ValueError(f"--{name}: expected 1 to {most}, as the table has, got {value}.")
    here = computed_with(table.problem)
    check_trainer("table check: the table", card.computed, here)
    was = {name: value for name, value in card.computed.items() if name != "trainer"}
    odd = differing(was, here)
    drawn = np.random.default_rng(args.seed).choice(card.architectures * seeds, args.rows, replace=False)
    pairs = [divmod(int(number), seeds) for number in drawn]
    architectures = [table.architectures[row] for row, _ in pairs]
    ages = [age for age in card.ages if age <= windows]
    records = train_curves(
        table.problem, architectures, [card.seeds[column] for _, column in pairs], windows, ages, card.episodes
    )
    how = f"within the {LEVEL:.0%} interval of their seeds, for they were recorded with {odd}" if odd else "exactly"
    how = f"exactly or else {how}" if odd and among(was, here) else how
    lines = [(f"{args.rows} rows of {windows} windows, compared {how}", True)]
    for (row, column), record in zip(pairs, records, strict=True):
        said, good = _compare(table, row, column, record, exactly=not odd)
        label = table.space.label(table.architectures[row])
        lines.append((f"{'ok   ' if good else 'FAIL '} {label}, seed {column}: {said}", good))
    return lines


def _compare(table: Table, row: int, column: int, record: dict[str, Any], *, exactly: bool) -> tuple[str, bool]:
    """Say how a row that was trained again compares with the record, and whether that is as it must be."""
    windows = len(record["raw_return"])
    for name in (*sorted(TAKEN), "evaluations"):
        held = table.evaluations if name == "evaluations" else table.columns[name]
        got, own = np.array(record[name], dtype=held.dtype), held[row, column, : len(record[name])]
        different = np.flatnonzero(got != own)
        if len(different) and exactly:
            first = int(different[0])
            place = f"at age {table.card.ages[first]}" if name == "evaluations" else f"in window {first + 1}"
            return f"{name} is {got[first].item()!r} {place}, recorded {own[first].item()!r}", False
        if len(different):
            break
    else:
        return "equal in every number", True
    areas = table.normalised[:, :, :windows].mean(2)
    got_area = float(np.mean([table.problem.normalise(value) for value in record["raw_return"]]))
    low, high = interval(areas, row)
    return f"area {got_area:.3f}, interval {low:.3f} to {high:.3f}", low <= got_area <= high


def interval(areas: Any, row: int) -> tuple[float, float]:
    """Give the prediction interval of one more value of a row.

    Args:
        areas: (A, S), at least two seeds.
        row: Which.

    Returns:
        Lower and upper end.
    """
    count = areas.shape[1]
    variance = max(float(areas[row].var(ddof=1)), float(areas.var(axis=1, ddof=1).mean()))
    half = student_t(count - 1, LEVEL) * math.sqrt(variance * (1 + 1 / count))
    mean = float(areas[row].mean())
    return mean - half, mean + half
