"""`ArchSearch-DQN-Sequential-v0`: an action decides one choice; the last one of an architecture trains the window."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from archgym.envs import core, seeds
from archgym.envs.draft import ILLEGAL_PENALTY, Draft, check_illegal, check_in_step, observation_space
from archgym.envs.single import ArchSearchEnv
from archgym.envs.vector import ArchSearchVectorEnv, mask_infos
from archgym.problem import Problem
from archgym.search_space import array_of


class SequentialEnv(ArchSearchEnv):
    """Architecture search, one choice at a time.

    ## Description
    The same lifetime as `ArchSearchEnv`, and the same rewards for the same decisions. Every architecture takes as many
    steps as the space has choices; the step that decides the last one trains the window.

    ## Action space
    `Discrete` over the largest number of options. `info["action_mask"]` (int8) and `action_masks()` tell which actions
    are legal. An inactive choice has no effect: the mask shows option 0 alone, and any of its options is accepted. An
    illegal action is never executed: `illegal="refuse"` raises a `ValueError` with a sentence; `illegal="penalise"`,
    for agents that cannot mask, costs a reward of 0.1 and leaves everything as it was, the asked choice included.

    ## Observation space
    A flat `Box`, float32: the observation of `ArchSearchEnv`, and for the architecture under construction

    | numbers | field | range |
    |---|---|---|
    | number of choices | which choice is asked, one-hot | 0 or 1 |
    | D | options decided so far, one-hot per choice | 0 or 1 |
    | largest number of options | the mask | 0 or 1 |

    ## Rewards
    0 until the last choice of an architecture, then that of `ArchSearchEnv`. The undiscounted sum over a lifetime is
    the same, so a discount below 1 within an architecture changes what is asked for.

    ## Starting state
    A fresh lifetime, the first choice asked.

    ## Episode end
    Terminates after the last choice of the last window; never truncates.

    ## Arguments
    `illegal`, and those of `ArchSearchEnv`.

    ## Version history
    * v0: first version.
    """

    def __init__(self, render_mode: str | None = None, illegal: str = "refuse", **keywords: Any) -> None:
        check_illegal(illegal)
        super().__init__(render_mode, **keywords)
        self._keywords["illegal"] = self._illegal = illegal
        self.observation_space = observation_space(self.observation_space, self.search_space)
        self.action_space = gym.spaces.Discrete(max(self.search_space.counts))
        self._draft = Draft(self.search_space)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin a lifetime, see `ArchSearchEnv.reset`."""
        seed, _ = seeds.check_seed(seed), self.lifetime_asked(options)
        self._draft = Draft(self.search_space)
        observation, info = super().reset(seed=seed, options=options)
        return observation, {**info, "action_mask": self._draft.mask()}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Decide one choice; the last one of an architecture trains the window.

        Raises:
            ValueError: If the action is illegal, with `illegal="refuse"`.
            gymnasium.error.ResetNeeded: Before the first reset and after the end of a lifetime.
        """
        self.need_windows()
        refusal = self._draft.refusal(action)
        if refusal is not None:
            if self._illegal == "refuse":
                raise ValueError(refusal)
            return self._observation(), -ILLEGAL_PENALTY, False, False, {"action_mask": self._draft.mask()}
        self._draft.decide(action)
        if not self._draft.complete:
            return self._observation(), 0.0, False, False, {"action_mask": self._draft.mask()}
        architecture, self._draft = self._draft.architecture, Draft(self.search_space)
        observation, reward, terminated, truncated, info = super().step(architecture)
        return observation, reward, terminated, truncated, {**info, "action_mask": self._draft.mask()}

    def action_masks(self) -> NDArray[np.bool_]:
        """Tell which actions are legal, as sb3-contrib's maskable agents ask."""
        return self._draft.mask().astype(bool)

    def get_state(self) -> Any:
        """Copy the lifetime's state, the architecture under construction included."""
        state = super().get_state()
        state.meta["view"]["drafts"] = [list(self._draft.prefix)]
        return state

    def set_state(self, state: Any) -> None:
        """Go on from a state of an environment with the same arguments; call `reset` before, through the wrappers."""
        drafts = core.kept(state, "drafts")
        super().set_state(state)
        self._draft = Draft(self.search_space, drafts[0])

    def _observation(self) -> NDArray[np.float32]:
        return np.concatenate([super()._observation(), self._draft.observation()])


