"""How the weights of one network are handed to the next, for learners that have one network at a time."""

from collections.abc import Iterable, Mapping
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from archgym import net2net
from archgym.observations import Inputs
from archgym.search_space import Network, SearchSpace
from archgym.supernet import FIELDS, Layout, Supernet, family_of

MOMENTS = ("exp_avg", "exp_avg_sq", "steps")  # what an optimizer remembers
Shape = tuple[int, ...]
NORM = "norm_"  # how the tensors of a normalisation begin, which belongs to the layer before it


def matching(old: Supernet, before: Network, layout: Layout, after: Network, rng: np.random.Generator) -> Supernet:
    """Begin a network with the layers of another that have the same place and shapes; the rest starts fresh.

    What is copied brings its moments and step counts along; what is fresh makes Adam's first step. Target weights are
    a copy of the weights.

    Args:
        old: The store of the other network; it is not changed.
        before: The other network.
        layout: Of the new network alone.
        after: The new network.
        rng: Draws what starts fresh.
    """
    new = Supernet(layout, rng, old.fields["weight"].device)
    given, taken = old.layout.places(before), layout.places(after)
    shapes = ({name: tuple(place.shape) for name, place in places.items()} for places in (given, taken))
    for sources, names in copied(*shapes):
        source = torch.cat([given[name].flatten() for name in sources])
        place = torch.cat([taken[name].flatten() for name in names])
        for field in FIELDS:
            new.fields[field][place] = old.fields[field][source]
    new.fields["target"] = new.fields["weight"].clone()
    return new


def grown(old: Supernet, before: Network, layout: Layout, after: Network, rng: np.random.Generator) -> Supernet:
    """Begin a network that computes what another does, as far as `archgym.net2net` knows how.

    Numbers that stay in their place keep their moments and step counts. Target weights are a copy of the weights.

    Args:
        old: The store of the other network; it is not changed.
        before: The other network.
        layout: Of the new network alone; its family has a `chain`.
        after: The new network.
        rng: Draws what starts fresh, and which units are repeated.
    """
    new = Supernet(layout, rng, old.fields["weight"].device)
    chains = net2net.chain_of(old.layout, before), net2net.chain_of(layout, after)
    given, taken = old.layout.places(before), layout.places(after)
    known, fresh = (
        {name: net.fields["weight"][place] for name, place in places.items()}
        for net, places in ((old, given), (new, taken))
    )
    for name, weight in net2net.grow(*chains, known, fresh, rng).items():
        new.fields["weight"][taken[name]] = weight
    for name, source in net2net.kept(*chains).items():
        for field in MOMENTS:
            numbers = new.fields[field][taken[name]]
            net2net.overlap(old.fields[field][given[source]], numbers)
            new.fields[field][taken[name]] = numbers
    new.fields["target"] = new.fields["weight"].clone()
    return new


def copied(before: Mapping[str, Shape], after: Mapping[str, Shape]) -> list[tuple[list[str], list[str]]]:
    """Pair the layers that `matching` copies: the `counterparts` whose tensors have equal shapes.

    Args:
        before: Shapes of the tensors of one network by name, in order.
        after: Of the other.

    Returns:
        Names of the tensors of both, layer by layer.
    """
    return [
        (sources, names)
        for sources, names in counterparts(before, after)
        if [before[name] for name in sources] == [after[name] for name in names]
    ]


def switches(space: SearchSpace, inputs: Inputs, outputs: int) -> tuple[int, int, int]:
    """Count the switches between two architectures of a space by the layers that `matching` copies.

    Returns:
        Switches of which no layer, some layers, and all layers of the next network are copied.
    """
    family, counts = family_of(space), [0, 0, 0]

    def shapes(network: Network) -> dict[str, Shape]:
        alone = family.parameters([network], inputs, outputs)  # tensors that hold this network and nothing else
        return {name: alone[name].shape for name in family.crop(network, inputs, outputs)}

    for old, new in permutations([shapes(space.network_of(one)) for one in space.enumerate()], 2):
        found, whole = len(copied(old, new)), len(layers(new))
        counts[0 if not found else 2 if found == whole else 1] += 1
    return counts[0], counts[1], counts[2]


def counterparts(before: Iterable[str], after: Iterable[str]) -> list[tuple[list[str], list[str]]]:
    """Pair the layers of two networks that stand for each other: those of one name, and the last with the last.

    The last layer is the head, which may be called by the depth that it reads from (`archgym.supernets.mlp`).

    Args:
        before: Names of the tensors of one network, in order.
        after: Of the other.

    Returns:
        The names of the tensors of every pair, one network's beside the other's.
    """
    *hidden, head = layers(before)
    *wanted, last = layers(after)
    known = {_layer(names[0]): names for names in hidden}
    return [*((known[_layer(names[0])], names) for names in wanted if _layer(names[0]) in known), (head, last)]


def layers(names: Iterable[str]) -> list[list[str]]:
    """Group the names of tensors by layer, in order: what has one name before the last dot, weight and bias."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_layer(name), []).append(name)
    return list(found.values())


def _layer(name: str) -> str:
    return name.rpartition(".")[0] or name


def blocks(names: Iterable[str]) -> list[list[str]]:
    """Group the names of tensors by layer, each with the normalisation behind it."""
    found: list[list[str]] = []
    for own in layers(names):
        if own[0].startswith(NORM) and found:
            found[-1] += own
        else:
            found.append(own)
    return found


def forget_moments(supernet: Supernet, network: Network) -> None:
    """Reset Adam's moments and step counts of a network."""
    _clear(supernet, supernet.layout.positions(network))


def renew(supernet: Supernet, network: Network, count: int, anew: Supernet) -> None:
    """Let the last layers of a network begin anew; target weights of all its layers are then a copy of the weights.

    Args:
        supernet: What holds it, changed in place.
        network: Which network.
        count: How many layers, the head included; all of them where it has fewer.
        anew: The network alone, with what they begin with.
    """
    places, given = supernet.layout.places(network), anew.layout.places(network)
    last = [name for own in blocks(places)[-count:] for name in own]
    place, source = (torch.cat([own[name].flatten() for name in last]) for own in (places, given))
    fields = supernet.fields
    fields["weight"][place] = anew.fields["weight"][source]
    _clear(supernet, place)
    every = supernet.layout.positions(network)
    fields["target"][every] = fields["weight"][every]


def start(supernet: Supernet, network: Network, alone: Supernet) -> None:
    """Let a network's part of a supernet, of which nothing is trained yet, start with the weights of it alone."""
    place, source = (net.layout.positions(network) for net in (supernet, alone))
    for field in ("weight", "target"):
        supernet.fields[field][place] = alone.fields[field][source]


def _clear(supernet: Supernet, place: Tensor) -> None:
    for name in MOMENTS:
        supernet.fields[name][place] = 0
