"""Inner environment steps per CPU-second, learning included, beside Stable-Baselines3's DQN at the same settings.

Hypothesis: members trained side by side make at least five times the steps of Stable-Baselines3 at K = 8, and more than
it even where every member has another architecture. Method: a run is a learner's whole life of `--steps` environment
steps per member on CartPole-v1, from nothing: batch 128, one gradient step per 10 environment steps, replay 10,000,
target network copied every 500 steps, exploration as archgym's default has it, learning from step 128 on. Contenders
take turns in every round, one thread, so that other load on the machine meets all of them; the ratio is taken within a
round. CPU-seconds are those of the process, all threads, set-up left out. Mixed: architectures drawn from the 27 of
`mlp`, others in every round. Stable-Baselines3 also clips gradients, and its loss is Huber's.

    python benchmarks/bench_window.py
    python -m pytest benchmarks/bench_window.py --benchmark-only

Under pytest (`make bench`) one contender comes after the other, and every run of it after one of the reference.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
import tyro
from numpy.typing import NDArray

import archgym  # noqa: F401  (registers the environments)
from archgym.learners.dqn import Config

TASK = "CartPole-v1"
SETTINGS = Config(
    batch_size=128, train_frequency=10, buffer_size=10_000, target_network_frequency=500, learning_starts=128
)
FIXED, MIXED = "benchmarks.cleanrl_network", "mlp"  # search spaces


@dataclass(frozen=True)
class Args:
    steps: int = 5_000
    """Environment steps of one member in a run."""
    rounds: int = 7
    """Runs of every contender, after one that does not count."""
    members: tuple[int, ...] = (1, 8, 32)
    """K of 120-84."""
    mixed: tuple[int, ...] = (8, 32)
    """K of mixed architectures."""


TOY = Args(steps=200, rounds=2, members=(1, 2), mixed=(2,))
SIZE = TOY if "ARCHGYM_TOY" in os.environ else Args()  # of the runs under pytest


@dataclass(frozen=True)
class Contender:
    """Something that trains; `begin` sets up a run with a seed and returns what is to be timed."""

    steps: int
    begin: Callable[[int], Callable[[], object]]

    def speed(self, seed: int) -> float:
        """Environment steps of all members per CPU-second."""
        run = self.begin(seed)
        start = time.process_time()
        run()
        return self.steps / (time.process_time() - start)


def stable_baselines(steps: int) -> Contender:
    def begin(seed: int) -> Callable[[], object]:
        from stable_baselines3 import DQN

        model = DQN(
            "MlpPolicy",
            TASK,
            learning_rate=SETTINGS.learning_rate,
            gamma=SETTINGS.gamma,
            buffer_size=SETTINGS.buffer_size or 0,
            learning_starts=SETTINGS.learning_starts or 0,
            batch_size=SETTINGS.batch_size,
            train_freq=SETTINGS.train_frequency,
            gradient_steps=1,
            target_update_interval=SETTINGS.target_network_frequency,
            exploration_fraction=SETTINGS.exploration_fraction,
            exploration_initial_eps=SETTINGS.start_e,
            exploration_final_eps=SETTINGS.end_e,
            policy_kwargs={"net_arch": [120, 84]},
            device="cpu",
            seed=seed,
        )
        return lambda: model.learn(steps, log_interval=steps)

    return Contender(steps, begin)


def population(members: int, space: str, steps: int) -> Contender:
    settings: dict[str, Any] = {"space": space, "windows": 1, "window_steps": steps, **asdict(SETTINGS)}
    env: Any = gym.make_vec("ArchSearch-DQN-v0", num_envs=members, **settings).unwrapped

    def begin(seed: int) -> Callable[[], object]:
        env.reset(seed=seed)
        rng = np.random.default_rng(seed)
        architectures = np.stack([env.search_space.sample(rng) for _ in range(members)])
        return lambda: env.step(architectures)

    return Contender(members * steps, begin)


def contenders(args: Args) -> dict[str, Callable[[int], Contender]]:
    """List what makes each contender, given the steps of a member: first the reference."""
    fixed = {f"archgym K={members} 120-84": partial(population, members, FIXED) for members in args.members}
    mixed = {f"archgym K={members} mixed": partial(population, members, MIXED) for members in args.mixed}
    return {"Stable-Baselines3": stable_baselines, **fixed, **mixed}


def interval(values: NDArray[np.float64], form: str) -> str:
    """Write the median with the lowest and highest value."""
    return f"{np.median(values):{form}} [{values.min():{form}}, {values.max():{form}}]"


def main(args: Args) -> None:
    from benchmarks.machine import describe

    torch.set_num_threads(1)
    print(describe())
    print(f"{args.rounds} rounds of {args.steps} environment steps per member; median [lowest, highest]")
    names, makers = zip(*contenders(args).items(), strict=True)
    runners = [make(args.steps) for make in makers]
    speeds = np.array([[runner.speed(seed) for runner in runners] for seed in range(args.rounds + 1)])[1:]
    print(f"\n| {'':20} | {'env steps per CPU-second':27} | times Stable-Baselines3 |")
    print(f"|{'-' * 22}|{'-' * 29}|{'-' * 25}|")
    for name, own in zip(names, speeds.T, strict=True):
        ratio = interval(own / speeds[:, 0], ".1f")
        print(f"| {name:20} | {interval(own, ',.0f'):27} | {ratio:23} |")


@pytest.mark.parametrize("name", contenders(SIZE))
@pytest.mark.benchmark(group="window", timer=time.process_time)
def test_window(benchmark: Any, name: str) -> None:
    torch.set_num_threads(1)
    reference, contender = stable_baselines(SIZE.steps), contenders(SIZE)[name](SIZE.steps)
    beside: list[float] = []

    def setup() -> tuple[tuple[Callable[[], object]], dict[str, Any]]:
        beside.append(reference.speed(len(beside)))
        return (contender.begin(len(beside)),), {}

    benchmark.pedantic(lambda run: run(), setup=setup, rounds=SIZE.rounds, warmup_rounds=1)
    if benchmark.stats:  # none with --benchmark-disable
        speeds = contender.steps / np.array(benchmark.stats.stats.data)
        benchmark.extra_info["env_steps_per_cpu_second"] = float(np.median(speeds))
        benchmark.extra_info["times_stable_baselines3"] = float(np.median(speeds / beside[1:]))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # where `benchmarks.…` is found
    main(tyro.cli(Args))
