"""BANANAS: an ensemble of small networks predicts rewards, and independent Thompson sampling picks what to try.

    score(a) ~ N(mean_m f_m(a), std_m f_m(a)^2), drawn for every candidate alone; the K highest draws are tried

Paper: arXiv 1910.11858. f_1 ... f_M are multilayer perceptrons on the one-hot encoding (`SearchSpace.encode`), fitted
anew, from fresh weights, by full-batch Adam whenever ten more rewards are in. Candidates are one-choice mutations of
the architectures with the best predictions among those seen, these themselves, and random architectures.

What differs: rewards are less their trend (`archgym.stats.detrend`), because they rise while the inner learner learns,
and standardised, and the loss is the squared error with weight decay, because they are noisy (the paper's is a relative
absolute error on accuracies of up to 100). For the same reason an architecture may be tried again, parents are the best
predicted and not the best measured, and the recommendation is the best predicted of what was seen, by a last fit to all
of it (with fewer rewards than the first fit takes, by the incumbent's rule). The encoding is one-hot, since paths mean
nothing for a list of choices. The paper's networks have 10 layers of 20 units, trained for 150 epochs at a step size of
0.01, M = 5; here two layers do (`--layers 10` takes the paper's), in 150 full-batch steps.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.running import launch
from archgym.running.agent import agent_rng, check_finite, incumbents
from archgym.running.arguments import SearchArgs
from archgym.search_space import Architecture, SearchSpace
from archgym.stats import detrend

Weights = list[NDArray[np.float64]]  # one layer after the other: (members, inputs + 1, units), the last row is the bias
BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam


@dataclass(frozen=True)
class Args(SearchArgs):
    ensemble: int = 5
    """Networks, M."""
    layers: int = 2
    """Hidden layers of a network."""
    width: int = 20
    """Units of a hidden layer."""
    steps: int = 150
    """Steps of Adam of a fit."""
    learning_rate: float = 0.01
    """Adam's step size."""
    weight_decay: float = 0.03
    """Weight of the squared weights in the loss."""
    initial: int = 10
    """Random architectures before the first fit."""
    refit: int = 10
    """Rewards between two fits."""
    parents: int = 10
    """Architectures that are mutated."""
    candidates: int = 100
    """Mutations that are scored in a window; a tenth as many random architectures join them."""


