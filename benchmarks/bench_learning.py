"""Whether a faster learner learns as well: its learning curves beside those of the reference.

Hypothesis: they are the same in distribution. Method: ten members of the default network of `mlp` are trained from
nothing on each task, by the default schedule, in windows; every learner gets the same seeds, but rounding drives them
apart within a window or two. Scores: the mean normalised return of all windows (the area under the learning curve), and
that of the last fifth of them. The interquartile mean of the members, with a bootstrap interval of 95 %; two learners
*overlap* where their intervals do.

    OMP_NUM_THREADS=1 python -m benchmarks.bench_learning
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from archgym.compare.stats import iqm, stratified_interval
from archgym.speed import learners
from benchmarks.bench_window import MANY
from benchmarks.environment import DQN, make
from benchmarks.machine import describe

PQN = "ArchSearch-PQN-v0"
# Contenders, the reference first: keyword arguments of the environment.
WAYS: Mapping[str, Mapping[str, Any]] = {"reference": {"learner": "reference"}, **learners()}
if "native" in WAYS:
    WAYS = {**WAYS, "native, bfloat16": {"learner": "native", "precision": "bfloat16"}}
    for envs in MANY:
        WAYS = {**WAYS, f"native, {envs} environments": {"learner": "native", "envs_per_member": envs}}
# Windows and their steps: where most members have learned what they can (README.md, "Does the inner DQN learn?"). A
# window holds an episode of full length in each of 10 inner environments; with 40 it takes windows four times as long.
TASKS: Mapping[str, tuple[int, int]] = {
    "CartPole-v1": (16, 6_240),
    "Acrobot-v1": (12, 5_000),
    "LunarLander-v3": (16, 20_000),
}


@dataclass(frozen=True)
class Args:
    members: int = 10
    """Members, each with a seed of its own."""
    tasks: tuple[str, ...] = tuple(TASKS)
    """Which of CartPole-v1, Acrobot-v1 and LunarLander-v3."""
    env_ids: tuple[str, ...] = (DQN, PQN)
    """Which trainers."""
    share: float = 1.0
    """Share of each task's windows."""
    longer: int = 1
    """How many times as long windows are; there are fewer of them then."""
    seed: int = 1
    """Of the first member."""
    ways: tuple[str, ...] = tuple(WAYS)
    """Which learners."""


TOY = Args(members=3, tasks=("CartPole-v1",), share=0.05)


def curves(env_id: str, task: str, keywords: Mapping[str, Any], args: Args) -> NDArray[np.float64]:
    """Train all members; gives normalised returns (windows, members)."""
    windows, steps = TASKS[task]
    windows, steps = max(2, round(windows * args.share / args.longer)), steps * args.longer
    env = make(args.members, env_id, task=task, windows=windows, window_steps=steps, **keywords)
    env.reset(seed=args.seed)
    default = np.tile(env.search_space.default_architecture, (args.members, 1))
    returns = [env.step(default)[4]["normalised_return"] for _ in range(windows)]
    env.close()
    return np.array(returns)


def scores(returns: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Score each member's curve, (members,)."""
    last = max(1, len(returns) // 5)
    return {"area under the curve": returns.mean(0), "last fifth": returns[-last:].mean(0)}


def main(args: Args) -> None:
    torch.set_num_threads(1)
    print(describe())
    print(f"{args.members} members each; interquartile mean [bootstrap interval of 95 %]\n")
    names = args.ways
    print(f"| trainer | task | score | {' | '.join(names)} | |")
    print("|---" * (4 + len(names)) + "|")
    for env_id in args.env_ids:
        for task in args.tasks:
            told = {name: scores(curves(env_id, task, WAYS[name], args)) for name in names}
            for score in told[names[0]]:
                ends = [stratified_interval(iqm, told[name][score]) for name in names]
                cells = [
                    f"{iqm(told[name][score]):.3f} [{low:.3f}, {high:.3f}]"
                    for name, (low, high) in zip(names, ends, strict=True)
                ]
                meet = max(low for low, _ in ends) <= min(high for _, high in ends)
                trainer = env_id.removeprefix("ArchSearch-").removesuffix("-v0")
                print(
                    f"| {trainer} | {task} | {score} | {' | '.join(cells)} | {'overlap' if meet else 'apart'} |",
                    flush=True,
                )


if __name__ == "__main__":
    main(tyro.cli(Args))
