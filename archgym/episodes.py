"""Counts the returns of episodes in a batch of inner environments with next-step autoreset."""

import numpy as np
from numpy.typing import NDArray


class EpisodeCounter:
    """Returns of the episodes of M members with E inner environments each.

    An inner environment that finished no episode contributes min(r, r * limit / elapsed) of the return r that it has so
    far, so that doing nothing on a task with step costs earns nothing. Episodes that the window cuts short otherwise do
    not enter the mean; their share is reported.
    """

    def __init__(self, members: int, envs: int, episode_limit: int) -> None:
        self.episode_limit = episode_limit
        self.running = np.zeros((members, envs))  # return of the episode under way
        self.elapsed = np.zeros((members, envs), dtype=np.int64)
        self.total = np.zeros((members, envs))  # returns of the finished episodes
        self.finished = np.zeros((members, envs), dtype=np.int64)
        self.resets = np.zeros((members, envs), dtype=bool)  # whether the next step only resets

    def add(self, rewards: NDArray[np.float64], done: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Take in one step of all environments, (M, E).

        Returns:
            Whether the action was executed, (M, E): not where the step only reset an environment.
        """
        valid = ~self.resets
        self.running += rewards * valid
        self.elapsed += valid
        self.total += self.running * done
        self.finished += done
        self.running[done] = 0.0
        self.elapsed[done] = 0
        self.resets = done.copy()
        return valid

    def close(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
        """Give mean return, number of finished episodes and share of cut episodes per member, each (M,)."""
        none = self.finished == 0
        scaled = self.running * self.episode_limit / np.maximum(self.elapsed, 1)
        partial = np.minimum(self.running, scaled)
        sums = (self.total + np.where(none, partial, 0.0)).sum(1)
        counts = (self.finished + none).sum(1)
        cut = (self.elapsed > 0).sum(1)
        return sums / counts, self.finished.sum(1), cut / np.maximum(1, cut + self.finished.sum(1))
