"""Inner environment steps per CPU-second on Atari, learning included, beside a plain loop for one environment.

Hypothesis: one member makes at least 1.7 times the steps of a plain loop with the same network and settings. Method: a
run is `--steps` environment steps of Breakout-v5 from nothing, with the network of Mnih et al. (Nature 2015) and the
preset `atari` (batch 32, one gradient step per 4 steps, Adam at 1e-4), learning from step `--learning-starts` on. The
plain loop has the conventions of CleanRL's `dqn_atari.py` (one environment, float32, torch's default Adam, replay in
numpy arrays); it is a re-creation written for this folder, whose authors have no part in it. archgym steps 8 inner
environments per member. Contenders take turns in every round, one thread; ratios are taken within a round. CPU-seconds
are those of the process, all threads; opening environments, which a window of usual length spreads over ten times as
many steps, is measured apart and left out. Speed only: nothing learns in so few steps.

    python -m benchmarks.bench_atari

About four minutes. EnvPool alone has the game: where it is missing, a sentence says so.
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import tyro
from torch import nn
from torch.nn import functional as F

from archgym.inner_envs import dimensions, open_inner_envs
from archgym.tasks import TASKS
from archgym.trainers.dqn import PRESETS, Config
from benchmarks.environment import make
from benchmarks.rounds import Contender, Makers, seconds, show, take_turns

TASK = TASKS["Breakout-v5"]
SPACE = "benchmarks.nature_network"
ENVS = 8  # inner environments of one member


@dataclass(frozen=True)
class Args:
    steps: int = 800
    """Environment steps of one member in a run."""
    learning_starts: int = 80
    """Environment steps before the first gradient step."""
    rounds: int = 5
    """Runs of every contender, after one that does not count."""


TOY = Args(steps=40, learning_starts=16, rounds=2)


def network(outputs: int) -> nn.Sequential:
    """Build the Q-network of the plain loop."""
    convs = [nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU()]
    return nn.Sequential(*convs, nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, outputs))


def plain_loop(config: Config, steps: int, seed: int) -> Callable[[], object]:
    """Set the plain loop up."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    image, outputs = dimensions(TASK)
    envs = open_inner_envs(TASK, [seed])
    q_network, target_network = network(outputs), network(outputs)
    target_network.load_state_dict(q_network.state_dict())
    optimizer = torch.optim.Adam(q_network.parameters(), lr=config.learning_rate)
    size, starts = steps + 1, config.learning_starts or 0
    observations = np.zeros((size, *np.atleast_1d(image)), dtype=np.uint8)
    actions, rewards = np.zeros((size, 1), dtype=np.int64), np.zeros(size, dtype=np.float32)
    terminations, executed = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.int64)

    def read(images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(images).float() / 255.0

    def train() -> None:
        observation, over = envs.reset(), False
        for step in range(steps):
            if rng.random() < config.epsilon(step, steps):
                action = rng.integers(outputs, size=1)
            else:
                with torch.no_grad():
                    action = q_network(read(observation)).argmax(1).numpy()
            told = envs.step(action)
            observations[step], actions[step], rewards[step] = observation[0], action, np.sign(told.reward[0])
            terminations[step], executed[step] = told.terminated[0], not over
            over = bool(told.terminated[0] or told.truncated[0])
            observation = told.observation
            observations[step + 1] = observation[0]
            if step >= starts and step % config.train_frequency == 0:
                batch = rng.choice(np.flatnonzero(executed[: step + 1]), config.batch_size)
                with torch.no_grad():
                    best = target_network(read(observations[batch + 1])).amax(1)
                    left = 1 - torch.from_numpy(terminations[batch])
                    target = torch.from_numpy(rewards[batch]) + config.gamma * best * left
                values = q_network(read(observations[batch])).gather(1, torch.from_numpy(actions[batch])).squeeze(1)
                loss = F.mse_loss(values, target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if step % config.target_network_frequency == 0:
                target_network.load_state_dict(q_network.state_dict())
        envs.close()

    return train


def peer(config: Config, steps: int) -> Contender:
    return Contender("environment step", steps, seconds(lambda seed: plain_loop(config, steps, seed)))


def archgym(config: Config, steps: int) -> Contender:
    keywords: dict[str, Any] = {**asdict(config), "task": TASK.id, "space": SPACE, "envs_per_member": ENVS}
    env = make(1, windows=1, window_steps=steps, **keywords)
    architectures = env.search_space.default_architecture[None]

    def run(seed: int) -> float:
        env.reset(seed=seed)
        start = time.process_time()
        with closing(open_inner_envs(TASK, range(ENVS))):
            opening = time.process_time() - start
        start = time.process_time()
        env.step(architectures)
        return time.process_time() - start - opening

    return Contender("environment step", steps, run)


def contenders(args: Args) -> Makers:
    """List what makes each contender: first the plain loop, the reference."""
    config = replace(PRESETS["atari"], buffer_size=args.steps, learning_starts=args.learning_starts)
    ours = {f"archgym {precision}, {ENVS} environments": precision for precision in ("float32", "bfloat16")}
    return {
        "plain loop, float32": partial(peer, config, args.steps),
        **{name: partial(archgym, replace(config, precision=one), args.steps) for name, one in ours.items()},
    }


def main(args: Args) -> None:
    try:
        dimensions(TASK)
    except ValueError as missing:
        print(f"Nothing to measure: {missing}")
        return
    show(f"DQN on {TASK.id}, {args.steps} steps", take_turns(contenders(args), args.rounds))


if __name__ == "__main__":
    main(tyro.cli(Args))
