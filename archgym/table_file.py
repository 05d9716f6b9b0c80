"""The two files of a recorded table: its numbers, compressed and without pickle, and its data card with their checksum.

Each is replaced at once or not at all, and what is read fits together, whoever is writing meanwhile or was killed.
"""

import io
import os
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym import table_card
from archgym.table_card import HALF, Card

# What is recorded of every window, (architectures, seeds, windows): fields of `WindowResult`, and CPU-seconds. Those of
# a batch that was trained side by side, seeds of one architecture, are shared equally among its learners. In tables
# recorded before that was so, such as those that come with archgym, batches of 8 spanned neighbouring architectures:
# single values are rough there.
COLUMNS: dict[str, type[np.generic]] = {
    "raw_return": np.float64,
    "cut_share": np.float64,
    "episodes": np.int32,
    "env_steps": np.int32,
    "gradient_steps": np.int32,
    "diverged": np.bool_,
    "loss": np.float32,
    "value": np.float32,
    "epsilon": np.float64,
    "replay_fill": np.float64,
    "seconds": np.float32,
}
LAST, MEAN, SUM, ANY = "last", "mean", "sum", "any"
# What several windows in a row are as one (`Table.merged`): its return is the area under their part of the curve.
AS_ONE = {
    **dict.fromkeys(("raw_return", "cut_share"), MEAN),
    **dict.fromkeys(("episodes", "env_steps", "gradient_steps", "seconds"), SUM),
    **dict.fromkeys(("loss", "value", "epsilon", "replay_fill"), LAST),
    "diverged": ANY,
}
READINGS = 10  # of a table and its card that do not fit: somebody may just be replacing them


@lru_cache(maxsize=16)
def read(file: Path, stamp: tuple[int, ...]) -> tuple[Card, dict[str, NDArray[Any]]]:
    """Read and verify both files; the arrays are shared and cannot be written."""
    card, numbers = _fitting(file)
    try:
        with zipfile.ZipFile(io.BytesIO(numbers)), np.load(io.BytesIO(numbers), allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"table: {file} holds no table of archgym ({error}).") from error
    if missing := sorted({"architectures", "evaluations", *COLUMNS} - set(arrays)):
        raise ValueError(f"table: {file} holds no {', '.join(missing)}: it is no table of archgym.")
    arrays["architectures"] = arrays["architectures"].astype(np.int64)
    for array in arrays.values():
        array.flags.writeable = False
    return card, arrays


def _fitting(file: Path) -> tuple[Card, bytes]:
    """Read numbers and the card that fits them.

    Who replaces a table (`write`) may do so between two reads, or be killed between its two files: the new card then
    still lies beside the old one.
    """
    half = file.with_name(f"{file.stem}.json{HALF}")
    for _ in range(READINGS):
        numbers = file.read_bytes()
        if half.exists():
            with suppress(FileNotFoundError, ValueError):  # its writer has just finished, or was killed at once
                card = table_card.parse(half.read_bytes(), half)
                if card.check_of(numbers) == card.checksum:
                    return card, numbers
        card = table_card.read(file)
        if card.check_of(numbers) == card.checksum:
            return card, numbers
    raise ValueError(f"table: {file} does not fit its data card: one of the two was altered or cut.")


def _finish(file: Path) -> None:
    """Move the card to its place that whoever was killed between the two files has left beside its numbers.

    It is the only one that fits them, and the next writer begins by writing over it.
    """
    half = file.with_name(f"{file.stem}.json{HALF}")
    with suppress(FileNotFoundError, ValueError):  # nobody was killed, or before the numbers were moved
        card = table_card.parse(half.read_bytes(), half)
        if card.check_of(file.read_bytes()) == card.checksum:
            half.replace(file.with_suffix(".json"))


def write(card: Card, arrays: Mapping[str, NDArray[Any]], path: Path) -> Card:
    """Write both files.

    Args:
        card: Without a checksum, or with that of other numbers.
        arrays: The numbers.
        path: Where they go, ending in `.npz`.

    Returns:
        The card with its checksum.

    Raises:
        OSError: If the disk is full; a table that was there stays as it is.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its options
    card = replace(card, checksum="")
    card = replace(card, checksum=card.check_of(buffer.getvalue()))
    path.parent.mkdir(parents=True, exist_ok=True)
    contents = {path: buffer.getvalue(), path.with_suffix(".json"): card.text().encode()}
    halves = {target: target.with_name(f"{target.name}{HALF}") for target in contents}
    _finish(path)
    try:
        for target, content in contents.items():
            with halves[target].open("wb") as half:
                half.write(content)
                half.flush()
                os.fsync(half.fileno())
    except OSError:
        for left in halves.values():
            left.unlink(missing_ok=True)
        raise
    for target, left in halves.items():  # the numbers first: `_fitting` finds a card that is still to be moved
        left.replace(target)
    return card
