"""The arms of a comparison: agents with their options, and the arguments that all of them share."""

import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from archgym.running import launch
from archgym.running.agent import load_agent
from archgym.running.arguments import SearchArgs, check_arguments, keywords_of


@dataclass(frozen=True)
class Args(SearchArgs):
    """What is compared, on what; the settings of all arms.

    On recorded tables other defaults hold: `--env-id ArchSearch-DQN-Tabular-v0 --help` shows them.
    """

    task: str = "CartPole-v1"
    """The inner problems, separated by commas: the strata of every interval."""
    num_envs: int = 8
    """Lifetimes side by side in every search, K."""
    seeds: int = 10
    """Searches of every arm on every task; arms share the seeds, which count up from --seed."""
    retrain: int | None = 60_000
    """Inner environment steps of one training from scratch."""
    retrain_seeds: int = 3
    """Trainings from scratch of every recommendation, on seeds of their own that the arms share."""
    jobs: int | None = None
    """Processes side by side, one thread each; None: one per core."""
    out: Path | None = None
    """Folder of the comparison; None: runs/compare__<env>__<seed>."""
    resume: bool = False
    """Go on with the comparison in the folder."""

    @property
    def tabular(self) -> bool:
        """Whether windows are looked up in a recorded table.

        Raises:
            ValueError: If there is no such environment.
        """
        check_arguments(self)
        return bool(self.table or keywords_of(self.env_id).get("table"))


@dataclass(frozen=True)
class TabularArgs(Args):
    """The same on recorded tables, where a search costs no training."""

    windows: int = 100
    """Windows in a lifetime: how many architectures a member tries."""
    num_envs: int = 1
    """Lifetimes side by side in every search, K."""
    seeds: int = 200
    """Searches of every arm on every task; arms share the seeds, which count up from --seed."""
    retrain: int | None = None
    """Not for tables: what is recommended is looked up, with all windows that are recorded."""
    retrain_seeds: int = 0
    """Not for tables: all test seeds count."""
    worlds: int = 20
    """Resamples of the table's search seeds that the searches are dealt out to, for intervals that know of them."""


@dataclass(frozen=True)
class Arm:
    """One agent with its options.

    Args:
        name: As it was asked for, `lstm-reinforce:update=ppo`.
        agent: The agent's name.
        args: Its own arguments; what all arms share comes from `Args`.
    """

    name: str
    agent: str
    args: SearchArgs

    @property
    def module(self) -> ModuleType:
        """The agent's module."""
        return load_agent(self.agent)

    @property
    def slug(self) -> str:
        """Its name as a folder."""
        return re.sub(r"[^\w.=-]+", "_", self.name)


def parse_arm(spec: str) -> Arm:
    """Read `agent` or `agent:option=value,option=value`.

    Raises:
        ValueError: If there is no such agent, or it has no such option.
    """
    agent, _, text = spec.partition(":")
    module = load_agent(agent)
    words: list[str] = []
    for pair in filter(None, text.split(",")):
        name, sign, value = pair.partition("=")
        if not sign:
            raise ValueError(f"arm {spec!r}: expected agent:option=value,option=value, got {pair!r}.")
        if name.replace("-", "_") in SearchArgs.__dataclass_fields__:
            raise ValueError(f"arm {spec!r}: {name} is shared by all arms: give it as --{name.replace('_', '-')}.")
        words += [f"--{name.replace('_', '-')}", value]
    return Arm(spec, agent, launch.parse(module.Args, words, f"archgym search {agent}"))
