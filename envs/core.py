"""What the single and the vector environment share: opening the evaluator, its record, scoring and export."""

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from archgym.budget import Evaluations
from archgym.envs.lifetimes import Lifetime, batched
from archgym.evaluator import Evaluator, State
from archgym.evaluators import open_evaluator
from archgym.problem import Problem
from archgym.search_space import Architecture, array_of
from archgym.settings import Settings
from archgym.window import WindowResult

if TYPE_CHECKING:
    from torch import nn


JOURNAL_VARIABLE = "ARCHGYM_JOURNAL"
RENDER_MODES = ("ansi", "human", "rgb_array")
UNKNOWN_SEED = -1  # Gymnasium's sign of it, for a generator that goes on from a state
_recorded = 0  # environments of this process that the variable gave a journal
Check = Callable[[Problem, int], None]  # of a problem and the number of members


def unchecked(problem: Problem, members: int) -> None:
    """Refuse nothing."""


class Lives:
    """K lifetimes and the evaluator that they are lived on.

    Args:
        members: K.
        keywords: The environment's keyword arguments (see `Settings`), and `journal` and `resume`.
        check: Refuses what the view cannot show, by a `ValueError`.

    Raises:
        ValueError: If one of them is wrong; nothing has been trained or written then.
    """

    def __init__(self, members: int, keywords: Mapping[str, Any], check: Check = unchecked) -> None:
        global _recorded
        keywords = dict(keywords)
        journal, resume = keywords.pop("journal", None), bool(keywords.pop("resume", False))
        if isinstance(members, bool) or not isinstance(members, int | np.integer) or members < 1:
            raise ValueError(f"num_envs: expected a positive integer, got {members!r}.")
        self.members, self.problem = int(members), Problem(Settings.from_keywords(keywords))
        check(self.problem, self.members)
        self.evaluator: Evaluator = open_evaluator(self.problem, self.members)
        if _is_short(self.problem):
            warnings.warn(
                f"window_steps={self.problem.window_steps} is shorter than {self.problem.full_window_steps}, in which "
                "every inner environment can finish an episode: it caps the return that can be measured.",
                stacklevel=4,
            )
        self.evaluations = Evaluations(self.problem, self.members)
        path = _journal_path(journal)
        self.recorded, self.closed = path is not None, False
        if resume and path is None:
            raise ValueError("resume: expected a journal to resume (journal=...), got none.")
        if path is not None:
            from archgym import journal as record  # here: most environments have none

            known = {"num_envs": self.members, "task_settings": self.problem.task_settings}
            settings = {**self.problem.settings.to_dict(), **known}
            self.evaluator = record.Journal(self.evaluator, path, settings, resume)
            _recorded += journal is None
        self.lifetimes = [Lifetime(self.problem) for _ in range(self.members)]
        self.begun = np.zeros(self.members, dtype=bool)
        self.ready = False  # whether all have begun
        self.everyone = list(range(self.members))

    @property
    def over(self) -> NDArray[np.bool_]:
        """Which lifetimes have had all their windows, (K,)."""
        return np.array([life.over for life in self.lifetimes])

    def reset(self, seeds: Sequence[int], members: Sequence[int]) -> None:
        """Begin new lifetimes."""
        self.evaluator.reset(seeds, members)
        if len(members) == self.members:
            self.evaluations.begin()
        for member in members:
            self.lifetimes[member] = Lifetime(self.problem)
        self.begun[list(members)] = True
        self.ready = bool(self.begun.all())

    def need(self, members: Sequence[int]) -> None:
        """Refuse members that are not there, or have no lifetime yet."""
        for member in members:
            if isinstance(member, bool) or not isinstance(member, int | np.integer) or not 0 <= member < self.members:
                raise ValueError(f"member: expected an integer from 0 to {self.members - 1}, got {member!r}.")
            if not self.begun[member]:
                raise gym.error.ResetNeeded("expected a lifetime under way; call reset() first.")

    def train(self, actions: Iterable[ArrayLike], members: Sequence[int]) -> list[WindowResult]:
        """Check architectures (M, choices) and train each for one window."""
        if not self.ready:
            self.need(range(self.members))
        vectors = [self.problem.space.canonical(action) for action in actions]
        architectures = vectors[0][None] if len(vectors) == 1 else np.array(vectors)  # numpy stacks slowly
        results = self.evaluator.train_window(architectures, members)
        for member, result in zip(members, results, strict=True):
            self.lifetimes[member].add(result)
        return results

    def live(self, action: ArrayLike) -> tuple[float, bool, dict[str, Any]]:
        """Train the only member for one window; gives its reward, whether it was the last, and its info."""
        result, life = self.train([action], [0])[0], self.lifetimes[0]
        return result.reward, life.over, life.info()

    def step(
        self, actions: Iterable[ArrayLike], members: Sequence[int]
    ) -> tuple[NDArray[np.float64], dict[str, NDArray[Any]]]:
        """Train; gives the rewards (K,), 0 for other members, and the infos as a vector environment has them."""
        results, rewards = self.train(actions, members), np.zeros(self.members)
        rewards[list(members)] = [result.reward for result in results]
        return rewards, batched([self.lifetimes[member].info() for member in members], members, self.members)

    def observation(self, member: int) -> NDArray[np.float32]:
        """Write what a member has seen as numbers."""
        return self.lifetimes[member].observation()

    def ended(self, member: int) -> bool:
        """Tell whether a lifetime has had all its windows."""
        return self.lifetimes[member].over

    def observations(self) -> NDArray[np.float32]:
        """Write what every member has seen as numbers, (K, observation size)."""
        return np.stack([life.observation() for life in self.lifetimes])

    def evaluate(self, architectures: ArrayLike, episodes: int, members: Sequence[int]) -> NDArray[np.float64]:
        """Score architectures (N, choices) greedily with the present weights of members (N,)."""
        self.need_record()
        if isinstance(episodes, bool) or not isinstance(episodes, int | np.integer) or episodes < 1:
            raise ValueError(f"episodes: expected a positive integer, got {episodes!r}.")
        self.need(members)
        vectors = self.canonical(architectures)
        self.evaluations.need(len(vectors) * int(episodes))
        returns, steps = self.evaluator.evaluate(vectors, members, int(episodes))
        self.evaluations.spend(sum(steps))
        return returns

    def canonical(self, architectures: ArrayLike) -> NDArray[np.int64]:
        """Check architectures (N, choices)."""
        return np.stack([self.problem.space.canonical(one) for one in matrix(architectures)])

    def evaluate_rest(self, architectures: ArrayLike) -> NDArray[np.float64]:
        """Score one architecture per member, (K, choices), with all that is left of the budget."""
        self.need_record()
        self.need(range(self.members))
        vectors = self.canonical(architectures)
        if len(vectors) != self.members:
            raise ValueError(
                f"evaluate_rest: expected one architecture for each of the {self.members} members, got {len(vectors)}."
            )
        episodes = self.evaluations.rest()
        members = [member for member, count in enumerate(episodes) if count]
        scores = np.full(self.members, np.nan)
        if members:
            counts = [episodes[member] for member in members]
            scores[members], steps = self.evaluator.evaluate(vectors[members], members, counts)
            self.evaluations.spend(sum(steps))
        return scores

    def module(self, member: int, architecture: ArrayLike) -> "nn.Module":
        """Build a plain module with the member's present weights."""
        self.need([member])
        from archgym.export import module

        chosen = self.problem.space.canonical(architecture)
        return module(self.problem, chosen, self.evaluator.weights(member, chosen))

    def save(self, folder: str | Path, member: int, architecture: ArrayLike) -> None:
        """Write `best.json` and `best.safetensors` with the member's present weights."""
        self.need([member])
        from archgym.export import save

        chosen = self.problem.space.canonical(architecture)
        save(Path(folder), self.problem, chosen, self.evaluator.weights(member, chosen))

    def fork(self, source: int, target: int, architecture: ArrayLike | None = None) -> None:
        """Make a member a copy of another, or give it another's learner of one architecture."""
        self.need_record()
        self.need([source, target])
        if architecture is None:
            self.evaluator.fork(source, target)
            self.lifetimes[target] = Lifetime(self.problem, self.lifetimes[source].history)
            return
        transfer = self.problem.settings.transfer
        if transfer != "own":
            raise ValueError(
                f"fork: expected transfer 'own', where an architecture has a learner of its own, got {transfer!r}."
            )
        self.evaluator.fork(source, target, self.problem.space.canonical(architecture))

    @property
    def identity(self) -> dict[str, Any]:
        """What a state must have in common with an environment that goes on from it."""
        problem, settings = self.problem, self.problem.settings
        told = {name: getattr(settings, name) for name in ("trainer", "space", "max_params", "windows", "transfer")}
        table = self.evaluator.learner if settings.table else "none"  # which names its checksum
        return {**told, "task": problem.task.id, "window_steps": problem.window_steps, "table": table}

    def get_state(self, generators: Sequence[np.random.Generator]) -> State:
        """Copy the state of evaluator, histories and generators."""
        self.need(range(self.members))
        state = self.evaluator.get_state()
        state.meta["identity"] = self.identity
        histories = [[vars(result) for result in life.history] for life in self.lifetimes]
        state.meta["view"] = {"histories": histories, "generators": [g.bit_generator.state for g in generators]}
        return state

    def set_state(self, state: State, generators: Sequence[np.random.Generator]) -> None:
        """Go on from a state; another environment's is refused before anything is changed."""
        self.need_record()
        lived, saved_generators = kept(state, "histories"), kept(state, "generators")
        told = state.meta.get("identity", self.identity)
        for name, own in self.identity.items():
            if told.get(name) != own:
                raise ValueError(
                    f"state: expected one of an environment with {name} {own!r}, got one with {told.get(name)!r}."
                )
        if len(lived) != self.members:
            raise ValueError(f"state: expected {self.members} members, got {len(lived)}.")
        histories = [[WindowResult(**result) for result in history] for history in lived]
        lifetimes = [Lifetime(self.problem, history) for history in histories]
        self.evaluator.set_state(state)
        self.lifetimes = lifetimes
        for own, saved in zip(generators, saved_generators, strict=True):
            own.bit_generator.state = saved
        self.begun[:] = self.ready = True

    def close(self) -> None:
        """Close the evaluator, and the journal if there is one."""
        self.closed = True
        self.evaluator.close()

    def need_record(self) -> None:
        """Refuse what a journal would have to record after `close`; without one there is nothing that is closed."""
        if self.recorded and self.closed:
            raise closed()


