"""The compiled PQN learner (archgym/native/pqn.h): every member at its own widths, the same numbers as `pqn_torch`."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.learners.native import Native, Networks, Trained, address, integer, number, pointer
from archgym.learners.pqn import Config, Rollout
from archgym.training import Group, Statistics


class _Settings(ctypes.Structure):
    _fields_ = (("max_grad_norm", number), *((name, integer) for name in ("inputs", "outputs", "envs", "batch_size")))


SIGNATURES: dict[str, list[Any]] = {
    "act": [pointer] * 3,
    "learn": [*[pointer] * 5, integer, pointer, integer, pointer],
}


class NativeLearners:
    """The learners of M members in one window.

    Args:
        config: Resolved settings.
        groups: A partition of the rows 0..M-1; their subnets are trained in place. Networks are `MLP`.
        inputs: Numbers in one observation.
        envs: Inner environments of a member, E.
        slots: Time slots of the window.
    """

    def __init__(self, config: Config, groups: Sequence[Group], inputs: int, envs: int, slots: int) -> None:
        self.config, self.networks = config, Networks(groups, config.precision)
        self.count = sum(len(group.rows) for group in groups)
        described = (Trained * self.count)()
        for index, group in enumerate(groups):
            for position, row in enumerate(group.rows):
                described[row] = self.networks.trained(index, position)
        cuts = config.minibatches(max(config.rollouts(slots)) * envs)
        batch = max(cut.stop - cut.start for cut in cuts)
        settings = _Settings(config.max_grad_norm, inputs, self.networks.outputs, envs, batch)
        self._native = Native("pqn", self.networks.precision, SIGNATURES, settings, described, self.count)
        self._actions, self._values = np.empty((self.count, envs), dtype=np.int64), np.empty((self.count, envs))

    def act(self, observations: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Give the actions of highest value and these values, (M, E), on observations (M, E, observation size)."""
        self._native("act", address(observations, np.float32), self._actions.ctypes.data, self._values.ctypes.data)
        return self._actions, self._values

    def learn(self, rollout: Rollout, orders: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        """Make all gradient steps of a rollout."""
        ends = np.array([cut.stop for cut in self.config.minibatches(orders.shape[2])], dtype=np.int64)
        self._native(
            "learn",
            address(rollout.observations, np.float32),
            address(rollout.actions, np.int64),
            address(rollout.returns, np.float32),
            address(rollout.valid, np.bool_),
            address(orders, np.int64),
            orders.shape[1],
            ends.ctypes.data,
            len(ends),
            address(rates, np.float64),
        )

    def finish(self) -> Statistics:
        """End the window."""
        statistics = self.networks.finish(self._native, self.count)
        statistics.diverged |= ~np.isfinite(statistics.loss)  # as in the reference: a cut gradient hides it
        return statistics
