"""K lifetimes side by side: reset, train one window, evaluate, fork, state. There is no Gymnasium in here.

Between windows there are no live inner environments: each window opens fresh ones whose seeds derive from (seed,
window). So the state is tensors and a few numbers, and copying it copies the lifetime. `inner_envs="carry"` keeps them
alive instead (`archgym.inner.carried`), and then a lifetime cannot be copied.

One class, in one file of over 300 lines: whatever is asked of it reads and moves the same lifetimes and rings, and what
could be told apart is apart (`transfer`, `shards`, `state`, `greedy`, `inner.carried`).
"""

import copy
import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archgym import memory, transfer_checks
from archgym.evaluator import State
from archgym.greedy import play
from archgym.host_replay import open_replay
from archgym.inner.carried import Carried, Fresh, Source
from archgym.inner.envs import look
from archgym.inner.tasks import check_returns
from archgym.learners import sharing
from archgym.learners.precision import check_learner
from archgym.learners.select import find_learner
from archgym.lookup import load
from archgym.observations import IMAGES, kind_of
from archgym.problem import Problem, trainer_config
from archgym.replay import Replay
from archgym.rewards import REWARD_LIMITS, limited, reward
from archgym.search_space import Architecture, Network
from archgym.seeding import Consumer, env_seeds
from archgym.shards import Shard, share_out, train_side_by_side
from archgym.state import capture, restore
from archgym.supernet import Layout, Subnets, Supernet, check_in, check_out, family_of, variants
from archgym.training import Group, Outcome, Window
from archgym.transfer import Lifetime, Store, Transfer
from archgym.window import WindowResult

LAYOUTS = 32  # networks whose layouts are kept for the next switch; supernets keep their own
UNKNOWN_BEST = "expected a recorded table or a planted landscape, whose best is known; got networks that are trained."


