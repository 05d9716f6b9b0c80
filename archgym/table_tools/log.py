"""The work log of a table that is being built: SQLite, shared by any number of processes on one machine.

A cell is one architecture trained on one seed; a supernet cell is one seed of shared-weight scores. Processes claim
batches of cells, seeds of one architecture, train them, and hand them in; a batch is handed in whole or not at all.
Every process holds a lock on one byte of a file beside the log for as long as it lives, so that the claims of one that
was killed are seen and freed.
"""

import fcntl
import json
import math
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

WAIT_SECONDS = 60.0  # for another process to finish writing
SUPERNET = -1  # architecture number of cells that hold shared-weight scores
Cell = tuple[int, int]  # numbers of the architecture and the seed

TABLES = """
CREATE TABLE IF NOT EXISTS plan (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS worker (number INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE TABLE IF NOT EXISTS computed (value TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS cell (
    architecture INTEGER, seed INTEGER, worker INTEGER, record TEXT, ended REAL, PRIMARY KEY (architecture, seed)
) WITHOUT ROWID;
"""


COLUMNS = {  # of these tables; a file with others is not ours
    "plan": ["name", "value"],
    "worker": ["number"],
    "computed": ["value"],
    "cell": ["architecture", "seed", "worker", "record", "ended"],
}
_open: set[Path] = set()  # a process loses all its locks on a file when it closes the file once


