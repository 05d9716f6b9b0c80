"""Every choice of the search space is an agent and the team shares the reward: the PettingZoo views, parallel and AEC.

`parallel_env(**keywords)` and `env(**keywords)` make them. Importing this module also enters both forms in PettingZoo's
own registry, under the ids that Gymnasium has for `ArchSearchEnv`. PettingZoo's ids cannot name a module to import
(`archgym:ArchSearch-DQN-v0` is an unknown name to it), so the import comes first:

    import pettingzoo
    import archgym.envs.multi_agent

    env = pettingzoo.make("parallel", "ArchSearch-DQN-v0", windows=8)  # or "aec"

PettingZoo has no vector interface, so a team is one lifetime; K lifetimes side by side are for `gymnasium.make_vec`.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym

try:
    import pettingzoo
except ImportError as error:
    raise ImportError("archgym.envs.multi_agent needs PettingZoo: pip install 'archgym[multiagent]'.") from error

from archgym.envs.draft import Draft
from archgym.envs.team import Observation, Team

Infos = dict[str, dict[str, Any]]


class ArchSearchParallelEnv(Team, pettingzoo.ParallelEnv[str, Observation, int]):
    """`ArchSearchEnv` for a team that decides at once: one agent per choice of the search space.

    ## Description
    A step puts the agents' options together to one architecture, which is trained for one window. Agents are called
    `choice_0`, `choice_1`, ... in the order of the space's choices.

    ## Action space
    One `Discrete` per agent: an option index. The option of an inactive choice (the width of a layer that is not
    there) has no effect. `info["action_mask"]` (int8) marks the options that appear in at least one architecture. They
    need not fit together: joint actions that break a constraint, and options out of range, are illegal. Then
    `illegal="refuse"` raises a `ValueError` that names the first agent whose option cannot be completed, and
    `illegal="penalise"` gives every agent -0.1: nothing is trained, no window is used and the state stays as it was;
    `info["illegal"]` tells the fault. The absence of an agent is always refused.

    ## Observation space
    A flat `Box`, float32, of the same layout for all agents, so that they can share parameters: the observation of
    `ArchSearchEnv` (also `state()`), then one number per agent (1 for the agent itself), then one number per option
    (1 for what earlier agents decided for this architecture: zeros here; it is there for the AEC form).

    ## Rewards
    `credit="shared"`: every agent earns the reward of `ArchSearchEnv`. `credit="difference"`: agent i earns the team's
    reward less that of the same architecture with choice i at the default architecture's option (where that is no
    architecture, at the first option that makes one), both trained from the same state with the same random numbers.
    That is N + 1 windows for N agents in every step, N of them thrown away; `info["env_steps"]` counts all, the rest of
    the info tells about the team's own. `info["team_reward"]` is the team's reward in both cases; with `exact=True` it
    does not depend on `credit`, bit for bit.

    ## Starting state
    As in `ArchSearchEnv`: a function of the seed, as is everything that follows.

    ## Episode end
    All agents terminate together after `windows` windows; they never truncate. Penalised steps use up no window.

    ## Arguments
    `credit`, `illegal`, and the arguments of `ArchSearchEnv`. (`max_cycles` is none of them: `windows` is the horizon.)

    ## Version history
    * v0: first version.
    """

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], Infos]:
        """Begin a lifetime, see `ArchSearchEnv.reset`; unknown options are ignored, as PettingZoo's tests ask."""
        self._begin(seed, options)
        return self._observe_all(), self._infos({})

    def step(
        self, actions: Mapping[str, int]
    ) -> tuple[dict[str, Observation], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Train the architecture that the agents' options make for one window.

        Raises:
            ValueError: If an agent is missing or unknown, or the joint action illegal and `illegal="refuse"`.
            gymnasium.error.ResetNeeded: Before the first reset and after the end of a lifetime.
        """
        self._need_agents()
        agents = self.possible_agents
        if set(actions) != set(agents):
            given = ", ".join(actions) or "none"
            raise ValueError(f"actions: expected one option of each of {', '.join(agents)}, got those of {given}.")
        draft, fault = Draft(self.search_space), None
        for agent in agents:
            fault = fault or self._decide(draft, actions[agent])
        rewards, info = self._outcome(draft, fault)
        observations = self._observe_all()
        self.agents = [] if self._over else self.agents
        over, never = dict.fromkeys(agents, self._over), dict.fromkeys(agents, False)
        return observations, rewards, over, never, self._infos(info)


class ArchSearchAECEnv(Team, pettingzoo.AECEnv[str, Observation, int | None]):
    """`ArchSearchEnv` for a team that decides in turn: one agent per choice of the search space.

    ## Description
    The agents act in the order of the space's choices, each seeing what the earlier ones decided. The last one's action
    trains the architecture for one window; until then nothing changes, so `aec_to_parallel` may be used.

    ## Action space
    As in `ArchSearchParallelEnv`, but `info["action_mask"]` of the agent whose turn it is marks the options that lead
    to an architecture after what was decided (0 alone for an inactive choice, whose option has no effect), and what it
    forbids is illegal in itself. `illegal="refuse"` leaves the turn with the agent. With `illegal="penalise"` the
    cycle goes on to its end, the options of later agents count for nothing, and then every agent gets the penalty.

    ## Observation space
    As in `ArchSearchParallelEnv`; the last numbers are the options of the earlier agents of this cycle, one-hot.

    ## Rewards
    As in `ArchSearchParallelEnv`, given when the last agent has acted.

    ## Starting state
    As in `ArchSearchEnv`.

    ## Episode end
    As in `ArchSearchParallelEnv`; then every agent takes its last step with None, as PettingZoo asks.

    ## Arguments
    Those of `ArchSearchParallelEnv`.

    ## Version history
    * v0: first version.
    """

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begin a lifetime, see `ArchSearchEnv.reset`; unknown options are ignored, as PettingZoo's tests ask."""
        self._begin(seed, options)
        self._draft = Draft(self.search_space)
        self._fault: str | None = None
        self.agent_selection = self.agents[0]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = self._infos({})

    def observe(self, agent: str) -> Observation:
        """Give an agent's present observation."""
        return self._observe(agent, self._draft)

    def step(self, action: int | None) -> None:
        """Take the option of the agent whose turn it is; the last one of a cycle has the architecture trained.

        Raises:
            ValueError: If the option is illegal and `illegal="refuse"`.
            gymnasium.error.ResetNeeded: Before the first reset and after the end of a lifetime.
        """
        self._need_agents()
        agent = self.agent_selection
        if self.terminations[agent]:
            self._was_dead_step(action)
            return
        draft, fault = Draft(self.search_space, self._draft.prefix), self._fault
        fault = fault or self._decide(draft, action)
        following = self.possible_agents.index(agent) + 1
        last = following == len(self.possible_agents)
        rewards, info = self._outcome(draft, fault) if last else (dict.fromkeys(self.possible_agents, 0.0), {})
        self._draft, self._fault = (Draft(self.search_space), None) if last else (draft, fault)
        self._cumulative_rewards[agent], self.rewards = 0.0, rewards
        self._accumulate_rewards()
        self.agent_selection = following_agent = self.possible_agents[0 if last else following]
        if last:
            self.infos = self._infos(info)
            self.terminations = dict.fromkeys(self.agents, self._over)
        elif fault is None:
            mask = self.search_space.mask(draft.prefix)
            self.infos[following_agent] = {**self.infos[following_agent], "action_mask": mask}


def parallel_env(**keywords: Any) -> ArchSearchParallelEnv:
    """Make the parallel form; the arguments are described there."""
    return ArchSearchParallelEnv(**keywords)


def env(**keywords: Any) -> ArchSearchAECEnv:
    """Make the AEC form; the arguments are described in `ArchSearchParallelEnv`."""
    return ArchSearchAECEnv(**keywords)


for _spec in [one for one in gym.registry.values() if one.id.startswith("ArchSearch-")]:
    if _spec.entry_point == "archgym.envs.single:ArchSearchEnv":
        pettingzoo.register("parallel", _spec.id, f"{__name__}:parallel_env", kwargs=_spec.kwargs)
        pettingzoo.register("aec", _spec.id, f"{__name__}:env", kwargs=_spec.kwargs)
