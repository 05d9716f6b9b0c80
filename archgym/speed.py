"""`archgym doctor --speed`: what this machine reaches on one core, beside what its arithmetic allows.

A learner multiplies matrices, so the bound is a product: the peak of a large one, and below it the products that one
gradient step cannot do without. The share of that bound is what is left of it in the whole loop: acting, stepping,
sampling, Adam and all calls included.
"""

import platform
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from archgym.inner.envs import backend, open_inner_envs
from archgym.inner.tasks import get_task
from archgym.learners.select import find_learner
from archgym.problem import Problem
from archgym.settings import Settings
from archgym.supernets import mlp
from archgym.trainers import dqn

TASK, BATCH, TRAIN_FREQUENCY = "CartPole-v1", 128, 10
LARGE = 512  # rows and columns of the product that shows the peak: 3 MB in fp32


@dataclass(frozen=True)
class Effort:
    """How much is measured; the default takes about half a minute."""

    seconds: float = 0.4
    """CPU time of each product and wall time of each pool, after a warm-up."""
    pools: tuple[int, ...] = (8, 64, 256)
    """Inner environments in a pool."""
    members: tuple[int, ...] = (1, 8, 32)
    """Members trained side by side."""
    steps: int = 32_000
    """Most inner environment steps of all members in a window; a member makes at most 2,500."""
    rounds: int = 3
    """Windows of each learner, after one that does not count."""


def main(effort: Effort | None = None) -> int:
    """Print this machine's figures, each as soon as it is known.

    Args:
        effort: How much to measure; None: half a minute's worth.

    Returns:
        The exit code, 0: figures are neither right nor wrong.
    """
    effort = effort or Effort()
    space = Problem(Settings(task=TASK)).space
    hidden: tuple[int, ...] = getattr(space.network_of(space.default_architecture), "hidden")  # noqa: B009
    print(f"{platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} thread; about half a minute")

    print("\nproducts of matrices                    GFLOP/s", flush=True)
    peak = 0.0
    for dtype, name in ((torch.float32, "fp32"), (torch.bfloat16, "bf16")):
        found = best_speed(large_product(dtype), effort.seconds)
        peak = peak or found
        print(f"  {f'{LARGE} x {LARGE}, {name}':36} {found / 1e9:8.1f}", flush=True)
    step = hidden_products(hidden, BATCH)
    floor = best_speed(step, effort.seconds)
    bound = TRAIN_FREQUENCY * floor / step.flops
    print(f"  {f'of a gradient step, {dashed(hidden)}, fp32':36} {floor / 1e9:8.1f}")
    print(
        f"The learner computes in fp32. Its products are smaller than the large one and reach {floor / peak:.0%} of "
        f"its speed here: at most {bound:,.0f} environment steps per CPU-second, with a gradient step of {BATCH} "
        f"transitions every {TRAIN_FREQUENCY} steps."
    )

    print(f"\ninner environments, {TASK} ({backend(get_task(TASK))})     steps/s", flush=True)
    speeds = []
    for size in effort.pools:
        speeds.append(inner_speed(size, effort.seconds))
        print(f"  {f'{size} side by side':36} {speeds[-1]:10,.0f}", flush=True)
    print(
        f"Stepping alone: {'more' if speeds[-1] > bound else 'less'} than the learner's bound, so the "
        f"{'learner' if speeds[-1] > bound else 'environment'} decides; pools gain from members side by side."
    )

    print(f"\nlearners, {dashed(hidden)}          steps/CPU-s  share of the bound", flush=True)
    shares = {}
    for name, keywords in learners().items():
        for members in effort.members:
            speed = learner_speed(members, effort, keywords)
            shares[name, members] = speed / bound
            print(f"  {f'{name}, K={members}':28} {speed:12,.0f} {speed / bound:19.0%}", flush=True)
    (name, members), share = max(shares.items(), key=lambda item: item[1])
    print(
        f"Steps of all K members together, learning included: {name} at K={members} comes closest to the bound, with "
        f"{share:.0%} of it; the rest is acting, stepping, sampling, Adam and calls."
    )
    return 0


def learners() -> dict[str, dict[str, Any]]:
    """List the learners that train multilayer perceptrons here: keyword arguments of the environment, by name."""
    best = find_learner("auto", torch.device("cpu"), mlp, dqn)
    return {name: {"learner": name} for name in dict.fromkeys(("torch", best))}


