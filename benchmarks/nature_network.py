"""A search space of one architecture: the network of Mnih et al. (Nature 2015), which CleanRL trains on Atari.

Named by its dotted name where the repository's root is on the path: `space="benchmarks.nature_network"`.
"""

from archgym.observations import IMAGES
from archgym.search_space import Choice, SearchSpace
from archgym.search_spaces.nature_kernels import HIDDEN, STEM, Conv, ConvNet

CONVS = (Conv(64, 4, 2, same=False), Conv(64, 3, same=False))

SPACE = SearchSpace(
    name="nature-network",
    choices=(Choice("kernels", ("8-4-3",)),),
    default={"kernels": "8-4-3"},
    network=lambda options: ConvNet(STEM, CONVS, None, HIDDEN),
    supernet="kernels",
    takes=(IMAGES,),
)
