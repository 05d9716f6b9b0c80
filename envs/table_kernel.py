"""The compiled part of lifetimes on recorded tables: how arrays are handed to archgym/native/lives.cpp."""

import ctypes
import functools
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from archgym import compiled

_integer, _pointer = ctypes.c_int64, ctypes.c_void_p


def _structure(name: str, integers: str, pointers: str) -> type[ctypes.Structure]:
    fields = [(field, _integer) for field in integers.split()] + [(field, _pointer) for field in pointers.split()]
    return type(name, (ctypes.Structure,), {"_fields_": fields})


# As in archgym/native/lives.cpp.
RECORD = _structure(
    "Record",
    "choices options rows seeds windows own improvement",
    "counts row_of starts places values rewards prices diverged alone",
)
LIVES = _structure(
    "Lives",
    "windows drawn",
    "done last before best since curves visits history rewards sums shares settled seen totals "
    "actions chosen where earned switched",
)


VERSION = 2  # of lives.cpp


@functools.cache
def library() -> ctypes.CDLL | None:
    """Load it; None, and one line in the log, where it cannot be loaded, or is another lives.cpp's."""
    lost = (
        "the library of archgym/native/lives.cpp is missing ({}): steps on recorded tables are computed in Python, "
        "several times slower."
    )
    loaded = compiled.load(["_lives"], "lives_version", VERSION, lost)
    if loaded is not None:
        loaded.lives_step.restype, loaded.lives_step.argtypes = _integer, [_pointer, _pointer, _pointer, _integer]
    return loaded


def hand_over(
    kind: type[ctypes.Structure], numbers: Mapping[str, int], arrays: Mapping[str, NDArray[Any]]
) -> ctypes.Structure:
    """Fill a structure (empty arrays: none); the arrays, each in one piece, must be kept as long as it is used."""
    assert all(array.flags.c_contiguous for array in arrays.values()), "the kernel walks through whole arrays"
    return kind(**numbers, **{name: array.ctypes.data if array.size else None for name, array in arrays.items()})


def address(structure: ctypes.Structure) -> int:
    """Give the address of a structure, which must be kept as long as it is used."""
    return ctypes.addressof(structure)
