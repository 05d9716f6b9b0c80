"""A view that edits: an action changes one choice of the present architecture, as local search and evolution do."""

from itertools import islice
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from archgym.envs.draft import ILLEGAL_PENALTY, check_illegal
from archgym.envs.sequential import SequentialEnv
from archgym.envs.single import ArchSearchEnv
from archgym.search_space import Architecture

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
        space = base.search_space
        if len(list(islice(space.enumerate(), 2))) < 2:
            raise ValueError(f"env: expected a search space with something to edit, {space.name!r} has 1 architecture.")
        self._start = None if start == "random" else space.parse(start)
        self._illegal, self._base, self.search_space = check_illegal(illegal), base, space
        self._edits = [(position, option) for position, count in enumerate(space.counts) for option in range(count)]
        self._blocks = np.cumsum([0, *space.counts])  # where the actions of each choice begin
        size = len(self._edits)
        low = np.concatenate([inner.low, np.zeros(2 * size)]).astype(np.float32)
        high = np.concatenate([inner.high, np.ones(2 * size)]).astype(np.float32)
        self.observation_space = gym.spaces.Box(low, high, dtype=np.float32)
        self.action_space = gym.spaces.Discrete(size)
        self._monotone = all(constraint.monotone for constraint in space.constraints)
        self._allowed: dict[tuple[int, ...], bool] = {}  # by options of all choices; constraints are slow to ask
        self._generator = np.random.default_rng()
        self._seen: Observation | None = None  # last observation of the environment inside; None: not yet reset

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a lifetime at the start."""
        if seed is not None:
            self.action_space.seed(seed)
            self._generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))  # not the env's
        self._seen, info = self.env.reset(seed=seed, options=options)
        self._stand(self.search_space.sample(self._generator) if self._start is None else self._start)
        if not self._mask.any():
            label = self.search_space.label(self._genes)
            raise ValueError(f"start: expected an architecture that an edit can leave, got {label!r}.")
        return self._observation(), {**info, "action_mask": self._mask.copy()}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Change one choice and train the architecture for one window.

        Raises:
            ValueError: If the action is illegal, with `illegal="refuse"`.
            gymnasium.error.ResetNeeded: Before the first reset and after the end of a lifetime.
        """
        if self._seen is None or len(self._base.history) >= self._base.problem.settings.windows:
            raise gym.error.ResetNeeded("step: expected a lifetime with windows left; call reset() to begin one.")
        refusal = self._refusal(action)
        if refusal is not None:
            if self._illegal == "refuse":
                raise ValueError(refusal)
            return self._observation(), -ILLEGAL_PENALTY, False, False, {"action_mask": self._mask.copy()}
        genes = self._edited(int(action))
        self._seen, reward, terminated, truncated, info = self.env.step(self._effective(genes))
        self._stand(genes)
        info = {**info, "action_mask": self._mask.copy()}
        return self._observation(), float(reward), terminated, truncated, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Tell which actions are legal, as sb3-contrib's maskable agents ask."""
        if self._seen is None:
            raise gym.error.ResetNeeded("action_masks: expected a lifetime under way; call reset() first.")
        return self._mask.astype(bool)

    def get_state(self) -> Any:
        """Copy the lifetime's state, the present architecture included."""
        state = self._base.get_state()
        assert self._seen is not None  # the base has refused
        own = {"genes": self._genes.tolist(), "seen": self._seen.tolist()}
        state.meta["view"]["editing"] = {**own, "generator": self._generator.bit_generator.state}
        return state

    def set_state(self, state: Any) -> None:
        """Go on from a state of an environment with the same arguments; call `reset` before, through the wrappers."""
        self._base.set_state(state)
        own = state.meta["view"]["editing"]
        self._seen = np.array(own["seen"], dtype=np.float32)
        self._generator.bit_generator.state = own["generator"]
        self._stand(np.array(own["genes"], dtype=np.int64))

    def _stand(self, genes: Architecture) -> None:
        """Make these options the present ones."""
        self._genes, self._architecture = genes, self._effective(genes)
        self._mask = self._legal()

    def _edited(self, action: int) -> Architecture:
        """Give the present options after an action, legal or not."""
        position, option = self._edits[action]
        genes = self._genes.copy()
        genes[position] = option
        return genes

    def _effective(self, genes: Architecture) -> Architecture:
        """Give the architecture that these options make, whether the constraints allow it or not."""
        architecture = genes.copy()
        architecture[list(self.search_space.inactive_positions(genes))] = 0
        return architecture

    def _legal(self) -> NDArray[np.int8]:
        """Tell which actions lead to another architecture."""
        mask = np.ones(len(self._edits), dtype=np.int8)
        mask[self._blocks[:-1] + self._genes] = 0
        for position in self.search_space.inactive_positions(self._genes):
            mask[self._blocks[position] : self._blocks[position + 1]] = 0
        if self.search_space.constraints:
            genes = self._genes.tolist()
            for action in np.flatnonzero(mask).tolist():
                position, option = self._edits[action]
                key = (*genes[:position], option, *genes[position + 1 :])
                if key not in self._allowed:  # neighbours share most of their neighbours
                    self._allowed[key] = self._broken(action) is None
                mask[action] = self._allowed[key]
        return mask

    def _broken(self, action: int) -> str | None:
        """Name the constraint that forbids an edit of an active choice."""
        edited, (position, option) = self._effective(self._edited(action)), self._edits[action]
        if self._monotone and option < self._genes[position] and (edited <= self._architecture).all():
            return None  # cheaper
        return next((one.sentence for one in self.search_space.constraints if not one.allows(edited)), None)

    def _refusal(self, action: Any) -> str | None:
        """Say what is wrong with an action; None: nothing."""
        if not self.action_space.contains(action) or isinstance(action, bool | np.bool_):
            return f"action: expected an integer from 0 to {len(self._edits) - 1}, got {action!r}."
        if self._mask[action]:
            return None
        position, option = self._edits[int(action)]
        choice = self.search_space.choices[position]
        setting, present = f"{choice.name}={choice.options[option]}", self.search_space.label(self._architecture)
        why = f"expected an edit that leads to another architecture of {self.search_space.name!r}"
        if position in self.search_space.inactive_positions(self._genes):
            return f"action {action} ({setting}): {why}, but {choice.name} has no effect in {present!r}."
        if self._genes[position] == option:
            return f"action {action} ({setting}): {why}, but {present!r} has this option."
        return f"action {action} ({setting}): {why} ({self._broken(int(action))}), got an edit of {present!r}."

    def _observation(self) -> Observation:
        present = np.zeros(len(self._edits), dtype=np.float32)
        present[self._blocks[:-1] + self._genes] = 1.0
        assert self._seen is not None  # a lifetime is under way
        return np.concatenate([self._seen, present, self._mask], dtype=np.float32)
