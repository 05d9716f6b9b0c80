"""Every benchmark runs, at toy size, so that none rots; what they measure is in benchmarks/README.md."""

import copy
import importlib
import json
import mmap
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym.search_space import SearchSpace

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem.startswith(("bench_", "reference_")))
GROUPS = (
    *("agents", "meta-overhead", "peers", "start-up", "switch", "table", "table-start", "transfer", "views"),
    "window",
)


@pytest.fixture(autouse=True)
def root_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)


def script(name: str) -> Any:
    return importlib.import_module(f"benchmarks.{name}")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_runs_and_prints_its_table(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = script(name)
    assert hasattr(module, "TOY"), (
        f"{name}: expected arguments for a run of seconds, TOY = Args(...), beside main(args)"
    )
    module.main(module.TOY)
    assert len(capsys.readouterr().out.splitlines()) > 5


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_tells_how_to_run_it(name: str) -> None:
    command = rf"^    .*python (-m benchmarks\.{name}|benchmarks/{name}\.py)"
    text = (FOLDER / f"{name}.py").read_text()
    assert re.search(command, text, re.MULTILINE)
    assert re.search(command, (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert "Hypothesis:" in text
    assert "Method:" in text


once = pytest.mark.xdist_group("make bench")  # it runs once, in one worker


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What `make bench` leaves behind, at toy size."""
    folder = tmp_path_factory.mktemp("saved")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        patch.setenv("ARCHGYM_TOY", "1")
        # Without the marks of the pytest around it: a worker of xdist would turn benchmarks off.
        for name in [name for name in os.environ if name.startswith("PYTEST_")]:
            patch.delenv(name)
        module = script("saved_runs")
        assert module.main(module.Args(run=True, saved=folder)) == 0
        yield folder


@once
def test_make_bench_saves_every_group_with_ratios_to_its_reference(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = script("saved_runs")
    assert module.main(module.Args(saved=saved)) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    groups = [row[0].removeprefix("| ") for row in rows[1:]]
    assert sorted(set(groups)) == sorted(GROUPS)
    for group in GROUPS:
        ratios = [row[-1].removesuffix(" |") for row in rows if row[0] == f"| {group}"]
        assert ratios[0] == "1", f"the first of {group} is its reference"
        assert all("[" in ratio for ratio in ratios[1:])


def compared(saved: Path, monkeypatch: pytest.MonkeyPatch, now: dict[str, Any]) -> int:
    """Compare a run with the saved one."""
    module = script("saved_runs")

    def benchmark(option: str) -> None:
        Path(option.removeprefix("--benchmark-json=")).write_text(json.dumps(now))

    monkeypatch.setattr(module, "benchmark", benchmark)
    return int(module.main(module.Args(compare=True, saved=saved)))


def last(saved: Path) -> tuple[Path, dict[str, Any]]:
    path = max(saved.glob("*/*.json"))
    return path, json.loads(path.read_text())


@once
def test_make_bench_compare_names_what_became_slower(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run = last(saved)
    assert compared(saved, monkeypatch, run) == 0
    assert "nothing takes over 15% longer" in capsys.readouterr().out
    slower = copy.deepcopy(run)
    for one, factor in zip(slower["benchmarks"], (1.2, 1.1, 0.5), strict=False):
        one["extra_info"]["yardsticks"] *= factor
    assert compared(saved, monkeypatch, slower) == 1
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("slower: ")]
    first = slower["benchmarks"][0]
    assert told == [f"slower: {first['group']}: {first['extra_info']['contender']} takes 1.20 times as long"]


@once
def test_a_run_of_other_size_counts_by_the_unit_of_work(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, run = last(saved)
    for one in run["benchmarks"]:
        one["extra_info"]["amount"] *= 10
        one["extra_info"]["yardsticks"] *= 11
    assert compared(saved, monkeypatch, run) == 0


@once
def test_make_bench_compare_tells_what_only_one_of_the_runs_has(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run = last(saved)
    run["benchmarks"][0]["extra_info"]["contender"] = "a new one"
    assert compared(saved, monkeypatch, run) == 0
    said = capsys.readouterr().out
    assert f"not in the saved run: {run['benchmarks'][0]['group']}: a new one" in said
    assert "only in the saved run: " in said


@once
def test_make_bench_compare_needs_a_saved_run_of_this_machine_and_size(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, run = last(saved)
    assert compared(tmp_path, monkeypatch, run) == 2
    assert f"expected a saved run of the benchmarks under {tmp_path}, found none" in capsys.readouterr().err
    shutil.copytree(path.parent, tmp_path / "copy")
    copied = tmp_path / "copy" / path.name
    copied.write_text(json.dumps({**run, "machine_info": {"archgym": {"machine": "Z80, 1 cores", "toy": True}}}))
    assert compared(tmp_path, monkeypatch, run) == 2
    assert "the last one is of another (Z80, 1 cores)" in capsys.readouterr().err
    shutil.copy(path, copied)
    monkeypatch.delenv("ARCHGYM_TOY")
    assert compared(tmp_path, monkeypatch, run) == 2
    assert "expected a saved run of full size, the last one is of toy size" in capsys.readouterr().err


def test_contenders_take_turns_and_ratios_are_taken_within_a_round() -> None:
    rounds = script("rounds")
    order: list[tuple[str, int]] = []

    def contender(name: str, seconds: tuple[float, ...], amount: float) -> Any:
        def run(turn: int) -> float:
            order.append((name, turn))
            return seconds[turn]

        return lambda: rounds.Contender("step", amount, run)

    makers = {"a": contender("a", (9.0, 2.0, 4.0), 1), "b": contender("b", (9.0, 5.0, 20.0), 10)}
    measured = rounds.take_turns(makers, 2)
    assert order == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    np.testing.assert_allclose(measured.cost("b"), [0.5, 2.0])  # the first round does not count
    np.testing.assert_allclose(measured.speed("b"), [2.0, 0.5])
    np.testing.assert_allclose(measured.times("b"), [4.0, 2.0])
    np.testing.assert_allclose(measured.times("a", "b"), [0.25, 0.5])
    assert measured.yardstick.shape == (2,)
    assert (measured.yardstick > 0).all()


def test_the_network_of_cleanrl_is_a_search_space_of_one_architecture() -> None:
    from archgym.problem import Problem
    from archgym.settings import Settings

    problem = Problem(Settings(space="benchmarks.cleanrl_network"))
    assert problem.space.size == 1
    network = problem.space.network_of(problem.space.default_architecture)
    assert network.parameters(4, 2) == 4 * 120 + 120 + 120 * 84 + 84 + 84 * 2 + 2
    assert network.hidden == script("peers").HIDDEN


def test_large_spaces_are_counted_without_being_listed() -> None:
    from archgym.search_spaces import mlp_wide

    large = script("large_mlp")
    assert large.architectures(4) == mlp_wide.SPACE.size
    assert large.architectures(2) == large.sized("2").size
    assert large.architectures(100) > 10**9
    with pytest.raises(ValueError, match="expected 2 to 128 widths, got '200'"):
        large.sized("200")


def test_the_same_two_networks_are_switched_in_every_space() -> None:
    from archgym.problem import find_space

    switch = script("bench_switch")
    spaces = [find_space(name) for name in switch.SPACES.values()]
    for given in switch.TURNS:
        networks = {space.network_of(switch.named(space, given)) for space in spaces}
        assert len(networks) == 1
        assert networks.pop().hidden == (128,) * given["depth"]


@pytest.mark.filterwarnings("ignore:window_steps=.* is shorter")
@pytest.mark.parametrize(
    ("trainer", "space"), [("Synthetic", "grid:9x10"), ("DQN", "benchmarks.large_mlp:100"), ("DQN", "mlp-wide")]
)
@pytest.mark.parametrize("view", ["", "-Sequential"])
def test_no_step_of_a_search_lists_the_space(
    trainer: str, space: str, view: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = SearchSpace.enumerate

    def few(self: SearchSpace, prefix: tuple[int, ...] = ()) -> Iterator[Any]:
        for number, architecture in enumerate(listed(self, prefix)):
            assert number < 3, "a search lists the architectures of its space"
            yield architecture

    monkeypatch.setattr(SearchSpace, "enumerate", few)
    keywords = {"space": space, "windows": 2, "window_steps": 40, "journal": ""}
    if trainer == "DQN":
        keywords["max_params"] = 40_000
    envs: Any = gym.make_vec(f"ArchSearch-{trainer}{view}-v0", num_envs=2, **keywords)
    envs.reset(seed=0)
    rng, over = np.random.default_rng(0), np.zeros(2, dtype=bool)
    while not over.all():
        actions = np.stack([envs.unwrapped.search_space.sample(rng) for _ in range(2)])
        if view:
            actions = envs.unwrapped.action_masks().argmax(1)
        *_, over, _, _ = envs.step(actions)
    envs.close()


@pytest.mark.parametrize("name", ["Stable-Baselines3 DQN", "CleanRL-style loop"])
def test_a_peer_tells_every_return_and_stops_when_it_is_told(name: str) -> None:
    peers = script("peers")
    returns: list[float] = []

    def ended(episode_return: float) -> bool:
        returns.append(episode_return)
        return len(returns) == 5

    peers.PROGRAMS[name](100_000, 0, peers.SETTINGS, ended)()
    assert len(returns) == 5
    assert all(value == round(value) and 5 < value <= 500 for value in returns)


@pytest.mark.parametrize("name", ["Stable-Baselines3 DQN", "CleanRL-style loop"])
def test_a_peer_learns(name: str) -> None:
    peers = script("peers")
    returns: list[float] = []
    peers.PROGRAMS[name](6_000, 1, peers.SETTINGS, lambda value: bool(returns.append(value)))()
    assert np.mean(returns[-10:]) > 2 * np.mean(returns[:20])


def test_recent_windows_are_weighted_by_their_episodes_and_go_back_as_far_as_needed() -> None:
    recent = script("bench_solve").recent_return
    history = [(9.0, 100), (100.0, 30), (200.0, 60), (400.0, 40)]
    assert recent(history, 100) == (200 * 60 + 400 * 40) / 100
    assert recent(history, 40) == 400.0
    assert recent(history[1:], 131) == -np.inf


def test_censored_runs_count_as_longer_than_all_others() -> None:
    solve = script("bench_solve")
    done, late = solve.Solve(10, 2.0, True), solve.Solve(90, 9.0, True)
    censored = solve.Solve(50, 5.0, False)

    def median(*runs: Any) -> tuple[float, bool]:
        known: tuple[float, bool] = solve.median(list(runs), lambda run: run.seconds)
        return known

    assert median(censored, done, late) == (9.0, True)
    assert median(censored, done) == (3.5, False)
    assert solve.cells([done], [censored])[-1] == "at least 2.5"
    assert solve.cells([censored], [late])[-1] == "at most 1.8"
    assert solve.cells([censored, done], [late])[:2] == ["1 of 2", "more than 3.5 [2.0, 2.0]"]
    assert solve.cells([censored], [censored])[-1] == "unknown"


def test_a_program_is_solved_at_the_first_step_where_its_recent_returns_are_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    solve = script("bench_solve")

    def program(returns: list[float]) -> Any:
        def begin(steps: int, seed: int, config: object, ended: Any) -> Any:
            return lambda: any(ended(value) for value in returns)

        return begin

    args = solve.Args(steps=5_000, episodes=2)
    (run,) = solve.program(program([10.0, 480.0, 470.0, 1.0]), 0, args)
    assert (run.steps, run.solved) == (960, True)
    (run,) = solve.program(program([500.0, 10.0]), 0, args)
    assert (run.steps, run.solved) == (5_000, False)


def test_resident_memory_rises_with_what_is_allocated() -> None:
    memory = script("bench_memory")
    before = memory.resident("VmRSS")
    block = mmap.mmap(-1, 50_000_000)  # not from what the process has been given already
    block.write(bytes(50_000_000))
    assert memory.resident("VmRSS") - before > 40e6
    assert memory.resident("VmHWM") >= memory.resident("VmRSS") - 1e6
    block.close()
