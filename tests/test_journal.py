"""The record of a search: what stands in it, that it resumes bit for bit, and what is wrong with a damaged one."""

import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import archgym
from archgym import checkpoint, journal
from archgym.native import library
from archgym.settings import TRANSFERS

SHORT = {"windows": 3, "envs_per_member": 2, "window_steps": 24, "learning_starts": 6, "batch_size": 8}
KEYWORDS = {**SHORT, "evaluation_episodes": 2}
Room = Callable[[int], AbstractContextManager[None]]

pytestmark = pytest.mark.filterwarnings("ignore:window_steps=.* is shorter")


def make(path: Path | None, *, resume: bool = False, **keywords: Any) -> Any:
    """Make two members; None: without a record."""
    journal, own = str(path or ""), {"distil_steps": 3} if keywords.get("transfer") == "distil" else {}
    given = {**KEYWORDS, **own, **keywords}
    return gym.make_vec("ArchSearch-DQN-v0", num_envs=2, journal=journal, resume=resume, **given)


def calls(envs: Any) -> Iterator[Any]:
    """Do everything that a record knows, with all results; what comes first of a call that fails is never given."""
    space, rng = envs.unwrapped.search_space, np.random.default_rng(8)

    def draw() -> Any:
        return np.stack([space.sample(rng), space.sample(rng)])

    def step() -> Any:
        observations, rewards, over, _, infos = envs.step(draw())
        return [observations.tolist(), rewards.tolist(), over.tolist(), {k: v.tolist() for k, v in infos.items()}]

    yield envs.reset(seed=4)[0].tolist()
    yield step()
    early = envs.get_state()
    yield step()
    yield envs.evaluate(draw(), 2).tolist()
    yield envs.fork(np.int64(0), 1)
    yield step()
    yield envs.set_state(early)
    yield step()
    late = envs.get_state()
    yield envs.evaluate(draw(), 2, np.array([1, 0])).tolist()
    yield envs.reset(seed=[None, 9], options={"reset_mask": np.array([False, True])})[0].tolist()
    yield step()
    yield envs.set_state(late)
    yield step()
    yield step()  # begins new lifetimes
    yield step()
    yield envs.export(draw()[0], 1)(torch.ones(1, 4)).tolist()


CALLS = 15  # and the export, which is not recorded


def promotions(envs: Any) -> Iterator[Any]:
    """Train under `own`, and hand a learner over between: to a member that has none, and to one that has an old one."""
    yield envs.reset(seed=4)[0].tolist()
    one, other = np.array([0, 0, 1]), np.array([1, 1, 2])
    for _ in range(2):
        yield envs.step(np.stack([one, other]))[1].tolist()
        yield envs.fork(0, 1, one)
    yield envs.step(np.stack([other, one]))[1].tolist()
    yield envs.evaluate(np.stack([one, one]), 1).tolist()


def windows(envs: Any) -> Iterator[Any]:
    """Do nothing but train, two lifetimes long."""
    rng = np.random.default_rng(8)
    yield envs.reset(seed=4)[0].tolist()
    for _ in range(7):
        yield envs.step(np.stack([envs.search_space.sample(rng) for _ in range(2)]))[1].tolist()


def leave(envs: Any) -> None:
    """Let go of a record as a killed process does: without a last checkpoint."""
    envs.unwrapped._lives.evaluator._file.close()
    envs.unwrapped.closed = True


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Read a record without its times."""
    rows = journal.read_rows(path.read_bytes(), path)[0]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows with right checksums, whoever made them up."""
    check, lines = 0, []
    for row in rows:
        body = json.dumps(row)
        check = zlib.crc32(body.encode(), check)
        lines.append(f'{{"check": "{check:08x}", {body[1:]}\n')
    path.write_text("".join(lines))


def begun(folder: Path, count: int = 4, **keywords: Any) -> Path:
    """Make a record of the first calls, left as by a kill."""
    path = folder / "journal.jsonl"
    envs = make(path, **keywords)
    list(islice(calls(envs), count))
    leave(envs)
    return path


def resumed(path: Path, agent: Callable[[Any], Iterator[Any]] = calls, **keywords: Any) -> list[Any]:
    """Go on with a record to the end."""
    envs = make(path, resume=True, **keywords)
    try:
        return list(agent(envs))
    finally:
        envs.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], list[dict[str, Any]]]:
    """Play without an interruption: what the calls gave, and the record."""
    path = tmp_path_factory.mktemp("whole") / "journal.jsonl"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        envs = make(path)
    told = list(calls(envs))
    envs.close()
    return told, rows_of(path)


