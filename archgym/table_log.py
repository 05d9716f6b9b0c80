"""The work log of a table that is being built: SQLite, shared by any number of processes on one machine.

A cell is one architecture trained on one seed; a supernet cell is one seed of shared-weight scores. Processes claim
batches of cells, train them, and hand them in; a batch is handed in whole or not at all. Every process holds a lock on
one byte of a file beside the log for as long as it lives, so that the claims of one that was killed are seen and freed.
"""

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WAIT_SECONDS = 60.0  # for another process to finish writing
SUPERNET = -1  # architecture number of cells that hold shared-weight scores
Cell = tuple[int, int]  # numbers of the architecture and the seed

TABLES = """
CREATE TABLE IF NOT EXISTS plan (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS worker (number INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE TABLE IF NOT EXISTS cell (
    architecture INTEGER, seed INTEGER, worker INTEGER, record TEXT, ended REAL, PRIMARY KEY (architecture, seed)
) WITHOUT ROWID;
"""


class Log:
    """An open work log; a context manager.

    Args:
        path: The file; made if it is not there.
        plan: What is built. All of it must be what the log was made with, but what stands in `grows`.
        grows: Names in the plan that may differ: a table can get more seeds or architectures.

    Raises:
        ValueError: If the log is another table's, or no log.
        OSError: If it cannot be written.
    """

    def __init__(self, path: Path, plan: Mapping[str, Any], grows: Sequence[str] = ()) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._locks = os.open(path.with_name(f"{path.name}.locks"), os.O_RDWR | os.O_CREAT, 0o644)
        self._connection = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
        try:
            with self._refusing():
                self._connection.execute("PRAGMA journal_mode = WAL")  # who reads does not wait for who writes
            with self._writing():
                for command in TABLES.strip().split(";\n"):
                    self._connection.execute(command.rstrip(";\n "))
                self._settle(plan, grows)
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
        os.close(self._locks)

    def want(self, cells: Sequence[Cell]) -> None:
        """Put down cells that are to be trained; those that are there stay as they are."""
        with self._writing():
            self._connection.executemany("INSERT OR IGNORE INTO cell (architecture, seed) VALUES (?, ?)", cells)

    def claim(self, count: int) -> list[Cell]:
        """Claim cells that nobody works on, at most so many, in order; shared-weight scores alone, and first."""
        with self._writing():
            self._free_the_dead()
            free = "SELECT architecture, seed FROM cell WHERE record IS NULL AND worker IS NULL "
            order = "ORDER BY architecture, seed LIMIT ?"
            cells = self._connection.execute(f"{free} AND architecture = ? {order}", (SUPERNET, count)).fetchall()
            cells = cells or self._connection.execute(f"{free} {order}", (count,)).fetchall()
            own = [(self.worker, *cell) for cell in cells]
            self._connection.executemany("UPDATE cell SET worker = ? WHERE architecture = ? AND seed = ?", own)
        return cells

    def hand_in(self, records: Mapping[Cell, Any]) -> None:
        """Write down what cells came to, all of them or, if this fails, none."""
        now = time.time()
        rows = [(json.dumps(record), now, *cell) for cell, record in records.items()]
        with self._writing():
            self._connection.executemany(
                "UPDATE cell SET record = ?, ended = ?, worker = NULL WHERE architecture = ? AND seed = ?", rows
            )

    def put(self, records: Mapping[Cell, Any]) -> None:
        """Write down cells from elsewhere, as if they had been trained; those that are done stay as they are."""
        rows = [(*cell, json.dumps(record)) for cell, record in records.items()]
        with self._writing():
            self._connection.executemany(
                "INSERT INTO cell (architecture, seed, record) VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
                "SET record = excluded.record, worker = NULL WHERE record IS NULL",
                rows,
            )

    def records(self, cells: Sequence[Cell]) -> dict[Cell, Any]:
        """Read what those of these cells came to that are done."""
        wanted = set(cells)
        rows = self._connection.execute("SELECT architecture, seed, record FROM cell WHERE record IS NOT NULL")
        return {(a, s): json.loads(record) for a, s, record in rows if (a, s) in wanted}

    def count(self, cells: Sequence[Cell]) -> int:
        """Count those of these cells that are done."""
        rows = self._connection.execute("SELECT architecture, seed FROM cell WHERE record IS NOT NULL")
        return len(set(cells).intersection(rows))

    def done(self, since: float = 0.0) -> int:
        """Count the cells that were handed in since then (as `time.time`), by any process."""
        query = "SELECT COUNT(*) FROM cell WHERE ended >= ?"
        return int(self._connection.execute(query, (since,)).fetchone()[0])

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the log for writing; undo everything if something goes wrong."""
        with self._refusing():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Say what is wrong with the file in a sentence."""
        try:
            yield
        except sqlite3.OperationalError as error:
            reason = f"cannot write the work log ({error}); it holds all that was handed in"
            raise OSError(None, reason, str(self.path)) from error
        except sqlite3.DatabaseError as error:
            raise ValueError(f"log: {self.path} is no work log of a table ({error}).") from error

    def _settle(self, plan: Mapping[str, Any], grows: Sequence[str]) -> None:
        """Write the plan down, or compare it with the one that is there."""
        known = {name: json.loads(value) for name, value in self._connection.execute("SELECT name, value FROM plan")}
        given = json.loads(json.dumps(dict(plan)))
        for name, value in known.items():
            if name not in grows and given.get(name) != value:
                raise ValueError(
                    f"log: expected the {name} that {self.path} was made with, {value!r}; got {given.get(name)!r}. "
                    f"Another table needs another log (--log)."
                )
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
