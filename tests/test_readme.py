"""What the README prints runs: its Python as it stands, and every file and flag that it names is there."""

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import archgym  # noqa: F401  (registers the ids)
from archgym import lookup
from archgym.running.arguments import SearchArgs
from archgym.running.arms import Args

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
LOADER = "import json, struct"  # read by tests/test_protocol.py, beside a file to load
BLOCKS = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if not block.startswith(LOADER)]


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_its_python_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block, names)
    gym.registry.pop("Mine-v0", None)


def test_there_are_blocks_to_run() -> None:
    assert len(BLOCKS) >= 5


def test_every_agent_is_in_its_table_and_nobody_else() -> None:
    table = README.split("| agent | after |")[1].split("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert sorted(name for cell in cells for name in re.findall(r"`([\w-]+)`", cell)) == lookup.names("archgym.agents")


def test_every_file_that_it_names_is_there() -> None:
    named = set(re.findall(r"`((?:archgym|agents|envs|tests|benchmarks)/[\w/]+\.\w+)`", README))
    assert len(named) > 4
    assert not [path for path in named if not (ROOT / path).exists()]


def test_every_flag_of_its_commands_exists() -> None:
    known = {f"--{name.replace('_', '-')}" for name in {**SearchArgs.__dataclass_fields__, **Args.__dataclass_fields__}}
    for folder, kind in (("archgym.agents", "agent"), ("archgym.studies", "study")):
        for name in lookup.names(folder):
            fields = lookup.load(folder, name, kind).Args.__dataclass_fields__
            known |= {f"--{field.replace('_', '-')}" for field in fields}
    commands = [line for line in re.findall(r"`(archgym (?:search|compare|study) .*?)`", README)]
    commands += [line for line in README.splitlines() if line.startswith("archgym ")]
    flags = {flag for command in commands for flag in re.findall(r"--[\w-]+", command)}
    assert len(flags) > 5
    assert flags <= known | {"--help"}
