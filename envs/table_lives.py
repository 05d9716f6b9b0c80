"""Lifetimes on a recorded table, lived by the compiled kernel: what `Lives` does, in microseconds for one and for all.

`archgym.envs.core.Lives` is the reference, which this equals bit for bit, and what is taken where the kernel was not
built, or where a journal records every call. Whatever is asked for besides steps and resets (states, forks,
evaluations, pictures) is answered by the reference, which lives the same windows once it is needed.
"""

import ctypes
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from archgym import memory
from archgym.envs import core, table_kernel
from archgym.envs.lifetimes import ALONE, Lifetime, tell
from archgym.evaluator import State
from archgym.rewards import REWARD_LIMITS
from archgym.search_space import array_of
from archgym.tabular import Tabular
from archgym.window import WindowResult

CODES = 2**22  # option vectors up to which each has its place in an array
REMEMBERED = 100_000  # infos of windows that are kept for a single environment
CONNECTED = (
    "_step",
    "_structure",
    "_constant",
    "_handles",
    "_done",
    "_where",
    "_switched",
    "_earned",
)  # attributes of `_connect`
# Of the infos, in order.
NAMES = ("architecture", *(name for name in WindowResult.__dataclass_fields__ if name not in ("action", "reward")))


def open_lives(members: int, keywords: Mapping[str, Any], check: core.Check = core.unchecked) -> core.Lives:
    """Open K lifetimes, compiled where they can be: on a table, without a journal; arguments of `core.Lives`."""
    plain = not keywords.get("table") or core.is_recorded(keywords.get("journal"))
    kind = core.Lives if plain or table_kernel.library() is None else TableLives
    return kind(members, keywords, check)