class Face:
    """What the single and the vector environment answer alike."""

    _lives: Lives
    closed = False

    def need_open(self) -> None:
        """Refuse to go on after `close`."""
        if self.closed:
            raise closed()

    @property
    def trains(self) -> bool:
        """Whether there are networks with weights to export."""
        return self._lives.evaluator.trains

    @property
    def timings(self) -> dict[str, float]:
        """Seconds spent since construction, by phase.

        Calls that a journal answers from its record, and compiled steps on a table, count in none of them.
        """
        return self._lives.evaluator.timings

    @property
    def evaluation_left(self) -> int | None:
        """Inner steps that are left of `evaluation_steps`, those kept for the end included; None: no limit."""
        return self._lives.evaluations.left

    def evaluate_rest(self, architectures: ArrayLike) -> NDArray[np.float64]:
        """Score one architecture per member with the present weights and all that is left of `evaluation_steps`.

        Args:
            architectures: (K, number of choices).

        Returns:
            Mean raw returns, (K,); not a number for a member that nothing is left for.

        Raises:
            ValueError: If the environment has no budget, or there are more or fewer architectures than members.
        """
        return self._lives.evaluate_rest(architectures)

    def best(self) -> Architecture:
        """Give the best architecture, if it is known (from a table, or planted); else a `ValueError`."""
        return self._lives.evaluator.best()

    def regret(self, architecture: ArrayLike) -> float:
        """Give the normalised distance to the best architecture, where it is known; else a `ValueError`."""
        return self._lives.evaluator.regret(self._lives.problem.space.canonical(architecture))