# What stands in it


def test_a_row_holds_what_was_asked_and_what_came_of_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    envs = make(path)
    told = list(calls(envs))
    rows = journal.read_rows(path.read_bytes(), path)[0]
    header, reset, train = rows[:3]
    assert header["call"] == "header"
    assert header["settings"] == {**envs.problem.settings.to_dict(), "num_envs": 2, "task_settings": {}}
    assert header["versions"]["archgym"] == archgym.__version__
    assert header["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert reset["call"] == "reset"
    assert reset["members"] == [0, 1]
    assert len(set(reset["seeds"])) == 2
    _, rewards, _, infos = told[1]
    space = envs.search_space
    assert train["call"] == "train_window"
    assert train["reward"] == rewards
    assert [space.label(np.array(action)) for action in train["action"]] == infos["architecture"]
    for name in ("raw_return", "parameters", "flops", "env_steps", "gradient_steps", "diverged", "switched"):
        assert train[name] == infos[name]
    assert train["seconds"].keys() == {"open", "switch", "evaluate", "env", "act", "learn", "agent"}
    assert all(seconds >= 0 for seconds in train["seconds"].values())
    assert [row["call"] for row in rows[1:]] == [
        *("reset", "train_window", "train_window", "evaluate", "fork", "train_window", "set_state", "train_window"),
        *("evaluate", "reset", "train_window", "set_state", "train_window", "reset", "train_window"),
    ]
    assert rows[4]["raw_return"] == told[3]
    assert (rows[5]["source"], rows[5]["target"]) == (0, 1)
    assert rows[7]["rows"] == 2  # the state that stood behind the second row
    assert rows[9]["members"] == [1, 0]


def test_each_line_carries_a_checksum_of_all_lines_up_to_it(tmp_path: Path) -> None:
    path = begun(tmp_path)
    rows = journal.read_rows(path.read_bytes(), path)[0]
    again = tmp_path / "again.jsonl"
    write_rows(again, rows)
    assert again.read_bytes() == path.read_bytes()
    assert len(rows) == 5


def test_recording_changes_nothing(whole: tuple[list[Any], Any], tmp_path: Path) -> None:
    told = list(calls(make(None)))
    assert told == whole[0]
    assert not any(tmp_path.iterdir())


# It resumes


@pytest.mark.parametrize(
    ("transfer", "behind"),  # calls since the last checkpoint; None: there is none
    [*((transfer, 0) for transfer in TRANSFERS), *((one, calls) for one in ("shared", "own") for calls in (None, 2))],
)
def test_a_search_killed_after_any_call_resumes_bit_for_bit(
    transfer: str, behind: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", 1e9 if behind is None else 0.0)
    path = tmp_path / "whole" / "journal.jsonl"
    path.parent.mkdir()
    envs = make(path, transfer=transfer)
    told = []
    for result in calls(envs):
        told.append(result)
        shutil.copytree(path.parent, tmp_path / str(len(told)))
    leave(envs)
    rows = rows_of(path)
    saved = path.with_suffix(".checkpoint.safetensors").name
    for count in range(CALLS, 0, -1):
        folder = tmp_path / str(count)
        assert (folder / saved).exists() == (behind is not None and count > 1)
        if behind and count > behind + 1:
            shutil.copy(tmp_path / str(count - behind) / saved, folder / saved)
        assert resumed(folder / path.name, transfer=transfer) == told, f"after call {count}"
        assert rows_of(folder / path.name) == rows, f"after call {count}"


@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["checkpoints", "no checkpoint"])
def test_a_fork_of_one_learner_is_on_record_and_resumes(
    seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", seconds)
    straight = list(promotions(make(None, transfer="own")))
    for count in range(1, len(straight)):
        path = tmp_path / f"{count}.jsonl"
        envs = make(path, transfer="own")
        assert list(islice(promotions(envs), count)) == straight[:count]
        leave(envs)
        assert resumed(path, promotions, transfer="own") == straight
        forks = [(row["source"], row["target"], row["action"]) for row in rows_of(path) if row["call"] == "fork"]
        assert forks == [(0, 1, [0, 0, 1])] * 2


def test_another_fork_than_the_recorded_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    envs = make(path, transfer="own")
    list(islice(promotions(envs), 3))
    leave(envs)
    envs = make(path, resume=True, transfer="own")
    list(islice(promotions(envs), 2))
    with pytest.raises(ValueError, match=r"call 2 of the agent is action=None, but the journal holds \[0, 0, 1\]"):
        envs.fork(0, 1)
    leave(envs)


def test_a_search_may_be_killed_again_and_again(whole: tuple[list[Any], list[Any]], tmp_path: Path) -> None:
    path = begun(tmp_path, 2)
    for count in (1, 3, 3, 7, 5, 12):
        envs = make(path, resume=True)
        assert list(islice(calls(envs), count)) == whole[0][:count]
        leave(envs)
    assert resumed(path) == whole[0]
    assert rows_of(path) == whole[1]


def test_closing_in_the_middle_leaves_a_checkpoint_that_resumes(
    whole: tuple[list[Any], list[Any]], tmp_path: Path
) -> None:
    path = tmp_path / "journal.jsonl"
    for count in (9, 3, 6, 11):  # the second and third stop where the record goes on, after a state was asked for
        envs = make(path, resume=path.exists())
        assert list(islice(calls(envs), count)) == whole[0][:count]
        envs.close()
        assert path.with_suffix(".checkpoint.safetensors").exists()
    assert resumed(path) == whole[0]


def test_a_finished_search_resumes_without_training(whole: tuple[list[Any], list[Any]], tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    envs = make(path)
    list(calls(envs))
    envs.close()
    before = path.read_bytes()
    envs = make(path, resume=True)
    replayed = [envs.reset(seed=4)[0].tolist()]
    rng = np.random.default_rng(8)
    for _ in range(2):
        envs.step(np.stack([envs.search_space.sample(rng) for _ in range(2)]))
    assert replayed == whole[0][:1]
    assert envs.timings["env"] == 0
    leave(envs)
    assert resumed(path) == whole[0]
    assert path.read_bytes() == before


def test_a_checkpoint_is_written_at_most_every_thirty_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert journal.CHECKPOINT_SECONDS == 30
    path = tmp_path / "journal.jsonl"
    saved = path.with_suffix(".checkpoint.safetensors")
    envs = make(path)
    told = calls(envs)
    list(islice(told, 3))
    assert not saved.exists()
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", 0.0)
    list(islice(told, 3))
    stamp = saved.stat().st_mtime_ns
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", 30.0)
    list(islice(told, 3))
    assert saved.stat().st_mtime_ns == stamp
    leave(envs)


@pytest.mark.filterwarnings("ignore:resume. dropped a half-written")
@pytest.mark.parametrize("lost", [1, 9, 300])
def test_a_half_written_last_line_is_dropped_with_a_message_and_nothing_else_is_lost(
    lost: int, whole: tuple[list[Any], list[Any]], tmp_path: Path
) -> None:
    path = begun(tmp_path, 6)
    data = path.read_bytes()
    path.write_bytes(data[:-lost])
    with pytest.warns(UserWarning, match="dropped a half-written last line of .*journal.jsonl"):
        envs = make(path, resume=True)
    assert path.read_bytes() == b"".join(data.splitlines(keepends=True)[:-1])
    leave(envs)
    assert resumed(path) == whole[0]
    assert rows_of(path) == whole[1]


@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["checkpoints", "no checkpoint"])
def test_a_population_that_is_lost_is_brought_back_before_any_call(
    seconds: float, whole: tuple[list[Any], list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", seconds)
    path, told = tmp_path / "journal.jsonl", []
    envs = make(path)
    for result in calls(envs):
        told.append(result)
        envs._lives.evaluator.live = False  # as after a call that broke off
    leave(envs)
    assert told == whole[0]
    assert rows_of(path) == whole[1]


def test_a_window_that_was_interrupted_is_trained_again_from_its_beginning(tmp_path: Path) -> None:
    """Ctrl-C in a notebook, which goes on; and in a process, which closes what it has and is resumed."""
    long = {"window_steps": 1500, "windows": 2}

    def steps(envs: Any) -> Iterator[Any]:
        yield envs.reset(seed=1)[0].tolist()
        for option in (0, 1):
            yield envs.step(np.full((2, 3), option))[1].tolist()

    def interrupt(envs: Any) -> None:
        handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            envs.step(np.full((2, 3), 1))
        signal.signal(signal.SIGALRM, handler)

    straight = list(steps(make(None, **long)))
    for name, checkpoints in (("notebook", 1), ("process", 0)):
        path = tmp_path / f"{name}.jsonl"
        envs = make(path, **long)
        assert list(islice(steps(envs), 2)) == straight[:2]
        if checkpoints:
            envs._lives.evaluator._checkpoint()
        interrupt(envs)
        if name == "notebook":
            assert envs.step(np.full((2, 3), 1))[1].tolist() == straight[2]
        envs.close()
        assert resumed(path, steps, **long) == straight


# What is wrong is told in one sentence


def refusal(path: Path, sentence: str, agent: Callable[[Any], Iterator[Any]] = calls, **keywords: Any) -> None:
    """A resume is refused, and what is there stays as it is."""
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(ValueError, match=sentence) as caught:
        resumed(path, agent, **keywords)
    assert "\n" not in str(caught.value)
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before


def alter(lines: list[bytes]) -> list[bytes]:
    at = lines[2].index(b'"reward": [') + len(b'"reward": [')
    digit = next(index for index in range(at, at + 9) if lines[2][index : index + 1].isdigit())
    other = b"1" if lines[2][digit : digit + 1] != b"1" else b"2"
    return [*lines[:2], lines[2][:digit] + other + lines[2][digit + 1 :], *lines[3:]]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (alter, "line 3 of .* was altered"),
        (lambda lines: [lines[0].replace(b'"own"', b'"fresh"'), *lines[1:]], "line 1 of .* was altered"),
        (lambda lines: [*lines[:2], *lines[3:]], "line 3 of .* was altered, or a line before it is missing"),
        (lambda lines: lines[1:], "line 1 of .* was altered"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "line 2 of .* was altered"),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], "line 4 of .* was altered"),
        (lambda lines: [*lines[:2], lines[2][:50] + b"\n", *lines[3:]], "line 3 of .* was altered"),
        (lambda lines: [b"no journal at all\n"], "line 1 of .* was altered"),
        (lambda lines: [lines[0][:100]], "holds no whole line"),
        (lambda lines: [], "expected a journal in .*, found none. Start without --resume"),
    ],
    ids=["altered", "header", "removed", "beheaded", "swapped", "doubled", "cut", "foreign", "torn header", "empty"],
)
def test_a_damaged_record_is_refused(
    damage: Callable[[list[bytes]], list[bytes]], sentence: str, tmp_path: Path
) -> None:
    path = begun(tmp_path, 4, transfer="own")
    path.write_bytes(b"".join(damage(path.read_bytes().splitlines(keepends=True))))
    refusal(path, sentence, transfer="own")


