"""A fair comparison of agents: its plan, its jobs, and the folder where everything of it lies.

All arms have the same problem, the same seeds of lifetimes, and equally many inner steps, exactly: windows of equal
length, and one budget of greedy evaluations, large enough for what any of the arms asks for; an arm spends the rest of
it on the evaluation of its incumbent at the end. There are two scoreboards, which answer different questions and are
never mixed:

*Lifetime*: how well the lifetimes themselves did while the agent searched (NAS-DQN's claim). *Recommendation*: how
well the architecture that each search recommends does when it is trained from scratch, on seeds that no search has
seen.

Random search and a fixed network are always among the arms. The recommendations face two more controls, which spend the
same steps in their own way: the best of k random architectures, distinct ones, each trained from scratch once, with k
as large as the steps of a search allow; and the default network that spends the steps of a search and of all trainings
of its recommendation on a single training. Where the steps do not divide, the k trainings are longer than those from
scratch, all alike but for a few steps that the first of them takes more; and a training that is no whole number of
windows begins with a shorter one, which no score counts.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from itertools import count, islice, product
from math import comb
from pathlib import Path
from typing import Any

import numpy as np

from archgym import budget
from archgym.compare.stats import enough_draws, smallest_p_value
from archgym.evaluators import open_evaluator
from archgym.files import stem
from archgym.problem import Problem
from archgym.provenance import versions
from archgym.running import claim, jobs, protocol, scratch, search, workers
from archgym.running.agent import view
from archgym.running.arguments import SearchArgs, check_arguments
from archgym.running.arms import Args, Arm, parse_arm
from archgym.running.claim import Claim
from archgym.running.scratch import Job
from archgym.settings import Settings

RANDOM, FIXED, BEST_OF_K, WHOLE_BUDGET = "random-search", "fixed", "best-of-k-random", "fixed-whole-budget"
SEARCHES = (RANDOM, FIXED)  # arms that are always there
FROM_SCRATCH = (BEST_OF_K, WHOLE_BUDGET)  # arms of the recommendations alone
STREAM = 102  # key of the comparison's random numbers below the seed
DRAWN, DRAWN_SEED, EVALUATED = range(3)  # who draws: which architectures, what they are selected on, what is reported


class Comparison:
    """The plan of a comparison, and where everything of it lies.

    Args:
        specs: The arms.
        args: What they share.
    """

    def __init__(self, specs: Sequence[str], args: Args) -> None:
        self.args = args
        self.tasks = [task.strip() for task in args.task.split(",")]
        if not all(self.tasks):
            raise ValueError(f"--task: expected names separated by single commas, got {args.task!r}.")
        self.seeds = list(range(args.seed, args.seed + args.seeds))
        arms = [parse_arm(spec) for spec in specs]
        repeated = next((arm.name for n, arm in enumerate(arms) if arm.name in [one.name for one in arms[:n]]), None)
        if repeated is not None:
            raise ValueError(f"arms: expected each once, got {repeated!r} twice.")
        self.arms = arms + [parse_arm(name) for name in SEARCHES if name not in [arm.name for arm in arms]]
        self.folder = args.out or Path("runs") / f"compare__{args.env_id.split(':')[-1]}__{args.seed}"
        self.failures: list[dict[str, str]] = []

    @cached_property
    def settings(self) -> dict[str, Settings]:
        """The settings of the environment, by task."""
        return {task: replace(self.args, task=task).settings() for task in self.tasks}

    def problem(self, task: str) -> Problem:
        """What is searched."""
        return Problem(self.settings[task])

    @cached_property
    def evaluation_steps(self) -> dict[str, int]:
        """Inner environment steps of every search for greedy evaluations, by task: enough for any of the arms.

        Raises:
            ValueError: If an arm refuses its arguments, or asks for more than `--evaluation-steps`.
        """
        found = {}
        for task in self.tasks:
            each = [self._own_args(arm, task, self.seeds[0]) for arm in self.arms]
            asked = max(
                search.rehearse(arm.module.Agent, own, arm.agent) for arm, own in zip(self.arms, each, strict=True)
            )
            found[task] = search.planned(each[0], asked)
        return found

    def budget(self, task: str) -> int:
        """Count all inner environment steps of one search."""
        return budget.search_steps(self.problem(task), self.args.num_envs, self.evaluation_steps[task])

    def check(self) -> None:
        """Refuse what could not be done, before anything is written."""
        args = self.args
        for name in ("seeds", "retrain", "retrain_seeds", "jobs"):
            value = getattr(args, name)
            if not (name == "jobs" and value is None) and (value is None or value < 1):
                raise ValueError(f"--{name.replace('_', '-')}: expected a positive number, got {value}.")
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"--task: expected each once, got {args.task}.")
        check_arguments(args)
        lengths = {task: self.problem(task).window_steps for task in self.tasks}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{task} {steps}" for task, steps in lengths.items())
            raise ValueError(f"--window-steps: expected one length of a window for all tasks; theirs are {listed}.")
        for task in self.tasks:
            budget.check_equal_windows(self.problem(task), "compare")
            assert self.evaluation_steps[task] >= 0, "every arm has accepted its arguments"
            protocol.check(replace(args, task=task))
            drawn = self.drawn_jobs(task, self.seeds[0])
            for job in (drawn[0], drawn[-1], self.whole_budget_job(task, self.seeds[0])):
                open_evaluator(Problem(Settings(**job.settings)), 1)

    def enough_seeds(self, level: float = 0.05) -> int:
        """Count the seeds from which on two arms that never overlap differ at a level, after Holm's correction."""
        arms = len(self.arms) + len(FROM_SCRATCH)
        pairs, draws = comb(arms, 2), enough_draws(arms)
        return next(n for n in count(2) if pairs * smallest_p_value(n, len(self.tasks), draws=draws) < level)

    def search_args(self, arm: Arm, task: str, seed: int) -> SearchArgs:
        """Give the arguments of one search."""
        return replace(self._own_args(arm, task, seed), evaluation_steps=self.evaluation_steps[task])

    def _own_args(self, arm: Arm, task: str, seed: int) -> SearchArgs:
        """Give the arguments of one search, with the evaluations that were asked for on the command line."""
        shared = {name: getattr(self.args, name) for name in SearchArgs.__dataclass_fields__}
        out = self.folder / "searches" / stem(task) / arm.slug / str(seed)
        env_id = view(self.args.env_id, type(arm.args))
        own = {"env_id": env_id, "task": task, "seed": seed, "out": out, "resume": False, "retrain": None}
        return replace(arm.args, **{**shared, **own})

    def folder_of_its_own(self) -> Claim:
        """Claim the folder, or go on with what is in it.

        Raises:
            ValueError: If another process is at work in it, or it holds another comparison.
        """
        return Claim(self.folder, self.plan(), resume=self.args.resume)

    def plan(self) -> dict[str, Any]:
        """Write down what is done."""
        given = json.loads(json.dumps(asdict(self.args), default=str))
        args = {name: value for name, value in given.items() if name not in ("out", "resume", "jobs")}
        problem = self.problem(self.tasks[0])
        return {
            "arms": [arm.name for arm in self.arms],
            "args": args | {"window_steps": problem.window_steps, "transfer": problem.settings.transfer},
            "evaluation_steps": self.evaluation_steps,
            "versions": versions(),
        }

    def run(self) -> None:
        """Do what is not done yet: all searches, then all trainings from scratch."""
        (self.folder / "scratch").mkdir(exist_ok=True)
        with workers.Workers(self.processes) as pool:
            self._work(pool, "searches", self._searches())
            first = [*self._whole_budget(), *self._recommended(), *self._drawn()]  # the longest first
            self._work(pool, "from scratch", self._scratch(first))
            self._work(pool, "best of k random", self._scratch(self._best_of_k()))

    def read_plan(self) -> dict[str, Any]:
        """Read what was written down, by this process or an earlier one."""
        plan: dict[str, Any] = json.loads((self.folder / claim.FILE).read_text())
        return plan

    @property
    def processes(self) -> int:
        """Count the processes that work side by side."""
        return self.args.jobs or os.cpu_count() or 1

    def recommendation(self, arm: str, task: str, seed: int) -> list[int] | None:
        """Give the architecture that an arm recommends; None if its search failed."""
        if arm == FIXED:
            return [int(index) for index in self.problem(task).space.default_architecture]
        if arm == BEST_OF_K:
            results = [job.result() for job in self.drawn_jobs(task, seed)]
            if any(result is None for result in results):
                return None
            scores = [float(np.mean(result["scores"])) for result in results if result]
            return self.drawn_jobs(task, seed)[int(np.argmax(scores))].action
        own = next(one for one in self.arms if one.name == arm)
        out = self.search_args(own, task, seed).out
        assert out is not None, "every search of a comparison has its folder"
        path = out / "recommendation.json"
        if not path.exists():
            return None
        chosen: list[int] = json.loads(path.read_text())["architectures"][0]
        return chosen

    def scratch_job(self, task: str, seed: int, action: list[int]) -> Job:
        """Give the training from scratch of a recommendation, on the seeds that all arms share."""
        return self._job(task, seed, action, self._words(task, seed, EVALUATED, self.args.retrain_seeds))

    def whole_budget_job(self, task: str, seed: int) -> Job:
        """Give the training of the default network that spends all that a search and its recommendation do."""
        action = self.recommendation(FIXED, task, seed)
        assert action is not None, "the default architecture is always there"
        steps = self.budget(task) + self.args.retrain_seeds * self.length(task)
        return self._exact_job(task, seed, action, self._words(task, seed, EVALUATED, 1), steps)

    def drawn(self, task: str) -> int:
        """Count the random architectures that a search's budget trains from scratch, once each."""
        wanted = max(1, self.budget(task) // self.length(task))
        return len(list(islice(self.problem(task).space.enumerate(), wanted)))  # where there are no more

    def _searches(self) -> list[workers.Job]:
        """List the searches that are not finished; arms take turns, so that none is far ahead of the others."""
        todo = []
        for seed, task, arm in product(self.seeds, self.tasks, self.arms):
            args = self.search_args(arm, task, seed)
            assert args.out is not None
            if not (args.out / "recommendation.json").exists():
                todo.append(workers.Job(f"{arm.name} on {task}, seed {seed}", jobs.search_once, (arm.agent, args)))
        return todo

    def _scratch(self, trainings: Iterable[Job]) -> list[workers.Job]:
        """List the trainings from scratch that have no result yet; arms with the same recommendation share one."""
        distinct = {job.name: job for job in trainings}
        todo = [job for job in distinct.values() if job.result() is None]
        return [workers.Job(self._said(job), scratch.train, (job,)) for job in todo]

    def _said(self, job: Job) -> str:
        """Name a training from scratch as people read it."""
        problem = Problem(Settings(**job.settings))
        label = problem.space.label(np.array(job.action, dtype=np.int64))
        steps = problem.window_steps * problem.settings.windows + job.head
        return f"{label} on {problem.settings.task}, {len(job.seeds)} x {steps:,} steps"

    def _recommended(self) -> Iterator[Job]:
        for seed, task, arm in product(self.seeds, self.tasks, self.arms):
            action = self.recommendation(arm.name, task, seed)
            if action is not None:
                yield self.scratch_job(task, seed, action)

    def _drawn(self) -> Iterator[Job]:
        for seed, task in product(self.seeds, self.tasks):
            yield from self.drawn_jobs(task, seed)

    def _whole_budget(self) -> Iterator[Job]:
        for seed, task in product(self.seeds, self.tasks):
            yield self.whole_budget_job(task, seed)

    def _best_of_k(self) -> Iterator[Job]:
        for seed, task in product(self.seeds, self.tasks):
            action = self.recommendation(BEST_OF_K, task, seed)
            if action is not None:
                yield self.scratch_job(task, seed, action)

    def drawn_jobs(self, task: str, seed: int) -> list[Job]:
        """Give the trainings that the best of k random architectures is selected by: once each, on the same seed."""
        problem, count = self.problem(task), self.drawn(task)
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STREAM, DRAWN, self.tasks.index(task))))
        chosen: dict[tuple[int, ...], list[int]] = {}
        while len(chosen) < count:
            action = problem.space.sample(rng).tolist()
            chosen.setdefault(tuple(action), action)
        per_member = problem.settings.envs_per_member
        each = self.budget(task) // per_member // count * per_member
        rest = self.budget(task) - count * each
        words = self._words(task, seed, DRAWN_SEED, 1)
        lengths = [each + rest, *[each] * (count - 1)]
        pairs = zip(chosen.values(), lengths, strict=True)
        return [self._exact_job(task, seed, action, words, length) for action, length in pairs]

    def _words(self, task: str, seed: int, who: int, count: int) -> list[int]:
        key = (STREAM, who, self.tasks.index(task))
        return [int(word) for word in np.random.SeedSequence(seed, spawn_key=key).generate_state(count, np.uint32)]

    def _retraining(self, task: str) -> tuple[Settings, int]:
        """Give the settings of training from scratch, and its steps; inner environments are those of `_exact_job`."""
        assert self.args.retrain is not None, "checked"
        return scratch.retraining(replace(self.settings[task], inner_envs="fresh"), self.args.retrain)

    def length(self, task: str) -> int:
        """Count the inner steps of one training from scratch."""
        return self._retraining(task)[1]

    def _job(self, task: str, seed: int, action: list[int], words: list[int]) -> Job:
        settings, length = self._retraining(task)
        return self._named_job(task, seed, action, words, settings, length, 0)

    def _exact_job(self, task: str, seed: int, action: list[int], words: list[int], steps: int) -> Job:
        settings, head = scratch.exact_retraining(self.settings[task], steps)
        return self._named_job(task, seed, action, words, settings, steps, head)

    def _named_job(
        self, task: str, seed: int, action: list[int], words: list[int], settings: Settings, steps: int, head: int
    ) -> Job:
        name = f"{stem(task)}__{seed}__{'-'.join(map(str, action))}__{steps}__{words[0]:08x}"
        return Job(settings.to_dict(), action, words, self.folder / "scratch", name, keep_weights=False, head=head)

    def _work(
        self,
        pool: workers.Workers,
        title: str,
        todo: list[workers.Job],
        keep: Callable[[Any], None] = lambda result: None,
    ) -> None:
        """Run jobs side by side; what went wrong is kept for the page."""
        self.failures += jobs.work(pool, title, todo, keep)
