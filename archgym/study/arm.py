"""An arm of a study: an agent with its options, and an environment of its own."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from archgym import papers
from archgym.running import arms
from archgym.running.agent import load_agent, view
from archgym.running.arguments import SearchArgs, flags


@dataclass(frozen=True)
class Arm(arms.Arm):
    """An agent with its options and an environment of its own.

    Args:
        text: What it is, for the page.
        control: Whether it is what the method is judged beside.
    """

    text: str = ""
    control: bool = False

    @property
    def command(self) -> str:
        """The search that one of its runs is, without seed and folder."""
        return shlex.join(["archgym", "search", self.agent, *flags(replace(self.args, seed=SearchArgs.seed))])


def make_arm(
    name: str,
    agent: str,
    text: str,
    settings: Mapping[str, Any],
    *,
    options: Mapping[str, Any] = MappingProxyType({}),
    control: bool = False,
) -> Arm:
    """Build an arm.

    Args:
        name: Of the arm.
        agent: Of the agent.
        text: What it is.
        settings: Of the environment and the search, by name; those without a flag of every search become `--inner`.
        options: Of the agent, by name; some are called as settings of the inner trainer are.
        control: See `Arm`.
    """
    args_class = load_agent(agent).Args
    known = {item.name: item.default for item in fields(SearchArgs)}
    own = {name: value for name, value in settings.items() if name in known}
    pairs = tuple(f"{name}={json.dumps(value)}" for name, value in settings.items() if name not in known)
    if "paper" in own:
        own = {**papers.flags(own["paper"], known), **own}
    env_id = view(str(own.get("env_id", SearchArgs.env_id)), args_class)
    return Arm(name, agent, args_class(**{**own, **options, "env_id": env_id, "inner": pairs}), text, control)