def test_a_resume_of_an_empty_folder_is_refused(tmp_path: Path) -> None:
    refusal(tmp_path / "journal.jsonl", "expected a journal in .*, found none")


def test_a_record_of_another_schema_is_refused(tmp_path: Path) -> None:
    path = begun(tmp_path)
    header, *rest = journal.read_rows(path.read_bytes(), path)[0]
    write_rows(path, [{**header, "schema": 2}, *rest])
    refusal(path, "expected schema 1, got 2")


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"windows": 4}, "windows was 3 and is now 4"),
        ({"transfer": "own"}, "transfer was 'shared' and is now 'own'"),
        ({"gamma": 0.5}, "trainer_settings was .* and is now .*'gamma': 0.5"),
        ({"exact": True}, "exact was False and is now True"),
    ],
)
def test_a_resume_with_other_settings_is_refused(other: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    refusal(begun(tmp_path), f"expected the settings that .* was made with; {sentence}", **other)


def test_a_resume_with_another_number_of_members_is_refused(tmp_path: Path) -> None:
    path = begun(tmp_path)
    with pytest.raises(ValueError, match="num_envs was 2 and is now 3"):
        gym.make_vec("ArchSearch-DQN-v0", num_envs=3, journal=str(path), resume=True, **KEYWORDS)


def test_a_record_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    path = begun(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="is already there; resume it"):
        make(path)
    assert path.read_bytes() == before


def test_a_new_record_forgets_the_checkpoint_of_an_old_one(whole: tuple[list[Any], list[Any]], tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    envs = make(path)
    list(islice(calls(envs), 9))
    envs.close()
    path.unlink()
    begun(tmp_path, 6)
    assert resumed(path) == whole[0]


def test_an_agent_that_decides_otherwise_is_told_so(tmp_path: Path) -> None:
    path = begun(tmp_path)
    envs = make(path, resume=True)
    with pytest.raises(ValueError, match="call 0 of the agent is seeds="):
        envs.reset(seed=5)
    envs.reset(seed=4)
    other = np.zeros((2, 3), dtype=np.int64)
    with pytest.raises(ValueError, match=r"call 1 of the agent is action=.* but the journal holds .* seed it"):
        envs.step(other)
    with pytest.raises(ValueError, match="call 1 of the agent is call='evaluate', but the journal holds 'train"):
        envs.evaluate(other)
    leave(envs)


def test_two_processes_never_write_one_record(whole: tuple[list[Any], list[Any]], tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    envs = make(path)
    told = calls(envs)
    list(islice(told, 3))
    with path.open("ab") as file:
        file.write(b'{"check": "half a li')  # as if the first process were writing just now
    before = path.read_bytes()
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import gymnasium, archgym, sys, json\n"
        f"gymnasium.make_vec('ArchSearch-DQN-v0', num_envs=2, journal={str(path)!r}, resume=True, **{KEYWORDS!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "is being written by another process" in done.stderr.splitlines()[-1]
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="is being written by another process or environment"):
        make(path, resume=True)
    leave(envs)
    with pytest.warns(UserWarning, match="half-written"):
        assert resumed(path) == whole[0]


def test_a_state_of_another_environment_is_refused_by_a_record(tmp_path: Path) -> None:
    free, recorded = make(None), make(tmp_path / "journal.jsonl")
    for envs in (free, recorded):
        envs.reset(seed=4)
    with pytest.raises(ValueError, match="expected a state that this journal's own get_state gave"):
        recorded.set_state(free.get_state())
    leave(recorded)


def test_a_refused_call_makes_nothing_be_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, straight = tmp_path / "journal.jsonl", list(promotions(make(None, transfer="own")))
    envs = make(path, transfer="own")
    told = promotions(envs)
    assert list(islice(told, 2)) == straight[:2]
    evaluator, unseen = envs._lives.evaluator, np.array([2, 1, 0])
    with pytest.raises(ValueError, match="fork: expected an architecture that member 0 has trained"):
        envs.fork(0, 1, unseen)
    assert evaluator.live
    with monkeypatch.context() as refusing:
        refusing.setattr(evaluator.evaluator, "evaluate", _refuse)
        with pytest.raises(ValueError, match="not now"):
            envs.evaluate(np.stack([unseen, unseen]), 1)
    assert evaluator.live
    assert list(told) == straight[2:]
    envs.close()
    assert resumed(path, promotions, transfer="own") == straight


def _refuse(*_: Any) -> None:
    raise ValueError("not now")


def test_a_call_after_close_is_refused_with_a_sentence(tmp_path: Path) -> None:
    envs = make(tmp_path / "journal.jsonl", transfer="own", evaluation_steps=20_000)
    envs.reset(seed=4)
    state, both = envs.get_state(), np.zeros((2, 3), dtype=np.int64)
    envs.close()
    before = (tmp_path / "journal.jsonl").read_bytes()
    for call in (
        lambda: envs.evaluate(both, 1),
        lambda: envs.evaluate_rest(both),
        lambda: envs.fork(0, 1),
        lambda: envs.set_state(state),
    ):
        with pytest.raises(gym.error.ClosedEnvironmentError, match="expected an open environment, got one after close"):
            call()
    recorder = envs._lives.evaluator
    with pytest.raises(ValueError, match=r"reset: expected an open journal, got .*journal.jsonl after it was closed"):
        recorder.reset([1, 2])
    assert (tmp_path / "journal.jsonl").read_bytes() == before


# Checkpoints


def with_checkpoint(folder: Path) -> tuple[Path, Path, list[Any]]:
    """Make a record that was closed in the second lifetime: the file, its checkpoint, and all that is to come."""
    told = list(windows(make(None)))
    path = folder / "journal.jsonl"
    envs = make(path)
    assert list(islice(windows(envs), 6)) == told[:6]
    envs.close()
    return path, path.with_suffix(".checkpoint.safetensors"), told


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: flip(data, len(data) - 1000),
        lambda data: data.replace(b'\\"windows\\": ', b'\\"windows\\":9', 1),
        lambda data: data[: len(data) // 2],
        lambda data: data[:5],
        lambda data: b"",
        lambda data: b"no checkpoint at all, whatever its name says",
    ],
    ids=["a flipped bit", "another number", "cut", "cut short", "empty", "foreign"],
)
def test_a_damaged_checkpoint_is_refused_and_the_record_alone_is_enough(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path, saved, told = with_checkpoint(tmp_path)
    data = saved.read_bytes()
    saved.write_bytes(damage(data))
    assert saved.read_bytes() != data
    refusal(path, "checkpoint: .* is damaged .* Delete it: the journal alone is enough", windows)
    saved.unlink()
    assert resumed(path, windows) == told


def test_a_file_of_other_tensors_is_no_checkpoint(tmp_path: Path) -> None:
    path, saved, _ = with_checkpoint(tmp_path)
    save_file({"weight": torch.zeros(3)}, saved)
    refusal(path, "is damaged .it is no checkpoint", windows)


def test_a_checkpoint_of_another_search_is_refused(tmp_path: Path) -> None:
    path, saved, _ = with_checkpoint(tmp_path)
    (tmp_path / "other").mkdir()
    envs = make(tmp_path / "other" / "journal.jsonl")
    envs.reset(seed=77)
    envs.step(np.zeros((2, 3), dtype=np.int64))
    envs.close()
    shutil.copy(tmp_path / "other" / saved.name, saved)
    shutil.rmtree(tmp_path / "other")
    refusal(path, "checkpoint.safetensors does not belong to .*: one was altered or cut", windows)


def cut(path: Path, lines: int) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:lines]))


