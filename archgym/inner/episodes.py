"""Counts the returns of episodes in a batch of inner environments with next-step autoreset."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

UNDER_WAY = ("running", "elapsed", "resets")  # what goes on where inner environments are carried over


class EpisodeCounter:
    """Returns of the episodes of M members with E inner environments each.

    An inner environment that finished no episode contributes min(r, r * limit / elapsed) of the return r that it has so
    far, so that doing nothing on a task with step costs earns nothing. Episodes that the window cuts short otherwise do
    not enter the mean; their share is reported.

    Where inner environments are carried over, an episode counts in the window that it ends in, with all it has come to;
    one that still runs contributes what it has come to since it began (just r once it is older than the limit).
    """

    def __init__(self, members: int, envs: int, episode_limit: int) -> None:
        self.episode_limit = episode_limit
        self.running = np.zeros((members, envs))  # return of the episode under way
        self.elapsed = np.zeros((members, envs), dtype=np.int64)
        self.total = np.zeros((members, envs))  # returns of the finished episodes
        self.finished = np.zeros((members, envs), dtype=np.int64)
        self.resets = np.zeros((members, envs), dtype=bool)  # whether the next step only resets

    @classmethod
    def going_on(cls, counters: Sequence["EpisodeCounter"]) -> "EpisodeCounter":
        """Begin a window of all members of some counters: what is under way goes on, and nothing has ended yet."""
        members, (_, envs) = sum(len(one.running) for one in counters), counters[0].running.shape
        made = cls(members, envs, counters[0].episode_limit)
        for name in UNDER_WAY:
            setattr(made, name, np.concatenate([getattr(one, name) for one in counters]))
        return made

    def split(self) -> list["EpisodeCounter"]:
        """Give what is under way of every member, in a counter of its own."""
        parts = [EpisodeCounter(1, self.running.shape[1], self.episode_limit) for _ in self.running]
        for member, part in enumerate(parts):
            for name in UNDER_WAY:
                setattr(part, name, getattr(self, name)[[member]])
        return parts

    def add(self, rewards: NDArray[np.float64], done: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Take in one step of all environments, (M, E).

        Returns:
            Whether the action was executed, (M, E): not where the step only reset an environment.
        """
        valid = ~self.resets
        self.running += rewards * valid
        self.elapsed += valid
        self.resets = done.copy()
        if done.any():  # at few steps
            self.total += self.running * done
            self.finished += done
            self.running[done] = 0.0
            self.elapsed[done] = 0
        return valid

    def close(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
        """Give mean return, number of finished episodes and share of cut episodes per member, each (M,)."""
        none = (self.finished == 0) & (self.elapsed > 0)  # one that has only been reset has nothing to tell
        scaled = self.running * np.maximum(self.episode_limit, self.elapsed) / np.maximum(self.elapsed, 1)
        partial = np.minimum(self.running, scaled)
        sums = (self.total + np.where(none, partial, 0.0)).sum(1)
        counts = (self.finished + none).sum(1)
        cut = (self.elapsed > 0).sum(1)
        return sums / counts, self.finished.sum(1), cut / np.maximum(1, cut + self.finished.sum(1))
