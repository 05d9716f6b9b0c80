"""`ArchSearch-DQN-v0`: an action is an architecture, a step trains it for one window, the reward is its return."""

from collections.abc import Mapping
from typing import Any, Self

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from archgym.envs import core, seeds
from archgym.envs.lifetimes import Lifetime, observation_space
from archgym.envs.table_lives import open_lives
from archgym.window import WindowResult


class ArchSearchEnv(core.Face, gym.Env[NDArray[Any], Any]):
    """Architecture search for a deep RL agent, as one lifetime of inner training.

    ## Description
    A step checks the chosen subnet out of a supernet, trains it with the inner algorithm (DQN, or that of the id) on
    EnvPool-vectorised environments of the task for one window, and checks it in. What the next architecture inherits is
    the keyword `transfer`. One episode is one lifetime of `windows` windows.

    On a recorded table (`ArchSearch-DQN-Tabular-v0`, `archgym.tabular`) a step looks a window up: a repeat visit
    continues the curve of that architecture (`transfer="own"`), or every visit is a first window (`fresh`). Steps are
    compiled there, unless a journal records them.

    ## Action space
    `MultiDiscrete`, one entry per choice of the search space: an option index each. Entries of inactive choices (the
    width of a layer that is not there) have no effect; `info["architecture"]` names the network that was trained. An
    action of the wrong shape, type or range, or one that the constraints forbid, is refused with a `ValueError`.

    ## Observation space
    A flat `Box`, float32; D is the number of options of all choices together.

    | numbers | field | range |
    |---|---|---|
    | D | the last architecture, one-hot per choice (zeros: inactive, or no window yet) | 0 to 1 |
    | 1 | its reward | -1 to 2 |
    | 1 | best reward so far | -1 to 2 |
    | 1 | share of the lifetime that is left | 0 to 1 |
    | 1 | windows since the last switch / windows | 0 to 1 |
    | 1 | exploration rate of the inner learner (0: PPO, which draws from its policy) | 0 to 1 |
    | 1 | share of the replay that is filled (0: there is none) | 0 to 1 |
    | 1 | tanh(mean TD loss), of PPO of the critic's squared error | -1 to 1 |
    | 1 | tanh(mean value of the actions in the minibatches / 100), of PPO of the observations | -1 to 1 |
    | 1 | tanh(episodes that ended in the window / 100) | 0 to 1 |
    | 1 | share of the window's episodes that its end cut short | 0 to 1 |
    | 1 | whether the learner diverged | 0 or 1 |
    | D | per option: its share of the visits of this lifetime | 0 to 1 |
    | D | per option: shrunken mean of its detrended rewards in this lifetime | -3 to 3 |

    ## Rewards
    The mean return of the window's episodes (`reward="return"`), its improvement over the window before, or the return
    of greedy episodes on seeds held apart; 0 is a random policy and 1 the task's reference, limited to [-1, 2]. An
    inner environment that finished no episode contributes min(r, r x limit / elapsed) of what it has. A learner that
    diverged earns -1; its window is thrown away and the lifetime goes on. The raw return is in `info`.

    ## Starting state
    Fresh weights and an empty replay, a function of the seed, as is everything that follows. `reset(seed=)` seeds the
    generator that draws a seed for every lifetime; `reset(options={"lifetime_seed": N})` gives that seed itself, and
    draws none. The lifetimes that a table recorded are lived so, with its settings, or met on it; see
    `archgym.tabular`. An equal `seed=` of a live and a tabular environment means different lifetimes.

    ## Episode end
    Terminates after `windows` windows; never truncates.

    ## Arguments
    See `archgym.settings.Settings`; beside these `journal` (file of the record; None: as the variable
    ARCHGYM_JOURNAL says; "": none), `resume` (go on with it), the settings of the inner trainer
    (`Config` in `archgym.learners.dqn`, `.pqn` or `.ppo`) by name, and `render_mode`: `rgb_array` draws the supernet
    with the chosen path lit, beside the return curve; `ansi` gives a line about the last window, and `human` prints
    that line after every window.
    Times of the phases are in `env.unwrapped.timings`, in seconds.

    ## Version history
    * v0: first version.
    """

    metadata = {"render_modes": list(core.RENDER_MODES), "render_fps": 4}  # noqa: RUF012  (Gymnasium's declaration)

    def __init__(self, render_mode: str | None = None, **keywords: Any) -> None:
        self.render_mode = core.check_render_mode(render_mode)
        self._keywords = keywords
        self._lives = open_lives(1, keywords)
        self.problem = self._lives.problem
        self.search_space = self.problem.space
        self.action_space: gym.Space[Any] = core.action_space(self.problem)
        self.observation_space: gym.spaces.Box = observation_space(self.search_space)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin a lifetime.

        Args:
            seed: Of the generator that seeds the lifetimes, and of the action space; None: they go on.
            options: `lifetime_seed`, the seed of this lifetime itself, from 0 to 2**63 - 1; on a recorded table one of
                its search seeds. Unknown options are ignored, as Gymnasium's interface asks.

        Raises:
            ValueError: If one of them is no such seed.
            gymnasium.error.ClosedEnvironmentError: After `close`, if there is a journal.
        """
        if self._lives.recorded:
            self.need_open()
        self.closed = False  # what writes no journal may begin anew, as Stable-Baselines3's checker does
        seed, own = seeds.check_seed(seed), self.lifetime_asked(options)
        super().reset(seed=seed)
        if seed is not None:
            self.action_space.seed(seed)
        self._lives.reset([core.lifetime_seed(self.np_random) if own is None else own], [0])
        self._show()
        return self._observation(), {}

    def step(self, action: NDArray[np.int64]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Train the architecture for one window.

        Raises:
            ValueError: If the action is not an architecture of the space.
            gymnasium.error.ResetNeeded: Before the first reset and after the end of a lifetime.
            gymnasium.error.ClosedEnvironmentError: After `close`.
        """
        self.need_windows()
        reward, over, info = self._lives.live(action)
        self._show()
        return self._observation(), reward, over, False, info

    def render(self) -> str | NDArray[np.uint8] | None:
        """Show the last window, as the render mode says."""
        if self.render_mode == "ansi":
            return core.render_text(self._life)
        if self.render_mode == "rgb_array":
            return core.render_frame(self._life)
        return None

    def evaluate(self, architectures: ArrayLike, episodes: int = 10) -> NDArray[np.float64]:
        """Score subnets with the present weights, greedily and without training them.

        Args:
            architectures: (N, number of choices).
            episodes: Of each, on seeds that training never uses.

        Returns:
            Mean raw returns, (N,).
        """
        return self._lives.evaluate(architectures, episodes, [0] * len(core.matrix(architectures)))

    def export(self, architecture: ArrayLike) -> Any:
        """Build a plain `torch.nn.Module` of an architecture with its present weights; it needs no archgym to run.

        It gives the values of all actions; of PPO's networks the logits of the policy, and the value as last output.
        """
        return self._lives.module(0, architecture)

    def save(self, folder: str, architecture: ArrayLike) -> None:
        """Write an architecture and its present weights as `best.json` and `best.safetensors`."""
        self._lives.save(folder, 0, architecture)

    def get_state(self) -> Any:
        """Copy the lifetime's state. What wrappers keep (statistics, recordings) is not part of it."""
        return self._lives.get_state([self.np_random])

    def set_state(self, state: Any) -> None:
        """Go on from a state of an environment with the same arguments; call `reset` before, through the wrappers."""
        self._lives.set_state(state, [self.np_random])
        self._np_random_seed = core.UNKNOWN_SEED

    def fork(self) -> Self:
        """Make an environment of its own in the same state, with the budget that is left; it has no journal."""
        copy = type(self)(self.render_mode, **{**self._keywords, "journal": "", "resume": False})
        copy.reset(seed=0)
        copy.set_state(self.get_state())
        copy._lives.evaluations.left = self._lives.evaluations.left
        return copy

    def lifetime_asked(self, options: Mapping[str, Any] | None) -> int | None:
        """Read the seed of the lifetime that options of `reset` ask for, and check that it can be lived here."""
        own = seeds.lifetime_seed(options)
        self._lives.evaluator.check_seeds([] if own is None else [own])
        return own

    @property
    def history(self) -> list[WindowResult]:
        """The windows of this lifetime so far."""
        return list(self._life.history)

    def close(self) -> None:
        """Close the journal, and inner environments that are kept alive."""
        self._lives.close()
        self.closed = True

    @property
    def _life(self) -> Lifetime:
        return self._lives.lifetimes[0]

    def _observation(self) -> NDArray[np.float32]:
        return self._lives.observation(0)

    def need_windows(self) -> None:
        """Refuse a step where there is no lifetime with windows left, or after `close`."""
        self.need_open()
        if not self._lives.ready:
            self._lives.need([0])
        if self._lives.ended(0):
            raise gym.error.ResetNeeded("step: expected a lifetime with windows left; call reset() to begin one.")

    def _show(self) -> None:
        if self.render_mode == "human":
            print(core.render_text(self._life), flush=True)