class Population:
    """K members, each its own lifetime; with `share_weights` all of them train one supernet, that of member 0's seed.

    Args:
        problem: What is searched, on what.
        members: K.

    Raises:
        ValueError: If the trainer, its settings or the device are wrong.
    """

    def __init__(self, problem: Problem, members: int) -> None:
        settings = problem.settings
        self.problem, self.members = problem, members
        look(problem.task)  # refuses what cannot be played here before anything is trained
        self.device = find_device(settings.device)
        self.family = family_of(problem.space)
        trainers = load("archgym.trainers", settings.trainer, "trainer")
        if not (hasattr(trainers, "PRESETS") and hasattr(trainers, "Trainer")):
            raise ValueError(f"trainer {settings.trainer!r}: expected a module that defines PRESETS and Trainer.")
        self.shares = settings.share_weights
        if self.shares and not getattr(trainers, "SHARES_WEIGHTS", False):
            raise ValueError(
                f"share_weights: expected a trainer whose members can train one supernet (its SHARES_WEIGHTS), "
                f"got {settings.trainer!r}."
            )
        critic = getattr(trainers, "ACTOR_CRITIC", False)
        if settings.actor_critic != critic:
            raise ValueError(
                f"actor_critic: expected {critic} with trainer {settings.trainer!r}, whose networks "
                f"{'need' if critic else 'have no'} output for a value, got {settings.actor_critic}."
            )
        name = settings.learner
        if self.shares and name in ("auto", "torch"):  # which would be learners that share nothing
            name = "reference"
        self.learner = find_learner(name, self.device, self.family, trainers)
        self.config = trainer_config(trainers.PRESETS, problem).resolved(problem.horizon, problem.learner_steps)
        transfer_checks.check(problem, self.family, self.config)
        check_learner(getattr(self.config, "precision", "float32"), self.learner, kind_of(problem.inputs) == IMAGES)
        if settings.threads > 1 and self.learner != "native":
            raise ValueError(
                f"threads: expected 1 where torch computes the gradient steps (its threads: OMP_NUM_THREADS), "
                f"got {settings.threads}."
            )
        arguments = (self.config, problem.horizon, self.device, self.learner)
        shards = members if settings.window_episodes else min(settings.threads, members)
        self.trainers = [trainers.Trainer(*arguments) for _ in range(shards)]
        source = Carried if problem.carries else Fresh
        self.inner_envs: Source = source(problem.window_task, settings.envs_per_member, problem.task.episode_limit)
        self._layouts: dict[Network | None, Layout] = {}  # the one that was asked for last at the end
        self.lifetimes: list[Lifetime] = []
        self.replay: Replay | None = None  # for trainers that have one: a buffer_size says so
        if hasattr(self.config, "buffer_size"):
            size = self.config.buffer_size
            asked = {"buffer_size": size, "envs_per_member": settings.envs_per_member, "num_envs": members}
            with memory.enough(RuntimeError, **asked):
                self.replay = open_replay(members, settings.envs_per_member, problem.inputs, size, self.device)
        given = (settings, self.config, problem.horizon, self._layout, self._network, self.replay, self.device)
        self.transfer = Transfer(*given)
        self._seconds = {"open": 0.0, "switch": 0.0, "evaluate": 0.0}

    trains = True

    @property
    def timings(self) -> dict[str, float]:
        """Seconds spent since construction, by phase; those of several threads are added up."""
        phases = self.trainers[0].timings
        return {**self._seconds, **{name: sum(one.timings[name] for one in self.trainers) for name in phases}}

    def check_seeds(self, seeds: Sequence[int]) -> None:
        """Refuse none: every seed has a lifetime."""

    def reset(self, seeds: Sequence[int], members: Sequence[int] | None = None) -> None:
        """Begin new lifetimes.

        Args:
            seeds: One per member; a lifetime is a function of its seed and the architectures.
            members: Which ones; None: all.
        """
        members = range(self.members) if members is None else members
        self.problem.check_together("reset", members, self.members)
        if not self.lifetimes:
            self.lifetimes = [Lifetime(0) for _ in range(self.members)]
        for member, seed in zip(members, seeds, strict=True):
            self.lifetimes[member] = Lifetime(int(seed))
            if self.replay is not None:
                self.replay.set(member, None)
        self.inner_envs.begin(members)

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
        self.problem.check_together("train_window", members, self.members)
        lives, space = [self.lifetimes[member] for member in members], self.problem.space
        labels = [space.label(architecture) for architecture in architectures]
        networks = [space.network_of(architecture) for architecture in architectures]
        switched = [life.last not in (None, label) for life, label in zip(lives, labels, strict=True)]
        stores = [self._store_to_train(*one) for one in zip(members, labels, switched, strict=True)]
        if self.shares:
            for store in stores:
                store.supernet = stores[0].supernet
        streams = [(life.seed, self.transfer.stream(life, own)) for life, own in zip(lives, stores, strict=True)]
        lessons = [self.transfer.lessons(*one) for one in zip(stores, labels, members, strict=True)]
        weights = [self.transfer.weights_to_train(*one) for one in zip(lives, labels, members, switched, strict=True)]
        shards, union = self._check_out(labels, networks, weights, stores, switched)
        self._took("switch", clock)
        outcome = self._train(shards, members, streams)
        check_returns(self.problem.task.id, outcome.returns)
        outcome.gradient_steps += lessons
        clock = time.perf_counter()
        self._check_in(shards, union, weights, outcome)
        for row, (life, store, label) in enumerate(zip(lives, stores, labels, strict=True)):
            store.steps += int(outcome.env_steps[row])
            store.explored += int(outcome.env_steps[row])
            store.windows += 1
            if not outcome.diverged[row]:
                self.transfer.keep(store, label, weights[row])
                life.last = label
        self._took("switch", clock)
        env_steps = outcome.env_steps.tolist()
        raw = outcome.returns.copy()
        if self.problem.settings.reward == "evaluation":
            episodes = self.problem.settings.evaluation_episodes
            raw, extra = self.evaluate(architectures, members, episodes)
            env_steps = [steps + more for steps, more in zip(env_steps, extra, strict=True)]
        return [
            self._result(row, member, architectures[row], float(raw[row]), env_steps[row], outcome, switched[row])
            for row, member in enumerate(members)
        ]

    def _store_to_train(self, member: int, label: str, switched: bool) -> Store:
        """Find the store that a member's architecture is trained in, with its replay in the member's ring."""
        life = self.lifetimes[member]
        store = self.transfer.store_to_train(life, label)
        self._activate(member, self.transfer.key(label), store)
        if self.transfer.acts(life, switched):
            self.transfer.cut_back(store, member)
        return store

    def _check_out(
        self,
        labels: Sequence[str],
        networks: Sequence[Network],
        weights: Sequence[Supernet],
        stores: Sequence[Store],
        switched: Sequence[bool],
    ) -> tuple[list[Shard], sharing.Union | None]:
        """Check out the subnets of all rows, a shard per thread; where weights are shared, of one union."""
        costs = [network.flops(self.problem.inputs, self.problem.outputs) for network in networks]
        shards, union = [], None
        for rows in share_out(costs, len(self.trainers)):
            ages = [(stores[row].steps, stores[row].explored) for row in rows]
            parts = self._partition([(labels[row], *age) for row, age in zip(rows, ages, strict=True)])
            owned = [[rows[position] for position in part] for part in parts]
            plain = [networks[own[0]] for own in owned]
            syncs = [[self.transfer.syncs_target(switched[row]) for row in own] for own in owned]
            subnets: Sequence[Subnets]
            if self.shares:  # all rows: threads are for the compiled learner
                union, subnets = sharing.check_out(weights[0], plain, syncs)
            else:
                nets = [[weights[row] for row in own] for own in owned]
                subnets = [check_out(*one) for one in zip(nets, plain, syncs, strict=True)]
            groups = [Group(part, own, *ages[part[0]]) for part, own in zip(parts, subnets, strict=True)]
            shards.append(Shard(rows, groups))
        return shards, union

    def _train(self, shards: Sequence[Shard], members: Sequence[int], streams: Sequence[tuple[int, int]]) -> Outcome:
        """Train what was checked out."""
        clock, settings = time.perf_counter(), self.problem.settings
        slots = self.problem.window_steps // settings.envs_per_member
        own = [[members[row] for row in shard.rows] for shard in shards]
        roots = [[streams[row] for row in shard.rows] for shard in shards]
        with memory.enough(envs_per_member=settings.envs_per_member, num_envs=self.members):
            opened = [self.inner_envs.open(*one) for one in zip(own, roots, strict=True)]
        self._took("open", clock)

        def train(number: int, shard: Shard) -> Outcome:
            envs, counter = opened[number]
            place = (own[number], self.replay, envs, roots[number], Window(slots, counter, settings.window_episodes))
            trained: Outcome = self.trainers[number].train(shard.groups, *place)
            return trained

        outcome = train_side_by_side(train, shards, settings.threads)
        clock = time.perf_counter()
        for one in zip(own, opened, strict=True):
            self.inner_envs.end(*one)
        self._took("open", clock)
        return outcome

    def _check_in(
        self, shards: Sequence[Shard], union: sharing.Union | None, weights: Sequence[Supernet], outcome: Outcome
    ) -> None:
        """Write back what was trained, but not what diverged."""
        if union is not None:
            outcome.diverged[:] = outcome.diverged.any()
            if not outcome.diverged.any():
                union.check_in(weights[0])
            return
        for shard in shards:
            for group in shard.groups:
                own = [shard.rows[position] for position in group.rows]
                kept = [not outcome.diverged[row] for row in own]
                check_in([weights[row] for row in own], group.subnets, kept)

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
            replay_fill=float(self.replay.filled[member]) / self.replay.slots if self.replay else 0.0,
            switched=switched,
        )

    def evaluate(
        self, architectures: NDArray[np.int64], members: Sequence[int], episodes: int | Sequence[int]
    ) -> tuple[NDArray[np.float64], list[int]]:
        """Score architectures with the present weights, greedily, without training them.

        Args:
            architectures: (N, number of choices), canonical.
            members: (N,) whose weights.
            episodes: Episodes of each, one number or (N,), on seeds of the member that training never uses.

        Returns:
            Mean returns (N,), and the inner environment steps each took.
        """
        clock = time.perf_counter()
        space = self.problem.space
        networks = [space.network_of(architecture) for architecture in architectures]
        lives = [self.lifetimes[member] for member in members]
        weights = [
            self.transfer.weights(self._keeper(member), space.label(architecture), member)
            for member, architecture in zip(members, architectures, strict=True)
        ]
        groups = [
            (rows, check_out([weights[row] for row in rows], networks[rows[0]], [False] * len(rows)))
            for rows in self._partition(networks)
        ]
        counts = np.broadcast_to(episodes, len(lives)).tolist()
        seeds = [
            env_seeds(life.seed, Consumer.EVALUATION, count=count) for life, count in zip(lives, counts, strict=True)
        ]
        returns, steps = play(self.problem.task, groups, seeds, self.device)
        check_returns(self.problem.task.id, returns)
        self._took("evaluate", clock)
        return returns, steps

    def fork(self, source: int, target: int, architecture: Architecture | None = None) -> None:
        """Make a member a copy of another: same weights, replay, seed and age; or give it another's learner.

        Args:
            source: Who is copied.
            target: Who becomes the copy.
            architecture: Copy its learner alone, which only `own` keeps apart from all others; the target's seed goes
                on with it.

        Raises:
            ValueError: If the source has no learner of that architecture, members share their weights, or inner
                environments are kept and would have to be copied.
        """
        if self.shares:
            raise ValueError("fork: expected members with weights of their own, got share_weights=True.")
        if architecture is not None:
            self._fork_learner(self.lifetimes[source], source, target, self.problem.space.label(architecture))
            return
        self._need_copyable("fork")
        self.lifetimes[target] = copy.deepcopy(self.lifetimes[source])
        if self.replay is not None:
            self.replay.set(target, self.replay.get(source))

    def _fork_learner(self, life: Lifetime, source: int, target: int, label: str) -> None:
        """Copy the store of one architecture, with its replay, wherever that lies."""
        key = self.transfer.key(label)
        if key not in life.stores:
            raise ValueError(f"fork: expected an architecture that member {source} has trained, got {label!r}.")
        if source == target:
            return
        store = copy.deepcopy(life.stores[key])
        if self.replay is not None and life.active == key:
            store.replay = self.replay.get(source)
        other = self.lifetimes[target]
        other.stores[key] = store
        if self.replay is not None and other.active == key:
            self.replay.set(target, store.replay)
            store.replay = None

    def weights(self, member: int, architecture: Architecture) -> dict[str, Tensor]:
        """Copy the member's present weights of an architecture out, by name."""
        label, network = self.problem.space.label(architecture), self.problem.space.network_of(architecture)
        subnets = check_out([self.transfer.weights(self._keeper(member), label, member)], network, [False])
        return {name: view[0] for name, view in subnets.views("weight").items()}

    def best(self) -> Architecture:
        """Refuse: nobody knows the best network of a task."""
        raise ValueError(f"best: {UNKNOWN_BEST}")

    def regret(self, architecture: Architecture) -> float:
        """Refuse: nobody knows the best network of a task."""
        raise ValueError(f"regret: {UNKNOWN_BEST}")

    def get_state(self) -> State:
        """Copy out everything that the future depends on.

        Raises:
            ValueError: If inner environments are kept, which cannot be copied.
        """
        self._need_copyable("get_state")
        return capture(self.lifetimes, self.replay)

    def set_state(self, state: State) -> None:
        """Go on from a state of a population with the same problem and number of members.

        Raises:
            ValueError: If it is another population's, or inner environments are kept.
        """
        self._need_copyable("set_state")
        if "lifetimes" not in state.meta:
            raise ValueError("state: expected one of networks that are trained, got another state.")
        self.lifetimes = restore(state, self.members, self.transfer, self.replay, self.shares)

    def _network(self, label: str) -> Network:
        """Give the network of a label."""
        return self.problem.space.network_of(self.problem.space.parse(label))

    def close(self) -> None:
        """Give back the inner environments that are kept."""
        self.inner_envs.close()

    def _need_copyable(self, call: str) -> None:
        """Refuse to copy a lifetime that running games belong to."""
        if self.problem.carries:
            raise ValueError(
                f"{call}: expected inner_envs='fresh', got 'carry': inner environments that are kept alive between "
                "windows cannot be copied."
            )

    def _layout(self, network: Network | None) -> Layout:
        layout = self._layouts.pop(network, None)
        if layout is None:
            networks = variants(self.problem.space) if network is None else [network]
            layout = Layout(self.family, networks, self.problem.inputs, self.problem.outputs)
        self._layouts[network] = layout
        if len(self._layouts) > LAYOUTS:
            del self._layouts[next(iter(self._layouts))]
        return layout

    def _keeper(self, member: int) -> Lifetime:
        """Find the lifetime that keeps a member's supernet: that of member 0, from whose seed it starts, if shared."""
        return self.lifetimes[0 if self.shares else member]

    def _activate(self, member: int, key: str, store: Store) -> None:
        """Bring the store's replay into the member's ring, and the one that lies there back into its store."""
        if self.replay is None:
            return
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
    """Give a number in the precision that networks compute in, which is what a table records; 0 where there is none."""
    with np.errstate(over="ignore"):
        rounded = float(np.float32(value))
    return rounded if math.isfinite(rounded) else 0.0
