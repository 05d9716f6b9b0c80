"""What the compiled learners share: how networks and arrays are handed to the library of `archgym.native`."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.learners.adam import Adam
from archgym.native import library, tell_if_bfloat16_is_slow
from archgym.search_spaces.mlp import MLP
from archgym.training import Group, Statistics

ACTIVATIONS = ("relu", "tanh", "elu")  # numbered as in archgym/native/layout.h

integer, number, pointer = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p


class Shape(ctypes.Structure):
    """A network, as archgym/native/layout.h has it."""

    _fields_ = (("depth", integer), ("widths", pointer), ("activation", integer), ("norm", integer), ("skip", integer))


class Trained(ctypes.Structure):
    """The numbers of a network that training moves, as archgym/native/adam.h has them."""

    _fields_ = (
        ("shape", Shape),
        *((name, pointer) for name in ("weight", "first", "second", "correction_1", "correction_2")),
        ("uniform", integer),
    )


class Networks:
    """The networks of a window's groups in the library's terms; keeps alive what the library points into.

    Args:
        groups: Their subnets are trained in place; their networks are `MLP`.
        precision: A key of `archgym.learners.precision.PRECISIONS`. With `bfloat16` the products between hidden layers
            take rounded numbers, and add up in float32; all else, input layer and head too, is float32.
    """

    def __init__(self, groups: Sequence[Group], precision: str) -> None:
        self.groups, self._rounded = groups, precision == "bfloat16"
        if self._rounded:
            tell_if_bfloat16_is_slow()
        self.adams = [Adam(group.subnets) for group in groups]
        self._widths: list[NDArray[np.int64]] = []

    def trained(self, index: int, position: int) -> Trained:
        """Describe what is trained of the member at a position of a group."""
        subnets, corrections = self.groups[index].subnets, self.adams[index].corrections
        network = subnets.network
        assert isinstance(network, MLP), "asked for only with families that the library knows"
        widths = np.array(network.hidden, dtype=np.int64)
        self._widths.append(widths)
        flags = (ACTIVATIONS.index(network.activation), network.layer_norm, network.skip)
        return Trained(
            Shape(len(widths), widths.ctypes.data, *flags),
            *(subnets.fields[name][position].data_ptr() for name in ("weight", "exp_avg", "exp_avg_sq")),
            *(correction[position].data_ptr() for correction in corrections),
            corrections[0].shape[1] == 1,
        )

    @property
    def outputs(self) -> int:
        """Number of actions."""
        subnets = self.groups[0].subnets
        assert isinstance(subnets.network, MLP)
        return subnets.views("weight")[f"head_{len(subnets.network.hidden)}.weight"].shape[-2]

    @property
    def precision(self) -> str:
        """Name what they are computed in: `float32`, `bfloat16`, or in tests `float64`."""
        if self._rounded:
            return "bfloat16"
        return str(self.groups[0].subnets.fields["weight"].dtype).removeprefix("torch.")

    def finish(self, learners: "Native", count: int) -> Statistics:
        """End the window of so many learners: count the gradient steps in the subnets, and find what diverged."""
        statistics = Statistics.zeros(count)
        results = (statistics.gradient_steps, statistics.loss, statistics.value)
        learners("finish", *(result.ctypes.data for result in results))
        for group, adam in zip(self.groups, self.adams, strict=True):
            adam.gradient_steps = int(statistics.gradient_steps[group.rows[0]])
            statistics.diverged[group.rows] = adam.finish()
        return statistics


class Native:
    """Learners inside the library, freed with this object.

    Args:
        name: `dqn` or `pqn`.
        precision: See `Networks.precision`.
        signatures: What each function takes; all but `new` take the learners first.
        settings: What `new` is given: a structure,
        members: an array of structures, which the library copies,
        count: and its length.

    Raises:
        MemoryError: If they are too large.
    """

    def __init__(
        self,
        name: str,
        precision: str,
        signatures: dict[str, list[Any]],
        settings: ctypes.Structure,
        members: "ctypes.Array[Any]",
        count: int,
    ) -> None:
        self._handle: int | None = None
        loaded = library()
        assert loaded is not None, "asked for only where the library was built"
        prefix = f"{name}_{precision}"
        new = getattr(loaded, f"{prefix}_new")
        new.restype, new.argtypes = pointer, [pointer, pointer, integer]
        self._functions = {}
        for function, arguments in {**signatures, "finish": [pointer] * 3, "free": []}.items():
            self._functions[function] = getattr(loaded, f"{prefix}_{function}")
            self._functions[function].restype, self._functions[function].argtypes = None, [pointer, *arguments]
        self._handle = new(ctypes.byref(settings), members, count)
        if self._handle is None:
            raise MemoryError("the compiled learners: expected networks and a batch_size that fit into memory.")

    def __call__(self, function: str, *arguments: int) -> None:
        """Call a function of the library on the learners."""
        self._functions[function](self._handle, *arguments)

    def __del__(self) -> None:
        """Free the learners."""
        if self._handle is not None:
            self("free")


def address(array: NDArray[Any], kind: type) -> int:
    """Give the address of an array that lies in one piece.

    Raises:
        ValueError: If it does not, or holds something else.
    """
    if array.dtype != kind or not array.flags.c_contiguous:
        raise ValueError(f"expected an array of {kind.__name__} in one piece, got one of {array.dtype}.")
    return array.ctypes.data
