"""What a sampled table leaves out, against brute force."""

from collections.abc import Callable

import numpy as np
import pytest

from archgym.table import Table
from archgym.table_describe import sample
from archgym.table_describe.sample import left_out

Make = Callable[..., Table]


def test_nothing_is_left_out_of_a_full_table(planted_table: Make) -> None:
    assert left_out(planted_table()) is None


def test_distances_to_the_nearest_are_counted_choice_by_choice(
    planted_table: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "CHUNK", 7)  # so that there is a rest
    table = planted_table(rows=5)
    every = np.stack(list(table.space.enumerate()))
    distances = [min((one != held).sum() for held in table.architectures) for one in every]
    found = left_out(table)
    assert found is not None
    assert (found["size"], found["counted"]) == (27, 27)
    assert found["shares"] == pytest.approx(np.bincount(distances) / 27)
    assert found["shares"][0] == pytest.approx(5 / 27)


def test_a_choice_that_only_one_of_two_has_is_one_that_they_do_not_share(planted_table: Make) -> None:
    drawn = planted_table(space="mlp-wide", rows=1)
    space, one = drawn.space, drawn.space.encode_options(
        {"depth": 1, "width_1": 16, "activation": "relu", "layer_norm": False}
    )  # fmt: skip
    table = Table(drawn.card, one[None], drawn.columns, drawn.evaluations)
    expected = {1: 0, 2: 3, 3: 4, 4: 5}  # depth; and the widths that come with it, and skips
    every = [space.describe(other) for other in space.enumerate()]
    own = space.describe(one)
    distances = [
        expected[int(other["depth"])]
        + sum(other[name] != own[name] for name in ("width_1", "activation", "layer_norm"))
        for other in every
    ]  # fmt: skip
    found = left_out(table)
    assert found is not None
    assert found["shares"] == pytest.approx(np.bincount(distances) / 4056)


def test_of_a_large_space_some_are_drawn(planted_table: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    table = planted_table(rows=9)
    exact = left_out(table)
    monkeypatch.setattr(sample, "MOST_COUNTED", 26)
    found = left_out(table, seed=1)
    assert exact is not None
    assert found is not None
    assert (found["size"], found["counted"]) == (27, 10_000)
    assert found["shares"] == pytest.approx(exact["shares"], abs=0.02)
    assert found == left_out(table, seed=1)
    assert found != left_out(table, seed=2)
