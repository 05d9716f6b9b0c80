"""The tables that come with archgym: each is whole, says how it was made, and holds what training gives."""

import numpy as np
import pytest

from archgym import table as tables
from archgym import table_card
from archgym.table import Table
from archgym.table_file import COLUMNS
from archgym.table_tools.check import Args, check

NAMES = [  # what is promised, whatever lies in the folder
    "dqn--mini-kernels--Orchard-v0",
    "dqn--mlp--Acrobot-v1",
    "dqn--mlp--CartPole-v1",
    "dqn--mlp--LunarLander-v3",
    "dqn--mlp--MountainCar-v0",
    "dqn--mlp--NASDQNPendulum-v0",
    "dqn--mlp-wide--Acrobot-v1",
    "dqn--mlp-wide--CartPole-v1",
    "dqn--mlp-wide--LunarLander-v3",
]
ARCHITECTURES = {"mlp": 27, "mlp-wide": 256, "mini-kernels": 27}  # at least
SEEDS = {"mlp": 10, "mlp-wide": 6, "mini-kernels": 10}  # at least
SCORED = {"dqn--mlp--CartPole-v1", "dqn--mlp--Acrobot-v1"}  # hold shared-weight scores
LARGEST, TOGETHER = 50_000_000, 8_000_000  # bytes


@pytest.fixture(scope="module", params=NAMES)
def table(request: pytest.FixtureRequest) -> Table:
    return tables.load(request.param)


def test_all_that_are_promised_are_there_and_no_others() -> None:
    assert table_card.shipped() == NAMES


def test_all_together_are_small() -> None:
    files = [file for file in table_card.SHIPPED.iterdir() if file.suffix in (".npz", ".json")]
    assert {file.stem for file in files} == set(NAMES)
    assert len(files) == 2 * len(NAMES)
    assert max(file.stat().st_size for file in files) < LARGEST
    assert sum(file.stat().st_size for file in files) < TOGETHER


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_of_trainer_space_and_task(name: str) -> None:
    card = table_card.read(table_card.find(name, {}))
    assert table_card.name_of(card.settings) == name
    assert table_card.find("auto", card.settings) == table_card.find(name, {})


def test_its_card_is_complete(table: Table) -> None:
    card = table.card
    assert card.command.startswith("archgym table build ")
    assert card.licence == "CC0-1.0"
    assert card.schema == table_card.SCHEMA
    assert card.sample
    assert card.seconds > 0
    assert {"processor", "learner", "archgym", "numpy", "torch", "envpool", "gymnasium"} <= card.computed.keys()
    assert all(card.computed.values())
    assert len(set(card.seeds)) == len(card.seeds)
    assert (card.settings["transfer"], card.settings["exact"]) == ("own", True)
    assert card.settings["window_steps"]


def test_it_holds_as_many_architectures_seeds_and_windows_as_promised(table: Table) -> None:
    space, name = table.space.name, table_card.name_of(table.card.settings)
    assert len(table.architectures) >= ARCHITECTURES[space]
    assert table.full == (space != "mlp-wide")
    assert len({one.tobytes() for one in table.architectures}) == len(table.architectures)
    assert any(np.array_equal(one, table.space.default_architecture) for one in table.architectures)
    assert len(table.card.seeds) >= SEEDS[space]
    assert table.windows >= 20
    assert (len(table.card.ages), table.card.episodes) == (5, 10)
    assert table.card.ages[-1] == table.windows
    assert (table.supernet is not None) >= (name in SCORED)


def test_its_numbers_are_numbers(table: Table) -> None:
    for name in COLUMNS:
        assert np.isfinite(table.columns[name]).all(), name
    assert np.isfinite(table.evaluations).all()
    assert table.supernet is None or np.isfinite(table.supernet).all()
    assert (table.columns["env_steps"] == table.problem.window_steps).all()
    assert (table.columns["seconds"] > 0).all()
    assert (table.columns["gradient_steps"][:, :, -1] > 0).all()
    assert ((table.columns["cut_share"] >= 0) & (table.columns["cut_share"] <= 1)).all()
    assert table.columns["diverged"].mean() < 0.01


def test_its_curves_differ(table: Table) -> None:
    """No row stands twice: losses of different learners are never equal."""
    losses = table.columns["loss"][:, :, -1].ravel()
    assert len(np.unique(losses)) > 0.99 * len(losses)


def test_a_row_that_is_trained_again_gives_the_record(table: Table) -> None:
    (how, _), (row, good) = check(table, Args(rows=1, windows=2, seed=1))
    assert good, f"{how}; {row}"
    if not how.endswith("exactly"):
        pytest.skip(f"{table_card.name_of(table.card.settings)}: {how}; {row}")
