"""PQN (Gallici et al. 2024, arXiv 2407.04811) for a population: trains checked-out subnets for one window.

Q-learning on the experience of several inner environments at once, which is learned from right away and then forgotten:
no replay and no target network, but networks with LayerNorm and Q(lambda) returns. Names and update follow CleanRL's
`pqn.py`: squared error, epochs of minibatches, a step size that falls to 0. No member sees another's
numbers, unless they train one supernet (`archgym.learners.sharing`).

Different from there: Adam, where CleanRL and the authors take RAdam, which learned more slowly (README.md); and an end
by truncation is worth the value of what was seen last.
"""

import time
from collections.abc import Sequence

import numpy as np

from archgym.inner.envs import InnerEnvs
from archgym.learners.exploration import Explorer
from archgym.learners.pqn import Config, Learners, Rollout
from archgym.learners.pqn_native import NativeLearners
from archgym.learners.pqn_torch import TorchLearners
from archgym.learners.rollouts import lambda_returns
from archgym.seeding import Consumer, generator
from archgym.training import Group, Outcome, Window, WindowTrainer, ages

LEARNERS = ("native", "reference")
SHARES_WEIGHTS = True  # the torch learner's members can train one supernet
PRESETS: dict[str, Config] = {
    "default": Config(),
    "cleanrl": Config(learning_rate=2.5e-4, q_lambda=0.65, num_steps=128, exploration_fraction=0.5),
    # The authors' (purejaxql: pqn_atari.yaml), who have 128 inner environments and 32 minibatches; with the 8 of
    # CleanRL's pqn_atari_envpool.py 2 minibatches are as large, and as many gradient steps made per environment step.
    "atari": Config(
        learning_rate=2.5e-4,
        anneal_lr=False,
        q_lambda=0.65,
        num_steps=32,
        update_epochs=2,
        num_minibatches=2,
        end_e=0.001,
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
        replay: None,
        envs: InnerEnvs,
        streams: Sequence[tuple[int, int]],
        window: Window,
    ) -> Outcome:
        """Train M members for one window.

        Args:
            groups: A partition of the rows 0..M-1; their subnets are trained in place.
            members: (M,), whose they are.
            replay: There is none.
            envs: M x E inner environments, those of a member next to each other.
            streams: (M,) pairs of seed and window, which all random numbers derive from.
            window: How long it lasts; looked at behind every rollout.

        Returns:
            Returns and statistics per member.
        """
        config, count = self.config, len(members)
        per_member = envs.num_envs // count
        shufflers = [generator(seed, Consumer.REPLAY, window) for seed, window in streams]
        learners: Learners
        if self.learner == "native":
            assert isinstance(envs.inputs, int), "images are not for the compiled learner"
            learners = NativeLearners(config, groups, envs.inputs, per_member, window.slots)
        else:
            learners = TorchLearners(config, groups, envs.action_count, self.device)
        before, explored = ages(groups)
        explorer = Explorer(config, self.horizon, explored, streams, per_member, envs.action_count)

        clock = time.perf_counter()
        first = envs.begin()
        observations = first.reshape(count, per_member, *first.shape[1:])
        clock = self._took("env", clock)
        slot = 0
        for length in config.rollouts(window.slots):
            rates = config.rate(before + slot * per_member, self.horizon)
            shape = (length, count, per_member)
            seen = np.empty((length, *observations.shape), dtype=observations.dtype)
            values = np.empty((length + 1, count, per_member))
            actions, rewards = np.empty(shape, dtype=np.int64), np.empty(shape)
            terminated, valid = np.empty(shape, dtype=bool), np.empty(shape, dtype=bool)
            for turn in range(length):
                seen[turn] = observations
                greedy, values[turn] = learners.act(observations)
                actions[turn] = explorer.choose(slot, greedy)
                clock = self._took("act", clock)
                step = envs.step(actions[turn].ravel())
                rewards[turn] = step.reward.reshape(count, per_member)
                terminated[turn] = step.terminated.reshape(count, per_member)
                done = terminated[turn] | step.truncated.reshape(count, per_member)
                valid[turn] = window.counter.add(rewards[turn], done)
                observations = step.observation.reshape(observations.shape)
                clock = self._took("env", clock)
                slot += 1
            _, values[length] = learners.act(observations)
            clock = self._took("act", clock)
            learned = np.clip(rewards, -1.0, 1.0) if config.clip_rewards else rewards
            returns = lambda_returns(learned, terminated, valid, values, config.gamma, config.q_lambda)
            every = np.arange(length * per_member)
            orders = np.stack([[rng.permutation(every) for _ in range(config.update_epochs)] for rng in shufflers])
            learners.learn(Rollout(seen, actions, returns.astype(np.float32), valid), orders, rates)
            clock = self._took("learn", clock)
            if window.over():
                break
        steps = slot * per_member
        mean_returns, finished, cut = window.counter.close()
        statistics = learners.finish()
        return Outcome(
            returns=mean_returns,
            episodes=finished,
            cut=cut,
            gradient_steps=statistics.gradient_steps,
            loss=statistics.loss,
            value=statistics.value,
            epsilon=config.epsilon(explored + steps, self.horizon),
            diverged=statistics.diverged,
            env_steps=np.full(count, steps),
        )
