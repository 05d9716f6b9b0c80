"""Checkpoints of an evaluator: one safetensors file, replaced atomically; nothing is ever unpickled."""

import errno
import json
import os
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.evaluator import State
from archgym.files import share


@dataclass(frozen=True)
class Place:
    """Where in its journal a checkpoint was taken."""

    rows: int
    """Journal rows that lead to it."""
    check: int
    """Checksum of the journal behind these rows."""
    first: int | None
    """Checksum behind the first of them; None: not told, as by an older archgym."""


def save(path: Path, state: State, rows: int, check: int, first: int | None = None) -> None:
    """Write a state, so that the file at `path` is always whole.

    Args:
        path: The file.
        state: What to save.
        rows: Journal rows that lead to it.
        check: Checksum of the journal behind these rows.
        first: Checksum behind the first of them, which tells journals apart that are shorter than `rows`.

    Raises:
        OSError: If there is no room for it; what was at `path` is still there.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    folder = path.with_suffix(".tmp")  # safetensors writes to another file first; what is killed leaves all of it here
    shutil.rmtree(folder, ignore_errors=True)
    temporary = folder / path.name
    meta = {"state": json.dumps(state.meta), "rows": str(rows), "check": str(check)}
    meta |= {} if first is None else {"first": str(first)}
    try:
        folder.mkdir()
        save_file(state.arrays, temporary, metadata={**meta, "content": str(_content(meta, state.arrays))})
        share(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
    except (SafetensorError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise OSError(errno.EIO, f"cannot write the checkpoint ({error})", str(path)) from error
    temporary.replace(path)
    folder.rmdir()


def place(path: Path) -> Place:
    """Tell where in its journal a checkpoint was taken.

    Raises:
        ValueError: If the file is damaged.
    """
    meta, _ = _read(path, whole=False)
    return Place(int(meta["rows"]), int(meta["check"]), int(meta["first"]) if "first" in meta else None)


def load(path: Path) -> State:
    """Read a checkpoint.

    Raises:
        ValueError: If the file is damaged.
    """
    meta, arrays = _read(path, whole=True)
    if meta["content"] != str(_content(meta, arrays)):
        raise _damaged(path, "its checksum is wrong")
    return State(json.loads(meta["state"]), arrays)


def _read(path: Path, *, whole: bool) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            meta = file.metadata() or {}
            names = file.keys() if whole else ()
            arrays = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise _damaged(path, str(error)) from error
    if not {"state", "rows", "check", "content"} <= meta.keys():
        raise _damaged(path, "it is no checkpoint")
    return meta, arrays


def _content(meta: Mapping[str, str], arrays: Mapping[str, NDArray[Any]]) -> int:
    """Sum up what the file says."""
    check = zlib.crc32("\n".join(meta[name] for name in ("state", "rows", "check", "first") if name in meta).encode())
    for name in sorted(arrays):
        check = zlib.crc32(np.ascontiguousarray(arrays[name]).data, zlib.crc32(name.encode(), check))
    return check


def _damaged(path: Path, reason: str) -> ValueError:
    return ValueError(f"checkpoint: {path} is damaged ({reason}). Delete it: the journal alone is enough.")
