"""Opens the vector environments that are measured: without a journal, and short windows without a warning."""

import warnings
from typing import Any

import gymnasium as gym

import archgym  # noqa: F401  (registers the environments)

DQN = "ArchSearch-DQN-v0"


def make(members: int, env_id: str = DQN, **keywords: Any) -> Any:
    """Make K members; the environment variable that asks for a journal does not count."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="window_steps=.* is shorter")
        return gym.make_vec(env_id, num_envs=members, **{"journal": "", **keywords}).unwrapped