class Log:
    """An open work log; a context manager. A process opens a log once.

    Args:
        path: The file; made if it is not there.
        plan: What is built, all of it as when the log was made.
        usual: What stands for names that a log lacks which an older archgym has made, by name of the plan.

    Raises:
        ValueError: If the log is another table's, or no log, or open in this process already.
        OSError: If it cannot be written.
    """

    def __init__(self, path: Path, plan: Mapping[str, Any], usual: Mapping[str, Mapping[str, Any]]) -> None:
        self.path, self._key, self._locks = path, path.resolve(), -1
        if self._key in _open:
            raise ValueError(f"log: {path} is open in this process already; several processes may share a log.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._refusing():
            self._connection = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
        _open.add(self._key)
        try:
            self._check_kind()
            self._locks = os.open(path.with_name(f"{path.name}.locks"), os.O_RDWR | os.O_CREAT, 0o644)
            with self._refusing():
                self._connection.execute("PRAGMA journal_mode = WAL")  # who reads does not wait for who writes
            with self.alone():
                for command in TABLES.strip().split(";\n"):
                    self._connection.execute(command.rstrip(";\n "))
                self._settle(plan, usual)
                self.worker = self._register()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the log; cells that this process has claimed and not handed in become free."""
        self._connection.close()
        if self._locks >= 0:
            os.close(self._locks)
            self._locks = -1
        _open.discard(self._key)

    def want(self, cells: Sequence[Cell]) -> None:
        """Put down cells that are to be trained; those that are there stay as they are."""
        with self.alone():
            self._connection.executemany("INSERT OR IGNORE INTO cell (architecture, seed) VALUES (?, ?)", cells)

    def claim(self, cells: Sequence[Cell], count: int) -> list[Cell]:
        """Claim a batch of those of these cells that nobody works on: seeds of the first architecture among them.

        Args:
            cells: What may be claimed, in order; the log may hold others, which a builder with more seeds or
                architectures wants.
            count: How many at most. What is free of an architecture makes batches as even as can be: 10 seeds with
                `count=8` are claimed as 5 and 5.
        """
        query = "SELECT architecture, seed FROM cell WHERE record IS NULL AND worker IS NULL"
        with self.alone():
            self._free_the_dead()
            free = set(self._connection.execute(query))
            wanted = [cell for cell in cells if cell in free]
            seeds = [cell for cell in wanted if cell[0] == wanted[0][0]]
            batches = max(1, math.ceil(len(seeds) / count))
            batch = seeds[: math.ceil(len(seeds) / batches)]
            own = [(self.worker, *cell) for cell in batch]
            self._connection.executemany("UPDATE cell SET worker = ? WHERE architecture = ? AND seed = ?", own)
        return batch

    def hand_in(self, records: Mapping[Cell, Any]) -> None:
        """Write down what cells came to, all of them or, if this fails, none."""
        now = time.time()
        rows = [(json.dumps(record), now, *cell) for cell, record in records.items()]
        with self.alone():
            self._connection.executemany(
                "UPDATE cell SET record = ?, ended = ?, worker = NULL WHERE architecture = ? AND seed = ?", rows
            )

    def put(self, records: Mapping[Cell, Any]) -> int:
        """Write down cells from elsewhere, as if they had been trained; those that are done stay as they are.

        Returns:
            How many were not done.
        """
        rows = [(*cell, json.dumps(record)) for cell, record in records.items()]
        store = (
            "INSERT INTO cell (architecture, seed, record) VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
            "SET record = excluded.record, worker = NULL WHERE record IS NULL"
        )
        with self.alone():
            return sum(self._connection.execute(store, row).rowcount for row in rows)

    def note(self, computed: Mapping[str, str]) -> None:
        """Put down with what rows were computed, once for all that are the same."""
        with self.alone():
            self._connection.execute("INSERT OR IGNORE INTO computed VALUES (?)", (json.dumps(dict(computed)),))

    def noted(self) -> list[dict[str, str]]:
        """List with what rows were computed."""
        return [json.loads(value) for (value,) in self._read("SELECT value FROM computed ORDER BY rowid")]

    def records(self, cells: Sequence[Cell]) -> dict[Cell, Any]:
        """Read what those of these cells came to that are done."""
        wanted = set(cells)
        rows = self._read("SELECT architecture, seed, record FROM cell WHERE record IS NOT NULL")
        return {(a, s): json.loads(record) for a, s, record in rows if (a, s) in wanted}

    def ended(self, cells: Sequence[Cell], since: float = 0.0) -> list[Cell]:
        """List those of these cells that were handed in since then (as `time.time`), by any process."""
        wanted = set(cells)
        rows = self._read("SELECT architecture, seed FROM cell WHERE ended >= ?", (since,))
        return [cell for cell in rows if cell in wanted]

    def done(self) -> set[Cell]:
        """Give the cells that are done."""
        return set(self._read("SELECT architecture, seed FROM cell WHERE record IS NOT NULL"))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the log for writing, which nobody else can do meanwhile; undo everything if something goes wrong."""
        with self._refusing():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _read(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._refusing():
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Say what is wrong with the file in a sentence."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # a fault of archgym
        except sqlite3.OperationalError as error:
            reason = f"cannot use the work log ({error}); what was handed in stays in it"
            raise OSError(None, reason, str(self.path)) from error
        except sqlite3.DatabaseError as error:
            raise ValueError(f"log: {self.path} is no work log of a table, or damaged ({error}).") from error

    def _check_kind(self) -> None:
        """Refuse somebody else's database before anything is written to it."""
        names = [name for (name,) in self._read("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite%'")]
        for name in names:
            columns = [row[1] for row in self._read(f"PRAGMA table_info('{name}')")] if name in COLUMNS else []
            if columns != COLUMNS.get(name):
                raise ValueError(f"log: {self.path} is no work log of a table, but a database with {name!r} in it.")

    def _settle(self, plan: Mapping[str, Any], usual: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the plan down, or compare it with the one that is there."""
        known = {name: json.loads(value) for name, value in self._read("SELECT name, value FROM plan")}
        given = json.loads(json.dumps(dict(plan)))
        if odd := differing({n: {**usual[n], **v} if n in usual else v for n, v in known.items()}, given):
            raise ValueError(f"log: {self.path} was made with {odd}. Another table needs another log (--log).")
        rows = [(name, json.dumps(value)) for name, value in given.items()]
        self._connection.executemany("INSERT OR REPLACE INTO plan VALUES (?, ?)", rows)

    def _register(self) -> int:
        """Take a number of its own, and lock its byte."""
        number = int(self._connection.execute("INSERT INTO worker DEFAULT VALUES").lastrowid or 0)
        fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        return number

    def _free_the_dead(self) -> None:
        """Free what is claimed by processes that are gone."""
        query = "SELECT DISTINCT worker FROM cell WHERE worker != ?"
        for (number,) in self._connection.execute(query, (self.worker,)).fetchall():
            try:
                fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            except OSError:
                continue  # alive
            self._connection.execute("UPDATE cell SET worker = NULL WHERE worker = ?", (number,))
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, number)


def planned(path: Path, name: str) -> Any:
    """Read one thing that a log was made with; None if it is not there, or no log (which `Log` refuses)."""
    if not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(path, timeout=WAIT_SECONDS)) as connection:
            found = connection.execute("SELECT value FROM plan WHERE name = ?", (name,)).fetchone()
    except sqlite3.DatabaseError:
        return None
    return None if found is None else json.loads(found[0])


def differing(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Name the values that are not what they were, those of a mapping within a mapping one by one; "" if none."""
    found = []
    for name, value in was.items():
        other = now.get(name)
        if isinstance(value, dict) and isinstance(other, dict):
            found.append(differing({**dict.fromkeys(other), **value}, other))
        elif value != other:
            found.append(f"{name}={value!r} (now {other!r})")
    return ", ".join(filter(None, found))
