"""`archgym table export`: writes a recorded table as Parquet or CSV, a row per architecture, seed and window."""

import csv
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym import table as tables
from archgym import table_card
from archgym.running.launch import parse
from archgym.table import Table
from archgym.table_card import HALF
from archgym.table_file import COLUMNS

FORMATS = (".parquet", ".csv")
Columns = dict[str, list[Any]]
# Columns beside those of the choices, which must be called otherwise.
OWN = {"architecture", "parameters", "flops", "seed", "side", "lifetime", "window", "normalised_return", "evaluation"}
OWN |= set(COLUMNS)


@dataclass(frozen=True)
class Args:
    """Write a table as Parquet or CSV; its shared-weight scores, if it has some, go to a second file (`-supernet`)."""


def main(words: Sequence[str]) -> int:
    """Write a table elsewhere; returns the exit code."""
    count = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
    given, flags = words[:count], words[count:]
    parse(Args, flags, "archgym table export NAME_OR_FILE OUT.parquet|OUT.csv")
    if len(given) != 2:
        raise ValueError(f"table export: expected a table and a file (.parquet or .csv), got {len(given)} arguments.")
    out = Path(given[1])
    check_format(out)
    for path in export(tables.load(table_card.find(given[0], {})), out):
        print(path)
    return 0


def check_format(out: Path) -> None:
    """Refuse a file of another format, or one that nothing here can write.

    Raises:
        ValueError: With the command that installs what is missing.
    """
    if out.suffix not in FORMATS:
        raise ValueError(f"table export: expected a file ending in {' or '.join(FORMATS)}, got {out.name!r}.")
    if out.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ValueError("table export: .parquet needs pyarrow: pip install 'archgym[tables]' (.csv needs nothing).")


def export(table: Table, out: Path) -> list[Path]:
    """Write a table: each file wholly or not at all.

    Args:
        table: What is written.
        out: A file ending in `.parquet` or `.csv`. The scores of supernets go to a second one beside it.

    Returns:
        What was written.

    Raises:
        ValueError: If the format is another, pyarrow is missing, or a choice is called like one of the columns.
        OSError: If the disk is full; a file that was there stays as it is.
    """
    check_format(out)
    if taken := sorted({choice.name for choice in table.space.choices} & OWN):
        raise ValueError(
            f"table export: expected choices that are not called like columns of their own, got {', '.join(taken)}."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    contents = {out: windows_of(table)}
    if table.supernet is not None:
        contents[out.with_name(f"{out.stem}-supernet{out.suffix}")] = supernets_of(table)
    for path, columns in contents.items():
        half = path.with_name(f"{path.name}{HALF}")
        try:
            if out.suffix == ".parquet":
                _write_parquet(half, columns, table.card.text())
            else:
                _write_csv(half, columns)
            half.replace(path)
        except OSError:
            half.unlink(missing_ok=True)
            raise
    return list(contents)


def windows_of(table: Table) -> Columns:
    """Give the record as columns, in order of architecture, seed and window.

    `seed` counts the search seeds from 0 and goes on with the test seeds (`side`), as `Table.query` does; `lifetime` is
    the seed that the training had. `evaluation` is empty where no greedy episodes were played, and so is an option
    that does not matter.
    """
    card, shape = table.card, (len(table.architectures), len(table.card.seeds), table.windows)
    rows, seeds, windows = (axis.ravel() for axis in np.indices(shape))
    sides = np.where(np.arange(shape[1]) < card.search_seeds, "search", "test")
    evaluations = np.full(shape, np.nan)
    evaluations[:, :, np.array(card.ages, dtype=np.int64) - 1] = table.evaluations
    return {
        **_architectures(table, rows),
        "seed": seeds.tolist(),
        "side": sides[seeds].tolist(),
        "lifetime": np.array(card.seeds)[seeds].tolist(),
        "window": (windows + 1).tolist(),
        "normalised_return": table.normalised.ravel().tolist(),
        **{name: table.columns[name].ravel().tolist() for name in COLUMNS},
        "evaluation": [None if np.isnan(value) else value for value in evaluations.ravel().tolist()],
    }


def supernets_of(table: Table) -> Columns:
    """Give the shared-weight scores as columns: mean returns of greedy episodes."""
    assert table.supernet is not None
    ages = np.array(table.card.supernet["ages"])
    seeds, places, rows = (axis.ravel() for axis in np.indices(table.supernet.shape))
    return {
        **_architectures(table, rows),
        "seed": seeds.tolist(),
        "lifetime": np.array(table.card.supernet["seeds"])[seeds].tolist(),
        "window": ages[places].tolist(),
        "evaluation": table.supernet.ravel().tolist(),
    }


def _architectures(table: Table, rows: NDArray[np.intp]) -> Columns:
    """Describe the architecture of every row: its line, its options by choice, and its size."""
    space = table.space
    options: list[Mapping[str, Any]] = [space.describe(one) for one in table.architectures]
    labels = [space.label(one) for one in table.architectures]
    numbers = rows.tolist()
    return {
        "architecture": [labels[row] for row in numbers],
        **{choice.name: [options[row].get(choice.name) for row in numbers] for choice in space.choices},
        "parameters": table.sizes[rows, 0].tolist(),
        "flops": table.sizes[rows, 1].tolist(),
    }


def _write_csv(path: Path, columns: Columns) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _write_parquet(path: Path, columns: Columns, card: str) -> None:
    """Write Parquet; the data card goes with it as metadata, under `archgym`."""
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(columns).replace_schema_metadata({"archgym": card}), path)
