"""Net2Net (Chen et al. 2016, arXiv 1511.05641): networks that grow without changing what they compute.

A network is a *chain* of layers. Handed on to another one,

* a wider layer repeats units drawn at random, and whoever reads a unit that is there c times divides its weight among
  the c. The paper divides evenly and adds noise, for units that are alike stay alike. Here the shares are drawn for
  every weight, so that no two units get the same gradients, and what the network computes is the same to rounding;
* an added layer passes on what it reads. That is exact with ReLU, whose inputs are not negative; with tanh and ELU it
  is the nearest thing (the identity near 0, or above it), and does not preserve;
* a larger kernel has zeros around the smaller one, where the layer pads so that the middle stays the middle;
* of what is narrower, the first units go on, and of what is smaller, the middle of the kernel; a layer that is gone is
  left out. This does not preserve, nor does growth under LayerNorm, which sees other means, or with skips.

`preserves` tells beforehand. Numbers that stay in their place keep their moments and step counts; others begin at 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archgym.search_space import Network
from archgym.supernet import Centred, Layout

SHARES = (0.5, 1.5)  # what the shares of a repeated unit are drawn between, before they are brought to a sum of 1


@dataclass(frozen=True)
class Link:
    """A layer of a chain: `name.weight` (units, what it reads, *kernel), `name.bias` (units,) and perhaps a norm.

    Args:
        name: Of its tensors.
        units: That it has.
        role: By which it is found in another chain; "": its name.
        norm: Name of the normalisation behind it; "": there is none.
        cells: Numbers that each unit before it hands over (those of a map that is flattened).
        kernel: Height and width of its kernel; (): it has none.
        middle: Whether the middle of a kernel of any size reads the same place.
        passes: Whether it hands on what it reads, if it is added with an identity for weights.
        other: What else must be alike for equal weights to compute the same (a stride).
    """

    name: str
    units: int
    role: str = ""
    norm: str = ""
    cells: int = 1
    kernel: tuple[int, ...] = ()
    middle: bool = False
    passes: bool = False
    other: tuple[int, ...] = ()

    @property
    def part(self) -> str:
        """The role that it plays."""
        return self.role or self.name


@dataclass(frozen=True)
class Chain:
    """The layers of a network.

    Args:
        links: In the order in which they are computed.
        inputs: Numbers, or channels, that the first one reads.
        widens: Whether repeated units change nothing: there is no LayerNorm and no skip.
        other: What else must be alike for equal weights to compute the same (the activation).
    """

    links: Sequence[Link]
    inputs: int
    widens: bool
    other: tuple[object, ...]


def preserves(before: Chain, after: Chain) -> bool:
    """Tell whether `grow` makes a network that computes what the other does."""
    old, new = ({link.part: link for link in chain.links} for chain in (before, after))
    if before.other != after.other or any(part not in new for part in old):
        return False
    distinct = after.inputs  # units that an added layer must hand on; the others are repetitions
    for part, link in new.items():
        if part in old:
            if not _holds(old[part], link):
                return False
            distinct = old[part].units
        elif not link.passes or link.units < distinct:
            return False
    grows = any(part not in old or link.units > old[part].units for part, link in new.items())
    return after.widens or not grows


def _holds(old: Link, new: Link) -> bool:
    """Tell whether a layer can compute what another does."""
    larger = all(map(int.__ge__, new.kernel, old.kernel))
    same = (old.cells, old.other, len(old.kernel)) == (new.cells, new.other, len(new.kernel))
    return same and new.units >= old.units and (new.kernel == old.kernel or (new.middle and larger))


def grow(
    before: Chain, after: Chain, given: Mapping[str, Tensor], fresh: Mapping[str, Tensor], rng: np.random.Generator
) -> dict[str, Tensor]:
    """Make the weights of a network from those of another.

    Args:
        before: The other network.
        after: The network.
        given: The other's weights, by name.
        fresh: Weights of the network that are used where the other has none.
        rng: Draws which units are repeated, and shares.
    """
    old = {link.part: link for link in before.links}
    grown = {name: tensor.clone() for name, tensor in fresh.items()}
    source = np.arange(after.inputs)  # of every unit that the next layer reads: the unit of `before` that it stands for
    for link in after.links:
        weight, bias = f"{link.name}.weight", f"{link.name}.bias"
        if link.part not in old:
            repeated = _repeated(len(source), link.units, rng)
            grown[weight] = _identity(fresh[weight], repeated)
            grown[bias].zero_()
            source = source[repeated]
            continue
        known, inherited = old[link.part], pairs(old[link.part], link)
        repeated = _repeated(known.units, link.units, rng)
        if inherited:
            here = torch.from_numpy(repeated)
            grown |= {name: given[other][here] for name, other in inherited.items() if name != weight}
            grown[weight] = _wired(given[inherited[weight]], fresh[weight], repeated, source, link.cells, rng)
        source = repeated
    return grown


def pairs(old: Link, new: Link) -> dict[str, str]:
    """Map the names of a layer's tensors to those of the same layer in another chain, as far as they can be taken."""
    if old.cells != new.cells or len(old.kernel) != len(new.kernel):
        return {}
    names = [(new.name, old.name), *([(new.norm, old.norm)] if new.norm and old.norm else [])]
    return {f"{own}.{kind}": f"{other}.{kind}" for own, other in names for kind in ("weight", "bias")}


