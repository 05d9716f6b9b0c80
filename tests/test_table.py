"""A recorded table in memory: its queries against the arrays, what they cost, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archgym import table as tables
from archgym import table_file
from archgym.inner.tasks import TASKS
from archgym.table import Counters, Table

Make = Callable[..., Table]


@pytest.fixture(scope="module")
def planted(planted_table: Make) -> Table:
    return planted_table()


@pytest.fixture
def table(planted: Table) -> Table:
    planted.reset_budget_counters()
    return planted


# What a query gives


def test_a_query_is_the_mean_over_the_search_seeds_at_the_end_of_the_curve(table: Table) -> None:
    row = 7
    answer = table.query(table.architectures[row])
    raw = table.columns["raw_return"]
    assert answer.raw_return == pytest.approx(raw[row, :2, -1].mean())
    task = TASKS["CartPole-v1"]
    span = task.reference_return - task.random_return
    assert answer.normalised_return == pytest.approx((answer.raw_return - task.random_return) / span)
    assert answer.normalised_return == pytest.approx(table.normalised[row, :2, -1].mean())
    assert answer.area == pytest.approx(table.normalised[row, :2].mean())
    assert answer.evaluation == pytest.approx(table.evaluations[row, :2, 1].mean())
    assert answer.env_steps == 2 * 5 * 400
    assert answer.seconds == pytest.approx(table.columns["seconds"][row, :2].sum())


@pytest.mark.parametrize(("budget", "windows"), [(400, 1), (800, 2), (np.int64(1200), 3), (2000, 5), (None, 5)])
@pytest.mark.parametrize("seed", [0, 1, np.int32(1)])
def test_a_query_of_one_seed_and_a_budget_is_that_curve_up_to_there(
    budget: int | None, windows: int, seed: int, table: Table
) -> None:
    answer = table.query(table.architectures[3], budget, seed)
    assert answer.raw_return == table.columns["raw_return"][3, seed, windows - 1]
    assert answer.area == pytest.approx(table.normalised[3, seed, :windows].mean())
    assert answer.env_steps == windows * 400
    assert answer.seconds == pytest.approx(table.columns["seconds"][3, seed, :windows].sum())
    played = {2: 0, 5: 1}.get(windows)
    assert answer.evaluation == (None if played is None else table.evaluations[3, seed, played])


def test_an_answer_knows_the_size_of_the_network(table: Table) -> None:
    answer = table.query(table.space.parse("depth=2 width=32 activation=tanh"))
    assert answer.parameters == (4 + 1) * 32 + (32 + 1) * 32 + (32 + 1) * 2
    assert answer.flops == 2 * (4 * 32 + 32 * 32 + 32 * 2)


def test_a_curve_is_the_return_of_every_window_and_costs_as_much_as_a_query_of_all_of_it(table: Table) -> None:
    raw = table.columns["raw_return"]
    assert table.curve(table.architectures[5], 1).tolist() == raw[5, 1].tolist()
    assert table.curve(table.architectures[5]) == pytest.approx(raw[5, :2].mean(0))
    charged = table.get_budget_counters()
    table.reset_budget_counters()
    for seed in (1, None):
        assert (
            table.query(table.architectures[5], None, seed).raw_return == table.curve(table.architectures[5], seed)[-1]
        )
    assert table.get_budget_counters() == Counters(2 * charged.env_steps, pytest.approx(2 * charged.seconds))
    table.curve(table.architectures[5], 0)[:] = 0  # is the caller's own
    assert (raw[5, 0] > 0).all()


def test_no_curve_of_a_test_seed_is_given(table: Table) -> None:
    with pytest.raises(ValueError, match=r"seed: expected a search seed from 0 to 1 .*, got 2"):
        table.curve(table.architectures[0], 2)
    assert table.get_budget_counters() == Counters()


def test_an_architecture_may_be_given_as_a_line(table: Table) -> None:
    line = "depth=3 width=32 activation=tanh"
    architecture = table.space.parse(line)
    assert table.index(line) == table.index(architecture)
    assert table.index("default") == table.index(table.space.default_architecture)
    assert table.is_valid(line)
    assert not table.is_valid("depth=3 width=32 activation=sine")
    assert table.query(line, 800, 1) == table.query(architecture, 800, 1)
    assert table.curve(line).tolist() == table.curve(architecture).tolist()
    assert table.regret(line, "greedy") == table.regret(architecture, "greedy")
    assert table.simulate_train_eval(line)[:2] == table.simulate_train_eval(architecture)[:2]
    with pytest.raises(ValueError, match="unknown option of 'activation' 'sine': expected one of"):
        table.query("depth=3 width=32 activation=sine")


def test_queries_are_charged_until_the_counters_are_reset(table: Table) -> None:
    assert table.get_budget_counters() == Counters(0, 0.0)
    first = table.query(table.architectures[0], 400, 1)
    assert table.get_budget_counters() == Counters(first.env_steps, first.seconds)
    second = table.query(table.architectures[1])
    total = table.get_budget_counters()
    assert total.env_steps == first.env_steps + second.env_steps == 400 + 4000
    assert total.seconds == pytest.approx(first.seconds + second.seconds)
    table.reset_budget_counters()
    assert table.get_budget_counters() == Counters()


def test_only_queries_cost_anything(table: Table) -> None:
    table.best()
    table.regret(table.architectures[0])
    table.is_valid(table.architectures[0])
    table.scores()
    with pytest.raises(ValueError, match="budget"):
        table.query(table.architectures[0], 401)
    assert table.get_budget_counters() == Counters()


def test_simulate_train_eval_gives_the_area_its_seconds_and_those_of_all_so_far(table: Table) -> None:
    own = table.query(table.architectures[2])
    area, seconds, total = table.simulate_train_eval(table.architectures[4], 800, 0)
    other = table.query(table.architectures[4], 800, 0)
    assert (area, seconds) == (other.area, other.seconds)
    assert total == pytest.approx(own.seconds + seconds)


# Search seeds and test seeds


def test_searches_see_the_first_half_of_the_seeds_and_the_truth_stands_on_the_second(planted_table: Make) -> None:
    table, altered = planted_table(), planted_table()
    altered.columns["raw_return"] = altered.columns["raw_return"].copy()
    altered.columns["raw_return"][:, 2:] = np.random.default_rng(9).uniform(9, 500, (27, 2, 5))
    for architecture in table.architectures:
        assert table.query(architecture) == altered.query(architecture)
    assert not np.array_equal(table.truth(), altered.truth())
    searched = planted_table()
    searched.columns["raw_return"] = searched.columns["raw_return"].copy()
    searched.columns["raw_return"][:, :2] = 500.0
    assert np.array_equal(table.truth(), searched.truth())
    assert np.array_equal(table.best(), searched.best())


@pytest.mark.parametrize("kind", tables.SCORES)
def test_the_best_has_the_highest_mean_score_over_the_test_seeds(kind: str, table: Table) -> None:
    low, high = table.problem.random_return, table.problem.reference_return
    judged = {
        "area": table.normalised[:, 2:].mean((1, 2)),
        "last_fifth": table.normalised[:, 2:, 4].mean(1),  # of five windows
        "greedy": (table.evaluations[:, 2:, 1].mean(1) - low) / (high - low),  # at the newer of two ages
    }
    truth = judged[kind]
    best = int(np.argmax(truth))
    assert np.array_equal(table.best(kind), table.architectures[best])
    assert table.regret(table.best(kind), kind) == 0.0
    for row in range(27):
        assert table.regret(table.architectures[row], kind) == pytest.approx(truth[best] - truth[row])


@pytest.mark.parametrize(("seeds", "searched"), [(2, 1), (3, 1), (10, 5), (11, 5)])
def test_half_of_the_seeds_rounded_down_are_for_searches(seeds: int, searched: int, planted_table: Make) -> None:
    table = planted_table(seeds=seeds)
    assert table.card.search_seeds == searched
    assert table.query(table.architectures[0]).env_steps == searched * 5 * 400


def test_scores_are_of_every_curve(table: Table) -> None:
    assert np.allclose(table.scores("area"), table.normalised.mean(2))
    assert np.array_equal(table.scores("last_fifth"), table.normalised[:, :, 4])
    assert table.scores("greedy").shape == (27, 4)
    for row, seed in ((0, 0), (26, 3)):
        assert table.scores("greedy")[row, seed] == table.problem.normalise(table.evaluations[row, seed, -1])


def test_a_table_without_greedy_evaluations_has_no_greedy_score(planted_table: Make) -> None:
    table = planted_table(ages=())
    with pytest.raises(ValueError, match="expected a table with greedy evaluations, got one without"):
        table.best("greedy")
    assert table.regret(table.best()) == 0


def test_the_last_fifth_is_rounded_down_and_at_least_a_window(planted_table: Make) -> None:
    for windows, last in ((1, 1), (4, 1), (9, 1), (10, 2), (24, 4)):
        table = planted_table(windows=windows, ages=(1,))
        assert np.allclose(table.scores("last_fifth"), table.normalised[:, :, windows - last :].mean(2))


# What is in a table


def test_a_full_table_holds_every_architecture_of_its_space(table: Table) -> None:
    assert table.full
    assert table.windows == 5
    for row, architecture in enumerate(table.space.enumerate()):
        assert table.is_valid(architecture)
        assert table.index(architecture) == row


def test_a_sampled_table_names_the_nearest_of_what_it_holds(planted_table: Make) -> None:
    table = planted_table(rows=6)
    held = {one.tobytes() for one in table.architectures}
    absent = [one for one in table.space.enumerate() if one.tobytes() not in held]
    assert not table.full
    assert len(absent) == 21
    for architecture in absent:
        assert not table.is_valid(architecture)
        nearest = table.nearest(architecture)
        differences = (table.architectures != architecture).sum(1)
        assert differences[nearest] == differences.min()
        size = table.space.network_of(architecture).parameters(4, 2)
        factors = np.maximum(table.sizes[:, 0] / size, size / table.sizes[:, 0])
        assert factors[nearest] == factors[differences == differences.min()].min()
        label = table.space.label(table.architectures[nearest])
        with pytest.raises(ValueError, match=f"is not in the table of 6 .6 drawn.* Nearest: '{label}'") as caught:
            table.query(architecture)
        assert "\n" not in str(caught.value)


def test_an_inactive_choice_does_not_matter(planted_table: Make) -> None:
    table = planted_table(space="mlp-wide", rows=40)
    shallow = next(one for one in table.architectures if one[0] < 3)
    odd = shallow.copy()
    odd[4] = 2  # the width of a fourth layer that is not there
    assert table.index(odd) == table.index(shallow)


@pytest.mark.parametrize("wrong", [[0, 0], [0, 0, 3], [0, -1, 0], [0.0, 0.0, 0.0], b"mlp", "depth=2", [[0, 0, 0]]])
def test_what_is_no_architecture_is_not_valid(wrong: Any, table: Table) -> None:
    assert not table.is_valid(wrong)
    with pytest.raises(ValueError, match="architecture of 'mlp': expected"):
        table.query(wrong)


@pytest.mark.parametrize("budget", [0, -400, 401, 399, 2400, True, 400.0, "400"])
def test_a_budget_is_whole_windows_of_what_is_recorded(budget: Any, table: Table) -> None:
    with pytest.raises(ValueError, match=r"budget: expected .* whole windows of 400, up to the 2,000 .*, got ") as told:
        table.query(table.architectures[0], budget)
    assert repr(budget) in str(told.value)


@pytest.mark.parametrize("seed", [2, -1, True, 0.0, "0"])
def test_a_seed_is_one_of_the_search_seeds(seed: Any, table: Table) -> None:
    with pytest.raises(ValueError, match=r"seed: expected a search seed from 0 to 1 .*, got "):
        table.query(table.architectures[0], None, seed)


@pytest.mark.parametrize("count", [0, 2, 10])
def test_windows_are_merged_by_a_divisor_of_their_number(count: int, table: Table) -> None:
    with pytest.raises(ValueError, match=rf"merged: expected a divisor of the 5 recorded windows, got {count}\."):
        table.merged(count)


@pytest.mark.parametrize("call", ["best", "scores", "truth"])
def test_an_unknown_score_is_refused(call: str, table: Table) -> None:
    with pytest.raises(ValueError, match="score: expected one of 'area', 'last_fifth', 'greedy', got 'final'"):
        getattr(table, call)("final")


# What belongs together


def rebuilt(table: Table, **changes: Any) -> Table:
    parts = {name: getattr(table, name) for name in ("architectures", "columns", "evaluations", "supernet")}
    card = replace(table.card, **{n: v for n, v in changes.items() if n not in parts})
    return Table(card, **{**parts, **{n: v for n, v in changes.items() if n in parts}})


@pytest.mark.parametrize("name", ["raw_return", "seconds", "architectures", "evaluations", "supernet"])
def test_arrays_of_another_shape_are_refused(name: str, planted_table: Make) -> None:
    table = planted_table(supernet=True)
    changes: dict[str, Any] = {name: getattr(table, name, np.zeros(0))[:-1]}
    if name in table.columns:
        changes = {"columns": {**table.columns, name: table.columns[name][:, :, :-1]}}
    with pytest.raises(ValueError, match=rf"table: expected {name} of shape \(.*\), got \("):
        rebuilt(table, **changes)


@pytest.mark.parametrize(
    ("seeds", "windows", "sentence"),
    [
        (1, 5, "table: expected at least 2 seeds, one for searches and one for tests, got 1"),
        (0, 5, "table: expected at least 2 seeds, one for searches and one for tests, got 0"),
        (4, 0, "windows: expected a positive integer, got 0"),
    ],
)
def test_a_table_that_no_search_could_be_answered_from_is_refused(
    seeds: int, windows: int, sentence: str, table: Table
) -> None:
    card = replace(table.card, seeds=table.card.seeds[:seeds], settings={**table.card.settings, "windows": windows})
    columns = {name: column[:, :seeds, :windows] for name, column in table.columns.items()}
    with pytest.raises(ValueError, match=sentence):
        Table(card, table.architectures, columns, table.evaluations[:, :seeds])


def test_shared_weight_scores_and_what_the_card_tells_of_them_come_together(planted_table: Make, table: Table) -> None:
    scored = planted_table(supernet=True)
    with pytest.raises(ValueError, match=r"expected shared-weight scores and a card that tells .* the scores alone"):
        Table(table.card, scored.architectures, scored.columns, scored.evaluations, scored.supernet)
    with pytest.raises(ValueError, match="got the card alone"):
        Table(scored.card, scored.architectures, scored.columns, scored.evaluations)


def test_a_search_space_that_has_changed_is_refused(table: Table) -> None:
    depth, width, activation = table.card.choices
    for other in (
        [depth, (width[0], [32, 64]), activation],
        [depth, activation, width],
        [depth, ("breadth", width[1]), activation],
        [depth, width],
    ):
        with pytest.raises(ValueError, match=r"expected the search space 'mlp' that it was recorded with .*depth"):
            rebuilt(table, choices=other)


def test_settings_that_this_archgym_does_not_know_are_refused(table: Table) -> None:
    with pytest.raises(ValueError, match="recorded by another archgym: here are no settings momentum"):
        rebuilt(table, settings={**table.card.settings, "momentum": 0.9})


# In a file


def test_a_table_comes_back_from_its_file_bit_for_bit(planted_table: Make, tmp_path: Path) -> None:
    for table in (planted_table(supernet=True), planted_table(rows=6, seeds=3)):
        card = tables.save(table, tmp_path / "a.npz")
        found = tables.load(tmp_path / "a.npz")
        assert found.card == card == table.card
        assert np.array_equal(found.architectures, table.architectures)
        assert found.architectures.dtype == np.int64
        for name, column in table.columns.items():
            assert np.array_equal(found.columns[name], column)
            assert found.columns[name].dtype == table_file.COLUMNS[name]
        assert np.array_equal(found.evaluations, table.evaluations)
        if table.supernet is None:
            assert found.supernet is None
        else:
            assert np.array_equal(found.supernet, table.supernet)  # type: ignore[arg-type]


def test_a_file_that_is_loaded_twice_is_read_once_and_every_caller_counts_for_itself(
    planted_table: Make, tmp_path: Path
) -> None:
    tables.save(planted_table(), tmp_path / "a.npz")
    one, other = tables.load(tmp_path / "a.npz"), tables.load(str(tmp_path / "a.npz"))
    assert one.columns["raw_return"] is other.columns["raw_return"]
    one.query(one.architectures[0])
    assert other.get_budget_counters() == Counters()
    tables.save(planted_table(draw=1), tmp_path / "a.npz")
    assert not np.array_equal(tables.load(tmp_path / "a.npz").columns["raw_return"], one.columns["raw_return"])


def test_what_is_loaded_cannot_be_written(planted_table: Make, tmp_path: Path) -> None:
    tables.save(planted_table(supernet=True), tmp_path / "a.npz")
    table = tables.load(tmp_path / "a.npz")
    for array in (*table.columns.values(), table.evaluations, table.architectures, table.supernet):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0  # type: ignore[index]
    table.best()[0] = 99
    assert table.best()[0] != 99
