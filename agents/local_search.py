"""Local search: climb from neighbour to neighbour, and begin anew at a local optimum.

    x <- a random architecture
    measure the neighbours of x that this climb has not seen; one that beats x becomes x
    when none does, x is a local optimum: begin anew

Paper: White et al., arXiv 2005.02960, first called "Local search is state of the art for NAS benchmarks". Its simplest
form measures the whole neighbourhood and goes to the best; its published code goes to the first that is better, and
begins at the best of ten random architectures (read in abstracts and code, not in the paper's own text). Its later
abstract says why a search here has to be careful: the less noise, the fewer local optima.

What differs, because one window is a noisy measurement and rewards rise while the inner learner learns:

* Every fourth measurement is of x itself, so that x and its neighbours are measured at the same age of the learner.
  Scores are shrunken means of the rewards less their trend (`stats.detrend`), over the windows since the climb came to
  x. What brought it there does not count: it was the luckiest of several.
* A neighbour that leads is measured again before the climb moves to it (`--confirm`).
* A local optimum is believed after the whole neighbourhood was measured three times (`--passes`), the best first from
  the second time on.
* The K members measure side by side, so up to K neighbours are measured before the next decision.
* A climb begins at one random architecture: ten would be a third of a small search.
* Recommended are the architectures that took the most moves to reach, then those of the incumbent's rule. A move is a
  comparison of neighbours at the same age; a trend that is a mean over few windows contains the climb itself.

`--move best --confirm 1 --passes 1` is the simplest form, but for the measurements of x.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.lookup import unknown
from archgym.running import launch
from archgym.running.agent import agent_rng, incumbents
from archgym.running.arguments import SearchArgs
from archgym.search_space import Architecture, SearchSpace
from archgym.stats import detrend, shrunken_means

Key = tuple[int, ...]  # an architecture
MOVES = ("best", "first")
REMEASURE = 4  # every so many-th measurement is of the present architecture


@dataclass(frozen=True)
class Args(SearchArgs):
    move: str = "first"
    """When to move: to the `first` neighbour that is better, or to the `best` once all are measured."""
    confirm: int = 3
    """Measurements of a neighbour before the climb moves to it."""
    passes: int = 3
    """Measurements of the whole neighbourhood before a local optimum is believed."""


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        if args.move not in MOVES:
            raise unknown("move", args.move, MOVES)
        for name in ("confirm", "passes"):
            if getattr(args, name) < 1:
                raise ValueError(f"{name}: expected a positive integer, got {getattr(args, name)}.")
        self.envs, self.args, self.rng = envs, args, agent_rng(args)
        self.space: SearchSpace = envs.unwrapped.search_space
        self.climbs = 0
        self.heights: dict[Key, int] = {}  # moves that it took to reach an architecture
        self.begin()

    def begin(self) -> None:
        """Begin a climb."""
        self.climbs += 1
        self.seen: set[Key] = set()
        self.move(tuple(self.space.sample(self.rng).tolist()), 0)

    def move(self, to: Key, height: int) -> None:
        """Make an architecture the present one, the height-th of its climb; nothing is known about it yet."""
        self.present, self.leader, self.height = to, to, height
        self.heights[to] = max(height, self.heights.get(to, 0))
        self.seen.add(to)
        around = [tuple(one.tolist()) for one in self.space.neighbours(np.array(to, dtype=np.int64))]
        order = self.rng.permutation(len(around))
        self.todo: list[Key] = [around[index] for index in order if around[index] not in self.seen]
        self.measured: list[Key] = []  # since it came here, window by window
        self.rewards: list[NDArray[np.float64]] = []
        self.passed = 0

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        self.actions: list[Key] = []
        for _ in observations:
            self.actions.append(self.next())
        return np.array(self.actions, dtype=np.int64)

    def next(self) -> Key:
        """Choose what to measure: the present one in its turn, a leader to confirm, else who has not been measured."""
        leads = self.leader != self.present and (self.args.move == "first" or not self.todo)
        if (len(self.measured) + len(self.actions)) % REMEASURE == 0:
            return self.present
        if leads and self.leader not in self.actions:
            return self.leader
        if self.todo:
            self.seen.add(self.todo[0])
            return self.todo.pop(0)
        return self.leader  # idle members measure it once more

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        self.measured += self.actions
        self.rewards.append(rewards)
        scores = shrunken_means(self.measured, detrend(np.array(self.rewards)).ravel())
        self.leader = max(scores, key=lambda key: (scores[key], key == self.present))  # of equals the present one
        if self.leader != self.present:
            confirmed = Counter(self.measured)[self.leader] >= self.args.confirm
            if confirmed and (self.args.move == "first" or not self.todo):
                self.move(self.leader, self.height + 1)
        elif not self.todo:
            self.passed += 1
            if self.passed >= self.args.passes:
                self.begin()
            else:
                others = [key for key in scores if key != self.present]
                self.todo = sorted(others, key=lambda key: -scores[key])
        return {"local_search/climbs": float(self.climbs)}

    def recommend(self, k: int) -> list[Architecture]:
        """The highest that any climb came, later ones first, and then the incumbents."""
        climbed = [key for key in reversed(self.heights) if self.heights[key]]
        climbed.sort(key=lambda key: -self.heights[key])
        others = [tuple(one.tolist()) for one in incumbents(self.envs.unwrapped.histories, k)]
        return [np.array(key, dtype=np.int64) for key in list(dict.fromkeys(climbed + others))[:k]]


if __name__ == "__main__":
    launch.main(Agent, Args, "local-search")
