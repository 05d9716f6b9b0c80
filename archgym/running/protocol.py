"""The comparison from scratch, without the winner's curse.

Architectures recommended by the search, by random search at the same budget, three drawn at random and the default one
are trained from scratch. On 3 seeds each arm selects its best; the selected ones and the default are trained again on 5
fresh seeds, and only these are reported, as differences from the default on the same seeds with their intervals.
"""

import json
import os
import shutil
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from archgym import budget
from archgym.evaluators import open_evaluator
from archgym.files import write_json
from archgym.problem import Problem
from archgym.running import report, scratch, search, terminal, workers
from archgym.running.agent import load_agent, view
from archgym.running.arguments import SearchArgs
from archgym.running.progress import Progress
from archgym.search_space import Architecture, SearchSpace
from archgym.settings import Settings
from archgym.stats import mean_interval

CONTROL, DRAW, DEFAULT = "random-search", "drawn", "default"
DRAWN = 3
SELECTION_SEEDS, REPORT_SEEDS = 3, 5
STREAM = 101  # key of the protocol's random numbers below the seed


class Control:
    """Random search at the same budget, in a process of its own beside the search; killed if the search fails.

    Args:
        args: The search's arguments.
        name: The search's agent; random search needs no control.
    """

    def __init__(self, args: SearchArgs, name: str) -> None:
        self.args, self.needed = args, name != CONTROL
        self.process: SpawnProcess | None = None

    def __enter__(self) -> "Control":
        return self

    def __exit__(self, *error: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()

    def start(self, folder: Path) -> None:
        """Start it, or go on with it."""
        if not self.needed:
            return
        journal = folder / CONTROL / "journal.jsonl"
        begun = journal.exists() and journal.stat().st_size > 0
        own = {name: getattr(self.args, name) for name in SearchArgs.__dataclass_fields__}
        spent = json.loads((folder / "config.json").read_text())["settings"]["evaluation_steps"]  # the same budget
        changed = {"env_id": view(self.args.env_id, SearchArgs), "evaluation_steps": spent}
        changed |= {"retrain": None, "start_from": None, "out": folder / CONTROL, "resume": begun}
        args = SearchArgs(**{**own, **changed})
        log = folder / f"{CONTROL}.log"
        self.process = get_context("spawn").Process(target=search_at_random, args=(args, log))
        self.process.start()

    def finish(self, folder: Path) -> None:
        """Wait for it.

        Raises:
            ValueError: If it failed.
        """
        if self.process is not None:
            self.process.join()
            if self.process.exitcode:
                raise ValueError(f"random search, the control, failed: see {folder / f'{CONTROL}.log'}.")


def search_at_random(args: SearchArgs, log: Path) -> None:
    """Run the control, in a process of its own."""
    import torch

    workers.end_with_parent()
    torch.set_num_threads(1)
    module = load_agent(CONTROL)
    search_quietly(CONTROL, module.Args(**vars(args)), log, page=True)


def search_quietly(agent: str, args: SearchArgs, log: Path, page: bool) -> None:
    """Run a search in a process of which nobody sees the terminal; what it says goes to a file."""
    with log.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    search.run(load_agent(agent).Agent, args, agent, page=page)


def check(args: SearchArgs) -> None:
    """Refuse what training from scratch could not do, before the search and not after it.

    Raises:
        ValueError: If a setting of the trainer does not fit so few steps, windows are looked up in a table, or searches
            could not be given equal budgets.
    """
    assert args.retrain is not None
    if args.settings().table:
        raise ValueError(
            "--retrain: expected an environment that trains networks, got a recorded table, which knows the regret of "
            "every recommendation without."
        )
    budget.check_equal_windows(Problem(args.settings()), "--retrain")
    open_evaluator(Problem(scratch.retraining(args.settings(), args.retrain)[0]), 1)


def run(folder: Path, args: SearchArgs, name: str, control: Control) -> None:
    """Compare what the search recommends with the controls; writes `protocol.json` and the winner's weights.

    Args:
        folder: The run folder of the finished search.
        args: Its arguments; `retrain` are the steps of one training from scratch.
        name: The agent's.
        control: Random search.

    Raises:
        ValueError: If random search failed.
    """
    control.finish(folder)
    assert args.retrain is not None
    recorded = json.loads((folder / "config.json").read_text())["settings"]
    settings, steps = scratch.retraining(Settings(**recorded), args.retrain)
    problem = Problem(settings)
    space = problem.space
    searches = {name: folder} | ({CONTROL: folder / CONTROL} if control.needed else {})
    found = {arm: json.loads((path / "recommendation.json").read_text()) for arm, path in searches.items()}
    candidates = {arm: [np.array(a, dtype=np.int64) for a in one["architectures"]] for arm, one in found.items()}
    rng = np.random.default_rng(np.random.SeedSequence(args.seed, spawn_key=(STREAM, 0)))
    candidates[DRAW] = [space.sample(rng) for _ in range(DRAWN)]
    candidates[DEFAULT] = [space.default_architecture]

    every = [architecture for group in candidates.values() for architecture in group]
    with workers.Workers(os.cpu_count() or 1) as pool:
        trained = retrain(pool, folder, settings, space, every, "selection", args.seed)
        means = {label: float(np.mean(result["scores"])) for label, result in trained.items()}
        chosen = {arm: max(group, key=lambda a: means[space.label(a)]) for arm, group in candidates.items()}
        reported = retrain(pool, folder, settings, space, list(chosen.values()), "report", args.seed)
    baseline = np.array(reported[space.label(chosen[DEFAULT])]["scores"])
    arms = []
    for arm, architecture in chosen.items():
        result, network = reported[space.label(architecture)], space.network_of(architecture)
        difference = None
        if space.label(architecture) != space.label(chosen[DEFAULT]):
            low, high = mean_interval(np.array(result["scores"]) - baseline)
            verdict = "better" if low > 0 else "worse" if high < 0 else "undecided"
            difference = {"low": low, "high": high, "verdict": verdict}
        arms.append(
            {
                "arm": arm,
                "architecture": space.label(architecture),
                "action": architecture.tolist(),
                "parameters": network.parameters(problem.inputs, problem.outputs),
                "flops": network.flops(problem.inputs, problem.outputs),
                **{key: result[key] for key in ("scores", "last_fifth", "curves")},
                "difference": difference,
            }
        )
    content = {
        "steps": steps,
        "search_steps": {arm: one["search_steps"] for arm, one in found.items()},
        "retraining_steps": sum(result["steps"] for part in (trained, reported) for result in part.values()),
        "candidates": [
            {
                "arm": arm,
                "architecture": space.label(architecture),
                "action": architecture.tolist(),
                "scores": trained[space.label(architecture)]["scores"],
            }
            for arm, group in candidates.items()
            for architecture in group
        ],
        "arms": arms,
        "winner": max(chosen, key=lambda arm: means[space.label(chosen[arm])]),
    }
    write_json(folder / "protocol.json", content)
    winner = space.label(chosen[content["winner"]])
    for suffix in (".json", ".safetensors"):
        kept = folder / "retrain" / f"{slug('report', winner)}{suffix}"
        if kept.exists():  # a planted landscape has no weights
            shutil.copyfile(kept, folder / f"best{suffix}")
    report.write(folder)
    print_table(content, trains=problem.trains)


def retrain(
    pool: workers.Workers,
    folder: Path,
    settings: Settings,
    space: SearchSpace,
    architectures: list[Architecture],
    stage: str,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Train distinct architectures on the stage's seeds, one process per core.

    Returns:
        The result of each, by label.
    """
    count, key = (SELECTION_SEEDS, 1) if stage == "selection" else (REPORT_SEEDS, 2)
    words = np.random.SeedSequence(seed, spawn_key=(STREAM, key)).generate_state(count, np.uint32)
    (folder / "retrain").mkdir(exist_ok=True)
    jobs = {}
    for architecture in architectures:
        label = space.label(architecture)
        seeds = [int(word) for word in words]
        name, keep = slug(stage, label), stage == "report"
        jobs[label] = scratch.Job(settings.to_dict(), architecture.tolist(), seeds, folder / "retrain", name, keep)
    title = f"{stage}: {len(jobs)} architectures x {count} seeds from scratch"
    results = {}
    with Progress(title, len(jobs)) as progress:
        work = [workers.Job(label, scratch.train, (job,)) for label, job in jobs.items()]
        for done, (job, result) in enumerate(pool.run(work), start=1):
            if isinstance(result, workers.Failure):
                raise RuntimeError(f"training {job.name} from scratch failed. {result.reason}\n{result.trace}")
            results[job.name] = result
            progress.update(done, f"score {np.mean(result['scores']):.3f}  {job.name}")
    return {label: results[label] for label in jobs}


def slug(stage: str, label: str) -> str:
    """Name the files of one training."""
    return f"{stage}-{label.replace('=', '-').replace(' ', '_')}"


def print_table(content: dict[str, Any], *, trains: bool = True) -> None:
    """Print the comparison; of one on a planted landscape that nothing was trained."""
    how = "Trained from scratch" if trains else "Nothing trained: scored on the planted landscape as if trained"
    table = Table(title=f"{how} for {content['steps']:,} steps, {REPORT_SEEDS} fresh seeds")
    for column in ("arm", "architecture"):
        table.add_column(column, overflow="fold")
    for column in ("parameters", "FLOPs", "score", "last fifth", "difference from default, 95 %"):
        table.add_column(column, justify="right", overflow="fold")
    for arm in content["arms"]:
        difference = arm["difference"]
        text = (
            "is the default"
            if difference is None
            else (f"[{difference['low']:+.3f}, {difference['high']:+.3f}]  {difference['verdict']}")
        )
        numbers = (f"{arm['parameters']:,}", f"{arm['flops']:,}")
        scores = (f"{np.mean(arm['scores']):.3f}", f"{np.mean(arm['last_fifth']):.1f}")
        winner = " (selected)" if arm["arm"] == content["winner"] else ""
        table.add_row(arm["arm"] + winner, arm["architecture"], *numbers, *scores, Text(text))
    console = terminal.console()
    console.print(table)
    searched = ", ".join(f"{arm} {steps:,}" for arm, steps in content["search_steps"].items())
    total = sum(content["search_steps"].values()) + content["retraining_steps"]
    console.print(
        "score: normalised area under the learning curve (0 random policy, 1 reference); last fifth: raw return\n"
        f"inner steps: search {searched}; from scratch {content['retraining_steps']:,}; together {total:,}"
    )
