"""Random search: architectures drawn uniformly from the space, window after window.

The baseline that every controller has to beat (Li & Talwalkar, arXiv 1902.07638). With `--transfer shared` it is random
search with weight sharing (RSWS), with `--transfer fresh` without. It recommends by the incumbent's rule.

`--selection shared` recommends by the paper's second phase instead: draw N architectures, score each once with the
shared weights as they are at the end of the search, score the best M again more thoroughly, and take the best of these.

What differs from the paper's second phase: a score is the return of greedy episodes on seeds that training never uses,
and not a loss on held-out data; N = 50 and M = 5 instead of 1,000 and 10, because episodes are dear beside a lifetime
of a few dozen windows (they are paid from the search's budget of evaluations, which has room for them); there is one
round of it and not the several of the paper. The N are dealt out to the K members, each with weights of its own, so a
first score is taken relative to the mean of its member's; the M are scored with the weights of every member, and their
mean decides. All scores of one member are on the same seeds. What is drawn twice is scored once. The windows say
nothing in the selection except through the weights.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.lookup import unknown
from archgym.running import launch, one_shot
from archgym.running.agent import agent_rng, check_idle, incumbents
from archgym.running.arguments import SearchArgs
from archgym.running.one_shot import Key
from archgym.search_space import Architecture, SearchSpace

SELECTIONS = ("incumbent", "shared")
OF_SHARED = ("draws", "finalists", "draw_episodes", "final_episodes")


@dataclass(frozen=True)
class Args(SearchArgs):
    selection: str = "incumbent"
    """What is recommended: `incumbent` (by the rewards of the windows) or `shared` (by scores with the shared weights
    after the last window)."""
    draws: int = 50
    """Architectures that `shared` scores once, N (the paper: 1,000)."""
    finalists: int = 5
    """How many of them it scores again, M (the paper: 10)."""
    draw_episodes: int = 1
    """Greedy episodes of a first score."""
    final_episodes: int = 4
    """Greedy episodes of a second score, with the weights of every member."""

    @property
    def proxy(self) -> str | None:
        return "the return of greedy episodes with the shared weights" if self.selection == "shared" else None


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        if args.selection not in SELECTIONS:
            raise unknown("selection", args.selection, SELECTIONS)
        if args.selection == "shared":
            check(envs, args)
        else:
            check_idle(args, OF_SHARED, f"selection {args.selection!r}")
        self.envs, self.args = envs, args
        self.space: SearchSpace = envs.unwrapped.search_space
        self.rng = agent_rng(args)
        self.asked_episodes = episodes(args) if args.selection == "shared" else 0

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.stack([self.space.sample(self.rng) for _ in observations])

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        return {}

    def recommend(self, k: int) -> list[Architecture]:
        """By the incumbent's rule, or the best k of M finalists of N draws (k finalists where M is less)."""
        if self.args.selection == "incumbent":
            return incumbents(self.envs.unwrapped.histories, k)
        first = self.first_scores()
        finalists = sorted(first, key=lambda key: -first[key])[: max(k, self.args.finalists)]
        second = one_shot.score_by_all(self.envs, finalists, self.args.final_episodes)
        best = np.argsort(-second, kind="stable")[:k]  # of equals the better first score
        return [np.array(finalists[index], dtype=np.int64) for index in best]

    def first_scores(self) -> dict[Key, float]:
        """Score N draws, dealt out to the members; relative to the mean of the member's draws, by architecture."""
        draws = [tuple(self.space.sample(self.rng).tolist()) for _ in range(self.args.draws)]
        pairs = list(dict.fromkeys((key, index % self.envs.num_envs) for index, key in enumerate(draws)))
        scores = one_shot.score(self.envs, pairs, self.args.draw_episodes)
        owners = np.array([member for _, member in pairs])
        for member in range(self.envs.num_envs):
            scores[owners == member] -= scores[owners == member].mean()
        found: dict[Key, list[float]] = {}
        for (key, _), score in zip(pairs, scores.tolist(), strict=True):
            found.setdefault(key, []).append(score)
        return {key: sum(values) / len(values) for key, values in found.items()}


def episodes(args: Args) -> int:
    """Count the episodes that a selection takes at most: less where an architecture is drawn twice."""
    finalists = max(args.recommendations, args.finalists)
    return args.draws * args.draw_episodes + finalists * args.num_envs * args.final_episodes


def check(envs: Any, args: Args) -> None:
    """Refuse settings under which a selection with shared weights means nothing."""
    if not envs.unwrapped.trains:
        raise ValueError(
            "selection: expected 'incumbent' where nothing is trained and no weights are shared, got 'shared'."
        )
    one_shot.check(args, "selection 'shared'")
    for name in ("finalists", "draw_episodes", "final_episodes"):
        if getattr(args, name) < 1:
            raise ValueError(f"{name}: expected a positive integer, got {getattr(args, name)}.")
    if args.draws < 2 * args.num_envs:
        raise ValueError(
            f"draws: expected at least two for each of the {args.num_envs} members, to be compared, got {args.draws}."
        )


if __name__ == "__main__":
    launch.main(Agent, Args, "random-search")
