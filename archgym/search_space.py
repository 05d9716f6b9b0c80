"""Search spaces: an ordered list of choices, with constraints; the set of architectures.

An architecture is one option index per choice, an `int64` vector. A choice that does not matter under the earlier
ones (the width of a layer that is not there) is *inactive* and counts as option 0, so that one network has one vector.

By convention the options of a choice that costs anything are listed from the cheapest to the dearest.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from archgym.lookup import unknown
from archgym.observations import VECTORS, Inputs

Option = str | int | bool
Architecture = NDArray[np.int64]  # (number of choices,)
SAMPLE_TRIES = 10_000  # rejections before `sample` falls back on one choice after the other
REMEMBERED = 100_000  # architectures whose check, label and places are kept; beyond that all are forgotten


class Network(Protocol):
    """The plain network of one architecture, described by numbers and names alone (no torch).

    `inputs` are those that the search space takes: numbers in a vector (int), or the shape of an image (`Image`).
    """

    def parameters(self, inputs: Any, outputs: int) -> int:
        """Count the trainable numbers, for such observations and `outputs` actions."""

    def flops(self, inputs: Any, outputs: int) -> int:
        """Count the floating-point operations of the products of one forward pass (2 per multiply-add)."""


@dataclass(frozen=True)
class Choice:
    """One decision with a finite list of options, cheapest first."""

    name: str
    options: tuple[Option, ...]

    def __post_init__(self) -> None:
        """Refuse an empty or repeated list of options, and what `SearchSpace.parse` could not read."""
        if not self.options or len(set(map(str, self.options))) != len(self.options):
            raise ValueError(f"choice {self.name!r}: expected distinct options, got {self.options!r}.")
        for word in (self.name, *map(str, self.options)):
            if not word or set(word) & set(" ,=\t\n"):
                raise ValueError(f"choice {self.name!r}: expected words without spaces, ',' and '=', got {word!r}.")


@dataclass(frozen=True)
class Constraint:
    """A condition that every architecture of a space fulfils.

    Args:
        sentence: What is demanded, as an error prints it ("at most 5000 parameters").
        allows: Whether an architecture fulfils it.
        monotone: Whether a cheaper option never breaks it. Masks then ask about one completion and not about all.
    """

    sentence: str
    allows: Callable[[Architecture], bool]
    monotone: bool = False


def _all_active(options: Mapping[str, Option]) -> frozenset[str]:
    return frozenset()


class _Watched(Mapping[str, Option]):
    """Options by name that keep which ones were looked at, in order."""

    def __init__(self, options: Mapping[str, Option]) -> None:
        self.options = options
        self.looked_at: dict[str, None] = {}

    def __getitem__(self, name: str) -> Option:
        option = self.options[name]
        self.looked_at[name] = None
        return option

    def __iter__(self) -> Iterator[str]:
        return iter(self.options)

    def __len__(self) -> int:
        return len(self.options)


@dataclass(frozen=True)
class SearchSpace:
    """A set of architectures.

    Args:
        name: The name users type.
        choices: The decisions, in the order in which they are taken.
        default: The architecture of the control arm, as options by name.
        network: Builds the plain network's description from options by name.
        supernet: Name of the family in `archgym.supernets` (or a dotted module) that trains these networks; None: there
            is nothing to train, only a planted landscape can score them.
        inactive: Names of the choices that do not matter, given options by name.
        constraints: Conditions on architectures; see `constrained`.
        takes: What its networks read: `vectors`, `images`, or both.
        known: Architectures with a name of their own, as options by name: `parse` reads the name.
        by_hand: What `parse` reads as the network that people have made for such tasks; None: there is none here.
    """

    name: str
    choices: tuple[Choice, ...]
    default: Mapping[str, Option]
    network: Callable[[Mapping[str, Option]], Network]
    supernet: str | None
    inactive: Callable[[Mapping[str, Option]], frozenset[str]] = _all_active
    constraints: tuple[Constraint, ...] = ()
    takes: tuple[str, ...] = (VECTORS,)
    known: Mapping[str, Mapping[str, Option]] = field(default_factory=dict)
    by_hand: str | None = None
    _masks: dict[tuple[int, ...], NDArray[np.int8]] = field(default_factory=dict, init=False, repr=False, compare=False)
    # What was worked out about an architecture: its canonical form, by its bytes; what `told` gives, by its options.
    _canonical: dict[bytes, Architecture] = field(default_factory=dict, init=False, repr=False, compare=False)
    _told: dict[tuple[int, ...], tuple[str, tuple[int, ...]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    # What `inactive` answered, by the options that it looked at: the position of the choice that it looks at next, or
    # the answer. Few choices matter to it, so that it need not be asked about every architecture.
    _activity: dict[tuple[int, ...], int | frozenset[int]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Number of options of each choice."""
        return tuple(len(choice.options) for choice in self.choices)

    @cached_property
    def size(self) -> int:
        """Number of distinct architectures; counted one by one where choices can be inactive or constraints hold."""
        if self.inactive is _all_active and not self.constraints:
            return math.prod(self.counts)
        return sum(1 for _ in self.enumerate())

    @cached_property
    def default_architecture(self) -> Architecture:
        """The control arm's architecture, or a cheaper one that the constraints allow, or else the first of all."""
        architecture = self.encode_options(self.default)
        while self._violated(architecture) is not None:
            smaller = [index for index in range(len(architecture)) if architecture[index] > 0]
            if not smaller:
                for first in self.enumerate():
                    return first
                raise ValueError(f"search space {self.name!r}: no architecture has {self._violated(architecture)}.")
            largest = max(smaller, key=lambda index: (architecture[index] / self.counts[index], -index))
            architecture = architecture.copy()
            architecture[largest] -= 1
        return self.canonical(architecture)

    def constrained(self, *constraints: Constraint) -> "SearchSpace":
        """Return the space of those architectures that also fulfil these constraints."""
        return replace(self, constraints=self.constraints + constraints)

    def canonical(self, architecture: ArrayLike) -> Architecture:
        """Check an architecture and set its inactive choices to option 0.

        Args:
            architecture: One option index per choice; integers of any type.

        Returns:
            A fresh `int64` vector, (number of choices,).

        Raises:
            ValueError: If shape, type or range are wrong, or a constraint is not fulfilled.
        """
        given = array_of("architecture", architecture)
        known = self._canonical.get(given.tobytes()) if given.dtype == np.int64 and given.ndim == 1 else None
        if known is not None:
            return known.copy()
        if given.shape != (len(self.choices),) or given.dtype.kind not in "iu":
            raise ValueError(
                f"architecture of {self.name!r}: expected {len(self.choices)} integers "
                f"({', '.join(choice.name for choice in self.choices)}), got {given.dtype} of shape {given.shape}."
            )
        vector = given.astype(np.int64)
        for choice, index in zip(self.choices, vector.tolist(), strict=True):
            if not 0 <= index < len(choice.options):
                raise ValueError(
                    f"architecture of {self.name!r}: expected {choice.name} from 0 to {len(choice.options) - 1} "
                    f"(options {', '.join(map(str, choice.options))}), got {index}."
                )
        vector[list(self.inactive_positions(vector))] = 0
        violated = self._violated(vector)
        if violated is not None:
            raise ValueError(f"architecture {self.label(vector)!r} of {self.name!r}: expected {violated}.")
        if len(self._canonical) >= REMEMBERED:
            self._canonical.clear()
        self._canonical[given.astype(np.int64).tobytes()] = vector
        return vector.copy()

    def describe(self, architecture: Architecture) -> dict[str, Option]:
        """Give the option values of the active choices by name."""
        inactive = self.inactive_positions(architecture)
        return {
            choice.name: choice.options[index]
            for position, (choice, index) in enumerate(zip(self.choices, architecture.tolist(), strict=True))
            if position not in inactive
        }

    def label(self, architecture: Architecture) -> str:
        """Write an architecture as one readable line; distinct networks have distinct lines."""
        return self.told(architecture.tolist())[0]

    def label_prefix(self, prefix: Sequence[int]) -> str:
        """Write the options of the first choices as one readable line."""
        pairs = zip(self.choices, prefix, strict=False)
        return " ".join(f"{choice.name}={choice.options[index]}" for choice, index in pairs)

    def parse(self, label: str) -> Architecture:
        """Read an architecture from such a line, from the word `default`, or from the name of a known one.

        Raises:
            ValueError: If a choice is missing, unknown, or has no such option, or there is no such name.
        """
        if label.strip() == "default":
            return self.default_architecture
        if label.strip() in self.known:
            return self.canonical(self.encode_options(self.known[label.strip()]))
        if self.known and "=" not in label:
            raise unknown(f"architecture of {self.name!r}", label, ["default", *self.known])
        pairs = [part.partition("=") for part in label.replace(",", " ").split()]
        names = [name for name, _, _ in pairs]
        if len(set(names)) < len(names):
            raise ValueError(f"architecture of {self.name!r}: expected each choice once, got {label!r}.")
        return self.canonical(self.encode_options({name: value for name, _, value in pairs}))

    def encode_options(self, options: Mapping[str, Option]) -> Architecture:
        """Turn options by name into an architecture; a choice left out is option 0, which only inactive ones may be."""
        known = {choice.name: choice for choice in self.choices}
        for name in options:
            if name not in known:
                raise unknown(f"choice of {self.name!r}", name, known)
        vector = np.zeros(len(self.choices), dtype=np.int64)
        for position, choice in enumerate(self.choices):
            if choice.name in options:
                texts = [str(option) for option in choice.options]
                if str(options[choice.name]) not in texts:
                    raise unknown(f"option of {choice.name!r}", options[choice.name], texts)
                vector[position] = texts.index(str(options[choice.name]))
        inactive = self.inactive_positions(vector)
        missing = [
            choice.name
            for position, choice in enumerate(self.choices)
            if choice.name not in options and position not in inactive
        ]
        if missing:
            raise ValueError(f"architecture of {self.name!r}: expected a value of {', '.join(missing)}, got none.")
        return vector

    def network_of(self, architecture: Architecture) -> Network:
        """Describe the plain network of an architecture."""
        return self.network(self.describe(architecture))

    def encode(self, architecture: Architecture) -> NDArray[np.float32]:
        """Write an architecture as one-hot numbers, (sum of `counts`,); an inactive choice is all zeros."""
        numbers = np.zeros(sum(self.counts), dtype=np.float32)
        numbers[list(self.told(architecture.tolist())[1])] = 1.0
        return numbers

    def told(self, indices: Sequence[int]) -> tuple[str, tuple[int, ...]]:
        """Give the label of an architecture, and where `encode` writes its ones."""
        key = tuple(indices)
        known = self._told.get(key)
        if known is None:
            if len(self._told) >= REMEMBERED:
                self._told.clear()
            architecture = np.array(key, dtype=np.int64)
            label = " ".join(f"{name}={value}" for name, value in self.describe(architecture).items())
            inactive, starts = self.inactive_positions(architecture), itertools.accumulate(self.counts, initial=0)
            pairs = enumerate(zip(starts, key, strict=False))
            places = tuple(start + index for position, (start, index) in pairs if position not in inactive)
            known = self._told[key] = label, places
        return known

    def mask(self, prefix: Sequence[int] = ()) -> NDArray[np.int8]:
        """Tell which options of the next choice lead to an architecture.

        Args:
            prefix: Option indices of the choices decided so far.

        Returns:
            A fresh int8 vector, (options of the next choice,): 1 where an architecture starts with the prefix and that
            option. An inactive choice allows option 0 alone.
        """
        if self.inactive is _all_active and not self.constraints:
            return np.ones(self.counts[len(prefix)], dtype=np.int8)
        key = tuple(int(index) for index in prefix)
        if key not in self._masks:
            options = range(self.counts[len(key)])
            self._masks[key] = np.array([self._completable((*key, option)) for option in options], dtype=np.int8)
        return self._masks[key].copy()

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw an architecture uniformly, by rejection.

        Where constraints leave so few that 10,000 draws find none, the choices are drawn one after the other among
        the options that `mask` allows: always an architecture of the space, but no longer uniform.
        """
        for _ in range(SAMPLE_TRIES):
            vector = rng.integers(0, self.counts)
            if not vector[list(self.inactive_positions(vector))].any() and self._violated(vector) is None:
                return vector
        prefix: list[int] = []
        for _ in self.choices:
            allowed = np.flatnonzero(self.mask(prefix))
            if not len(allowed):
                raise ValueError(f"search space {self.name!r}: no architecture fulfils its constraints.")
            prefix.append(int(rng.choice(allowed)))
        return np.array(prefix, dtype=np.int64)

    def enumerate(self, prefix: tuple[int, ...] = ()) -> Iterator[Architecture]:
        """Iterate over all distinct architectures in lexicographic order."""
        if len(prefix) == len(self.choices):
            yield np.array(prefix, dtype=np.int64)
            return
        for option in np.flatnonzero(self.mask(prefix)).tolist():
            yield from self.enumerate((*prefix, option))

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """List the distinct architectures that differ in one choice (and in what it makes active or inactive).

        What becomes active takes every option, so that neighbours of each other are so both ways.
        """
        own = self.canonical(architecture)
        if self.inactive is _all_active:  # the same as below, without looking for what becomes active
            found = []
            for position, option in (
                (p, o) for p, count in enumerate(self.counts) for o in range(count) if o != own[p]
            ):
                other = own.copy()
                other[position] = option
                found += [other] if self._violated(other) is None else []
            return found
        inactive = self.inactive_positions(own)
        active = {position: index for position, index in enumerate(own.tolist()) if position not in inactive}
        return [
            neighbour
            for position in active
            for option in range(self.counts[position])
            if option != active[position]
            for neighbour in self._with({**active, position: option})
        ]

    def _with(self, decided: Mapping[int, int], prefix: tuple[int, ...] = ()) -> Iterator[Architecture]:
        """Iterate over the architectures whose active choices have these options, by position."""
        position = len(prefix)
        cheapest = np.array(prefix + (0,) * (len(self.choices) - position), dtype=np.int64)
        if position == len(self.choices):
            if self._violated(cheapest) is None:
                yield cheapest
        elif position in self.inactive_positions(cheapest):
            yield from self._with(decided, (*prefix, 0))
        else:
            for option in [decided[position]] if position in decided else range(self.counts[position]):
                yield from self._with(decided, (*prefix, option))

    def inactive_positions(self, architecture: Architecture | Sequence[int]) -> frozenset[int]:
        """List the positions of the choices that do not matter under the others."""
        return self._activity_of(architecture)[1]

    def deciding_positions(self, architecture: Architecture | Sequence[int]) -> tuple[int, ...]:
        """List the positions of the choices that settle which ones do not matter; to change another changes nothing."""
        return self._activity_of(architecture)[0]

    def _activity_of(self, architecture: Architecture | Sequence[int]) -> tuple[tuple[int, ...], frozenset[int]]:
        if self.inactive is _all_active:
            return (), frozenset()
        looked: tuple[int, ...] = ()
        deciding: tuple[int, ...] = ()
        while (known := self._activity.get(looked)) is not None:
            if isinstance(known, frozenset):
                return deciding, known
            looked, deciding = (*looked, int(architecture[known])), (*deciding, known)
        indices = [int(index) for index in architecture]
        options = {choice.name: choice.options[index] for choice, index in zip(self.choices, indices, strict=True)}
        watched = _Watched(options)
        names = self.inactive(watched)
        positions = {choice.name: position for position, choice in enumerate(self.choices)}
        looked = ()
        for name in watched.looked_at:
            self._activity[looked] = positions[name]
            looked = (*looked, indices[positions[name]])
        self._activity[looked] = frozenset(position for name, position in positions.items() if name in names)
        return self._activity_of(architecture)

    def is_inactive(self, prefix: Sequence[int]) -> bool:
        """Tell whether the choice after these does not matter."""
        if self.inactive is _all_active:
            return False
        vector = np.array([*prefix, *[0] * (len(self.choices) - len(prefix))], dtype=np.int64)
        return len(prefix) in self.inactive_positions(vector)

    def _violated(self, architecture: Architecture) -> str | None:
        return next((c.sentence for c in self.constraints if not c.allows(architecture)), None)

    def _completable(self, prefix: tuple[int, ...]) -> bool:
        cheapest = np.array(prefix + (0,) * (len(self.choices) - len(prefix)), dtype=np.int64)
        inactive = self.inactive_positions(cheapest)
        if any(prefix[position] for position in inactive if position < len(prefix)):
            return False
        if self._violated(cheapest) is None:
            return True
        if all(constraint.monotone for constraint in self.constraints) or len(prefix) == len(self.choices):
            return False
        return bool(self.mask(prefix).any())


def array_of(name: str, given: object) -> NDArray[Any]:
    """Make an array of what somebody gave.

    Raises:
        ValueError: If it has rows of different lengths.
    """
    try:
        return np.asarray(given)
    except ValueError as error:
        raise ValueError(f"{name}: expected rows of equal length, got rows of different lengths.") from error


def max_params(space: SearchSpace, limit: int, inputs: Inputs, outputs: int) -> Constraint:
    """Build the constraint of at most `limit` trainable parameters on a task of these sizes.

    Raises:
        ValueError: If the limit is below the smallest network of the space.
    """

    def parameters(architecture: Architecture) -> int:
        return space.network_of(architecture).parameters(inputs, outputs)

    smallest = parameters(np.zeros(len(space.choices), dtype=np.int64))
    if limit < smallest:
        raise ValueError(
            f"max_params: expected at least {smallest} (the smallest network of {space.name!r} on this task), "
            f"got {limit}."
        )
    return Constraint(f"at most {limit} parameters", lambda architecture: parameters(architecture) <= limit, True)
