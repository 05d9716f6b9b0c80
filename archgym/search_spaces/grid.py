"""Choices without meaning, of any number: what agents are tested and timed on, with `ArchSearch-Synthetic-v0`.

`grid:10x4` has ten choices of four options each; `grid` alone is `grid:6x4`. There is no network to train.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from archgym.observations import IMAGES, VECTORS, Inputs
from archgym.search_space import Choice, Option, SearchSpace

MOST = 65_536  # options, so that a size that is a slip of the pen does not use up the memory


@dataclass(frozen=True)
class Point:
    """Stands for a network: it costs what its options add up to.

    Args:
        options: Option indices.
    """

    options: tuple[int, ...]

    def parameters(self, inputs: Inputs, outputs: int) -> int:
        """Give 1 and the sum of the options; the task does not matter."""
        return 1 + sum(self.options)

    def flops(self, inputs: Inputs, outputs: int) -> int:
        """Give twice the parameters."""
        return 2 * self.parameters(inputs, outputs)


def _network(options: Mapping[str, Option]) -> Point:
    return Point(tuple(int(option) for option in options.values()))


def sized(size: str) -> SearchSpace:
    """Build a space of a given size.

    Args:
        size: Number of choices and of options each, `10x4`.

    Raises:
        ValueError: If it is not written so, or there is nothing to choose.
    """
    numbers = re.fullmatch(r"(\d{1,9})x(\d{1,9})", size)
    if numbers is None or int(numbers[1]) < 1 or int(numbers[2]) < 2:
        raise ValueError(
            f"search space 'grid': expected 'grid:CHOICESxOPTIONS' with at least 1 choice and 2 options, got {size!r}."
        )
    choices, options = int(numbers[1]), int(numbers[2])
    if choices * options > MOST:
        raise ValueError(
            f"search space 'grid': expected at most {MOST:,} options of all choices together, as a planted landscape "
            f"has a number for every pair of them; got {size!r}, {choices * options:,}."
        )
    return SearchSpace(
        name=f"grid:{size}",
        choices=tuple(Choice(f"c{number}", tuple(range(options))) for number in range(choices)),
        default={f"c{number}": 0 for number in range(choices)},
        network=_network,
        supernet=None,
        takes=(VECTORS, IMAGES),
    )


SPACE = replace(sized("6x4"), name="grid")
