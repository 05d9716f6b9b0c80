"""The state of a population as arrays and JSON: everything that its future depends on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archgym.evaluator import State
from archgym.replay import Content, Replay
from archgym.supernet import FIELDS, Supernet
from archgym.transfer import Lifetime, Store, Transfer

PLAIN = ("seed", "windows", "last", "active", "last_return")  # what a lifetime has beside its stores
OF_STORE = ("network", "steps", "explored", "windows")  # what a store has beside weights and replay


def capture(lifetimes: Sequence[Lifetime], replay: Replay | None) -> State:
    """Copy the lifetimes of all members and their rings, if there are any."""
    meta: dict[str, Any] = {"lifetimes": []}
    arrays: dict[str, NDArray[Any]] = {}
    kept: dict[int, str] = {}  # by supernet: where it is; members that share one keep it once
    for member, life in enumerate(lifetimes):
        stores = {}
        for number, (key, store) in enumerate(life.stores.items()):
            content = replay.get(member) if replay is not None and key == life.active else store.replay
            name = f"{member}/{number}"
            stores[key] = {"name": name, **{field: getattr(store, field) for field in OF_STORE}}
            owner = kept.setdefault(id(store.supernet), name)
            if owner == name:
                arrays |= {f"{name}/{field}": _copy(store.supernet.fields[field]) for field in FIELDS}
            else:
                stores[key]["supernet"] = owner
            if content is not None:
                stores[key] |= {"head": content.head, "filled": content.filled}
                arrays[f"{name}/observations"] = _copy(content.observations)
                arrays[f"{name}/steps_taken"] = _copy(content.steps)
        meta["lifetimes"].append({**{name: getattr(life, name) for name in PLAIN}, "stores": stores})
    return State(meta, arrays)


def restore(
    state: State, members: int, transfer: Transfer, replay: Replay | None, shares: bool = False
) -> list[Lifetime]:
    """Build the lifetimes of a state, and fill the rings once everything is known to fit.

    Args:
        state: What `capture` gave, for a population with the same problem.
        members: How many the population has.
        transfer: Its rule.
        replay: Its rings, if it has any.
        shares: Whether its members train one supernet.

    Raises:
        ValueError: If the state is another population's; nothing has been changed then.
    """
    if len(state.meta["lifetimes"]) != members:
        raise ValueError(f"state: expected {members} members, got {len(state.meta['lifetimes'])}.")
    lifetimes = []
    supernets: dict[str, Supernet] = {}
    for plain in state.meta["lifetimes"]:
        life = Lifetime(**{name: plain[name] for name in PLAIN})
        for key, entry in plain["stores"].items():
            life.stores[key] = _store(state, key, entry, transfer, replay, supernets)
        lifetimes.append(life)
    trained = sum(len(life.stores) for life in lifetimes)
    if len(supernets) != (min(1, trained) if shares else trained):
        raise ValueError(f"state: it belongs to another share_weights than {shares}.")
    if replay is None:
        return lifetimes
    for member, life in enumerate(lifetimes):
        active = life.stores.get(life.active) if life.active is not None else None
        replay.set(member, active.replay if active else None)
        if active:
            active.replay = None
    return lifetimes


def _store(
    state: State,
    key: str,
    entry: dict[str, Any],
    transfer: Transfer,
    replay: Replay | None,
    supernets: dict[str, Supernet],
) -> Store:
    label, device = entry["network"], transfer.device
    if transfer.key(label) != key or (transfer.name == "shared") != (label == ""):
        raise ValueError(f"state: it belongs to another transfer than {transfer.name!r}.")
    owner = entry.get("supernet", entry["name"])
    if owner not in supernets:
        layout = transfer.layout(transfer.network_of(label) if label else None)
        supernets[owner] = _supernet(state, owner, Supernet(layout, np.random.default_rng(0), device), device)
    supernet = supernets[owner]
    store = Store(supernet, replay=None, **{field: entry[field] for field in OF_STORE})
    if ("head" in entry) != (replay is not None):
        raise ValueError("state: it belongs to another trainer.")
    if replay is not None:
        observations = torch.from_numpy(state.arrays[f"{entry['name']}/observations"])
        if observations.shape != replay.observations.shape[1:]:
            raise ValueError("state: it belongs to another envs_per_member or buffer_size.")
        steps = torch.from_numpy(state.arrays[f"{entry['name']}/steps_taken"])
        store.replay = Content(
            observations.to(device, copy=True), steps.to(device, copy=True), entry["head"], entry["filled"]
        )
    return store


def _supernet(state: State, name: str, supernet: Supernet, device: torch.device) -> Supernet:
    """Fill a supernet with the numbers of a state."""
    saved = {field: torch.from_numpy(state.arrays[f"{name}/{field}"]) for field in FIELDS}
    if any(saved[field].shape != supernet.fields[field].shape for field in FIELDS):
        raise ValueError("state: it belongs to another search space or task.")
    supernet.fields = {field: saved[field].to(device, copy=True) for field in FIELDS}
    return supernet


def _copy(tensor: Tensor) -> NDArray[Any]:
    return tensor.cpu().numpy().copy()