def kept(before: Chain, after: Chain) -> dict[str, str]:
    """Map the names of a network's tensors to those of another in which numbers stay in their place (`overlap`)."""
    old = {link.part: link for link in before.links}
    found: dict[str, str] = {}
    for link in after.links:
        found |= pairs(old[link.part], link) if link.part in old else {}
    return found


def overlap(old: Tensor, new: Tensor) -> None:
    """Copy what two tensors of a layer have in common: first units, and the middle of kernels."""
    common = [min(sizes) for sizes in zip(old.shape, new.shape, strict=True)]

    def part(tensor: Tensor) -> tuple[slice, ...]:
        cuts = [Centred(size) if axis > 1 else slice(size) for axis, size in enumerate(common)]
        spans = zip(cuts, tensor.shape, strict=True)
        return tuple(cut.within(length) if isinstance(cut, Centred) else cut for cut, length in spans)

    new[part(new)] = old[part(old)]


def chain_of(layout: Layout, network: Network) -> Chain:
    """Ask the family of a layout for the chain of a network."""
    family: Any = layout.family
    chain: Chain = family.chain(network, layout.inputs, layout.outputs)
    return chain


def _repeated(given: int, units: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Give for every unit which of the given ones it repeats: the first ones themselves, and then any."""
    return np.concatenate([np.arange(given), rng.integers(given, size=max(0, units - given))])[:units]


def _identity(like: Tensor, repeated: NDArray[np.int64]) -> Tensor:
    """Give weights that hand on the units listed, by the middle of kernels."""
    weight = torch.zeros_like(like)
    middle = [torch.tensor(length // 2) for length in like.shape[2:]]
    weight[(torch.arange(len(repeated)), torch.from_numpy(repeated), *middle)] = 1
    return weight


def _wired(
    old: Tensor,
    fresh: Tensor,
    repeated: NDArray[np.int64],
    source: NDArray[np.int64],
    cells: int,
    rng: np.random.Generator,
) -> Tensor:
    """Give the weights of a layer whose units, and those that it reads, are repeated.

    Args:
        old: (units before, read before x cells, *kernel).
        fresh: (units, read x cells, *kernel), what is used for units read that `old` does not know.
        repeated: (units,) which unit before each one is.
        source: (read,) which unit read before each one stands for.
        cells: Numbers per unit read.
        rng: Draws the shares.
    """
    before, kernel = old.shape[1] // cells, old.shape[2:]
    new = fresh.clone().view(len(repeated), len(source), cells, *fresh.shape[2:])
    known = np.flatnonzero(source < before)
    drawn = torch.from_numpy(rng.uniform(*SHARES, (len(repeated), len(known)))).to(old.device)
    read = torch.from_numpy(source[known]).to(old.device)
    sums = drawn.new_zeros(len(repeated), before).index_add_(1, read, drawn)
    shares = (drawn / sums[:, read]).to(old)  # exactly 1 where a unit is there once
    rows = old.view(len(old), before, cells, *kernel)[torch.from_numpy(repeated)][:, read]
    rows = rows * shares.view(*shares.shape, *[1] * (rows.dim() - 2))
    if kernel != fresh.shape[2:]:
        resized = rows.new_zeros(*rows.shape[:3], *fresh.shape[2:])
        overlap(rows.flatten(0, 1), resized.view(-1, *resized.shape[2:]))
        rows = resized
    new[:, torch.from_numpy(known).to(old.device)] = rows
    return new.view_as(fresh)
