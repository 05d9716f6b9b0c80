"""The append-only record of one search; it stands between the views and the evaluator and sees every agent alike.

One JSON line per call that changes or asks the evaluator, with inputs and results as numbers and a checksum chained
over all lines before it; the first line says with what settings, and who computes. Where somebody else goes on, a line
`computed` says so before the first call that they computed.

Resuming re-runs the agent from its seed: calls are answered from the record until it is used up, then the evaluator is
brought to that point (from the last checkpoint; later windows are trained again and must give the recorded results) and
the search goes on. Where inner environments are kept alive between windows there is no
checkpoint, for nobody can copy them: all windows are trained again.
"""

import fcntl
import json
import os
import time
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from archgym import checkpoint
from archgym.evaluator import Evaluator, State
from archgym.provenance import processor, versions
from archgym.search_space import Architecture
from archgym.window import WindowResult

if TYPE_CHECKING:
    from torch import Tensor


SCHEMA = 1
PREFIX = len(b'{"check": "00000000", ')  # of every line; the row follows
CHECKPOINT_SECONDS = 30.0
NO_DIFFERENCE = ("learner", "threads")  # settings that a resume may change; who learns is compared as the machine is
COMPUTED = "computed"  # the call of a line that says who computes from there on
REFUSABLE = ("evaluate", "fork")  # calls that raise a ValueError only before they have changed anything
COLUMNS = tuple(item.name for item in fields(WindowResult))
T = TypeVar("T")


