"""PPO (Schulman et al. 2017, arXiv 1707.06347) for a population: trains checked-out subnets for one window.

Actors and critics on one torso: the last layer has an output more than there are actions, and that one is the value.
Names and update follow CleanRL's `ppo.py`: rollouts are learned from in epochs of minibatches and then forgotten, a
probability that has moved by more than `clip_coef` gains nothing by moving further, and the step size falls to 0. No
member sees another's numbers, unless they train one supernet (`archgym.learners.sharing`).

Different from there: an end by truncation is worth the value of what was seen last, where CleanRL takes it for a
termination; steps that only reset an environment are left out of all means; gradients are cut member by member; Adam's
epsilon is 1e-8, not 1e-5; weights begin as those of every other trainer, not orthogonal; `ppo.py` has a torso each for
actor and critic; and there is no `target_kl`.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from archgym.inner.envs import InnerEnvs
from archgym.learners.ppo import Config, Rollout
from archgym.learners.ppo_torch import TorchLearners
from archgym.learners.rollouts import lambda_returns
from archgym.learners.sampling import Sampler
from archgym.seeding import Consumer, generator
from archgym.training import Group, Outcome, Window, WindowTrainer, ages

ACTOR_CRITIC = True  # networks need an output for the value
SHARES_WEIGHTS = True
CLEANRL = Config(learning_rate=2.5e-4, num_steps=128, max_grad_norm=0.5)
ATARI = replace(CLEANRL, clip_coef=0.1, clip_rewards=True)  # ppo_atari.py, with 8 inner environments (envs_per_member)
PRESETS: dict[str, Config] = {
    "default": Config(),
    "cleanrl": CLEANRL,
    "atari": ATARI,
    # Table 4 of Mazyavkina et al. (arXiv 2011.14632), with 8 inner environments. Epochs, minibatches and discount are
    # the defaults of their code (NinaMaz/NAS_RL_torch). Not known, and as in ppo_atari.py here: the length of
    # gradients, what is normalised or clipped beside the ratio, and whether 0.25 is of the squared error or its half.
    "mazyavkina": replace(ATARI, schedule="cosine", update_epochs=5, vf_coef=0.25),
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
        sampler = Sampler(streams, per_member, envs.action_count)
        learners = TorchLearners(config, groups, envs.action_count, self.device)
        before, _ = ages(groups)

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
            actions, chances, rewards = np.empty(shape, dtype=np.int64), np.empty(shape), np.empty(shape)
            terminated, valid = np.empty(shape, dtype=bool), np.empty(shape, dtype=bool)
            for turn in range(length):
                seen[turn] = observations
                policies, values[turn] = learners.act(observations)
                actions[turn] = sampler.choose(slot, policies)
                chances[turn] = np.take_along_axis(policies, actions[turn][..., None], -1)[..., 0]
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
            returns = lambda_returns(learned, terminated, valid, values, config.gamma, config.gae_lambda)
            every = np.arange(length * per_member)
            orders = np.stack([[rng.permutation(every) for _ in range(config.update_epochs)] for rng in shufflers])
            learners.learn(Rollout(seen, actions, chances, values[:-1], returns, valid), orders, rates)
            clock = self._took("learn", clock)
            if window.over():
                break
        mean_returns, finished, cut = window.counter.close()
        statistics = learners.finish()
        return Outcome(
            returns=mean_returns,
            episodes=finished,
            cut=cut,
            gradient_steps=statistics.gradient_steps,
            loss=statistics.loss,
            value=statistics.value,
            epsilon=np.zeros(count),
            diverged=statistics.diverged,
            env_steps=np.full(count, slot * per_member),
        )
