"""The two files of a recorded table: what is altered, cut, newer or foreign is refused; a table is replaced at once."""

import dataclasses
import io
import itertools
import json
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archgym import table as tables
from archgym import table_card, table_file
from archgym.table import Table
from archgym.table_card import SCHEMA, Card

Make = Callable[..., Table]
Room = Callable[[int], AbstractContextManager[None]]
SETTINGS = {"trainer": "dqn", "space": "mlp", "task": "CartPole-v1"}
ALTERED = {  # of every field of a card, a value of the right type that is not the recorded one
    "choices": [["depth", [2, 3]]],
    "architectures": 28,
    "sample": "all of them",
    "seed": 1,
    "seeds": [1, 2, 3, 4],
    "ages": [1, 5],
    "episodes": 11,
    "supernet": {"seeds": [], "ages": [], "episodes": 10},
    "computed": {},
    "command": "",
    "seconds": 2.0,
    "licence": "all rights reserved",
    "checksum": "0" * 64,
}


@pytest.fixture
def file(planted_table: Make, tmp_path: Path) -> Path:
    tables.save(planted_table(), tmp_path / "a.npz")
    return tmp_path / "a.npz"


def refused(path: Path, sentence: str) -> None:
    """Loading is refused in one sentence that names the file."""
    with pytest.raises(ValueError, match=sentence) as caught:
        tables.load(path)
    assert "\n" not in str(caught.value)
    assert path.stem in str(caught.value)


def alter_card(path: Path, **changes: Any) -> None:
    card = path.with_suffix(".json")
    card.write_text(json.dumps({**json.loads(card.read_text()), **changes}))


# The card


def test_a_card_comes_back_from_its_text(planted_table: Make, tmp_path: Path) -> None:
    card = planted_table(supernet=True).card
    (tmp_path / "a.json").write_text(card.text())
    found = table_card.read(tmp_path / "a.npz")
    assert found == card
    assert dataclasses.asdict(found) == dataclasses.asdict(card)
    assert card.schema == SCHEMA
    assert card.licence == "CC0-1.0"


def test_a_newer_schema_is_refused_whatever_else_has_changed(file: Path) -> None:
    alter_card(file, schema=SCHEMA + 1, windows=3)
    refused(file, f"has schema {SCHEMA + 1}; this archgym reads up to {SCHEMA}. Install a newer one")


@pytest.mark.parametrize("content", ["[]", "3", "null", "{}", '{"schema": "one"}', '{"schema": 1, "name": "somebody"}'])
def test_a_foreign_card_is_refused(content: str, file: Path) -> None:
    file.with_suffix(".json").write_text(content)
    refused(file, "is no data card of archgym")


@pytest.mark.parametrize("length", [0, 1, 100, -3])
def test_a_card_that_was_cut_is_refused(length: int, file: Path) -> None:
    card = file.with_suffix(".json")
    card.write_text(card.read_text()[:length])
    refused(file, "the data card .* is damaged")


def test_a_card_of_bytes_that_are_no_text_is_refused(file: Path) -> None:
    file.with_suffix(".json").write_bytes(b"\x80\x04\x95\xff")
    refused(file, "the data card .* is damaged")


def test_a_missing_card_and_a_missing_table_are_told(file: Path, tmp_path: Path) -> None:
    file.with_suffix(".json").unlink()
    refused(file, r"expected the data card .*a\.json beside a\.npz, found none")
    refused(tmp_path / "b.npz", r"there is no file .*b\.npz")


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "some_directory.npz").mkdir()
    refused(
        tmp_path / "some_directory.npz", r"table: expected a file \(.npz\), but .*some_directory\.npz is a folder\."
    )


@pytest.mark.parametrize("name", [item.name for item in dataclasses.fields(Card)])
def test_a_card_lacks_nothing_and_has_the_right_types(name: str, file: Path) -> None:
    whole = json.loads(file.with_suffix(".json").read_text())
    file.with_suffix(".json").write_text(json.dumps({n: v for n, v in whole.items() if n != name}))
    refused(file, "is no data card of archgym")
    for wrong in (None, [[1]] if isinstance(whole[name], dict) else {}, True):
        file.with_suffix(".json").write_text(json.dumps({**whole, name: wrong}))
        refused(file, rf"table: {name} in .*a\.json: expected \w+, got|no data card")


