"""What stands behind a view: K lifetimes in which architectures are scored, whatever it is that scores them.

Training does (`archgym.population`), and so do a planted landscape (`archgym.synthetic`) and a recorded table
(`archgym.tabular`); the journal wraps any of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from archgym.problem import Problem
from archgym.search_space import Architecture
from archgym.window import WindowResult

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class State:
    """Everything that the future of an evaluator depends on; `meta` is JSON, `arrays` go to safetensors."""

    meta: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


class Evaluator(Protocol):
    """K lifetimes side by side; made from the problem and K. There is no Gymnasium in it."""

    problem: Problem
    members: int
    trains: bool
    """Whether there are networks with weights; where not, the best architecture is known."""
    learner: str
    """What computes the numbers; those of another may differ in their last bits, and training makes much of these."""

    @property
    def timings(self) -> dict[str, float]:
        """Seconds spent since construction, by phase."""

    def check_seeds(self, seeds: Sequence[int]) -> None:
        """Refuse seeds of lifetimes, given by somebody and not drawn, that cannot be lived here: a `ValueError`."""

    def reset(self, seeds: Sequence[int], members: Sequence[int] | None = None) -> None:
        """Begin new lifetimes, one seed each; None: of all members."""

    def train_window(
        self, architectures: NDArray[np.int64], members: Sequence[int] | None = None
    ) -> list[WindowResult]:
        """Score one canonical architecture per member, (M, choices), by one window."""

    def evaluate(
        self, architectures: NDArray[np.int64], members: Sequence[int], episodes: int | Sequence[int]
    ) -> tuple[NDArray[np.float64], list[int]]:
        """Score architectures (N, choices) as they are now, by so many episodes of each, one number or (N,).

        Gives raw returns (N,) and the inner steps that each took: its episodes times the task's limit.
        """

    def fork(self, source: int, target: int, architecture: Architecture | None = None) -> None:
        """Make a member a copy of another; with an architecture only the learner that is its own (transfer `own`).

        A `ValueError` if the source has no such learner.
        """

    def weights(self, member: int, architecture: Architecture) -> "dict[str, Tensor]":
        """Copy a member's present weights of an architecture out; a `ValueError` where nothing is trained."""

    def best(self) -> Architecture:
        """Give the best architecture there is; a `ValueError` where networks are trained and nobody knows."""

    def regret(self, architecture: Architecture) -> float:
        """Give the normalised distance to the best one; a `ValueError` where networks are trained."""

    def get_state(self) -> State:
        """Copy out everything that the future depends on."""

    def set_state(self, state: State) -> None:
        """Go on from a state."""

    def close(self) -> None:
        """Give back what is held between windows; weights can still be asked for."""
