"""A search space of two ReLU layers, each 32 to 128 units wide in steps of 16: members whose networks differ in size.

Named by its dotted name where the repository's root is on the path: `space="benchmarks.mixed_widths"`.
"""

from archgym.search_space import Choice, SearchSpace
from archgym.search_spaces.mlp import MLP

WIDTHS = tuple(range(32, 129, 16))

SPACE = SearchSpace(
    name="mixed-widths",
    choices=(Choice("width_1", WIDTHS), Choice("width_2", WIDTHS)),
    default={"width_1": 128, "width_2": 80},
    network=lambda options: MLP((int(options["width_1"]), int(options["width_2"])), "relu"),
    supernet="mlp",
)
