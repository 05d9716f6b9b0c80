"""One supernet for all members of a population (`share_weights=True`): their subnets train it together, step by step.

ENAS (arXiv 1802.03268) and SPOS (arXiv 1904.00420) draw one architecture per gradient step. Here every member has its
own for a window, and every step is made by all of them at once:

    g_i = mean over the members that use number i of the gradients of their losses, each on its own minibatch, by i

and Adam moves number i against g_i. A number that no subnet of the window uses keeps its weight, moments and step
count. The mean is over those who use a number and not over all K, so that the size of its gradient, which Adam's
moments remember, does not depend on how many others do.

The numbers in use are checked out once, as a *union*. A learner that only adds the members' gradients up (DQN) computes
with the union's own tensors: members of equal networks as one minibatch, and layers that all networks have in common on
the observations of all. Where each member's gradient is cut to length first (PQN, PPO), every group computes with
copies.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archgym.learners.adam import Adam, Numbers
from archgym.search_space import Network
from archgym.supernet import FIELDS, Subnets, Supernet
from archgym.training import Group

Cuts = dict[str, tuple[torch.Size, Tensor | None]]
"""Of a network's tensors, by name: the shape, and the places of its numbers among those that a union holds of the
supernet's tensor; None where it is all of them."""


class Union:
    """The numbers that the subnets of a window use, each once.

    Args:
        supernet: Of all members.
        networks: One per group.
        sync_target: Per group and member, whether target weights start as a copy of the weights (as after a switch); a
            number's do where any member that uses it says so.

    Attributes:
        positions: (U,) where they lie in the supernet, ascending.
        fields: For each of `FIELDS`, (1, U).
        users: (U,) how many members use each.
        own: (numbers of the network,) of each group, where they lie in the supernet.
        copies: Of each group that has them, in the order in which their gradients come: weights (members of the group,
            numbers of the network), and their places.
        adam: What moves the numbers where groups have copies; the first group's learner makes it.
        gradient: (U,) the sum of the gradients of groups with copies.
        diverged: Whether a number of groups with copies was not finite when the window ended.
    """

    gradient: Tensor

    def __init__(self, supernet: Supernet, networks: Sequence[Network], sync_target: Sequence[Sequence[bool]]) -> None:
        self.layout = supernet.layout
        self.device = supernet.fields["weight"].device
        self.own = [self.layout.positions(network) for network in networks]
        users, synced = torch.zeros(self.layout.size), torch.zeros(self.layout.size, dtype=torch.bool)
        for one, syncs in zip(self.own, sync_target, strict=True):
            users[one] += len(syncs)
            synced[one] |= any(syncs)
        self.positions = users.nonzero().flatten()
        self.rank = users.bool().cumsum(0, dtype=torch.int32) - 1  # of each number of the supernet among those in use
        there = self.positions.to(self.device)
        self.fields = {name: supernet.fields[name][there][None] for name in FIELDS}
        begins = synced[self.positions].to(self.device)
        self.fields["target"] = torch.where(begins, self.fields["weight"], self.fields["target"])
        self.users = users[self.positions].to(self.fields["weight"])
        self.copies: list[tuple[Tensor, Tensor]] = []
        self.adam: Adam | None = None
        self.diverged = False

        sizes = [int(np.prod(parameter.shape)) for parameter in self.layout.parameters.values()]
        ends = torch.searchsorted(self.positions, torch.tensor(sizes).cumsum(0)).tolist()
        spans = zip(self.layout.parameters, [0, *ends], ends, strict=False)
        self.spans = {name: slice(start, end) for name, start, end in spans if end > start}

    def cut(self, flat: Tensor) -> dict[str, Tensor]:
        """Cut (1, U) into the parts that belong to the supernet's tensors, (1, numbers), without copying."""
        return {name: flat[:, span] for name, span in self.spans.items()}

    def views(self, name: str) -> dict[str, Tensor]:
        """Cut a field into the parts that belong to the supernet's tensors, (1, numbers)."""
        return self.cut(self.fields[name])

    def places(self, positions: Tensor) -> Tensor:
        """Find positions in the supernet among the numbers in use."""
        return self.rank[positions].long().to(self.device)

    def cuts(self, network: Network) -> Cuts:
        """Tell where the tensors of one of the networks lie in these parts."""
        found: Cuts = {}
        for name, positions in self.layout.places(network).items():
            span = self.spans[name]
            whole = positions.numel() == span.stop - span.start
            found[name] = positions.shape, None if whole else self.places(positions.flatten()) - span.start
        return found

    def check_in(self, supernet: Supernet) -> None:
        """Write trained numbers back."""
        positions = self.positions.to(self.device)
        for name in FIELDS:
            supernet.fields[name].scatter_(0, positions, self.fields[name][0])


