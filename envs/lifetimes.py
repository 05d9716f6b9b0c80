"""K lifetimes as an agent sees them: observations and infos from window results. Numbers in, numbers out."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from archgym.problem import Problem
from archgym.search_space import SearchSpace
from archgym.stats import SHRINKAGE, trend_reach
from archgym.window import WindowResult

SCALARS = 11
# What an observation tells of the last window alone, and how it is brought into bounds.
ALONE: tuple[tuple[str, Callable[[Any], float]], ...] = (
    ("epsilon", float),
    ("replay_fill", float),
    ("loss", math.tanh),
    ("value", lambda value: math.tanh(value / 100.0)),
    ("episodes", lambda count: math.tanh(count / 100.0)),
    ("cut_share", float),
    ("diverged", float),
)
REACH = trend_reach(1)  # the trend of one lifetime at a window is the mean of its rewards so far before and after


def observation_space(space: SearchSpace) -> gym.spaces.Box:
    """Build the space of the observations; the fields are described in `ArchSearchEnv`."""
    options = sum(space.counts)
    low = np.concatenate([np.zeros(options), np.full(SCALARS, -1.0), np.zeros(options), np.full(options, -3.0)])
    high = np.concatenate([np.ones(options), np.full(SCALARS, 2.0), np.ones(options), np.full(options, 3.0)])
    return gym.spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)


class Lifetime:
    """What one lifetime has seen.

    Every window adds to running sums, so that a window costs the same however many there were. Only the last few
    residuals still change: the trend at a window is that of its neighbours (`archgym.stats.detrend`).

    Args:
        problem: What is searched.
        history: Windows so far.
    """

    def __init__(self, problem: Problem, history: Sequence[WindowResult] = ()) -> None:
        self.problem, self.space = problem, problem.space
        self.windows = problem.settings.windows
        self.history: list[WindowResult] = []
        options = sum(self.space.counts)
        self.label = ""  # of the last window's architecture
        self.places: list[tuple[int, ...]] = [()]  # of the options of every window, behind none
        self.sums = [0.0]  # of the rewards before every window, and of all
        self.visits, self.settled = [0.0] * options, [0.0] * options  # per option: windows; residuals that stay
        self.best, self.since = -math.inf, -1
        self._observation: NDArray[np.float32] | None = None  # what the history so far looks like
        for result in history:
            self.add(result)

    def add(self, result: WindowResult) -> None:
        """Take in one window."""
        reward, visits = result.reward, self.visits
        self.label, places = self.space.told(result.action)
        for place in places:
            visits[place] += 1.0
        self.history.append(result)
        self.places.append(places)
        self.sums.append(self.sums[-1] + reward)
        if reward > self.best:
            self.best = reward
        self.since = 0 if result.switched else self.since + 1
        if len(self.history) > REACH:
            self._add_residuals(self.settled, REACH + 1, REACH)
        self._observation = None

    @property
    def over(self) -> bool:
        """Whether all windows are done."""
        return len(self.history) >= self.windows

    def observation(self) -> NDArray[np.float32]:
        """Write what has been seen as numbers; `ArchSearchEnv` has the table."""
        if self._observation is None:
            self._observation = self._observe()
        return self._observation.copy()

    def info(self) -> dict[str, Any]:
        """Tell about the last window; everything in it repeats under the same seed."""
        return {"architecture": self.label, **tell(self.history[-1])}

    def _observe(self) -> NDArray[np.float32]:
        done, windows, visits = len(self.history), self.windows, self.visits
        code, totals = [0.0] * len(visits), self.settled.copy()
        if not done:
            return np.array([*code, 0.0, 0.0, 1.0, 0.0, 1.0, *[0.0] * (SCALARS - 5), *visits, *totals], np.float32)
        self._add_residuals(totals, min(done, REACH), 0)
        for place in self.places[-1]:
            code[place] = 1.0
        last = self.history[-1]
        numbers = [
            *code,
            *(last.reward, self.best, 1.0 - done / windows, self.since / windows),
            *[squash(getattr(last, name)) for name, squash in ALONE],
            *[count / done for count in visits],
            # As `shrunken_means`; within 3, as no two rewards are further apart.
            *[total / (count + SHRINKAGE) for total, count in zip(totals, visits, strict=True)],
        ]
        return np.array(numbers, np.float32)

    def _add_residuals(self, totals: list[float], first: int, end: int) -> None:
        """Add rewards less their trend to the options of their architectures.

        Args:
            totals: Per option.
            first: The first window, counted from the last one (1).
            end: The window behind the last one, counted alike; all of them reach as far as the last window.
        """
        sums, done = self.sums, len(self.history)
        for window in range(done - first, done - end):
            low = max(window - REACH, 0)
            residual = self.history[window].reward - (sums[done] - sums[low]) / (done - low)
            for place in self.places[window + 1]:
                totals[place] += residual


def batched(infos: Sequence[dict[str, Any]], members: Sequence[int], count: int) -> dict[str, NDArray[Any]]:
    """Put the infos of some of `count` members together, as `gymnasium.vector.VectorEnv` does."""
    together: dict[str, NDArray[Any]] = {}
    chosen = np.asarray(members, dtype=np.int64)
    for name, first in infos[0].items() if infos else ():
        kind = type(first) if isinstance(first, bool | int | float) else object
        column: NDArray[Any] = np.full(count, None if kind is object else 0, dtype=kind)
        column[chosen] = [info[name] for info in infos]
        together[name], together[f"_{name}"] = column, np.zeros(count, dtype=np.bool_)
        together[f"_{name}"][chosen] = True
    return together


def tell(result: WindowResult) -> dict[str, Any]:
    """Give the infos about a window: everything but the action and its reward."""
    told = vars(result).copy()
    del told["action"], told["reward"]
    return told