@pytest.mark.parametrize("lines", [1, 2, 4])
def test_a_checkpoint_ahead_of_its_record_is_not_used(lines: int, tmp_path: Path) -> None:
    path, saved, told = with_checkpoint(tmp_path)
    before = saved.read_bytes()
    cut(path, lines)
    with pytest.warns(UserWarning, match="checkpoint.safetensors is ahead of .*; it is not used"):
        envs = make(path, resume=True)
    assert list(islice(windows(envs), 7)) == told[:7]  # past the place that the checkpoint was taken at
    assert saved.read_bytes() == before
    envs._lives.evaluator.live = False  # brought back by training again, not by the checkpoint
    assert envs.export(np.zeros(3, dtype=np.int64), 0) is not None
    envs.close()
    assert resumed(path, windows) == told


def test_a_checkpoint_of_another_search_is_refused_where_it_is_ahead_too(tmp_path: Path) -> None:
    path, _, _ = with_checkpoint(tmp_path)
    other = tmp_path / "other" / "journal.jsonl"
    other.parent.mkdir()
    envs = make(other)
    envs.reset(seed=77)
    envs.step(np.zeros((2, 3), dtype=np.int64))
    leave(envs)
    path.write_bytes(other.read_bytes())
    shutil.rmtree(other.parent)
    refusal(path, "does not belong to .*: one was altered or cut", windows)