class Joined(Subnets):
    """The networks of all members of a union, as a learner sees them that adds their gradients up.

    Args:
        groups: Of the union, in any order; their subnets are `Share`s.

    Attributes:
        group: All their members: those with equal networks next to each other, in the order of `networks`.
        networks: The different ones; `network` is the first.
        counts: How many members have each.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        first = groups[0].subnets
        assert isinstance(first, Share), "who joins them has looked"
        assert len({group.steps for group in groups}) == 1, "members that share weights live in step"
        union = self.union = first.union
        super().__init__(first.network, union.fields, union.layout, union.positions)
        rows: dict[Network, list[int]] = {}
        for group in groups:
            rows.setdefault(group.subnets.network, []).extend(group.rows)
        self.networks, self.counts = list(rows), [len(own) for own in rows.values()]
        self.group = Group([row for own in rows.values() for row in own], self, groups[0].steps)
        self._cuts = [self.union.cuts(network) for network in self.networks]

    def cut(self, flat: Tensor) -> dict[str, Tensor]:
        """See `Union.cut`."""
        return self.union.cut(flat)

    def forward(self, weights: Mapping[str, Tensor], observations: Tensor) -> Tensor:
        """Values of all actions, (M, B, actions).

        Args:
            weights: As `views` gives them.
            observations: (M, B, *observation shape).
        """
        whole: dict[str, Tensor] = {}  # so that what is the same for several networks is one tensor

        def tensor(name: str, shape: torch.Size, places: Tensor | None) -> Tensor:
            if places is not None:
                return weights[name].index_select(1, places).view(1, *shape)
            if name not in whole:
                whole[name] = weights[name].view(1, *shape)
            return whole[name]

        own = [{name: tensor(name, *cut) for name, cut in cuts.items()} for cuts in self._cuts]
        ends = accumulate(self.counts, initial=0)
        parts = [observations[start:end].flatten(0, 1)[None] for start, end in pairwise(ends)]
        family: Any = self.layout.family
        if hasattr(family, "together"):
            outputs = family.together(self.networks, own, parts)
        else:
            given = zip(self.networks, own, parts, strict=True)
            outputs = [family.forward(*one) for one in given]
        return torch.cat(outputs, dim=1).view(len(observations), observations.shape[1], -1)


@dataclass
class Share(Subnets):
    """What one group uses of a union; without numbers of its own until it is `copied`.

    Attributes:
        union: Whose numbers they are.
        count: Members of the group.
        number: Of the group among those that are copied, in (0, ..., copied groups - 1).
    """

    union: Union
    count: int
    number: int = -1

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
) -> tuple[Union, list[Share]]:
    """Copy the numbers of a window's networks out of the one supernet.

    Args:
        supernet: Of all members.
        networks: One per group.
        sync_target: See `Union`.

    Returns:
        The union, and what each group uses of it.
    """
    union = Union(supernet, networks, sync_target)
    given = zip(networks, union.own, sync_target, strict=True)
    return union, [Share(network, {}, union.layout, own, union, len(syncs)) for network, own, syncs in given]


def joined(groups: Sequence[Group]) -> Sequence[Group]:
    """Make one group of those that share weights, for a learner that adds gradients up; others stay as they are."""
    return [Joined(groups).group] if isinstance(groups[0].subnets, Share) else groups


def copied(subnets: Subnets) -> Subnets:
    """Give every member of a group weights of its own, if they share some; called once per group, in turns."""
    if isinstance(subnets, Share):
        union, places = subnets.union, subnets.union.places(subnets.positions)
        subnets.fields = {"weight": union.fields["weight"][:, places].repeat(subnets.count, 1)}
        subnets.number = len(union.copies)
        union.copies.append((subnets.fields["weight"], places))
    return subnets


def optimizer(make: Callable[[Numbers], Adam], subnets: Subnets) -> Adam:
    """Make what follows the gradients of a group: an optimizer of its own, or one that means those of a union.

    Args:
        make: Makes an optimizer of numbers.
        subnets: Of the group.
    """
    if isinstance(subnets, Joined):
        return Mean(make(subnets), subnets.union)
    if not isinstance(subnets, Share):
        return make(subnets)
    if subnets.leads:
        subnets.union.adam = Mean(make(subnets.union), subnets.union)
    return Turn(subnets)


class Mean(Adam):
    """Moves the numbers of a union.

    Args:
        adam: What follows the mean.
        union: Says how many members use each number.
    """

    def __init__(self, adam: Adam, union: Union) -> None:
        self.adam, self.users, self.gradient_steps = adam, union.users, 0

    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """Follow the sum of the members' gradients (1, U), which becomes their mean."""
        self.adam.step(gradient.div_(self.users), learning_rate)
        self.gradient_steps += 1

    def finish(self) -> NDArray[np.bool_]:
        """Count the gradient steps, and tell whether a number is not finite, (1,)."""
        return self.adam.finish()


class Turn(Adam):
    """A group's share in a union's steps: one is made when the gradients of the last group have come.

    Args:
        share: Of the group, with copies. Groups take turns in the order of `Union.copies`, once per step.
    """

    def __init__(self, share: Share) -> None:
        self.share, self.union, self.gradient_steps = share, share.union, 0
        self.places = share.union.copies[share.number][1]
        if share.leads:
            self.union.gradient = torch.zeros_like(self.union.users)

    @torch.no_grad()
    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """Add the members' gradients (G, parameter count) to the union's; the last group makes the step."""
        union = self.union
        if self.share.leads:
            union.gradient.zero_()
        union.gradient.index_add_(0, self.places, gradient.sum(0))
        self.gradient_steps += 1
        if self.share.closes:
            assert union.adam is not None, "the first group's learner makes it"
            union.adam.step(union.gradient[None], learning_rate)
            for weight, places in union.copies:
                weight.copy_(union.fields["weight"].index_select(1, places))

    def finish(self) -> NDArray[np.bool_]:
        """Count the union's gradient steps, and tell whether a number of it is not finite, alike for all members."""
        union = self.union
        if self.share.leads:
            assert union.adam is not None, "the first group's learner makes it"
            union.diverged = bool(union.adam.finish()[0])
        return np.full(self.share.count, union.diverged)
