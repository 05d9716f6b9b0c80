"""K lifetimes side by side: reset, train one window, evaluate, fork, state. There is no Gymnasium in here.

Between windows there are no live inner environments: each window opens fresh ones whose seeds derive from (seed,
window). So the state is tensors and a few numbers, and copying it copies the lifetime.
"""

import copy
import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archgym.evaluator import State
from archgym.greedy import play
from archgym.inner_envs import open_inner_envs
from archgym.lookup import load
from archgym.replay import Replay
from archgym.rewards import REWARD_LIMITS, limited, reward
from archgym.search_space import Architecture, Network
from archgym.seeding import Consumer, env_seeds
from archgym.settings import Problem, trainer_config
from archgym.state import capture, restore
from archgym.supernet import Layout, check_in, check_out, family_of, variants
from archgym.training import Group, Outcome
from archgym.transfer import Lifetime, Store, Transfer
from archgym.window import WindowResult


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
        self.config = trainer_config(trainers.PRESETS, settings).resolved(problem.horizon, problem.learner_steps)
        self.trainer = trainers.Trainer(self.config, problem.horizon, problem.task.episode_limit, self.device)
        self.family = family_of(problem.space)
        self._layouts: dict[Network | None, Layout] = {}
        self.transfer = Transfer(settings.transfer, self._layout, self.device)
        self.lifetimes: list[Lifetime] = []
        self.replay = Replay(members, settings.envs_per_member, problem.inputs, self.config.buffer_size, self.device)
        self._seconds = {"open": 0.0, "switch": 0.0, "evaluate": 0.0}

    trains = True

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
            groups.append(Group(rows, subnets, stores[rows[0]].steps))
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
            raw, extra = self.evaluate(architectures, members, episodes)
            env_steps = [steps + more for steps, more in zip(env_steps, extra, strict=True)]
        return [
            self._result(row, member, architectures[row], float(raw[row]), env_steps[row], outcome, switched[row])
            for row, member in enumerate(members)
        ]

    def _result(
        self,
        row: int,
        member: int,
        architecture: Architecture,
        raw: float,
        env_steps: int,
        outcome: Outcome,
        switched: bool,
    ) -> WindowResult:
        """Write down what a window came to, and count it."""
        life, network = self.lifetimes[member], self.problem.space.network_of(architecture)
        normalised, diverged = self.problem.normalise(raw), bool(outcome.diverged[row])
        earned = REWARD_LIMITS[0] if diverged else reward(self.problem, network, normalised, life.last_return)
        life.last_return = REWARD_LIMITS[0] if diverged else limited(normalised)
        life.windows += 1
        return WindowResult(
            action=architecture.tolist(),
            reward=earned,
            raw_return=raw,
            normalised_return=normalised,
            episodes=int(outcome.episodes[row]),
            cut_share=float(outcome.cut[row]),
            env_steps=env_steps,
            gradient_steps=int(outcome.gradient_steps[row]),
            parameters=network.parameters(self.problem.inputs, self.problem.outputs),
            flops=network.flops(self.problem.inputs, self.problem.outputs),
            diverged=diverged,
            loss=_finite(outcome.loss[row]),
            value=_finite(outcome.value[row]),
            epsilon=float(outcome.epsilon[row]),
            replay_fill=float(self.replay.filled[member]) / self.replay.slots,
            switched=switched,
        )

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
        clock = time.perf_counter()
        space = self.problem.space
        networks = [space.network_of(architecture) for architecture in architectures]
        lives = [self.lifetimes[member] for member in members]
        stores = [
            self.transfer.store(life, space.label(architecture), network)
            for life, architecture, network in zip(lives, architectures, networks, strict=True)
        ]
        groups = [
            (rows, check_out([stores[row].supernet for row in rows], networks[rows[0]], [False] * len(rows)))
            for rows in self._partition(networks)
        ]
        seeds = np.array([env_seeds(life.seed, Consumer.EVALUATION, count=episodes) for life in lives])
        result = play(self.problem.task, groups, seeds, self.device)
        self._took("evaluate", clock)
        return result

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

    def best(self) -> Architecture:
        """Refuse: nobody knows the best network of a task."""
        raise ValueError("best: expected a planted landscape, whose optimum is known; got networks that are trained.")

    def regret(self, architecture: Architecture) -> float:
        """Refuse: nobody knows the best network of a task."""
        raise ValueError("regret: expected a planted landscape, whose optimum is known; got networks that are trained.")

    def get_state(self) -> State:
        """Copy out everything that the future depends on."""
        return capture(self.lifetimes, self.replay)

    def set_state(self, state: State) -> None:
        """Go on from a state of a population with the same problem and number of members.

        Raises:
            ValueError: If it is another population's.
        """
        self.lifetimes = restore(state, self.members, self.problem.space, self.transfer, self.replay)

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


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else 0.0
