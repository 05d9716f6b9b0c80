"""One supernet for all members of a population (`share_weights=True`): their subnets train it together, step by step.

ENAS (arXiv 1802.03268) and SPOS (arXiv 1904.00420) draw one architecture per gradient step. Here every member has its
own for a window, and every step is made by all of them at once:

    g_i = mean over the members that use number i of the gradients of their losses, each on its own minibatch, by i

and Adam moves number i against g_i. A number that no subnet of the window uses keeps its weight, moments and step
count. The mean is over those who use a number and not over all K, so that the size of its gradient, which Adam's
moments remember, does not depend on how many others do. PQN and PPO cut each member's gradient to length first.

The numbers in use are checked out once, as a *union*; what the groups compute with are copies of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archgym.learners.adam import Adam, Numbers
from archgym.search_space import Network
from archgym.supernet import FIELDS, Layout, Subnets, Supernet

COPIED = ("weight", "target")  # the fields that networks are computed with


@dataclass
class Union:
    """The numbers that the subnets of a window use, each once.

    Attributes:
        positions: (U,) where they lie in the supernet, ascending.
        fields: For each of `FIELDS`, (1, U).
        users: (U,) how many members use each.
        layout: The supernet's.
        copies: Of each group, in the order in which their gradients come: the fields of its `Copies`, and their places.
        adam: What moves the numbers; the first group's learner makes it.
        diverged: Whether a number was not finite when the window ended.
    """

    positions: Tensor
    fields: dict[str, Tensor]
    users: Tensor
    layout: Layout
    copies: list[tuple[dict[str, Tensor], Tensor]] = field(default_factory=list)
    adam: Adam | None = None
    diverged: bool = False

    def __post_init__(self) -> None:
        """Make room for the sum of the gradients, (U,)."""
        self.gradient = torch.zeros_like(self.users)

    def views(self, name: str) -> dict[str, Tensor]:
        """Cut a field into the parts that belong to the supernet's tensors, (1, numbers), empty ones left out."""
        sizes = [int(np.prod(parameter.shape)) for parameter in self.layout.parameters.values()]
        ends = torch.searchsorted(self.positions, torch.tensor(sizes).cumsum(0)).tolist()
        spans = zip(self.layout.parameters, [0, *ends], ends, strict=False)
        return {tensor: self.fields[name][:, start:end] for tensor, start, end in spans if end > start}

    @torch.no_grad()
    def refresh(self, name: str) -> None:
        """Bring a field of all copies up to date."""
        for fields, places in self.copies:
            fields[name].copy_(self.fields[name].index_select(1, places))

    def check_in(self, supernet: Supernet) -> None:
        """Write trained numbers back."""
        positions = self.positions.to(self.users.device)
        for name in FIELDS:
            supernet.fields[name].scatter_(0, positions, self.fields[name][0])


@dataclass
class Copies(Subnets):
    """The numbers of one group, copied from a union for every member: the fields in `COPIED` and no others.

    Attributes:
        union: Whose numbers they are.
        number: Of the group, in (0, ..., groups - 1).
    """

    union: Union
    number: int

    @property
    def leads(self) -> bool:
        """Whether its gradients come first."""
        return self.number == 0

    @property
    def closes(self) -> bool:
        """Whether its gradients come last."""
        return self.number == len(self.union.copies) - 1


def check_out(
    supernet: Supernet, networks: Sequence[Network], sync_target: Sequence[Sequence[bool]]
) -> tuple[Union, list[Copies]]:
    """Copy the numbers of a window's networks out of the one supernet, and from there for each group.

    Args:
        supernet: Of all members.
        networks: One per group.
        sync_target: Per group and member, whether target weights start as a copy of the weights (as after a switch); a
            number's do where any member that uses it says so.

    Returns:
        The union, and the copies of each group.
    """
    layout, device = supernet.layout, supernet.fields["weight"].device
    own = [layout.positions(network) for network in networks]
    users = torch.zeros(layout.size)
    for one, syncs in zip(own, sync_target, strict=True):
        users[one] += len(syncs)
    positions = users.nonzero().flatten()
    places = [torch.searchsorted(positions, one) for one in own]
    synced = torch.zeros(len(positions), dtype=torch.bool)
    for place, syncs in zip(places, sync_target, strict=True):
        synced[place] |= any(syncs)
    there = positions.to(device)
    fields = {name: supernet.fields[name][there][None] for name in FIELDS}
    fields["target"] = torch.where(synced.to(device), fields["weight"], fields["target"])
    union = Union(positions, fields, users[positions].to(fields["weight"]), layout)
    for place, syncs in zip(places, sync_target, strict=True):
        moved = place.to(device)
        union.copies.append(({name: fields[name][:, moved].repeat(len(syncs), 1) for name in COPIED}, moved))
    copies = zip(networks, union.copies, own, strict=True)
    return union, [
        Copies(network, copied, layout, lies, union, number)
        for number, (network, (copied, _), lies) in enumerate(copies)
    ]


def move_target(subnets: Subnets, tau: float) -> None:
    """Move target weights towards the weights; those of a union once, when its first group asks."""
    if not isinstance(subnets, Copies):
        subnets.fields["target"].lerp_(subnets.fields["weight"], tau)
    elif subnets.leads:
        subnets.union.fields["target"].lerp_(subnets.union.fields["weight"], tau)
        subnets.union.refresh("target")


def optimizer(make: Callable[[Numbers], Adam], subnets: Subnets) -> Adam:
    """Make what follows the gradients of a group: an optimizer of its own, or its share in that of a union.

    Args:
        make: Makes an optimizer of numbers.
        subnets: Of the group.
    """
    if not isinstance(subnets, Copies):
        return make(subnets)
    if subnets.leads:
        subnets.union.adam = make(subnets.union)
    return Joint(subnets)


class Joint(Adam):
    """A group's share in a union's optimizer: the step is made when the last group's gradient has come.

    Args:
        subnets: Of the group. Groups take turns in the order of `Union.copies`, once per step.
    """

    def __init__(self, subnets: Copies) -> None:
        self.subnets, self.fields, self.gradient_steps = subnets, subnets.fields, 0
        self.places = subnets.union.copies[subnets.number][1]

    @torch.no_grad()
    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """Add the members' gradients (G, parameter count) to the union's; the last group makes the step."""
        union = self.subnets.union
        if self.subnets.leads:
            union.gradient.zero_()
        union.gradient.index_add_(0, self.places, gradient.sum(0))
        self.gradient_steps += 1
        if self.subnets.closes:
            assert union.adam is not None, "the first group's learner makes it"
            union.adam.step((union.gradient / union.users)[None], learning_rate)
            union.refresh("weight")

    def finish(self) -> NDArray[np.bool_]:
        """Count the union's gradient steps, and tell whether a number of it is not finite, alike for all members."""
        union = self.subnets.union
        if self.subnets.leads:
            assert union.adam is not None, "the first group's learner makes it"
            union.diverged = bool(union.adam.finish()[0])
        return np.full(len(self.fields["weight"]), union.diverged)
