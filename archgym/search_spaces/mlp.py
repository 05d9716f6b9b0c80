"""The 27 multilayer perceptrons of NAS-DQN (arXiv 2510.19872): depth x width x activation.

The paper does not name its three activations; `relu`, `tanh` and `elu` are this project's choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from archgym.search_space import Choice, Option, SearchSpace

ACTIVATIONS = ("relu", "tanh", "elu")


@dataclass(frozen=True)
class MLP:
    """A multilayer perceptron from an observation to one value per action.

    Each hidden layer is linear, then LayerNorm (if `layer_norm`), then the activation, then (if `skip`, from the second
    layer on) plus its own input. Between unequal widths the first min(in, out) units are added and the others are left
    as they are: a skip has no parameters.

    Args:
        hidden: Widths of the hidden layers, from the observation to the head.
        activation: One of `ACTIVATIONS`.
        layer_norm: Whether the hidden layers are normalised before their activation.
        skip: Whether hidden layers add their input to their output.
    """

    hidden: tuple[int, ...]
    activation: str = "relu"
    layer_norm: bool = False
    skip: bool = False

    def parameters(self, inputs: int, outputs: int) -> int:
        """Count weights and biases, LayerNorm's gains and biases included."""
        widths = (inputs, *self.hidden, outputs)
        linear = sum((n + 1) * m for n, m in pairwise(widths))
        return linear + (2 * sum(self.hidden) if self.layer_norm else 0)

    def flops(self, inputs: int, outputs: int) -> int:
        """Count the operations of the matrix products of one forward pass, 2 per multiply-add."""
        widths = (inputs, *self.hidden, outputs)
        return sum(2 * n * m for n, m in pairwise(widths))


def _network(options: Mapping[str, Option]) -> MLP:
    return MLP((int(options["width"]),) * int(options["depth"]), str(options["activation"]))


SPACE = SearchSpace(
    name="mlp",
    choices=(
        Choice("depth", (2, 3, 4)),
        Choice("width", (32, 64, 128)),
        Choice("activation", ACTIVATIONS),
    ),
    default={"depth": 2, "width": 128, "activation": "relu"},
    network=_network,
    supernet="mlp",
    by_hand="default",  # two wide hidden layers with ReLU: the network that people use for such tasks
)
