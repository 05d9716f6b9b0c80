"""From the return of a window to the reward of an agent."""

import math

from archgym.search_space import Network
from archgym.settings import Problem

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
    settings = problem.settings
    value = limited(normalised) - (before if settings.reward == "improvement" else 0.0)
    if settings.cost_weight:
        sizes = problem.inputs, problem.outputs
        default = problem.space.network_of(problem.space.default_architecture)
        value -= settings.cost_weight * math.log(network.flops(*sizes) / default.flops(*sizes))
    return limited(value)
