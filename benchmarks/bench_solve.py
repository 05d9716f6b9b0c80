"""CPU-seconds per member until CartPole-v1 is solved: Stable-Baselines3's DQN, a plain script, and archgym's learners.

Hypothesis: a member of a population costs a tenth of what Stable-Baselines3 does, at the same settings. Method: 120-84,
batch 128, one gradient step per 10 steps, replay 10,000, the learning rate, target and exploration of archgym's default
for everybody; the schedule is laid out for `--steps`, and training stops when they are used up. *Solved*: the mean
return of the last 100 episodes reaches 475, Gymnasium's threshold. archgym tells returns by window, so there it is
that of the episodes of the last windows which together hold at least 100; windows of 2 x 501 slots, so that solved
episodes end with them, and a DQN member has 4 inner environments (PQN 8) where the others have 1.

CPU-seconds are those of the process until then, set-up left out, divided by K: a population goes on with all members
until the last has solved it. A run that has not solved it is *censored*: it counts as longer than all it took. The
median is that of all runs, or a bound where half of them are censored. Members are seeds; the other programs run once
per seed, contenders taking turns.

    python -m benchmarks.bench_solve --seeds 5
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import tyro

from archgym.speed import learners
from archgym.trainers.dqn import Config
from benchmarks.environment import DQN, make
from benchmarks.machine import describe
from benchmarks.peers import PROGRAMS, Program

SOLVED, EPISODES = 475.0, 100
SETTINGS = replace(Config(), buffer_size=10_000, learning_starts=1_000)


@dataclass(frozen=True)
class Way:
    """A learner of archgym: a row of `WAYS`."""

    keywords: Mapping[str, Any] = field(default_factory=dict)
    members: int = 8
    env_id: str = DQN
    envs: int = 4
    """Inner environments of a member."""


WAYS = {
    f"archgym DQN {name} K={members}": Way({**asdict(SETTINGS), **keywords}, members)
    for name, keywords in learners().items()
    for members in (1, 8)
} | {"archgym PQN K=8": Way(env_id="ArchSearch-PQN-v0", envs=8)}
"""A new learner or trainer is a row here; its number of members is also its number of seeds. PQN has settings of its
own, which are its defaults."""


@dataclass(frozen=True)
class Args:
    steps: int = 200_000
    """Environment steps that a member gets, and that the schedule is laid out for."""
    seeds: int = 3
    """Runs of every program, and populations of every way."""
    episodes: int = EPISODES
    """Episodes in the mean."""
    slots: int = 2 * 501
    """Steps of an inner environment in a window of archgym."""


TOY = Args(steps=1_200, seeds=1, episodes=5, slots=50)


@dataclass(frozen=True)
class Solve:
    """How one member's training went.

    Args:
        steps: Environment steps it took.
        seconds: CPU-seconds it cost.
        solved: Whether it solved the task; if not, these are what it had when it was stopped.
    """

    steps: int
    seconds: float
    solved: bool


def program(make_run: Program, seed: int, args: Args) -> list[Solve]:
    """Run a program until it solves the task."""
    recent: deque[float] = deque(maxlen=args.episodes)
    lengths: list[float] = []

    def ended(episode_return: float) -> bool:
        recent.append(episode_return)
        lengths.append(episode_return)  # a step of CartPole earns 1
        return len(recent) == args.episodes and float(np.mean(recent)) >= SOLVED

    run = make_run(args.steps, seed, SETTINGS, ended)
    start = time.process_time()
    run()
    seconds = time.process_time() - start
    solved = len(recent) == args.episodes and float(np.mean(recent)) >= SOLVED
    return [Solve(int(sum(lengths)) if solved else args.steps, seconds, solved)]


def population(way: Way, seed: int, args: Args) -> list[Solve]:
    """Train members side by side until all have solved the task."""
    window_steps = way.envs * args.slots
    windows = max(1, args.steps // window_steps)
    env = make(
        way.members,
        way.env_id,
        space="benchmarks.cleanrl_network",
        windows=windows,
        window_steps=window_steps,
        horizon=args.steps,
        envs_per_member=way.envs,
        **way.keywords,
    )
    env.reset(seed=seed * way.members)
    action = np.zeros((way.members, 1), dtype=np.int64)
    history: list[list[tuple[float, int]]] = [[] for _ in range(way.members)]
    found: dict[int, Solve] = {}
    seconds = 0.0
    for window in range(1, windows + 1):
        start = time.process_time()
        _, _, _, _, infos = env.step(action)
        seconds += time.process_time() - start
        for member in (one for one in range(way.members) if one not in found):
            history[member].append((float(infos["raw_return"][member]), int(infos["episodes"][member])))
            if recent_return(history[member], args.episodes) >= SOLVED:
                found[member] = Solve(window * window_steps, seconds / way.members, True)
        if len(found) == way.members:
            break
    stopped = Solve(windows * window_steps, seconds / way.members, False)
    return [found.get(member, stopped) for member in range(way.members)]


def recent_return(history: list[tuple[float, int]], episodes: int) -> float:
    """Give the mean return of the last windows (mean return, episodes) that hold so many episodes; else -infinity."""
    total, count = 0.0, 0
    for mean, own in reversed(history):
        total, count = total + mean * own, count + own
        if count >= episodes:
            return total / count
    return -np.inf


def median(runs: list[Solve], of: Callable[[Solve], float]) -> tuple[float, bool]:
    """Give the median of all runs, and whether it is one: if not, it is a lower bound.

    Censored runs stand behind all others, at what they had when they were stopped.
    """
    ordered = sorted(runs, key=lambda run: (not run.solved, of(run)))
    middle = [ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]]
    return float(np.mean([of(run) for run in middle])), all(run.solved for run in middle)


def cells(runs: list[Solve], reference: list[Solve]) -> list[str]:
    """Write a contender's row."""
    seconds, known = median(runs, lambda run: run.seconds)
    steps, _ = median(runs, lambda run: run.steps)
    peer, peer_known = median(reference, lambda run: run.seconds)
    bound = {(True, True): "", (True, False): "at least ", (False, True): "at most ", (False, False): "unknown, "}
    ratio = f"{bound[known, peer_known]}{peer / seconds:.1f}" if known or peer_known else "unknown"
    more = "" if known else "more than "
    solved = [run.seconds for run in runs if run.solved]
    span = f" [{min(solved):.1f}, {max(solved):.1f}]" if solved else ""
    return [f"{len(solved)} of {len(runs)}", f"{more}{seconds:.1f}{span}", f"{more}{steps:,.0f}", ratio]


def main(args: Args) -> None:
    torch.set_num_threads(1)
    print(describe())
    runners = {name: partial(program, own) for name, own in PROGRAMS.items()}
    runners |= {name: partial(population, way) for name, way in WAYS.items()}
    runs: dict[str, list[Solve]] = {name: [] for name in runners}
    for seed in range(1, args.seeds + 1):
        for name, run in runners.items():
            runs[name] += run(seed, args)
            last = runs[name][-1]
            print(f"  seed {seed} of {args.seeds}, {name}: {last.seconds:.1f} CPU-s, solved: {last.solved}", flush=True)
    reference = next(iter(runs))
    print(f"\nUntil the mean return of {args.episodes} episodes is {SOLVED:g}, {args.steps:,} steps at most; medians\n")
    print(f"| | solved | CPU-seconds per member | environment steps | {reference} takes times as long |")
    print("|---|---|---|---|---|")
    for name, own in runs.items():
        print(f"| {name} | {' | '.join(cells(own, runs[reference]))} |")


if __name__ == "__main__":
    main(tyro.cli(Args))
