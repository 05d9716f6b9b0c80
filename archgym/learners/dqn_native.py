"""The compiled DQN learner (archgym/native/dqn.h): every member at its own widths, the same numbers as `dqn_torch`.

It draws the same minibatches from the same generators, so both tell the same story until rounding drives them apart.
Members never meet in a product: the result does not depend on how many there are.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.learners.dqn import Config
from archgym.learners.dqn_torch import DRAWS
from archgym.learners.native import Native, Networks, Trained, integer, number, pointer
from archgym.observations import Observations
from archgym.replay import Replay
from archgym.training import Group, Statistics


class _Settings(ctypes.Structure):
    _fields_ = (
        *((name, number) for name in ("learning_rate", "gamma", "tau")),
        *((name, integer) for name in ("batch_size", "learning_starts", "target_network_frequency", "twice", "huber")),
        *((name, integer) for name in ("remember", "inputs", "outputs", "envs", "slots")),
    )


class _Member(ctypes.Structure):
    _fields_ = (
        ("trained", Trained),
        *((name, pointer) for name in ("target", "observations", "steps", "head", "filled")),
        ("steps_before", integer),
        *((name, pointer) for name in ("uniforms", "drawn")),
    )


SIGNATURES: dict[str, list[Any]] = {
    "act": [pointer] * 2,
    "record": [pointer] * 2,
    "complete": [pointer] * 3,
    "update": [integer],
    "sync": [integer] * 2,
}


class NativeLearners:
    """The learners of M members in one window.

    Args:
        config: Resolved settings.
        groups: A partition of the rows 0..M-1; their subnets are trained in place. Networks are `MLP`.
        members: (M,) whose rings in the replay are written and read.
        replay: The rings, on the CPU.
        samplers: (M,) generators of what minibatches are drawn with.
        remember: Whether values of the target network are kept while it stands still; the result is the same.
    """

    def __init__(
        self,
        config: Config,
        groups: Sequence[Group],
        members: Sequence[int],
        replay: Replay,
        samplers: Sequence[np.random.Generator],
        remember: bool = True,
    ) -> None:
        assert config.learning_starts is not None, "the settings are resolved before training"
        self.config, self.samplers, self.networks = config, samplers, Networks(groups, config.precision)
        count = len(members)
        self._uniforms = np.empty((count, DRAWS, config.batch_size))
        self._drawn = np.full(count, DRAWS)
        # What calls hand over: arrays of its own, for to find an array's address takes longer than to copy a small one.
        shape = (count, replay.envs)
        self._observations = np.empty((*shape, replay.observations.shape[-1]), dtype=np.float32)
        self._greedy, self._actions = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.int64)
        self._rewards, self._terminated, self._valid = np.empty(shape), np.empty(shape, bool), np.empty(shape, bool)
        self._act_arguments = (self._observations.ctypes.data, self._greedy.ctypes.data)
        self._record_arguments = (self._observations.ctypes.data, self._actions.ctypes.data)
        results = (self._rewards, self._terminated, self._valid)
        self._complete_arguments = tuple(array.ctypes.data for array in results)
        described = (_Member * count)()
        for index, group in enumerate(groups):
            for position, row in enumerate(group.rows):
                rings = (replay.observations, replay.steps, replay.head, replay.filled)
                described[row] = _Member(
                    self.networks.trained(index, position),
                    group.subnets.fields["target"][position].data_ptr(),
                    *(ring[members[row]].data_ptr() for ring in rings),
                    group.steps,
                    self._uniforms[row].ctypes.data,
                    self._drawn[row:].ctypes.data,
                )
        settings = _Settings(
            *(config.learning_rate, config.gamma, config.tau, config.batch_size, config.learning_starts),
            *(config.target_network_frequency, config.double, config.huber, remember),
            *(replay.observations.shape[-1], self.networks.outputs, replay.envs, replay.slots),
        )
        self._native = Native("dqn", self.networks.precision, SIGNATURES, settings, described, count)

    def act(self, observations: Observations) -> NDArray[np.int64]:
        """Give the actions of highest value, (M, E), on observations (M, E, observation size)."""
        self._observations[:] = observations
        self._native("act", *self._act_arguments)
        return self._greedy

    def record(self, observations: Observations, actions: NDArray[np.int64]) -> None:
        """Begin a time slot of the replay."""
        self._observations[:] = observations
        self._actions[:] = actions
        self._native("record", *self._record_arguments)

    def complete(self, rewards: NDArray[np.float64], terminated: NDArray[np.bool_], valid: NDArray[np.bool_]) -> None:
        """Write down what came of the newest slot's actions."""
        self._rewards[:] = rewards
        self._terminated[:] = terminated
        self._valid[:] = valid
        self._native("complete", *self._complete_arguments)

    def learn(self, start: int, end: int) -> None:
        """Make the gradient steps and copies of weights that are due."""
        for _ in range(self.config.due(start, end)):
            for row in np.flatnonzero(self._drawn == DRAWS).tolist():
                self.samplers[row].random(out=self._uniforms[row])
                self._drawn[row] = 0
            self._native("update", start)
        self._native("sync", start, end)

    def finish(self) -> Statistics:
        """End the window."""
        return self.networks.finish(self._native, len(self._drawn))
