"""The 25 convolutional networks of Mazyavkina et al. (arXiv 2011.14632), search space 1: two kernels of Nature-CNN.

A fixed convolution of 32 channels (kernel 8, stride 4, not padded), then 64 channels with stride 2 and 64 with stride
1, whose kernels are chosen from 1 to 5, then maps of 11x11, 512 units and the values. `nature-cnn` names the member
with the kernels of the network of Mnih et al. (Nature 2015), 4 and 3; that network itself does not pad, so that its
maps are 7x7 and its 512 units read 3,136 numbers instead of 7,744.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from archgym.observations import IMAGES, Image
from archgym.search_space import Choice, Option, SearchSpace


@dataclass(frozen=True)
class Conv:
    """A convolution.

    Args:
        channels: Of its output.
        kernel: Height and width of its kernels.
        stride: Between their places.
        same: Whether zeros are put around its input: kernel // 2 before, and as many behind, or one fewer for even
            kernels, so that small kernels are the middle of large ones and the output has ceil(size / stride) cells.
    """

    channels: int
    kernel: int
    stride: int = 1
    same: bool = True

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """The zeros around its input, as `torch.nn.functional.pad` takes them."""
        before, behind = (self.kernel // 2, (self.kernel - 1) // 2) if self.same else (0, 0)
        return (before, behind, before, behind)


@dataclass(frozen=True)
class ConvNet:
    """A convolutional network from an image of bytes, divided by 255, to one value per action; ReLU after every layer.

    After the convolutions the maps are brought to `side` x `side`: zeros are added, or the border is cut off, half
    before and half behind; where that does not divide, one more is added behind, or cut before.

    Args:
        stem: The first layer, which all networks of a space have in common.
        convs: The layers after it.
        side: Height and width of the maps that the hidden layer reads; None: as they come.
        hidden: Units of the linear layer before the head.
        layer_norm: Whether every layer is normalised before its ReLU, over all numbers of an image, with a gain and a
            bias per channel or unit (`torch.nn.GroupNorm` with one group).
    """

    stem: Conv
    convs: tuple[Conv, ...]
    side: int | None
    hidden: int
    layer_norm: bool = False

    def maps(self, inputs: Image) -> list[Image]:
        """Give the shapes of the image, of every convolution's output, and of what the hidden layer reads.

        Raises:
            ValueError: If a kernel is larger than what it reads.
        """
        shapes = [inputs]
        for conv in (self.stem, *self.convs):
            height, width = (size + sum(conv.padding[:2]) for size in shapes[-1][1:])
            if min(height, width) < conv.kernel:
                raise ValueError(
                    f"convolutional networks: expected images larger than {inputs[1]}x{inputs[2]}, of which a kernel "
                    f"of {conv.kernel}x{conv.kernel} gets to read maps of {height}x{width}."
                )
            high, wide = ((size - conv.kernel) // conv.stride + 1 for size in (height, width))
            shapes.append((conv.channels, high, wide))
        last = shapes[-1]
        return [*shapes, last if self.side is None else (last[0], self.side, self.side)]

    def parameters(self, inputs: Image, outputs: int) -> int:
        """Count weights and biases, and the gains and biases of norms."""
        *shapes, read = self.maps(inputs)
        layers = zip(pairwise(shapes), (self.stem, *self.convs), strict=True)
        convs = sum((before[0] * conv.kernel**2 + 1) * after[0] for (before, after), conv in layers)
        linear = (math.prod(read) + 1) * self.hidden + (self.hidden + 1) * outputs
        norms = 2 * (sum(after[0] for after in shapes[1:]) + self.hidden) if self.layer_norm else 0
        return convs + linear + norms

    def flops(self, inputs: Image, outputs: int) -> int:
        """Count the operations of the products of one forward pass, 2 per multiply-add, those with padding included."""
        *shapes, read = self.maps(inputs)
        layers = zip(pairwise(shapes), (self.stem, *self.convs), strict=True)
        convs = sum(2 * math.prod(after) * before[0] * conv.kernel**2 for (before, after), conv in layers)
        return convs + 2 * self.hidden * (math.prod(read) + outputs)


STEM = Conv(32, kernel=8, stride=4, same=False)
SIDE = 11
HIDDEN = 512


def _network(options: Mapping[str, Option]) -> ConvNet:
    convs = (Conv(64, int(options["kernel_1"]), stride=2), Conv(64, int(options["kernel_2"])))
    return ConvNet(STEM, convs, SIDE, HIDDEN)


SPACE = SearchSpace(
    name="nature-kernels",
    choices=(Choice("kernel_1", (1, 2, 3, 4, 5)), Choice("kernel_2", (1, 2, 3, 4, 5))),
    default={"kernel_1": 4, "kernel_2": 3},
    network=_network,
    supernet="kernels",
    takes=(IMAGES,),
    known={"nature-cnn": {"kernel_1": 4, "kernel_2": 3}},
    by_hand="nature-cnn",
)
