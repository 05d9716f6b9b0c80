"""K lifetimes as an agent sees them: observations and infos from window results. Numbers in, numbers out."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from archgym.search_space import SearchSpace
from archgym.settings import Problem
from archgym.stats import SHRINKAGE, detrend
from archgym.window import WindowResult

SCALARS = 11
INFO = tuple(name for name in WindowResult.__dataclass_fields__ if name not in ("action", "reward"))


def observation_space(space: SearchSpace) -> gym.spaces.Box:
    """Build the space of the observations; the fields are described in `ArchSearchEnv`."""
    options = sum(space.counts)
    low = np.concatenate([np.zeros(options), np.full(SCALARS, -1.0), np.zeros(options), np.full(options, -3.0)])
    high = np.concatenate([np.ones(options), np.full(SCALARS, 2.0), np.ones(options), np.full(options, 3.0)])
    return gym.spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)


class Lifetime:
    """What one lifetime has seen.

    Args:
        problem: What is searched.
        history: Windows so far.
    """

    def __init__(self, problem: Problem, history: Sequence[WindowResult] = ()) -> None:
        self.problem, self.space = problem, problem.space
        self.history: list[WindowResult] = []
        self._codes = np.zeros((1, sum(self.space.counts)), dtype=np.float32)  # of the history, and room for more
        self._observation: NDArray[np.float32] | None = None  # what the history so far looks like
        for result in history:
            self.add(result)

    def add(self, result: WindowResult) -> None:
        """Take in one window."""
        if len(self.history) == len(self._codes):
            self._codes = np.concatenate([self._codes, np.zeros_like(self._codes)])
        self._codes[len(self.history)] = self.space.encode(np.array(result.action, dtype=np.int64))
        self.history.append(result)
        self._observation = None

    @property
    def over(self) -> bool:
        """Whether all windows are done."""
        return len(self.history) >= self.problem.settings.windows

    def observation(self) -> NDArray[np.float32]:
        """Write what has been seen as numbers; `ArchSearchEnv` has the table."""
        if self._observation is None:
            self._observation = self._observe()
        return self._observation.copy()

    def info(self) -> dict[str, Any]:
        """Tell about the last window; everything in it repeats under the same seed."""
        last = self.history[-1]
        label = self.space.label(np.array(last.action, dtype=np.int64))
        return {"architecture": label, **{name: getattr(last, name) for name in INFO}}

    def _observe(self) -> NDArray[np.float32]:
        options, windows = sum(self.space.counts), self.problem.settings.windows
        left = 1.0 - len(self.history) / windows
        if not self.history:
            start = [0.0, 0.0, left, 0.0, 1.0, *[0.0] * (SCALARS - 5)]
            return np.concatenate([np.zeros(options), start, np.zeros(2 * options)]).astype(np.float32)
        last = self.history[-1]
        rewards = [result.reward for result in self.history]
        since = next((n for n, result in enumerate(reversed(self.history)) if result.switched), len(self.history) - 1)
        scalars = [
            last.reward,
            max(rewards),
            left,
            since / windows,
            last.epsilon,
            last.replay_fill,
            np.tanh(last.loss),
            np.tanh(last.value / 100.0),
            np.tanh(last.episodes / 100.0),
            last.cut_share,
            float(last.diverged),
        ]
        codes = self._codes[: len(self.history)]
        visits = codes.sum(0)
        residuals = detrend(np.array(rewards)[:, None])[:, 0]
        means = residuals @ codes / (visits + SHRINKAGE)  # `shrunken_means` of all options at once
        shares = visits / len(self.history)
        return np.concatenate([codes[-1], scalars, shares, np.clip(means, -3.0, 3.0)]).astype(np.float32)
