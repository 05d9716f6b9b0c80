"""Plays whole episodes greedily: scores subnets without training them."""

from collections.abc import Sequence
from contextlib import closing

import numpy as np
import torch
from numpy.typing import NDArray

from archgym.inner.envs import open_inner_envs
from archgym.inner.tasks import Task
from archgym.supernet import Subnets


@torch.no_grad()
def play(
    task: Task, groups: Sequence[tuple[list[int], Subnets]], seeds: Sequence[Sequence[int]], device: torch.device
) -> tuple[NDArray[np.float64], list[int]]:
    """Play one episode per seed, always by the largest output: the action of highest value, or the most probable one.

    Every inner environment takes as many steps as the longest episode has, so that what an evaluation costs does not
    depend on how it goes. What comes after its first episode is not counted: of the episodes that would still end in
    time there are more short ones than there should be.

    Args:
        task: The inner problem.
        groups: A partition of the rows 0..N-1, each part with its subnets.
        seeds: At least one for each of the N rows; rows may have different numbers.
        device: Where the subnets lie.

    Returns:
        Mean returns (N,), and the environment steps of each row: its seeds times the task's episode limit.
    """
    weights = [subnets.views("weight") for _, subnets in groups]
    counts = np.array([len(own) for own in seeds])
    there = np.arange(counts.max()) < counts[:, None]  # (N, most episodes): rows with fewer are filled up
    returns, alive, taken = np.zeros(there.shape), there.copy(), 0
    with closing(open_inner_envs(task, [seed for own in seeds for seed in own])) as envs:
        observations = envs.reset()
        padded = np.zeros((*there.shape, *observations.shape[1:]), dtype=observations.dtype)
        actions = np.zeros(there.shape, dtype=np.int64)
        for _ in range(task.episode_limit):
            if alive.any():
                padded[there] = observations
                tensor = torch.from_numpy(padded).to(device)
                for (rows, subnets), own in zip(groups, weights, strict=True):
                    outputs = subnets.forward(own, tensor[rows])[..., : envs.action_count]  # without a critic's value
                    actions[rows] = outputs.argmax(-1).cpu().numpy()
            step = envs.step(actions[there])
            taken += 1
            returns[alive] += step.reward[alive[there]]
            alive[there] &= ~(step.terminated | step.truncated)
            observations = step.observation
    return returns.sum(1) / counts, (counts * taken).tolist()
