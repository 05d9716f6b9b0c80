"""The links archgym/envs and archgym/agents: one name per module, and real files in what is installed."""

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOY = Path("archgym/tables/toy.npz")  # a recorded table, in case there are none
NOT_SOURCE = shutil.ignore_patterns(".*", "build", "dist", "runs", "*.egg-info", "__pycache__")

pytestmark = pytest.mark.xdist_group("packaging")  # the wheel is built once, in one worker


class Built(NamedTuple):
    sdist: Path
    wheel: Path


class Installed(NamedTuple):
    folder: Path
    bin: Path


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def output(*command: str | Path, cwd: Path) -> str:
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build the sdist, and the wheel from it, in a copy of the checkout."""
    source = tmp_path_factory.mktemp("source") / "checkout"
    shutil.copytree(ROOT, source, symlinks=True, ignore=NOT_SOURCE)
    (source / TOY).parent.mkdir(exist_ok=True)
    for suffix in (".npz", ".json"):
        (source / TOY).with_suffix(suffix).write_text("whatever")
    output(sys.executable, "-m", "build", "--no-isolation", cwd=source)
    (sdist,), (wheel,) = (source / "dist").glob("*.tar.gz"), (source / "dist").glob("*.whl")
    return Built(sdist, wheel)


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the wheel into an environment of its own, which sees the dependencies of this one."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, symlinks=True)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    python = Path(paths["scripts"]) / "python"
    output(
        sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", built.wheel, cwd=folder
    )
    # A plain line of a .pth file adds a folder behind the wheel's, without the editable install's own .pth file in it.
    here = sysconfig.get_paths()
    Path(paths["purelib"], "dependencies.pth").write_text("\n".join(sorted({here["purelib"], here["platlib"]})))
    return Installed(folder, python.parent)


def sources() -> set[str]:
    """List the modules that must be installed, by their path below the root of a wheel."""
    files = {f"{path.relative_to(ROOT)}" for path in (ROOT / "archgym").rglob("*.py")}
    for link in ("envs", "agents"):  # whether rglob follows links depends on the version of Python
        files |= {f"archgym/{path.relative_to(ROOT)}" for path in (ROOT / link).rglob("*.py")}
    files |= {f"{path.relative_to(ROOT)}" for path in (ROOT / "archgym" / "tables").glob("*--*")}
    return files | {"archgym/py.typed", str(TOY), str(TOY.with_suffix(".json"))}


def test_the_sdist_holds_files_and_no_links(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        members = archive.getmembers()
    assert all(member.isfile() or member.isdir() for member in members)
    inside = {str(PurePosixPath(*PurePosixPath(member.name).parts[1:])) for member in members}
    files = [path for path in (ROOT / "archgym" / "native").iterdir() if path.suffix in (".cpp", ".h")]
    native = {f"archgym/native/{path.name}" for path in files}
    assert sources() | native | {"CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md"} <= inside
    tops = {PurePosixPath(name).parts[0] for name in inside if name != "."}
    assert not {"envs", "agents", "tests"} & tops, "under archgym, twice, or without what they need"


def test_the_wheel_holds_files_and_no_links(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        members = archive.infolist()
    assert not any(stat.S_ISLNK(member.external_attr >> 16) for member in members)
    # What this checkout's installation compiled, the wheel has too: a build that fails is passed over in silence.
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    compiled = {f"archgym/native/{path.name}" for path in (ROOT / "archgym" / "native").glob(f"*{suffix}")}
    assert sources() | compiled <= {member.filename for member in members}


def test_the_wheel_installs_nothing_but_archgym(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        tops = {PurePosixPath(name).parts[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"archgym"}


@pytest.mark.parametrize("module", ["archgym", "archgym.envs", "archgym.agents"])
def test_the_installed_package_is_the_wheels(installed: Installed, tmp_path: Path, module: str) -> None:
    program = f"import {module} as module; print(module.__file__)"
    file = Path(output(installed.bin / "python", "-c", program, cwd=tmp_path).strip())
    assert file.is_relative_to(installed.folder)
    assert file.resolve() == file.parent.resolve() / file.name, "a link was installed"


def test_the_installed_package_has_no_generic_names(installed: Installed, tmp_path: Path) -> None:
    program = "from importlib.util import find_spec; print([find_spec(name) for name in ('envs', 'agents')])"
    assert output(installed.bin / "python", "-c", program, cwd=tmp_path).strip() == "[None, None]"


def test_the_installed_command_prints_its_help(installed: Installed, tmp_path: Path) -> None:
    assert "usage: archgym" in output(installed.bin / "archgym", "--help", cwd=tmp_path)


@pytest.mark.parametrize("name", ["envs", "agents"])
def test_a_folder_refuses_to_be_imported_under_its_generic_name(name: str) -> None:
    done = run(sys.executable, "-c", f"import {name}", cwd=ROOT)
    assert done.returncode != 0
    assert f"ImportError: import archgym.{name}, not {name}" in done.stderr


def test_importing_archgym_loads_neither_torch_nor_envpool() -> None:
    program = "import sys, archgym; print(sorted({'torch', 'envpool'} & set(sys.modules)))"
    assert output(sys.executable, "-c", program, cwd=ROOT).strip() == "[]"