def closed() -> gym.error.ClosedEnvironmentError:
    """Build the error for a call after `close`, for the caller to raise."""
    return gym.error.ClosedEnvironmentError("expected an open environment, got one after close().")


def matrix(architectures: ArrayLike) -> NDArray[Any]:
    """Refuse what is no list of architectures, (N, choices)."""
    given = array_of("architectures", architectures)
    if given.ndim != 2 or not len(given):
        raise ValueError(f"architectures: expected an array (N, choices), got one of shape {given.shape}.")
    return given


def kept(state: State, name: str) -> Any:
    """Give what a view keeps in a state under a name.

    Raises:
        ValueError: If it is a state of another view, or of none.
    """
    if not isinstance(state, State):
        raise ValueError(f"state: expected one that get_state gave, got {type(state).__name__}.")
    view = state.meta.get("view", {})
    if name not in view:
        raise ValueError(
            f"state: expected one that this view gave, with {name}, got one with {', '.join(view) or 'none of a view'}."
        )
    return view[name]


def lifetime_seed(generator: np.random.Generator) -> int:
    """Draw the seed of the next lifetime from an environment's generator, as `integers(2**63)` does, but faster."""
    return generator.bit_generator.random_raw() >> 1


def check_render_mode(mode: str | None) -> str | None:
    """Refuse a render mode that does not exist; Gymnasium itself only warns."""
    if mode is not None and mode not in RENDER_MODES:
        raise ValueError(f"render_mode: expected None or one of {', '.join(RENDER_MODES)}, got {mode!r}.")
    return mode