def test_rows_are_on_the_disk_before_the_checkpoint_that_they_lead_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    flush, save = os.fsync, checkpoint.save

    def fsync(file: int) -> None:
        record = tmp_path / "journal.jsonl"
        done.append("rows" if os.path.samestat(os.fstat(file), record.stat()) else "checkpoint")
        flush(file)

    def saving(*arguments: Any) -> None:
        done.append("saving")
        save(*arguments)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(checkpoint, "save", saving)
    with_checkpoint(tmp_path)
    assert done == ["rows", "saving", "checkpoint"]


def test_whoever_may_read_a_journal_may_read_its_checkpoint(tmp_path: Path) -> None:
    path, saved, _ = with_checkpoint(tmp_path)
    assert saved.stat().st_mode == path.stat().st_mode


def test_a_checkpoint_without_a_first_row_is_read_as_it_was_written(tmp_path: Path) -> None:
    path, saved, told = with_checkpoint(tmp_path)
    at = checkpoint.place(saved)
    checkpoint.save(saved, checkpoint.load(saved), at.rows, at.check)  # as an older archgym did
    assert checkpoint.place(saved) == replace(at, first=None)
    assert resumed(path, windows) == told


def test_closing_in_the_middle_of_a_replay_leaves_the_newer_checkpoint(tmp_path: Path) -> None:
    path, saved, told = with_checkpoint(tmp_path)
    before = saved.read_bytes()
    envs = make(path, resume=True)
    assert list(islice(windows(envs), 3)) == told[:3]
    envs.get_state()  # trains what was answered from the record
    envs.close()
    assert saved.read_bytes() == before
    assert resumed(path, windows) == told


