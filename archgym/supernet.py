"""The store of the weights of many architectures, and the crop that is checked out for one of them.

All tensors of a supernet lie behind each other in one flat vector; an architecture is a list of positions in it.
Training sees only exact, plain networks: `check_out` gathers a subnet's numbers, `check_in` writes them back, and what
lies outside is never touched. Each number carries its own optimizer step count, so that a slice that is trained for
the first time makes Adam's first step, whatever its neighbours did before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from archgym.lookup import load
from archgym.observations import Inputs
from archgym.search_space import Network, SearchSpace


@dataclass(frozen=True)
class Centred:
    """The middle of an axis: as many entries, as many left out before as behind, or one fewer behind."""

    size: int

    def within(self, length: int) -> slice:
        """Find them on an axis of a given length."""
        start = length // 2 - self.size // 2
        return slice(start, start + self.size)


Slices = tuple[slice | Centred, ...]
Cuts = dict[str, tuple[slice, ...]]  # of every tensor of a supernet that a network uses, the part of each axis
OFFERED = ("parameters", "crop", "forward", "module", "card")  # by every family, see `Family`
REMEMBERED = 256  # networks whose cuts and shapes are kept


@dataclass(frozen=True)
class Parameter:
    """One tensor of a supernet: its full shape, and how it starts.

    Args:
        shape: Its full shape.
        bound: Weights start uniform in [-bound, bound]; a number, or an array that broadcasts to the shape.
        constant: Added to that (1 for the gain of a LayerNorm).
    """

    shape: tuple[int, ...]
    bound: float | np.ndarray
    constant: float = 0.0


class Family(Protocol):
    """What a module of `archgym.supernets` offers.

    Also `chain`, if its networks can grow (`archgym.net2net`), and `together`, if different networks that share weights
    can be computed in fewer steps than one after the other (`archgym.supernets.kernels.together`).
    """

    def parameters(self, networks: Sequence[Network], inputs: Inputs, outputs: int) -> dict[str, Parameter]:
        """Name the tensors that hold all these networks."""

    def crop(self, network: Network, inputs: Inputs, outputs: int) -> dict[str, Slices]:
        """Name the tensors of one network, layer by layer from the observation on, and the part of each that it uses.

        Tensors of one layer have one name before the last dot; a name that begins with `norm_` belongs to the layer
        before it.
        """

    def forward(self, network: Network, weights: Mapping[str, Tensor], observations: Tensor) -> Tensor:
        """Map observations (G, B, *shape) to values (G, B, outputs) with weights (G, *cropped shape)."""

    def module(self, network: Network, weights: Mapping[str, Tensor]) -> nn.Module:
        """Build a plain module with these weights (no leading axis), which needs no archgym to run."""

    def card(self, network: Network) -> dict[str, object]:
        """Describe the network for `best.json`."""


def family_of(space: SearchSpace) -> Family:
    """Find the supernet family of a space.

    Raises:
        ValueError: If its architectures are not networks, or the module that it names is no family.
    """
    if space.supernet is None:
        raise ValueError(f"search space {space.name!r} has no networks to train: it is for ArchSearch-Synthetic-v0.")
    module: Any = load("archgym.supernets", space.supernet, "supernet family")
    missing = [name for name in OFFERED if not callable(getattr(module, name, None))]
    if missing:
        raise ValueError(
            f"supernet family {space.supernet!r}: expected a module that defines {', '.join(OFFERED)}, got one without "
            f"{', '.join(missing)}."
        )
    family: Family = module
    return family


def variants(space: SearchSpace) -> list[Network]:
    """List the largest network and those that differ from it in one choice: they show every size of every layer."""
    largest = np.array(space.counts, dtype=np.int64) - 1
    vectors = [largest]
    for position, count in enumerate(space.counts):
        for option in range(count - 1):
            vectors.append(largest.copy())
            vectors[-1][position] = option
    return [space.network_of(vector) for vector in vectors]


class Layout:
    """Where the numbers of every network lie in the flat vector of a supernet.

    Args:
        family: The supernet family.
        networks: Networks that show all sizes, see `variants`; a single one makes a store of that network alone.
        inputs: Numbers in an observation, or the shape of an image.
        outputs: Numbers that a network gives.
    """

    def __init__(self, family: Family, networks: Sequence[Network], inputs: Inputs, outputs: int) -> None:
        self.family, self.inputs, self.outputs = family, inputs, outputs
        self.parameters = family.parameters(networks, inputs, outputs)
        sizes = [int(np.prod(parameter.shape)) for parameter in self.parameters.values()]
        self.size = sum(sizes)
        self._positions = {
            name: torch.arange(start, start + size).view(parameter.shape)
            for (name, parameter), size, start in zip(
                self.parameters.items(), sizes, np.cumsum([0, *sizes]).tolist(), strict=False
            )
        }
        self._known: dict[Network, tuple[Cuts, list[torch.Size]]] = {}

    def __deepcopy__(self, memo: object) -> "Layout":
        """Share it among copies of a supernet: it never changes."""
        return self

    def places(self, network: Network) -> dict[str, Tensor]:
        """Positions in the flat vector of each of a network's tensors, in its shape, int64."""
        cuts, _ = self._cut(network)
        return {name: self._positions[name][spans] for name, spans in cuts.items()}

    def positions(self, network: Network) -> Tensor:
        """Positions of a network's numbers in the flat vector, (network's parameter count,) int64."""
        return torch.cat([place.flatten() for place in self.places(network).values()])

    def views(self, network: Network, flat: Tensor) -> dict[str, Tensor]:
        """Cut a network's flat numbers (G, parameter count) into its tensors (G, *shape), without copying."""
        cuts, shapes = self._cut(network)
        parts = flat.split_with_sizes([shape.numel() for shape in shapes], dim=1)
        return {name: part.view(-1, *shape) for name, part, shape in zip(cuts, parts, shapes, strict=True)}

    def _cut(self, network: Network) -> tuple[Cuts, list[torch.Size]]:
        """The part of each tensor that a network uses, and its shape; asked for several times in every window."""
        known = self._known.get(network)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[network] = self._cut_out(network)
        return known

    def _cut_out(self, network: Network) -> tuple[Cuts, list[torch.Size]]:
        cuts: Cuts = {}
        shapes = []
        for name, given in self.family.crop(network, self.inputs, self.outputs).items():
            axes = [range(length) for length in self.parameters[name].shape]
            spans = zip(given, axes, strict=True)
            cuts[name] = tuple(cut.within(len(axis)) if isinstance(cut, Centred) else cut for cut, axis in spans)
            shapes.append(torch.Size(len(axis[cut]) for cut, axis in zip(cuts[name], axes, strict=True)))
        return cuts, shapes

    def initial(self, rng: np.random.Generator) -> Tensor:
        """Draw the starting weights, (size,) float32."""
        return torch.cat(
            [
                torch.from_numpy(
                    (rng.uniform(-1.0, 1.0, parameter.shape) * parameter.bound + parameter.constant)
                    .astype(np.float32)
                    .ravel()
                )
                for parameter in self.parameters.values()
            ]
        )


