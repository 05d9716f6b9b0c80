"""The 32 convolutional networks of Mazyavkina et al. (arXiv 2011.14632), search space 2: five kernels, each 2 or 5.

Stem, hidden layer and head are those of `nature-kernels`; the five convolutions have 64 channels and stride 1. For
images of 84x84 their maps are 20x20, of which the middle 11x11 are read: the paper pads "to" 11x11x64, its code by a
negative number, which is to cut. (That code also took heights for channels; here channels stay what they are.)
"""

from collections.abc import Mapping

from archgym.observations import IMAGES
from archgym.search_space import Choice, Option, SearchSpace
from archgym.search_spaces.nature_kernels import HIDDEN, SIDE, STEM, Conv, ConvNet

LAYERS = ("kernel_1", "kernel_2", "kernel_3", "kernel_4", "kernel_5")


def _network(options: Mapping[str, Option]) -> ConvNet:
    return ConvNet(STEM, tuple(Conv(64, int(options[layer])) for layer in LAYERS), SIDE, HIDDEN)


SPACE = SearchSpace(
    name="deep-kernels",
    choices=tuple(Choice(layer, (2, 5)) for layer in LAYERS),
    default=dict.fromkeys(LAYERS, 2),
    network=_network,
    supernet="kernels",
    takes=(IMAGES,),
)
