"""K lifetimes as an agent sees them: observations and infos from window results. Numbers in, numbers out."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from archgym.search_space import SearchSpace
from archgym.settings import Problem
from archgym.stats import detrend, shrunken_means
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
        self.history = list(history)
        self.codes = [self._code(result) for result in self.history]

    def add(self, result: WindowResult) -> None:
        """Take in one window."""
        self.history.append(result)
        self.codes.append(self._code(result))

    @property
    def over(self) -> bool:
        """Whether all windows are done."""
        return len(self.history) >= self.problem.settings.windows

    def observation(self) -> NDArray[np.float32]:
        """Write what has been seen as numbers; `ArchSearchEnv` has the table."""
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
        visits = np.sum(self.codes, axis=0) / len(self.history)
        residuals = detrend(np.array(rewards)[:, None])[:, 0]
        active = np.argwhere(np.array(self.codes) > 0)  # (pairs, 2): window, option
        means = np.zeros(options)
        for option, mean in shrunken_means(active[:, 1].tolist(), residuals[active[:, 0]]).items():
            means[option] = mean
        return np.concatenate([self.codes[-1], scalars, visits, np.clip(means, -3.0, 3.0)]).astype(np.float32)

    def info(self) -> dict[str, Any]:
        """Tell about the last window; everything in it repeats under the same seed."""
        last = self.history[-1]
        values = asdict(last)
        label = self.space.label(np.array(last.action, dtype=np.int64))
        return {"architecture": label, **{name: values[name] for name in INFO}}

    def _code(self, result: WindowResult) -> NDArray[np.float32]:
        return self.space.encode(np.array(result.action, dtype=np.int64))
