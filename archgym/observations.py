"""What an observation is to a network: a vector of so many numbers, or an image of bytes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = tuple[int, int, int]  # channels, height, width
Inputs = int | Image  # numbers in a vector, or the shape of an image
Observations = NDArray[Any]  # a batch of vectors in float32, or of images in uint8

VECTORS, IMAGES = "vectors", "images"


def kind_of(inputs: Inputs) -> str:
    """Name what such observations are: `vectors` or `images`."""
    return VECTORS if isinstance(inputs, int) else IMAGES


def shape_of(inputs: Inputs) -> tuple[int, ...]:
    """Give the shape of one observation."""
    return (inputs,) if isinstance(inputs, int) else inputs


def dtype_of(inputs: Inputs) -> type[np.float32] | type[np.uint8]:
    """Give the type of the numbers: images stay bytes until a network reads them, a quarter of the memory."""
    return np.float32 if isinstance(inputs, int) else np.uint8


def described(inputs: Inputs) -> str:
    """Write them as words: `4 numbers`, `images of 4x84x84`."""
    return f"{inputs} numbers" if isinstance(inputs, int) else f"images of {'x'.join(map(str, inputs))}"