@pytest.mark.parametrize("name", ["trainer", "space", "task", "windows", "window_steps", "trainer_settings"])
def test_settings_that_a_table_stands_on_must_be_there(name: str, file: Path) -> None:
    settings = json.loads(file.with_suffix(".json").read_text())["settings"]
    alter_card(file, settings={n: v for n, v in settings.items() if n != name})
    refused(file, f"the settings in .* lack {name}")


# Altered and cut


def test_a_byte_that_is_altered_anywhere_is_noticed(file: Path) -> None:
    whole = file.read_bytes()
    places = {*range(0, len(whole), max(1, len(whole) // 150)), *range(40), *range(len(whole) - 40, len(whole))}
    for place in sorted(places):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match="does not fit its data card: one of the two was altered or cut"):
            tables.load(file)
    file.write_bytes(whole)
    tables.load(file)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_numbers_that_were_cut_are_noticed(share: float, file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    refused(file, "was altered or cut")
    file.write_bytes(whole + b"\0")
    refused(file, "was altered or cut")


@pytest.mark.parametrize("name", ALTERED)
def test_a_card_that_was_altered_is_noticed(name: str, file: Path) -> None:
    assert {*ALTERED, "settings", "schema"} == {item.name for item in dataclasses.fields(Card)}
    alter_card(file, **{name: ALTERED[name]})
    refused(file, "was altered or cut")


def test_settings_that_were_altered_are_noticed(file: Path) -> None:
    settings = json.loads(file.with_suffix(".json").read_text())["settings"]
    alter_card(file, settings={**settings, "task": "Acrobot-v1"})
    refused(file, "was altered or cut")


def test_a_card_that_is_only_laid_out_otherwise_fits(file: Path) -> None:
    card = file.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()), sort_keys=True))
    tables.load(file)


