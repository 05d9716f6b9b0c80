"""Recorded windows instead of training: lifetimes on a table, the twin of `transfer="own"` and of `"fresh"`.

`own`: a repeat visit continues that architecture's recorded curve. Which of the search seeds the curve of an
architecture is of is drawn per lifetime and architecture, so that there are more lifetimes than seeds. Beyond the end
of its record an architecture is known no further: visits repeat its last window, and cost as many steps as that did.

A lifetime that was recorded is met whole by its seed, `reset(options={"lifetime_seed": card.seeds[0]})`: all of its
curves. The live environment lives it with the settings of the record, `gymnasium.make("ArchSearch-DQN-v0",
**card.settings)`, and gets the same windows as long as no architecture is visited more often than was recorded.

`fresh`: every visit is a draw of the first window. Networks were trained there by the schedule of the whole record
(`horizon`), of which the first window is nearly all exploration: it tells architectures apart hardly at all (README). A
live lifetime with `fresh` lays its schedule out for one window unless it is given that `horizon`, and is another thing.

Several recorded windows in a row may be one (`window_steps`, `Table.merged`). With all of them `fresh` is the protocol
of NAS-Bench: every visit draws a whole training of that architecture, from one of the search seeds, and its reward is
the area under the learning curve.

Where the table holds a sample of its space, an architecture off the table stands for the nearest one that is recorded
(`Table.nearest`); `info["architecture"]` names it. With constraints, only what fulfils them is looked up.
"""

import time
import warnings
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from archgym import table as tables
from archgym import table_card
from archgym.evaluator import State
from archgym.problem import Problem
from archgym.rewards import REWARD_LIMITS, limited, price
from archgym.search_space import Architecture
from archgym.seeding import Consumer, words
from archgym.window import WindowResult

if TYPE_CHECKING:
    from torch import Tensor

LOOKED_UP = {  # what a window is, by transfer, for pages
    "own": "where every architecture has a curve of its own, which goes on when the architecture comes back",
    "fresh": "of which every visit draws a first window",
}
CURVES = 3  # key of a lifetime's draws below its seed; 0 to 2 are the builder's


@dataclass
class Life:
    """One member.

    Attributes:
        seed: Which curves it meets derives from it.
        curves: Search seeds of the curves: of every architecture with `own`, of every window with `fresh`.
        windows: Windows done.
        last: Row of the architecture before.
        last_return: Normalised return of the window before.
        visits: Windows of every architecture, by row.
    """

    seed: int
    curves: list[int] = field(default_factory=list)
    windows: int = 0
    last: int | None = None
    last_return: float = 0.0
    visits: dict[int, int] = field(default_factory=dict)


