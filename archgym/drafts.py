"""Architectures under construction, many at a time: what agents read of them, and a beam search through them.

One at a time they are `archgym.envs.draft.Draft`, which writes the same numbers.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from archgym.search_space import Architecture, SearchSpace


def size(space: SearchSpace) -> int:
    """Count the numbers that an architecture under construction is written as."""
    return len(space.choices) + sum(space.counts) + max(space.counts)


def encode(space: SearchSpace, prefixes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Write architectures under construction (N, choices decided) as the sequential view's observations end."""
    count, decided = prefixes.shape
    asked = np.zeros((count, len(space.choices)), dtype=np.float32)
    asked[:, decided] = 1.0
    options = np.zeros((count, sum(space.counts)), dtype=np.float32)
    np.put_along_axis(options, np.cumsum([0, *space.counts])[:decided] + prefixes, 1.0, axis=1)
    return np.concatenate([asked, options, masks(space, prefixes)], axis=1)


def masks(space: SearchSpace, prefixes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Tell which options of the next choice are legal, (N, largest number of options): 1 where one is, else 0."""
    found = np.zeros((len(prefixes), max(space.counts)), dtype=np.float32)
    found[:, : space.counts[prefixes.shape[1]]] = [space.mask(prefix) for prefix in prefixes.tolist()]
    return found


def beam_search(
    space: SearchSpace,
    width: int,
    values: Callable[[NDArray[np.int64], NDArray[np.float64]], NDArray[np.float64]],
) -> list[Architecture]:
    """Search for the architectures of the highest value, keeping so many prefixes from choice to choice.

    Args:
        space: Whose architectures.
        width: Prefixes that are kept.
        values: Gives the values of prefixes one option longer, (N, options), and minus infinity where that is illegal;
            called with prefixes (N, choices decided) and their own values (N,).

    Returns:
        Up to `width` architectures, best first; of equals the first in the order of the space.
    """
    prefixes, scores = np.zeros((1, 0), dtype=np.int64), np.zeros(1)
    for _ in space.choices:
        found = values(prefixes, scores)
        order = np.argsort(-found, axis=None, kind="stable")[:width]
        order = order[np.isfinite(found.ravel()[order])]
        parents, options = np.unravel_index(order, found.shape)
        prefixes, scores = np.hstack([prefixes[parents], options[:, None]]), found.ravel()[order]
    return list(prefixes)
