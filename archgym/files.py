"""Files of the folders that archgym works in: written wholly or not at all, and read with a sentence if damaged."""

import json
import os
from pathlib import Path
from typing import Any


def share(path: Path) -> None:
    """Give a file the rights of any new file: safetensors writes for its owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def stem(name: str) -> str:
    """Write the name of a task or a space so that files can be called by it."""
    return name.replace(":", "_").replace("/", "_")


def write(path: Path, content: bytes) -> Path:
    """Write a file so that it is always whole; gives its path."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_bytes(content)
    return temporary.replace(path)


def write_json(path: Path, content: object) -> None:
    """Write a JSON file so that it is always whole."""
    write(path, f"{json.dumps(content, indent=2)}\n".encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None if there is no file.

    Raises:
        ValueError: If it is damaged.
    """
    if not path.exists():
        return None
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: expected JSON, found none ({error}).") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: expected a JSON object, found {type(value).__name__}.")
    return value
