"""A view that edits: an action changes one choice of the present architecture, as local search and evolution do."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from archgym.envs import core, seeds
from archgym.envs.draft import ILLEGAL_PENALTY, check_illegal, check_in_step
from archgym.envs.edits import Edits, Present
from archgym.envs.sequential import SequentialEnv, SequentialVectorEnv
from archgym.envs.single import ArchSearchEnv
from archgym.envs.vector import ArchSearchVectorEnv, mask_infos
from archgym.search_space import array_of

Observation = NDArray[np.float32]


class EditingEnv(gym.Wrapper[Observation, Any, Observation, Any], RecordConstructorArgs):
    """Architecture search by edits: `EditingEnv(gymnasium.make("ArchSearch-DQN-v0"))`.

    ## Description
    There is always a present architecture. A step sets one of its choices to another option and trains the result,
    which is the present architecture then, for one window of `ArchSearchEnv`; the same architectures earn the same
    rewards as there. A choice that an edit makes inactive keeps its option unseen: made active again it has the option
    it had. So every edit can be taken back.

    ## Action space
    `Discrete` over the options of all choices together, in the order of the space: action n sets choice i to option o,
    the same ones in every state. `info["action_mask"]` (int8) and `action_masks()` tell which actions are legal: those
    that lead to another architecture. To set an option that is set already, to set an inactive choice and what the
    constraints forbid is illegal and never executed: `illegal="refuse"` raises a `ValueError` with a sentence;
    `illegal="penalise"`, for agents that cannot mask, costs a reward of 0.1, trains nothing and leaves everything as it
    was. What is no action at all (another type, out of range) is illegal too.

    ## Observation space
    A flat `Box`, float32: the observation of the environment inside, then, D the number of options of all choices

    | numbers | field | range |
    |---|---|---|
    | D | the present options, one-hot per choice, those of inactive choices too | 0 or 1 |
    | D | the mask | 0 or 1 |

    ## Rewards
    Those of `ArchSearchEnv`.

    ## Starting state
    A fresh lifetime, at the architecture that `start` names; it is not trained before an edit leads back to it. With
    "random" it is a function of the seed too, drawn apart from what the environment inside draws.

    ## Episode end
    As in the environment inside; steps that were penalised use up no window.

    ## Arguments
    `env`: any environment of `ArchSearchEnv`, wrapped or not, whose actions are architectures and whose observations
    are flat. `start`: "default", "random", or an architecture as `search_space.parse` reads it ("depth=2 width=64
    activation=relu"). `illegal`: see above. A space of a single architecture is refused, and a start from which the
    constraints leave no way.

    ## Version history
    * v0: first version.
    """

    def __init__(self, env: gym.Env[Observation, Any], start: str = "default", illegal: str = "refuse") -> None:
        RecordConstructorArgs.__init__(self, start=start, illegal=illegal)
        super().__init__(env)
        base = env.unwrapped
        if not isinstance(base, ArchSearchEnv) or isinstance(base, SequentialEnv):
            raise ValueError(f"env: expected an ArchSearchEnv that takes whole architectures, got {env}.")
        if env.action_space != base.action_space:
            raise ValueError(f"env: expected whole architectures as actions, got {env.action_space}.")
        inner = env.observation_space
        if not isinstance(inner, gym.spaces.Box) or len(inner.shape) != 1:
            raise ValueError(f"env: expected flat observations, got {inner}.")
        self._illegal, self._base, self.search_space = check_illegal(illegal), base, base.search_space
        self._edits = Edits(self.search_space)
        self._start = None if start == "random" else self.search_space.parse(start)
        self.observation_space = self._edits.observation_space(inner)
        self.action_space = self._edits.action_space
        self._generator = start_generator(None)
        self._present: Present | None = None  # None: not yet reset
        self._seen: Observation = np.zeros(inner.shape, dtype=np.float32)  # last one of the environment inside

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a lifetime at the start, see `ArchSearchEnv.reset`."""
        seed = seeds.check_seed(seed)
        self._base.lifetime_asked(options)  # refused before anything is drawn
        if seed is not None:
            self.action_space.seed(seed)
            self._generator = start_generator(seed)
        present = Present.start(self._edits, self._start, self._generator)
        self._seen, info = self.env.reset(seed=seed, options=options)
        self._present = present
        return self._observation(present), {**info, "action_mask": present.mask.copy()}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Change one choice and train the architecture for one window.

        Raises:
            ValueError: If the action is illegal, with `illegal="refuse"`.
            gymnasium.error.ResetNeeded: Before the first reset and after the end of a lifetime.
        """
        present = self._need_present()
        self._base.need_windows()
        refusal = present.refusal(action)
        if refusal is not None:
            if self._illegal == "refuse":
                raise ValueError(refusal)
            return self._observation(present), -ILLEGAL_PENALTY, False, False, {"action_mask": present.mask.copy()}
        present = present.after(action)
        self._seen, reward, terminated, truncated, info = self.env.step(present.architecture)
        self._present = present
        info = {**info, "action_mask": present.mask.copy()}
        return self._observation(present), float(reward), terminated, truncated, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Tell which actions are legal, as sb3-contrib's maskable agents ask."""
        return self._need_present().mask.astype(bool)

    def get_state(self) -> Any:
        """Copy the lifetime's state, the present architecture included."""
        state = self._base.get_state()
        own = {"genes": list(self._need_present().genes), "seen": self._seen.tolist()}
        state.meta["view"]["edits"] = {**own, "generator": self._generator.bit_generator.state}
        return state

    def set_state(self, state: Any) -> None:
        """Go on from a state of an environment with the same arguments; call `reset` before, through the wrappers."""
        own = core.kept(state, "edits")
        self._base.set_state(state)
        self._seen = np.array(own["seen"], dtype=np.float32)
        self._generator.bit_generator.state = own["generator"]
        self._present = Present(self._edits, own["genes"])

    def _need_present(self) -> Present:
        if self._present is None:
            raise gym.error.ResetNeeded("expected a lifetime under way; call reset() first.")
        return self._present

    def _observation(self, present: Present) -> Observation:
        return np.concatenate([self._seen, present.observation()], dtype=np.float32)


class EditingVectorEnv(
    VectorWrapper[Observation, NDArray[Any], Observation, NDArray[Any], NDArray[Any]], RecordConstructorArgs
):
    """K lifetimes of `EditingEnv`: `EditingVectorEnv(gymnasium.make_vec("ArchSearch-DQN-v0", num_envs=K))`.

    Member k is the single view reset with member k's seed (bit for bit with `exact=True`). Members that make a legal
    edit are trained together as one population. The infos of every step have the `action_mask`, (K, actions), those of
    `reset` for the members that were reset; what `ArchSearchEnv` tells about a window is there for the members that
    trained one. A lifetime that ended begins anew, at the start, at the next step, which ignores its action.

    Args:
        env: The vector environment itself: a wrapper around it would take a penalised member for one that trained.
            Wrappers go around this one.
        start: See `EditingEnv`; "random" draws for every member from its own seed.
        illegal: See `EditingEnv`.

    Raises:
        ValueError: If the environment is another one, its space a single architecture, or an argument wrong.
    """

    def __init__(
        self,
        env: VectorEnv[Observation, NDArray[Any], NDArray[Any]],
        start: str = "default",
        illegal: str = "refuse",
    ) -> None:
        RecordConstructorArgs.__init__(self, start=start, illegal=illegal)
        super().__init__(env)
        if not isinstance(env, ArchSearchVectorEnv) or isinstance(env, SequentialVectorEnv):
            raise ValueError(f"env: expected an ArchSearchVectorEnv that takes whole architectures, got {env}.")
        self._illegal, self._base, self.search_space = check_illegal(illegal), env, env.search_space
        check_in_step(illegal, env.problem, env.num_envs)
        self._edits = Edits(self.search_space)
        self._start = None if start == "random" else self.search_space.parse(start)
        self.single_observation_space = self._edits.observation_space(env.single_observation_space)
        self.single_action_space = self._edits.action_space
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self.action_space = batch_space(self.single_action_space, env.num_envs)
        self._generators = [start_generator(None) for _ in range(env.num_envs)]
        self._presents: list[Present | None] = [None] * env.num_envs  # None: not yet reset

    def reset(
        self, *, seed: seeds.Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin lifetimes at the start, see `ArchSearchVectorEnv.reset`."""
        self._base.need_open()
        given = seeds.member_seeds(seed, self.num_envs)
        mask = seeds.reset_mask(options, self.num_envs)
        begun = np.flatnonzero(mask).tolist()
        self._base.problem.check_together("reset_mask", begun, self.num_envs)
        self._base.lifetimes_asked(options, begun)
        for member in begun:
            if given[member] is not None:
                self._generators[member] = start_generator(given[member])
        presents = {member: self._begin(member) for member in begun}
        seen, infos = self._base.reset(seed=seed, options=options)
        seeds.seed_actions(self.action_space, seed, [given[member] for member in begun])
        for member, present in presents.items():
            self._presents[member] = present
        return self._observations(seen), {**infos, **mask_infos(self._masks(), mask)}

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Change one choice per member and train the architectures for one window.

        Raises:
            ValueError: If an action is illegal, with `illegal="refuse"`; no member has been trained then.
            gymnasium.error.ResetNeeded: Before the first reset.
            gymnasium.error.ClosedEnvironmentError: After `close`.
        """
        self._base.need_open()
        given = array_of("actions", actions)
        if given.shape != (self.num_envs,):
            raise ValueError(f"actions: expected {self.num_envs} edits, got an array of shape {given.shape}.")
        presents, ended = self._need_presents(), self._base.over
        after, penalised = {}, []
        for member in np.flatnonzero(~ended).tolist():
            refusal = presents[member].refusal(given[member])
            if refusal is None:
                after[member] = presents[member].after(given[member])
            elif self._illegal == "refuse":
                raise ValueError(f"member {member}: {refusal}")
            else:
                penalised.append(member)
        begun = {member: self._begin(member) for member in np.flatnonzero(ended).tolist()}
        architectures = [present.architecture for present in after.values()]
        seen, rewards, terminations, truncations, infos = self._base.step_members(architectures, list(after))
        rewards[penalised] = -ILLEGAL_PENALTY
        for member, present in {**after, **begun}.items():
            self._presents[member] = present
        everybody = np.ones(self.num_envs, dtype=bool)
        infos = {**infos, **mask_infos(self._masks(), everybody)}
        return self._observations(seen), rewards, terminations, truncations, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Tell which actions are legal, (K, actions)."""
        self._need_presents()
        return self._masks().astype(bool)

    def get_state(self) -> Any:
        """Copy the state of all lifetimes, the present architectures included."""
        state = self._base.get_state()
        genes = [list(present.genes) for present in self._need_presents()]
        generators = [generator.bit_generator.state for generator in self._generators]
        state.meta["view"]["edits of members"] = {"genes": genes, "generators": generators}
        return state

    def set_state(self, state: Any) -> None:
        """Go on from a state of an environment with the same arguments; call `reset` before, through the wrappers."""
        own = core.kept(state, "edits of members")
        self._base.set_state(state)
        for generator, saved in zip(self._generators, own["generators"], strict=True):
            generator.bit_generator.state = saved
        self._presents = [Present(self._edits, genes) for genes in own["genes"]]

    def fork(self, source: int, target: int, architecture: ArrayLike | None = None) -> None:
        """Make a member a copy of another, its present architecture included; see `ArchSearchVectorEnv.fork`."""
        self._base.fork(source, target, architecture)
        if architecture is None:
            self._presents[target] = self._presents[source]
            self._generators[target].bit_generator.state = self._generators[source].bit_generator.state

    def _begin(self, member: int) -> Present:
        return Present.start(self._edits, self._start, self._generators[member])

    def _need_presents(self) -> list[Present]:
        presents = [present for present in self._presents if present is not None]
        if len(presents) < self.num_envs:
            raise gym.error.ResetNeeded("expected a lifetime under way; call reset() first.")
        return presents

    def _masks(self) -> NDArray[np.int8]:
        """Give the masks, (K, actions); all 0 of a member that was never reset."""
        none = np.zeros(sum(self.search_space.counts), dtype=np.int8)
        return np.stack([none if present is None else present.mask for present in self._presents])

    def _observations(self, seen: Observation) -> Observation:
        none = np.zeros(2 * sum(self.search_space.counts), dtype=np.float32)
        own = np.stack([none if present is None else present.observation() for present in self._presents])
        return np.concatenate([seen, own], axis=1, dtype=np.float32)


def start_generator(seed: int | None) -> np.random.Generator:
    """Build the generator of random starts: of the same seed as the environment's, and apart from it."""
    return np.random.default_rng(None if seed is None else np.random.SeedSequence(seed, spawn_key=(0,)))
