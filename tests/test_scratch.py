"""Training from scratch for just so many steps, however they divide."""

from dataclasses import replace
from pathlib import Path

import pytest

from archgym import scratch
from archgym.arms import Args
from archgym.comparison import Comparison
from archgym.problem import Problem
from archgym.settings import Settings

INNER = {"learning_starts": 40, "batch_size": 16, "train_frequency": 4}
SETTINGS = Settings(windows=3, window_steps=120, horizon=360, transfer="own", trainer_settings=INNER)


def trained(settings: Settings, head: int, folder: Path) -> dict[str, list[list[float]]]:
    job = scratch.Job(settings.to_dict(), [0, 0, 1], [1, 2], folder, f"{settings.windows}-{head}", False, head)
    result: dict[str, list[list[float]]] = scratch.train(job)
    return result


def test_a_training_goes_on_from_its_head_as_from_any_window(tmp_path: Path) -> None:
    whole = trained(SETTINGS, 0, tmp_path)
    parts = trained(replace(SETTINGS, windows=2), 120, tmp_path)
    assert parts["curves"] == [curve[1:] for curve in whole["curves"]]
    assert parts["steps"] == whole["steps"] == 2 * 360


def test_a_head_is_counted_and_in_no_curve(tmp_path: Path) -> None:
    result = trained(replace(SETTINGS, horizon=364), 4, tmp_path)  # one step of every inner environment
    assert result["steps"] == 2 * 364
    assert [len(curve) for curve in result["curves"]] == [3, 3]
    assert result["curves"] != trained(replace(SETTINGS, horizon=364), 0, tmp_path)["curves"]


@pytest.mark.parametrize(
    ("steps", "window", "windows", "head"),
    [(60_000, 2500, 24, 0), (60_004, 2500, 24, 4), (2_600, 2500, 1, 100), (2_500, 2500, 1, 0), (400, 400, 1, 0)],
)
def test_an_exact_training_takes_just_so_many_steps(steps: int, window: int, windows: int, head: int) -> None:
    settings = Settings(transfer="shared", reward="evaluation", cost_weight=1.0, evaluation_steps=40_000)
    own, first = scratch.exact_retraining(settings, steps)
    assert (own.window_steps, own.windows, first) == (window, windows, head)
    assert window * windows + head == steps == Problem(own).horizon
    assert (own.transfer, own.reward, own.cost_weight, own.evaluation_steps) == ("own", "return", 0.0, None)
    kept, _ = scratch.exact_retraining(replace(settings, horizon=999), steps)
    assert kept.horizon == 999  # as in every other training of these settings


def test_what_is_handed_on_at_a_switch_does_not_keep_anybody_from_training_from_scratch() -> None:
    switching = {"transfer": "matching", "replay_keep": 0.25, "exploration": "bump", "reset_layers": 1}
    settings, _ = scratch.retraining(Settings(**switching), 60_000)  # type: ignore[arg-type]
    assert settings == scratch.retraining(Settings(), 60_000)[0]
    distilled, _ = scratch.retraining(Settings(transfer="distil", distil_steps=7), 60_000)
    assert distilled == settings


def test_a_search_whose_games_live_on_is_trained_from_scratch_with_games_that_live_on(tmp_path: Path) -> None:
    """In windows as long as the search's: its late states are reached in no other way."""
    carried = replace(SETTINGS, inner_envs="carry", window_steps=40)
    own, steps = scratch.retraining(carried, 360)
    assert (own.inner_envs, own.window_steps, own.windows, steps) == ("carry", 40, 9, 360)
    found = trained(own, 0, tmp_path)
    assert [len(curve) for curve in found["curves"]] == [9, 9]
    (tmp_path / "fresh").mkdir()
    fresh = trained(replace(own, inner_envs="fresh"), 0, tmp_path / "fresh")
    assert found["curves"] != fresh["curves"]
    without = scratch.retraining(replace(carried, inner_envs="fresh"), 360)[0]
    assert (without.inner_envs, without.window_steps) == ("fresh", 2500)
    exact, _ = scratch.exact_retraining(carried, 360)
    assert exact.inner_envs == "fresh"  # nothing could be handed on from a head


def test_all_trainings_of_a_comparison_play_the_same_game() -> None:
    own = Comparison(["random-search"], Args(inner=("inner_envs=carry",), window_steps=200, num_envs=1))
    jobs = own._job("CartPole-v1", 1, [0, 0, 0], [1]), own._exact_job("CartPole-v1", 1, [0, 0, 0], [1], 60_100)
    assert {(job.settings["inner_envs"], job.settings["window_steps"]) for job in jobs} == {("fresh", 2500)}
