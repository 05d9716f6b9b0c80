"""K lifetimes side by side: reset, train one window, evaluate, fork, state. There is no Gymnasium in here.

Between windows there are no live inner environments: each window opens fresh ones whose seeds derive from (seed,
window). So the state is tensors and a few numbers, and copying it copies the lifetime.
"""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archgym.inner_envs import open_inner_envs
from archgym.lookup import load, unknown
from archgym.replay import Content, Replay
from archgym.search_space import Architecture, Network
from archgym.seeding import Consumer, env_seeds
from archgym.settings import Problem, Settings
from archgym.supernet import FIELDS, Layout, Supernet, check_in, check_out, family_of, variants
from archgym.transfer import Lifetime, Store, Transfer
from archgym.window import WindowResult

REWARD_LIMITS = (-1.0, 2.0)


@dataclass
class State:
    """Everything that the future of a population depends on; `meta` is JSON, `tensors` go to safetensors."""

    meta: dict[str, Any]
    tensors: dict[str, Tensor]


class Population:
    """K members, each its own lifetime.

    Args:
        problem: What is searched, on what.
        members: K.

    Raises:
        ValueError: If the trainer, its settings or the device are wrong.
    """

    def __init__(self, problem: Problem, members: int) -> None:
        settings = problem.settings
        self.problem, self.members = problem, members
        self.device = find_device(settings.device)
        trainers = load("archgym.trainers", settings.trainer, "trainer")
        self.config = trainer_config(trainers, settings).resolved(problem.horizon)
        self.trainer = trainers.Trainer(self.config, problem.horizon, problem.task.episode_limit, self.device)
        self.group = trainers.Group
        self.family = family_of(problem.space)
        self._layouts: dict[Network | None, Layout] = {}
        self.transfer = Transfer(settings.transfer, self._layout, self.device)
        self.lifetimes: list[Lifetime] = []
        self.replay = Replay(members, settings.envs_per_member, problem.inputs, self.config.buffer_size, self.device)
        self._seconds = {"open": 0.0, "switch": 0.0, "evaluate": 0.0}

    @property
    def timings(self) -> dict[str, float]:
        """Seconds spent since construction, by phase."""
        return {**self._seconds, **self.trainer.timings}

    def reset(self, seeds: Sequence[int], members: Sequence[int] | None = None) -> None:
        """Begin new lifetimes.

        Args:
            seeds: One per member; a lifetime is a function of its seed and the architectures.
            members: Which ones; None: all.
        """
        members = range(self.members) if members is None else members
        if not self.lifetimes:
            self.lifetimes = [Lifetime(0) for _ in range(self.members)]
        for member, seed in zip(members, seeds, strict=True):
            self.lifetimes[member] = Lifetime(int(seed))
            self.replay.set(member, None)

    def train_window(
        self, architectures: NDArray[np.int64], members: Sequence[int] | None = None
    ) -> list[WindowResult]:
        """Train one architecture per member for one window.

        Args:
            architectures: (M, number of choices), canonical.
            members: (M,) which members; None: all.

        Returns:
            One result per member.
        """
        clock = time.perf_counter()
        members = list(range(self.members)) if members is None else list(members)
        lives = [self.lifetimes[member] for member in members]
        space, per_member = self.problem.space, self.problem.settings.envs_per_member
        labels = [space.label(architecture) for architecture in architectures]
        networks = [space.network_of(architecture) for architecture in architectures]
        stores = []
        for member, life, label, network in zip(members, lives, labels, networks, strict=True):
            store = self.transfer.store_to_train(life, label, network)
            self._activate(member, self.transfer.key(label), store)
            stores.append(store)
        streams = [(life.seed, self.transfer.stream(life, s)) for life, s in zip(lives, stores, strict=True)]
        switched = [life.last not in (None, label) for life, label in zip(lives, labels, strict=True)]
        groups = []
        for rows in self._partition([(label, store.steps) for label, store in zip(labels, stores, strict=True)]):
            syncs = [self.transfer.syncs_target(switched[row]) for row in rows]
            subnets = check_out([stores[row].supernet for row in rows], networks[rows[0]], syncs)
            groups.append(self.group(rows, subnets, stores[rows[0]].steps))
        clock = self._took("switch", clock)
        seeds = [
            seed for root, window in streams for seed in env_seeds(root, Consumer.INNER_ENVS, window, count=per_member)
        ]
        envs = open_inner_envs(self.problem.task, seeds)
        clock = self._took("open", clock)
        slots = self.problem.window_steps // per_member
        outcome = self.trainer.train(groups, members, self.replay, envs, streams, slots)
        envs.close()
        clock = time.perf_counter()
        for group in groups:
            supernets = [stores[row].supernet for row in group.rows]
            check_in(supernets, group.subnets, [not outcome.diverged[row] for row in group.rows])
        for row, (life, store, label) in enumerate(zip(lives, stores, labels, strict=True)):
            store.steps += self.problem.window_steps
            store.windows += 1
            life.last = life.last if outcome.diverged[row] else label
        clock = self._took("switch", clock)
        env_steps = [self.problem.window_steps] * len(members)
        raw = outcome.returns.copy()
        if self.problem.settings.reward == "evaluation":
            episodes = self.problem.settings.evaluation_episodes
            raw, extra = self._play(architectures, members, episodes)
            env_steps = [steps + more for steps, more in zip(env_steps, extra, strict=True)]
        results = []
        for row, life in enumerate(lives):
            normalised = self.problem.normalise(float(raw[row]))
            network, diverged = networks[row], bool(outcome.diverged[row])
            results.append(
                WindowResult(
                    action=architectures[row].tolist(),
                    reward=self._reward(life, normalised, network, diverged),
                    raw_return=float(raw[row]),
                    normalised_return=normalised,
                    episodes=int(outcome.episodes[row]),
                    cut_share=float(outcome.cut[row]),
                    env_steps=env_steps[row],
                    gradient_steps=int(outcome.gradient_steps[row]),
                    parameters=network.parameters(self.problem.inputs, self.problem.outputs),
                    flops=network.flops(self.problem.inputs, self.problem.outputs),
                    diverged=diverged,
                    loss=_finite(outcome.loss[row]),
                    value=_finite(outcome.value[row]),
                    epsilon=float(outcome.epsilon[row]),
                    replay_fill=float(self.replay.filled[members[row]]) / self.replay.slots,
                    switched=switched[row],
                )
            )
            life.windows += 1
        return results

    def evaluate(
        self, architectures: NDArray[np.int64], members: Sequence[int], episodes: int
    ) -> tuple[NDArray[np.float64], list[int]]:
        """Score architectures with the present weights, greedily, without training them.

        Args:
            architectures: (N, number of choices), canonical.
            members: (N,) whose weights.
            episodes: Episodes of each, on seeds of the member that training never uses.

        Returns:
            Mean returns (N,), and the inner environment steps each took.
        """
        return self._play(architectures, list(members), episodes)

    def fork(self, source: int, target: int) -> None:
        """Make a member a copy of another: same weights, replay, seed and age."""
        self.lifetimes[target] = copy.deepcopy(self.lifetimes[source])
        self.replay.set(target, self.replay.get(source))

    def weights(self, member: int, architecture: Architecture) -> dict[str, Tensor]:
        """Copy the member's present weights of an architecture out, by name."""
        label, network = self.problem.space.label(architecture), self.problem.space.network_of(architecture)
        store = self.transfer.store(self.lifetimes[member], label, network)
        subnets = check_out([store.supernet], network, [False])
        return {name: view[0] for name, view in subnets.views("weight").items()}

    def get_state(self) -> State:
        """Copy out everything that the future depends on."""
        meta: dict[str, Any] = {"lifetimes": []}
        tensors: dict[str, Tensor] = {}
        for member, life in enumerate(self.lifetimes):
            stores = {}
            for number, (key, store) in enumerate(life.stores.items()):
                replay = self.replay.get(member) if key == life.active else store.replay
                name = f"{member}/{number}"
                stores[key] = {"name": name, "steps": store.steps, "windows": store.windows}
                tensors |= {f"{name}/{field}": store.supernet.fields[field].clone() for field in FIELDS}
                if replay is not None:
                    stores[key] |= {"head": replay.head, "filled": replay.filled}
                    tensors[f"{name}/observations"] = replay.observations.clone()
                    tensors[f"{name}/steps_taken"] = replay.steps.clone()
            plain = {name: getattr(life, name) for name in ("seed", "windows", "last", "active", "last_return")}
            meta["lifetimes"].append({**plain, "stores": stores})
        return State(meta, tensors)

    def set_state(self, state: State) -> None:
        """Go on from a state of a population with the same problem and number of members.

        Raises:
            ValueError: If it is another population's.
        """
        if len(state.meta["lifetimes"]) != self.members:
            raise ValueError(f"state: expected {self.members} members, got {len(state.meta['lifetimes'])}.")
        space, shared = self.problem.space, self.transfer.name == "shared"
        lifetimes = []
        for plain in state.meta["lifetimes"]:
            life = Lifetime(**{name: value for name, value in plain.items() if name != "stores"})
            for key, entry in plain["stores"].items():
                if shared != (key == ""):
                    raise ValueError(f"state: it belongs to another transfer than {self.transfer.name!r}.")
                network = None if shared else space.network_of(space.parse(key))
                store = Store(Supernet(self._layout(network), np.random.default_rng(0), self.device))
                saved = {name: state.tensors[f"{entry['name']}/{name}"] for name in FIELDS}
                if any(saved[name].shape != store.supernet.fields[name].shape for name in FIELDS):
                    raise ValueError("state: it belongs to another search space or task.")
                store.supernet.fields = {name: saved[name].to(self.device, copy=True) for name in FIELDS}
                store.steps, store.windows = entry["steps"], entry["windows"]
                if "head" in entry:
                    observations = state.tensors[f"{entry['name']}/observations"]
                    if observations.shape != self.replay.observations.shape[1:]:
                        raise ValueError("state: it belongs to another envs_per_member or buffer_size.")
                    store.replay = Content(
                        observations.to(self.device, copy=True),
                        state.tensors[f"{entry['name']}/steps_taken"].to(self.device, copy=True),
                        entry["head"],
                        entry["filled"],
                    )
                life.stores[key] = store
            lifetimes.append(life)
        for member, life in enumerate(lifetimes):
            active = life.stores.get(life.active) if life.active is not None else None
            self.replay.set(member, active.replay if active else None)
            if active:
                active.replay = None
        self.lifetimes = lifetimes

    def _layout(self, network: Network | None) -> Layout:
        if network not in self._layouts:
            networks = variants(self.problem.space) if network is None else [network]
            self._layouts[network] = Layout(self.family, networks, self.problem.inputs, self.problem.outputs)
        return self._layouts[network]

    def _activate(self, member: int, key: str, store: Store) -> None:
        """Bring the store's replay into the member's ring, and the one that lies there back into its store."""
        life = self.lifetimes[member]
        if life.active != key and life.active in life.stores:
            life.stores[life.active].replay = self.replay.get(member)
        if life.active != key or store.windows == 0:
            self.replay.set(member, store.replay)
            store.replay = None
        life.active = key

    def _partition(self, keys: Sequence[object]) -> list[list[int]]:
        """Group equal keys, in order of appearance; `exact` leaves every row alone."""
        if self.problem.settings.exact:
            return [[row] for row in range(len(keys))]
        groups: dict[object, list[int]] = {}
        for row, key in enumerate(keys):
            groups.setdefault(key, []).append(row)
        return list(groups.values())

    def _reward(self, life: Lifetime, normalised: float, network: Network, diverged: bool) -> float:
        low, high = REWARD_LIMITS
        if diverged:
            life.last_return = low
            return low
        limited = min(high, max(low, normalised))
        reward = limited - (life.last_return if self.problem.settings.reward == "improvement" else 0.0)
        life.last_return = limited
        if self.problem.settings.cost_weight:
            sizes = self.problem.inputs, self.problem.outputs
            default = self.problem.space.network_of(self.problem.space.default_architecture)
            reward -= self.problem.settings.cost_weight * math.log(network.flops(*sizes) / default.flops(*sizes))
        return min(high, max(low, reward))

    @torch.no_grad()
    def _play(
        self, architectures: NDArray[np.int64], members: list[int], episodes: int
    ) -> tuple[NDArray[np.float64], list[int]]:
        clock = time.perf_counter()
        space = self.problem.space
        networks = [space.network_of(architecture) for architecture in architectures]
        stores = [
            self.transfer.store(self.lifetimes[member], space.label(architecture), network)
            for member, architecture, network in zip(members, architectures, networks, strict=True)
        ]
        groups = []
        for rows in self._partition(networks):
            subnets = check_out([stores[row].supernet for row in rows], networks[rows[0]], [False] * len(rows))
            groups.append((rows, subnets, subnets.views("weight")))
        seeds = [
            seed
            for member in members
            for seed in env_seeds(self.lifetimes[member].seed, Consumer.EVALUATION, count=episodes)
        ]
        envs = open_inner_envs(self.problem.task, seeds)
        count = len(members)
        returns, lengths = np.zeros((count, episodes)), np.zeros((count, episodes), dtype=np.int64)
        alive = np.ones((count, episodes), dtype=bool)
        observations = envs.reset()
        while alive.any():
            tensor = torch.from_numpy(observations).to(self.device).view(count, episodes, -1)
            actions = np.empty((count, episodes), dtype=np.int64)
            for rows, subnets, weights in groups:
                actions[rows] = subnets.forward(weights, tensor[rows]).argmax(-1).cpu().numpy()
            step = envs.step(actions.ravel())
            returns += step.reward.reshape(count, episodes) * alive
            lengths += alive
            alive &= ~(step.terminated | step.truncated).reshape(count, episodes)
            observations = step.observation
        envs.close()
        self._took("evaluate", clock)
        return returns.mean(1), lengths.sum(1).tolist()

    def _took(self, phase: str, since: float) -> float:
        now = time.perf_counter()
        self._seconds[phase] += now - since
        return now


def find_device(name: str) -> torch.device:
    """Find a torch device.

    Raises:
        ValueError: If there is no such device here.
    """
    cards = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    available = ["cpu", *(["cuda"] if cards else []), *cards]
    if name not in available:
        raise ValueError(f"device: expected one of {', '.join(available)} on this machine, got {name!r}.")
    return torch.device(name)


def trainer_config(trainer: Any, settings: Settings) -> Any:
    """Apply a preset and single settings.

    Raises:
        ValueError: If the preset, or a setting, is unknown or out of range.
    """
    if settings.preset not in trainer.PRESETS:
        raise unknown("preset", settings.preset, trainer.PRESETS)
    preset = trainer.PRESETS[settings.preset]
    known = asdict(preset)
    for name in settings.trainer_settings:
        if name not in known:
            options = [*known, *(item for item in Settings.__dataclass_fields__)]
            raise unknown("environment keyword or trainer setting", name, options)
    return type(preset)(**{**known, **settings.trainer_settings})


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else 0.0
