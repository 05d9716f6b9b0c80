"""Regularized (aging) evolution: mutate the best of a random sample, and let the oldest die.

    parent = the best of S drawn from the population of P;  child = parent with one choice changed;
    append the child, drop the oldest

Paper: Real et al., arXiv 1802.01548. What dies is the oldest and not the worst, which makes noise nearly harmless: an
architecture that was lucky once has offspring for P evaluations at most, and its line lives on only if the offspring,
measured anew, come up to it.

What differs: K children are bred from one population and enter it together, one per member and window, where the
paper's workers take turns without waiting for each other. Rewards rise while the inner learner learns, so what is
compared is the reward less the trend over the lifetime (`stats.detrend`: the mean over members and neighbouring
windows); that also takes away what the population itself gains from window to window, so the old are compared a little
too favourably with the young. A mutation picks an active choice and then one of the neighbours that differ there; what
becomes active takes any option. P = 30 and S = 10 are the settings of the BANANAS repository for searches of 150
evaluations; the paper's P = 100 and S = 25 are for some 20,000 (as remembered, not checked in its text), and would
leave little of a search of a few hundred. A search whose population is not full before its last window is random
search, and a warning says so. Recommended is by the incumbent's rule.
"""

import warnings
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.running import launch
from archgym.running.agent import agent_rng
from archgym.running.arguments import SearchArgs
from archgym.search_space import Architecture, SearchSpace
from archgym.stats import detrend


@dataclass(frozen=True)
class Args(SearchArgs):
    population: int = 30
    """Architectures that are alive, P."""
    sample_size: int = 10
    """How many of them compete to be a parent, S."""


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        if args.population < 1:
            raise ValueError(f"population: expected a positive integer, got {args.population}.")
        if not 1 <= args.sample_size <= args.population:
            raise ValueError(
                f"sample_size: expected an integer from 1 to the population ({args.population}), "
                f"got {args.sample_size}."
            )
        before = (args.windows - 1) * args.num_envs
        if before < args.population:
            warnings.warn(
                f"population: expected at most {before} (architectures before the last window of this search), got "
                f"{args.population}; nothing is bred, and the search is random search.",
                stacklevel=2,
            )
        self.space: SearchSpace = envs.unwrapped.search_space
        self.rng = agent_rng(args)
        self.sample_size = args.sample_size
        self.population: deque[Architecture] = deque(maxlen=args.population)  # appending drops the oldest
        self.rewards: list[NDArray[np.float64]] = []  # per window, (K,)
        self.scores = np.zeros(0)  # of the population, detrended

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        if len(self.population) < (self.population.maxlen or 0):
            self.actions = np.stack([self.space.sample(self.rng) for _ in observations])
        else:
            self.actions = np.stack([self.mutate(self.parent()) for _ in observations])
        return self.actions

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        self.population.extend(self.actions)
        self.rewards.append(rewards)
        self.scores = detrend(np.array(self.rewards)).ravel()[-len(self.population) :]  # both oldest first
        return {"evolution/distinct": float(len(np.unique(np.array(self.population), axis=0)))}

    def parent(self) -> Architecture:
        """Give the best of S drawn without replacement; of equals the one drawn first."""
        drawn = self.rng.choice(len(self.population), self.sample_size, replace=False)
        return self.population[int(drawn[np.argmax(self.scores[drawn])])]

    def mutate(self, parent: Architecture) -> Architecture:
        """Change one choice; where no other architecture is that near, draw one."""
        neighbours = self.space.neighbours(parent)
        if not neighbours:
            return self.space.sample(self.rng)
        changed = np.argmax(np.array(neighbours) != parent, axis=1)  # the first that differs: later ones follow from it
        position = self.rng.choice(np.unique(changed))
        return neighbours[int(self.rng.choice(np.flatnonzero(changed == position)))]


if __name__ == "__main__":
    launch.main(Agent, Args, "regularized-evolution")
