"""What a table that holds a sample of its space leaves out, and how near that is to what it holds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.search_space import Architecture, SearchSpace
from archgym.table import Table

MOST_COUNTED = 100_000  # architectures of a space that are all looked at; of a larger one as many as the next line says
DRAWN = 10_000
CHUNK = 1000  # architectures that are compared with the table at once


def left_out(table: Table, seed: int = 0) -> dict[str, Any] | None:
    """Tell how far the architectures of a space are from the nearest one on its table; None: all are on it.

    The distance of two architectures is the number of choices that they do not share: of which they have different
    options, or which only one of them has at all.

    Args:
        table: Which.
        seed: Of the draw from a large space.

    Returns:
        `size` of the space; `counted`, how many architectures were looked at: all of them, or as many drawn uniformly;
        `shares` of these by their distance, from 0 (on the table) on.
    """
    if table.full:
        return None
    space = table.space
    if space.size <= MOST_COUNTED:
        every = list(space.enumerate())
    else:
        rng = np.random.default_rng(seed)
        every = [space.sample(rng) for _ in range(DRAWN)]
    held, nearest = _with_absence(space, list(table.architectures)), []
    for start in range(0, len(every), CHUNK):
        chunk = _with_absence(space, every[start : start + CHUNK])
        distances = sum(
            (mine[:, None] != theirs).astype(np.int64) for mine, theirs in zip(chunk.T, held.T, strict=True)
        )
        nearest.append(np.asarray(distances).min(1))
    shares = np.bincount(np.concatenate(nearest)) / len(every)
    return {"size": space.size, "counted": len(every), "shares": shares.tolist()}


def _with_absence(space: SearchSpace, architectures: Sequence[Architecture]) -> NDArray[np.int64]:
    """Write architectures with -1 for what is inactive, (n, choices)."""
    codes = np.array(architectures)
    for row, architecture in enumerate(architectures):
        codes[row, list(space.inactive_positions(architecture))] = -1
    return codes