def forward(weights: Weights, inputs: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Predict; gives outputs (M, n) and the inputs of every layer, (M, n, units + 1), the last column 1.

    Args:
        weights: Of all networks.
        inputs: (n, features).
    """
    count, rows = len(weights[0]), len(inputs)
    ones = np.ones((count, rows, 1))
    values, layers = np.broadcast_to(inputs, (count, *inputs.shape)), []
    for number, weight in enumerate(weights):
        layers.append(np.concatenate([np.maximum(values, 0.0) if number else values, ones], axis=2))
        values = layers[-1] @ weight  # (M, n, units)
    return values[..., 0], layers


def gradients(weights: Weights, inputs: NDArray[np.float64], targets: NDArray[np.float64], decay: float) -> Weights:
    """Differentiate every network's loss, mean (f(x) - y)^2 / 2 + decay / 2 sum of the squared weights."""
    outputs, layers = forward(weights, inputs)
    error = ((outputs - targets) / len(targets))[..., None]  # (M, n, 1)
    found: Weights = []
    for layer, weight in zip(reversed(layers), reversed(weights), strict=True):
        found.append(layer.transpose(0, 2, 1) @ error + decay * weight)
        error = (error @ weight[:, :-1].transpose(0, 2, 1)) * (layer[..., :-1] > 0)
    return found[::-1]


def fit(inputs: NDArray[np.float64], targets: NDArray[np.float64], args: Args, rng: np.random.Generator) -> Weights:
    """Train the ensemble from fresh weights (He's initialisation, biases 0)."""
    sizes = [inputs.shape[1], *[args.width] * args.layers, 1]
    weights = []
    for fan_in, units in pairwise(sizes):
        drawn = rng.normal(0.0, np.sqrt(2 / fan_in), (args.ensemble, fan_in + 1, units))
        drawn[:, -1] = 0.0
        weights.append(drawn)
    first, second = [np.zeros_like(one) for one in weights], [np.zeros_like(one) for one in weights]
    for step in range(1, args.steps + 1):
        for index, gradient in enumerate(gradients(weights, inputs, targets, args.weight_decay)):
            first[index] += (1 - BETAS[0]) * (gradient - first[index])
            second[index] += (1 - BETAS[1]) * (gradient**2 - second[index])
            scale = np.sqrt(second[index] / (1 - BETAS[1] ** step)) + EPSILON
            weights[index] -= args.learning_rate / (1 - BETAS[0] ** step) * first[index] / scale
    return weights


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        for name in ("ensemble", "layers", "width", "steps", "initial", "refit", "parents", "candidates"):
            least = 2 if name == "ensemble" else 1
            if getattr(args, name) < least:
                raise ValueError(f"{name}: expected an integer of at least {least}, got {getattr(args, name)}.")
        if not args.learning_rate > 0:
            raise ValueError(f"learning_rate: expected a positive number, got {args.learning_rate}.")
        check_finite(args, "learning_rate", "weight_decay")
        if not args.weight_decay >= 0:
            raise ValueError(f"weight_decay: expected a number of at least 0, got {args.weight_decay}.")
        self.envs, self.args, self.rng = envs, args, agent_rng(args)
        self.space: SearchSpace = envs.unwrapped.search_space
        self.actions: list[NDArray[np.int64]] = []
        self.rewards: list[NDArray[np.float64]] = []
        self.weights: Weights = []  # empty: not fitted yet
        self.fitted = 0  # rewards of the last fit
        self.ranked: list[Architecture] = []  # what was seen, best predicted first, at the last fit
        self.neighbours: dict[tuple[int, ...], list[Architecture]] = {}

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        count = len(observations)
        if not self.weights:
            chosen = [self.space.sample(self.rng) for _ in range(count)]
        else:
            candidates = self.candidates(count)
            predicted = self.predict(candidates)
            draws = self.rng.normal(predicted.mean(0), predicted.std(0))
            chosen = [candidates[index] for index in np.argsort(-draws, kind="stable")[:count]]
            chosen += [self.space.sample(self.rng) for _ in range(count - len(chosen))]
        self.actions.append(np.stack(chosen))
        return self.actions[-1].copy()

    def candidates(self, count: int) -> list[Architecture]:
        """Give distinct architectures: parents, mutations of them, and random ones, `count` at least."""
        parents = self.ranked[: self.args.parents]
        found = {tuple(parent.tolist()): parent for parent in parents}
        for draw in range(self.args.candidates):
            key = tuple(parents[draw % len(parents)].tolist())
            if key not in self.neighbours:
                self.neighbours[key] = self.space.neighbours(np.array(key))
            if self.neighbours[key]:
                mutation = self.neighbours[key][int(self.rng.integers(len(self.neighbours[key])))]
                found[tuple(mutation.tolist())] = mutation
        for _ in range(max(count, self.args.candidates // 10)):
            drawn = self.space.sample(self.rng)
            found[tuple(drawn.tolist())] = drawn
        return list(found.values())

    def predict(self, architectures: list[Architecture]) -> NDArray[np.float64]:
        """Give the predictions of all networks, (M, n)."""
        return forward(self.weights, self.encode(architectures))[0]

    def encode(self, architectures: list[Architecture]) -> NDArray[np.float64]:
        return np.stack([self.space.encode(one) for one in architectures]).astype(np.float64)

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        self.rewards.append(rewards)
        seen = sum(map(len, self.rewards))
        if seen < max(self.args.initial, self.fitted + self.args.refit * (self.fitted > 0)):
            return {}
        return {"losses/ensemble": self.update()}

    def update(self) -> float:
        """Fit the ensemble to all that was seen, and rank it; gives the mean squared error."""
        self.fitted = sum(map(len, self.rewards))
        scores = detrend(self.rewards).ravel()
        targets = scores / (scores.std() + 1e-8)
        tried = list(np.concatenate(self.actions))
        self.weights = fit(self.encode(tried), targets, self.args, self.rng)
        distinct = list({tuple(one.tolist()): one for one in tried}.values())
        predicted = self.predict(distinct).mean(0)
        self.ranked = [distinct[index] for index in np.argsort(-predicted, kind="stable")]
        error = self.predict(tried).mean(0) - targets
        return float((error**2).mean())

    def recommend(self, k: int) -> list[Architecture]:
        """The best predicted of what was seen, by a fit to all of it; before the first fit, the incumbents."""
        if not self.fitted:
            return incumbents(self.envs.unwrapped.histories, k)
        if self.fitted < sum(map(len, self.rewards)):
            self.update()
        return self.ranked[:k]


if __name__ == "__main__":
    launch.main(Agent, Args, "bananas")
