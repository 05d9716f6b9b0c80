"""Arrows run one way: what each module imports, at module level and inside functions alike.

A folder (`search_spaces`, `envs`) stands for all its modules. The environments and the agents are named by strings
only, so nothing but themselves may import `archgym.envs` and `archgym.agents`, and nothing at all `archgym.__main__`.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# From the bottom to the top: a module, or a folder, and what it imports. A new module gets a row here.
ROWS = {
    "files": "",
    "lookup": "",
    "seeding": "",
    "observations": "",
    "memory": "",
    "archgym": "",
    "stats": "",
    "search_space": "lookup",
    "search_spaces": "search_space search_spaces",
    "drafts": "search_space",
    "papers": "lookup",
    "table_card": "files lookup",
    "settings": "lookup papers table_card",
    "inner": "inner lookup",
    "problem": "inner lookup search_space settings",
    "budget": "problem",
    "supernet": "lookup search_space",
    "net2net": "search_space supernet",
    "inheritance": "net2net search_space supernet",
    "supernets": "net2net search_spaces supernet",
    "window": "",
    "evaluator": "problem search_space window",
    "rewards": "problem search_space",
    "replay": "",
    "host_replay": "replay",
    "training": "inner supernet",
    "shards": "training",
    "compiled": "",
    "native": "compiled",
    "learners": "learners lookup native replay search_space search_spaces supernet supernets training",
    "trainers": "inner learners replay supernet supernets training",
    "greedy": "inner supernet",
    "transfer": "inheritance learners replay search_space settings supernet",
    "transfer_checks": "inheritance learners problem settings supernet",
    "state": "evaluator replay supernet transfer",
    "population": (
        "evaluator greedy host_replay inner learners lookup memory problem replay rewards search_space shards state "
        "supernet training transfer transfer_checks window"
    ),
    "table_file": "table_card",
    "table": "problem search_space settings table_card table_file",
    "tabular": "evaluator problem rewards search_space table table_card window",
    "landscape": "memory search_space",
    "synthetic": "evaluator landscape problem rewards search_space window",
    "evaluators": "evaluator population problem synthetic tabular",
    "checkpoint": "evaluator files",
    "provenance": "",
    "journal": "checkpoint evaluator provenance search_space window",
    "export": "files problem search_space supernet",
    "speed": "inner learners problem settings supernets trainers",
    "doctor": "export inner population problem settings speed supernet table table_card",
    "pages": "files pages search_space stats",
    "envs": (
        "budget compiled drafts envs evaluator evaluators export journal lookup memory pages problem rewards "
        "search_space settings stats tabular window"
    ),
    "running": (
        "budget evaluator evaluators export files journal lookup pages papers problem provenance running search_space "
        "settings stats table_card tabular window"
    ),
    "lstm_controller": "search_space",
    "agents": "drafts lookup lstm_controller running search_space settings stats",
    "table_tools": (
        "evaluators lookup problem provenance running search_space settings stats table table_card table_file "
        "table_tools"
    ),
    "table_describe": "files pages running search_space stats table table_describe",
    "compare": (
        "budget compare evaluators files journal pages problem provenance running settings stats table "
        "table_card table_describe tabular"
    ),
    "study": (
        "budget compare files pages papers problem provenance running search_space settings stats study table "
        "table_card table_describe"
    ),
    "studies": ("compare evaluators inheritance papers problem running stats study table table_card table_describe"),
    "__main__": "compare doctor inner lookup papers running study table_card table_tools",
}
# Importing archgym registers the ids; every consumer of random numbers needs seeds; what an observation is, is a type.
EVERYWHERE = {"archgym", "seeding", "observations"}
ARROWS = {unit: set(names.split()) for unit, names in ROWS.items()}
TOGETHER = {"archgym.inner.envs", "archgym.inner.tasks"}  # may know each other, both ways

# Imported in milliseconds, wherever they are imported: without torch, also by way of other modules.
LIGHT = {
    "archgym.compare.stats",
    "archgym.compiled",
    "archgym.files",
    "archgym.inner.episodes",
    "archgym.inner.orchard",
    "archgym.inner.pendulum",
    "archgym.inner.tasks",
    "archgym.journal",
    "archgym.lookup",
    "archgym.observations",
    "archgym.papers",
    "archgym.search_space",
    "archgym.search_spaces",
    "archgym.seeding",
    "archgym.stats",
    "archgym.table",
    "archgym.table_card",
    "archgym.table_file",
    "archgym.table_tools.command",
    "archgym.table_tools.export",
    "archgym.table_tools.log",
    "archgym.table_tools.plan",
    "archgym.window",
}
HEAVY = ("torch", "envpool", "safetensors.torch", "stable_baselines3")


def found() -> dict[str, Path]:
    """Map the dotted name of every module of the library, the views and the agents to its file."""
    roots = {"archgym": ROOT / "archgym", "archgym.envs": ROOT / "envs", "archgym.agents": ROOT / "agents"}
    files = {}
    for package, root in roots.items():
        for path in root.rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            if package != "archgym" or parts[0] not in ("envs", "agents"):  # reached as roots of their own
                files[".".join((package, *(part for part in parts if part != "__init__")))] = path
    return files


MODULES = found()


def unit(module: str) -> str:
    """Name the row of a module: the first part of its name below archgym."""
    return "archgym" if module == "archgym" else module.split(".")[1]


def folder(module: str) -> str:
    """Name the folder that a module lies in."""
    return module.rpartition(".")[0]


def statements(tree: ast.AST, *, loading: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Walk to all imports, or only to those that run while the module loads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif loading and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        elif loading and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from statements(ast.Module(node.orelse, []), loading=loading)
        else:
            yield from statements(node, loading=loading)


def imports(source: str, module: str, *, package: bool = False, loading: bool = False) -> set[str]:
    """List the dotted names of the modules that a source imports, relative ones resolved."""
    names: set[str] = set()
    for node in statements(ast.parse(source), loading=loading):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
            continue
        base = node.module or ""
        if node.level:
            parts = module.split(".")
            above = parts[: len(parts) - node.level + package]
            base = ".".join([*above, *filter(None, [node.module])])
        names |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names}
    return names


@cache
def imports_of(module: str, *, loading: bool = False) -> set[str]:
    path = MODULES[module]
    return imports(path.read_text(encoding="utf-8"), module, package=path.stem == "__init__", loading=loading)


def wrong_arrows(module: str, imported: set[str]) -> list[str]:
    """List the imports that a module's row does not allow."""
    return sorted(name for name in ours(imported) if unit(name) not in ARROWS[unit(module)] | EVERYWHERE)


