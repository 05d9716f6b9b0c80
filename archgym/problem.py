"""What the settings mean: names looked up, sizes known, budgets and returns fixed. Needs no torch."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from archgym.inner.envs import dimensions
from archgym.inner.tasks import LARGEST_RETURN, Task, get_task
from archgym.lookup import load, names, unknown
from archgym.observations import Inputs, described, kind_of
from archgym.search_space import Network, Option, SearchSpace, max_params
from archgym.settings import LARGEST, Settings

SMALLEST_SCALE = 1 / LARGEST_RETURN  # between random and reference return, so that normalised returns are finite


@dataclass(frozen=True)
class Problem:
    """What the settings mean: names looked up, sizes known, budgets fixed. Needs no torch.

    Raises:
        ValueError: If task or space are unknown or do not fit, or a window is too short.
    """

    settings: Settings

    def __post_init__(self) -> None:
        """Look everything up, so that a wrong setting is refused here and not in the middle of a search."""
        per_member = self.settings.envs_per_member
        if self.window_steps < per_member or self.window_steps % per_member:
            nearest = max(per_member, round(self.window_steps / per_member) * per_member)
            raise ValueError(
                f"window_steps: expected a multiple of envs_per_member ({per_member}), so that every inner environment "
                f"gets the same number of steps and at least one; got {self.window_steps}. Nearest: {nearest}."
            )
        if self.carries and self.window_steps < 2 * per_member:
            raise ValueError(
                f"window_steps: expected at least {2 * per_member} with inner_envs='carry', for the first step of an "
                f"inner environment may be the reset that the window before left to it; got {self.window_steps}."
            )
        if self.learner_steps >= LARGEST or self.horizon >= LARGEST:
            raise ValueError(
                "windows, window_steps: expected fewer than 2**63 inner steps in a lifetime, got "
                f"{self.settings.windows} windows of {self.window_steps}."
            )
        for name in ("random_return", "reference_return"):
            if abs(getattr(self, name)) > LARGEST_RETURN:
                raise ValueError(
                    f"{name}: expected a number from {-LARGEST_RETURN:g} to {LARGEST_RETURN:g}, "
                    f"got {getattr(self, name)!r}."
                )
        if self.reference_return - self.random_return < SMALLEST_SCALE:
            least = "" if self.reference_return <= self.random_return else f" by at least {SMALLEST_SCALE:g}"
            raise ValueError(
                f"reference_return: expected a value above random_return ({self.random_return}){least}, "
                f"got {self.reference_return}."
            )
        default = self.space.network_of(self.space.default_architecture)  # refuses constraints that nothing fulfils
        default.parameters(self.inputs, self.outputs)  # refuses images that are too small

    @cached_property
    def task(self) -> Task:
        """The inner problem, with the episode limit of searches."""
        return get_task(self.settings.task).in_search()

    @cached_property
    def window_task(self) -> Task:
        """The inner problem as windows play it: carried over, its episodes are as long as the task's own."""
        return get_task(self.settings.task) if self.carries else self.task

    @property
    def carries(self) -> bool:
        """Whether inner environments stay alive between windows."""
        return self.settings.inner_envs == "carry"

    @cached_property
    def space(self) -> SearchSpace:
        """The search space, with its constraints."""
        space, kind = find_space(self.settings.space), kind_of(self.inputs)
        if kind not in space.takes:
            raise ValueError(
                f"space: expected one of {', '.join(spaces_that_take(kind))}, for task {self.task.id!r} gives "
                f"{described(self.inputs)}; got {space.name!r}, which takes {' or '.join(space.takes)}."
            )
        if self.settings.layer_norm:
            space = with_layer_norm(space)
        if self.settings.max_params is None:
            return space
        return space.constrained(max_params(space, self.settings.max_params, self.inputs, self.outputs))

    @property
    def task_settings(self) -> dict[str, Any]:
        """The trainer's settings that the task brings along; a preset that somebody names is taken as it is."""
        return dict(self.task.settings.get(self.settings.trainer, {})) if self.settings.preset == "default" else {}

    @property
    def trains(self) -> bool:
        """Whether networks are trained; otherwise a planted landscape or a table is looked up."""
        return self.settings.trainer != "synthetic" and not self.settings.table

    @cached_property
    def inputs(self) -> Inputs:
        """Numbers in an observation of the task, or the shape of an image."""
        return dimensions(self.task)[0]

    @cached_property
    def outputs(self) -> int:
        """Numbers that a network gives: one for each action of the task, and the value that an actor-critic has."""
        return dimensions(self.task)[1] + self.settings.actor_critic

    @cached_property
    def full_window_steps(self) -> int:
        """Steps in which every inner environment finishes an episode of the longest length, and a quarter more."""
        per_member = self.settings.envs_per_member
        return -(-per_member * self.task.episode_limit * 5 // 4 // per_member) * per_member

    @cached_property
    def window_steps(self) -> int:
        """Inner environment steps of one member in a window; the most of them with `window_episodes`.

        By default these episodes end then, however long they are: each inner environment plays its share, and resets.
        """
        per_member, episodes = self.settings.envs_per_member, self.settings.window_episodes
        if self.settings.window_steps is not None:
            return int(self.settings.window_steps)
        if episodes is not None:
            return per_member * -(-episodes // per_member) * (self.window_task.episode_limit + 1)
        return self.full_window_steps

    @cached_property
    def learner_steps(self) -> int:
        """Environment steps that one learner can get at most: those of a window with `fresh`, else of a lifetime."""
        return self.window_steps * (1 if self.settings.transfer == "fresh" else self.settings.windows)

    @cached_property
    def horizon(self) -> int:
        """Environment steps that one learner's schedule is laid out for."""
        return self.learner_steps if self.settings.horizon is None else int(self.settings.horizon)

    @cached_property
    def random_return(self) -> float:
        """Return that earns 0."""
        own = self.settings.random_return
        return self.task.random_return if own is None else own

    @cached_property
    def reference_return(self) -> float:
        """Return that earns 1."""
        own = self.settings.reference_return
        return self.task.reference_return if own is None else own

    def check_together(self, call: str, members: Sequence[int], count: int) -> None:
        """Refuse to go on with some members alone where they share their weights: they live one lifetime.

        Args:
            call: What is asked for, as its caller knows it.
            members: Of which members, in order.
            count: How many there are.

        Raises:
            ValueError: If it is not all of them, in order, and `share_weights` is set.
        """
        if self.settings.share_weights and list(members) != list(range(count)):
            raise ValueError(
                f"{call}: expected all {count} members, for with share_weights=True they train one supernet in step; "
                f"got members {', '.join(map(str, members)) or 'none'}."
            )

    def normalise(self, value: float) -> float:
        """Scale a return: 0 for the random policy, 1 for the reference."""
        return (value - self.random_return) / (self.reference_return - self.random_return)


def find_space(name: str) -> SearchSpace:
    """Find a search space by its name; `grid:10x4` is the space of that size where the module defines `sized`.

    Raises:
        ValueError: If there is no such space, or none of that size.
    """
    name, colon, size = name.partition(":")
    module = load("archgym.search_spaces", name, "search space")
    if not hasattr(module, "SPACE"):
        raise ValueError(f"search space {name!r}: expected a module that defines SPACE.")
    if colon and not hasattr(module, "sized"):
        raise ValueError(f"search space {name!r} comes in one size: expected {name!r}, got {name + colon + size!r}.")
    space: SearchSpace = module.sized(size) if colon else module.SPACE
    return space


def spaces_that_take(kind: str) -> list[str]:
    """List the search spaces whose networks read `vectors` or `images`."""
    found = [find_space(name) for name in names("archgym.search_spaces")]
    return [space.name for space in found if kind in space.takes and space.supernet is not None]


def with_layer_norm(space: SearchSpace) -> SearchSpace:
    """Give the space of the same networks with LayerNorm; a choice `layer_norm` becomes inactive.

    Raises:
        ValueError: If its networks cannot have it.
    """
    if not hasattr(space.network_of(space.default_architecture), "layer_norm"):
        raise ValueError(
            f"layer_norm: expected a search space whose networks can have LayerNorm (a field `layer_norm`), "
            f"got {space.name!r}. layer_norm=False trains its networks as they are."
        )
    decided = {choice.name for choice in space.choices} & {"layer_norm"}

    def network(options: Mapping[str, Option]) -> Network:
        described: Any = space.network({**options, **dict.fromkeys(decided, True)})
        changed: Network = dataclasses.replace(described, layer_norm=True)
        return changed

    if not decided:
        return dataclasses.replace(space, network=network)
    return dataclasses.replace(space, network=network, inactive=lambda options: space.inactive(options) | decided)


def trainer_config(presets: Mapping[str, Any], problem: Problem) -> Any:
    """Take a trainer's preset, apply what the task brings along, and then single settings.

    Raises:
        ValueError: If the preset, or a setting, is unknown or out of range.
    """
    settings = problem.settings
    if settings.preset not in presets:
        raise unknown("preset", settings.preset, presets)
    preset = presets[settings.preset]
    known = dataclasses.asdict(preset)
    for name in settings.trainer_settings:
        if name not in known:
            raise unknown("environment keyword or trainer setting", name, [*known, *Settings.__dataclass_fields__])
    return type(preset)(**{**known, **problem.task_settings, **settings.trainer_settings})