def archive(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def lone() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


FOREIGN = {
    "text": b"architecture,seed\n",
    "nothing": b"",
    "one array": lone(),
    "other arrays": archive(weights=np.zeros(3)),
    "pickled objects": archive(raw_return=np.array([{}], dtype=object)),
    "a zip of text": b"PK\x05\x06" + bytes(18),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_refused_even_if_a_card_vouches_for_it(kind: str, file: Path) -> None:
    file.write_bytes(FOREIGN[kind])
    refused(file, "was altered or cut")
    card = table_card.read(file)
    alter_card(file, checksum=card.check_of(FOREIGN[kind]))
    refused(file, "holds no ")


# Finding a table


def test_a_table_is_found_by_file_by_name_and_by_settings(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert table_card.name_of(SETTINGS) == "dqn--mlp--CartPole-v1"
    assert table_card.find(str(file), {}) == file
    monkeypatch.setattr(table_card, "SHIPPED", file.parent)
    assert table_card.shipped() == ["a"]
    assert table_card.find("a", {}) == file
    for suffix in (".npz", ".json"):
        file.with_suffix(suffix).rename(file.with_name(f"dqn--mlp--CartPole-v1{suffix}"))
    assert table_card.find("auto", SETTINGS).name == "dqn--mlp--CartPole-v1.npz"
    assert tables.load("dqn--mlp--CartPole-v1").full
    (line,) = table_card.lines()
    assert line.split()[0] == "dqn--mlp--CartPole-v1"
    assert "27 architectures (all), 4 seeds, 5 windows, 2,000 steps" in line


def test_a_table_that_is_not_there_is_told_with_the_nearest_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_card, "SHIPPED", file.parent)
    for suffix in (".npz", ".json"):
        file.with_suffix(suffix).rename(file.with_name(f"dqn--mlp--CartPole-v1{suffix}"))
    with pytest.raises(ValueError, match=r"got 'dqn--mlp--CartPole-v0'\. Did you mean 'dqn--mlp--CartPole-v1'\?"):
        table_card.find("dqn--mlp--CartPole-v0", {})
    with pytest.raises(ValueError, match=r"got 'dqn--mlp--Pong'.* `archgym table build` records a new one"):
        table_card.find("dqn--mlp--Pong", {})
    told = (
        r"none comes with archgym for trainer 'pqn', space 'mlp' and task 'Acrobot-v1', only dqn--mlp--CartPole-v1\. "
    )
    command = r"`archgym table build --trainer pqn --space mlp --task Acrobot-v1` records one, .* \(--table\)\.$"
    with pytest.raises(ValueError, match=told + command):
        table_card.find("auto", {**SETTINGS, "trainer": "pqn", "task": "Acrobot-v1"})
    with pytest.raises(ValueError, match=r"or one of dqn--mlp--CartPole-v1; got 'auto', which stands for the table of"):
        tables.load("auto")


def test_names_of_tables_are_names_of_files() -> None:
    assert table_card.name_of({"trainer": "dqn", "space": "grid:10x4", "task": "lab/Toy-v0"}) == (
        "dqn--grid_10x4--lab_Toy-v0"
    )


# Replacing a table


def count_of(path: Path) -> int:
    return len(tables.load(path).card.seeds)


@pytest.mark.parametrize("there", [True, False], ids=["over an old table", "a first table"])
@pytest.mark.parametrize("steps", [0, 1])
def test_whoever_is_killed_between_two_files_leaves_the_old_table_or_the_new_one(
    steps: int, there: bool, planted_table: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npz"
    if there:
        tables.save(planted_table(seeds=4), path)
    done = itertools.count()
    replace = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if next(done) == steps:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        tables.save(planted_table(seeds=6), path)
    monkeypatch.undo()
    if steps == 0 and not there:
        assert not path.exists()
    else:
        assert count_of(path) == (4 if steps == 0 else 6)
    tables.save(planted_table(seeds=8), path)
    assert count_of(path) == 8
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.json", "a.npz"]


def test_a_full_disk_after_somebody_was_killed_between_two_files_leaves_the_newer_table(
    planted_table: Make, file: Path, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if target.suffix == ".json":
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            tables.save(planted_table(seeds=6), file)
    assert file.with_name("a.json.half").exists()
    with room(2000), pytest.raises(OSError, match="File too large"):
        tables.save(planted_table(seeds=8), file)
    assert count_of(file) == 6
    assert sorted(one.name for one in file.parent.iterdir()) == ["a.json", "a.npz"]


def test_a_half_written_card_of_another_table_is_never_taken(planted_table: Make, file: Path, tmp_path: Path) -> None:
    other = planted_table(seeds=6)
    tables.save(other, tmp_path / "b.npz")
    half = tmp_path / "a.json.half"
    for content in ((tmp_path / "b.json").read_bytes(), (tmp_path / "b.json").read_bytes()[:90], b""):
        half.write_bytes(content)
        assert count_of(file) == 4
        file.with_suffix(".json").rename(tmp_path / "kept")
        refused(file, "expected the data card")
        (tmp_path / "kept").rename(file.with_suffix(".json"))


def test_who_reads_while_a_table_is_replaced_gets_one_of_the_two(planted_table: Make, tmp_path: Path) -> None:
    path, over = tmp_path / "a.npz", threading.Event()
    two = {4: planted_table(seeds=4), 6: planted_table(seeds=6)}
    tables.save(two[4], path)

    def write() -> None:
        for seeds in itertools.cycle((6, 4)):
            tables.save(two[seeds], path)
            if over.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = set()
        for _ in range(150):
            table_file.read.cache_clear()
            seen.add(count_of(path))
    finally:
        over.set()
        writer.join()
    assert seen == {4, 6}


def test_a_full_disk_leaves_the_old_table_and_nothing_half_written(planted_table: Make, file: Path, room: Room) -> None:
    before = {one.name: one.read_bytes() for one in file.parent.iterdir()}
    with room(2000), pytest.raises(OSError, match="File too large"):
        tables.save(planted_table(seeds=6), file)
    assert {one.name: one.read_bytes() for one in file.parent.iterdir()} == before
    assert count_of(file) == 4
