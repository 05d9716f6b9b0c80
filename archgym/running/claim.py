"""The folder of a comparison or a study while it is worked in: locked, and with its plan written down."""

import fcntl
from pathlib import Path
from typing import Any

from archgym.files import read_json, write_json

FILE = "plan.json"  # of a folder that is held
SEARCH = ("config.json", "journal.jsonl")  # either is that of a search
MISSING = object()  # what a plan of another version lacks, which differs from None


class Claim:
    """Hold a folder for one process.

    Args:
        folder: Where; made if it is not there.
        plan: What is done in it: `args`, `arms` and the name of the `study` if it is one, which a resume must not
            change, and more for its readers.
        resume: Whether to go on with what is there.
        kind: What is done in it, for the sentences.

    Raises:
        ValueError: If it holds something and `resume` is not asked for, if there is nothing to resume or something
            else, if it holds a search, or if another process is at work in it.
    """

    def __init__(self, folder: Path, plan: dict[str, Any], *, resume: bool, kind: str = "comparison") -> None:
        path = folder / FILE
        recorded = read_json(path)
        if recorded is not None and not resume:
            raise ValueError(f"{folder} holds a {kind} already: go on with it (--resume), or choose another.")
        if recorded is None and any((folder / name).exists() for name in SEARCH):
            raise ValueError(f"{folder} holds a search: choose another folder (--out).")
        if recorded is None and resume:
            raise ValueError(f"--resume: expected a {kind} in {folder}, found none.")
        if recorded is not None:
            held, wanted = (one.get("study", "a comparison") for one in (recorded, plan))
            if held != wanted:
                raise ValueError(f"--resume: {folder} holds {_called(held)}, not {_called(wanted)}.")
            for name in ("args", "arms"):  # in this order: arms differ where an argument does
                if recorded[name] != plan[name]:
                    was, now = _difference(recorded[name], plan[name])
                    raise ValueError(f"--resume: expected the {name} that {folder} was made with: {was}; got {now}.")
        folder.mkdir(parents=True, exist_ok=True)
        self.file = (folder / "lock").open("w")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.close()
            raise ValueError(f"{folder}: another {kind} is being written there.") from None
        if not path.exists():
            write_json(path, plan)

    def __enter__(self) -> None:
        """Hold the folder."""

    def __exit__(self, *error: object) -> None:
        self.file.close()


def _called(kind: str) -> str:
    return kind if kind == "a comparison" else f"the study {kind!r}"


def _difference(was: Any, now: Any) -> tuple[str, str]:
    """Name what differs between two plans."""
    if isinstance(was, dict):
        name = next(name for name in {**was, **now} if was.get(name, MISSING) != now.get(name, MISSING))
        return f"{name} {was[name]!r}" if name in was else f"no {name}", repr(now[name]) if name in now else "none"
    return ", ".join(was), ", ".join(now)
