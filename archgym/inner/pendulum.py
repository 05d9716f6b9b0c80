"""The inverted pendulum on which NAS-DQN was tried (arXiv 2510.19872), as a single environment and as a batch.

Published: theta'' = (g/l) sin(theta) + tau/(m l^2) with m = l = 1, g = 9.8, steps of 0.02 s by semi-implicit Euler
(the speed first, clipped to +-8 rad/s, then the angle with the new speed), and the observation [cos, sin, speed].
The angle 0 is upright, where the pendulum falls over by itself.

Not published, hence choices of ours:

* torques: {-4, -2, 0, 2, 4} N m. The largest is 0.4 of gravity's, the ratio of Gymnasium's `Pendulum-v1`, so that the
  pendulum has to be swung up in several goes.
* reward: minus the cost of `Pendulum-v1` before the step, angle^2 + 0.1 speed^2 + 0.001 torque^2, taken as a rate and
  multiplied by the 0.02 s of the step, so that a return is minus the cost integrated over the episode. Unscaled, action
  values could reach -1600 at a discount of 0.99, far for small learning rates to go; so it is -33.
* horizon: 500 steps, 10 s; nothing terminates an episode.
* start: that of `Pendulum-v1`, an angle uniform in +-pi and a speed uniform in +-1 rad/s.

Both environments step by the same functions: environment i of a batch is the single one of the same seed, bit for bit.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

GRAVITY = 9.8  # m/s^2
MASS = 1.0  # kg
LENGTH = 1.0  # m
STEP_SECONDS = 0.02
MAX_SPEED = 8.0  # rad/s
TORQUES = np.array([-4.0, -2.0, 0.0, 2.0, 4.0])  # N m, by action
HORIZON = 500  # steps
LARGEST_START = np.array([np.pi, 1.0])  # rad, rad/s


def start(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the state (2,) that an episode starts from: angle in rad, speed in rad/s."""
    return rng.uniform(-LARGEST_START, LARGEST_START)


def advance(state: NDArray[np.float64], torque: NDArray[np.float64]) -> NDArray[np.float64]:
    """Step n pendulums by 0.02 s.

    Args:
        state: Angles in [-pi, pi] rad and speeds in rad/s, (2, n).
        torque: In N m, (n,).

    Returns:
        The next states, (2, n).
    """
    angle, speed = state
    acceleration = GRAVITY / LENGTH * np.sin(angle) + torque / (MASS * LENGTH**2)
    speed = np.clip(speed + acceleration * STEP_SECONDS, -MAX_SPEED, MAX_SPEED)
    angle = (angle + speed * STEP_SECONDS + np.pi) % (2 * np.pi) - np.pi
    return np.stack([angle, speed])


def reward(state: NDArray[np.float64], torque: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rewards (n,) of applying torques (n,) for one step in states (2, n)."""
    angle, speed = state
    cost: NDArray[np.float64] = angle**2 + 0.1 * speed**2 + 0.001 * torque**2
    return -STEP_SECONDS * cost


def observe(state: NDArray[np.float64]) -> NDArray[np.float32]:
    """Observations (n, 3) of states (2, n): cosine and sine of the angle, speed in rad/s."""
    angle, speed = state
    return np.stack([np.cos(angle), np.sin(angle), speed], axis=-1).astype(np.float32)


def _observation_space() -> gym.Space[NDArray[np.float32]]:
    high = np.array([1.0, 1.0, MAX_SPEED], dtype=np.float32)
    return gym.spaces.Box(-high, high)


class Pendulum(gym.Env[NDArray[np.float32], np.int64]):
    """One pendulum; `gym.make("archgym:NASDQNPendulum-v0")` adds the limit of 500 steps."""

    metadata = {"render_modes": []}  # noqa: RUF012, Gymnasium declares it as an instance variable

    def __init__(self) -> None:
        self.observation_space = _observation_space()
        self.action_space = gym.spaces.Discrete(len(TORQUES))
        self._state = np.zeros((2, 1))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode; `options` are not used."""
        super().reset(seed=seed)
        self._state = start(self.np_random)[:, None]
        return observe(self._state)[0], {}

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Apply torque `TORQUES[action]` for 0.02 s."""
        assert self.action_space.contains(action), f"expected an action in {self.action_space}, got {action!r}"
        torque = TORQUES[[action]]
        gained = float(reward(self._state, torque)[0])
        self._state = advance(self._state, torque)
        return observe(self._state)[0], gained, False, False, {}


class PendulumVector(VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]):
    """Pendulums side by side, each with a generator of its own, as Gymnasium's `SyncVectorEnv` has them.

    Args:
        num_envs: How many.
        max_episode_steps: Steps after which an episode is truncated; the step after that resets (NEXT_STEP).
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012, as above

    def __init__(self, num_envs: int = 1, max_episode_steps: int = HORIZON) -> None:
        self.num_envs, self.max_episode_steps = num_envs, max_episode_steps
        self.single_observation_space = _observation_space()
        self.single_action_space = gym.spaces.Discrete(len(TORQUES))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rngs = [np.random.default_rng() for _ in range(num_envs)]
        self._state = np.zeros((2, num_envs))
        self._elapsed = np.zeros(num_envs, dtype=np.int64)

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start all episodes.

        Args:
            seed: One seed per environment; an integer s means s, s + 1, ...; None goes on with the generators.
            options: Not used.

        Returns:
            Observations (num_envs, 3) and an empty info.
        """
        if seed is not None:
            seeds = range(seed, seed + self.num_envs) if isinstance(seed, int) else seed
            self._rngs = [np.random.default_rng(one) for one in seeds]
        self._state = np.stack([start(rng) for rng in self._rngs], axis=1)
        self._elapsed[:] = 0
        return observe(self._state), {}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Apply torques `TORQUES[actions]` for 0.02 s, or start the next episode where the last one has ended."""
        assert self.action_space.contains(actions), f"expected actions in {self.action_space}, got {actions!r}"
        torque = TORQUES[actions]
        ended = self._elapsed >= self.max_episode_steps
        gained = np.where(ended, 0.0, reward(self._state, torque))
        self._state = advance(self._state, torque)
        for i in np.flatnonzero(ended):
            self._state[:, i] = start(self._rngs[i])
        self._elapsed = np.where(ended, 0, self._elapsed + 1)
        truncated = self._elapsed >= self.max_episode_steps
        return observe(self._state), gained, np.zeros(self.num_envs, dtype=bool), truncated, {}
