"""Transfer: what the next architecture inherits at a switch.

A *store* is what a learner lives on: a supernet, a replay, and how much it has been trained. The rules differ in which
store an architecture is checked out of:

* `shared`: one store for all, a supernet over the whole space; overlapping slices, replay and exploration go on.
* `own`: one store per architecture; a repeat visit continues it as if nothing had happened between.
* `fresh`: a new store for every window.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from archgym.replay import Content
from archgym.search_space import Network
from archgym.seeding import Consumer, generator
from archgym.supernet import Layout, Supernet


@dataclass
class Store:
    """What a learner lives on.

    Attributes:
        supernet: Its weights; those of all members where they share them.
        replay: Its replay while another store's lies in the member's ring; None: empty, or in the ring.
        steps: Environment steps it has been trained for.
        windows: Windows it has been trained for.
    """

    supernet: Supernet
    replay: Content | None = None
    steps: int = 0
    windows: int = 0


@dataclass
class Lifetime:
    """One member: its seed, its stores, and what the rewards need to remember.

    Attributes:
        seed: Everything that happens in it derives from this.
        windows: Windows done.
        last: The architecture trained in the window before, as a label; a diverged window leaves it as it was.
        stores: By key: "" for a store of all architectures, else the architecture's label; `fresh` keeps the last one.
        active: Key of the store whose replay lies in the ring.
        last_return: Normalised return of the window before.
    """

    seed: int
    windows: int = 0
    last: str | None = None
    stores: dict[str, Store] = field(default_factory=dict)
    active: str | None = None
    last_return: float = 0.0


@dataclass(frozen=True)
class Transfer:
    """The rule in force.

    Args:
        name: `shared`, `own` or `fresh`.
        layout: Builds the layout of a network alone, or of the whole space (None).
        device: Where weights lie.
    """

    name: str
    layout: Callable[[Network | None], Layout]
    device: torch.device

    def key(self, label: str) -> str:
        """Name the store of an architecture."""
        return "" if self.name == "shared" else label

    def store(self, lifetime: Lifetime, label: str, network: Network) -> Store:
        """Find the store that holds an architecture's present weights, or begin one (which is not kept yet)."""
        return lifetime.stores.get(self.key(label)) or self.begin(lifetime, network)

    def store_to_train(self, lifetime: Lifetime, label: str, network: Network) -> Store:
        """Find the store that an architecture is checked out of for its next window, and keep it."""
        store = self.begin(lifetime, network) if self.name == "fresh" else self.store(lifetime, label, network)
        if self.name == "fresh":
            lifetime.stores.clear()
        lifetime.stores[self.key(label)] = store
        return store

    def begin(self, lifetime: Lifetime, network: Network) -> Store:
        """Begin a store from nothing."""
        layout = self.layout(None if self.name == "shared" else network)
        rng = generator(lifetime.seed, Consumer.WEIGHTS, lifetime.windows if self.name == "fresh" else 0)
        return Store(Supernet(layout, rng, self.device))

    def stream(self, lifetime: Lifetime, store: Store) -> int:
        """Number the window for its random numbers.

        It is the store's own age, so that `own` repeats a from-scratch curve whatever was visited between; where every
        window starts from scratch it is the lifetime's.
        """
        return lifetime.windows if self.name == "fresh" else store.windows

    def syncs_target(self, switched: bool) -> bool:
        """Tell whether target weights start as a copy of the weights: the slices served another network before."""
        return switched and self.name == "shared"
