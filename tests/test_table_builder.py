"""Building a table: the same numbers in any batch, however it grows, by any number of processes that are killed."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archgym import table as tables
from archgym.evaluators import open_evaluator
from archgym.problem import Problem
from archgym.settings import Settings
from archgym.table import Table
from archgym.table_file import COLUMNS
from archgym.table_tools import builder as table_builder
from archgym.table_tools.build import train
from archgym.table_tools.builder import Builder, write
from archgym.table_tools.check import Args, check
from archgym.table_tools.log import SUPERNET, planned
from archgym.table_tools.plan import Plan, going_on, open_log, settings_of
from archgym.trainers.dqn import PRESETS

SHORT = {"windows": 3, "window_steps": 120, "learning_starts": 40, "batch_size": 16}
TORCH = {**SHORT, "learner": "torch"}

pytestmark = pytest.mark.filterwarnings("ignore:window_steps=.* is shorter")


def plan_of(keywords: Any = SHORT, **changes: Any) -> Plan:
    own: dict[str, Any] = {"seeds": 4, "ages": (1, 3), "episodes": 2, "sample": 3}
    return Plan(settings_of(keywords), **{**own, **changes})


def built(plan: Plan, path: Path, members: int = 5) -> Table:
    """Build a table in this process, its log beside it."""
    with open_log(plan, path.with_suffix(".sqlite")) as log:
        builder = Builder(plan, log)
        if path.exists():
            builder.take_over(tables.load(path))
        while builder.step(members):
            pass
        write(builder, path)
    return tables.load(path)


def assert_same(table: Table, other: Table, rows: Sequence[int] | None = None, seeds: Sequence[int] = ()) -> None:
    """All numbers are equal but the seconds that they took; of the other only these rows, and these lifetimes."""
    chosen = list(range(len(other.architectures))) if rows is None else list(rows)
    at = [other.card.seeds.index(seed) for seed in (seeds or table.card.seeds)]
    assert table.card.seeds == [other.card.seeds[place] for place in at]
    assert np.array_equal(table.architectures, other.architectures[chosen])
    for name in COLUMNS.keys() - {"seconds"}:
        assert np.array_equal(table.columns[name], other.columns[name][np.ix_(chosen, at)]), name
    assert np.array_equal(table.evaluations, other.evaluations[np.ix_(chosen, at)])
    for name in ("settings", "choices", "ages", "episodes", "seed", "computed"):
        assert getattr(table.card, name) == getattr(other.card, name)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Three architectures, four seeds, built without an interruption."""
    return built(plan_of(), tmp_path_factory.mktemp("straight") / "a.npz")


# What is recorded


