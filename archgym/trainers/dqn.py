"""DQN (Mnih et al. 2015, arXiv 1312.5602) for a population: trains checked-out subnets for one window.

Names and update follow CleanRL's `dqn.py`: squared error, Adam, a target network copied every
`target_network_frequency` steps, one gradient step every `train_frequency` steps. Members of equal architecture are
stacked and trained by batched products; no member sees another's numbers. `double` is Double DQN (arXiv 1509.06461).

With networks this small the number of calls costs more than the arithmetic (benchmarks/README.md). So what treats all
members alike is done once for all of them; only networks and Adam run group by group.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from archgym.episodes import EpisodeCounter
from archgym.inner_envs import InnerEnvs
from archgym.replay import Batch, Replay
from archgym.seeding import Consumer, generator
from archgym.supernet import Subnets

ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8
DRAWS = 64  # steps whose random numbers are drawn at once


@dataclass(frozen=True)
class Config:
    """Settings of the inner DQN, counted in environment steps of one member; None follows the horizon H."""

    learning_rate: float = 1e-3
    """Adam's step size."""
    gamma: float = 0.99
    """The discount."""
    batch_size: int = 128
    """Transitions in a minibatch."""
    train_frequency: int = 10
    """Environment steps per gradient step."""
    target_network_frequency: int = 200
    """Environment steps between copies of the weights to the target network."""
    tau: float = 1.0
    """How far the target moves towards the weights at each copy."""
    buffer_size: int | None = None
    """Transitions in the replay; None: min(10000, H)."""
    learning_starts: int | None = None
    """Environment steps before the first gradient step; None: min(1000, H / 10)."""
    start_e: float = 1.0
    """Exploration rate at the beginning."""
    end_e: float = 0.05
    """Exploration rate at the end."""
    exploration_fraction: float = 0.15
    """Share of H within which the exploration rate falls linearly."""
    double: bool = False
    """Whether the weights choose the action that the target network values (Double DQN)."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot train."""
        whole = ("batch_size", "train_frequency", "target_network_frequency", "buffer_size", "learning_starts")
        for name in whole:
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"{name}: expected a positive integer, got {value!r}.")
        for name in ("gamma", "tau", "start_e", "end_e", "exploration_fraction"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ValueError(f"{name}: expected a number from 0 to 1, got {value!r}.")
        rate = self.learning_rate
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < float("inf"):
            raise ValueError(f"learning_rate: expected a positive number, got {rate!r}.")
        if not isinstance(self.double, bool):
            raise ValueError(f"double: expected True or False, got {self.double!r}.")

    def resolved(self, horizon: int, lifetime: int) -> "Config":
        """Fill in what follows the horizon.

        Args:
            horizon: Environment steps that the schedule is laid out for.
            lifetime: Environment steps that a learner can get; they may be fewer.

        Raises:
            ValueError: If learning would start after either of them.
        """
        starts = max(1, min(1_000, horizon // 10)) if self.learning_starts is None else self.learning_starts
        if starts >= min(horizon, lifetime):
            raise ValueError(
                f"learning_starts: expected fewer than the {min(horizon, lifetime)} steps that a learner lives for "
                f"(windows x window_steps, or window_steps with transfer='fresh'), got {starts}."
            )
        size = min(10_000, horizon) if self.buffer_size is None else self.buffer_size
        return replace(self, learning_starts=starts, buffer_size=size)

    def epsilon(self, steps: ArrayLike, horizon: int) -> NDArray[np.float64]:
        """Exploration rates after so many environment steps of the learners, in the shape of `steps`."""
        duration = max(1.0, self.exploration_fraction * horizon)
        rates: NDArray[np.float64] = self.start_e + (self.end_e - self.start_e) * np.asarray(steps) / duration
        return np.maximum(self.end_e, rates)


PRESETS: dict[str, Config] = {
    "default": Config(),
    "cleanrl": Config(
        learning_rate=2.5e-4,
        target_network_frequency=500,
        buffer_size=10_000,
        learning_starts=10_000,
        exploration_fraction=0.5,
    ),
}


@dataclass
class Group:
    """Members that train side by side: equal networks, equally many steps behind them.

    Attributes:
        rows: Which of the window's members they are, positions in (0, ..., M - 1).
        subnets: Their checked-out numbers.
        steps: Environment steps that their learners had before the window.
    """

    rows: list[int]
    subnets: Subnets
    steps: int


@dataclass
class Outcome:
    """What a window came to, one entry per member, (M,)."""

    returns: NDArray[np.float64]
    episodes: NDArray[np.int64]
    cut: NDArray[np.float64]
    gradient_steps: NDArray[np.int64]
    loss: NDArray[np.float64]
    value: NDArray[np.float64]
    epsilon: NDArray[np.float64]
    diverged: NDArray[np.bool_]


class Learner:
    """The gradient step of one group, on its flat parameter vectors."""

    def __init__(
        self, config: Config, group: Group, samplers: Sequence[np.random.Generator], device: torch.device
    ) -> None:
        self.config, self.group, self.subnets = config, group, group.subnets
        self.samplers, self.draws, self.device = samplers, list[Tensor](), device
        fields = self.subnets.fields
        self.rows = torch.tensor(group.rows, device=device)
        self.weights = {name: view.detach().requires_grad_() for name, view in self.subnets.views("weight").items()}
        self.targets = self.subnets.views("target")
        self.gradient = torch.empty_like(fields["weight"])  # (G, parameter count)
        self.parts = self.subnets.layout.views(self.subnets.network, self.gradient)  # of it, in the shapes of `weights`
        self.corrections = [1 - beta ** fields["steps"].double() for beta in ADAM_BETAS]
        if bool((fields["steps"] == fields["steps"][:, :1]).all()):
            self.corrections = [correction[:, :1].clone() for correction in self.corrections]
        self.corrections = [correction.float() for correction in self.corrections]
        self.one = torch.ones((), device=device)
        self.gradient_steps = 0
        self.loss = torch.zeros(len(group.rows), device=device)
        self.value = torch.zeros(len(group.rows), device=device)

    def draw(self) -> Tensor:
        """Draw where the next minibatch lies, (G, B) in [0, 1): each member from its own generator."""
        if not self.draws:
            block = np.stack([rng.random((DRAWS, self.config.batch_size)) for rng in self.samplers], axis=1)
            self.draws = list(torch.from_numpy(block).to(self.device))
        return self.draws.pop(0)

    def update(self, batch: Batch) -> None:
        """Make one gradient step from a minibatch (G, B)."""
        gradient_step([self], batch)

    def descend(self, gradients: Iterator[Tensor], loss: Tensor, value: Tensor) -> None:
        """Take the gradients of `weights` and follow them; loss and value (G,) are for the window's statistics."""
        for part in self.parts.values():
            part.copy_(next(gradients))
        self._adam(self.gradient)
        self.gradient_steps += 1
        self.loss += loss
        self.value += value

    @torch.no_grad()
    def _adam(self, gradient: Tensor) -> None:
        """Adam (arXiv 1412.6980) with a step count per number: corrections 1 - beta^t, one per member if all agree."""
        fields = self.subnets.fields
        for correction, beta in zip(self.corrections, ADAM_BETAS, strict=True):
            correction.lerp_(self.one, 1 - beta)  # 1 - beta^(t+1), without cancellation
        first, second = fields["exp_avg"], fields["exp_avg_sq"]
        first.lerp_(gradient, 1 - ADAM_BETAS[0])
        second.mul_(ADAM_BETAS[1]).addcmul_(gradient, gradient, value=1 - ADAM_BETAS[1])
        scale = (second / self.corrections[1]).sqrt_().add_(ADAM_EPSILON).mul_(self.corrections[0])
        fields["weight"].addcdiv_(first, scale, value=-self.config.learning_rate)

    @torch.no_grad()
    def sync_target(self) -> None:
        """Move the target network towards the weights."""
        self.subnets.fields["target"].lerp_(self.subnets.fields["weight"], self.config.tau)

    @torch.no_grad()
    def finish(self) -> NDArray[np.bool_]:
        """Count the gradient steps and tell which members have a number that is not finite, (G,).

        Moments count too: a number whose second moment has overflowed looks sound and never moves again.
        """
        self.subnets.fields["steps"] += self.gradient_steps
        finite = torch.stack([field.isfinite().all(1) for field in self.subnets.fields.values()]).all(0)
        return ~finite.cpu().numpy()


def values(learners: Sequence[Learner], weights: Sequence[Mapping[str, Tensor]], observations: Tensor) -> Tensor:
    """Compute action values.

    Args:
        learners: Whose networks.
        weights: The weights of each.
        observations: (M, B, observation size), of all their members, learner after learner.

    Returns:
        (M, B, A).
    """
    sizes = [len(learner.group.rows) for learner in learners]
    parts = zip(learners, weights, observations.split_with_sizes(sizes), strict=True)
    outputs = [learner.subnets.forward(own, part) for learner, own, part in parts]
    return torch.cat(outputs) if len(outputs) > 1 else outputs[0]


def gradient_step(learners: Sequence[Learner], batch: Batch) -> None:
    """Make one gradient step of every learner, from a minibatch (M, B) of all their members, learner after learner."""
    config = learners[0].config
    weights, targets = [learner.weights for learner in learners], [learner.targets for learner in learners]
    with torch.no_grad():
        q_tp1 = values(learners, targets, batch.next_observations)  # (M, B, A)
        if config.double:
            a_tp1 = values(learners, weights, batch.next_observations).argmax(-1, keepdim=True)
            q_tp1 = q_tp1.gather(-1, a_tp1).squeeze(-1)
        else:
            q_tp1 = q_tp1.amax(-1)
        target = batch.rewards + config.gamma * (1 - batch.terminated) * q_tp1
    q_t = values(learners, weights, batch.observations).gather(-1, batch.actions[..., None]).squeeze(-1)
    loss = ((target - q_t) * batch.valid).square().mean(-1)  # (M,)
    gradients = iter(torch.autograd.grad(loss.sum(), [tensor for own in weights for tensor in own.values()]))
    sizes = [len(learner.group.rows) for learner in learners]
    statistics = zip(loss.detach().split_with_sizes(sizes), q_t.detach().mean(-1).split_with_sizes(sizes), strict=True)
    for learner, (own_loss, own_value) in zip(learners, statistics, strict=True):
        learner.descend(gradients, own_loss, own_value)


class Trainer:
    """Trains members for a window.

    Args:
        config: Resolved settings, see `Config.resolved`.
        horizon: Environment steps that one learner lives for, H.
        episode_limit: Longest episode of the task.
        device: Where networks and replay lie.
    """

    def __init__(self, config: Config, horizon: int, episode_limit: int, device: torch.device) -> None:
        self.config, self.horizon, self.episode_limit, self.device = config, horizon, episode_limit, device
        self.timings = dict.fromkeys(("env", "act", "learn"), 0.0)

    def train(
        self,
        groups: Sequence[Group],
        members: Sequence[int],
        replay: Replay,
        envs: InnerEnvs,
        streams: Sequence[tuple[int, int]],
        slots: int,
    ) -> Outcome:
        """Train M members for one window.

        Args:
            groups: A partition of the rows 0..M-1; their subnets are trained in place.
            members: (M,) whose rings in the replay are written and read.
            replay: The rings.
            envs: M x E fresh inner environments, those of a member next to each other.
            streams: (M,) pairs of seed and window, which all random numbers derive from.
            slots: Time slots; each gives every inner environment one step, or its reset.

        Returns:
            Returns and statistics per member.
        """
        count, per_member = len(members), replay.envs
        ring = torch.tensor(list(members), device=self.device)
        explorers = [generator(seed, Consumer.EXPLORATION, window) for seed, window in streams]
        samplers = [generator(seed, Consumer.REPLAY, window) for seed, window in streams]
        learners = [Learner(self.config, group, [samplers[row] for row in group.rows], self.device) for group in groups]
        weights = [learner.weights for learner in learners]
        order = torch.cat([learner.rows for learner in learners])  # the rows, learner after learner
        rank = order.argsort()  # where each row stands in that order
        before = np.empty((count, 1), dtype=np.int64)
        for group in groups:
            before[group.rows] = group.steps
        episodes = EpisodeCounter(count, per_member, self.episode_limit)
        assert self.config.learning_starts is not None, "the settings are resolved before training"

        clock = time.perf_counter()
        observations = envs.reset().reshape(count, per_member, -1)
        clock = self._took("env", clock)
        for slot in range(slots):
            tensor = torch.from_numpy(observations).to(self.device)
            with torch.no_grad():
                greedy = values(learners, weights, tensor[order]).argmax(-1)[rank].cpu().numpy()
            turn = slot % DRAWS
            if turn == 0:
                block = np.stack([rng.random((DRAWS, 2, per_member)) for rng in explorers], axis=2)  # (DRAWS, 2, M, E)
                ages = before + (slot + np.arange(DRAWS)[:, None, None]) * per_member  # (DRAWS, M, 1)
                explores = block[:, 0] < self.config.epsilon(ages, self.horizon)
                explored = (block[:, 1] * envs.action_count).astype(np.int64)
            actions = np.where(explores[turn], explored[turn], greedy)
            clock = self._took("act", clock)
            step = envs.step(actions.ravel())
            clock = self._took("env", clock)
            rewards = step.reward.reshape(count, per_member)
            valid = episodes.add(rewards, (step.terminated | step.truncated).reshape(count, per_member))
            terminated = step.terminated.reshape(count, per_member)
            row = np.stack([actions, rewards, terminated, valid], axis=-1).astype(np.float32)
            replay.write(ring, tensor, torch.from_numpy(row).to(self.device))
            observations = step.observation.reshape(count, per_member, -1)

            start, end = slot * per_member, (slot + 1) * per_member
            for _ in range(end // self.config.train_frequency - start // self.config.train_frequency):
                # Counted to `start`, for the newest slot has no successor yet.
                ready = [one for one in learners if one.group.steps + start >= self.config.learning_starts]
                if ready:
                    chosen, uniform = torch.cat([one.rows for one in ready]), torch.cat([one.draw() for one in ready])
                    gradient_step(ready, replay.sample(ring[chosen], uniform))
            for learner in learners:
                frequency = self.config.target_network_frequency
                steps = learner.group.steps
                if (steps + end) // frequency > (steps + start) // frequency:
                    learner.sync_target()
            clock = self._took("learn", clock)
        last = np.zeros((count, per_member, 4), dtype=np.float32)  # no action, not valid: the newest slot's successor
        replay.write(ring, torch.from_numpy(observations).to(self.device), torch.from_numpy(last).to(self.device))
        return self._outcome(learners, episodes, before[:, 0] + slots * per_member)

    def _outcome(self, learners: Sequence[Learner], episodes: EpisodeCounter, steps: NDArray[np.int64]) -> Outcome:
        returns, finished, cut = episodes.close()
        count = len(returns)
        outcome = Outcome(
            returns=returns,
            episodes=finished,
            cut=cut,
            gradient_steps=np.zeros(count, dtype=np.int64),
            loss=np.zeros(count),
            value=np.zeros(count),
            epsilon=self.config.epsilon(steps, self.horizon),
            diverged=np.zeros(count, dtype=bool),
        )
        for learner in learners:
            rows, updates = learner.group.rows, max(1, learner.gradient_steps)
            outcome.diverged[rows] = learner.finish()
            outcome.gradient_steps[rows] = learner.gradient_steps
            outcome.loss[rows] = (learner.loss / updates).cpu().numpy()
            outcome.value[rows] = (learner.value / updates).cpu().numpy()
        return outcome

    def _took(self, phase: str, since: float) -> float:
        now = time.perf_counter()
        self.timings[phase] += now - since
        return now
