"""`archgym table ...`: what the commands print and write, and one sentence for everything that is wrong."""

import csv
import importlib.util
import itertools
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from pyarrow import parquet

from archgym import doctor, table_card
from archgym import table as tables
from archgym.__main__ import main
from archgym.running.workers import Job
from archgym.search_space import Choice
from archgym.search_spaces.mlp import SPACE
from archgym.table import Table
from archgym.table_file import COLUMNS
from archgym.table_tools import build, export
from archgym.table_tools import check as table_check
from archgym.table_tools.builder import Builder
from archgym.table_tools.check import Args, check, interval
from archgym.table_tools.command import COMMANDS
from archgym.table_tools.plan import open_log

Make = Callable[..., Table]
INNER = ("--inner", "learning_starts=40", "batch_size=16")
SHORT = ("--windows", "3", "--window-steps", "120", "--episodes", "2", "--sample", "3", *INNER)

pytestmark = pytest.mark.filterwarnings("ignore:window_steps=.* is shorter")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run `archgym table ...` in this process: its exit code, and what it said where."""

    def run(*words: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            main(["table", *map(str, words)])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        else:
            code = 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def sentence(told: tuple[int, str, str]) -> str:
    """Take what a refused command said: exit code 2 and one line."""
    code, _, err = told
    assert code == 2, told
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("archgym: ")
    return lines[0]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table that was built by the command."""
    path = tmp_path_factory.mktemp("built") / "a.npz"
    with pytest.raises(SystemExit) as end:
        main(["table", "build", *SHORT, "--seeds", "4", "--out", str(path)])
    assert end.value.code == 0
    return path


# Build


def test_build_writes_a_table_and_its_card_and_says_so(built: Path) -> None:
    table = tables.load(built)
    assert (len(table.architectures), len(table.card.seeds), table.windows) == (3, 4, 3)
    assert table.card.ages == [1, 2, 3]
    assert table.card.settings["window_steps"] == 120
    assert table.card.settings["trainer_settings"] == {"learning_starts": 40, "batch_size": 16}
    assert table.card.command.startswith("archgym table build --windows 3 --window-steps 120 ")
    assert sorted(one.name for one in built.parent.iterdir()) == ["a.json", "a.npz", "a.sqlite", "a.sqlite.locks"]


def test_build_again_trains_nothing_and_more_seeds_only_what_is_new(built: Path, say: Say, tmp_path: Path) -> None:
    for name in ("a.npz", "a.json"):
        (tmp_path / name).write_bytes((built.parent / name).read_bytes())
    before = (tmp_path / "a.npz").read_bytes()
    words = ("build", *SHORT, "--out", "a.npz", "--seeds")
    code, said, _ = say(*words, 4)
    assert code == 0
    assert "a.npz holds 12 of 12 cells already." in said
    assert "a.npz (" in said.splitlines()[-1]
    assert "3 architectures, 4 seeds" in said.splitlines()[-1]
    assert (tmp_path / "a.npz").read_bytes() == before
    code, said, _ = say(*words, 6)
    assert code == 0
    assert "a.npz holds 12 of 18 cells already." in said
    assert len(tables.load("a.npz").card.seeds) == 6
    assert "holds 6 seeds, some of which" in sentence(say(*words, 4))