class SequentialVectorEnv(ArchSearchVectorEnv):
    """K lifetimes of `SequentialEnv`, made by `gymnasium.make_vec("ArchSearch-DQN-Sequential-v0", num_envs=K)`.

    Members whose architectures are complete in the same step are trained together as one population. The infos of every
    step have the `action_mask`, (K, largest number of options), those of `reset` for the members that were reset; what
    `ArchSearchEnv` tells about a window is there for the members that trained one (`_env_steps` and its like say
    which). A lifetime that ended begins anew at the next step, which ignores its action.
    """

    def __init__(
        self, num_envs: int = 1, render_mode: str | None = None, illegal: str = "refuse", **keywords: Any
    ) -> None:
        self._illegal = check_illegal(illegal)
        super().__init__(num_envs, render_mode, **keywords)
        self.single_observation_space = observation_space(self.single_observation_space, self.search_space)
        self.single_action_space = gym.spaces.Discrete(max(self.search_space.counts))
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._drafts = [Draft(self.search_space) for _ in range(self.num_envs)]

    def reset(
        self, *, seed: seeds.Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin lifetimes, see `ArchSearchVectorEnv.reset`."""
        observations, infos = super().reset(seed=seed, options=options)
        return observations, {**infos, **self._masks(seeds.reset_mask(options, self.num_envs))}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Decide one choice per member.

        Raises:
            ValueError: If an action is illegal, with `illegal="refuse"`; no member has decided anything then.
            gymnasium.error.ResetNeeded: Before the first reset.
            gymnasium.error.ClosedEnvironmentError: After `close`.
        """
        self.need_open()
        given = array_of("actions", actions)
        if given.shape != (self.num_envs,):
            raise ValueError(f"actions: expected {self.num_envs} options, got an array of shape {given.shape}.")
        self._lives.need(range(self.num_envs))
        going = np.flatnonzero(~self._over).tolist()
        refusals = {member: self._drafts[member].refusal(given[member]) for member in going}
        penalised = [member for member, refusal in refusals.items() if refusal is not None]
        if penalised and self._illegal == "refuse":
            raise ValueError(f"member {penalised[0]}: {refusals[penalised[0]]}")
        for member in going:
            if member not in penalised:
                self._drafts[member].decide(given[member])
        complete = [member for member in going if self._drafts[member].complete]
        rewards, infos = self._train([self._drafts[member].architecture for member in complete], complete)
        for member in complete:
            self._drafts[member] = Draft(self.search_space)
        rewards[penalised] = -ILLEGAL_PENALTY
        truncations = np.zeros(self.num_envs, dtype=bool)
        infos |= self._masks(np.ones(self.num_envs, dtype=bool))
        return self._observations(), rewards, self.over, truncations, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Tell which actions are legal, (K, largest number of options)."""
        return np.stack([draft.mask() for draft in self._drafts]).astype(bool)

    def get_state(self) -> Any:
        """Copy the state of all lifetimes, the architectures under construction included."""
        state = super().get_state()
        state.meta["view"]["drafts"] = [list(draft.prefix) for draft in self._drafts]
        return state

    def set_state(self, state: Any) -> None:
        """Go on from a state of an environment with the same arguments; call `reset` before, through the wrappers."""
        drafts = core.kept(state, "drafts")
        super().set_state(state)
        self._drafts = [Draft(self.search_space, prefix) for prefix in drafts]

    def fork(self, source: int, target: int, architecture: ArrayLike | None = None) -> None:
        """Make a member a copy of another, its architecture under construction included; see `ArchSearchVectorEnv`."""
        super().fork(source, target, architecture)
        if architecture is None:
            self._drafts[target] = Draft(self.search_space, self._drafts[source].prefix)

    def _reset(self, members: list[int], own: Sequence[int | None]) -> None:
        super()._reset(members, own)
        for member in members:
            self._drafts[member] = Draft(self.search_space)

    def _check(self, problem: Problem, members: int) -> None:
        check_in_step(self._illegal, problem, members)

    def _masks(self, told: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        return mask_infos(np.stack([draft.mask() for draft in self._drafts]), told)

    def _observations(self) -> NDArray[np.float32]:
        drafts = np.stack([draft.observation() for draft in self._drafts])
        return np.concatenate([super()._observations(), drafts], axis=1)
