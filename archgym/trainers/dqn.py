"""DQN (Mnih et al. 2015, arXiv 1312.5602) for a population: trains checked-out subnets for one window.

Names and update follow CleanRL's `dqn.py`: squared error, Adam, a target network copied every
`target_network_frequency` steps, one gradient step every `train_frequency` steps. No member sees another's numbers.
`double` is Double DQN (arXiv 1509.06461).
"""

import time
from collections.abc import Sequence

import numpy as np
import torch

from archgym.episodes import EpisodeCounter
from archgym.inner_envs import InnerEnvs
from archgym.learners.dqn import Config, Learners
from archgym.learners.dqn_torch import TorchLearners
from archgym.replay import Replay
from archgym.seeding import Consumer, generator
from archgym.training import Group, Outcome

DRAWS = 64  # slots whose exploration is drawn at once

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
        explorers = [generator(seed, Consumer.EXPLORATION, window) for seed, window in streams]
        samplers = [generator(seed, Consumer.REPLAY, window) for seed, window in streams]
        learners: Learners = TorchLearners(self.config, groups, members, replay, samplers, self.device)
        before = np.empty((count, 1), dtype=np.int64)
        for group in groups:
            before[group.rows] = group.steps
        episodes = EpisodeCounter(count, per_member, self.episode_limit)

        clock = time.perf_counter()
        observations = envs.reset().reshape(count, per_member, -1)
        clock = self._took("env", clock)
        for slot in range(slots):
            greedy = learners.act(observations)
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
            terminated = step.terminated.reshape(count, per_member)
            valid = episodes.add(rewards, terminated | step.truncated.reshape(count, per_member))
            learners.record(observations, actions, rewards, terminated, valid)
            observations = step.observation.reshape(count, per_member, -1)
            learners.learn(slot * per_member, (slot + 1) * per_member)
            clock = self._took("learn", clock)
        nothing = np.zeros((count, per_member))  # no action, not valid: the newest slot's successor
        learners.record(observations, nothing.astype(np.int64), nothing, nothing.astype(bool), nothing.astype(bool))
        returns, finished, cut = episodes.close()
        statistics = learners.finish()
        return Outcome(
            returns=returns,
            episodes=finished,
            cut=cut,
            gradient_steps=statistics.gradient_steps,
            loss=statistics.loss,
            value=statistics.value,
            epsilon=self.config.epsilon(before[:, 0] + slots * per_member, self.horizon),
            diverged=statistics.diverged,
        )

    def _took(self, phase: str, since: float) -> float:
        now = time.perf_counter()
        self.timings[phase] += now - since
        return now
