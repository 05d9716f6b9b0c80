"""DQN (Mnih et al. 2015, arXiv 1312.5602) for a population: trains checked-out subnets for one window.

Names and update follow CleanRL's `dqn.py`: squared error, Adam, a target network copied every
`target_network_frequency` steps, one gradient step every `train_frequency` steps. No member sees another's numbers,
unless they train one supernet (`archgym.learners.sharing`). `double` is Double DQN (arXiv 1509.06461).
"""

import time
from collections.abc import Sequence
from types import ModuleType

import numpy as np

from archgym.inner.envs import InnerEnvs
from archgym.learners.dqn import Config, Learners
from archgym.learners.dqn_captured import CapturedLearners
from archgym.learners.dqn_native import NativeLearners
from archgym.learners.dqn_stacked import StackedLearners
from archgym.learners.dqn_torch import TorchLearners
from archgym.learners.exploration import Explorer
from archgym.replay import Replay
from archgym.seeding import Consumer, generator
from archgym.supernet import Family
from archgym.supernets import mlp
from archgym.training import Group, Outcome, Window, WindowTrainer, ages

LEARNERS = ("native", "torch", "reference")
SHARES_WEIGHTS = True  # the torch learner's members can train one supernet
PRESETS: dict[str, Config] = {
    "default": Config(),
    "cleanrl": Config(
        learning_rate=2.5e-4,
        target_network_frequency=500,
        buffer_size=10_000,
        learning_starts=10_000,
        exploration_fraction=0.5,
    ),
    "atari": Config(  # CleanRL's dqn_atari.py; but buffer_size and learning_starts follow the horizon
        learning_rate=1e-4,
        batch_size=32,
        train_frequency=4,
        target_network_frequency=1000,
        end_e=0.01,
        exploration_fraction=0.1,
        clip_rewards=True,
    ),
}


class Trainer(WindowTrainer[Config]):
    """Trains members for a window."""

    def train(
        self,
        groups: Sequence[Group],
        members: Sequence[int],
        replay: Replay,
        envs: InnerEnvs,
        streams: Sequence[tuple[int, int]],
        window: Window,
    ) -> Outcome:
        """Train M members for one window.

        Args:
            groups: A partition of the rows 0..M-1; their subnets are trained in place.
            members: (M,) whose rings in the replay are written and read.
            replay: The rings.
            envs: M x E inner environments, those of a member next to each other.
            streams: (M,) pairs of seed and window, which all random numbers derive from.
            window: How long it lasts; looked at behind every slot.

        Returns:
            Returns and statistics per member.
        """
        count, per_member = len(members), replay.envs
        samplers = [generator(seed, Consumer.REPLAY, window) for seed, window in streams]
        learners: Learners
        if self.learner == "native":
            learners = NativeLearners(self.config, groups, members, replay, samplers)
        else:
            made = _captured(groups) if self.learner == "torch" else TorchLearners
            learners = made(self.config, groups, members, replay, samplers, self.device)
        _, explored = ages(groups)
        explorer = Explorer(self.config, self.horizon, explored, streams, per_member, envs.action_count)

        clock = time.perf_counter()
        start, steps = envs.begin(), 0
        shape = (count, per_member, *start.shape[1:])
        observations = start.reshape(shape)
        clock = self._took("env", clock)
        for slot in range(window.slots):
            actions = explorer.choose(slot, learners.act(observations))
            clock = self._took("act", clock)
            envs.send(actions.ravel())
            clock = self._took("env", clock)
            learners.record(observations, actions)
            learners.learn(steps, steps + per_member)  # while EnvPool steps
            clock = self._took("learn", clock)
            step = envs.receive()
            clock = self._took("env", clock)
            rewards = step.reward.reshape(count, per_member)
            terminated = step.terminated.reshape(count, per_member)
            valid = window.counter.add(rewards, terminated | step.truncated.reshape(count, per_member))
            learned = np.clip(rewards, -1.0, 1.0) if self.config.clip_rewards else rewards
            learners.complete(learned, terminated, valid)
            observations = step.observation.reshape(shape)
            clock = self._took("learn", clock)
            steps += per_member
            if window.over():
                break
        learners.record(observations, np.zeros((count, per_member), dtype=np.int64))  # the newest slot's successor
        returns, finished, cut = window.counter.close()
        statistics = learners.finish()
        return Outcome(
            returns=returns,
            episodes=finished,
            cut=cut,
            gradient_steps=statistics.gradient_steps,
            loss=statistics.loss,
            value=statistics.value,
            epsilon=self.config.epsilon(explored + steps, self.horizon),
            diverged=statistics.diverged,
            env_steps=np.full(count, steps),
        )


def _captured(groups: Sequence[Group]) -> type[CapturedLearners]:
    """Give the learners that `torch` names: without autograd where the networks are multilayer perceptrons."""
    family: Family | ModuleType = groups[0].subnets.layout.family
    return StackedLearners if family is mlp else CapturedLearners
