"""MetaQNN: tabular Q-learning over the sequential view, with a staircase of exploration and a replay of whole networks.

    Q(s, u) <- (1 - alpha) Q(s, u) + alpha (r + max_u' Q(s', u'))      (discount 1; r = 0 but at the last decision)

Paper: arXiv 1611.02167. A state is the prefix of decisions, an action the next option. An architecture is learned in
reverse order of time, and after every one that was trained `--replays` earlier ones are learned again. With probability
epsilon a decision is random; epsilon falls from 0.9 to 0.1 in stairs of the paper's proportions.

What differs. The paper's state is the last layer, which forgets what came before it; a prefix remembers, and is exact,
but shares nothing between branches. The paper trains 2,700 networks, 1,500 of them at epsilon 1, with alpha 0.01. Its
100 replays are 100 updates of an average network in a search of any size, but the later ones get few: 0.01 leaves what
is newest nearly unlearned. On planted landscapes (160 windows, 4,096 architectures) those settings recommend no better
than random search, so that there is no stage at epsilon 1 unless `--uniform` asks for it, alpha is higher, and what was
never tried counts as a little better than average (`--initial-q`), where the paper prefers to err low. `--controller
paper` takes its own settings. `--known reuse` is the paper's treatment of a known architecture: its recorded mean
return counts as another sample, and the agent samples again (20 times at most, then it is trained). By default it is
trained again, since one return is one noisy draw, and the mean of its returns is what is replayed: on the planted
landscapes a search that reuses never finds out that its best was luck, and gains little over random search.

Rewards rise while the inner learner learns. Q is therefore about scores, 0 being average: rewards less a smooth trend
over the windows, which is fitted together with an additive effect of every option, so that the trend does not take away
what the search itself gained. All scores are computed anew after every window. It recommends by their shrunken means.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.lookup import unknown
from archgym.running import launch
from archgym.running.agent import agent_rng, check_finite, check_idle
from archgym.running.arguments import SearchArgs
from archgym.search_space import Architecture, SearchSpace
from archgym.stats import shrunken_means

STAIRS = ((0.9, 100), (0.8, 100), (0.7, 100), (0.6, 150), (0.5, 150), (0.4, 150), (0.3, 150), (0.2, 150), (0.1, 150))
PAPER = {"alpha": 0.01, "initial_q": 0.0, "uniform": 1500 / 2700, "known": "reuse"}
KNOWN = ("measure", "reuse")
TRIES = 20  # times that known architectures are passed over for one window
WAVES = 4  # cosines of the trend
TREND_PENALTY, OPTION_PENALTY = 10.0, 0.3  # of the squared coefficients


@dataclass(frozen=True)
class Args(SearchArgs):
    env_id: str = "ArchSearch-DQN-Sequential-v0"
    """The environment, a sequential view."""
    controller: str = "default"
    """`default`, or `paper` for its settings in place of alpha, initial_q, uniform and known."""
    alpha: float = 0.2
    """Step size of the update."""
    initial_q: float = 0.15
    """Q of what was never tried, against the average of what was."""
    uniform: float = 0.0
    """Share of the windows at epsilon 1, before the stairs."""
    known: str = "measure"
    """When a known architecture is sampled: `measure` it again, or `reuse` its return and sample another."""
    replays: int = 100
    """Architectures that are learned again after every one that was trained."""


def epsilon(done: int, windows: int, uniform: float) -> float:
    """Give the exploration rate after `done` of the windows."""
    begun = uniform * windows
    if done < begun:
        return 1.0
    scale = (windows - begun) / sum(length for _, length in STAIRS)
    for rate, length in STAIRS:
        begun += length * scale
        if done < begun:
            return rate
    return STAIRS[-1][0]


class Trend:
    """Ridge regression of rewards on a constant, slow cosines over the windows, and every option.

    Args:
        options: Number of options of all choices.
        windows: Of the lifetime.
    """

    def __init__(self, options: int, windows: int) -> None:
        waves = np.arange(1, WAVES + 1)
        time = (np.arange(windows)[:, None] + 0.5) / windows
        self.basis = np.hstack([np.ones((windows, 1)), np.cos(np.pi * waves * time) / waves])  # (windows, 1 + WAVES)
        penalties = [1e-3, *[TREND_PENALTY] * WAVES, *[OPTION_PENALTY] * options]
        self.gram, self.moments = np.diag(penalties), np.zeros(len(penalties))

    def add(self, window: int, codes: NDArray[np.float64], rewards: NDArray[np.float64]) -> None:
        """Take in one-hot architectures (K, options) trained at a window, and their rewards (K,)."""
        features = np.hstack([np.tile(self.basis[window], (len(codes), 1)), codes])
        self.gram += features.T @ features
        self.moments += features.T @ rewards

    def values(self) -> NDArray[np.float64]:
        """Give the reward of an average architecture at every window, (windows,)."""
        mean = self.gram[0, 1 + WAVES :] / self.gram[0, 0]  # share of the architectures with each option
        coefficients = np.linalg.solve(self.gram, self.moments)
        return np.asarray(self.basis @ coefficients[: 1 + WAVES] + mean @ coefficients[1 + WAVES :])


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        if args.controller not in ("default", "paper"):
            raise unknown("controller", args.controller, ("default", "paper"))
        if args.controller == "paper":
            check_idle(args, PAPER, "controller 'paper'")
        if args.known not in KNOWN:
            raise unknown("known", args.known, KNOWN)
        if not 0 < args.alpha <= 1:
            raise ValueError(f"alpha: expected a number above 0 and at most 1, got {args.alpha}.")
        if not 0 <= args.uniform <= 1:
            raise ValueError(f"uniform: expected a share from 0 to 1, got {args.uniform}.")
        if args.replays < 0:
            raise ValueError(f"replays: expected an integer of at least 0, got {args.replays}.")
        check_finite(args, "initial_q")
        self.settings = {**vars(args), **(PAPER if args.controller == "paper" else {})}
        self.space: SearchSpace = envs.unwrapped.search_space
        self.rng = agent_rng(args)
        self.q: dict[tuple[int, ...], list[float]] = {}  # by prefix; -inf: illegal
        self.trend = Trend(sum(self.space.counts), args.windows)
        self.trained: list[tuple[int, ...]] = []
        self.times: list[int] = []
        self.rewards: list[float] = []
        self.samples: list[tuple[int, ...]] = []  # what is replayed: trained or reused
        self.means: dict[tuple[int, ...], float] = {}  # mean score of every architecture
        self.plans: list[tuple[int, ...]] = []
        self.window = self.decided = 0

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        if self.decided == 0:
            self.plans = []
            for _ in observations:
                self.plans.append(self.choose())
        actions = np.array([plan[self.decided] for plan in self.plans], dtype=np.int64)
        self.decided = (self.decided + 1) % len(self.space.choices)
        return actions

    def choose(self) -> tuple[int, ...]:
        """Decide on an architecture to train; with `reuse` known ones are learned from and passed over."""
        rate = epsilon(self.window, self.settings["windows"], self.settings["uniform"])
        architecture = self.draw(rate)
        for _ in range(TRIES if self.settings["known"] == "reuse" else 0):
            if architecture in self.means:
                self.samples.append(architecture)
                self.update(architecture, self.means[architecture])
            elif architecture not in self.plans:
                break
            architecture = self.draw(rate)
        return architecture

    def draw(self, rate: float) -> tuple[int, ...]:
        """Decide all choices, each at random with probability `rate` and else by the highest Q."""
        prefix: tuple[int, ...] = ()
        for _ in self.space.choices:
            values = self.values(prefix)
            least = -np.inf if self.rng.random() < rate else max(values)
            options = [option for option, value in enumerate(values) if value >= least and value > -np.inf]
            prefix = (*prefix, options[int(self.rng.integers(len(options)))])
        return prefix

    def values(self, prefix: tuple[int, ...]) -> list[float]:
        """Find the Q of all options that follow a prefix."""
        if prefix not in self.q:
            self.q[prefix] = [self.settings["initial_q"] if legal else -np.inf for legal in self.space.mask(prefix)]
        return self.q[prefix]

    def update(self, architecture: tuple[int, ...], score: float) -> None:
        """Learn an architecture in reverse order of time."""
        target, alpha = score, self.settings["alpha"]
        for choice in reversed(range(len(architecture))):
            values, option = self.values(architecture[:choice]), architecture[choice]
            values[option] += alpha * (target - values[option])
            target = max(values)

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        if self.decided:
            return {}
        rate = epsilon(self.window, self.settings["windows"], self.settings["uniform"])
        codes = np.stack([self.space.encode(np.array(plan, dtype=np.int64)) for plan in self.plans])
        self.trend.add(self.window, codes.astype(np.float64), rewards)
        self.trained += self.plans
        self.times += [self.window] * len(self.plans)
        self.rewards += rewards.tolist()
        self.samples += self.plans
        self.means = self.mean_scores()
        for plan in self.plans:
            self.update(plan, self.means[plan])
            for index in self.rng.integers(len(self.samples), size=self.settings["replays"]).tolist():
                self.update(self.samples[index], self.means[self.samples[index]])
        self.window += 1
        return {"charts/epsilon": rate}

    def scores(self) -> NDArray[np.float64]:
        """Take the trend out of the rewards of everything that was trained."""
        return np.asarray(np.array(self.rewards) - self.trend.values()[self.times])

    def mean_scores(self) -> dict[tuple[int, ...], float]:
        """Average the scores of every architecture."""
        groups: dict[tuple[int, ...], list[float]] = {}
        for architecture, score in zip(self.trained, self.scores().tolist(), strict=True):
            groups.setdefault(architecture, []).append(score)
        return {architecture: sum(scores) / len(scores) for architecture, scores in groups.items()}

    def recommend(self, k: int) -> list[Architecture]:
        """The k trained architectures with the best shrunken mean score."""
        means = shrunken_means(self.trained, self.scores())
        return [np.array(key, dtype=np.int64) for key in sorted(means, key=lambda key: -means[key])[:k]]


if __name__ == "__main__":
    launch.main(Agent, Args, "metaqnn")