class Journal:
    """An evaluator whose calls are recorded; it offers the evaluator's own methods.

    Args:
        evaluator: What is recorded.
        path: The file; its folder must exist.
        settings: What makes the search the same search; a resume must bring the same.
        resume: Whether to go on with an existing record.

    Raises:
        ValueError: If the file is there and `resume` is not asked for, if there is nothing to resume, if it was made
            with other settings, or if a line was altered.
        OSError: If the file cannot be written.
    """

    def __init__(self, evaluator: Evaluator, path: Path, settings: dict[str, Any], resume: bool) -> None:
        self.evaluator, self.path = evaluator, path
        self.problem, self.members = evaluator.problem, evaluator.members
        self.trains, self.learner = evaluator.trains, evaluator.learner
        self.checkpoint_path = checkpoint_of(path)
        self.rows: list[dict[str, Any]] = []  # one for each call
        self.cursor = 0  # calls made so far; below len(rows) while the record answers
        self.live = not resume  # whether the evaluator stands where the cursor does
        self._computed = {"processor": processor(), "learner": self.learner, "versions": versions()}
        self._others: list[bool] = []  # by row: whether somebody else computed it
        self._elsewhere = False  # whether the last line that says who computes names somebody else
        self._check = 0  # checksum behind the last line
        self._checks: list[int] = []  # checksum behind the header, and behind each row
        self._saved_at, self._saved_rows = time.monotonic(), 0
        self._returned = time.perf_counter()
        header = {"schema": SCHEMA, "settings": json.loads(json.dumps(settings)), **self._computed}
        begun = path.exists() and path.stat().st_size > 0
        if resume and not begun:
            raise ValueError(f"resume: expected a journal in {path.parent}, found none. Start without --resume.")
        if begun and not resume:
            raise ValueError(
                f"journal: {path} is already there; resume it (--resume, resume=True), or choose another place."
            )
        self._file = path.open("ab", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # before reading: a line may be half-written
            if resume:
                self._load(header)
            else:
                self.checkpoint_path.unlink(missing_ok=True)
                self._append({"call": "header", **header})
                self._checks.append(self._check)
        except BlockingIOError:
            self._file.close()
            raise ValueError(f"journal: {path} is being written by another process or environment.") from None
        except (OSError, ValueError):
            self._file.close()
            raise

    @property
    def timings(self) -> dict[str, float]:
        """Seconds spent so far, by phase."""
        return self.evaluator.timings

    def check_seeds(self, seeds: Sequence[int]) -> None:
        """Do `Evaluator.check_seeds`; nothing is recorded."""
        self.evaluator.check_seeds(seeds)

    def reset(self, seeds: Sequence[int], members: Sequence[int] | None = None) -> None:
        """Record and do `Evaluator.reset`."""
        seeds, chosen = [int(seed) for seed in seeds], self._members(members)
        self._call({"call": "reset", "seeds": seeds, "members": chosen}, lambda: self.evaluator.reset(seeds, chosen))

    def train_window(
        self, architectures: NDArray[np.int64], members: Sequence[int] | None = None
    ) -> list[WindowResult]:
        """Record and do `Evaluator.train_window`."""
        chosen = self._members(members)
        inputs = {"call": "train_window", "members": chosen, "action": np.asarray(architectures).tolist()}

        def train() -> dict[str, Any]:
            results = [asdict(result) for result in self.evaluator.train_window(architectures, chosen)]
            return {name: [result[name] for result in results] for name in COLUMNS if name != "action"}

        row = self._call(inputs, train)
        self._maybe_checkpoint()
        return [WindowResult(**{name: row[name][index] for name in COLUMNS}) for index in range(len(chosen))]

    def evaluate(
        self, architectures: NDArray[np.int64], members: Sequence[int], episodes: int | Sequence[int]
    ) -> tuple[NDArray[np.float64], list[int]]:
        """Record and do `Evaluator.evaluate`."""
        inputs = {"call": "evaluate", "members": self._members(members), "action": np.asarray(architectures).tolist()}

        def play() -> dict[str, Any]:
            returns, steps = self.evaluator.evaluate(architectures, members, episodes)
            return {"raw_return": returns.tolist(), "env_steps": steps}

        row = self._call({**inputs, "episodes": episodes}, play)
        return np.array(row["raw_return"]), row["env_steps"]

    def fork(self, source: int, target: int, architecture: Architecture | None = None) -> None:
        """Record and do `Evaluator.fork`."""
        action = None if architecture is None else architecture.tolist()
        inputs = {"call": "fork", "source": int(source), "target": int(target), "action": action}
        self._call(inputs, lambda: self.evaluator.fork(source, target, architecture))

    def get_state(self) -> State:
        """Copy the evaluator's state; it remembers its place in this record."""
        self._go_live()
        state = self.evaluator.get_state()
        state.meta["journal"] = {"rows": self.cursor, "path": str(self.path)}
        return state

    def set_state(self, state: State) -> None:
        """Record and do `Evaluator.set_state`.

        Raises:
            ValueError: If the state was not taken from this record: it could not be resumed.
        """
        place = state.meta.get("journal", {})
        if place.get("path") != str(self.path):
            raise ValueError(
                "set_state: expected a state that this journal's own get_state gave; a foreign one cannot "
                "be replayed. Make the environment without a journal."
            )
        self._call({"call": "set_state", "rows": place["rows"]}, lambda: self.evaluator.set_state(state))

    def weights(self, member: int, architecture: Architecture) -> "dict[str, Tensor]":
        """Do `Evaluator.weights`."""
        self._go_live()
        return self.evaluator.weights(member, architecture)

    def best(self) -> Architecture:
        """Do `Evaluator.best`."""
        return self.evaluator.best()

    def regret(self, architecture: Architecture) -> float:
        """Do `Evaluator.regret`."""
        return self.evaluator.regret(architecture)

    def close(self) -> None:
        """Write a last checkpoint if windows were trained since the one before; close the file and the evaluator."""
        if self._file.closed:
            return
        try:
            if self.live and self._saved_rows < self.cursor == len(self.rows):  # else one further on may be there
                self._checkpoint()
        finally:
            self._file.close()
            self.evaluator.close()

    def _members(self, members: Sequence[int] | None) -> list[int]:
        return list(range(self.evaluator.members)) if members is None else [int(member) for member in members]

    def _call(self, inputs: dict[str, Any], execute: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
        """Answer a call from the record, or do it and record it."""
        if self._file.closed:
            raise ValueError(f"{inputs['call']}: expected an open journal, got {self.path} after it was closed.")
        past = self.cursor < len(self.rows)
        if past:
            self._expect(self.rows[self.cursor], inputs)
        if self.live or not past:
            self._go_live()
            agent, before = time.perf_counter() - self._returned, self.timings
            self.live = False  # what breaks off from here on leaves an evaluator between two calls: `_go_live` mends it
            try:
                outcome = execute() or {}
            except ValueError:
                self.live = inputs["call"] in REFUSABLE
                raise
            if past:
                self._compare(self.cursor, outcome)
            else:
                seconds = {name: round(value - before[name], 6) for name, value in self.timings.items()}
                self._record({**inputs, **outcome, "seconds": {**seconds, "agent": round(agent, 6)}})
            self.live = True
        self.cursor += 1
        self._returned = time.perf_counter()
        return self.rows[self.cursor - 1]

    def _expect(self, recorded: dict[str, Any], inputs: dict[str, Any]) -> None:
        for name, value in inputs.items():
            if recorded.get(name) != value:
                raise ValueError(
                    f"resume: call {self.cursor} of the agent is {name}={value!r}, but the journal holds "
                    f"{recorded.get(name)!r}. The agent must repeat its decisions: seed it, and keep its settings."
                )

    def _go_live(self) -> None:
        """Bring the evaluator to the cursor: from the last checkpoint, or from the beginning."""
        if self.live:
            return
        start = 0
        states: dict[int, State] = {}
        jumps = {place: row["rows"] for place, row in enumerate(self.rows[: self.cursor]) if row["call"] == "set_state"}
        if self.checkpoint_path.exists():
            at = checkpoint.place(self.checkpoint_path)
            saved, reached = at.rows, at.rows <= self.cursor and self._checks[at.rows] == at.check
            if reached and all(back >= saved for place, back in jumps.items() if place >= saved):
                self.evaluator.set_state(checkpoint.load(self.checkpoint_path))
                start = saved
        for place in range(start, self.cursor):
            if place in jumps.values():
                states[place] = self.evaluator.get_state()
            self._compare(place, self._again(self.rows[place], states))
        self.live, self._saved_rows = True, start

    def _again(self, row: dict[str, Any], states: "dict[int, State]") -> dict[str, Any]:
        """Repeat a recorded call on the evaluator."""
        if row["call"] == "reset":
            self.evaluator.reset(row["seeds"], row["members"])
        elif row["call"] == "train_window":
            action = np.array(row["action"], dtype=np.int64)
            results = [asdict(result) for result in self.evaluator.train_window(action, row["members"])]
            return {name: [result[name] for result in results] for name in COLUMNS}
        elif row["call"] == "evaluate":
            action = np.array(row["action"], dtype=np.int64)
            returns, steps = self.evaluator.evaluate(action, row["members"], row["episodes"])
            return {"raw_return": returns.tolist(), "env_steps": steps}
        elif row["call"] == "fork":
            own = row.get("action")
            self.evaluator.fork(row["source"], row["target"], None if own is None else np.array(own, dtype=np.int64))
        elif row["call"] == "set_state":
            self.evaluator.set_state(states[row["rows"]])
        return {}

    def _compare(self, place: int, outcome: dict[str, Any]) -> None:
        """Refuse what differs from a row that was computed just so; warn of what somebody else computed."""
        recorded = self.rows[place]
        different = next((name for name, value in outcome.items() if recorded[name] != value), None)
        if different is None:
            return
        if not self._others[place]:
            raise ValueError(
                f"resume: a window trained again gave {different}={outcome[different]!r}, but the journal holds "
                f"{recorded[different]!r}. The journal or the checkpoint was altered."
            )
        warnings.warn(
            f"resume: windows trained again differ from {self.path}, as they may on another machine; the search goes "
            "on from here.",
            stacklevel=2,
        )

    def _record(self, row: dict[str, Any]) -> None:
        """Write down a call; before it who computes, where the last line that says so names somebody else."""
        if self._elsewhere:
            self._append({"call": COMPUTED, **self._computed})
            self._elsewhere = False
        self._append(row)
        self.rows.append(row)
        self._others.append(False)
        self._checks.append(self._check)

    def _append(self, row: dict[str, Any]) -> None:
        """Write one line whole, or leave the file as it was."""
        body = json.dumps(row, allow_nan=False)
        check = zlib.crc32(body.encode(), self._check)
        rest = memoryview(f'{{"check": "{check:08x}", {body[1:]}\n'.encode())
        size = os.fstat(self._file.fileno()).st_size
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            os.ftruncate(self._file.fileno(), size)
            reason = f"cannot write the journal ({error.strerror}); it is intact up to here"
            raise OSError(error.errno, reason, str(self.path)) from error
        self._check = check

    def _load(self, header: dict[str, Any]) -> None:
        """Read and verify an existing record and its checkpoint; a half-written last line is dropped."""
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        found, checks = read_rows(data[:whole], self.path)
        if not found:
            raise ValueError(f"resume: {self.path} holds no whole line. Start in another folder, without --resume.")
        recorded = found[0]
        for name, value in header["settings"].items():
            if name not in NO_DIFFERENCE and recorded["settings"].get(name) != value:
                raise ValueError(
                    f"resume: expected the settings that {self.path} was made with; {name} was "
                    f"{recorded['settings'].get(name)!r} and is now {value!r}."
                )
        now, others = _who(header), list[dict[str, str]]()
        for row, check in zip(found, checks, strict=True):
            call = row.get("call")
            if call in ("header", COMPUTED):
                was = _who(row)
                self._elsewhere = any(was.get(name) != value for name, value in now.items())
                others += [was] * self._elsewhere
            else:
                self.rows.append(row)
                self._others.append(self._elsewhere)
            if call != COMPUTED:
                self._checks.append(check)
        self._check = checks[-1]
        self._check_checkpoint()
        if whole < len(data):
            warnings.warn(f"resume: dropped a half-written last line of {self.path}.", stacklevel=3)
            os.truncate(self.path, whole)
        changes = []
        for name, value in now.items():
            theirs = dict.fromkeys(str(was.get(name)) for was in others if was.get(name) != value)
            changes += [f"{name} {', '.join(theirs)} (now {value})"] if theirs else []
        if changes:
            warnings.warn(
                f"resume: {self.path} was made with {', '.join(changes)}; windows trained again may differ.",
                stacklevel=3,
            )

    def _check_checkpoint(self) -> None:
        """Refuse the checkpoint of another journal; warn of one that is ahead, which is not used."""
        if not self.checkpoint_path.exists():
            return
        at = checkpoint.place(self.checkpoint_path)
        ahead = at.rows >= len(self._checks)
        if ahead:
            foreign = at.first is not None and len(self._checks) > 1 and self._checks[1] != at.first
        else:
            foreign = self._checks[at.rows] != at.check
        if foreign:
            raise ValueError(f"resume: {self.checkpoint_path} does not belong to {self.path}: one was altered or cut.")
        if ahead:
            warnings.warn(
                f"resume: {self.checkpoint_path} is ahead of {self.path}, as a loss of power may leave it; it is not "
                "used, and windows are trained again.",
                stacklevel=4,
            )

    def _maybe_checkpoint(self) -> None:
        if self.live and time.monotonic() - self._saved_at >= CHECKPOINT_SECONDS and self.cursor == len(self.rows):
            self._checkpoint()

    def _checkpoint(self) -> None:
        if self.problem.carries:
            return
        os.fsync(self._file.fileno())  # a checkpoint is never to be on the disk before the rows that lead to it
        state, check, first = self.evaluator.get_state(), self._checks[self.cursor], self._checks[1]
        checkpoint.save(self.checkpoint_path, state, self.cursor, check, first)
        self._saved_at, self._saved_rows = time.monotonic(), self.cursor


def checkpoint_of(journal: Path) -> Path:
    """Tell where the checkpoint of a journal lies: beside it, another one for every name."""
    if journal.suffix == ".jsonl":
        return journal.with_suffix(".checkpoint.safetensors")
    return journal.with_name(f"{journal.name}-checkpoint.safetensors")  # no name with .jsonl leads to this one


def _who(row: dict[str, Any]) -> dict[str, str]:
    """Read by name who computes, as the header and lines `computed` tell it."""
    return {"processor": row["processor"], "learner": row["learner"], **row["versions"]}


def read_rows(data: bytes, path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """Parse whole lines and verify their chained checksums.

    Returns:
        The rows, the header first, and the checksum behind each.

    Raises:
        ValueError: If a line is not what was written.
    """
    rows: list[dict[str, Any]] = []
    checks: list[int] = []
    check = 0
    for number, line in enumerate(data.splitlines(), start=1):
        prefix, body = line[:PREFIX], b"{" + line[PREFIX:]
        check = zlib.crc32(body, check)
        if prefix != f'{{"check": "{check:08x}", '.encode():
            raise ValueError(f"journal: line {number} of {path} was altered, or a line before it is missing.")
        rows.append(json.loads(body))
        checks.append(check)
    if rows and rows[0].get("schema") != SCHEMA:
        raise ValueError(f"journal: expected schema {SCHEMA}, got {rows[0].get('schema')!r} in {path}.")
    return rows, checks
