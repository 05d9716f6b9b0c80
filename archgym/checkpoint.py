"""Checkpoints of a population: one safetensors file, replaced atomically; nothing is ever unpickled."""

import errno
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from archgym.state import State


def save(path: Path, state: "State", rows: int, check: int) -> None:
    """Write a state, so that the file at `path` is always whole.

    Args:
        path: The file.
        state: What to save.
        rows: Journal rows that lead to it.
        check: Checksum of the journal behind these rows.

    Raises:
        OSError: If there is no room for it; what was at `path` is still there.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    temporary = path.with_suffix(".tmp")
    tensors = {name: tensor.cpu().contiguous() for name, tensor in state.tensors.items()}
    meta = {"state": json.dumps(state.meta), "rows": str(rows), "check": str(check)}
    try:
        save_file(tensors, temporary, metadata={**meta, "content": str(_content(meta, tensors))})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
    except (SafetensorError, OSError) as error:
        temporary.unlink(missing_ok=True)
        raise OSError(errno.EIO, f"cannot write the checkpoint ({error})", str(path)) from error
    temporary.replace(path)


def place(path: Path) -> tuple[int, int]:
    """Tell where in its journal a checkpoint was taken.

    Returns:
        The number of journal rows that lead to it, and the journal's checksum behind them.

    Raises:
        ValueError: If the file is damaged.
    """
    meta, _ = _read(path, whole=False)
    return int(meta["rows"]), int(meta["check"])


def load(path: Path) -> "State":
    """Read a checkpoint.

    Raises:
        ValueError: If the file is damaged.
    """
    from archgym.state import State

    meta, tensors = _read(path, whole=True)
    if meta["content"] != str(_content(meta, tensors)):
        raise _damaged(path, "its checksum is wrong")
    return State(json.loads(meta["state"]), tensors)


def _read(path: Path, *, whole: bool) -> "tuple[dict[str, str], dict[str, Tensor]]":
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            names = file.keys() if whole else ()
            tensors = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise _damaged(path, str(error)) from error
    if not {"state", "rows", "check", "content"} <= meta.keys():
        raise _damaged(path, "it is no checkpoint")
    return meta, tensors


def _content(meta: "Mapping[str, str]", tensors: "Mapping[str, Tensor]") -> int:
    """Sum up what the file says."""
    check = zlib.crc32("\n".join(meta[name] for name in ("state", "rows", "check")).encode())
    for name in sorted(tensors):
        check = zlib.crc32(tensors[name].numpy().tobytes(), zlib.crc32(name.encode(), check))
    return check


def _damaged(path: Path, reason: str) -> ValueError:
    return ValueError(f"checkpoint: {path} is damaged ({reason}). Delete it: the journal alone is enough.")
