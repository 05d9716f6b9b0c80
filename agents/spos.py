"""SPOS, single path one-shot: train uniformly drawn paths of a supernet, then select by scores with its weights.

    theta* = argmax E_{a uniform} [ return of a with theta ],   a* = argmax_a return of a with theta*

Papers: Guo et al., arXiv 1904.00420; on reinforcement learning Mazyavkina et al., arXiv 2011.14632, whose spaces of 25
and 32 architectures it looks through whole. Every window of every member trains an architecture drawn uniformly; its
return is not used. After the last window architectures are scored by greedy episodes on seeds that training never uses,
with the weights of every member (`archgym/running/one_shot.py`; they are paid from the search's budget of evaluations),
and the best are recommended: all of the space where it has at most `--evaluations` of them; else those of an evolution,
whose every generation is half crossovers (each option from one of two parents), half mutations (each option is drawn
anew with probability 0.1) of the best P / 5 so far, and draws where these give nothing new.

What differs: an evolution of P = 20 and 100 evaluations instead of the paper's 50 in 20 generations, since episodes are
dear beside windows of a few thousand steps (`--population 50 --evaluations 1000` is the paper's). The paper measures
batch statistics anew before every score; networks here have none. K members have K supernets, unless they share one
(`--inner share_weights=true`). Nothing is shared with transfer `own` or `fresh`, nor on recorded tables: these are
refused.
"""

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.running import launch, one_shot
from archgym.running.agent import agent_rng
from archgym.running.arguments import SearchArgs
from archgym.running.one_shot import Key
from archgym.search_space import Architecture, SearchSpace

MUTATED = 0.1  # probability of an option to be drawn anew
PARENTS = 5  # generations have so many times the size of the parents
TRIES = 100  # to breed what has no score yet, before one is drawn


@dataclass(frozen=True)
class Args(SearchArgs):
    evaluations: int = 100
    """Architectures that are scored at most; a space of no more is scored whole."""
    episodes: int = 2
    """Greedy episodes of a score, with the weights of every member."""
    population: int = 20
    """Architectures of a generation, P."""

    @property
    def proxy(self) -> str:
        return "the return of greedy episodes with the shared weights"


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        one_shot.check(args, "agent 'spos'")
        for name in ("evaluations", "episodes", "population"):
            if getattr(args, name) < 1:
                raise ValueError(f"{name}: expected a positive integer, got {getattr(args, name)}.")
        self.envs, self.args = envs, args
        self.space: SearchSpace = envs.unwrapped.search_space
        self.rng = agent_rng(args)
        first = [tuple(one.tolist()) for one in islice(self.space.enumerate(), args.evaluations + 1)]
        self.everything = first if len(first) <= args.evaluations else []
        self.asked_episodes = (len(self.everything) or args.evaluations) * args.num_envs * args.episodes

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.stack([self.space.sample(self.rng) for _ in observations])

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        return {}

    def recommend(self, k: int) -> list[Architecture]:
        """The k best scores with the supernet's weights; of equals what was scored first."""
        scores = self.scores(self.everything) if self.everything else self.evolve()
        return [np.array(key, dtype=np.int64) for key in ranked(scores)[:k]]

    def scores(self, keys: list[Key]) -> dict[Key, float]:
        """Score architectures."""
        found = one_shot.score_by_all(self.envs, keys, self.args.episodes)
        return dict(zip(keys, found.tolist(), strict=True))

    def evolve(self) -> dict[Key, float]:
        """Score one generation after the other, as far as the evaluations reach."""
        known: dict[Key, float] = {}
        while len(known) < self.args.evaluations:
            parents = ranked(known)[: -(-self.args.population // PARENTS)]
            generation: list[Key] = []
            for place in range(min(self.args.population, self.args.evaluations - len(known))):
                generation.append(self.breed(parents, place % 2 == 0, {*known, *generation}))
            known |= self.scores(generation)
        return known

    def breed(self, parents: list[Key], cross: bool, taken: set[Key]) -> Key:
        """Give an architecture without a score: an offspring, or a draw where there are no parents or nothing new."""
        for _ in range(TRIES if parents else 0):
            child = self.crossed(parents) if cross else self.mutated(parents)
            if child is not None and child not in taken:
                return child
        while (key := tuple(self.space.sample(self.rng).tolist())) in taken:
            pass
        return key

    def crossed(self, parents: list[Key]) -> Key | None:
        """Take each option from one of two parents; None: that is no architecture of the space."""
        pair = np.array([parents[index] for index in self.rng.integers(len(parents), size=2)])
        return self.valid(np.where(self.rng.random(pair.shape[1]) < 0.5, pair[0], pair[1]))

    def mutated(self, parents: list[Key]) -> Key | None:
        """Draw each option of a parent anew with probability 0.1; None: that is no architecture of the space."""
        parent = np.array(parents[int(self.rng.integers(len(parents)))])
        anew = self.rng.random(len(parent)) < MUTATED
        return self.valid(np.where(anew, self.rng.integers(0, self.space.counts), parent))

    def valid(self, vector: NDArray[np.int64]) -> Key | None:
        """Give the architecture that options stand for, if there is one."""
        try:
            return tuple(self.space.canonical(vector).tolist())
        except ValueError:  # a constraint
            return None


def ranked(scores: dict[Key, float]) -> list[Key]:
    """Order architectures by their scores, best first; of equals what was scored first."""
    return sorted(scores, key=lambda key: -scores[key])


if __name__ == "__main__":
    launch.main(Agent, Args, "spos")