FIELDS = ("weight", "target", "exp_avg", "exp_avg_sq", "steps")


class Supernet:
    """The weights of one layout, with target weights, Adam's moments and step counts.

    Args:
        layout: Where what lies.
        rng: Draws the starting weights.
        device: Where the tensors lie.
    """

    def __init__(self, layout: Layout, rng: np.random.Generator, device: torch.device) -> None:
        self.layout = layout
        weight = layout.initial(rng).to(device)
        zeros = torch.zeros_like(weight)
        self.fields = {"weight": weight, "target": weight.clone()}
        self.fields |= {name: zeros.clone() for name in FIELDS[2:]}  # each (layout.size,)


@dataclass
class Subnets:
    """The checked-out numbers of G members with equal networks; what a trainer trains.

    Attributes:
        network: The plain network that they share.
        fields: For each of `FIELDS`, the flat numbers, (G, parameter count).
        layout: Cuts them into tensors.
        positions: Where the numbers lie in a supernet, (parameter count,).
    """

    network: Network
    fields: dict[str, Tensor]
    layout: Layout
    positions: Tensor

    def views(self, name: str) -> dict[str, Tensor]:
        """Cut a field into the network's tensors, (G, *shape)."""
        return self.cut(self.fields[name])

    def cut(self, flat: Tensor) -> dict[str, Tensor]:
        """Cut flat numbers (G, parameter count) into the network's tensors, (G, *shape), without copying."""
        return self.layout.views(self.network, flat)

    def forward(self, weights: Mapping[str, Tensor], observations: Tensor) -> Tensor:
        """Values of all actions, (G, B, actions), for observations (G, B, *observation shape)."""
        return self.layout.family.forward(self.network, weights, observations)


def check_out(supernets: Sequence[Supernet], network: Network, sync_target: Sequence[bool]) -> Subnets:
    """Copy one network's numbers out of the supernets of G members.

    Args:
        supernets: One per member; their layouts are alike.
        network: Which network.
        sync_target: Per member, whether target weights start as a copy of the weights (as after a switch).
    """
    layout = supernets[0].layout
    positions = layout.positions(network).to(supernets[0].fields["weight"].device)
    weight = supernets[0].fields["weight"]
    fields = {name: weight.new_empty(len(supernets), len(positions)) for name in FIELDS}
    for name, field in fields.items():  # gathered in place: three times as fast as by indexing
        for row, net in enumerate(supernets):
            torch.index_select(net.fields[name], 0, positions, out=field[row])
    synced = torch.tensor(list(sync_target), device=positions.device)[:, None]
    fields["target"] = torch.where(synced, fields["weight"], fields["target"])
    return Subnets(network, fields, layout, positions)


def check_in(supernets: Sequence[Supernet], subnets: Subnets, keep: Sequence[bool]) -> None:
    """Write trained numbers back; a member whose `keep` is False (it diverged) stays as it was before the window."""
    for row, (net, kept) in enumerate(zip(supernets, keep, strict=True)):
        if kept:
            for name in FIELDS:
                net.fields[name].scatter_(0, subnets.positions, subnets.fields[name][row])