@pytest.mark.timeout(600)
def test_two_jobs_build_the_same_table(built: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "archgym", "table", "build", *SHORT, "--seeds", "4", "--members", "2"]
    done = subprocess.run([*command, "--jobs", "2", "--out", "b.npz"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one, other = tables.load(tmp_path / "b.npz"), tables.load(built)
    for name in COLUMNS.keys() - {"seconds"}:
        assert np.array_equal(one.columns[name], other.columns[name])
    assert np.array_equal(one.evaluations, other.evaluations)
    assert one.card.seeds == other.card.seeds
    assert one.card.computed == other.card.computed
    assert "12/12" in done.stdout


@pytest.mark.parametrize(
    ("function", "arguments", "told"),
    [
        (divmod, (1, 0), "ZeroDivisionError: integer division or modulo by zero"),
        (os._exit, (3,), "its process ended with exit code 3"),
    ],
    ids=["raises", "dies"],
)
def test_a_worker_that_fails_ends_the_build_with_a_sentence_and_the_log_goes_on(
    function: Any, arguments: Any, told: str, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("build", *SHORT, "--seeds", 2, "--out", "a.npz")
    with monkeypatch.context() as patch:
        patch.setattr(build, "Job", lambda name, *given: Job(name, function, arguments))
        code, _, err = say(*words, "--jobs", 2)
    assert code == 2
    last = err.splitlines()[-1]
    assert last == f"archgym: builder {last.split()[2]} failed: {told}. What was handed in stays in a.sqlite."
    assert not Path("a.npz").exists()
    assert say(*words)[0] == 0


FULL = ("build", *SHORT, "--seeds", "8", "--members", "2", "--out", "a.npz")
LIMIT = 160_000  # bytes of a file, as a full disk has it; half of what the log takes


def assert_full(code: int, err: str) -> None:
    assert code == 2, err
    (line,) = [one for one in err.splitlines() if "Warning" not in one and not one.startswith(" ")]
    assert line.startswith("archgym: a.sqlite: cannot use the work log (")
    assert line.endswith("what was handed in stays in it")
    assert not Path("a.npz").exists()


def assert_goes_on(say: Say) -> None:
    code, said, _ = say(*FULL)
    assert code == 0
    assert 0 < int(said.split()[3].split("/")[0]) < 24
    assert len(tables.load("a.npz").card.seeds) == 8


def test_a_full_disk_is_told_in_a_sentence_and_the_build_goes_on_when_there_is_room(say: Say) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        code, _, err = say(*FULL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_full(code, err)
    assert_goes_on(say)


@pytest.mark.timeout(600)
def test_a_full_disk_under_two_jobs_is_told_in_a_sentence_too(say: Say) -> None:
    limited = (
        f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({LIMIT}, {LIMIT}))\n"
        "from archgym.__main__ import main; main(['table', *sys.argv[1:], '--jobs', '2'])"
    )
    command = [sys.executable, "-W", "ignore", "-c", limited, *FULL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert_full(done.returncode, done.stderr)
    assert_goes_on(say)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--out", "a.csv"), "--out: expected a file ending in .npz, got a.csv"),
        (("--out", "a"), "--out: expected a file ending in .npz, got a"),
        (("--jobs", 0), "--jobs: expected at least 1, got 0"),
        (("--members", 0), "--members: expected at least 1, got 0"),
        (("--seeds", 1), "seeds: expected at least 2, got 1"),
        (("--seeds", "ten"), "--seeds: expected int, got 'ten'"),
        (("--sample", 99), "sample: expected 1 to 27 architectures"),
        (("--space", "mpl"), "unknown search space 'mpl': expected one of .* Did you mean 'mlp'"),
        (("--task", "CartPole-v9"), "CartPole-v9"),
        (("--task", "Hopper-v5"), "task 'Hopper-v5': expected the packages that it needs, but one is missing"),
        (("--trainer", "dqnn"), "unknown trainer 'dqnn': expected one of .* Did you mean 'dqn'"),
        (("--trainer", "synthetic"), "--trainer: expected one that trains networks, got 'synthetic'"),
        (("--inner", "gama=1"), "unknown .*'gama'.* Did you mean 'gamma'"),
        (("--inner", "gamma=2"), "gamma: expected"),
        (("--inner", "transfer=shared"), "--inner: expected settings of the training without a flag of their own"),
        (
            ("--inner", "windows=9"),
            "--inner: expected settings of the training without a flag of their own, got windows",
        ),
        (("--ages", 9), r"ages: expected rising numbers of windows from 1 to 3, got \[9\]"),
        (("--supernet-windows", 20), "--supernet-windows: expected none without --supernet-seeds, got 20"),
        (("--supernet-seeds", 1, "--supernet-windows", 0), "supernet_windows: expected a multiple of 5, got 0"),
        (("--window-steps", 121), "window_steps: expected a multiple of envs_per_member"),
        (("--sede", 1), "unknown argument '--sede'.* Did you mean '--seed'"),
    ],
)
def test_what_cannot_be_built_is_one_sentence_and_nothing_is_written(words: Any, told: str, say: Say) -> None:
    said = sentence(say("build", *SHORT[:8], "--out", "a.npz", *words))
    assert re.search(told, said), said
    assert not any(Path().iterdir())


def test_another_plan_on_the_same_log_is_refused(built: Path, say: Say) -> None:
    words = ("build", *SHORT, "--seeds", 4, "--out", "b.npz", "--log", built.with_suffix(".sqlite"))
    assert "was made with episodes=2 (now 3). Another table needs another log" in sentence(say(*words, "--episodes", 3))
    assert say(*words)[0] == 0
    assert Path("b.npz").read_bytes() == built.read_bytes()
    Path("c.sqlite").write_text("a list of things\n" * 99)
    assert "c.sqlite is no work log of a table" in sentence(say(*words[:-1], "c.sqlite"))


def test_supernets_are_added_to_a_finished_table_with_another_log(built: Path, say: Say, tmp_path: Path) -> None:
    for file in built.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    words = ("build", *SHORT, "--seeds", 4, "--supernet-seeds", 2, "--supernet-windows", 5, "--out", "a.npz")
    assert sentence(say(*words)) == (
        "archgym: --supernet-seeds: expected none, for a.sqlite was made without supernets; got 2. A finished table "
        "gets them with another log (--log) and the same --out: what it holds is taken over."
    )
    before = tables.load("a.npz")
    code, said, _ = say(*words, "--log", "other.sqlite")
    assert code == 0
    assert "a.npz holds 12 of 14 cells already." in said
    after = tables.load("a.npz")
    assert after.supernet is not None
    assert after.supernet.shape == (2, 5, 3)
    for name in COLUMNS:  # the seconds too: nothing was trained again
        assert np.array_equal(after.columns[name], before.columns[name]), name
    assert np.array_equal(after.evaluations, before.evaluations)
    assert after.card.seeds == before.card.seeds


def test_a_damaged_table_is_not_overwritten(built: Path, say: Say, tmp_path: Path) -> None:
    whole = built.read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[:-1])
    (tmp_path / "a.json").write_bytes(built.with_suffix(".json").read_bytes())
    assert "was altered or cut" in sentence(say("build", *SHORT, "--seeds", 4, "--out", "a.npz"))
    assert (tmp_path / "a.npz").read_bytes() == whole[:-1]


def test_a_build_ends_with_how_long_the_rest_takes(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archgym.running.progress.LINE_SECONDS", 0.0)
    code, said, _ = say("build", *SHORT, "--seeds", 4, "--members", 3, "--out", "a.npz")
    assert code == 0
    lines = [line for line in said.splitlines() if line.startswith("table of a: ")]
    assert lines[0].split() == ["table", "of", "a:", "0/12"]
    assert [line.split()[3] for line in lines] == [f"{done}/12" for done in range(0, 14, 2)]
    assert all("s left" in line for line in lines[1:-1])


def test_the_rest_is_told_in_windows_of_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A supernet takes longer than a cell: 10 windows against 3; half of the work is done in 100 s."""
    plan = build.Build(
        windows=3, window_steps=120, sample=2, seeds=5, supernet_seeds=3, supernet_windows=10, ages=(3,)
    ).plan("")
    told: list[tuple[float, str]] = []

    class Told:
        def update(self, done: float, text: str) -> None:
            told.append((done, text))

    watch: Any = Told()
    with open_log(plan, tmp_path / "a.sqlite") as log:
        builder = Builder(plan, log)
        build.show(builder, builder.missing(), 0.0, watch)
        log.hand_in({cell: {} for cell in builder.cells[:3]})
        monkeypatch.setattr("archgym.table_tools.build.time.time", lambda: 60.0)
        build.show(builder, builder.missing(), 0.0, watch)
        monkeypatch.setattr("archgym.table_tools.build.time.time", lambda: 600.0)
        build.show(builder, builder.missing(), 0.0, watch)
    assert told == [(0, ""), (3, "about 60 s left"), (3, "about 10 min left")]


# Check


def test_check_finds_rows_equal_where_they_were_recorded(built: Path, say: Say) -> None:
    code, said, _ = say("check", built, "--rows", 12)
    lines = said.splitlines()
    assert code == 0, said
    assert lines[0] == "12 rows of 3 windows, compared exactly"
    assert len(lines) == 14
    assert all(line.startswith("ok    depth=") and line.endswith(": equal in every number") for line in lines[1:-1])
    assert len({line for line in lines[1:-1]}) == 12
    assert lines[-1] == "every row agrees"


def test_check_draws_rows_by_its_seed(built: Path) -> None:
    table = tables.load(built)
    drawn = [[line for line, _ in check(table, Args(rows=3, windows=1, seed=seed))] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0][0] == "3 rows of 1 windows, compared exactly"


@pytest.mark.parametrize("name", [*sorted(table_check.TAKEN), "evaluations"])
def test_check_finds_an_altered_number(name: str, built: Path, say: Say, tmp_path: Path) -> None:
    """Whoever alters a table and gives it a fitting checksum is found out by training."""
    table = tables.load(built)
    columns = {one: column.copy() for one, column in table.columns.items()}
    evaluations = table.evaluations.copy()
    column = evaluations if name == "evaluations" else columns[name]
    column[1, 2, 1] = ~column[1, 2, 1] if column.dtype == bool else column[1, 2, 1] + 1
    tables.save(Table(table.card, table.architectures, columns, evaluations), tmp_path / "b.npz")
    code, said, _ = say("check", "b.npz", "--rows", 12)
    assert code == 1
    (wrong,) = [line for line in said.splitlines() if line.startswith("FAIL")]
    assert ", seed 2: " in wrong
    assert f"{name} is " in wrong
    assert ("at age 2, recorded" if name == "evaluations" else "in window 2, recorded") in wrong
    assert said.splitlines()[-1] == "1 of 12 rows differ"


def test_the_seconds_are_nobodys_promise(built: Path, say: Say, tmp_path: Path) -> None:
    table = tables.load(built)
    columns = {**table.columns, "seconds": table.columns["seconds"] + 1}
    tables.save(Table(table.card, table.architectures, columns, table.evaluations), tmp_path / "b.npz")
    assert say("check", "b.npz", "--rows", 12)[0] == 0


def moved(built: Path, path: Path, shift: float, **computed: str) -> None:
    """Write a table as if it were recorded elsewhere, its returns moved by so much."""
    table = tables.load(built)
    columns = {**table.columns, "raw_return": table.columns["raw_return"] + shift}
    card = replace(table.card, computed={**table.card.computed, **computed})
    tables.save(Table(card, table.architectures, columns, table.evaluations), path)


def test_elsewhere_check_compares_with_the_interval_of_the_seeds(built: Path, say: Say, tmp_path: Path) -> None:
    moved(built, tmp_path / "b.npz", 0.001, processor="abacus")
    code, said, _ = say("check", "b.npz", "--rows", 12)
    lines = said.splitlines()
    assert code == 0, said
    assert (
        "compared within the 99% interval of their seeds, for they were recorded with processor='abacus' (now" in said
    )
    assert all(": area 0." in line or ": area -0." in line for line in lines[1:-1])
    assert all(", interval " in line for line in lines[1:-1])
    moved(built, tmp_path / "c.npz", 400.0, torch="1.0")
    code, said, _ = say("check", "c.npz", "--rows", 12)
    assert code == 1
    assert "recorded with torch='1.0' (now" in said
    assert said.splitlines()[-1] == "12 of 12 rows differ"


def test_of_several_machines_this_one_gives_equal_rows_or_rows_in_the_interval(
    built: Path, say: Say, tmp_path: Path
) -> None:
    own = tables.load(built).card.computed["processor"]
    for name, shift in (("b", 0.0), ("c", 0.001), ("d", 400.0)):
        moved(built, tmp_path / f"{name}.npz", shift, processor=f"abacus; {own}")
    code, said, _ = say("check", "b.npz", "--rows", 12)
    lines = said.splitlines()
    assert code == 0, said
    assert lines[0] == (
        "12 rows of 3 windows, compared exactly or else within the 99% interval of their seeds, "
        f"for they were recorded with processor='abacus; {own}' (now '{own}')"
    )
    assert all(line.endswith(": equal in every number") for line in lines[1:-1])
    code, said, _ = say("check", "c.npz", "--rows", 12)
    assert code == 0, said
    assert all(", interval " in line for line in said.splitlines()[1:-1])
    assert say("check", "d.npz", "--rows", 12)[0] == 1


def test_check_refuses_rows_that_were_trained_with_other_defaults(built: Path, say: Say, tmp_path: Path) -> None:
    trainer = tables.load(built).card.computed["trainer"]
    moved(built, tmp_path / "b.npz", 0.0, trainer=trainer.replace("gamma=0.99", "gamma=0.5"))
    assert "table check: the table was trained with gamma=0.5; this archgym's trainer has gamma=0.99." in sentence(
        say("check", "b.npz")
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "expected a file (.npz) or the name of a table (`archgym table list`), got none"),
        (("nothing.npz",), "there is no file nothing.npz"),
        (("a.npz", "--rows", 0), "--rows: expected 1 to 12, as the table has, got 0"),
        (("a.npz", "--rows", 13), "--rows: expected 1 to 12, as the table has, got 13"),
        (("a.npz", "--windows", 4), "--windows: expected 1 to 3, as the table has, got 4"),
        (("a.npz", "--sed", 4), "unknown argument '--sed'"),
    ],
)
def test_what_cannot_be_checked_is_one_sentence(words: Any, told: str, built: Path, say: Say) -> None:
    assert told in sentence(say("check", *(built if word == "a.npz" else word for word in words)))


def test_the_interval_is_students_for_one_more_value() -> None:
    """Against scipy, and against how often one more value of a normal distribution lies in it."""
    rng = np.random.default_rng(0)
    areas = rng.normal(size=(1, 6))
    low, high = interval(areas, 0)
    half = scipy.stats.t.ppf(0.995, 5) * areas.std(ddof=1) * np.sqrt(1 + 1 / 6)
    assert (low, high) == pytest.approx((areas.mean() - half, areas.mean() + half), rel=0.01)
    inside = [low <= value <= high for low, high, value in draws(rng)]
    assert np.mean(inside) == pytest.approx(0.99, abs=0.006)


def draws(rng: np.random.Generator) -> Iterator[tuple[float, float, float]]:
    for _ in range(4000):
        values = rng.normal(3.0, 2.0, size=11)
        yield (*interval(values[None, :10], 0), values[10])


def test_an_architecture_whose_seeds_agree_gets_the_spread_of_the_others() -> None:
    areas = np.array([[0.0, 0.0, 0.0, 0.0], [0.1, 0.3, 0.2, 0.4]])
    low, high = interval(areas, 0)
    half = scipy.stats.t.ppf(0.995, 3) * np.sqrt(areas[1].var(ddof=1) / 2 * 1.25)
    assert (low, high) == pytest.approx((-half, half), rel=0.01)
    assert interval(areas, 1)[1] - interval(areas, 1)[0] > high - low


# Export


def expected(table: Table) -> list[dict[str, Any]]:
    """Give the rows of an export one by one."""
    rows = []
    for (row, architecture), seed, window in itertools.product(
        enumerate(table.architectures), range(len(table.card.seeds)), range(table.windows)
    ):
        options = table.space.describe(architecture)
        own = {name: table.columns[name][row, seed, window].item() for name in COLUMNS}
        age = window + 1
        rows.append(
            {
                "architecture": table.space.label(architecture),
                **{choice.name: options.get(choice.name) for choice in table.space.choices},
                "parameters": table.space.network_of(architecture).parameters(4, 2),
                "flops": table.space.network_of(architecture).flops(4, 2),
                "seed": seed,
                "side": "search" if seed < table.card.search_seeds else "test",
                "lifetime": table.card.seeds[seed],
                "window": age,
                "normalised_return": table.problem.normalise(own["raw_return"]),
                **own,
                "evaluation": table.evaluations[row, seed, table.card.ages.index(age)].item()
                if age in table.card.ages
                else None,
            }
        )
    return rows


@pytest.mark.parametrize("keywords", [{"rows": 6}, {"space": "mlp-wide", "rows": 12, "seeds": 3}])
def test_an_export_has_a_row_per_architecture_seed_and_window(
    keywords: Any, planted_table: Make, say: Say, tmp_path: Path
) -> None:
    table = planted_table(**keywords)
    tables.save(table, tmp_path / "a.npz")
    rows = expected(table)
    assert say("export", "a.npz", "out/a.parquet")[:2] == (0, "out/a.parquet\n")
    assert say("export", "a.npz", "out/a.csv")[:2] == (0, "out/a.csv\n")
    found = parquet.read_table("out/a.parquet")
    assert found.column_names == list(rows[0])
    for one, other in zip(found.to_pylist(), rows, strict=True):
        assert one == {**other, "normalised_return": pytest.approx(other["normalised_return"])}
    assert json.loads(found.schema.metadata[b"archgym"]) == json.loads(table_card.read(tmp_path / "a.npz").text())
    with Path("out/a.csv").open(newline="") as file:
        for line, other in zip(csv.DictReader(file), rows, strict=True):
            assert list(line) == list(other)
            for name, value in other.items():
                if name == "normalised_return":
                    assert float(line[name]) == pytest.approx(value)
                else:
                    assert line[name] == ("" if value is None else str(value))


def test_shared_weight_scores_are_exported_to_a_second_file(planted_table: Make, say: Say, tmp_path: Path) -> None:
    table = planted_table(supernet=True)
    tables.save(table, tmp_path / "a.npz")
    assert say("export", "a.npz", "b.parquet")[1] == "b.parquet\nb-supernet.parquet\n"
    found = parquet.read_table("b-supernet.parquet").to_pylist()
    assert len(found) == 2 * 3 * 27
    assert table.supernet is not None
    for number, (seed, age, row) in enumerate(np.ndindex(2, 3, 27)):
        assert found[number]["evaluation"] == table.supernet[seed, age, row]
        assert found[number]["architecture"] == table.space.label(table.architectures[row])
        assert (found[number]["lifetime"], found[number]["window"]) == ([5, 6][seed], [1, 2, 3][age])


def test_a_table_without_greedy_episodes_is_exported_without_them(planted_table: Make, tmp_path: Path) -> None:
    export.export(planted_table(ages=()), tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        assert {line["evaluation"] for line in csv.DictReader(file)} == {""}


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_an_export_onto_a_full_disk_leaves_the_old_one_and_nothing_half_written(
    name: str, planted_table: Make, room: Callable[[int], AbstractContextManager[None]], tmp_path: Path
) -> None:
    out = tmp_path / name
    out.write_text("old")
    with room(2000), pytest.raises(OSError, match="File too large"):
        export.export(planted_table(), out)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [(name, "old")]


def test_choices_that_are_called_like_columns_are_not_exported(
    planted_table: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = [Choice("seed", (1, 2)), Choice("width", (8, 16)), Choice("loss", ("l1", "l2"))]
    network = SPACE.network_of(SPACE.default_architecture)
    default = {"seed": 1, "width": 8, "loss": "l1"}
    own = replace(SPACE, choices=tuple(choices), default=default, network=lambda _: network)
    monkeypatch.setitem(sys.modules, "spaces.mine", SimpleNamespace(SPACE=own))
    with pytest.raises(ValueError, match=r"expected choices that are not called like columns .* got loss, seed"):
        export.export(planted_table(space="spaces.mine"), tmp_path / "a.csv")
    assert not list(tmp_path.iterdir())


def test_without_pyarrow_parquet_is_refused_with_what_installs_it_and_csv_works(
    built: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None if name == "pyarrow" else find(name))
    assert "a.parquet" not in sentence(say("export", built, "a.parquet"))
    assert "needs pyarrow: pip install 'archgym[tables]'" in sentence(say("export", built, "a.parquet"))
    assert say("export", built, "a.csv")[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "expected a table and a file (.parquet or .csv), got 0 arguments"),
        (("a.npz",), "expected a table and a file (.parquet or .csv), got 1 arguments"),
        (("a.npz", "a.xlsx"), "expected a file ending in .parquet or .csv, got 'a.xlsx'"),
        (("nothing.npz", "a.csv"), "there is no file nothing.npz"),
        (("a.npz", "a.csv", "--gzip"), "unknown argument '--gzip'"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(words: Any, told: str, built: Path, say: Say) -> None:
    assert told in sentence(say("export", *(built if word == "a.npz" else word for word in words)))


# The others


def test_every_command_is_there_and_has_help(say: Say) -> None:
    code, said, _ = say()
    assert code == 0
    assert [line.split()[0] for line in said.splitlines() if line.startswith("  ")] == list(COMMANDS)
    assert say("--help")[1] == said
    for name in COMMANDS.keys() - {"list"}:
        code, said, _ = say(name, "--help")
        assert code == 0
        assert said.startswith(f"usage: archgym table {name}")
    assert "unknown table command 'biuld': expected one of" in sentence(say("biuld"))


def test_list_describes_the_tables_that_come_with_archgym(
    planted_table: Make, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(table_card, "SHIPPED", tmp_path)
    assert say("list")[:2] == (0, "  none\n")
    tables.save(planted_table(), tmp_path / "dqn--mlp--CartPole-v1.npz")
    tables.save(planted_table(rows=6, seeds=6), tmp_path / "dqn--mlp-wide--CartPole-v1.npz")
    _, said, _ = say("list")
    one, other = said.splitlines()
    assert one.split(maxsplit=1) == ["dqn--mlp--CartPole-v1", "27 architectures (all), 4 seeds, 5 windows, 2,000 steps"]
    assert "6 architectures (6 drawn), 6 seeds" in other
    main(["list"])
    assert said in capsys.readouterr().out
    assert "expected no arguments, got '--all'" in sentence(say("list", "--all"))


def test_doctor_checks_the_tables_that_come_with_archgym(
    planted_table: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_card, "SHIPPED", tmp_path)
    assert doctor.tables_load("cpu") == "none is installed"
    for name in ("a", "b"):
        tables.save(planted_table(), tmp_path / f"{name}.npz")
    assert doctor.tables_load("cpu") == "2 loaded"
    (tmp_path / "b.npz").write_bytes(b"")
    with pytest.raises(doctor.Failed, match=r"b\.npz does not fit its data card"):
        doctor.tables_load("cpu")
