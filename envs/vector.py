"""The vector form of `ArchSearch-DQN-v0`: K lifetimes trained as one population, not as K processes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from archgym.envs import core, seeds
from archgym.envs.lifetimes import observation_space
from archgym.envs.table_lives import open_lives
from archgym.problem import Problem
from archgym.search_space import array_of
from archgym.window import WindowResult


class ArchSearchVectorEnv(core.Face, VectorEnv[NDArray[np.float32], Any, NDArray[Any]]):
    """K lifetimes of `ArchSearchEnv`, made by `gymnasium.make_vec("ArchSearch-DQN-v0", num_envs=K)`.

    Member k is the single environment reset with member k's seed (bit for bit with `exact=True`), unless
    `share_weights=True` lets all members train one supernet; then they begin and end together. A lifetime that ended
    begins anew at the next step, which ignores its action (Gymnasium's next-step autoreset). Spaces, rewards, infos and
    arguments are those of `ArchSearchEnv`, batched; `reset` takes `options={"reset_mask": mask}`, and `lifetime_seeds`,
    one (or None) per member. As in Gymnasium's own vectors of single environments, `np_random` and `np_random_seed` are
    tuples of one per member.
    """

    metadata = {  # noqa: RUF012  (Gymnasium's declaration)
        "render_modes": list(core.RENDER_MODES),
        "render_fps": 4,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(self, num_envs: int = 1, render_mode: str | None = None, **keywords: Any) -> None:
        self.render_mode = core.check_render_mode(render_mode)
        self._lives = open_lives(num_envs, keywords, self._check)
        self.num_envs = self._lives.members
        self.problem = self._lives.problem
        self.search_space = self.problem.space
        self.single_action_space: gym.Space[Any] = core.action_space(self.problem)
        self.single_observation_space: gym.spaces.Box = observation_space(self.search_space)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        drawn = [np_random() for _ in range(self.num_envs)]
        self._generators, self._seeds = [generator for generator, _ in drawn], [seed for _, seed in drawn]
        self._over = np.zeros(self.num_envs, dtype=bool)  # lifetimes that the next step resets

    def reset(
        self, *, seed: seeds.Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin lifetimes.

        The action space is seeded too: by the integer itself, or by a `SeedSequence` of those seeds of a list whose
        members begin.

        Args:
            seed: One integer s for seeds s, s + 1, ..., or one (or None) per member; from 0 upwards.
            options: `reset_mask`, (K,) bool: which members, at least one; others go on. `lifetime_seeds`: the seed of
                the lifetime itself for every member, or None for one drawn; see `ArchSearchEnv.reset`. Those of members
                that go on do not count. Unknown options are ignored.

        Raises:
            ValueError: If a seed is none, or seeds or mask do not fit the number of members.
            gymnasium.error.ClosedEnvironmentError: After `close`.
        """
        self.need_open()
        given, mask = seeds.member_seeds(seed, self.num_envs), seeds.reset_mask(options, self.num_envs)
        begun = np.flatnonzero(mask).tolist()
        self.problem.check_together("reset_mask", begun, self.num_envs)
        own = self.lifetimes_asked(options, begun)
        seeds.seed_actions(self.action_space, seed, [given[member] for member in begun])
        for member in begun:
            if given[member] is not None:
                self._generators[member], self._seeds[member] = np_random(given[member])
        self._reset(begun, own)
        self._show()
        return self._observations(), {}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Train one architecture per member for one window; members whose lifetime ended begin a new one instead.

        Raises:
            ValueError: If an action is not an architecture of the space.
            gymnasium.error.ResetNeeded: Before the first reset.
            gymnasium.error.ClosedEnvironmentError: After `close`.
        """
        self.need_open()
        given = array_of("actions", actions)
        if given.shape[:1] != (self.num_envs,):
            raise ValueError(f"actions: expected {self.num_envs} architectures, got an array of shape {given.shape}.")
        if not self._over.any():
            return self.step_members(given, self._lives.everyone)
        training = np.flatnonzero(~self._over).tolist()
        return self.step_members(given[training], training)

    def step_members(
        self, architectures: Iterable[ArrayLike], members: list[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Do what `step` does for some members; others stay as they are, unless their lifetime ended.

        Args:
            architectures: (M, number of choices).
            members: (M,), of those whose lifetime goes on.
        """
        if not self._lives.ready:
            self._lives.need(range(self.num_envs))
        rewards, infos = self._train(architectures, members)
        return self._observations(), rewards, self.over, np.zeros(self.num_envs, dtype=bool), infos

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
        if len(chosen) != len(core.matrix(architectures)):
            raise ValueError(
                f"evaluate: expected one architecture for each of the {len(chosen)} members, "
                f"got {len(core.matrix(architectures))}."
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
        self._seeds = [core.UNKNOWN_SEED] * self.num_envs
        self._over = self._lives.over

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
        self._seeds[target] = self._seeds[source]
        self._over[target] = self._over[source]

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]  # as SyncVectorEnv
        """The members' generators, from which the seeds of their lifetimes are drawn."""
        return tuple(self._generators)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]  # as SyncVectorEnv
        """The seeds of the members' generators; -1: unknown, for the generator goes on from a state."""
        return tuple(self._seeds)

    @property
    def over(self) -> NDArray[np.bool_]:
        """Which lifetimes have ended, (K,); the next step begins them anew."""
        return self._over.copy()

    @property
    def histories(self) -> list[list[WindowResult]]:
        """The windows of every member's lifetime so far."""
        return [list(life.history) for life in self._lives.lifetimes]

    def lifetimes_asked(self, options: Mapping[str, Any] | None, begun: Sequence[int]) -> list[int | None]:
        """Read the seeds of the lifetimes that options of `reset` ask for, (M,) of the members that begin.

        Raises:
            ValueError: If they do not fit the number of members, or one cannot be lived here.
        """
        every = seeds.lifetime_seeds(options, self.num_envs)
        own = [every[member] for member in begun]
        self._lives.evaluator.check_seeds([seed for seed in own if seed is not None])
        return own

    def close_extras(self, **kwargs: Any) -> None:
        """Close the journal, and inner environments that are kept alive."""
        self._lives.close()

    def _check(self, problem: Problem, members: int) -> None:
        """Refuse what this view cannot show; asked before anything is written."""

    def _train(
        self, architectures: Iterable[ArrayLike], members: list[int]
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Train one architecture (M, choices) per member (M,), and begin the lifetimes that ended before anew."""
        ended = np.flatnonzero(self._over).tolist()
        rewards, infos = self._lives.step(architectures, members) if members else (np.zeros(self.num_envs), {})
        if ended:
            self._reset(ended, [None] * len(ended))
        if members or ended:
            self._over = self._lives.over
            self._show()
        return rewards, infos

    def _reset(self, members: list[int], own: Sequence[int | None]) -> None:
        """Begin lifetimes of these members, (M,), with seeds of their own, (M,), or (None) drawn ones."""
        pairs = zip(members, own, strict=True)
        drawn = [core.lifetime_seed(self._generators[member]) if seed is None else seed for member, seed in pairs]
        self._lives.reset(drawn, members)
        self._over[members] = False

    def _observations(self) -> NDArray[np.float32]:
        return self._lives.observations()

    def _show(self) -> None:
        if self.render_mode == "human":
            print("\n".join(core.render_text(life) for life in self._lives.lifetimes), flush=True)


def mask_infos(masks: NDArray[np.int8], told: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """Give the infos about masks (K, actions) for the members that are told theirs, (K,), as Gymnasium batches them."""
    return {"action_mask": np.where(told[:, None], masks, np.int8(0)), "_action_mask": told}
