"""AlphaX: Monte-Carlo tree search over the choices, with a learned predictor of returns that fills in rollouts.

    selection         argmax_a  X(s') + 2 c sqrt(2 ln N(s) / N(s'));  an unvisited child first, an illegal one never
    expansion         one child
    simulation        one random rollout from it is trained (r), k more are scored by the predictor (p_1, ..., p_k)
    back-propagation  value v = (r + mean p) / 2 is averaged into every node of the path

Paper: arXiv 1805.07440. A node is a prefix of decisions; N counts the simulations through it, X is the mean of their
values, scaled to [0, 1] by the lowest and the highest value so far.

What differs: the K members select one after the other in a window; a selection under way counts as a visit with the
lowest value (virtual loss), so that they spread. The predictor is not the paper's network of 512-2048-2048-512 units,
which a few hundred samples cannot feed, but ridge regression on the options and all pairs of them, in its dual form
(refitted every 10 samples; the paper's 100 are most of a search here). Rewards rise while the inner learner learns, so
a smooth trend over the windows is fitted together with it, and r and p are free of it; fitted together, the trend does
not take away what the search itself gained. The exploration constant is 0.1 and not 0.5: a search of a few
hundred windows would otherwise spend them evenly on the first choices (`--exploration-weight 0.5` for the paper's).
What is recommended are trained architectures by (their shrunken mean score + their prediction) / 2.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.running import launch
from archgym.running.agent import agent_rng
from archgym.running.arguments import SearchArgs
from archgym.search_space import Architecture, SearchSpace
from archgym.stats import shrunken_means

LATEST = 1_000  # samples that the predictor is fitted to, at most
SMOOTHING = 0.25  # length scale of the trend, as a share of the lifetime
TREND, NOISE = 1.0, 1.0  # variances of trend and noise, relative to that of the architectures' values


@dataclass(frozen=True)
class Args(SearchArgs):
    exploration_weight: float = 0.1
    """c of the selection rule."""
    predicted: int = 10
    """Rollouts of a simulation that the predictor scores, k; 0: plain tree search."""
    refit: int = 10
    """Trained architectures between two fits of the predictor."""


class Predictor:
    """Ridge regression on options and pairs of options, with a smooth trend over the windows, in dual form.

    Args:
        choices: Number of choices.
        windows: Of the lifetime.
    """

    def __init__(self, choices: int, windows: int) -> None:
        self.choices, self.windows = choices, windows
        self.codes: NDArray[np.float64] = np.zeros((0, 0))
        self.times: NDArray[np.float64] = np.zeros(0)
        self.weights: NDArray[np.float64] = np.zeros(0)
        self.mean = 0.0

    def fit(self, codes: NDArray[np.float64], times: NDArray[np.float64], rewards: NDArray[np.float64]) -> None:
        """Fit to one-hot architectures (n, options), trained at windows (n,), and their rewards (n,)."""
        self.codes, self.times, self.mean = codes, times, float(rewards.mean())
        gram = self._alike(codes) + self._near(times) + NOISE * np.eye(len(codes))
        self.weights = np.asarray(np.linalg.solve(gram, rewards - self.mean), dtype=np.float64)

    def predict(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score architectures (m, options) against the trend, (m,); all 0 before the first fit."""
        return self._alike(codes) @ self.weights if len(self.weights) else np.zeros(len(codes))

    def trend(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give what a window adds whatever is trained in it, (m,)."""
        return self.mean + self._near(times) @ self.weights if len(self.weights) else np.zeros(len(times))

    def _alike(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Half the share of equal options, half that of equal pairs (its square), (m, n)."""
        share = codes @ self.codes.T / self.choices
        return np.asarray((share + share**2) / 2)

    def _near(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        distances = (times[:, None] - self.times) / (SMOOTHING * self.windows)
        return np.asarray(TREND * np.exp(-(distances**2) / 2))


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        if not args.exploration_weight >= 0:
            raise ValueError(f"exploration_weight: expected a number of at least 0, got {args.exploration_weight}.")
        for name, least in (("predicted", 0), ("refit", 1)):
            if getattr(args, name) < least:
                raise ValueError(f"{name}: expected an integer of at least {least}, got {getattr(args, name)}.")
        self.args, self.rng = args, agent_rng(args)
        self.space: SearchSpace = envs.unwrapped.search_space
        self.predictor = Predictor(len(self.space.choices), args.windows)
        self.nodes: dict[tuple[int, ...], int] = {(): 0}
        self.visits: NDArray[np.float64] = np.zeros(1)  # (nodes,)
        self.totals: NDArray[np.float64] = np.zeros(1)  # (nodes,), of the scaled values
        self.paths: list[list[int]] = []  # nodes of every simulation
        self.trained: list[Architecture] = []
        self.codes = np.zeros((0, sum(self.space.counts)))
        self.times, self.rewards, self.guesses = np.zeros(0), np.zeros(0), np.zeros(0)
        self.rollouts: list[NDArray[np.float64]] = []  # (1 + k, options) of every member, the trained one first
        self.window = self.fitted = 0

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        chosen: list[Architecture] = []
        self.rollouts = []
        for _ in observations:
            prefix, path = self.select()
            rollouts = [self.complete(prefix) for _ in range(1 + self.args.predicted)]
            self.rollouts.append(np.stack([self.space.encode(rollout) for rollout in rollouts]).astype(np.float64))
            self.paths.append(path)
            self.visits[path] += 1  # the virtual loss: a visit that adds the lowest value, 0
            chosen.append(rollouts[0])
        self.trained += chosen
        return np.stack(chosen)

    def select(self) -> tuple[tuple[int, ...], list[int]]:
        """Walk down to a new node, or to an architecture; gives its prefix and the nodes on the way."""
        prefix: tuple[int, ...] = ()
        path = [0]
        while len(prefix) < len(self.space.choices):
            children = [(*prefix, option) for option in np.flatnonzero(self.space.mask(prefix)).tolist()]
            new = [child for child in children if child not in self.nodes]
            if new:
                prefix = new[int(self.rng.integers(len(new)))]
                path.append(len(self.nodes))
                self.nodes[prefix] = path[-1]
                self.visits, self.totals = np.append(self.visits, 0.0), np.append(self.totals, 0.0)
                break
            indices = [self.nodes[child] for child in children]
            scores = self.upper_bounds(path[-1], indices)
            best = np.flatnonzero(scores == scores.max())
            prefix = children[best[int(self.rng.integers(len(best)))]]
            path.append(self.nodes[prefix])
        return prefix, path

    def upper_bounds(self, parent: int, children: list[int]) -> NDArray[np.float64]:
        """Score visited children by X + 2 c sqrt(2 ln N / N')."""
        visits = self.visits[children]
        bonus = np.sqrt(2 * np.log(self.visits[parent]) / visits)
        return np.asarray(self.totals[children] / visits + 2 * self.args.exploration_weight * bonus)

    def complete(self, prefix: tuple[int, ...]) -> Architecture:
        """Decide the remaining choices at random."""
        while len(prefix) < len(self.space.choices):
            options = np.flatnonzero(self.space.mask(prefix))
            prefix = (*prefix, int(options[self.rng.integers(len(options))]))
        return np.array(prefix, dtype=np.int64)

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        self.codes = np.concatenate([self.codes, [codes[0] for codes in self.rollouts]])
        self.times = np.concatenate([self.times, np.full(len(rewards), float(self.window))])
        self.rewards = np.concatenate([self.rewards, rewards])
        self.window += 1
        if not self.fitted or len(self.rewards) - self.fitted >= self.args.refit:
            self.predictor.fit(self.codes[-LATEST:], self.times[-LATEST:], self.rewards[-LATEST:])
            self.fitted = len(self.rewards)
        guesses = [self.guess(codes[1:]) for codes in self.rollouts]
        self.guesses = np.concatenate([self.guesses, guesses])
        self.back_propagate()
        return {"charts/nodes": float(len(self.nodes))}

    def guess(self, codes: NDArray[np.float64]) -> float:
        """Average what the predictor says of the rollouts; NaN if there are none."""
        return float(self.predictor.predict(codes).mean()) if len(codes) else np.nan

    def scores(self) -> NDArray[np.float64]:
        """Take the trend out of the rewards of all simulations."""
        return np.asarray(self.rewards - self.predictor.trend(self.times))

    def back_propagate(self) -> None:
        """Sum the scaled values of all simulations by node, anew: the trend may have changed."""
        scores = self.scores()
        values = np.where(np.isnan(self.guesses), scores, (scores + self.guesses) / 2)
        values = (values - values.min()) / max(float(np.ptp(values)), 1e-12)
        lengths = [len(path) for path in self.paths]
        flat = np.concatenate(self.paths)
        self.visits = np.bincount(flat, minlength=len(self.nodes)).astype(np.float64)
        self.totals = np.bincount(flat, np.repeat(values, lengths), len(self.nodes)).astype(np.float64)

    def recommend(self, k: int) -> list[Architecture]:
        """The k trained architectures with the best mean of shrunken score and prediction."""
        keys = [tuple(architecture.tolist()) for architecture in self.trained]
        means, predicted = shrunken_means(keys, self.scores()), self.predictor.predict(self.codes).tolist()
        value = {key: (means[key] + guess) / 2 for key, guess in zip(keys, predicted, strict=True)}
        return [np.array(key, dtype=np.int64) for key in sorted(value, key=lambda key: -value[key])[:k]]


if __name__ == "__main__":
    launch.main(Agent, Args, "alphax")
