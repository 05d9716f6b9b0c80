"""A search space of one architecture: the network of CleanRL's `dqn.py` (4-120-84-2 on CartPole), for comparisons.

Named by its dotted name where the repository's root is on the path: `space="benchmarks.cleanrl_network"`.
"""

from archgym.search_space import Choice, SearchSpace
from archgym.search_spaces.mlp import MLP

SPACE = SearchSpace(
    name="cleanrl-network",
    choices=(Choice("hidden", ("120-84",)),),
    default={"hidden": "120-84"},
    network=lambda options: MLP((120, 84), "relu"),
    supernet="mlp",
)
