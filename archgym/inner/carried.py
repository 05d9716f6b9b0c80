"""The inner environments of windows: fresh in every window, or kept alive from one to the next.

`Fresh` opens new ones for every window, seeded by (lifetime's seed, window), and closes them behind it.

`Carried` keeps those of a member alive for its whole lifetime, so that windows shorter than an episode come to its late
states too. They are seeded once, by (lifetime's seed, window 0), and belong to the member, whatever architecture it
trains: an episode may begin with one network and end with another, and counts where it ends. A running game cannot be
copied, so neither can the lifetime.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from archgym.inner.envs import InnerEnvs, Step, open_inner_envs
from archgym.inner.episodes import EpisodeCounter
from archgym.inner.tasks import Task
from archgym.observations import Observations
from archgym.seeding import Consumer, env_seeds

Opened = tuple[InnerEnvs, EpisodeCounter]


class Source(Protocol):
    """Where the inner environments of windows come from."""

    def begin(self, members: Sequence[int]) -> None:
        """Begin lifetimes."""

    def open(self, members: Sequence[int], streams: Sequence[tuple[int, int]]) -> Opened:
        """Open what members train in for a window, given their pairs of seed and window, (M,) each.

        Returns:
            M x E inner environments, those of a member next to each other, and what counts their episodes.
        """

    def end(self, members: Sequence[int], opened: Opened) -> None:
        """Take back what these members have trained in."""

    def close(self) -> None:
        """Give back what is held between windows."""


class Fresh:
    """New inner environments for every window.

    Args:
        task: What they are.
        envs: Of every member, E.
        limit: Steps that an unfinished episode is extrapolated to (`EpisodeCounter`).
    """

    def __init__(self, task: Task, envs: int, limit: int) -> None:
        self.task, self.envs, self.limit = task, envs, limit

    def begin(self, members: Sequence[int]) -> None:
        """Begin lifetimes: nothing is held."""

    def open(self, members: Sequence[int], streams: Sequence[tuple[int, int]]) -> Opened:
        """Open new ones."""
        seeds = [env_seeds(root, Consumer.INNER_ENVS, window, count=self.envs) for root, window in streams]
        pool = open_inner_envs(self.task, [seed for own in seeds for seed in own])
        return pool, EpisodeCounter(len(members), self.envs, self.limit)

    def end(self, members: Sequence[int], opened: Opened) -> None:
        """Close them."""
        opened[0].close()

    def close(self) -> None:
        """Do nothing: nothing is held."""


class Carried:
    """Inner environments that live as long as their member.

    Args:
        task: What they are.
        envs: Of every member, E.
        limit: Steps that an unfinished episode is extrapolated to (`EpisodeCounter`).
    """

    def __init__(self, task: Task, envs: int, limit: int) -> None:
        self.fresh = Fresh(task, envs, limit)
        self._new: set[int] = set()  # members that have not trained yet
        self._kept: dict[int, Opened] = {}  # by member; not while a window trains in them

    def begin(self, members: Sequence[int]) -> None:
        """Begin lifetimes: what their members held is closed."""
        for member in members:
            if member in self._kept:
                self.fresh.end([member], self._kept.pop(member))
        self._new |= set(members)

    def open(self, members: Sequence[int], streams: Sequence[tuple[int, int]]) -> Opened:
        """Take up the members' own where they were left.

        Raises:
            ValueError: If they are not alive any more.
        """
        lost = [member for member in members if member not in self._kept and member not in self._new]
        if lost:
            raise ValueError(
                f"train_window: expected living inner environments (inner_envs='carry'), but those of member {lost[0]} "
                "ended with close(), or with a window that broke off. Begin a new lifetime: reset()."
            )
        parts = [
            self.fresh.open([member], [(seed, 0)]) if member in self._new else self._kept.pop(member)
            for member, (seed, _) in zip(members, streams, strict=True)
        ]
        self._new -= set(members)
        return Together([envs for envs, _ in parts]), EpisodeCounter.going_on([counter for _, counter in parts])

    def end(self, members: Sequence[int], opened: Opened) -> None:
        """Keep them alive."""
        envs, counter = opened
        assert isinstance(envs, Together), "what `open` gave"
        self._kept |= dict(zip(members, zip(envs.parts, counter.split(), strict=True), strict=True))

    def close(self) -> None:
        """End them all."""
        for envs, _ in self._kept.values():
            envs.close()
        self._kept.clear()
        self._new.clear()


class Together(InnerEnvs):
    """Inner environments that were opened apart, stepped as one.

    Args:
        parts: In order.
    """

    def __init__(self, parts: Sequence[InnerEnvs]) -> None:
        self.parts = parts
        self.num_envs = sum(part.num_envs for part in parts)
        self.inputs, self.action_count = parts[0].inputs, parts[0].action_count
        self._ends = np.cumsum([part.num_envs for part in parts])[:-1]

    def reset(self) -> Observations:
        """Start all episodes."""
        return np.concatenate([part.reset() for part in self.parts])

    def begin(self) -> Observations:
        """Give what was seen last, or what a reset gives, part by part."""
        return np.concatenate([part.begin() for part in self.parts])

    def send(self, actions: NDArray[np.int64]) -> None:
        """Begin a step in every environment."""
        for part, own in zip(self.parts, np.split(actions, self._ends), strict=True):
            part.send(own)

    def receive(self) -> Step:
        """End the step that was begun."""
        steps = [part.receive() for part in self.parts]
        names = ("observation", "reward", "terminated", "truncated")
        return Step(*(np.concatenate([getattr(step, name) for step in steps]) for name in names))

    def close(self) -> None:
        """Close all parts."""
        for part in self.parts:
            part.close()
