"""The vector form of `ArchSearch-DQN-v0`: K lifetimes trained as one population, not as K processes."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from archgym.envs import core
from archgym.envs.lifetimes import observation_space
from archgym.window import WindowResult


class ArchSearchVectorEnv(core.Face, VectorEnv[NDArray[np.float32], Any, NDArray[Any]]):
    """K lifetimes of `ArchSearchEnv`, made by `gymnasium.make_vec("ArchSearch-DQN-v0", num_envs=K)`.

    Member k is the single environment reset with member k's seed (bit for bit with `exact=True`). A lifetime that ended
    begins anew at the next step, which ignores its action (Gymnasium's next-step autoreset). Spaces, rewards, infos and
    arguments are those of `ArchSearchEnv`, batched; `reset` takes `options={"reset_mask": mask}`.
    """

    metadata = {  # noqa: RUF012  (Gymnasium's declaration)
        "render_modes": list(core.RENDER_MODES),
        "render_fps": 4,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(self, num_envs: int = 1, render_mode: str | None = None, **keywords: Any) -> None:
        self.render_mode = core.check_render_mode(render_mode)
        self._lives = core.Lives(num_envs, keywords)
        self.num_envs = self._lives.members
        self.problem = self._lives.problem
        self.search_space = self.problem.space
        self.single_action_space: gym.Space[Any] = core.action_space(self.problem)
        self.single_observation_space: gym.spaces.Box = observation_space(self.search_space)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._generators = [np_random()[0] for _ in range(self.num_envs)]
        self._over = np.zeros(self.num_envs, dtype=bool)  # lifetimes that the next step resets

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin lifetimes.

        Args:
            seed: One integer s for seeds s, s + 1, ..., or one (or None) per member.
            options: `reset_mask`, (K,) bool: which members; others go on. Unknown options are ignored.

        Raises:
            ValueError: If seeds or mask do not fit the number of members.
        """
        seeds = (
            [None if seed is None else int(seed) + k for k in range(self.num_envs)]
            if seed is None or isinstance(seed, int | np.integer)
            else list(seed)
        )
        mask = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs, dtype=bool)))
        if len(seeds) != self.num_envs:
            raise ValueError(f"reset: expected {self.num_envs} seeds, got {len(seeds)}.")
        if mask.shape != (self.num_envs,) or mask.dtype != bool:
            raise ValueError(f"reset_mask: expected {self.num_envs} booleans, got {mask.dtype} of shape {mask.shape}.")
        if isinstance(seed, int | np.integer):
            self.action_space.seed(int(seed))
        for member in np.flatnonzero(mask):
            if seeds[member] is not None:
                self._generators[member] = np_random(seeds[member])[0]
        self._reset(np.flatnonzero(mask).tolist())
        self._show()
        return self._observations(), {}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Train one architecture per member for one window; members whose lifetime ended begin a new one instead.

        Raises:
            ValueError: If an action is not an architecture of the space.
            gymnasium.error.ResetNeeded: Before the first reset.
        """
        given = np.asarray(actions)
        if given.shape[:1] != (self.num_envs,):
            raise ValueError(f"actions: expected {self.num_envs} architectures, got an array of shape {given.shape}.")
        training = np.flatnonzero(~self._over).tolist()
        rewards, infos = self._train(given[training], training)
        return self._observations(), rewards, self._over.copy(), np.zeros(self.num_envs, dtype=bool), infos

    def render(self) -> tuple[Any, ...] | None:
        """Show the last window of every member, as the render mode says."""
        if self.render_mode == "ansi":
            return tuple(core.render_text(life) for life in self._lives.lifetimes)
        if self.render_mode == "rgb_array":
            return tuple(core.render_frame(life) for life in self._lives.lifetimes)
        return None

    def evaluate(
        self, architectures: ArrayLike, episodes: int = 10, members: Sequence[int] | None = None
    ) -> NDArray[np.float64]:
        """Score subnets with present weights, greedily and without training them.

        Args:
            architectures: (N, number of choices).
            episodes: Of each, on seeds that training never uses.
            members: (N,) whose weights; None: N is K, and each member scores its own.

        Returns:
            Mean raw returns, (N,).
        """
        chosen = list(range(self.num_envs)) if members is None else list(members)
        if len(chosen) != len(np.asarray(architectures)):
            raise ValueError(
                f"evaluate: expected one architecture for each of the {len(chosen)} members, "
                f"got {len(np.asarray(architectures))}."
            )
        return self._lives.evaluate(architectures, episodes, chosen)

    def export(self, architecture: ArrayLike, member: int = 0) -> Any:
        """Build a plain `torch.nn.Module` with the member's present weights; it needs no archgym to run."""
        return self._lives.module(member, architecture)

    def save(self, folder: str, architecture: ArrayLike, member: int = 0) -> None:
        """Write an architecture and the member's present weights as `best.json` and `best.safetensors`."""
        self._lives.save(folder, member, architecture)

    def get_state(self) -> Any:
        """Copy the state of all lifetimes. What wrappers keep is not part of it."""
        return self._lives.get_state(self._generators)

    def set_state(self, state: Any) -> None:
        """Go on from a state of an environment with the same arguments; call `reset` before, through the wrappers."""
        self._lives.set_state(state, self._generators)
        self._over = np.array([life.over for life in self._lives.lifetimes])

    def fork(self, source: int, target: int, architecture: ArrayLike | None = None) -> None:
        """Make a member a copy of another: weights, replay, age, history and the seed of what comes.

        Args:
            source: The member that is copied; it stays as it is.
            target: The member that becomes the copy.
            architecture: Copy the learner of this architecture alone (weights, optimizer, replay, exploration), which
                `transfer="own"` keeps apart from all others. The target keeps its other learners, its history and
                its seed; a learner of the same architecture that it has is replaced. No window is used.

        Raises:
            ValueError: If the source has not trained that architecture, or learners are not kept apart.
        """
        self._lives.fork(source, target, architecture)
        if architecture is not None:
            return
        self._generators[target].bit_generator.state = self._generators[source].bit_generator.state
        self._over[target] = self._over[source]

    @property
    def histories(self) -> list[list[WindowResult]]:
        """The windows of every member's lifetime so far."""
        return [list(life.history) for life in self._lives.lifetimes]

    def close_extras(self, **kwargs: Any) -> None:
        """Close the journal."""
        self._lives.close()

    def _train(self, architectures: ArrayLike, members: list[int]) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Train one architecture (M, choices) per member (M,), and begin the lifetimes that ended before anew."""
        ended = np.flatnonzero(self._over).tolist()
        results = self._lives.train(architectures, members) if members else []
        if ended:
            self._reset(ended)
        rewards = np.zeros(self.num_envs)
        infos: dict[str, Any] = {}
        for member, result in zip(members, results, strict=True):
            rewards[member] = result.reward
            infos = self._add_info(infos, self._lives.lifetimes[member].info(), member)
        if members or ended:
            self._over = np.array([life.over for life in self._lives.lifetimes])
            self._show()
        return rewards, infos

    def _reset(self, members: list[int]) -> None:
        self._lives.reset([core.lifetime_seed(self._generators[member]) for member in members], members)
        self._over[members] = False

    def _observations(self) -> NDArray[np.float32]:
        return np.stack([life.observation() for life in self._lives.lifetimes])

    def _show(self) -> None:
        if self.render_mode == "human":
            print("\n".join(core.render_text(life) for life in self._lives.lifetimes), flush=True)