def ours(imported: set[str]) -> set[str]:
    """Keep the modules of the library, the views and the agents."""
    return {name for name in imported if name == "archgym" or name.startswith("archgym.")}


def heavy_chain(module: str, seen: set[str]) -> list[str]:
    """Find the way by which loading a module loads torch or envpool; empty if it does not."""
    seen.add(module)
    for name in sorted(imports_of(module, loading=True)):
        if any(f"{name}.".startswith(f"{heavy}.") for heavy in HEAVY):
            return [module, name]
        parts = name.split(".")
        for step in (".".join(parts[: end + 1]) for end in range(len(parts))):  # a package loads before its modules
            if step in MODULES and step not in seen and (chain := heavy_chain(step, seen)):
                return [module, *chain]
    return []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_what_lies_below_it(module: str) -> None:
    assert unit(module) in ARROWS, (
        f"{module} has no row: add {unit(module)!r} to ROWS in tests/test_import_arrows.py, between what it imports"
        " and what imports it."
    )
    wrong = wrong_arrows(module, imports_of(module))
    assert not wrong, (
        f"{module} imports {', '.join(wrong)}, but {unit(module)!r} may know only"
        f" {', '.join(sorted(ARROWS[unit(module)])) or 'nothing of archgym'} (ROWS in tests/test_import_arrows.py)."
    )


@pytest.mark.parametrize("module", ["archgym", *sorted(name for name in MODULES if LIGHT & {name, folder(name)})])
def test_a_light_module_loads_neither_torch_nor_envpool(module: str) -> None:
    chain = heavy_chain(module, set())
    assert not chain, f"importing {module} is to take milliseconds, but: {' imports '.join(chain)} at module level."


def test_the_table_itself_points_downwards() -> None:
    place = {name: row for row, name in enumerate(ARROWS)}
    assert not [(name, other) for name, allowed in ARROWS.items() for other in allowed if place[other] > place[name]]


def test_no_way_of_imports_leads_back() -> None:
    def below(module: str) -> set[str]:
        found: set[str] = set()
        todo = {module}
        while todo:
            name = todo.pop()
            todo |= (new := imports_of(name) & MODULES.keys() - found - (TOGETHER if name in TOGETHER else set()))
            found |= new
        return found

    assert not [module for module in MODULES if module in below(module)], "these import something that imports them"


def test_the_table_allows_no_more_than_is_used() -> None:
    used: dict[str, set[str]] = {}
    for module in MODULES:
        used.setdefault(unit(module), set()).update(map(unit, ours(imports_of(module))))
    idle = {name: sorted(allowed - used.get(name, set())) for name, allowed in ARROWS.items()}
    assert not {name: unused for name, unused in idle.items() if unused}, "take these out of ROWS"


@pytest.mark.parametrize(
    ("source", "module", "wrong"),
    [
        ("import archgym.population", "archgym.trainers.dqn", ["archgym.population"]),
        ("from archgym import replay, lookup", "archgym.supernet", ["archgym.replay"]),
        ("def f():\n    from archgym.replay import Replay", "archgym.stats", ["archgym.replay"]),
        ("if True:\n    import archgym.envs.single as s", "archgym.running.search", ["archgym.envs.single"]),
        ("from .. import envs", "archgym.supernets.mlp", ["archgym.envs"]),
        ("from ..search_spaces.mlp import MLP", "archgym.supernets.mlp", []),
        ("from .enas import Args", "archgym.agents.evolution", ["archgym.agents.enas"]),
        ("import archgym.__main__", "archgym.doctor", ["archgym.__main__"]),
        ("ENTRY = 'archgym.envs.single:Single'", "archgym.running.search", []),
    ],
)
def test_the_checker_sees_every_form_of_import(source: str, module: str, wrong: list[str]) -> None:
    assert wrong_arrows(module, imports(source, module)) == wrong


def test_the_checker_tells_loading_from_running() -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\ndef f():\n    import envpool\n"
    assert imports(source, "archgym.stats", loading=True) == {"typing"}
    assert imports(source, "archgym.stats") == {"typing", "torch", "envpool"}
