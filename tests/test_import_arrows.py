"""Arrows run one way: what each module may import, at module level and inside functions alike.

A folder (`search_spaces`, `envs`) stands for all its modules. The environments and the agents are named by strings
only, so nothing but themselves may import `archgym.envs` and `archgym.agents`, and nothing at all `archgym.__main__`.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

SPACES = {"lookup", "search_space", "search_spaces"}
NETS = SPACES | {"supernets", "supernet"}
INNER = {"lookup", "pendulum", "orchard", "engines", "inner_envs", "tasks"}
PARTS = NETS | INNER | {"problem", "settings", "window", "replay", "host_replay", "stats", "episodes"}
SCORING = PARTS | {"evaluator", "transfer", "state", "greedy", "rewards", "training", "native", "learners", "trainers"}
SCORING |= {"carried", "inheritance", "shards", "transfer_checks"}
TABLES = {"table_card", "table"}
WORLD = SCORING | TABLES | {"population", "synthetic", "tabular", "evaluators"}
VIEWED = WORLD | {"budget", "compiled", "export", "checkpoint", "journal", "drawing"}

# From the bottom to the top: a module, or a folder, and what it may import. A new module gets a row here.
ARROWS: dict[str, set[str]] = {
    "files": set(),
    "lookup": set(),
    "seeding": set(),
    "observations": set(),
    "search_space": {"lookup"},
    "archgym": {"lookup", "search_space"},
    "replay": {"lookup"},
    "host_replay": {"replay"},
    "stats": {"lookup"},
    "comparison_stats": {"lookup", "stats"},
    "episodes": {"lookup"},
    "engines": set(),
    "pendulum": INNER,
    "orchard": INNER,
    "inner_envs": INNER,
    "tasks": INNER,
    "window": {"lookup", "search_space"},
    "search_spaces": SPACES,
    "table_card": {"files", "lookup"},
    "papers": {"lookup"},
    "settings": {"lookup", "papers", "table_card"},
    "problem": SPACES | INNER | {"settings"},
    "budget": {"problem"},
    "agent_state": {"files", "search_space"},
    "lstm_controller": {"search_space"},
    "supernet": NETS,
    "net2net": {"search_space", "supernet"},
    "supernets": NETS | {"net2net"},
    "inheritance": NETS | {"net2net"},
    "evaluator": SPACES | {"problem", "window"},
    "greedy": NETS | INNER,
    "rewards": SPACES | {"problem"},
    "training": NETS | {"episodes"},
    "carried": INNER | {"episodes"},
    "shards": {"training"},
    "compiled": set(),
    "native": {"compiled"},
    "learners": NETS | {"replay", "training", "learners", "native"},
    "transfer": NETS | {"inheritance", "learners", "replay", "settings"},
    "transfer_checks": NETS | {"inheritance", "learners", "problem", "settings"},
    "state": NETS | {"evaluator", "replay", "transfer"},
    "trainers": NETS | INNER | {"window", "replay", "stats", "episodes", "training", "learners", "trainers"},
    "table": SPACES | {"problem", "settings", "table_card"},
    "tabular": SPACES | TABLES | {"evaluator", "rewards", "problem", "window"},
    "population": SCORING,
    "landscape": {"search_space"},
    "synthetic": SPACES | {"evaluator", "landscape", "rewards", "problem", "window"},
    "evaluators": {"evaluator", "population", "problem", "synthetic", "tabular"},
    "export": NETS | INNER | {"problem"},
    "progress": set(),
    "events": set(),
    "checkpoint": {"evaluator"},
    "provenance": set(),
    "journal": SPACES | {"checkpoint", "evaluator", "provenance", "window"},
    "drawing": SPACES | {"stats"},
    "envs": VIEWED | {"envs"},
    "table_log": set(),
    "table_plan": SPACES | TABLES | {"problem", "settings", "table_log"},
    "table_builder": SPACES | TABLES | {"evaluators", "provenance", "problem", "settings", "table_log", "table_plan"},
    "page": {"files"},
    "run_folder": VIEWED | {"files"},
    "report": VIEWED | {"page", "run_folder"},
    "search": VIEWED | {"agent_state", "events", "files", "progress", "provenance", "report"},
    "workers": set(),
    "scratch": VIEWED | {"files"},
    "claim": {"files"},
    "protocol": VIEWED | {"files", "progress", "report", "scratch", "search", "workers"},
    "launch": {"lookup", "papers", "protocol", "search"},
    "jobs": {"progress", "protocol", "scratch", "search", "workers"},
    "one_shot": SPACES | {"search", "settings"},
    "agents": {
        *("lookup", "search_space", "settings", "stats", "search", "launch"),
        *("agent_state", "lstm_controller", "one_shot"),
    },
    "table_build": TABLES
    | {"launch", "progress", "search", "problem", "table_builder", "table_log", "table_plan", "workers"},
    "table_check": TABLES | {"launch", "stats", "table_builder", "table_log"},
    "table_export": TABLES | {"launch"},
    "table_command": {"lookup", "table_card"},
    "speed": VIEWED,
    "doctor": VIEWED | {"speed"},
    "arms": {"launch", "lookup", "search"},
    "comparison": SPACES
    | {
        "arms",
        "budget",
        "claim",
        "comparison_stats",
        "evaluators",
        "files",
        "jobs",
        "journal",
        "protocol",
        "provenance",
        "scratch",
    }
    | {"search", "problem", "settings", "workers"},
    "scoreboard": SPACES | {"arms", "comparison", "comparison_stats", "evaluators", "journal", "problem", "stats"},
    "compare_drawing": {"drawing"},
    "table_stats": {"stats"},
    "table_findings": TABLES | {"stats", "table_stats"},
    "table_layout": {"table_stats"},
    "table_drawing": {"compare_drawing", "drawing"},
    "table_page": {"page", "table_drawing", "table_layout"},
    "table_describe": TABLES | {"files", "launch", "table_findings", "table_layout", "table_page"},
    "compare_board": {"compare_drawing", "comparison", "comparison_stats", "page", "scoreboard", "stats"},
    "comparison_bootstrap": {"comparison_stats", "stats"},
    "comparison_tabular": TABLES | {"arms", "comparison", "files", "lookup", "search", "stats", "tabular", "workers"},
    "scoreboard_tabular": {"comparison", "comparison_bootstrap", "comparison_tabular", "table_stats"},
    "compare_tables": {"compare_board", "compare_drawing", "comparison", "page", "scoreboard_tabular", "tabular"},
    "compare_page": {"compare_board", "compare_drawing", "compare_tables", "comparison", "page", "scoreboard"},
    "compare": {
        *("arms", "compare_page", "comparison", "comparison_tabular", "files", "scoreboard", "scoreboard_tabular"),
    },
    "study_stats": {"stats"},
    "shortlist": {"stats", "table_stats"},
    "true_scores": {"problem", "scratch", "search_space", "shortlist", "table", "workers"},
    "study_page": {"compare_drawing", "drawing", "page"},
    "study": SPACES
    | {
        "arms",
        "budget",
        "claim",
        "files",
        "jobs",
        "papers",
        "problem",
        "provenance",
        "run_folder",
        "scoreboard",
        "search",
        "settings",
        "study_page",
        "study_stats",
    }
    | {"workers"},
    "studies": SPACES
    | TABLES
    | {"evaluators", "papers", "search", "problem", "stats", "study", "study_page", "study_stats"}
    | {"arms", "comparison_stats", "one_shot", "shortlist", "table_stats", "true_scores", "workers"},
    "__main__": VIEWED
    | {"table_command", "report", "doctor", "launch", "compare", "compare_page", "arms"}
    | {"papers", "study", "study_page"},
}
TOGETHER = [{"pendulum", "orchard", "inner_envs", "tasks"}, {"supernets", "supernet"}]  # may know each other, both ways
# Importing archgym registers the ids; every consumer of random numbers needs seeds; what an observation is, is a type.
EVERYWHERE = {"archgym", "seeding", "observations"}

# Imported in milliseconds, wherever they are imported: without torch, also by way of other modules.
TORCH_FREE = {"archgym", "files", "lookup", "seeding", "search_space", "search_spaces", "stats", "episodes", "window"}
TORCH_FREE |= {"comparison_stats", "compiled", "observations", "orchard", "pendulum", "tasks", "journal"}
TORCH_FREE |= {"papers", "table", "table_card", "table_command", "table_export", "table_log", "table_plan"}
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
    ours = {name for name in imported if name == "archgym" or name.startswith("archgym.")}
    return sorted(name for name in ours if unit(name) not in ARROWS[unit(module)] | EVERYWHERE)


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
        f"{module} has no row: add {unit(module)!r} to ARROWS in tests/test_import_arrows.py, between what it imports"
        " and what imports it."
    )
    wrong = wrong_arrows(module, imports_of(module))
    assert not wrong, (
        f"{module} imports {', '.join(wrong)}, but {unit(module)!r} may know only"
        f" {', '.join(sorted(ARROWS[unit(module)])) or 'nothing of archgym'} (ARROWS in tests/test_import_arrows.py)."
    )


@pytest.mark.parametrize("module", sorted(name for name in MODULES if unit(name) in TORCH_FREE))
def test_a_light_module_loads_neither_torch_nor_envpool(module: str) -> None:
    chain = heavy_chain(module, set())
    assert not chain, f"importing {module} is to take milliseconds, but: {' imports '.join(chain)} at module level."


def test_the_table_itself_points_downwards() -> None:
    place = {name: row for row, name in enumerate(ARROWS)}
    upward = [(name, other) for name, allowed in ARROWS.items() for other in allowed if place[other] > place[name]]
    assert not [pair for pair in upward if not any(set(pair) <= group for group in TOGETHER)]


@pytest.mark.parametrize(
    ("source", "module", "wrong"),
    [
        ("import archgym.population", "archgym.trainers.dqn", ["archgym.population"]),
        ("from archgym import replay, lookup", "archgym.stats", ["archgym.replay"]),
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
