"""How far a learner comes that gets another architecture in every window, under each `transfer`.

Hypothesis: the more of what was learned survives a switch, the further it comes: `matching`, which keeps few layers,
least, and `shared`, whose slices are trained by all, furthest; `restart`, which hands no weights on, is the control.
Method: K members on the 27 networks, drawn uniformly for every window, the same for every transfer; the mean normalised
return of all windows but the first four (0: random policy, 1: reference), mean and standard error over the members. The
gradient steps of `distil` come on top.

    OMP_NUM_THREADS=1 python -m benchmarks.bench_transfer
    OMP_NUM_THREADS=1 python -m benchmarks.bench_transfer --task Acrobot-v1
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from archgym.population import Population
from archgym.problem import Problem
from archgym.settings import Settings
from benchmarks.machine import describe

FIRST = 4  # windows that do not count
ARMS: dict[str, dict[str, Any]] = {
    "restart": {"transfer": "restart"},
    "matching": {"transfer": "matching"},
    "net2net": {"transfer": "net2net"},
    "shared": {"transfer": "shared"},
    **{f"distil, {steps} steps": {"transfer": "distil", "distil_steps": steps} for steps in (25, 100, 200, 400)},
}


@dataclass(frozen=True)
class Args:
    task: str = "CartPole-v1"
    """The inner problem."""
    members: int = 6
    """K."""
    windows: int = 16
    """Windows of a lifetime."""
    window_steps: int | None = None
    """Environment steps of a member in a window; None: follows from the task."""


TOY = Args(members=2, windows=5, window_steps=40)


def lifetimes(keywords: dict[str, Any], args: Args) -> NDArray[np.float64]:
    """Live K lifetimes; gives the normalised returns, (windows, K)."""
    sizes = {"task": args.task, "windows": args.windows, "window_steps": args.window_steps}
    made = Population(Problem(Settings.from_keywords({**sizes, **keywords})), args.members)
    made.reset([1000 + 7919 * member for member in range(args.members)])
    rng, returns = np.random.default_rng(5), []
    for _ in range(args.windows):
        architectures = np.stack([made.problem.space.sample(rng) for _ in range(args.members)])
        results = made.train_window(architectures)
        returns.append([result.normalised_return for result in results])
    return np.array(returns)


def main(args: Args) -> None:
    print(f"{describe()}\n{args.task}, K={args.members}, {args.windows} windows, another architecture in each\n")
    print("| | normalised return |\n|---|---|")
    for name, keywords in ARMS.items():
        means = lifetimes(keywords, args)[FIRST:].mean(0)
        error = means.std(ddof=1) / len(means) ** 0.5
        print(f"| {name} | {means.mean():.3f} +- {error:.3f} |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Args))
