"""Inner environment steps per CPU-second on Atari, learning included, beside a plain loop for one environment.

Hypothesis: one member makes at least 1.7 times the steps of a plain DQN loop with DQN of the same network and settings,
and at least 6 times with PQN. Method: a run is some steps of Breakout-v5 from nothing, with the network of Mnih et al.
(Nature 2015) and the trainers' preset `atari`: DQN with batch 32 and one gradient step per 4 steps, from step
`--learning-starts` on; PQN with LayerNorm, rollouts of 32 slots, each learned from twice. The plain loop has the
conventions of CleanRL's `dqn_atari.py` (one environment, float32, torch's default Adam, replay in numpy arrays); it is
a re-creation written for this folder, whose authors have no part in it. archgym steps 8 or 32 inner environments per
member; with 32 PQN's rollouts are cut into four times as many minibatches, so that it makes as many gradient steps per
environment step. Contenders take turns in every round, one thread; ratios are taken within a round. CPU-seconds are
those of the process, all threads; opening environments and their first reset, which a window of usual length spreads
over ten times as many steps, are measured apart and left out. Speed only: nothing learns in so few steps.

*Four kernels* are four architectures of `nature-kernels`, drawn anew in every round, whose members have weights of
their own or train one supernet (`share_weights`): there the layers that all have in common are computed once.

    python -m benchmarks.bench_atari

About five minutes. EnvPool alone has the game: where it is missing, a sentence says so.
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

from archgym.inner.envs import dimensions, open_inner_envs
from archgym.inner.tasks import TASKS
from archgym.trainers import dqn, pqn
from benchmarks.environment import DQN, make
from benchmarks.rounds import Contender, Makers, seconds, show, take_turns

TASK = TASKS["Breakout-v5"]
SPACE = "benchmarks.nature_network"
ENVS = 8  # inner environments of one member


@dataclass(frozen=True)
class Args:
    steps: int = 800
    """Environment steps of one member in a run of DQN, a multiple of 8."""
    pqn_steps: int = 1_024
    """The same of PQN, which makes more of them in a second; a multiple of `many`."""
    many: int = 32
    """Inner environments of a member with many, in multiples of 8."""
    learning_starts: int = 80
    """Environment steps before DQN's first gradient step."""
    rounds: int = 5
    """Runs of every contender, after one that does not count."""
    precisions: tuple[str, ...] = ("float32", "bfloat16")
    """What archgym computes in; the plain loop has float32."""
    only: tuple[str, ...] = ()
    """Contenders with one of these words in the name, beside the plain loop; none: all."""


TOY = Args(steps=40, pqn_steps=32, many=16, learning_starts=16, rounds=1, precisions=("bfloat16",))


def network(outputs: int) -> nn.Sequential:
    """Build the Q-network of the plain loop."""
    convs = [nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU()]
    return nn.Sequential(*convs, nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, outputs))


def plain_loop(config: dqn.Config, steps: int, seed: int) -> Callable[[], object]:
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


def peer(config: dqn.Config, steps: int) -> Contender:
    return Contender("environment step", steps, seconds(lambda seed: plain_loop(config, steps, seed)))


def archgym(
    env_id: str, config: dqn.Config | pqn.Config, steps: int, envs: int = ENVS, members: int = 1, **given: Any
) -> Contender:
    keywords: dict[str, Any] = {**asdict(config), "task": TASK.id, "space": SPACE, "envs_per_member": envs, **given}
    env = make(members, env_id, windows=1, window_steps=steps, **keywords)

    def run(seed: int) -> float:
        env.reset(seed=seed)
        rng = np.random.default_rng(seed)
        architectures = np.stack([env.search_space.sample(rng) for _ in range(members)])  # SPACE has one
        start = time.process_time()
        with closing(open_inner_envs(TASK, range(members * envs))) as opened:
            opened.reset()
            opening = time.process_time() - start
        start = time.process_time()
        env.step(architectures)
        return time.process_time() - start - opening

    return Contender("environment step", members * steps, run)


def contenders(args: Args) -> Makers:
    """List what makes each contender: first the plain loop, the reference."""
    replayed = replace(dqn.PRESETS["atari"], buffer_size=args.steps, learning_starts=args.learning_starts)
    rollouts = pqn.PRESETS["atari"]
    makers: dict[str, Callable[[], Contender]] = {"plain loop, DQN float32": partial(peer, replayed, args.steps)}
    for precision in args.precisions:
        config = replace(replayed, precision=precision)
        makers[f"archgym DQN {precision}, {ENVS} environments"] = partial(archgym, DQN, config, args.steps)
    for envs in (ENVS, args.many):
        for precision in args.precisions:
            minibatches = rollouts.num_minibatches * envs // ENVS
            own = replace(rollouts, precision=precision, num_minibatches=minibatches)
            name = f"archgym PQN {precision}, {envs} environments"
            makers[name] = partial(archgym, "ArchSearch-PQN-v0", own, args.pqn_steps, envs)
    for precision in args.precisions:
        for shares, name in ((False, "weights of their own"), (True, "one supernet")):
            few = max(args.steps // 4, 2 * args.learning_starts)
            config = replace(replayed, precision=precision, buffer_size=few)
            kernels = {"members": 4, "space": "nature-kernels", "share_weights": shares}
            makers[f"archgym DQN {precision}, four kernels, {name}"] = partial(
                archgym, DQN, config, few, ENVS, **kernels
            )
    chosen = [name for name in makers if not args.only or any(word in name for word in args.only)]
    return {name: maker for name, maker in makers.items() if name.startswith("plain") or name in chosen}


def main(args: Args) -> None:
    try:
        dimensions(TASK)
    except ValueError as missing:
        print(f"Nothing to measure: {missing}")
        return
    title = f"{TASK.id}, DQN {args.steps} steps, PQN {args.pqn_steps} steps"
    show(title, take_turns(contenders(args), args.rounds))


if __name__ == "__main__":
    main(tyro.cli(Args))