def render_text(life: Lifetime) -> str:
    """Describe the last window in one line."""
    if not life.history:
        return "a new lifetime: no window yet"
    last, label = life.history[-1], life.info()["architecture"]
    done, windows = len(life.history), life.problem.settings.windows
    return f"window {done}/{windows}  {label}  return {last.raw_return:.1f}  reward {last.reward:+.3f}"


def render_frame(life: Lifetime) -> NDArray[np.uint8]:
    """Draw the supernet with the chosen path lit, beside the return curve, (height, width, 3)."""
    from archgym.pages.drawing import frame

    rewards = np.array([[result.reward] for result in life.history]).reshape(-1, 1)
    architecture = np.array(life.history[-1].action, dtype=np.int64) if life.history else None
    return frame(life.space, architecture, rewards)


def action_space(problem: Problem) -> gym.spaces.MultiDiscrete:
    """One entry per choice."""
    return gym.spaces.MultiDiscrete(np.array(problem.space.counts))


def is_recorded(journal: str | None) -> bool:
    """Tell whether an environment with this keyword writes a journal."""
    return bool(os.environ.get(JOURNAL_VARIABLE) if journal is None else journal)


def _is_short(problem: Problem) -> bool:
    """Tell whether somebody wants windows too short to finish an episode, which the next window does not go on with."""
    given = problem.settings.window_steps is not None and not problem.settings.table
    return given and not problem.carries and problem.window_steps < problem.full_window_steps


def _journal_path(given: str | None) -> Path | None:
    """Find the journal of a new environment: the keyword ("": none), or the variable (numbered from the second on)."""
    if given is not None and not isinstance(given, str | os.PathLike):
        raise ValueError(f"journal: expected the path of a file, got {given!r}.")
    if given is not None:
        return Path(given) if given else None
    named = os.environ.get(JOURNAL_VARIABLE)
    if not named:
        return None
    path = Path(named)
    return path if not _recorded else path.with_stem(f"{path.stem}-{_recorded + 1}")
