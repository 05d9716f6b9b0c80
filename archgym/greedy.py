"""Plays whole episodes greedily: scores subnets without training them."""

from collections.abc import Sequence
from contextlib import closing

import numpy as np
import torch
from numpy.typing import NDArray

from archgym.inner_envs import open_inner_envs
from archgym.supernet import Subnets
from archgym.tasks import Task


@torch.no_grad()
def play(
    task: Task, groups: Sequence[tuple[list[int], Subnets]], seeds: NDArray[np.int64], device: torch.device
) -> tuple[NDArray[np.float64], list[int]]:
    """Play one episode per seed.

    Args:
        task: The inner problem.
        groups: A partition of the rows 0..N-1, each part with its subnets.
        seeds: (N, episodes).
        device: Where the subnets lie.

    Returns:
        Mean returns (N,), and the environment steps of each row.
    """
    weights = [subnets.views("weight") for _, subnets in groups]
    returns, lengths, alive = np.zeros(seeds.shape), np.zeros(seeds.shape, np.int64), np.ones(seeds.shape, bool)
    with closing(open_inner_envs(task, seeds.ravel().tolist())) as envs:
        observations = envs.reset()
        while alive.any():
            tensor = torch.from_numpy(observations).to(device).view(*seeds.shape, -1)
            actions = np.empty(seeds.shape, dtype=np.int64)
            for (rows, subnets), own in zip(groups, weights, strict=True):
                actions[rows] = subnets.forward(own, tensor[rows]).argmax(-1).cpu().numpy()
            step = envs.step(actions.ravel())
            returns += step.reward.reshape(seeds.shape) * alive
            lengths += alive
            alive &= ~(step.terminated | step.truncated).reshape(seeds.shape)
            observations = step.observation
    return returns.mean(1), lengths.sum(1).tolist()
