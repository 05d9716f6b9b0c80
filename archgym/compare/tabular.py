"""A comparison on recorded tables: nothing is trained, hundreds of searches take a minute.

Searches look windows up, and leave a line each instead of a run folder. What a search recommends is looked up on the
table's test seeds, which no search sees, with all windows that are recorded. Every search lives in a world, a table
whose search seeds were drawn anew (`archgym.compare.bootstrap` says why); arms share the worlds as they share the
seeds.

The control that spends a search's whole budget on one training is missing: it would need longer curves than recorded.
"""

import json
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym import table as tables
from archgym import table_card
from archgym.compare.comparison import BEST_OF_K, DRAWN, STREAM, Comparison
from archgym.files import stem
from archgym.running import search, workers
from archgym.running.agent import load_agent
from archgym.running.arguments import RECOMMENDATIONS, SearchArgs, check_arguments
from archgym.running.arms import Arm, TabularArgs
from archgym.stats import ranking
from archgym.table import Table
from archgym.tabular import Tabular

WORLD = 3  # who draws: which search seeds a world has; 0 to 2 are those of all comparisons
POINTS = 10  # of a regret curve, at most
LONG = "windows=.* is more than"  # warning of lifetimes longer than the record; the page says it
FEWEST = 4  # searches: two worlds of two


