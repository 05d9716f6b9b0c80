"""Measures the returns that archgym normalises by, those of `archgym.inner.tasks.TASKS`.

Hypothesis: none; these numbers are definitions. Method: every task is played by the uniformly random policy, one whole
episode per environment seed 0, 1, 2, ..., and the tasks for which nobody published a threshold also by the experts
below. That of the pendulum swings it up by its energy (Astrom and Furuta 2000) and balances it with a linear law, both
rounded to the five torques. That of the orchard goes for the lower fruit if it can still reach the place where this
arrives, by way of the upper one's place where there is time for it, and else for the upper one. Intervals are mean +-
1.96 standard errors. Games of Atari are played in fewer episodes, and none where EnvPool is missing.

    python benchmarks/reference_returns.py --episodes 1000 --atari-episodes 200
"""

from dataclasses import dataclass

import numpy as np
import tyro
from numpy.typing import NDArray

from archgym.inner import orchard
from archgym.inner.envs import POLICY_SEED, backend, episode_returns, random_returns
from archgym.inner.pendulum import GRAVITY, LENGTH, TORQUES
from archgym.inner.tasks import TASKS

NATURAL_FREQUENCY = np.sqrt(GRAVITY / LENGTH)  # rad/s
CATCH = 0.4  # rad: how far from falling into place the pendulum is caught; the largest torque holds 4 / 9.8 rad
STIFFNESS = 25.0  # N m / rad
DAMPING = 8.0  # N m s / rad


@dataclass(frozen=True)
class Args:
    episodes: int = 1000
    """Episodes per task and policy."""
    atari_episodes: int = 200
    """Episodes per game of Atari."""


TOY = Args(episodes=2, atari_episodes=0)
BOTTOM = orchard.SIZE - 1


def expert(observations: NDArray[np.float32]) -> NDArray[np.int64]:
    """Choose actions (n,) for pendulums observed as (n, 3): cosine, sine, speed."""
    cosine, sine, speed = observations.astype(np.float64).T
    angle = np.arctan2(sine, cosine)
    # Energy above that of rest at the top. At 0 the pendulum coasts to the top along angle + speed / frequency = 0.
    energy = speed**2 / 2 + GRAVITY / LENGTH * (cosine - 1)
    swing = TORQUES.max() * np.where(speed < 0, -1, 1) * np.sign(-energy)
    balance = -STIFFNESS * angle - DAMPING * speed
    caught = (np.abs(angle + speed / NATURAL_FREQUENCY) < CATCH) & (np.abs(angle) < np.pi / 3)
    torque = np.where(caught, balance, swing)
    nearest: NDArray[np.int64] = np.abs(TORQUES - torque[:, None]).argmin(axis=1)
    return nearest


def forecast(images: NDArray[np.uint8], rows: range) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Tell of boards (n, 3, 10, 10) whether there is a fruit in these rows, its row, and the column it arrives in."""
    boards = np.arange(len(images))
    there = images[:, 1, rows.start : rows.stop] > 0
    row, column = np.divmod(there.reshape(len(images), -1).argmax(1), orchard.SIZE)
    row += rows.start
    before = images[boards, 2, np.maximum(row - 1, 0)]
    drift = np.where(before.any(1) & (row > 0), column - before.argmax(1), 0)  # that of a new fruit is not known yet
    unfolded = (column + drift * (BOTTOM - row)) % (2 * BOTTOM)
    return there.any((1, 2)), row, np.minimum(unfolded, 2 * BOTTOM - unfolded)


def gatherer(observations: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Choose actions (n,) for boards observed as (n, 3, 10, 10)."""
    basket = observations[:, 0, BOTTOM].argmax(1)
    lower, row, place = forecast(observations, range(orchard.PERIOD, orchard.SIZE))
    _, _, upper_place = forecast(observations, range(orchard.PERIOD))
    left = BOTTOM - row
    reachable = lower & (left > 0) & (np.abs(place - basket) <= left)
    towards = np.sign(upper_place - basket)
    in_time = np.abs(place - basket - towards) <= left - 1
    return 1 + np.where(reachable & ~in_time, np.sign(place - basket), towards)


def interval(returns: NDArray[np.float64]) -> str:
    """Write the mean of returns (n,) with its 95 % interval."""
    return f"{returns.mean():9.2f} +- {1.96 * returns.std(ddof=1) / np.sqrt(len(returns)):.2f}"


def main(args: Args) -> None:
    print(f"{args.episodes} episodes, environment seeds 0 to {args.episodes - 1}, policy seed {POLICY_SEED}")
    for task in TASKS.values():
        episodes = args.episodes if task.search_episode_limit is None else args.atari_episodes
        if episodes:
            print(f"{task.id:18} {backend(task):16} random {interval(random_returns(task, episodes))} of {episodes}")
    for id, policy in (("NASDQNPendulum-v0", expert), ("Orchard-v0", gatherer)):
        task = TASKS[id]
        returns = episode_returns(task, range(args.episodes), policy)
        print(f"{task.id:18} {backend(task):16} expert {interval(returns)}, worst {returns.min():.2f}")


if __name__ == "__main__":
    main(tyro.cli(Args))
