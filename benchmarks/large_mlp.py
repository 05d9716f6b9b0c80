"""`mlp-wide` with as many widths per layer as one likes: 1.2 thousand million architectures with 100 of them.

Named by its dotted name where the repository's root is on the path: `space="benchmarks.large_mlp:100"`. The widest
layers are those of `mlp-wide`, 128, so that supernets of all sizes hold about equally many numbers.
"""

from dataclasses import replace

from archgym.search_space import Choice, SearchSpace
from archgym.search_spaces import mlp_wide


def sized(size: str) -> SearchSpace:
    """Build the space with so many widths, from 129 - size to 128, instead of four.

    Raises:
        ValueError: If it is not a number from 2 to 128.
    """
    if not size.isdecimal() or not 2 <= int(size) <= 128:
        raise ValueError(f"search space 'benchmarks.large_mlp': expected 2 to 128 widths, got {size!r}.")
    widths = tuple(range(129 - int(size), 129))
    return replace(
        mlp_wide.SPACE,
        name=f"benchmarks.large_mlp:{size}",
        choices=tuple(
            Choice(choice.name, widths) if choice.name.startswith("width_") else choice
            for choice in mlp_wide.SPACE.choices
        ),
    )


def architectures(widths: int) -> int:
    """Count the architectures without listing them: a depth of 1 leaves nothing to skip."""
    activations, layer_norms, skips = 3, 2, 2
    deeper = sum(widths**depth for depth in mlp_wide.DEPTHS if depth > 1)
    return activations * layer_norms * (widths + skips * deeper)


SPACE = sized("100")
