"""Settings of the test processes. The environment variables must stand before anything imports torch or matplotlib."""

import json
import os
import resource
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from archgym.table import Table

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", MPLBACKEND="Agg")
os.environ.pop("ARCHGYM_JOURNAL", None)  # a tester's own setting would make every environment write a journal

# Wall-clock deadlines per example fail at random when workers share the processor.
settings.register_profile("archgym", deadline=None)
settings.load_profile("archgym")


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> None:
    """Keep torch at one thread per worker, without importing it for tests that do not."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def room() -> Callable[[int], AbstractContextManager[None]]:
    """Give a context in which no file grows beyond a size, as on a full disk; Python ignores the signal."""

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture(scope="session")
def forget() -> Callable[[], None]:
    """Give a function that lets archgym look anew what EnvPool and the inner environments are."""
    from archgym.inner import envs

    def clear() -> None:
        for cached in (envs._envpool, envs._spaces, envs.look):
            cached.cache_clear()

    return clear


@pytest.fixture
def _no_envpool(monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None]) -> Iterator[None]:
    """Let EnvPool be missing, as on platforms that it has no build for."""
    from_name = Distribution.from_name

    def without(name: str) -> Distribution:
        if name == "envpool":
            raise PackageNotFoundError(name)
        return from_name(name)

    forget()
    monkeypatch.setitem(sys.modules, "envpool", None)  # makes `import envpool` raise ImportError
    monkeypatch.setattr(Distribution, "from_name", without)
    yield
    forget()


@pytest.fixture(scope="session")
def kill() -> Callable[[subprocess.Popen[str]], int]:
    """Give a function that kills a process and waits for its workers to end with it; how many it tells."""
    if sys.platform != "linux":
        pytest.skip("looks for processes in /proc")

    def killed(process: subprocess.Popen[str]) -> int:
        workers = descendants(process.pid)
        process.kill()
        process.communicate()
        deadline = time.monotonic() + 20
        while alive := [worker for worker in workers if is_alive(worker)]:
            assert time.monotonic() < deadline, f"{len(alive)} processes go on after the death of their parent"
            time.sleep(0.05)
        return len(workers)

    return killed


def descendants(process: int) -> list[int]:
    """List the processes below one, by their ids."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    below = [child for child, parent in parents.items() if parent == process]
    return below + [one for child in below for one in descendants(child)]


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="session")
def planted_table() -> "Callable[..., Table]":
    """Give a function that makes a recorded table from drawn numbers, in memory, without training."""
    import numpy as np

    from archgym.problem import Problem
    from archgym.table import Table
    from archgym.table_card import Card
    from archgym.table_file import COLUMNS
    from archgym.table_tools.plan import settings_of

    def make(
        *,
        seeds: int = 4,
        windows: int = 5,
        rows: int | None = None,
        ages: tuple[int, ...] = (2, 5),
        supernet: bool = False,
        draw: int = 0,
        **keywords: Any,
    ) -> Table:
        rng = np.random.default_rng(draw)
        settings = settings_of({"windows": windows, "window_steps": 400, **keywords})
        space = Problem(settings).space
        architectures = np.stack(list(space.enumerate()))
        if rows is not None:
            architectures = rng.permutation(architectures)[:rows]
        shape = (len(architectures), seeds, windows)
        columns: dict[str, Any] = {name: rng.random(shape).astype(kind) for name, kind in COLUMNS.items()}
        columns["raw_return"] = rng.uniform(9, 500, shape)
        columns["env_steps"][...] = 400
        columns["diverged"] = np.zeros(shape, dtype=bool)
        scores = rng.uniform(9, 500, (2, 3, len(architectures))) if supernet else None
        card = Card(
            settings=json.loads(json.dumps(settings.to_dict())),
            choices=[(choice.name, list(choice.options)) for choice in space.choices],
            architectures=len(architectures),
            sample="all" if rows is None else f"{rows} drawn",
            seed=0,
            seeds=rng.integers(2**63, size=seeds).tolist(),
            ages=list(ages),
            episodes=10,
            supernet={"seeds": [5, 6], "ages": [1, 2, 3], "episodes": 10} if supernet else {},
            computed={"processor": "abacus", "learner": "planted"},
            command="archgym table build",
            seconds=1.0,
        )
        return Table(card, architectures, columns, rng.uniform(9, 500, (*shape[:2], len(ages))), scores)

    return make


@pytest.fixture
def recorded(planted_table: "Callable[..., Table]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every tabular id find a table of drawn numbers that fits its keywords, where `auto` finds one that ships."""
    from archgym import table_card
    from archgym.settings import Settings
    from archgym.table import save

    shipped = table_card.find

    def find(table: str, settings: Mapping[str, Any]) -> Path:
        if table != table_card.AUTO:
            return shipped(table, settings)
        given = settings["trainer_settings"] if isinstance(settings["trainer_settings"], dict) else {}
        extra = {name: value for name, value in settings.items() if name not in Settings.__dataclass_fields__}
        bound = {name: settings[name] for name in (*table_card.NAMED, *table_card.FIXED) if name != "horizon"}
        bound["window_steps"] = bound["window_steps"] or 400
        own = {**bound, **given, **extra}
        path = tmp_path / f"{zlib.crc32(json.dumps(own, sort_keys=True).encode())}.npz"
        if not path.exists():
            made = planted_table(
                seeds=20, rows=60 if own["space"] == "mlp-wide" else None, windows=4, ages=(1, 4), **own
            )
            if own.get("learning_rate") == 1e30:  # a learner that nothing works with
                made.columns["diverged"][:, :, 1] = True
                made.columns["raw_return"] *= 1e30
            save(made, path)
        return path

    monkeypatch.setattr(table_card, "find", find)
