"""Training from scratch: for just so many steps, however they divide, and killed or not."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archgym import journal
from archgym.compare.comparison import Comparison
from archgym.population import Population
from archgym.problem import Problem
from archgym.running import jobs, scratch, workers
from archgym.running.arms import Args
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


def test_what_was_trained_is_read_again_only_if_the_same_is_asked_for(tmp_path: Path) -> None:
    keywords = {"envs_per_member": 1, "window_steps": 625, "batch_size": 16, "windows": 1, "transfer": "own"}
    settings = Settings.from_keywords(keywords)
    job = scratch.Job(settings.to_dict(), [0, 0, 0], [1, 2], tmp_path, "report-x", True)
    first = scratch.train(job)
    assert np.shape(first["curves"]) == (2, 1)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert sorted(path.name for path in stamps) == ["report-x.json", "report-x.result.json", "report-x.safetensors"]
    assert scratch.train(job) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == stamps
    longer = scratch.train(replace(job, settings=replace(settings, windows=2).to_dict()))
    assert np.shape(longer["curves"]) == (2, 2)
    assert scratch.train(replace(job, seeds=[3, 2]))["curves"][1] == first["curves"][1] != first["curves"][0]


@pytest.mark.parametrize("head", [0, 40])
def test_a_training_from_scratch_that_is_killed_goes_on_from_its_checkpoint(
    head: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keywords = {"envs_per_member": 2, "window_steps": 80, "batch_size": 16, "windows": 40, "transfer": "own"}
    settings = Settings.from_keywords({**keywords, "learning_starts": 40, "horizon": 3200})
    whole, killed = (
        scratch.Job(settings.to_dict(), [0, 0, 0], [1, 2], tmp_path / name, "it", True, head)
        for name in ("whole", "killed")
    )
    for job in (whole, killed):
        job.folder.mkdir()
    code = (
        "from pathlib import PosixPath\nfrom archgym import journal\nfrom archgym.running.scratch import Job, train\n"
    )
    code += f"journal.CHECKPOINT_SECONDS = 0\ntrain({killed!r})"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    while not killed.journal.exists() or killed.journal.read_bytes().count(b"\n") < 8:
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert killed.result() is None
    done = killed.journal.read_bytes().count(b"\n") - 1
    assert 0 < done < 40, "it was killed too late"

    trained, train_window = [0], Population.train_window

    def counted(self: Population, *given: Any) -> Any:
        trained[0] += 1
        return train_window(self, *given)

    monkeypatch.setattr(Population, "train_window", counted)
    again = scratch.train(killed)
    assert trained[0] <= 40 - done + 2, "the window under way, and the head"
    assert sorted(path.name for path in killed.folder.iterdir()) == ["it.json", "it.result.json", "it.safetensors"]
    once = scratch.train(whole)
    assert {**again, "seconds": 0} == {**once, "seconds": 0}
    assert (killed.folder / "it.safetensors").read_bytes() == (whole.folder / "it.safetensors").read_bytes()


def test_the_record_of_a_training_tells_how_far_it_is_and_that_of_another_one_is_removed(tmp_path: Path) -> None:
    settings = Settings.from_keywords({"envs_per_member": 1, "window_steps": 64, "windows": 4, "transfer": "own"})
    job = scratch.Job(settings.to_dict(), [0, 0, 0], [1], tmp_path, "it", False)
    work = workers.Job("it", scratch.train, (job,))
    assert (scratch.is_begun(job), jobs.share(work)) == (False, 0.0)
    record = journal.Journal(Population(Problem(settings), 1), job.journal, job.order, resume=False)
    record.evaluator.reset(job.seeds)
    for share in (0.25, 0.5, 0.75, 0.99):
        record.train_window(np.array([job.action]))
        assert jobs.share(work) == share
    record.close()
    assert scratch.is_begun(job)
    assert not scratch.is_begun(replace(job, seeds=[2]))
    assert not job.journal.exists()
    job.journal.write_bytes(b'{"check": "0000')  # killed while its first line was written
    assert not scratch.is_begun(job)
