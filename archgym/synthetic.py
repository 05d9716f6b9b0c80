"""A planted landscape instead of training: what agents are tested on, and what the meta-environment costs by itself.

A window's return is the architecture's value (`archgym.landscape`) on the scale of the task (0 random policy, 1
reference), plus noise. Nothing is trained: steps are counted as if it were; `transfer` only says whose age `rise` and
`drift` go by.
"""

import math
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from archgym.evaluator import State
from archgym.landscape import PRESETS, Config, Landscape
from archgym.problem import Problem, trainer_config
from archgym.rewards import limited, reward
from archgym.search_space import Architecture
from archgym.seeding import Consumer, generator
from archgym.window import WindowResult

if TYPE_CHECKING:
    from torch import Tensor

ENUMERATED = 100_000  # architectures up to which the optimum of a drifting landscape is looked for


@dataclass
class Life:
    """One member.

    Attributes:
        seed: The noise derives from it.
        windows: Windows done.
        last: Label of the architecture before.
        last_return: Normalised return of the window before.
        visits: Windows of every architecture, by label.
    """

    seed: int
    windows: int = 0
    last: str | None = None
    last_return: float = 0.0
    visits: dict[str, int] = field(default_factory=dict)


class Synthetic:
    """K lifetimes on a planted landscape; an `archgym.evaluator.Evaluator`.

    Args:
        problem: What is searched.
        members: K.

    Raises:
        ValueError: If a setting of the landscape is wrong.
    """

    def __init__(self, problem: Problem, members: int) -> None:
        self.problem, self.members = problem, members
        self.config: Config = trainer_config(PRESETS, problem)
        self.landscapes = [Landscape(problem.space, self.config, number, problem.task.id) for number in range(2)]
        self.lives: list[Life] = []
        self._seconds = {"score": 0.0}

    trains = False
    learner = "planted"

    @property
    def timings(self) -> dict[str, float]:
        """Seconds spent since construction, by phase."""
        return dict(self._seconds)

    def check_seeds(self, seeds: Sequence[int]) -> None:
        """Refuse none: every seed has a lifetime."""

    def reset(self, seeds: Sequence[int], members: Sequence[int] | None = None) -> None:
        """Begin new lifetimes, one seed each; None: of all members."""
        if not self.lives:
            self.lives = [Life(0) for _ in range(self.members)]
        for member, seed in zip(range(self.members) if members is None else members, seeds, strict=True):
            self.lives[member] = Life(int(seed))

    def train_window(
        self, architectures: NDArray[np.int64], members: Sequence[int] | None = None
    ) -> list[WindowResult]:
        """Look up one canonical architecture per member, (M, choices)."""
        clock = time.perf_counter()
        chosen = range(self.members) if members is None else members
        results = [self._window(member, own) for member, own in zip(chosen, architectures, strict=True)]
        self._seconds["score"] += time.perf_counter() - clock
        return results

    def evaluate(
        self, architectures: NDArray[np.int64], members: Sequence[int], episodes: int | Sequence[int]
    ) -> tuple[NDArray[np.float64], list[int]]:
        """Look architectures (N, choices) up without a window; the noise is that of a mean of so many returns.

        Returns:
            Raw returns (N,), and the inner steps that it would have taken.
        """
        returns, counts = [], np.broadcast_to(episodes, len(members)).tolist()
        for member, architecture, count in zip(members, architectures, counts, strict=True):
            life, label = self.lives[member], self.problem.space.label(architecture)
            key = (life.windows, self.landscapes[0].key[1], *architecture.tolist())
            noise = generator(life.seed, Consumer.EVALUATION, *key).normal() * self.config.noise / math.sqrt(count)
            returns.append(self._raw(self.value(architecture, self._age(life, label)) + noise))
        return np.array(returns), [count * self.problem.task.episode_limit for count in counts]

    def value(self, architecture: Architecture, age: float = 1.0) -> float:
        """Give the expected normalised return of a canonical architecture, at an age from 0 to 1 (a whole lifetime)."""
        key = tuple(architecture.tolist())
        share = self.config.drift * age
        value = (1 - share) * self.landscapes[0].value(key)
        if share:
            value += share * self.landscapes[1].value(key)
        return value * (1 - self.config.rise * (1 - age))

    def best(self) -> Architecture:
        """Give the architecture with the highest value at the end of a lifetime.

        Raises:
            ValueError: If the landscape drifts and the space is too large to look through.
        """
        return self._best.copy()

    @cached_property
    def _best(self) -> Architecture:
        if not self.config.drift:
            return self.landscapes[0].optimum
        if math.prod(self.problem.space.counts) > ENUMERATED:
            raise ValueError(
                f"best: expected a space of at most {ENUMERATED:,} option vectors for a drifting landscape, "
                f"got {math.prod(self.problem.space.counts):,}."
            )
        return max(self.problem.space.enumerate(), key=self.value)

    def regret(self, architecture: Architecture) -> float:
        """Give the distance of a canonical architecture to the best one at the end of a lifetime, normalised."""
        return self.value(self._best) - self.value(architecture)

    def fork(self, source: int, target: int, architecture: Architecture | None = None) -> None:
        """Make a member a copy of another, or give it the age of another's learner of one architecture.

        Raises:
            ValueError: If the source has not trained that architecture.
        """
        if architecture is None:
            self.lives[target] = deepcopy(self.lives[source])
            return
        label = self.problem.space.label(architecture)
        if label not in self.lives[source].visits:
            raise ValueError(f"fork: expected an architecture that member {source} has trained, got {label!r}.")
        self.lives[target].visits[label] = self.lives[source].visits[label]

    def weights(self, member: int, architecture: Architecture) -> "dict[str, Tensor]":
        """Refuse: nothing is trained."""
        raise ValueError("weights: expected an environment that trains networks, got a planted landscape.")

    def close(self) -> None:
        """Do nothing: nothing is held."""

    def get_state(self) -> State:
        """Copy out everything that the future depends on."""
        return State({"lives": [asdict(life) for life in self.lives]}, {})

    def set_state(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: If it has another number of members, or comes from training.
        """
        lives = state.meta.get("lives", [])
        if any("curves" in life for life in lives):
            raise ValueError("state: expected one of a planted landscape, got one of a recorded table.")
        if len(lives) != self.members:
            raise ValueError(f"state: expected {self.members} members of a planted landscape, got {len(lives)}.")
        self.lives = [Life(**deepcopy(life)) for life in lives]

    def _window(self, member: int, architecture: Architecture) -> WindowResult:
        problem, life = self.problem, self.lives[member]
        space, steps = problem.space, problem.window_steps
        label, network = space.label(architecture), space.network_of(architecture)
        if problem.settings.reward == "evaluation":
            returns, extra = self.evaluate(architecture[None], [member], problem.settings.evaluation_episodes)
            raw, steps = float(returns[0]), steps + extra[0]
        else:
            key = (life.windows, self.landscapes[0].key[1], *architecture.tolist())
            noise = generator(life.seed, Consumer.NOISE, *key).normal() * self.config.noise
            raw = self._raw(self.value(architecture, self._age(life, label)) + noise)
        normalised = problem.normalise(raw)
        earned = reward(problem, network, normalised, life.last_return)
        switched = life.last not in (None, label)
        life.windows, life.last, life.last_return = life.windows + 1, label, limited(normalised)
        life.visits[label] = life.visits.get(label, 0) + 1
        return WindowResult(
            action=architecture.tolist(),
            reward=earned,
            raw_return=raw,
            normalised_return=normalised,
            episodes=0,
            cut_share=0.0,
            env_steps=steps,
            gradient_steps=0,
            parameters=network.parameters(problem.inputs, problem.outputs),
            flops=network.flops(problem.inputs, problem.outputs),
            diverged=False,
            loss=0.0,
            value=0.0,
            epsilon=0.0,
            replay_fill=0.0,
            switched=switched,
        )

    def _age(self, life: Life, label: str) -> float:
        """Give the age, from 0 to 1, of the learner that a window would train.

        It is the lifetime's, or with `own` the architecture's; with `fresh` every window is a whole life.
        """
        transfer, windows = self.problem.settings.transfer, self.problem.settings.windows
        if transfer == "fresh":
            return 1.0
        done = life.visits.get(label, 0) if transfer == "own" else life.windows
        return min(1.0, done / max(1, windows - 1))

    def _raw(self, value: float) -> float:
        problem = self.problem
        return problem.random_return + value * (problem.reference_return - problem.random_return)
