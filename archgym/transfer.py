"""Transfer: what the next architecture inherits at a switch.

A *store* is what a learner lives on: weights, a replay, and how much it has been trained. The rules differ in which
store an architecture is checked out of:

* `shared`: one store for all, a supernet over the whole space; overlapping slices, replay and exploration go on.
* `matching`: one store for all, which holds one network at a time. At a switch the next network takes over the layers
  of the same name and shapes, and starts with fresh values in all others; replay and exploration go on.
* `own`: one store per architecture; a repeat visit continues it as if nothing had happened between.
* `fresh`: a new store for every window.

Where there is one store for all, the settings `optimizer`, `replay_keep` and `exploration` say what else becomes of it
at a switch. With `reset_layers` they act at the start of every window but a lifetime's first, and so many of the last
layers begin anew then. A window that diverges leaves weights and network as they were before it.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from archgym import inheritance
from archgym.replay import Content, Replay
from archgym.search_space import Network
from archgym.seeding import Consumer, generator
from archgym.settings import SEPARATE, Settings
from archgym.supernet import Layout, Supernet


@dataclass
class Store:
    """What a learner lives on.

    Attributes:
        supernet: Its weights; those of all members where they share them.
        network: Label of the architecture whose network alone the supernet holds; "": it holds the whole space.
        replay: Its replay while another store's lies in the member's ring; None: empty, or in the ring.
        steps: Environment steps it has been trained for; a cut replay may set them back, so that learning waits.
        explored: Environment steps that its exploration rate goes by.
        windows: Windows it has been trained for.
    """

    supernet: Supernet
    network: str
    replay: Content | None = None
    steps: int = 0
    explored: int = 0
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
class Schedule:
    """What a learner's settings say about its beginning; 0 where its trainer has no such setting.

    Attributes:
        halfway: Steps after which the exploration rate has fallen halfway.
        learning_starts: Steps before the first gradient step.
        batch_size: Transitions in a minibatch.
    """

    halfway: int = 0
    learning_starts: int = 0
    batch_size: int = 0


@dataclass(frozen=True)
class Transfer:
    """The rules in force.

    Args:
        settings: `transfer`, and what is inherited beside weights.
        layout: Builds the layout of a network alone, or of the whole space (None).
        network_of: Gives the network of a label.
        schedule: Of the learners.
        device: Where weights lie.
    """

    settings: Settings
    layout: Callable[[Network | None], Layout]
    network_of: Callable[[str], Network]
    schedule: Schedule
    device: torch.device

    @property
    def name(self) -> str:
        """`shared`, `matching`, `own` or `fresh`."""
        return self.settings.transfer

    def key(self, label: str) -> str:
        """Name the store of an architecture."""
        return label if self.name in SEPARATE else ""

    def store(self, lifetime: Lifetime, label: str) -> Store:
        """Find the store that an architecture's present weights come from, or begin one (which is not kept yet)."""
        return lifetime.stores.get(self.key(label)) or self.begin(lifetime, label)

    def store_to_train(self, lifetime: Lifetime, label: str) -> Store:
        """Find the store that an architecture is trained in for its next window, and keep it."""
        store = self.begin(lifetime, label) if self.name == "fresh" else self.store(lifetime, label)
        if self.name == "fresh":
            lifetime.stores.clear()
        lifetime.stores[self.key(label)] = store
        return store

    def begin(self, lifetime: Lifetime, label: str) -> Store:
        """Begin a store from nothing."""
        shared = self.name == "shared"
        layout = self.layout(None if shared else self.network_of(label))
        rng = generator(lifetime.seed, Consumer.WEIGHTS, lifetime.windows if self.name == "fresh" else 0)
        return Store(Supernet(layout, rng, self.device), "" if shared else label)

    def weights(self, lifetime: Lifetime, label: str) -> Supernet:
        """Give what holds an architecture's present weights: those that a switch to it would give, if there is one.

        Args:
            lifetime: Whose; it is not changed.
            label: The architecture's.
        """
        store = self.store(lifetime, label)
        if store.network in ("", label):
            return store.supernet
        before, after = self.network_of(store.network), self.network_of(label)
        rng = generator(lifetime.seed, Consumer.WEIGHTS, lifetime.windows)
        return inheritance.matching(store.supernet, before, self.layout(after), after, rng)

    def weights_to_train(self, lifetime: Lifetime, label: str, switched: bool) -> Supernet:
        """Give what an architecture is checked out of for its next window.

        It is not the store's own where a window that diverges must not leave its mark; `keep` puts it there.
        """
        supernet, resets = self.weights(lifetime, label), self.settings.optimizer == "reset"
        if not self.acts(lifetime, switched) or not (resets or self.settings.reset_layers):
            return supernet
        changed, network = copy.deepcopy(supernet), self.network_of(label)
        if resets:
            inheritance.forget_moments(changed, network)
        if self.settings.reset_layers:
            rng = generator(lifetime.seed, Consumer.WEIGHTS, lifetime.windows, 1)
            inheritance.renew(changed, network, self.settings.reset_layers, rng)
        return changed

    def acts(self, lifetime: Lifetime, switched: bool) -> bool:
        """Tell whether a window begins with what `optimizer`, `replay_keep` and `exploration` say."""
        if self.name in SEPARATE:
            return False
        return switched or (self.settings.reset_layers > 0 and lifetime.windows > 0)

    def cut_back(self, store: Store, replay: Replay | None, member: int) -> None:
        """Take from a store what `replay_keep` and `exploration` do not leave it; its replay lies in the member's ring.

        Learning goes on once the replay holds a minibatch, or `learning_starts` transitions where these are fewer.
        """
        if self.settings.exploration == "restart":
            store.explored = 0
        elif self.settings.exploration == "bump":
            store.explored = min(store.explored, self.schedule.halfway)
        if replay is None or self.settings.replay_keep == 1:
            return
        starts = self.schedule.learning_starts
        missing = min(self.schedule.batch_size, starts) - replay.keep(member, self.settings.replay_keep)
        if missing > 0:
            store.steps = min(store.steps, starts - missing)

    def keep(self, store: Store, label: str, supernet: Supernet) -> None:
        """Let a store go on with what was trained."""
        store.supernet, store.network = supernet, label if store.network else ""

    def stream(self, lifetime: Lifetime, store: Store) -> int:
        """Number the window for its random numbers.

        It is the store's own age, so that `own` repeats a from-scratch curve whatever was visited between; where every
        window starts from scratch it is the lifetime's.
        """
        return lifetime.windows if self.name == "fresh" else store.windows

    def syncs_target(self, switched: bool) -> bool:
        """Tell whether target weights start as a copy of the weights: the slices served another network before."""
        return switched and self.name == "shared"
