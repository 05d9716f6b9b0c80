"""Checkpoints of a population: one safetensors file, replaced atomically; nothing is ever unpickled."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archgym.population import State


def save(path: Path, state: "State", rows: int, check: int) -> None:
    """Write a state, so that the file at `path` is always whole.

    Args:
        path: The file.
        state: What to save.
        rows: Journal rows that lead to it.
        check: Checksum of the journal behind these rows.
    """
    from safetensors.torch import save_file

    temporary = path.with_suffix(".tmp")
    meta = {"state": json.dumps(state.meta), "rows": str(rows), "check": str(check)}
    save_file({name: tensor.cpu().contiguous() for name, tensor in state.tensors.items()}, temporary, metadata=meta)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def load(path: Path) -> tuple["State", int, int]:
    """Read a checkpoint.

    Returns:
        The state, the number of journal rows that lead to it, and the journal's checksum behind them.

    Raises:
        ValueError: If the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    from archgym.population import State

    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except SafetensorError as error:
        raise ValueError(f"checkpoint: {path} is damaged ({error}). Delete it: the journal alone is enough.") from error
    return State(json.loads(meta["state"]), tensors), int(meta["rows"]), int(meta["check"])