def test_a_table_holds_what_training_alone_gives(straight: Table) -> None:
    problem = Problem(Settings(**straight.card.settings))
    for row, column in ((0, 0), (2, 3)):
        alone = open_evaluator(problem, 1)
        alone.reset([straight.card.seeds[column]])
        architecture = straight.architectures[row][None]
        for window in range(3):
            (result,) = alone.train_window(architecture)
            for name in COLUMNS.keys() - {"seconds"}:
                assert straight.columns[name][row, column, window] == COLUMNS[name](getattr(result, name)), name
            if window in (0, 2):
                (greedy,), _ = alone.evaluate(architecture, [0], 2)
                assert straight.evaluations[row, column, window // 2] == greedy


def test_a_card_says_how_the_table_was_made(straight: Table) -> None:
    card = straight.card
    assert card.architectures == 3
    assert len(set(card.seeds)) == 4
    assert (card.ages, card.episodes, card.seed, card.supernet) == ([1, 3], 2, 0, {})
    assert card.sample == "the default and others drawn uniformly without repeats, 3 in all, seed 0"
    assert card.settings["transfer"] == "own"
    assert card.settings["exact"]
    assert set(card.computed) == {
        "processor",
        "learner",
        "archgym",
        "numpy",
        "torch",
        "envpool",
        "gymnasium",
        "trainer",
    }
    assert "learning_starts=40 " in card.computed["trainer"]
    assert card.seconds == pytest.approx(straight.columns["seconds"].sum(dtype=float), abs=0.1)
    assert np.array_equal(straight.architectures[0], straight.space.default_architecture)


def test_learners_learn_and_seeds_and_architectures_differ(straight: Table) -> None:
    assert (straight.columns["gradient_steps"][:, :, -1] > 0).all()
    assert (straight.columns["env_steps"] == 120).all()
    assert (straight.columns["seconds"] > 0).all()
    losses = straight.columns["loss"]
    assert len(np.unique(losses[:, :, -1])) == 12
    assert np.isfinite(losses).all()


def test_all_architectures_are_trained_unless_a_sample_is_asked_for(tmp_path: Path) -> None:
    plan = plan_of({**SHORT, "windows": 1}, sample=None, seeds=2, ages=(1,))
    assert [one.tolist() for one in plan.architectures()] == [one.tolist() for one in plan_space().enumerate()]
    table = built(plan, tmp_path / "a.npz", 54)
    assert table.full
    assert table.card.sample == "all architectures of the space"


def plan_space() -> Any:
    return Problem(plan_of().settings).space


# The same numbers


@pytest.mark.parametrize("members", [1, 3, 100])
def test_batches_of_any_size_give_the_same_numbers(members: int, straight: Table, tmp_path: Path) -> None:
    assert_same(built(plan_of(), tmp_path / "a.npz", members), straight)


def test_seconds_are_those_of_an_architecture_shared_among_its_seeds(straight: Table, tmp_path: Path) -> None:
    def batches(table: Table) -> list[int]:
        return [len({tuple(curve) for curve in row.tolist()}) for row in table.columns["seconds"]]

    assert batches(straight) == [1, 1, 1]
    assert batches(built(plan_of(), tmp_path / "a.npz", 3)) == [2, 2, 2]


def test_the_torch_learner_gives_the_same_numbers_in_any_batch(straight: Table, tmp_path: Path) -> None:
    plan = plan_of(TORCH, seeds=2, sample=2)
    one, other = built(plan, tmp_path / "a.npz", 1), built(plan, tmp_path / "b.npz", 4)
    assert_same(one, other)
    assert one.card.computed["learner"] == "torch"
    assert straight.card.computed["learner"] != "torch"


def test_pqn_is_recorded_too(tmp_path: Path) -> None:
    keywords = {"windows": 2, "window_steps": 256, "trainer": "pqn", "layer_norm": True}
    plan = plan_of(keywords, seeds=2, sample=2, ages=(2,))
    one, other = built(plan, tmp_path / "a.npz", 1), built(plan, tmp_path / "b.npz", 4)
    assert_same(one, other)
    assert (one.columns["gradient_steps"] > 0).all()


# Growing


@pytest.mark.parametrize("kept", ["log and table", "table", "log"])
def test_a_table_that_grew_by_seeds_and_architectures_is_the_one_that_is_built_at_once(
    kept: str, straight: Table, tmp_path: Path
) -> None:
    path, log = tmp_path / "a.npz", tmp_path / "a.sqlite"
    small = built(plan_of(seeds=2, sample=2), path)
    before = {name: column.copy() for name, column in small.columns.items()}
    if kept == "table":
        log.unlink()
    if kept == "log":
        path.unlink()
    middle = built(plan_of(seeds=3, sample=2), path)
    grown = built(plan_of(), path)
    assert_same(grown, straight)
    for table in (middle, grown):
        places = [table.card.seeds.index(seed) for seed in small.card.seeds]
        for name, column in before.items():  # the seconds too: these rows were not trained again
            assert np.array_equal(table.columns[name][:2][:, places], column), name


def test_a_sample_grows_to_the_whole_space_without_a_row_trained_again(tmp_path: Path) -> None:
    tiny = {"windows": 1, "window_steps": 40, "learning_starts": 20, "batch_size": 8}
    path, log = tmp_path / "a.npz", tmp_path / "a.sqlite"
    small = built(plan_of(tiny, seeds=2, sample=3, ages=(1,), episodes=1), path)
    whole = plan_of(tiny, seeds=2, sample=None, ages=(1,), episodes=1)
    assert going_on(whole, tmp_path / "none.sqlite") == whole
    grown = built(going_on(whole, log), path)
    assert grown.full
    assert grown.card.sample == "all architectures of the space"
    for name, column in small.columns.items():  # the seconds too
        assert np.array_equal(grown.columns[name][:3], column), name
    assert_same(built(going_on(whole, log), path), grown)  # there is nothing left to train
    assert all(good for _, good in check(grown, Args(rows=3)))
    with open_log(whole, tmp_path / "b.sqlite"):
        pass
    with pytest.raises(ValueError, match=r"--sample: expected none, for .* all architectures of the space; got 3\."):
        going_on(replace(whole, sample=3), tmp_path / "b.sqlite")


def test_a_file_that_is_no_log_says_nothing_about_a_sample(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_text("something else")
    assert planned(tmp_path / "a.sqlite", "drawn") is None


def test_a_seed_keeps_its_side_when_a_table_grows() -> None:
    sides: dict[int, str] = {}
    for count in range(2, 9):
        plan = plan_of(seeds=count)
        numbers = [*range(1, count, 2), *range(0, count, 2)]
        order = [plan.seed_list(count)[number] for number in numbers]
        for place, seed in enumerate(order):
            assert sides.setdefault(seed, "search" if place < count // 2 else "test") == (
                "search" if place < count // 2 else "test"
            )


def test_the_sides_of_a_built_table_are_these(straight: Table, tmp_path: Path) -> None:
    small = built(plan_of(seeds=3), tmp_path / "a.npz")
    for table in (small, straight):
        searched = set(table.card.seeds[: table.card.search_seeds])
        assert searched <= set(straight.card.seeds[:2])
        assert not set(table.card.seeds[table.card.search_seeds :]) & set(straight.card.seeds[:2])


def test_seeds_and_samples_begin_with_fewer() -> None:
    plan = plan_of({**SHORT, "space": "mlp-wide"}, sample=40)
    assert plan.seed_list(3) == plan.seed_list(9)[:3]
    small = replace(plan, sample=12).architectures()
    assert [one.tolist() for one in small] == [one.tolist() for one in plan.architectures()[:12]]
    assert len({one.tobytes() for one in plan.architectures()}) == 40
    assert replace(plan, seed=1).seed_list(3) != plan.seed_list(3)
    every = plan_of(sample=27).architectures()
    assert len({one.tobytes() for one in every}) == 27


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seeds": 3}, "holds 4 seeds, some"),
        ({"sample": 2}, "holds 3 architectures, some"),
        ({"seeds": 2, "sample": 1}, "holds 4 seeds, 3 architectures, some"),
        ({"seed": 1}, "holds 4 seeds, 3 architectures, some"),
        ({"ages": (1, 2)}, r"recorded with ages=\[1, 3\] \(now \[1, 2\]\)"),
        ({"episodes": 3}, r"recorded with episodes=2 \(now 3\)"),
        ({"keywords": {**SHORT, "learning_starts": 41}}, r"recorded with learning_starts=40 \(now 41\)"),
        ({"keywords": {**SHORT, "windows": 4}}, r"recorded with windows=3 \(now 4\)"),
    ],
)
def test_a_table_is_never_replaced_by_less_or_by_another(
    change: dict[str, Any], told: str, straight: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npz"
    tables.save(straight, path)
    before = path.read_bytes()
    monkeypatch.setattr(Builder, "step", lambda builder, members: pytest.fail("it was trained before it was refused"))
    with pytest.raises(ValueError, match=f"--out: the table there .*{told}"):
        built(plan_of(**change), path)
    assert path.read_bytes() == before


def test_a_builder_that_ends_after_a_larger_one_leaves_its_table(straight: Table, tmp_path: Path) -> None:
    plan, path = plan_of(seeds=2), tmp_path / "a.npz"
    with open_log(plan, tmp_path / "a.sqlite") as log:
        builder = Builder(plan, log)
        train(builder, 100)
        tables.save(straight, path)
        with pytest.raises(ValueError, match="the table there holds 4 seeds, some of which this one would not"):
            write(builder, path)
    assert len(tables.load(path).card.seeds) == 4


def test_of_two_builders_with_logs_of_their_own_the_one_with_other_settings_leaves_the_table(
    straight: Table, tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    with open_log(plan_of(episodes=3), tmp_path / "other.sqlite") as log:
        builder = Builder(plan_of(episodes=3), log)
        train(builder, 100)
        tables.save(straight, path)  # the first one ends meanwhile
        with pytest.raises(ValueError, match=r"--out: the table there was recorded with episodes=2 \(now 3\)"):
            write(builder, path)
        assert len(log.done()) == 12
    assert_same(tables.load(path), straight)


def test_of_two_builders_with_logs_of_their_own_one_writes_after_the_other(straight: Table, tmp_path: Path) -> None:
    path, plan = tmp_path / "a.npz", plan_of(seeds=2)
    with open_log(plan, tmp_path / "own.sqlite") as log, ThreadPoolExecutor(1) as other:
        builder = Builder(plan, log)
        train(builder, 100)
        held = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)  # as another process does that is about to write a larger table

        def end() -> None:
            time.sleep(0.3)
            tables.save(straight, path)
            os.close(held)

        ending = other.submit(end)
        with pytest.raises(ValueError, match="the table there holds 4 seeds"):
            write(builder, path)
        ending.result()
    assert_same(tables.load(path), straight)


# Two plans on one log


def test_a_smaller_table_is_built_on_the_log_of_a_larger_one_and_leaves_it_the_rest(
    straight: Table, tmp_path: Path
) -> None:
    path, log = tmp_path / "small.npz", tmp_path / "small.sqlite"
    with open_log(plan_of(), log) as opened:
        Builder(plan_of(), opened).step(1)
    assert_same(built(plan_of(seeds=2, sample=2), path), straight, rows=[0, 1])
    with open_log(plan_of(), log) as opened:
        assert len(opened.done()) == 4
    assert_same(built(plan_of(), path), straight)


def test_builders_with_other_numbers_of_seeds_and_architectures_share_a_log(straight: Table, tmp_path: Path) -> None:
    """Each trains what it was asked for, and what another has trained only once."""
    plans = {"seeds": plan_of(sample=2), "architectures": plan_of(seeds=2), "both": plan_of()}
    with open_log(plan_of(), tmp_path / "a.sqlite") as log:
        builders = [Builder(plan, log) for plan in plans.values()]
        trained = 0
        while any(counts := [builder.step(3) for builder in builders]):
            trained += sum(counts)
        assert trained == 3 * 4
        for name, builder in zip(plans, builders, strict=True):
            write(builder, tmp_path / f"{name}.npz")
    assert_same(tables.load(tmp_path / "seeds.npz"), straight, rows=[0, 1])
    assert_same(tables.load(tmp_path / "architectures.npz"), straight)
    assert_same(tables.load(tmp_path / "both.npz"), straight)


# Shared-weight scores


SHARED = {"supernet_seeds": 2, "supernet_windows": 5}


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return built(plan_of({**SHORT, "windows": 1}, seeds=2, ages=(1,), **SHARED), tmp_path_factory.mktemp("s") / "a.npz")


def test_supernets_train_drawn_architectures_and_all_are_scored_after_each_fifth(scored: Table) -> None:
    assert scored.card.supernet["ages"] == [1, 2, 3, 4, 5]
    assert scored.supernet is not None
    assert scored.supernet.shape == (2, 5, 3)
    assert (scored.supernet > 0).all()
    for axis, what in enumerate(["seeds", "ages", "architectures"]):
        assert np.ptp(scored.supernet, axis=axis).any(), f"all {what} have the same scores"


def test_supernets_do_not_depend_on_the_batch_and_more_begin_with_fewer(scored: Table, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    one = {**SHARED, "supernet_seeds": 1}
    first = built(plan_of({**SHORT, "windows": 1}, seeds=2, ages=(1,), **one), path, 1)
    assert first.supernet is not None
    grown = built(plan_of({**SHORT, "windows": 1}, seeds=2, ages=(1,), **SHARED), path, 1)
    assert np.array_equal(grown.supernet, scored.supernet)  # type: ignore[arg-type]
    assert np.array_equal(first.supernet[0], grown.supernet[0])  # type: ignore[index]
    assert grown.card.supernet == scored.card.supernet


@pytest.mark.parametrize("kept", ["log", "table"])
def test_a_sample_with_shared_weight_scores_cannot_grow(kept: str, scored: Table, tmp_path: Path) -> None:
    path, log = tmp_path / "a.npz", tmp_path / "a.sqlite"
    small = plan_of({**SHORT, "windows": 1}, seeds=2, ages=(1,), **SHARED)
    built(small, path)
    (path if kept == "log" else log).unlink()
    with pytest.raises(
        ValueError, match="sample: expected the 3 architectures that the recorded supernets trained, got 4"
    ):
        built(replace(small, sample=4), path)


def test_supernets_that_a_builder_of_another_sample_hands_in_meanwhile_are_refused(tmp_path: Path) -> None:
    plan = plan_of({**SHORT, "windows": 1}, seeds=2, ages=(1,), **SHARED)
    with open_log(plan, tmp_path / "a.sqlite") as log:
        builder, other = Builder(plan, log), Builder(replace(plan, sample=4), log)
        assert other.step(2) == 2
        train(builder, 100)
        with pytest.raises(
            ValueError, match="sample: expected the 4 architectures that the recorded supernets trained, got 3"
        ):
            write(builder, tmp_path / "a.npz")
        train(other, 100)
        assert write(other, tmp_path / "a.npz").architectures == 4


def test_shared_weight_scores_are_not_lost_by_forgetting_them(scored: Table, tmp_path: Path) -> None:
    tables.save(scored, tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"holds 2 supernet seeds, \[1, 2, 3, 4, 5\] supernet ages, some"):
        built(plan_of({**SHORT, "windows": 1}, seeds=2, ages=(1,)), tmp_path / "a.npz")


# With what it was computed


def test_rows_that_were_computed_elsewhere_are_named_in_the_card(straight: Table, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    small = built(plan_of(seeds=2), path)
    elsewhere = {**small.card.computed, "processor": "abacus"}
    tables.save(
        Table(replace(small.card, computed=elsewhere), small.architectures, small.columns, small.evaluations), path
    )
    path.with_suffix(".sqlite").unlink()
    with pytest.warns(UserWarning, match=r"computed with processor='abacus' \(now .*\); the card will name both"):
        grown = built(plan_of(), path)
    own = straight.card.computed
    assert grown.card.computed == {**own, "processor": f"abacus; {own['processor']}"}
    with pytest.warns(UserWarning, match="the card will name both"):
        again = built(plan_of(), path)  # nothing is left to train
    assert again.card.computed == grown.card.computed


@pytest.mark.parametrize("kept", ["log", "table"])
def test_what_was_trained_with_other_defaults_is_not_gone_on_with(
    kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings that are given are the same; what a trainer, or a task, does without being told has changed."""
    path = tmp_path / "a.npz"
    built(plan_of(seeds=2, sample=1), path)
    (path if kept == "log" else path.with_suffix(".sqlite")).unlink()
    monkeypatch.setitem(PRESETS, "default", replace(PRESETS["default"], gamma=0.5))
    with pytest.raises(ValueError, match=r"was trained with gamma=0\.99; this archgym's trainer has gamma=0\.5\."):
        built(plan_of(seeds=3, sample=1), path)


# What cannot be built


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seeds": 1}, "seeds: expected at least 2, got 1"),
        ({"episodes": 0}, "episodes: expected at least 1, got 0"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
        ({"supernet_seeds": -1}, "supernet_seeds: expected at least 0, got -1"),
        ({"ages": ()}, r"ages: expected rising numbers of windows from 1 to 3, got \[\]"),
        ({"ages": (0, 1)}, "ages: expected rising"),
        ({"ages": (1, 4)}, "ages: expected rising"),
        ({"ages": (2, 1)}, "ages: expected rising"),
        ({"ages": (1, 1)}, "ages: expected rising"),
        ({"sample": 0}, "sample: expected 1 to 27 architectures, which 'mlp' has, got 0"),
        ({"sample": 28}, "sample: expected 1 to 27 architectures, which 'mlp' has, got 28"),
        ({"supernet_seeds": 1, "supernet_windows": 7}, "supernet_windows: expected a multiple of 5, got 7"),
        ({"supernet_seeds": 1, "supernet_windows": 0}, "supernet_windows: expected a multiple of 5, got 0"),
    ],
)
def test_what_cannot_be_built_is_refused_at_once(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        plan_of(**change)


def test_of_a_huge_space_a_sample_must_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archgym.table_tools.plan.LARGEST", 1000)
    with pytest.raises(ValueError, match="sample: expected a number, for 'mlp-wide' has 4,056 architectures"):
        plan_of({**SHORT, "space": "mlp-wide"}, sample=None)


def test_small_and_large_architectures_take_turns_so_that_the_first_tell_how_long_the_rest_takes(
    tmp_path: Path,
) -> None:
    plan = plan_of(sample=None, **SHARED)
    with open_log(plan, tmp_path / "a.sqlite") as log:
        cells = Builder(plan, log).cells
    order = [number for number, _ in cells[2::4]]
    assert cells == [(SUPERNET, 0), (SUPERNET, 1), *((number, seed) for number in order for seed in range(4))]
    assert sorted(order) == list(range(27))
    for first in range(5, 27):  # of the 27, listed from small to large
        assert np.mean(order[:first]) == pytest.approx(13, rel=0.1)


def test_a_table_with_missing_cells_is_not_written(tmp_path: Path) -> None:
    plan = plan_of()
    with open_log(plan, tmp_path / "a.sqlite") as log:
        builder = Builder(plan, log)
        builder.step(5)
        with pytest.raises(ValueError, match="table: 8 of 12 cells are not trained yet"):
            write(builder, tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()


def test_no_batch_is_begun_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of()
    with open_log(plan, tmp_path / "a.sqlite") as log:
        builder = Builder(plan, log)
        with monkeypatch.context() as patch:
            patch.setattr(table_builder, "MARGIN_BYTES", 1 << 60)
            with pytest.raises(
                OSError, match=r"cannot go on: \d+ MB are free, expected .* stays in the work log"
            ) as told:
                builder.step(5)
        assert told.value.filename == str(tmp_path / "a.sqlite")
        assert builder.step(5) == 4


# Killed again and again


WORK = """
import os, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from archgym.table_tools import builder as making
from archgym.table_tools.build import train
from archgym.table_tools.plan import Plan, open_log, settings_of

folder = Path(sys.argv[1])
trained = os.open(folder / "trained", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
original = making.Builder._curves


def counted(self, cells):
    records = original(self, cells)
    os.write(trained, "".join(f"{{a}} {{s}}\\n" for a, s in cells).encode())
    return records


making.Builder._curves = counted
plan = Plan(settings_of({keywords!r}), seeds=4, ages=(1, 3), episodes=2, sample=6)
with open_log(plan, folder / "a.sqlite") as log:
    builder = making.Builder(plan, log)
    train(builder, 3)
    making.write(builder, folder / "a.npz")
"""


@pytest.mark.timeout(600)
def test_four_processes_that_are_killed_at_random_instants_build_the_table_of_one_left_alone(tmp_path: Path) -> None:
    keywords = {**SHORT, "window_steps": 2000}
    alone = built(plan_of(keywords, sample=6), tmp_path / "alone.npz", 8)
    folder, rng, kills = tmp_path / "killed", np.random.default_rng(1), 0
    folder.mkdir()
    command = [sys.executable, "-c", WORK.format(keywords=keywords), str(folder)]
    trained = folder / "trained"

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stderr=subprocess.PIPE)

    def lines() -> int:
        return trained.read_bytes().count(b"\n") if trained.exists() else 0

    running = [start() for _ in range(4)]
    try:
        while lines() < 24 and kills < 6:
            target = lines() + int(rng.integers(1, 4))
            while lines() < target and all(process.poll() is None for process in running):
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.1))
            if any(process.poll() is not None for process in running):
                break  # all is trained, or one has failed
            place = int(rng.integers(4))
            running[place].kill()
            running[place].communicate()
            kills += 1
            running[place] = start()
        for process in running:
            _, said = process.communicate()
            assert process.returncode == 0, said.decode()
    finally:
        for process in running:
            process.kill()
    assert kills >= 3, f"killed {kills} times only"
    table = tables.load(folder / "a.npz")
    assert_same(table, alone)
    cells = [tuple(map(int, line.split())) for line in trained.read_text().splitlines()]
    assert set(cells) == {(row, seed) for row in range(6) for seed in range(4)}
    assert len(cells) - 24 <= 2 * kills  # nothing is trained twice but what was in flight
    with open_log(plan_of(keywords, sample=6), folder / "a.sqlite") as log:
        assert sorted(log.done()) == sorted(set(cells))
        assert log.claim(cells, 1) == []


def test_a_table_is_the_same_whoever_finishes_it(straight: Table, tmp_path: Path) -> None:
    """What each process adds to the log is whole: one trains a part, another ends it and writes."""
    path = tmp_path / "a.npz"
    plan = plan_of()
    code = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "from pathlib import Path\n"
        "from archgym.table_tools.builder import Builder\n"
        "from archgym.table_tools.plan import Plan, open_log, settings_of\n"
        f"plan = Plan(settings_of({SHORT!r}), seeds=4, ages=(1, 3), episodes=2, sample=3)\n"
        f"with open_log(plan, Path({str(path.with_suffix('.sqlite'))!r})) as log:\n"
        "    Builder(plan, log).step(5)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    with open_log(plan, path.with_suffix(".sqlite")) as log:
        assert len(log.done()) == 4
    assert_same(built(plan, path), straight)
    assert json.loads(path.with_suffix(".json").read_text())["seeds"] == asdict(straight.card)["seeds"]


def test_shared_weight_scores_have_a_cell_per_seed(tmp_path: Path) -> None:
    plan = plan_of({**SHORT, "windows": 1}, seeds=2, ages=(1,), **SHARED)
    with open_log(plan, tmp_path / "a.sqlite") as log:
        builder = Builder(plan, log)
        assert builder.cells[:2] == [(SUPERNET, 0), (SUPERNET, 1)]
        assert builder.work(builder.cells) == 2 * 5 + 6 * 1
        assert builder.missing() == builder.cells
        log.hand_in({builder.cells[3]: {}})
        assert builder.missing() == [cell for cell in builder.cells if cell != builder.cells[3]]