class TableLives(core.Lives):
    """K lifetimes on a recorded table; arguments and answers of `core.Lives`."""

    evaluator: Tabular

    def __init__(self, members: int, keywords: Mapping[str, Any], check: core.Check = core.unchecked) -> None:
        self._own: list[Lifetime] = []
        super().__init__(members, keywords, check)
        self._record = Record(self.evaluator)
        self._stale = np.zeros(self.members, dtype=bool)
        self._seeds = np.zeros(self.members, dtype=np.uint64)  # of lifetimes; stale: that the reference has not begun
        self._start = Lifetime(self.problem).observation()
        self._infos: dict[tuple[int, bool], dict[str, Any]] = {}
        windows, table = self.problem.settings.windows, self.evaluator.table
        drawn = self.evaluator.drawn
        options, choices = len(self._record.codes[0]), len(self.problem.space.choices)
        whole, real = np.int64, np.float64
        shapes: dict[str, tuple[tuple[int, ...], type]] = {  # as archgym/native/lives.cpp has them, for every member
            **dict.fromkeys(("done", "last", "chosen", "where"), ((), whole)),
            **dict.fromkeys(("before", "best", "since", "earned"), ((), real)),
            "curves": ((drawn,), whole),
            "visits": ((len(table.architectures),), whole),
            "history": ((windows,), whole),
            "rewards": ((windows,), real),
            "sums": ((windows + 1,), real),
            **dict.fromkeys(("shares", "settled"), ((options,), real)),
            "seen": ((len(self._start),), np.float32),
            "actions": ((choices,), whole),
            "switched": ((), np.bool_),
        }
        with memory.enough(ValueError, windows=windows, num_envs=self.members):
            self._arrays: dict[str, NDArray[Any]] = {
                name: np.zeros((self.members, *shape), kind) for name, (shape, kind) in shapes.items()
            }
        self._arrays["totals"] = np.zeros(options)
        self._windows = windows
        self._connect()

    def _connect(self) -> None:
        """Hand the arrays over to the kernel."""
        loaded = table_kernel.library()
        assert loaded is not None, "asked for only where it was built"
        numbers = {"windows": self._windows, "drawn": self.evaluator.drawn}
        self._step = loaded.lives_step
        self._structure = table_kernel.hand_over(table_kernel.LIVES, numbers, self._arrays)
        # Python's numbers straight from the arrays, for a single environment.
        self._done, self._where, self._switched, self._earned = (
            memoryview(self._arrays[name].data) for name in ("done", "where", "switched", "earned")
        )
        self._constant = self._record.hand_over()
        self._handles = table_kernel.address(self._constant), table_kernel.address(self._structure)

    def __getstate__(self) -> dict[str, Any]:
        """Give what a copy is made of; what points into the arrays is made anew."""
        return {name: value for name, value in vars(self).items() if name not in CONNECTED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Become a copy."""
        vars(self).update(state)
        self._connect()

    @property
    def lifetimes(self) -> list[Lifetime]:
        """What every lifetime has seen, as the reference has it."""
        self._catch_up()
        return self._own

    @lifetimes.setter
    def lifetimes(self, lifetimes: list[Lifetime]) -> None:
        self._own = lifetimes

    @property
    def over(self) -> NDArray[np.bool_]:
        """Which lifetimes have had all their windows, (K,)."""
        return np.asarray(self._arrays["done"] >= self._windows)

    def reset(self, seeds: Sequence[int], members: Sequence[int]) -> None:
        """Begin new lifetimes."""
        everyone = len(members) == self.members
        chosen = slice(None) if everyone else np.array(members, dtype=np.int64)
        arrays = self._arrays
        arrays["curves"][chosen] = self.evaluator.draw(seeds)
        for name in ("done", "before", "visits", "shares", "settled"):
            arrays[name][chosen] = 0
        arrays["last"][chosen], arrays["since"][chosen], arrays["best"][chosen] = -1, -1, -math.inf
        arrays["seen"][chosen] = self._start
        self._seeds[chosen] = seeds
        self._stale[chosen] = True
        self.begun[chosen] = True
        self.ready = self.ready or bool(self.begun.all())
        if everyone:
            self.evaluations.begin()

    def live(self, action: ArrayLike) -> tuple[float, bool, dict[str, Any]]:
        """Look up one window of the only member; its reward, whether it was the last, and its info."""
        self._look_up(array_of("action", action)[None], None, 1)
        where, switched = self._where[0], bool(self._switched[0])
        info = self._infos.get((where, switched))
        if info is None:
            if len(self._infos) >= REMEMBERED:
                self._infos.clear()
            row, curve, window = self._record.place(where)
            result = self.evaluator.read(row, curve, window, switched)[0]
            info = self._infos[where, switched] = {"architecture": self._record.labels[row], **tell(result)}
        return float(self._earned[0]), self.ended(0), info.copy()

    def step(
        self, actions: Iterable[ArrayLike], members: Sequence[int]
    ) -> tuple[NDArray[np.float64], dict[str, NDArray[Any]]]:
        """Look up one window of each of these members; rewards and infos of all, as `core.Lives` gives them."""
        if not self.ready:
            self.need(range(self.members))
        count = len(members)
        everyone = members is self.everyone or list(members) == self.everyone
        chosen = None if everyone else np.array(members, dtype=np.int64)
        self._look_up(array_of("actions", actions), chosen, count)
        rows, places = self._arrays["chosen"][:count], self._arrays["where"][:count]
        told = {"architecture": self._record.labels.take(rows), **self._record.tell(places)}
        told["switched"] = self._arrays["switched"][:count].copy()
        rewards = self._arrays["earned"][:count].copy()
        masks = np.zeros((len(NAMES), self.members), dtype=np.bool_)
        masks[:, slice(None) if chosen is None else chosen] = True
        infos: dict[str, NDArray[Any]] = {}
        for name, mask in zip(NAMES, masks, strict=True):
            infos[name], infos[f"_{name}"] = self._spread(told[name], chosen), mask
        return self._spread(rewards, chosen), infos

    def observation(self, member: int) -> NDArray[np.float32]:
        """Write what a member has seen as numbers."""
        return np.array(self._arrays["seen"][member])

    def observations(self) -> NDArray[np.float32]:
        """Write what every member has seen as numbers, (K, observation size)."""
        return self._arrays["seen"].copy()

    def ended(self, member: int) -> bool:
        """Tell whether a lifetime has had all its windows."""
        return self._done[member] >= self._windows

    def evaluate(self, architectures: ArrayLike, episodes: int, members: Sequence[int]) -> NDArray[np.float64]:
        """Do `core.Lives.evaluate`."""
        self._catch_up()
        return super().evaluate(architectures, episodes, members)

    def evaluate_rest(self, architectures: ArrayLike) -> NDArray[np.float64]:
        """Do `core.Lives.evaluate_rest`."""
        self._catch_up()
        return super().evaluate_rest(architectures)

    def fork(self, source: int, target: int, architecture: ArrayLike | None = None) -> None:
        """Do `core.Lives.fork`."""
        self._catch_up()
        super().fork(source, target, architecture)
        self._take_over([target])

    def get_state(self, generators: Sequence[np.random.Generator]) -> State:
        """Do `core.Lives.get_state`."""
        self._catch_up()
        return super().get_state(generators)

    def set_state(self, state: State, generators: Sequence[np.random.Generator]) -> None:
        """Do `core.Lives.set_state`."""
        super().set_state(state, generators)
        self._take_over(self.everyone)

    def _look_up(self, actions: NDArray[Any], members: NDArray[np.int64] | None, count: int) -> None:
        """Check architectures (M, choices) and live a window of each; raises as `SearchSpace.canonical`."""
        arrays, known, canonical = self._arrays, self._record.row_of, self.problem.space.canonical
        asked, given = arrays["actions"], actions
        if not known.size or given.shape != (count, asked.shape[1]) or given.dtype.kind not in "iu":
            given = np.array([canonical(one) for one in actions])
        asked[:count] = given
        if not known.size:
            arrays["chosen"][:count] = [self.evaluator.row(one) for one in given]
        place = None if members is None else members.ctypes.data
        while (unknown := self._step(*self._handles, place, count)) >= 0:  # not met before, or no architecture
            row = self.evaluator.row(canonical(given[unknown]))
            known[self._record.code(given[unknown])] = row

    def _spread(self, column: NDArray[Any], chosen: NDArray[np.int64] | None) -> NDArray[Any]:
        """Put a column of some members in its place among all; None, 0 or False for the others."""
        if chosen is None:
            return column
        whole = np.full(self.members, None if column.dtype == object else 0, dtype=column.dtype)
        whole[chosen] = column
        return whole

    def _catch_up(self) -> None:
        """Let the reference live what has been lived since it was asked last."""
        stale = np.flatnonzero(self._stale).tolist()
        if stale:
            self.evaluator.reset(self._seeds[stale].tolist(), stale)
            self._stale[:] = False
        for member in stale:
            self._own[member] = Lifetime(self.problem)
        architectures = self.evaluator.table.architectures
        for member, (life, done) in enumerate(zip(self._own, self._arrays["done"].tolist(), strict=True)):
            for row in self._arrays["history"][member, len(life.history) : done].tolist():
                life.add(self.evaluator.train_window(architectures[row][None], [member])[0])

    def _take_over(self, members: Sequence[int]) -> None:
        """Go on from what the reference has lived."""
        arrays = self._arrays
        for member in members:
            own, life = self.evaluator.lives[member], self._own[member]
            done = len(life.history)
            self._seeds[member], self._stale[member] = own.seed, False
            told: dict[str, Any] = {
                "done": done,
                "last": -1 if own.last is None else own.last,
                "before": own.last_return,
            }
            told |= {"best": life.best, "since": life.since, "curves": own.curves, "visits": 0}
            told |= {"shares": life.visits, "settled": life.settled, "seen": life.observation()}
            for name, value in told.items():
                arrays[name][member] = value
            arrays["visits"][member, list(own.visits)] = list(own.visits.values())
            arrays["history"][member, :done] = [self.evaluator.row(np.array(one.action)) for one in life.history]
            arrays["rewards"][member, :done] = [result.reward for result in life.history]
            arrays["sums"][member, : done + 1] = life.sums


class Record:
    """What is told of every recorded window, in the order of row, search seed and window; N of them.

    Attributes:
        row_of: Row of every option vector, by its code; -1: not met yet. Empty where there are too many.
        codes: Architectures as one-hot numbers, (rows, options).
        labels: Of the architectures, (rows,).
    """

    def __init__(self, evaluator: Tabular) -> None:
        table, problem = evaluator.table, evaluator.problem
        space, self._seeds, self._windows = problem.space, table.card.search_seeds, table.windows
        each = self._seeds * self._windows
        column = {name: values[:, : self._seeds].reshape(-1) for name, values in table.columns.items()}
        low, high = problem.random_return, problem.reference_return
        column["normalised_return"] = (column["raw_return"] - low) / (high - low)
        column["parameters"], column["flops"] = (np.repeat(sizes, each) for sizes in table.sizes.T)
        kinds = {name: item.type for name, item in WindowResult.__dataclass_fields__.items() if name in column}
        self._names = {kind: [name for name in kinds if kinds[name] is kind] for kind in (float, int, bool)}
        self._columns = {kind: np.array([column[n] for n in names], kind) for kind, names in self._names.items()}
        self.labels = np.array([space.label(one) for one in table.architectures], dtype=object)
        self.codes = np.stack([space.encode(one) for one in table.architectures])
        codes = math.prod(space.counts)
        self.row_of = np.full(codes if codes <= CODES else 0, -1, dtype=np.int64)
        self._counts = space.counts
        values = np.clip(column["normalised_return"], *REWARD_LIMITS)
        values[column["diverged"]] = REWARD_LIMITS[0]
        prices = np.array(evaluator.prices)
        rewards = np.clip(values - np.repeat(prices, each), *REWARD_LIMITS)
        rewards[column["diverged"]] = REWARD_LIMITS[0]
        alone = np.empty((len(values), len(ALONE)), dtype=np.float32)
        for place, (name, squash) in enumerate(ALONE):
            plain = squash is float
            alone[:, place] = column[name] if plain else [squash(value) for value in column[name].tolist()]
        self._arrays = {
            "counts": np.array(space.counts),
            "row_of": self.row_of,
            "starts": np.concatenate([[0], np.count_nonzero(self.codes, axis=1).cumsum()]),
            "places": np.nonzero(self.codes)[1].copy(),
            "values": values,
            "rewards": rewards,
            "prices": prices,
            "diverged": column["diverged"],
            "alone": alone,
        }
        sizes = {"choices": len(space.counts), "options": self.codes.shape[1], "rows": len(self.labels)}
        rules = {"own": evaluator.own, "improvement": problem.settings.reward == "improvement"}
        self._numbers = {**sizes, "seeds": self._seeds, "windows": self._windows, **rules}

    def hand_over(self) -> ctypes.Structure:
        """Give it as archgym/native/lives.cpp has it; to be used as long as this is kept."""
        return table_kernel.hand_over(table_kernel.RECORD, self._numbers, self._arrays)

    def code(self, architecture: NDArray[Any]) -> int:
        """Number an option vector."""
        return int(np.ravel_multi_index(architecture.tolist(), self._counts))

    def place(self, where: int) -> tuple[int, int, int]:
        """Give row, search seed and window of a place."""
        row, rest = divmod(where, self._seeds * self._windows)
        return row, *divmod(rest, self._windows)

    def tell(self, places: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Give the infos of windows, but for the architecture and whether it is another."""
        told: dict[str, NDArray[Any]] = {"from_table": np.ones(len(places), dtype=np.bool_)}
        for kind, names in self._names.items():
            told.update(zip(names, self._columns[kind].take(places, axis=1), strict=True))
        return told
