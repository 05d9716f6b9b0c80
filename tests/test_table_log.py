"""The work log of a table: who works on what, what is handed in, and that it stays usable whatever happens."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from archgym.table_tools.log import SUPERNET, Log, differing

SETTINGS: dict[str, Any] = {"windows": 3, "task": "CartPole-v1", "trainer_settings": {}}  # of an older archgym
OLD: dict[str, Any] = {"settings": SETTINGS, "ages": [1, 3], "seed": 0}
PLAN = {**OLD, "settings": {**SETTINGS, "momentum": 0.0}}
CELLS = [(SUPERNET, 0), (SUPERNET, 1), *((a, s) for a in range(3) for s in range(4))]
OTHER = """
import sys
from pathlib import Path
from archgym.table_tools.log import Log

CELLS = {cells!r}
log = Log(Path(sys.argv[1]), {plan!r}, {{"settings": {{"momentum": 0.0}}}})
for line in sys.stdin:
    print(eval(line), flush=True)
"""

Room = Callable[[int], AbstractContextManager[None]]


def opened(path: Path, plan: Any = PLAN) -> Log:
    return Log(path, plan, {"settings": {"momentum": 0.0}})


class Other:
    """Another process that has the log open, and does what it is told."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", OTHER.format(plan=PLAN, cells=CELLS), str(path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, expression: str) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{expression}\n")
        self.process.stdin.flush()
        return eval(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with opened(tmp_path / "log.sqlite", OLD) as log:
        log.want(CELLS)
    return tmp_path / "log.sqlite"


@pytest.fixture
def other(path: Path) -> Iterator[Other]:
    process = Other(path)
    yield process
    process.kill()


# Claims


def test_cells_are_claimed_once_in_order_an_architecture_at_a_time(path: Path) -> None:
    with opened(path) as log:
        assert log.claim(CELLS, 5) == CELLS[:2]
        assert log.claim(CELLS, 5) == CELLS[2:6]
        assert log.claim(CELLS[::-1], 1) == CELLS[-1:]
        assert log.claim(CELLS, 100) == CELLS[6:10]
        assert log.claim(CELLS, 100) == CELLS[10:-1]
        assert log.claim(CELLS, 1) == []
        assert log.done() == set()


@pytest.mark.parametrize(
    ("seeds", "count", "batches"),
    [(10, 10, [10]), (10, 8, [5, 5]), (10, 4, [4, 3, 3]), (6, 8, [6]), (9, 8, [5, 4]), (3, 1, [1, 1, 1])],
)
def test_the_seeds_of_an_architecture_make_even_batches(
    seeds: int, count: int, batches: list[int], tmp_path: Path
) -> None:
    cells = [(a, seed) for a in range(2) for seed in range(seeds)]
    with opened(tmp_path / "log.sqlite") as log:
        log.want(cells)
        claimed = [log.claim(cells, count) for _ in range(2 * len(batches))]
        assert [len(batch) for batch in claimed] == 2 * batches
        assert [cell for batch in claimed for cell in batch] == cells


def test_only_the_cells_that_are_asked_for_are_claimed_though_others_are_free(path: Path, other: Other) -> None:
    fewer = [(SUPERNET, 0), (1, 0), (1, 1), (2, 0), (2, 1)]
    with opened(path) as log:
        assert log.claim(fewer, 100) == fewer[:1]
        assert log.claim(fewer, 100) == fewer[1:3]
        assert log.claim(fewer, 100) == fewer[3:]
        assert log.claim(fewer, 100) == []
        assert other("log.claim(CELLS, 100)") == [(SUPERNET, 1)]
        assert other("log.claim(CELLS, 100)") == CELLS[2:6]
        assert other("log.claim(CELLS, 100)") == [(1, 2), (1, 3)]


def test_what_is_handed_in_is_done_and_never_claimed_again(path: Path) -> None:
    with opened(path) as log:
        for number, cell in enumerate(CELLS):
            log.hand_in({cell: {"value": number / 3}})
            assert cell not in log.claim(CELLS, 1)
        assert log.done() == set(CELLS)
        assert log.records(CELLS[3:6]) == {
            cell: {"value": number / 3} for number, cell in enumerate(CELLS) if 3 <= number < 6
        }
    with opened(path) as log:
        assert log.claim(CELLS, 100) == []
        log.want(CELLS)
        assert log.done() == set(CELLS)


def test_two_processes_never_claim_the_same(path: Path, other: Other) -> None:
    with opened(path) as log:
        taken = [log.claim(CELLS, 2), other("log.claim(CELLS, 3)"), log.claim(CELLS, 3)]
        taken += [other("log.claim(CELLS, 4)"), log.claim(CELLS, 100)]
        assert [len(cells) for cells in taken] == [2, 2, 2, 4, 4]
        assert sorted(cell for cells in taken for cell in cells) == sorted(CELLS)
        assert other("log.claim(CELLS, 1)") == []


def test_claims_of_a_killed_process_become_free_and_those_of_a_living_one_do_not(path: Path, other: Other) -> None:
    with opened(path) as log:
        held = other("log.claim(CELLS, 2)")
        other(f"log.hand_in({{{held[0]}: 1.5}})")
        assert log.claim(CELLS, 100) == CELLS[2:6]
        other.kill()
        assert log.claim(CELLS, 100) == held[1:]
        assert log.records(held) == {held[0]: 1.5}


def test_claims_of_a_log_that_is_closed_become_free(path: Path, other: Other) -> None:
    assert other("log.claim(CELLS, 2)") == CELLS[:2]
    other("log.close()")
    with opened(path) as log:
        assert log.claim(CELLS, 2) == CELLS[:2]


def test_looking_for_the_dead_leaves_the_living_their_locks(path: Path, other: Other) -> None:
    with opened(path) as log:
        held = other("log.claim(CELLS, 2)")
        third = Other(path)
        for _ in range(3):
            assert not set(log.claim(CELLS, 2)) & set(held)
            assert not set(third("log.claim(CELLS, 2)")) & set(held)
        third.kill()


def test_whoever_frees_the_claims_of_the_dead_keeps_its_own(path: Path, other: Other) -> None:
    third = Other(path)
    with opened(path) as log:
        held = log.claim(CELLS, 2)
        freed = third("log.claim(CELLS, 4)")
        third.kill()
        assert log.claim(CELLS, 1) == freed[:1]
        assert other("log.claim(CELLS, 100)") == freed[1:]
        assert held == CELLS[:2]


def test_a_process_opens_a_log_once(path: Path, tmp_path: Path) -> None:
    with opened(path) as log:
        with pytest.raises(ValueError, match=r"log: .* is open in this process already"):
            opened(path.parent / "." / path.name)
        assert log.claim(CELLS, 1) == CELLS[:1]
        with opened(tmp_path / "another.sqlite"):
            pass
    opened(path).close()


# What is handed in


def test_cells_are_handed_in_all_together_or_not_at_all(path: Path) -> None:
    with opened(path) as log:
        connection = sqlite3.connect(path)
        connection.execute(
            "CREATE TRIGGER broken BEFORE UPDATE OF record ON cell WHEN new.architecture = 1 AND new.seed = 2 "
            "BEGIN SELECT RAISE(ABORT, 'broken'); END"
        )
        connection.commit()
        cells = log.claim(CELLS[6:], 100)
        assert (1, 2) in cells
        with pytest.raises(ValueError, match="broken"):
            log.hand_in(dict.fromkeys(cells, 1))
        assert log.done() == set()
        with pytest.raises(TypeError):
            log.hand_in({cells[0]: 1, cells[1]: object()})
        assert log.done() == set()
        log.hand_in(dict.fromkeys(cells[:2], 1))
        assert log.done() == set(cells[:2])


def test_numbers_come_back_bit_for_bit(path: Path) -> None:
    numbers = [0.1 + 0.2, 1e-300, -0.0, 2**53 + 1, 1 / 3, True, 5e-324]
    with opened(path) as log:
        log.hand_in({CELLS[4]: numbers})
        assert repr(log.records(CELLS)[CELLS[4]]) == repr(numbers)


def test_what_comes_from_elsewhere_replaces_nothing_that_is_done(path: Path) -> None:
    with opened(path) as log:
        log.hand_in({CELLS[2]: "trained"})
        assert log.put({CELLS[2]: "found", CELLS[3]: "found", (9, 9): "new"}) == 2
        assert log.put({CELLS[2]: "found", CELLS[3]: "found"}) == 0
        assert log.put({}) == 0
        assert log.records([*CELLS, (9, 9)]) == {CELLS[2]: "trained", CELLS[3]: "found", (9, 9): "new"}
        assert log.ended([*CELLS, (9, 9)]) == [CELLS[2]]


def test_only_what_was_handed_in_since_then_counts_for_the_pace(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as log:
        for now in (100.0, 200.0, 300.0):
            monkeypatch.setattr("archgym.table_tools.log.time.time", lambda now=now: now)
            log.hand_in({(0, int(now) // 100): 1})
        assert log.ended(CELLS, 200.0) == [(0, 2), (0, 3)]
        assert len(log.ended(CELLS)) == 3
        assert log.ended([(0, 1), (0, 2)]) == [(0, 1), (0, 2)]  # the others are another builder's pace


def test_with_what_was_computed_is_noted_once(path: Path) -> None:
    with opened(path) as log:
        for name in ("one", "two", "one"):
            log.note({"processor": name})
        assert log.noted() == [{"processor": "one"}, {"processor": "two"}]


# Whose log it is


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ages": [1, 2]}, r"ages=\[1, 3\] \(now \[1, 2\]\)"),
        ({"seed": 1}, r"seed=0 \(now 1\)"),
        ({"settings": {**PLAN["settings"], "windows": 4}}, r"windows=3 \(now 4\)"),
        ({"settings": {**PLAN["settings"], "trainer_settings": {"gamma": 0.9}}}, r"gamma=None \(now 0.9\)"),
        ({"settings": {**PLAN["settings"], "momentum": 0.9}}, r"momentum=0.0 \(now 0.9\)"),
    ],
    ids=["ages", "seed", "a setting", "a trainer's setting", "a setting that is new"],
)
def test_a_log_of_another_plan_is_refused_and_says_what_differs(change: dict[str, Any], told: str, path: Path) -> None:
    with pytest.raises(ValueError, match=rf"log: .*log.sqlite was made with {told}\. Another table needs") as caught:
        opened(path, {**PLAN, **change})
    assert "CartPole" not in str(caught.value)
    with opened(path) as log:
        assert log.claim(CELLS, 2) == CELLS[:2]


def test_a_setting_that_is_new_and_as_usual_changes_nothing(path: Path) -> None:
    for _ in range(2):
        with opened(path, PLAN) as log:
            assert log.claim(CELLS, 2) == CELLS[:2]


def test_what_differs_is_named_one_by_one() -> None:
    was = {"a": 1, "b": {"c": [1], "d": 2, "e": {"f": None}}, "g": {}}
    assert differing(was, was) == ""
    now = {"a": 1, "b": {"c": [1, 2], "d": 2, "e": {"f": 0}}, "g": {"h": 5}}
    assert differing(was, now) == "c=[1] (now [1, 2]), f=None (now 0), h=None (now 5)"


def database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE trials (number INTEGER)")
    connection.commit()
    connection.close()


def namesake(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE cell (organ TEXT)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("make", [database, namesake, lambda path: path.write_text("name,value\n" * 200)])
def test_somebody_elses_file_is_refused_and_stays_as_it_is(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "theirs.sqlite"
    make(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"log: .*theirs\.sqlite is no work log of a table") as caught:
        opened(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["theirs.sqlite"]
    path.unlink()
    opened(path).close()


def test_a_damaged_log_is_told(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096 : len(data) - 10] = b"\xee" * (len(data) - 10 - 4096)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"log: .* is no work log of a table, or damaged"):
        opened(path)


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot use the work log") as caught:
        opened(tmp_path)
    assert caught.value.filename == str(tmp_path)


# A full disk


def test_a_full_disk_is_told_and_the_log_goes_on_when_there_is_room(path: Path, room: Room) -> None:
    with opened(path) as log:
        log.claim(CELLS, 2)
        first, second = log.claim(CELLS, 6), log.claim(CELLS, 6)
        log.hand_in(dict.fromkeys(first, "a" * 2000))
        size = path.with_name(f"{path.name}-wal").stat().st_size
        with room(size + 5000), pytest.raises(OSError, match=r"cannot use the work log .*full|disk I/O") as caught:
            log.hand_in(dict.fromkeys(second, "b" * 20_000))
        assert caught.value.filename == str(path)
        assert "what was handed in stays in it" in str(caught.value)
        assert log.records(CELLS) == dict.fromkeys(first, "a" * 2000)
        log.hand_in(dict.fromkeys(second, "b" * 20_000))
        assert log.done() == {*first, *second}
    with opened(path) as log:
        assert log.claim(CELLS, 100) == CELLS[:2]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"no small file system here: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_really_full_loses_nothing_that_was_handed_in(small_disk: Path) -> None:
    path, handed_in = small_disk / "log.sqlite", []
    cells = [(0, seed) for seed in range(100)]
    filler = small_disk / "filler"
    filler.write_bytes(bytes(100_000))

    def fill(log: Log) -> None:
        while claimed := log.claim(cells, 1):
            log.hand_in(dict.fromkeys(claimed, "x" * 9_000))
            handed_in.extend(claimed)

    with opened(path) as log:
        log.want(cells)
        with pytest.raises(OSError, match=r"cannot use the work log .*; what was handed in stays in it"):
            fill(log)
    assert 0 < len(handed_in) < 20
    with pytest.raises(OSError, match="cannot use the work log"), opened(path) as log:
        fill(log)
    filler.unlink()
    with opened(path) as log:
        assert log.records(cells) == dict.fromkeys(handed_in, "x" * 9_000)
        before = len(handed_in)
        with pytest.raises(OSError, match="cannot use the work log"):
            fill(log)
        assert len(handed_in) > before
        assert log.done() == set(handed_in)


def test_a_log_of_today_can_be_read_by_anybody_with_sqlite(path: Path) -> None:
    with opened(path) as log:
        log.hand_in({(0, 0): {"raw_return": [1.0]}})
    rows = sqlite3.connect(path).execute("SELECT architecture, seed, worker, record FROM cell WHERE record IS NOT NULL")
    assert [(*row[:3], json.loads(row[3])) for row in rows] == [(0, 0, None, {"raw_return": [1.0]})]
    plan = dict(sqlite3.connect(path).execute("SELECT name, value FROM plan"))
    assert {name: json.loads(value) for name, value in plan.items()} == PLAN
