"""One bandit per choice: each learns by itself which of its options the reward of the whole architecture favours.

    exp3    draw from p = (1 - g) softmax(eta S) + g / n;  S[option] += score / p[option]      (n options)
    ucb     argmax of  mean[option] + c sqrt(2 ln N / pulls[option])                           (N: sum of the pulls)
    ultho   pick the choice to change, then its option, each by  mean of the last 10 + c sqrt(ln N / pulls)

Papers: MANAS, arXiv 1909.01051 (exp3: a team of agents, one per decision, that all get the same reward); UCB1, Auer et
al. (2002); ULTHO, arXiv 2503.06101. A score is a reward less its trend (`archgym.stats.detrend`, as known then), since
rewards rise while the inner learner learns, over the spread of all such scores so far. The members of a window act one
after the other. With ucb a pull counts as an average one, score 0, until its reward is known, so that members spread;
with ultho, where a pull alone hardly moves a bound, a member picks among the choices, and then the options, that were
pulled least in this window (the option that stands already is one of them). Ties, options without a pull among them,
are broken at random. Inactive choices are neither pulled nor credited. The recommendation has the highest sum over the
choices of log p, or of the options' shrunken means.

What differs: eta and g of MANAS are not known to this project; eta is the textbook's sqrt(2 ln n / (n T)) for a search
of T rewards, g is 0.1, and the paper's second variant, by least squares, is not here. UCB1s that move in step cannot
tell whose merit a reward was (without remedy they stayed where their first pulls led), so ucb, too, draws uniformly
with probability g. ULTHO tunes hyperparameters within one run of training; here what is not changed takes its option
with the highest recent mean, and only what was changed is credited: this project's reading of it.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym import drafts
from archgym.lookup import unknown
from archgym.running import launch
from archgym.running.agent import agent_rng, check_finite, check_idle
from archgym.running.arguments import SearchArgs
from archgym.search_space import Architecture, SearchSpace
from archgym.stats import SHRINKAGE, detrend

BANDITS = ("exp3", "ucb", "ultho")
OF_BANDITS = {
    "exploration_weight": ("ucb", "ultho"),
    "mixing": ("exp3", "ucb"),
    "rate": ("exp3",),
    "recent": ("ultho",),
}
BEAM = 32  # partial architectures that a recommendation is looked for among, at least


@dataclass(frozen=True)
class Args(SearchArgs):
    bandit: str = "exp3"
    """How options are chosen: exp3, ucb or ultho."""
    exploration_weight: float = 1.0
    """c of ucb and ultho."""
    mixing: float = 0.1
    """g of exp3 and ucb, the share of uniform draws."""
    rate: float | None = None
    """eta of exp3; None: sqrt(2 ln n / (n T))."""
    recent: int = 10
    """Scores that a mean of ultho is taken over."""


class Arms:
    """The options of one choice, or for ultho the choices themselves.

    Attributes:
        pulls: (arms,), those under way among them.
        under_way: Pulls of the window under way, (arms,).
        sums: Sums of the scores, (arms,); for exp3 each over its probability.
        last: The last scores of each arm.
    """

    def __init__(self, count: int, recent: int) -> None:
        self.pulls, self.under_way, self.sums = np.zeros(count), np.zeros(count), np.zeros(count)
        self.last: list[deque[float]] = [deque(maxlen=recent) for _ in range(count)]

    def upper(self, allowed: NDArray[np.int64], means: NDArray[np.float64], scale: float, total: float) -> NDArray[Any]:
        """Give means + scale sqrt(ln total / pulls) of the allowed arms; infinite without a pull."""
        pulls = self.pulls[allowed]
        bonus = scale * np.sqrt(math.log(max(1.0, total)) / np.maximum(1.0, pulls))
        return np.where(pulls > 0, means[allowed] + bonus, np.inf)

    def least_under_way(self, allowed: NDArray[np.int64]) -> NDArray[np.int64]:
        """Keep the allowed arms that were pulled least in the window under way."""
        pulls = self.under_way[allowed]
        return np.asarray(allowed[pulls == pulls.min()])

    def recent_means(self) -> NDArray[np.float64]:
        return np.array([sum(scores) / max(1, len(scores)) for scores in self.last])

    def recent_best(self) -> int | None:
        """Give the arm with the highest mean of its last scores; None: none has a score."""
        seen = np.array([len(scores) > 0 for scores in self.last])
        return int(np.where(seen, self.recent_means(), -np.inf).argmax()) if seen.any() else None


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        if args.bandit not in BANDITS:
            raise unknown("bandit", args.bandit, BANDITS)
        idle = [name for name, bandits in OF_BANDITS.items() if args.bandit not in bandits]
        check_idle(args, idle, f"bandit {args.bandit!r}")
        check_finite(args, "exploration_weight", "rate")
        if not args.exploration_weight >= 0:
            raise ValueError(f"exploration_weight: expected a number of at least 0, got {args.exploration_weight}.")
        if not 0 < args.mixing <= 1:
            raise ValueError(f"mixing: expected a number above 0 and up to 1, got {args.mixing}.")
        if args.rate is not None and not args.rate > 0:
            raise ValueError(f"rate: expected a positive number or None, got {args.rate}.")
        if args.recent < 1:
            raise ValueError(f"recent: expected a positive number of scores, got {args.recent}.")
        self.args, self.rng = args, agent_rng(args)
        self.space: SearchSpace = envs.unwrapped.search_space
        self.arms = [Arms(count, args.recent) for count in self.space.counts]
        self.choices = Arms(len(self.arms), args.recent)  # of ultho
        self.rewards: list[NDArray[np.float64]] = []
        self.taken: list[list[tuple[Arms, int, float]]] = []  # arms that members pulled, and importance weights

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        self.taken = [[] for _ in observations]
        for arms in (*self.arms, self.choices):
            arms.under_way[:] = 0
        if self.args.bandit == "ultho":
            return np.stack([self.change(member) for member in range(len(observations))])
        return np.stack([self.compose(member) for member in range(len(observations))])

    def compose(self, member: int) -> Architecture:
        """Let every choice pull one of its options."""
        prefix: list[int] = []
        for choice, arms in enumerate(self.arms):
            allowed = np.flatnonzero(self.space.mask(prefix))
            option = int(allowed[0])
            if len(allowed) > 1:
                option, weight = self.exp3(choice, allowed) if self.args.bandit == "exp3" else self.ucb(arms, allowed)
                self.pull(member, arms, option, weight)
            prefix.append(option)
        return np.array(prefix, dtype=np.int64)

    def exp3(self, choice: int, allowed: NDArray[np.int64]) -> tuple[int, float]:
        """Draw an option; gives it and one over its probability."""
        probabilities = self.probabilities(choice)[allowed]
        probabilities /= probabilities.sum()
        index = int(self.rng.choice(len(allowed), p=probabilities))
        return int(allowed[index]), 1 / float(probabilities[index])

    def probabilities(self, choice: int) -> NDArray[np.float64]:
        """Give p of all options of a choice."""
        sums, count = self.arms[choice].sums, len(self.arms[choice].sums)
        rewards = self.args.windows * self.args.num_envs
        rate = self.args.rate or math.sqrt(2 * math.log(count) / (count * rewards))
        weights = np.exp(rate * (sums - sums.max()))
        return np.asarray((1 - self.args.mixing) * weights / weights.sum() + self.args.mixing / count)

    def ucb(self, arms: Arms, allowed: NDArray[np.int64]) -> tuple[int, float]:
        """Take the option with the highest upper bound, or now and then any."""
        if self.rng.random() < self.args.mixing:
            return int(self.rng.choice(allowed)), 1.0
        means = arms.sums / np.maximum(1.0, arms.pulls)
        bounds = arms.upper(allowed, means, self.args.exploration_weight * math.sqrt(2), arms.pulls.sum())
        return self.best(allowed, bounds), 1.0

    def change(self, member: int) -> Architecture:
        """Change one choice of what has the highest recent means; what has none yet is drawn at random."""
        scale, level = self.args.exploration_weight, self.choices
        wanted = [arms.recent_best() for arms in self.arms]
        base = self.complete([], wanted)
        options = [np.flatnonzero(self.space.mask(base[:choice])) for choice in range(len(base))]
        free = np.array([choice for choice, allowed in enumerate(options) if len(allowed) > 1], dtype=np.int64)
        if not len(free):
            return np.array(base, dtype=np.int64)
        free = level.least_under_way(free)
        choice = self.best(free, level.upper(free, level.recent_means(), scale, level.pulls.sum()))
        arms = self.arms[choice]
        allowed = arms.least_under_way(options[choice])
        option = self.best(allowed, arms.upper(allowed, arms.recent_means(), scale, arms.pulls.sum()))
        self.pull(member, level, choice)
        self.pull(member, arms, option)
        return np.array(self.complete([*base[:choice], option], wanted), dtype=np.int64)

    def complete(self, prefix: list[int], wanted: list[int | None]) -> list[int]:
        """Append the options that are wanted, and random ones where none is or it leads to no architecture."""
        for option in wanted[len(prefix) :]:
            allowed = np.flatnonzero(self.space.mask(prefix))
            prefix = [*prefix, int(option if option is not None and option in allowed else self.rng.choice(allowed))]
        return prefix

    def best(self, allowed: NDArray[np.int64], bounds: NDArray[np.float64]) -> int:
        """Give an allowed arm with the highest bound."""
        return int(self.rng.choice(allowed[bounds == bounds.max()]))

    def pull(self, member: int, arms: Arms, arm: int, weight: float = 1.0) -> None:
        arms.pulls[arm] += 1
        arms.under_way[arm] += 1
        self.taken[member].append((arms, arm, weight))

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        self.rewards.append(rewards)
        scores = detrend(self.rewards)
        for taken, score in zip(self.taken, (scores[-1] / (scores.std() + 1e-8)).tolist(), strict=True):
            for arms, arm, weight in taken:
                arms.sums[arm] += weight * score
                arms.last[arm].append(score)
        return {"charts/least_pulls": float(min(arms.pulls.min() for arms in self.arms))}

    def recommend(self, k: int) -> list[Architecture]:
        """The k highest sums over the choices, by a beam search: exact where all options are always allowed."""
        return drafts.beam_search(self.space, max(k, BEAM), self.totals)[:k]

    def totals(self, prefixes: NDArray[np.int64], before: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add the merits of the next choice's options (N, options) to those before; what is forced has none."""
        choice = prefixes.shape[1]
        arms, legal = self.arms[choice], drafts.masks(self.space, prefixes)[:, : self.space.counts[choice]] > 0
        merits = arms.sums / (arms.pulls + SHRINKAGE)
        if self.args.bandit == "ultho":
            merits = np.array([sum(scores) / (len(scores) + SHRINKAGE) for scores in arms.last])
        elif self.args.bandit == "exp3":
            merits = np.log(self.probabilities(choice) * len(merits))
        free = legal.sum(1, keepdims=True) > 1
        return np.where(legal, before[:, None] + merits * free, -np.inf)


if __name__ == "__main__":
    launch.main(Agent, Args, "bandits")
