"""27 small convolutional networks for small images, such as those of `Orchard-v0`: trained within minutes on a CPU.

A fixed convolution of 16 channels (kernel 3, not padded), two convolutions of equal width whose kernels are chosen, 64
units and the values.
"""

from collections.abc import Mapping

from archgym.observations import IMAGES
from archgym.search_space import Choice, Option, SearchSpace
from archgym.search_spaces.nature_kernels import Conv, ConvNet

STEM = Conv(16, kernel=3, same=False)
HIDDEN = 64


def _network(options: Mapping[str, Option]) -> ConvNet:
    width = int(options["width"])
    convs = (Conv(width, int(options["kernel_1"])), Conv(width, int(options["kernel_2"])))
    return ConvNet(STEM, convs, None, HIDDEN)


SPACE = SearchSpace(
    name="mini-kernels",
    choices=(Choice("width", (4, 8, 16)), Choice("kernel_1", (1, 3, 5)), Choice("kernel_2", (1, 3, 5))),
    default={"width": 16, "kernel_1": 3, "kernel_2": 3},
    network=_network,
    supernet="kernels",
    takes=(IMAGES,),
)
