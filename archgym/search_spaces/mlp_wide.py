"""4,056 multilayer perceptrons: depth, a width per layer, activation, LayerNorm and skips.

A layer that the depth leaves out has no width, and one hidden layer has nothing to skip: these choices are inactive.
"""

from collections.abc import Mapping

from archgym.search_space import Choice, Option, SearchSpace
from archgym.search_spaces.mlp import ACTIVATIONS, MLP

WIDTHS = (16, 32, 64, 128)
DEPTHS = (1, 2, 3, 4)


def _network(options: Mapping[str, Option]) -> MLP:
    hidden = tuple(int(options[f"width_{layer}"]) for layer in range(1, int(options["depth"]) + 1))
    return MLP(hidden, str(options["activation"]), bool(options["layer_norm"]), bool(options.get("skip", False)))


def _inactive(options: Mapping[str, Option]) -> frozenset[str]:
    depth = int(options["depth"])
    absent = {f"width_{layer}" for layer in DEPTHS if layer > depth}
    return frozenset(absent | ({"skip"} if depth == 1 else set()))


SPACE = SearchSpace(
    name="mlp-wide",
    choices=(
        Choice("depth", DEPTHS),
        *(Choice(f"width_{layer}", WIDTHS) for layer in DEPTHS),
        Choice("activation", ACTIVATIONS),
        Choice("layer_norm", (False, True)),
        Choice("skip", (False, True)),
    ),
    default={
        "depth": 2,
        "width_1": 128,
        "width_2": 128,
        "activation": "relu",
        "layer_norm": False,
        "skip": False,
    },
    network=_network,
    supernet="mlp",
    inactive=_inactive,
)
