"""Every benchmark runs, at toy size, so that none rots; what they measure is in benchmarks/README.md."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks"
HELPERS = ("cleanrl_network.py", "machine.py")
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if path.name not in HELPERS)


@pytest.mark.filterwarnings("ignore:window_steps=.* is shorter")
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_runs_and_prints_its_table(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(ROOT)
    script = runpy.run_path(str(FOLDER / name))
    assert "TOY" in script, f"{name}: expected arguments for a run of seconds, TOY = Args(...), beside main(args)"
    script["main"](script["TOY"])
    assert len(capsys.readouterr().out.splitlines()) > 5


def test_make_benchs_form_of_the_benchmarks_runs() -> None:
    command = [sys.executable, "-m", "pytest", "benchmarks", "--benchmark-only", "-q", "-p", "no:cacheprovider"]
    # Without the marks of the pytest around it: a worker of xdist would turn benchmarks off.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    run = subprocess.run(
        command, cwd=ROOT, env={**environment, "ARCHGYM_TOY": "1"}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for group in ("window", "overhead", "start-up", "decisions", "views", "compare"):
        assert f"benchmark '{group}'" in run.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_tells_how_to_run_it(name: str) -> None:
    assert f"    python benchmarks/{name}" in (FOLDER / name).read_text()
    assert name in (FOLDER / "README.md").read_text()


def test_the_network_of_cleanrl_is_a_search_space_of_one_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    from archgym.settings import Problem, Settings

    problem = Problem(Settings(space="benchmarks.cleanrl_network"))
    assert problem.space.size == 1
    network = problem.space.network_of(problem.space.default_architecture)
    assert network.parameters(4, 2) == 4 * 120 + 120 + 120 * 84 + 84 + 84 * 2 + 2
