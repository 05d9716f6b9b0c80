"""Arrows run one way: what each module imports, at module level and inside functions alike.

A folder (`search_spaces`, `envs`) stands for all its modules. The environments and the agents are named by strings
only, so nothing but themselves may import `archgym.envs` and `archgym.agents`, and nothing at all `archgym.__main__`.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# From the bottom to the top: a module, or a folder, and what it imports. A new module gets a row here.
ROWS = {
    "files": "",
    "lookup": "",
    "seeding": "",
    "observations": "",
    "search_space": "lookup",
    "archgym": "",
    "replay": "",
    "host_replay": "replay",
    "stats": "",
    "comparison_stats": "",
    "episodes": "",
    "engines": "",
    "pendulum": "",
    "orchard": "",
    "inner_envs": "engines tasks",
    "tasks": "inner_envs lookup",
    "window": "",
    "search_spaces": "search_space search_spaces",
    "table_card": "files lookup",
    "papers": "lookup",
    "settings": "lookup papers table_card",
    "problem": "inner_envs lookup search_space settings tasks",
    "budget": "problem",
    "agent_state": "files search_space",
    "lstm_controller": "search_space",
    "supernet": "lookup search_space",
    "net2net": "search_space supernet",
    "supernets": "net2net search_spaces supernet",
    "inheritance": "net2net search_space supernet",
    "evaluator": "problem search_space window",
    "greedy": "inner_envs supernet tasks",
    "rewards": "problem search_space",
    "training": "episodes supernet",
    "carried": "episodes inner_envs tasks",
    "shards": "training",
    "compiled": "",
    "native": "compiled",
    "learners": "learners lookup native replay search_space search_spaces supernet supernets training",
    "transfer": "inheritance learners replay search_space settings supernet",
    "transfer_checks": "inheritance learners problem settings supernet",
    "state": "evaluator replay supernet transfer",
    "trainers": "inner_envs learners replay supernet supernets training",
    "table_file": "table_card",
    "table": "problem search_space settings table_card table_file",
    "tabular": "evaluator problem rewards search_space table table_card window",
    "population": (
        "carried evaluator greedy host_replay inner_envs learners lookup problem replay rewards "
        "search_space shards state supernet training transfer transfer_checks window"
    ),
    "landscape": "search_space",
    "synthetic": "evaluator landscape problem rewards search_space window",
    "evaluators": "evaluator population problem synthetic tabular",
    "export": "problem search_space supernet",
    "progress": "",
    "terminal": "",
    "events": "",
    "checkpoint": "evaluator",
    "provenance": "",
    "journal": "checkpoint evaluator provenance search_space window",
    "drawing": "search_space stats",
    "envs": (
        "budget compiled drawing envs evaluator evaluators export journal lookup problem rewards "
        "search_space settings stats tabular window"
    ),
    "table_log": "",
    "table_plan": "problem search_space settings table_log",
    "table_computed": "evaluators problem provenance",
    "table_builder": (
        "evaluators problem search_space settings table table_card table_computed table_file table_log table_plan"
    ),
    "page": "files",
    "run_folder": "files journal problem settings stats tabular",
    "report": "drawing page run_folder stats table_card tabular",
    "search": (
        "agent_state budget events files journal lookup problem progress provenance report search_space "
        "settings stats window"
    ),
    "workers": "",
    "scratch": "evaluator evaluators export files journal problem settings",
    "claim": "files",
    "protocol": (
        "budget evaluators files lookup problem progress report scratch search search_space settings stats "
        "terminal workers"
    ),
    "launch": "lookup papers protocol search",
    "jobs": "progress protocol scratch search workers",
    "one_shot": "search settings",
    "agents": "agent_state launch lookup lstm_controller one_shot search search_space settings stats",
    "table_build": (
        "launch problem progress search table table_builder table_card table_computed table_log table_plan workers"
    ),
    "table_check": "launch stats table table_builder table_card table_computed table_file table_log",
    "table_export": "launch table table_card table_file",
    "table_command": "lookup table_card",
    "speed": "inner_envs learners problem settings supernets tasks trainers",
    "doctor": "export inner_envs population problem settings speed supernet table table_card tasks",
    "arms": "launch lookup search",
    "comparison": (
        "arms budget claim comparison_stats evaluators files jobs problem protocol provenance scratch "
        "search settings workers"
    ),
    "scoreboard": "arms comparison comparison_stats evaluators journal problem stats terminal",
    "compare_drawing": "drawing",
    "table_stats": "stats",
    "table_design": "search_space table_stats",
    "table_estimates": "stats table_stats",
    "table_ranks": "table table_estimates table_stats",
    "table_sample": "search_space table",
    "table_findings": "stats table table_design table_estimates table_ranks table_sample table_stats",
    "table_layout": "table_stats",
    "table_drawing": "compare_drawing drawing",
    "table_page": "page table_drawing table_layout",
    "table_describe": "files launch table table_findings table_layout table_page",
    "compare_board": "compare_drawing comparison comparison_stats page scoreboard stats",
    "comparison_bootstrap": "comparison_stats stats",
    "comparison_tabular": "arms comparison files lookup search stats table table_card tabular workers",
    "scoreboard_tabular": "comparison comparison_bootstrap comparison_tabular table_stats terminal",
    "compare_tables": "compare_board compare_drawing comparison page scoreboard_tabular tabular",
    "compare_page": "compare_board compare_drawing compare_tables comparison page scoreboard",
    "compare": "arms compare_page comparison comparison_tabular files scoreboard scoreboard_tabular",
    "study_stats": "stats",
    "shortlist": "stats table_stats",
    "true_scores": "problem scratch search_space shortlist table workers",
    "study_page": "compare_drawing drawing page",
    "study": (
        "arms budget claim files jobs lookup papers problem provenance run_folder search settings "
        "study_page study_stats terminal workers"
    ),
    "nas_dqn_runs": "papers problem search_space stats study study_stats table table_card workers",
    "one_shot_runs": (
        "arms comparison_stats papers problem search search_space shortlist study study_stats table "
        "table_card true_scores workers"
    ),
    "studies": (
        "comparison_stats evaluators inheritance lookup nas_dqn_runs one_shot_runs papers problem run_folder "
        "search shortlist stats study study_page study_stats table table_card table_stats workers"
    ),
    "__main__": (
        "arms compare compare_page doctor inner_envs launch lookup papers report study study_page "
        "table_card table_command tasks"
    ),
}
ARROWS = {unit: set(names.split()) for unit, names in ROWS.items()}
TOGETHER = {"inner_envs", "tasks"}  # may know each other, both ways
# Importing archgym registers the ids; every consumer of random numbers needs seeds; what an observation is, is a type.
EVERYWHERE = {"archgym", "seeding", "observations"}

# Imported in milliseconds, wherever they are imported: without torch, also by way of other modules.
TORCH_FREE = {"archgym", "files", "lookup", "seeding", "search_space", "search_spaces", "stats", "episodes", "window"}
TORCH_FREE |= {"comparison_stats", "compiled", "observations", "orchard", "pendulum", "tasks", "journal"}
TORCH_FREE |= {
    "papers",
    "table",
    "table_card",
    "table_file",
    "table_command",
    "table_export",
    "table_log",
    "table_plan",
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


@pytest.mark.parametrize("module", sorted(name for name in MODULES if unit(name) in TORCH_FREE))
def test_a_light_module_loads_neither_torch_nor_envpool(module: str) -> None:
    chain = heavy_chain(module, set())
    assert not chain, f"importing {module} is to take milliseconds, but: {' imports '.join(chain)} at module level."


def test_the_table_itself_points_downwards() -> None:
    place = {name: row for row, name in enumerate(ARROWS)}
    upward = [(name, other) for name, allowed in ARROWS.items() for other in allowed if place[other] > place[name]]
    assert not [pair for pair in upward if not set(pair) <= TOGETHER]


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
        ("if True:\n    import archgym.envs.single as s", "archgym.search", ["archgym.envs.single"]),
        ("from .. import envs", "archgym.supernets.mlp", ["archgym.envs"]),
        ("from ..search_spaces.mlp import MLP", "archgym.supernets.mlp", []),
        ("from .enas import Args", "archgym.agents.evolution", ["archgym.agents.enas"]),
        ("import archgym.__main__", "archgym.doctor", ["archgym.__main__"]),
        ("ENTRY = 'archgym.envs.single:Single'", "archgym.search", []),
    ],
)
def test_the_checker_sees_every_form_of_import(source: str, module: str, wrong: list[str]) -> None:
    assert wrong_arrows(module, imports(source, module)) == wrong


def test_the_checker_tells_loading_from_running() -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\ndef f():\n    import envpool\n"
    assert imports(source, "archgym.stats", loading=True) == {"typing"}
    assert imports(source, "archgym.stats") == {"typing", "torch", "envpool"}
