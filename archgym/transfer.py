"""Transfer: what the next architecture inherits at a switch.

A *store* is what a learner lives on: weights, a replay, and how much it has been trained. The rules differ in which
store an architecture is checked out of:

* `shared`: one store for all, a supernet over the whole space; overlapping slices, replay and exploration go on. The
  slices of the first architecture start with the weights that it has under every other rule.
* `matching`: one store for all, which holds one network at a time. At a switch the next network takes over the layers
  of the same place and shapes, the head among them, and starts with fresh values in all others; replay and exploration
  go on.
* `restart`: as `matching`, but no layer is taken over: what a switch costs where weights hand nothing on.
* `net2net`: as `matching`, but the next network computes what the last one did, where it can (`archgym.net2net`).
* `distil`: as `matching`, and then the next network is taught the values of the last one on the replay that is left
  (`archgym.learners.distillation`); these gradient steps count.
* `own`: one store per architecture; a repeat visit continues it as if nothing had happened between.
* `fresh`: a new store for every window.

Where there is one store for all, the settings `optimizer`, `replay_keep` and `exploration` say what else becomes of it
at a switch. With `reset_layers` they act at the start of every window but a lifetime's first, and so many of the last
layers begin anew then. A window that diverges leaves weights and network as they were before it.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from archgym import inheritance
from archgym.learners.distillation import distil
from archgym.replay import Content, Replay
from archgym.search_space import Network
from archgym.seeding import Consumer, generator
from archgym.settings import SEPARATE, Settings
from archgym.supernet import Layout, Supernet, check_in, check_out

LESSONS = 400  # gradient steps that teach a network at a switch, see `Settings.distil_steps`


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
class Transfer:
    """The rules in force.

    Args:
        settings: `transfer`, and what is inherited beside weights.
        config: The trainer's resolved settings.
        horizon: Environment steps that one learner lives for, H.
        layout: Builds the layout of a network alone, or of the whole space (None).
        network_of: Gives the network of a label.
        replay: The rings of all members, for trainers that have one.
        device: Where weights lie.
    """

    settings: Settings
    config: Any
    horizon: int
    layout: Callable[[Network | None], Layout]
    network_of: Callable[[str], Network]
    replay: Replay | None
    device: torch.device

    @property
    def name(self) -> str:
        """One of `archgym.settings.TRANSFERS`."""
        return self.settings.transfer

    @property
    def enough(self) -> int:
        """Transitions that a replay must hold to be learned from: a minibatch, or `learning_starts` if fewer."""
        return int(min(self.config.batch_size, self.config.learning_starts))

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
        """Begin a store from nothing, with the first weights that the architecture has under every rule."""
        network = self.network_of(label)
        rng = generator(lifetime.seed, Consumer.WEIGHTS, lifetime.windows if self.name == "fresh" else 0)
        alone = Supernet(self.layout(network), rng, self.device)
        if self.name != "shared":
            return Store(alone, label)
        whole = Supernet(self.layout(None), generator(lifetime.seed, Consumer.WEIGHTS, 0, 1), self.device)
        inheritance.start(whole, network, alone)
        return Store(whole, "")

    def weights(self, lifetime: Lifetime, label: str, member: int) -> Supernet:
        """Give what holds an architecture's present weights: those that a switch to it would give, if there is one.

        Args:
            lifetime: Whose; it is not changed.
            label: The architecture's.
            member: Whose ring of the replay is the lifetime's.
        """
        store = self.store(lifetime, label)
        if store.network in ("", label):
            return store.supernet
        if self.replay is None:
            return self.hand_over(lifetime, store, label, member)
        filled = int(self.replay.filled[member])
        self.replay.keep(member, self.settings.replay_keep)
        try:
            return self.hand_over(lifetime, store, label, member)
        finally:
            self.replay.filled[member] = filled

    def hand_over(self, lifetime: Lifetime, store: Store, label: str, member: int) -> Supernet:
        """Make the network of a label from the one that a store holds; its replay is cut already."""
        before, after = self.network_of(store.network), self.network_of(label)
        rng = generator(lifetime.seed, Consumer.WEIGHTS, lifetime.windows)
        if self.name == "restart":
            return Supernet(self.layout(after), rng, self.device)
        make = inheritance.grown if self.name == "net2net" else inheritance.matching
        new = make(store.supernet, before, self.layout(after), after, rng)
        lessons = self.lessons(store, label, member)
        if lessons and self.replay is not None:
            (teacher, pupil) = (
                check_out([net], network, [False]) for net, network in ((store.supernet, before), (new, after))
            )
            rng = generator(lifetime.seed, Consumer.REPLAY, lifetime.windows, 1)
            distil(self.config, pupil, teacher, self.replay, member, lessons, rng)
            check_in([new], pupil, [True])
        return new

    def lessons(self, store: Store, label: str, member: int) -> int:
        """Count the steps that teach a network what the one before it knew; none where too little replay is left."""
        if self.name != "distil" or store.network == label or self.replay is None:
            return 0
        there = (int(self.replay.filled[member]) - 1) * self.replay.envs
        return (self.settings.distil_steps or LESSONS) if there >= self.enough else 0

    def weights_to_train(self, lifetime: Lifetime, label: str, member: int, switched: bool) -> Supernet:
        """Give what an architecture is checked out of for its next window; its replay is cut already.

        It is not the store's own where a window that diverges must not leave its mark; `keep` puts it there.
        """
        store, resets = self.store(lifetime, label), self.settings.optimizer == "reset"
        supernet = store.supernet
        if store.network not in ("", label):
            supernet = self.hand_over(lifetime, store, label, member)
        if not self.acts(lifetime, switched) or not (resets or self.settings.reset_layers):
            return supernet
        changed, network = copy.deepcopy(supernet), self.network_of(label)
        if resets:
            inheritance.forget_moments(changed, network)
        if self.settings.reset_layers:
            rng = generator(lifetime.seed, Consumer.WEIGHTS, lifetime.windows, 1)
            anew = Supernet(self.layout(network), rng, self.device)
            inheritance.renew(changed, network, self.settings.reset_layers, anew)
        return changed

    def acts(self, lifetime: Lifetime, switched: bool) -> bool:
        """Tell whether a window begins with what `optimizer`, `replay_keep` and `exploration` say."""
        if self.name in SEPARATE:
            return False
        return switched or (self.settings.reset_layers > 0 and lifetime.windows > 0)

    def cut_back(self, store: Store, member: int) -> None:
        """Take from a store what `replay_keep` and `exploration` do not leave it; its replay lies in the member's ring.

        Learning goes on once the replay holds enough again.
        """
        if self.settings.exploration == "restart":
            store.explored = 0
        elif self.settings.exploration == "bump":
            store.explored = min(store.explored, self.config.halfway(self.horizon))
        if self.replay is None or self.settings.replay_keep == 1:
            return
        missing = self.enough - self.replay.keep(member, self.settings.replay_keep)
        if missing > 0:
            store.steps = min(store.steps, self.config.learning_starts - missing)

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