class TabularComparison(Comparison):
    """The plan of a comparison on tables, and what its searches came to.

    Args:
        specs: The arms.
        args: What they share.
    """

    args: TabularArgs

    def __init__(self, specs: Sequence[str], args: TabularArgs) -> None:
        super().__init__(specs, args)
        self.found: dict[tuple[str, str, int], dict[str, Any]] = {}  # searches, by arm, task and seed

    @cached_property
    def evaluators(self) -> dict[str, Tabular]:
        """What a search of every task looks up."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=LONG)
            return {task: Tabular(self.problem(task), 1) for task in self.tasks}

    def table(self, task: str) -> Table:
        """The table as it was recorded, whatever the length of a window in the searches."""
        return self._tables[task]

    @cached_property
    def _tables(self) -> dict[str, Table]:
        return {task: tables.load(table_card.find(own.table, asdict(own))) for task, own in self.settings.items()}

    @property
    def worlds(self) -> int:
        """Count the worlds: as many as asked for, if every one has two searches or more."""
        return min(self.args.worlds, len(self.seeds) // 2)

    def world(self, seed: int) -> int:
        """Tell in which world a search lives."""
        return (seed - self.seeds[0]) % self.worlds

    def check(self) -> None:
        """Refuse what could not be done, before anything is written."""
        args = self.args
        if args.retrain is not None or args.retrain_seeds:
            raise ValueError(
                "--retrain, --retrain-seeds: expected none on a recorded table, where what a search recommends is "
                "looked up: all windows, all test seeds."
            )
        least = {"seeds": FEWEST, "worlds": 2, "jobs": 1}
        for name, lowest in least.items():
            value = getattr(args, name)
            if value is not None and value < lowest:
                raise ValueError(f"--{name}: expected at least {lowest} on a recorded table, got {value}.")
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"--task: expected each once, got {args.task}.")
        check_arguments(args)
        for task in self.tasks:
            card = self.table(task).card
            if min(card.search_seeds, len(card.seeds) - card.search_seeds) < 2:
                raise ValueError(
                    f"table: expected at least 2 seeds for searches and 2 for tests, so that intervals can draw them "
                    f"anew; that of {task} has {len(card.seeds)} in all."
                )
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=LONG)
                assert self.evaluation_steps[task] >= 0, "every arm has accepted its arguments"

    def plan(self) -> dict[str, Any]:
        """Write down what is done; with the tables, which a resume must not change."""
        own = super().plan()
        checks = {task: self.table(task).card.checksum for task in self.tasks}
        own["args"] |= {"tables": checks, "retrain": self.record_steps(self.tasks[0])}
        own["args"]["retrain_seeds"] = len(self.table(self.tasks[0]).card.seeds) - self.search_seeds(self.tasks[0])
        return own

    def run(self) -> None:
        """Do the searches that are not done yet."""
        path = self.folder / "searches.jsonl"
        if path.exists():
            whole = path.read_bytes().rpartition(b"\n")[0]  # without a half-written last line
            path.write_bytes(whole + b"\n" if whole else b"")
            for line in whole.splitlines():
                self._take(json.loads(line))
        for task, world in product(self.tasks, range(self.worlds)):
            self._write_world(task, world)

        def keep(results: list[dict[str, Any]]) -> None:
            with path.open("a") as file:
                file.writelines(json.dumps(result) + "\n" for result in results if "reason" not in result)
            for result in results:
                self._take(result)

        with workers.Workers(self.processes) as pool:
            self._work(pool, "searches", list(self._jobs()), keep)

    def _take(self, result: dict[str, Any]) -> None:
        if "reason" in result:
            self.failures.append({name: result[name] for name in ("job", "reason", "trace")})
        else:
            self.found[result["arm"], result["task"], result["seed"]] = result

    def _jobs(self) -> Iterator[workers.Job]:
        """List the searches that are not done, those of an arm in one world together; arms take turns."""
        for world, task, arm in product(range(self.worlds), self.tasks, self.arms):
            own = [seed for seed in self.seeds if self.world(seed) == world]
            todo = [seed for seed in own if (arm.name, task, seed) not in self.found]
            if todo:
                args = [self.search_args(arm, task, seed) for seed in todo]
                yield workers.Job(f"{arm.name} on {task}, world {world + 1}", search_many, (arm.agent, arm.name, args))

    def _own_args(self, arm: Arm, task: str, seed: int) -> SearchArgs:
        """Give the arguments of one search, in its world once there is one."""
        path = self._world_path(task, self.world(seed))
        own = super()._own_args(arm, task, seed)
        return replace(own, table=str(path)) if path.exists() else own

    def _world_path(self, task: str, world: int) -> Any:
        return self.folder / "worlds" / f"{stem(task)}__{world + 1}.npz"

    def world_seeds(self, task: str, world: int) -> list[int]:
        """Give the search seeds of a world, by their places in the table."""
        key = (STREAM, WORLD, self.tasks.index(task), world)
        rng = np.random.default_rng(np.random.SeedSequence(self.args.seed, spawn_key=key))
        count = self.search_seeds(task)
        drawn: list[int] = rng.integers(count, size=count).tolist()
        return drawn

    def _write_world(self, task: str, world: int) -> None:
        """Write the table of a world, if it is not there."""
        path, table = self._world_path(task, world), self.table(task)
        if path.with_suffix(".json").exists():
            return
        places = [*self.world_seeds(task, world), *range(self.search_seeds(task), len(table.card.seeds))]
        card = replace(table.card, seeds=[table.card.seeds[place] for place in places])
        columns = {name: column[:, places] for name, column in table.columns.items()}
        tables.save(Table(card, table.architectures, columns, table.evaluations[:, places], table.supernet), path)

    def search_seeds(self, task: str) -> int:
        """Count the search seeds of a table."""
        return self.table(task).card.search_seeds

    def record_steps(self, task: str) -> int:
        """Count the inner steps of a whole learning curve."""
        return self.table(task).windows * self.table(task).problem.window_steps

    def drawn(self, task: str) -> int:
        """Count the random architectures whose whole curves cost as much as a search."""
        return min(len(self.evaluators[task].rows), max(1, self.budget(task) // self.record_steps(task)))

    def best_of_k(self, task: str, seed: int) -> int:
        """Give the row of the best of k random architectures: distinct ones, one curve of each."""
        key = (STREAM, DRAWN, self.tasks.index(task))
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
        rows = rng.choice(self.evaluators[task].rows, self.drawn(task), replace=False)
        places = np.array(self.world_seeds(task, self.world(seed)))[
            rng.integers(self.search_seeds(task), size=len(rows))
        ]
        return int(rows[self.table(task).scores("area")[rows, places].argmax()])

    def recommended_row(self, arm: str, task: str, seed: int) -> int | None:
        """Give the row of what an arm recommends; None if its search failed."""
        if arm == BEST_OF_K:
            return self.best_of_k(task, seed)
        found = self.found.get((arm, task, seed))
        return None if found is None else self.row(task, found["recommended"])

    def row(self, task: str, action: Sequence[int]) -> int:
        """Give the row of an architecture, or of the nearest one that is recorded."""
        return self.evaluators[task].row(self.problem(task).space.canonical(np.array(action, dtype=np.int64)))


def search_many(agent: str, arm: str, every: Sequence[SearchArgs]) -> list[dict[str, Any]]:
    """Run searches of one arm in one world, one after the other in one environment; called in a worker.

    Returns:
        For every search what `search_once` gives, with `arm`, `task` and `seed`; or, if it failed, `job`, `reason` and
        `trace`.
    """
    # What an agent warns of it has said when it was checked; of lifetimes longer than the record the page tells.
    warnings.simplefilter("ignore", UserWarning)
    envs = search.make(every[0])
    results: list[dict[str, Any]] = []
    for args in every:
        try:
            found = search_once(agent, args, envs)
        except Exception as error:  # another search of the arm may succeed
            said = str(error).splitlines() or [""]
            name = f"{arm} on {args.task}, seed {args.seed}"
            reason = f"{type(error).__name__}: {said[0]}"
            results.append({"job": name, "reason": reason, "trace": traceback.format_exc()})
        else:
            results.append({"arm": arm, "task": args.task, "seed": args.seed, **found})
    envs.close()
    return results


def search_once(agent: str, args: SearchArgs, envs: Any) -> dict[str, Any]:
    """Run one search without a record.

    Returns:
        `curve`: mean normalised return of the members, by window. `steps`: inner steps looked up. `decision`: seconds,
        median over the windows. `ends` and `incumbents`: growing numbers of windows, and the incumbent after each.
        `recommended`: the architecture.
    """
    own = search.begin(load_agent(agent).Agent, envs, args, agent)
    curve, seconds, steps = [], [], 0
    for _, infos, scalars in search.windows(envs, own, args.seed):
        curve.append(round(float(infos["normalised_return"].mean()), 6))
        seconds.append(scalars[search.AGENT_SECONDS])
        steps += int(infos["env_steps"].sum())
    histories = envs.unwrapped.histories
    actions = np.array([[result.action for result in history] for history in histories]).swapaxes(0, 1)
    rewards = np.array([[result.reward for result in history] for history in histories]).T
    ends = points(len(curve))
    best = [ranking(actions[:end], rewards[:end])[0] for end in ends]
    if hasattr(own, "recommend"):
        chosen = envs.unwrapped.search_space.canonical(own.recommend(RECOMMENDATIONS)[0]).tolist()
    else:
        chosen = list(best[-1])
    return {
        "curve": curve,
        "steps": steps,
        "decision": round(float(np.median(seconds)), 7),
        "ends": ends,
        "incumbents": [list(one) for one in best],
        "recommended": chosen,
    }


def points(windows: int) -> list[int]:
    """Give the numbers of windows after which the incumbent is looked at."""
    found: list[int] = np.unique(np.geomspace(1, windows, min(windows, POINTS)).round().astype(int)).tolist()
    return found


def scores_on_test_seeds(comparison: TabularComparison, task: str, kind: str) -> NDArray[np.float64]:
    """Score all architectures on the test seeds, (architectures, test seeds), on the scale of the comparison."""
    table, problem = comparison.table(task), comparison.problem(task)
    raw = table.returns(kind)[:, comparison.search_seeds(task) :].mean(2)
    return np.asarray((raw - problem.random_return) / (problem.reference_return - problem.random_return))


def about_tables(comparison: TabularComparison) -> list[dict[str, Any]]:
    """Say what the tables are, by task."""
    rows = []
    for task in comparison.tasks:
        table, settings = comparison.table(task), comparison.settings[task]
        file = table_card.find(settings.table, asdict(settings))
        rows.append(
            {
                "task": task,
                "file": file.name,
                "checksum": table.card.checksum,
                "architectures": len(table.architectures),
                "sample": table.card.sample,
                "search_seeds": table.card.search_seeds,
                "test_seeds": len(table.card.seeds) - table.card.search_seeds,
                "windows": table.windows,
                "steps": comparison.record_steps(task),
            }
        )
    return rows