class Tabular:
    """K lifetimes on a recorded table; an `archgym.evaluator.Evaluator`.

    Args:
        problem: What is searched; `Settings.table` names the table.
        members: K.

    Raises:
        ValueError: If the table is not there or damaged, or holds no architecture that the constraints allow.
    """

    def __init__(self, problem: Problem, members: int) -> None:
        settings = problem.settings
        self.problem, self.members = problem, members
        recorded = tables.load(table_card.find(settings.table, asdict(settings)))
        several = problem.window_steps // recorded.problem.window_steps
        self.table = recorded.merged(several) if several > 1 else recorded
        self.learner = f"table {self.table.card.checksum[:12]}"  # another table gives other numbers
        space, rows = problem.space, range(len(self.table.architectures))
        self.rows = [row for row in rows if all(c.allows(self.table.architectures[row]) for c in space.constraints)]
        if not self.rows:
            raise ValueError(f"table: expected a recorded architecture that has {space.constraints[0].sentence}.")
        if settings.transfer == "own" and settings.windows > self.table.windows:
            warnings.warn(
                f"windows={settings.windows} is more than the {self.table.windows} that the table holds of an "
                "architecture: one that is visited more often is trained no further, and repeats its last window.",
                stacklevel=5,
            )
        self.own = settings.transfer == "own"
        if not self.own and problem.horizon > problem.window_steps:
            warnings.warn(
                f"transfer='fresh' on a table: every window is the first of {self.table.windows} recorded ones, on "
                f"their schedule of {problem.horizon:,} steps (horizon); a live window of {problem.window_steps:,} has "
                "a schedule of its own.",
                stacklevel=5,
            )
        self.drawn = len(self.table.architectures) if self.own else settings.windows  # curves of a lifetime
        card = self.table.card
        self._places = {seed: place for place, seed in enumerate(card.seeds[: card.search_seeds])}
        self.lives: list[Life] = []
        self._seconds = {"score": 0.0}
        self._row_of: dict[bytes, int] = {}
        # By row, curve, window and whether another row came before: the window, and its normalised return, limited.
        self._recorded: dict[tuple[int, int, int, bool], tuple[WindowResult, float]] = {}

    trains = False

    @property
    def timings(self) -> dict[str, float]:
        """Seconds spent since construction, by phase."""
        return dict(self._seconds)

    def check_seeds(self, seeds: Sequence[int]) -> None:
        """Refuse seeds of lifetimes that are not recorded for searches.

        Raises:
            ValueError: If one is not; and any with `fresh`, whose live lifetimes are not those of the record.
        """
        for seed in seeds:
            if not self.own:
                raise ValueError(
                    f"lifetime_seed: expected none with transfer='fresh' on a table, where every visit draws the first "
                    f"window of another recorded lifetime; got {seed}."
                )
            if seed not in self._places:
                known = ", ".join(map(str, self._places))
                test = ", which is one of its test seeds: no search sees these" * (seed in self.table.card.seeds)
                raise ValueError(f"lifetime_seed: expected a search seed of the table ({known}), got {seed}{test}.")

    def reset(self, seeds: Sequence[int], members: Sequence[int] | None = None) -> None:
        """Begin new lifetimes, one seed each; None: of all members."""
        self.lives = self.lives or [Life(0) for _ in range(self.members)]
        chosen = range(self.members) if members is None else members
        for member, seed, curves in zip(chosen, seeds, self.draw(seeds).tolist(), strict=True):
            self.lives[member] = Life(int(seed), curves)

    def draw(self, seeds: Sequence[int]) -> NDArray[np.int64]:
        """Draw the curves that lifetimes meet: search seeds, one per architecture (`fresh`: per window), (seeds, n).

        A lifetime whose seed is recorded meets that seed's curves, as it does where it is lived. Those that
        environments draw, of 2**63, are not.
        """
        curves = words(seeds, Consumer.TABLE, CURVES, count=self.drawn).astype(np.int64)
        curves *= self.table.card.search_seeds
        curves >>= 32
        if self.own and not self._places.keys().isdisjoint(seeds):
            for number, seed in enumerate(seeds):
                curves[number] = self._places.get(seed, curves[number])
        return curves

    def train_window(
        self, architectures: NDArray[np.int64], members: Sequence[int] | None = None
    ) -> list[WindowResult]:
        """Look up one canonical architecture per member, (M, choices)."""
        clock = time.perf_counter()
        chosen = range(self.members) if members is None else members
        results = [self._window(member, self.row(own)) for member, own in zip(chosen, architectures, strict=True)]
        self._seconds["score"] += time.perf_counter() - clock
        return results

    def row(self, architecture: Architecture) -> int:
        """Find the row of a canonical architecture, or of the nearest one that is recorded and allowed."""
        key = architecture.tobytes()
        if key not in self._row_of:
            self._row_of[key] = self.table.nearest(architecture, self.rows)
        return self._row_of[key]

    @cached_property
    def prices(self) -> list[float]:
        """What every architecture costs a window, by row (`archgym.rewards.price`)."""
        if not self.problem.settings.cost_weight:
            return [0.0] * len(self.table.architectures)
        return [price(self.problem, self.problem.space.network_of(one)) for one in self.table.architectures]

    def _window(self, member: int, row: int) -> WindowResult:
        life = self.lives[member]
        visits = life.visits.get(row, 0)
        if self.own:
            curve, window = life.curves[row], min(visits, self.table.windows - 1)
        else:
            curve, window = life.curves[life.windows], 0
        key = row, curve, window, life.last is not None and life.last != row
        known = self._recorded.get(key)
        if known is None:
            known = self._recorded[key] = self.read(*key)
        result, value = known
        if self.problem.settings.reward == "improvement" and not result.diverged:
            result = replace(result, reward=limited(value - life.last_return - self.prices[row]))
        if not result.diverged:
            life.last = row
        life.last_return = value
        life.windows += 1
        life.visits[row] = visits + 1
        return result

    def read(self, row: int, curve: int, window: int, switched: bool) -> tuple[WindowResult, float]:
        """Read a window (its reward is that of `reward="return"`), and its normalised return, limited."""
        column = {name: values[row, curve, window].item() for name, values in self.table.columns.items()}
        del column["seconds"]
        normalised, diverged = self.problem.normalise(column["raw_return"]), column["diverged"]
        value = REWARD_LIMITS[0] if diverged else limited(normalised)
        result = WindowResult(
            action=self.table.architectures[row].tolist(),
            reward=value if diverged else limited(value - self.prices[row]),
            normalised_return=normalised,
            parameters=int(self.table.sizes[row, 0]),
            flops=int(self.table.sizes[row, 1]),
            switched=switched,
            from_table=True,
            **column,
        )
        return result, value

    def evaluate(
        self, architectures: NDArray[np.int64], members: Sequence[int], episodes: int | Sequence[int]
    ) -> tuple[NDArray[np.float64], list[int]]:
        """Look up the greedy episodes of architectures (N, choices) at the last age at which they were played.

        Raises:
            ValueError: If other numbers of episodes are asked for than were played, or about an architecture that is
                too young in this lifetime, or none were played at the end of a window.
        """
        card, counts = self.table.card, np.broadcast_to(episodes, len(members)).tolist()
        if not card.ages:
            raise ValueError(
                "evaluate: expected a table with greedy episodes at the end of one of its windows; none was played at "
                f"a multiple of window_steps={self.problem.window_steps:,}."
            )
        if set(counts) - {card.episodes}:
            raise ValueError(f"episodes: expected {card.episodes}, as the table was recorded, got {counts[0]}.")
        returns = []
        for member, architecture in zip(members, architectures, strict=True):
            life, row = self.lives[member], self.row(architecture)
            age = 0 if self.problem.settings.transfer == "fresh" else life.visits.get(row, 0)
            played = [place for place, window in enumerate(card.ages) if window <= age]
            if not played:
                raise ValueError(
                    f"evaluate: expected an architecture that was trained for {card.ages[0]} windows or more, when "
                    f"greedy episodes were recorded first; {self.problem.space.label(architecture)!r} has had {age}."
                )
            returns.append(self.table.evaluations[row, life.curves[row], played[-1]])
        return np.array(returns), [count * self.problem.task.episode_limit for count in counts]

    def best(self) -> Architecture:
        """Give the best architecture that is recorded and allowed, by the area under its curve on the test seeds."""
        return np.array(self.table.architectures[self.rows[int(self._truth.argmax())]])

    def regret(self, architecture: Architecture) -> float:
        """Give the distance of a canonical architecture (or of the nearest recorded one) to the best one."""
        return float(self._truth.max() - self._truth[self.rows.index(self.row(architecture))])

    @cached_property
    def _truth(self) -> NDArray[np.float64]:
        """Normalised areas on the test seeds of the architectures that are allowed, on the scale of the problem."""
        own = self.table.columns["raw_return"][self.rows, self.table.card.search_seeds :].mean((1, 2))
        return np.array([self.problem.normalise(value) for value in own.tolist()])

    def fork(self, source: int, target: int, architecture: Architecture | None = None) -> None:
        """Make a member a copy of another, or give it another's learner of one architecture: its curve and its age.

        Raises:
            ValueError: If the source has not trained that architecture.
        """
        if architecture is None:
            self.lives[target] = deepcopy(self.lives[source])
            return
        row, own = self.row(architecture), self.lives[source]
        if row not in own.visits:
            label = self.problem.space.label(architecture)
            raise ValueError(f"fork: expected an architecture that member {source} has trained, got {label!r}.")
        self.lives[target].visits[row] = own.visits[row]
        self.lives[target].curves[row] = own.curves[row]

    def weights(self, member: int, architecture: Architecture) -> "dict[str, Tensor]":
        """Refuse: nothing is trained."""
        raise ValueError("weights: expected an environment that trains networks, got a recorded table.")

    def close(self) -> None:
        """Do nothing: nothing is held."""

    def get_state(self) -> State:
        """Copy out everything that the future depends on."""
        return State({"lives": [asdict(life) for life in self.lives]}, {})

    def set_state(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: If it has another number of members, or comes from elsewhere.
        """
        lives = state.meta.get("lives", [])
        if len(lives) != self.members or any("curves" not in life for life in lives):
            raise ValueError(f"state: expected {self.members} members on a recorded table, got another state.")
        self.lives = [Life(**deepcopy(life)) for life in lives]
        for life in self.lives:  # JSON knows no numbers as names
            life.visits = {int(row): count for row, count in life.visits.items()}
