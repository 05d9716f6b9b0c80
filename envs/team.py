"""A team that searches together, one agent per choice: what the parallel and the AEC view share. No PettingZoo here."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from archgym.envs import core
from archgym.envs.draft import ILLEGAL_PENALTY, Draft, check_illegal
from archgym.envs.lifetimes import observation_space
from archgym.envs.seeds import MANY, ONE, check_seed, lifetime_seed
from archgym.envs.single import ArchSearchEnv
from archgym.envs.vector import ArchSearchVectorEnv
from archgym.lookup import unknown
from archgym.problem import Problem
from archgym.search_space import Architecture, SearchSpace
from archgym.settings import Settings

CREDITS = ("difference", "shared")

Observation = NDArray[np.float32]


class Team:
    """The environment that is held, the agents' spaces, legality and credit.

    Args:
        credit: `shared` or `difference`; see `ArchSearchParallelEnv`.
        illegal: `refuse` or `penalise`.
        render_mode: As in `ArchSearchEnv`.
        keywords: The other arguments of `ArchSearchEnv`.

    Attributes:
        base: The environment that is held; it has `evaluate`, `export` and `timings`.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  (PettingZoo's declaration)
        "name": "archsearch_v0",
        "render_modes": list(core.RENDER_MODES),
        "render_fps": 4,
        "is_parallelizable": True,
    }

    def __init__(
        self, credit: str = "shared", illegal: str = "refuse", render_mode: str | None = None, **keywords: Any
    ) -> None:
        if credit not in CREDITS:
            raise unknown("credit", credit, CREDITS)
        self.illegal, self.render_mode = check_illegal(illegal), render_mode
        inner = "ansi" if render_mode == "human" else render_mode  # printed here: one line, not one for every member
        self.base: ArchSearchEnv | ArchSearchVectorEnv
        if credit == "difference":
            problem = Problem(Settings.from_keywords(keywords))
            if problem.settings.share_weights:
                raise ValueError(
                    "share_weights: expected False with credit='difference', whose members are copies; got True."
                )
            if problem.carries:
                raise ValueError(
                    "inner_envs: expected 'fresh' with credit='difference', whose members are copies; got 'carry'."
                )
            self.base = ArchSearchVectorEnv(len(problem.space.choices) + 1, inner, **keywords)
        else:
            self.base = ArchSearchEnv(inner, **keywords)
        space = self.search_space = self.base.search_space
        self.state_space = observation_space(space)
        self.possible_agents = [f"choice_{position}" for position in range(len(space.choices))]
        self.agents: list[str] = []
        more = len(space.choices) + sum(space.counts)
        low = np.concatenate([self.state_space.low, np.zeros(more, dtype=np.float32)])
        high = np.concatenate([self.state_space.high, np.ones(more, dtype=np.float32)])
        self.observation_spaces: dict[str, gym.Space[Any]] = {
            agent: gym.spaces.Box(low, high) for agent in self.possible_agents
        }
        self.action_spaces: dict[str, gym.Space[Any]] = {
            agent: gym.spaces.Discrete(count) for agent, count in zip(self.possible_agents, space.counts, strict=True)
        }
        self._masks = [possible_options(space, position) for position in range(len(space.choices))]
        who = np.eye(len(self.possible_agents), dtype=np.float32)
        self._who = dict(zip(self.possible_agents, who, strict=True))
        self._asked = np.zeros((len(who), len(low)), dtype=np.float32)  # what all see while nothing is decided
        self._asked[:, -more : len(who) - more] = who
        self._state: Observation | None = None
        self._over = False

    def observation_space(self, agent: str) -> gym.Space[Any]:
        """Give the space of an agent's observations; the same object every time."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gym.Space[Any]:
        """Give the space of an agent's options; the same object every time."""
        return self.action_spaces[agent]

    def state(self) -> Observation:
        """Give the observation of `ArchSearchEnv`, for critics that see everything."""
        if self._state is None:
            raise gym.error.ResetNeeded("expected a lifetime under way; call reset() first.")
        return self._state.copy()

    def render(self) -> str | NDArray[np.uint8] | None:
        """Show the team's last window, as the render mode says."""
        return None if self.render_mode == "human" else self._picture()

    def close(self) -> None:
        """Close the journal, and inner environments that are kept alive."""
        self.base.close()

    def _begin(self, seed: int | None, options: Mapping[str, Any] | None) -> None:
        """Begin a lifetime; the action spaces are seeded too."""
        seed, own = check_seed(seed), lifetime_seed(options)
        if isinstance(self.base, ArchSearchEnv):
            self._state, _ = self.base.reset(seed=seed, options={ONE: own})
        else:
            seen, _ = self.base.reset(seed=seed, options={MANY: [own] * self.base.num_envs})
            self._state = seen[0]
        for position, agent in enumerate(self.possible_agents):
            if seed is not None:
                self.action_spaces[agent].seed(seed + position)
        self._over, self.agents = False, self.possible_agents.copy()
        self._show()

    def _need_agents(self) -> None:
        if not self.agents:
            raise gym.error.ResetNeeded("step: expected a lifetime with windows left; call reset() to begin one.")

    def _decide(self, draft: Draft, option: Any) -> str | None:
        """Take the option of the next choice into a draft, or say what is wrong with it.

        Raises:
            ValueError: Instead of saying it, with `illegal="refuse"`.
        """
        refusal = draft.refusal(option)
        if refusal is None:
            draft.decide(option)
            return None
        fault = f"{self.possible_agents[len(draft.prefix)]}: {refusal}"
        if self.illegal == "refuse":
            raise ValueError(fault)
        return fault

    def _outcome(self, draft: Draft, fault: str | None) -> tuple[dict[str, float], dict[str, Any]]:
        """Train what the team decided on, or give the penalty; the rewards by agent, and the info."""
        if fault is not None:
            return dict.fromkeys(self.possible_agents, -ILLEGAL_PENALTY), {"illegal": fault}
        architecture = draft.architecture
        if isinstance(self.base, ArchSearchEnv):
            self._state, team, self._over, _, info = self.base.step(architecture)
            credit = [team] * len(architecture)
        else:
            others = [self._without(architecture, position) for position in range(len(architecture))]
            for member in range(1, self.base.num_envs):
                self.base.fork(0, member)
            seen, rewards, over, _, infos = self.base.step(np.stack([architecture, *others]))
            self._state, self._over, team = seen[0], bool(over[0]), float(rewards[0])
            info = {name: values.tolist()[0] for name, values in infos.items() if not name.startswith("_")}
            info["env_steps"] = int(infos["env_steps"].sum())
            # The same architecture earns the same; trained in one stack its last bits might differ.
            same = [np.array_equal(other, architecture) for other in others]
            credit = [0.0 if equal else team - float(own) for equal, own in zip(same, rewards[1:], strict=True)]
        self._show()
        return dict(zip(self.possible_agents, credit, strict=True)), {**info, "team_reward": team}

    def _without(self, architecture: Architecture, position: int) -> Architecture:
        """Replace one choice by the default's option, or by the first one that makes an architecture."""
        default = int(self.search_space.default_architecture[position])
        for option in (default, *range(self.search_space.counts[position])):
            other = architecture.copy()
            other[position] = option
            try:
                return self.search_space.canonical(other)
            except ValueError:  # forbidden
                continue
        raise AssertionError("the architecture itself is one")

    def _observe(self, agent: str, draft: Draft) -> Observation:
        """Give the base observation, who the agent is, and those of the draft's numbers that tell what is decided."""
        own = self._who[agent]
        decided = draft.observation()[len(own) : len(own) + sum(self.search_space.counts)]
        return np.concatenate([self.state(), own, decided])

    def _observe_all(self) -> dict[str, Observation]:
        """Give every agent's observation while nothing is decided, at the price of one."""
        seen = self._asked.copy()
        seen[:, : self.state_space.shape[0]] = self._state
        return dict(zip(self.possible_agents, seen, strict=True))

    def _infos(self, info: dict[str, Any]) -> dict[str, dict[str, Any]]:
        masks = zip(self.possible_agents, self._masks, strict=True)
        return {agent: {**info, "action_mask": mask.copy()} for agent, mask in masks}

    def _picture(self) -> str | NDArray[np.uint8] | None:
        shown = self.base.render()
        return shown[0] if isinstance(shown, tuple) else shown

    def _show(self) -> None:
        if self.render_mode == "human":
            print(self._picture(), flush=True)


def possible_options(space: SearchSpace, position: int, prefix: tuple[int, ...] = ()) -> NDArray[np.int8]:
    """Tell which options of a choice appear in at least one architecture that starts with a prefix.

    Exact. Where constraints are monotone (that of `max_params` is), dearer options before an active choice allow no
    more, so that few prefixes are looked at beside those under which the choice is inactive; elsewhere all of them.
    """
    if not space.constraints:
        return np.ones(space.counts[position], dtype=np.int8)
    if len(prefix) == position:
        return space.mask(prefix)
    cheapest = prefix + (0,) * (position - len(prefix))
    vector = np.array(cheapest + (0,) * (len(space.choices) - position), dtype=np.int64)
    if position not in space.inactive_positions(vector) and all(one.monotone for one in space.constraints):
        return space.mask(cheapest)
    found = np.zeros(space.counts[position], dtype=np.int8)
    for option in np.flatnonzero(space.mask(prefix))[::-1].tolist():
        found |= possible_options(space, position, (*prefix, option))
        if found.all():
            break
    return found
