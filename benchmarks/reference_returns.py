"""Measures the returns that archgym normalises by, those of `archgym.tasks.TASKS`.

Hypothesis: none; these numbers are definitions. Method: every task is played by the uniformly random policy, one whole
episode per environment seed 0, 1, 2, ..., and the pendulum, for which nobody published a threshold, also by the expert
below, which swings it up by its energy (Astrom and Furuta 2000) and balances it with a linear law, both rounded to the
five torques. Intervals are mean +- 1.96 standard errors.

    python benchmarks/reference_returns.py --episodes 1000
"""

from dataclasses import dataclass

import numpy as np
import tyro
from numpy.typing import NDArray

from archgym.inner_envs import POLICY_SEED, backend, episode_returns, random_returns
from archgym.pendulum import GRAVITY, LENGTH, TORQUES
from archgym.tasks import TASKS

NATURAL_FREQUENCY = np.sqrt(GRAVITY / LENGTH)  # rad/s
CATCH = 0.4  # rad: how far from falling into place the pendulum is caught; the largest torque holds 4 / 9.8 rad
STIFFNESS = 25.0  # N m / rad
DAMPING = 8.0  # N m s / rad


@dataclass(frozen=True)
class Args:
    episodes: int = 1000
    """Episodes per task and policy."""


TOY = Args(episodes=2)


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


def interval(returns: NDArray[np.float64]) -> str:
    """Write the mean of returns (n,) with its 95 % interval."""
    return f"{returns.mean():9.2f} +- {1.96 * returns.std(ddof=1) / np.sqrt(len(returns)):.2f}"


def main(args: Args) -> None:
    print(f"{args.episodes} episodes, environment seeds 0 to {args.episodes - 1}, policy seed {POLICY_SEED}")
    for task in TASKS.values():
        print(f"{task.id:18} {backend(task):16} random {interval(random_returns(task, args.episodes))}")
    pendulum = TASKS["NASDQNPendulum-v0"]
    returns = episode_returns(pendulum, range(args.episodes), expert)
    print(f"{pendulum.id:18} {backend(pendulum):16} expert {interval(returns)}, worst {returns.min():.2f}")


if __name__ == "__main__":
    main(tyro.cli(Args))