@dataclass(frozen=True)
class Products:
    """Products of matrices to be timed.

    Args:
        run: Computes them once, into memory that is there already.
        flops: Their operations, 2 per multiply-add.
    """

    run: Callable[[], object]
    flops: int


def large_product(dtype: torch.dtype, size: int = LARGE) -> Products:
    """Multiply two square matrices: as near to the processor's peak as torch comes."""
    left, right = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    out = torch.empty(size, size, dtype=dtype)
    return Products(lambda: torch.mm(left, right, out=out), 2 * size**3)


def hidden_products(hidden: Sequence[int], batch: int) -> Products:
    """Compute what a DQN gradient step cannot do without: the products between the hidden layers, and no others.

    For every pair of layers (n, m): forward of the target network and of the network itself, gradient of the weights
    and gradient of the inputs, 4 x 2 batch n m operations. First layer, head, activations, losses, Adam and acting,
    all of which a learner has to do too, are left out: a lower bound of the time, not an estimate.

    Args:
        hidden: Widths of the hidden layers, at least two.
        batch: Transitions in a minibatch.

    Raises:
        ValueError: If there are no two hidden layers.
    """
    if len(hidden) < 2:
        raise ValueError(f"hidden: expected at least two hidden layers, got {len(hidden)}.")
    pairs = []
    for n, m in pairwise(hidden):
        x, w, dy = torch.randn(batch, n), torch.randn(m, n), torch.randn(batch, m)
        pairs.append((x, w, dy, torch.empty(batch, m), torch.empty(m, n), torch.empty(batch, n)))

    def run() -> None:
        for x, w, dy, y, dw, dx in pairs:
            torch.mm(x, w.t(), out=y)
            torch.mm(x, w.t(), out=y)
            torch.mm(dy.t(), x, out=dw)
            torch.mm(dy, w, out=dx)

    return Products(run, sum(8 * batch * n * m for n, m in pairwise(hidden)))


def best_speed(products: Products, seconds: float) -> float:
    """Compute products for so many CPU-seconds, after as long a warm-up.

    Returns:
        Operations per CPU-second of the best of ten parts: other load on the machine only ever takes away.
    """
    repeats = 1
    while timed(products.run, repeats) < seconds / 10:
        repeats *= 2
    return products.flops * repeats / min(timed(products.run, repeats) for _ in range(10))


def timed(run: Callable[[], object], repeats: int = 1) -> float:
    """Run something a few times: CPU-seconds of the process, all threads."""
    start = time.process_time()
    for _ in range(repeats):
        run()
    return time.process_time() - start


def inner_speed(count: int, seconds: float) -> float:
    """Step `count` inner environments with random actions: steps of all of them per second of wall time."""
    envs = open_inner_envs(get_task(TASK), range(count))
    actions = np.random.default_rng(0).integers(envs.action_count, size=(64, count))
    envs.reset()
    for row in actions:
        envs.step(row)
    slots, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        envs.step(actions[slots % len(actions)])
        slots += 1
    speed = slots * count / (time.perf_counter() - start)
    envs.close()
    return speed


def learner_speed(members: int, effort: Effort, keywords: dict[str, Any]) -> float:
    """Train the default architecture: environment steps of all members per CPU-second, learning included.

    Args:
        members: K.
        effort: Windows and their length.
        keywords: Of the environment, see `learners`.
    """
    steps = max(4, min(2_500, effort.steps // members) // 4 * 4)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="window_steps=.* is shorter")
        env: Any = gym.make_vec(
            "ArchSearch-DQN-v0",
            num_envs=members,
            task=TASK,
            windows=effort.rounds + 1,
            window_steps=steps,
            batch_size=BATCH,
            train_frequency=TRAIN_FREQUENCY,
            learning_starts=min(BATCH, steps // 2),
            journal="",
            **keywords,
        )
    env.reset(seed=0)
    actions = np.tile(env.unwrapped.search_space.default_architecture, (members, 1))
    seconds = [timed(lambda: env.step(actions)) for _ in range(effort.rounds + 1)][1:]
    env.close()
    return members * steps / float(np.median(seconds))


def dashed(hidden: Sequence[int]) -> str:
    """Write widths as they are spoken of: 120-84."""
    return "-".join(map(str, hidden))