@pytest.mark.parametrize("names", [("run.1", "run.2"), ("run", "run.jsonl"), ("run", "run.txt")])
def test_records_of_different_names_have_checkpoints_of_their_own(names: tuple[str, str], tmp_path: Path) -> None:
    told = list(windows(make(None)))
    for name in names:
        envs = make(tmp_path / name)
        assert list(islice(windows(envs), 3)) == told[:3]
        envs.close()
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    for name in names:
        assert resumed(tmp_path / name, windows) == told


def test_a_record_that_training_does_not_confirm_is_refused(tmp_path: Path) -> None:
    path = begun(tmp_path, 3)
    rows = journal.read_rows(path.read_bytes(), path)[0]
    rows[2]["reward"][1] += 0.125
    write_rows(path, rows)
    refusal(path, "a window trained again gave reward=.* but the journal holds .* was altered")


# Another machine


def test_a_record_of_another_machine_goes_on_with_a_warning(
    whole: tuple[list[Any], list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {**journal.versions(), "torch": "1.0"}
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(journal, "versions", lambda: versions)
        elsewhere.setattr(journal, "processor", lambda: "abacus")
        path = begun(tmp_path, 4)
    with pytest.warns(UserWarning, match=r"made with processor abacus \(now .*\), torch 1.0 \(now .*may differ"):
        assert resumed(path) == whole[0]


def test_a_record_of_another_learner_goes_on_with_a_warning(whole: tuple[list[Any], list[Any]], tmp_path: Path) -> None:
    path = begun(tmp_path, 4)
    rows = journal.read_rows(path.read_bytes(), path)[0]
    assert rows[0]["learner"] == ("native" if library() else "torch")
    rows[0]["learner"] = "fingers"
    write_rows(path, rows)
    with pytest.warns(UserWarning, match=r"made with learner fingers \(now (native|torch)\); .*may differ"):
        assert resumed(path) == whole[0]


def test_a_search_that_moves_between_machines_knows_who_computed_what(
    whole: tuple[list[Any], list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begun(tmp_path, 2)  # here: the reset and one window
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(journal, "processor", lambda: "abacus")
        with pytest.warns(UserWarning, match=r"made with processor .* \(now abacus\); .*may differ"):
            envs = make(path, resume=True)
        list(islice(calls(envs), 4))
        leave(envs)
    rows = journal.read_rows(path.read_bytes(), path)[0]
    assert [row["call"] for row in rows[:5]] == ["header", "reset", "train_window", "computed", "train_window"]
    assert rows[3].keys() == {"call", "processor", "learner", "versions"}
    assert (rows[3]["processor"], rows[3]["versions"]) == ("abacus", rows[0]["versions"])
    with pytest.warns(UserWarning, match=r"made with processor abacus \(now .*\); windows trained again may differ"):
        assert resumed(path) == whole[0]
    again = journal.read_rows(path.read_bytes(), path)[0]
    assert [row["processor"] for row in again if row["call"] == "computed"] == ["abacus", rows[0]["processor"]]
    calls_alone = [row for row in rows_of(path) if row["call"] != "computed"]
    assert calls_alone == whole[1]
    before = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert resumed(path) == whole[0]  # nothing is computed: nobody signs
    assert path.read_bytes() == before


@pytest.mark.parametrize(("altered", "accused"), [(2, True), (4, False)], ids=["our own window", "theirs"])
def test_only_windows_that_were_computed_here_must_be_trained_again_alike(
    altered: int, accused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begun(tmp_path, 2)
    with monkeypatch.context() as elsewhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        elsewhere.setattr(journal, "processor", lambda: "abacus")
        envs = make(path, resume=True)
        list(islice(calls(envs), 4))
        leave(envs)
    rows = journal.read_rows(path.read_bytes(), path)[0]
    assert (rows[2]["call"], rows[3]["call"], rows[4]["call"]) == ("train_window", "computed", "train_window")
    rows[altered]["reward"][1] += 0.125  # as another processor may have had it
    write_rows(path, rows)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if accused:
            with pytest.raises(ValueError, match=r"a window trained again gave reward=.* was altered"):
                resumed(path)
        else:
            resumed(path)
            assert any("windows trained again differ" in str(one.message) for one in caught)


@pytest.mark.usefixtures("_no_envpool")
def test_a_search_without_envpool_is_recorded_and_resumes(tmp_path: Path) -> None:
    straight = list(windows(make(None)))
    path = tmp_path / "journal.jsonl"
    envs = make(path)
    assert list(islice(windows(envs), 3)) == straight[:3]
    leave(envs)
    assert journal.read_rows(path.read_bytes(), path)[0][0]["versions"]["envpool"] == "none"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="resume")
        assert resumed(path, windows) == straight


@pytest.mark.skipif(library() is None, reason="the compiled learners were not built")
def test_a_search_goes_on_with_more_threads(whole: tuple[list[Any], list[Any]], tmp_path: Path) -> None:
    path = begun(tmp_path, 4)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*resume")
        assert resumed(path, threads=2) == whole[0]


def test_windows_that_differ_on_another_machine_warn_and_the_record_counts(
    whole: tuple[list[Any], list[Any]], tmp_path: Path
) -> None:
    path = begun(tmp_path, 4)
    rows = journal.read_rows(path.read_bytes(), path)[0]
    rows[0]["processor"] = "abacus"
    rows[2]["reward"][1] += 0.125
    write_rows(path, rows)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        told = resumed(path)
    said = [str(one.message) for one in caught]
    assert any("was made with processor abacus" in one for one in said)
    assert any("windows trained again differ" in one for one in said)
    trained = [1, 2, 5, 7, 10, 12, 14]
    rewards = [list(whole[0][call][1]) for call in trained]
    rewards[0][1] += 0.125
    assert [told[call][1] for call in trained] == rewards


# Nowhere to write


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 9])
def test_a_full_disk_ends_the_run_with_a_sentence_and_an_intact_record(
    count: int, whole: tuple[list[Any], list[Any]], tmp_path: Path, room: Room
) -> None:
    path = tmp_path / "journal.jsonl"
    envs = make(path)
    told = calls(envs)
    assert list(islice(told, count)) == whole[0][:count]
    before = path.read_bytes()
    with room(len(before) + 20), pytest.raises(OSError, match=r"cannot write the journal \(File too large\)") as caught:
        list(told)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    envs.close()  # writes no checkpoint of what the record does not hold
    assert resumed(path) == whole[0]
    assert rows_of(path) == whole[1]


def test_a_window_whose_row_found_no_room_is_trained_again_when_there_is_some(tmp_path: Path, room: Room) -> None:
    straight = list(windows(make(None)))
    path = tmp_path / "journal.jsonl"
    envs = make(path)
    told = list(islice(windows(envs), 3))
    rng = np.random.default_rng(8)
    actions = [np.stack([envs.search_space.sample(rng) for _ in range(2)]) for _ in range(3)]
    with room(path.stat().st_size), pytest.raises(OSError, match="cannot write the journal"):
        envs.step(actions[2])
    told.append(envs.step(actions[2])[1].tolist())
    assert told == straight[:4]
    envs.close()
    assert resumed(path, windows) == straight


def test_a_checkpoint_without_room_ends_the_run_and_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: Room
) -> None:
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", 0.0)
    path = tmp_path / "journal.jsonl"
    saved = path.with_suffix(".checkpoint.safetensors")
    envs = make(path)
    told = windows(envs)
    begin = list(islice(told, 3))
    before = saved.read_bytes()
    with room(len(before) // 2), pytest.raises(OSError, match=r"cannot write the checkpoint \(.*File too large"):
        next(told)
    leave(envs)
    assert saved.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == [saved.name, path.name]
    straight = list(windows(make(None)))
    assert begin == straight[:3]
    assert resumed(path, windows) == straight


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a regular file, where a folder is needed")
    with pytest.raises(NotADirectoryError):
        make(file / "journal.jsonl")
    with pytest.raises(FileNotFoundError):
        make(tmp_path / "nowhere" / "journal.jsonl")
    assert list(tmp_path.iterdir()) == [file]
