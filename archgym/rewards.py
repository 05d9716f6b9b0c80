"""From the return of a window to the reward of an agent."""

import math

from archgym.problem import Problem
from archgym.search_space import Network

REWARD_LIMITS = (-1.0, 2.0)


def limited(value: float) -> float:
    """Bring a value into the limits of the reward."""
    low, high = REWARD_LIMITS
    return min(high, max(low, value))


def reward(problem: Problem, network: Network, normalised: float, before: float) -> float:
    """Give the reward of a window: its return or improvement, less the price of the network.

    Args:
        problem: What is searched.
        network: What was trained.
        normalised: The normalised return of the window.
        before: That of the window before, limited.
    """
    gained = limited(normalised) - (before if problem.settings.reward == "improvement" else 0.0)
    return limited(gained - price(problem, network))


def price(problem: Problem, network: Network) -> float:
    """Give what a network costs every window that trains it: `cost_weight` times log(FLOPs / those of the default)."""
    if not problem.settings.cost_weight:
        return 0.0
    sizes = problem.inputs, problem.outputs
    default = problem.space.network_of(problem.space.default_architecture)
    return problem.settings.cost_weight * math.log(network.flops(*sizes) / default.flops(*sizes))
