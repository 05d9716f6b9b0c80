"""What a user would run instead of archgym: DQN on one environment at the settings of `SETTINGS`, two programs.

Stable-Baselines3 is the package itself; beside these settings it clips gradients (at norm 10) and its loss is Huber's.
The other is a re-creation, written for this folder: a plain loop with the conventions of CleanRL's `dqn.py` (one
script, one environment, replay in numpy arrays, squared error, Adam, target copied), whose authors have no part in it.
CleanRL itself does not install beside this Gymnasium. Its own replay buffer does more checking, so it is slower.
"""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics
from torch import nn
from torch.nn import functional as F

from archgym.trainers.dqn import Config

TASK = "CartPole-v1"
HIDDEN = (120, 84)
SETTINGS = Config(
    batch_size=128, train_frequency=10, buffer_size=10_000, target_network_frequency=500, learning_starts=128
)

Ended = Callable[[float], bool]  # is told the return of every episode; True stops the training
Program = Callable[[int, int, Config, Ended], Callable[[], object]]  # steps, seed -> what trains for so many


def never(episode_return: float) -> bool:
    """Let the training go on."""
    return False


def stable_baselines(steps: int, seed: int, config: Config, ended: Ended = never) -> Callable[[], object]:
    """Set Stable-Baselines3's DQN up."""
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback

    class Tell(BaseCallback):
        def _on_step(self) -> bool:
            return not any([ended(info["episode"]["r"]) for info in self.locals["infos"] if "episode" in info])

    model = DQN(
        "MlpPolicy",
        TASK,
        learning_rate=config.learning_rate,
        gamma=config.gamma,
        buffer_size=config.buffer_size or 0,
        learning_starts=config.learning_starts or 0,
        batch_size=config.batch_size,
        train_freq=config.train_frequency,
        gradient_steps=1,
        target_update_interval=config.target_network_frequency,
        exploration_fraction=config.exploration_fraction,
        exploration_initial_eps=config.start_e,
        exploration_final_eps=config.end_e,
        policy_kwargs={"net_arch": list(HIDDEN)},
        device="cpu",
        seed=seed,
    )
    callback = None if ended is never else Tell()
    return lambda: model.learn(steps, callback, log_interval=steps)


def network(inputs: int, outputs: int) -> nn.Module:
    """Build the Q-network."""
    layers: list[nn.Module] = []
    for width in HIDDEN:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def plain_loop(steps: int, seed: int, config: Config, ended: Ended = never) -> Callable[[], object]:
    """Set the plain loop up."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    make = [lambda: RecordEpisodeStatistics(gym.make(TASK))]
    envs: Any = SyncVectorEnv(make, autoreset_mode=AutoresetMode.SAME_STEP)
    inputs, outputs = envs.single_observation_space.shape[0], int(envs.single_action_space.n)
    q_network, target_network = network(inputs, outputs), network(inputs, outputs)
    target_network.load_state_dict(q_network.state_dict())
    optimizer = torch.optim.Adam(q_network.parameters(), lr=config.learning_rate)
    size, starts = config.buffer_size or 0, config.learning_starts or 0
    observations = np.zeros((size, inputs), dtype=np.float32)
    followers = np.zeros((size, inputs), dtype=np.float32)
    actions = np.zeros((size, 1), dtype=np.int64)
    rewards, terminations = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32)

    def train() -> None:
        observation, _ = envs.reset(seed=seed)
        for step in range(steps):
            if rng.random() < config.epsilon(step, steps):
                action = rng.integers(outputs, size=1)
            else:
                with torch.no_grad():
                    action = q_network(torch.as_tensor(observation)).argmax(1).numpy()
            following, reward, terminated, truncated, infos = envs.step(action)
            place, true_next = step % size, following
            if terminated[0] or truncated[0]:
                true_next = infos["final_obs"][0][None]
            observations[place], actions[place], followers[place] = observation[0], action, true_next[0]
            rewards[place], terminations[place] = reward[0], terminated[0]
            observation = following
            if (terminated[0] or truncated[0]) and ended(float(infos["final_info"]["episode"]["r"][0])):
                break

            if step < starts:
                continue
            if step % config.train_frequency == 0:
                drawn = rng.integers(min(step + 1, size), size=config.batch_size)
                with torch.no_grad():
                    best = target_network(torch.as_tensor(followers[drawn])).amax(1)
                    alive = 1 - torch.as_tensor(terminations[drawn])
                    target = torch.as_tensor(rewards[drawn]) + config.gamma * best * alive
                values = q_network(torch.as_tensor(observations[drawn]))
                loss = F.mse_loss(target, values.gather(1, torch.as_tensor(actions[drawn])).squeeze(1))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if step % config.target_network_frequency == 0:
                target_network.load_state_dict(q_network.state_dict())
        envs.close()

    return train


PROGRAMS: dict[str, Program] = {"Stable-Baselines3 DQN": stable_baselines, "CleanRL-style loop": plain_loop}
