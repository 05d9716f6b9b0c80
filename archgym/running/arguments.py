"""The arguments of a search: as a dataclass, as flags, as JSON; and what nothing else would refuse of them."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from archgym.lookup import imported, unknown
from archgym.settings import INHERITED, Settings

RECOMMENDATIONS = 3
TABULAR = "-Tabular"  # in the ids of environments on recorded tables
SEQUENTIAL = "-Sequential-v0"  # ids of the views that ask one choice at a time


@dataclass(frozen=True)
class SearchArgs:
    """What every search has; agents add their own arguments below these."""

    env_id: str = "ArchSearch-DQN-v0"
    """The environment: see `archgym list`, or module:id of your own, whose keywords the flags go before."""
    task: str = "CartPole-v1"
    """The inner problem: see `archgym list`, or any Gymnasium id."""
    space: str = "mlp"
    """The search space: see `archgym list`, or the dotted name of a module."""
    windows: int = 24
    """Windows in a lifetime: how many architectures a member tries."""
    window_steps: int | None = None
    """Inner environment steps of one member in a window; None: follows from the task."""
    window_episodes: int | None = None
    """A window lasts until so many of its member's episodes have ended, or --window-steps are taken; None: these."""
    num_envs: int = 1
    """Lifetimes side by side, K."""
    transfer: str | None = None
    """What an architecture inherits at a switch: shared, matching, restart, net2net, distil, own or fresh; None: as the
    environment says, shared where networks are trained and own on a table."""
    distil_steps: int | None = None
    """Gradient steps of distil at a switch; None: 400."""
    optimizer: str | None = None
    """Adam's moments of what is inherited at a switch: keep or reset; None: as the environment says (keep)."""
    replay_keep: float | None = None
    """Share of the replay that is kept at a switch; None: as the environment says (1)."""
    exploration: str | None = None
    """The exploration rate at a switch: continue, bump or restart; None: as the environment says (continue)."""
    reset_layers: int | None = None
    """So many of the last layers begin anew in every window; None: as the environment says (0)."""
    reward: str = "return"
    """What a window earns: return, improvement or evaluation."""
    evaluation_steps: int | None = None
    """Inner environment steps for greedy evaluations: those that the agent asks for, and the one at the end, which
    takes what is left; None: what the agent says it asks for, and 10 episodes of every lifetime at the end."""
    cost_weight: float = 0.0
    """The reward loses this much times log(FLOPs / FLOPs of the default architecture)."""
    max_params: int | None = None
    """Most parameters that an architecture may have."""
    preset: str = "default"
    """Settings of the inner trainer by name: default, cleanrl, atari, or mazyavkina (PPO's)."""
    inner: tuple[str, ...] = ()
    """Single settings of the inner trainer, as name=value."""
    seed: int = 1
    """Seed of everything."""
    device: str = "cpu"
    """Where the inner networks lie."""
    table: str | None = None
    """A recorded table that windows are looked up in, not trained: a file (.npz) or a name of `archgym list`; None: as
    the environment says. With the ids of tables (`ArchSearch-DQN-Tabular-v0`)."""
    recommendations: int = RECOMMENDATIONS
    """How many architectures the search recommends at its end, best first."""
    paper: str | None = None
    """A paper's experiment (`archgym list`): its task, space and settings hold where no flag says otherwise."""
    out: Path | None = None
    """Run folder; None: runs/<env>__<agent>__<seed>__<time>."""
    resume: bool = False
    """Go on with the search in --out."""
    start_from: Path | None = None
    """Begin with what an earlier search of the same agent has learned: its run folder, or the agent.npz in it."""
    retrain: int | None = None
    """Afterwards train the recommended architectures from scratch for so many steps, beside random search's and the
    default, and compare."""

    def environment(self) -> dict[str, Any]:
        """Give the environment's keyword arguments."""
        names = (
            *("task", "space", "windows", "window_steps", "reward", "evaluation_steps"),
            *("cost_weight", "max_params", "preset", "device"),
        )
        inner = parse_settings(self.inner)
        for name in inner:
            if name in SearchArgs.__dataclass_fields__ or name in ("journal", "illegal"):
                raise ValueError(f"--inner: expected settings without a flag of their own, got {name}.")
        given = {name: getattr(self, name) for name in names}
        asked = ("transfer", "distil_steps", *INHERITED, "table", "window_episodes", "paper")
        optional = {name: getattr(self, name) for name in asked}
        return given | {name: value for name, value in optional.items() if value is not None} | inner

    @property
    def transfer_rule(self) -> str:
        """What an architecture inherits, by the environment's id where no flag says it."""
        return self.transfer or str(keywords_of(self.env_id).get("transfer", Settings.transfer))

    @property
    def proxy(self) -> str | None:
        """What recommendations are ranked by, if that takes no training from scratch: what `study one-shot` is about.

        None where an agent ranks by what the windows earned.
        """
        return None

    def settings(self) -> Settings:
        """Give the settings of the environment, its trainer included."""
        return Settings.from_keywords({**keywords_of(self.env_id), **self.environment()})


def check_arguments(args: SearchArgs) -> None:
    """Refuse what nothing else would refuse with a sentence."""
    if args.seed < 0:
        raise ValueError(f"--seed: expected an integer of at least 0, got {args.seed}.")
    if args.retrain is not None and args.retrain < 1:
        raise ValueError(f"--retrain: expected a positive number of steps, got {args.retrain}.")
    if args.recommendations < 1:
        raise ValueError(f"--recommendations: expected a positive number, got {args.recommendations}.")
    module, _, name = args.env_id.rpartition(":")
    known = [name for name in gym.registry if name.startswith("ArchSearch-")]
    spec = registered(args.env_id)
    if module in ("", "archgym") and name not in known:
        raise unknown("environment", args.env_id, known)
    if spec is None or spec.vector_entry_point is None:
        raise ValueError(
            f"--env-id: expected an id that {module!r} registers with a vector_entry_point (such as "
            f"archgym.envs.vector:ArchSearchVectorEnv), got {args.env_id!r}."
        )
    if args.table and args.transfer is None and not spec.kwargs.get("table"):
        ending = SEQUENTIAL if args.env_id.endswith(SEQUENTIAL) else "-v0"
        near = args.env_id.removesuffix(ending) + TABULAR + ending
        hint = f" (--env-id {near})" if near in gym.registry else ""
        raise ValueError(
            f"--table: expected an environment on recorded tables with it{hint}, got {args.env_id}, which trains "
            "networks."
        )


def trains(args: SearchArgs) -> bool:
    """Tell whether a search trains networks, as far as its arguments say."""
    own = keywords_of(args.env_id)
    return not args.table and not own.get("table") and own.get("trainer") != "synthetic"


def registered(env_id: str) -> EnvSpec | None:
    """Look an environment up; `module:id` imports the module first, which `gymnasium.make` does but `spec` does not.

    Raises:
        ValueError: If there is no such module.
    """
    module, _, name = env_id.rpartition(":")
    if module:
        imported(module, "environment", env_id)
    return gym.registry.get(name)


def keywords_of(env_id: str) -> dict[str, Any]:
    """Give the keyword arguments that an environment's id brings along; none if there is no such id."""
    spec = registered(env_id)
    return spec.kwargs if spec else {}


def as_json(args: SearchArgs) -> dict[str, Any]:
    """Give the arguments as JSON takes them."""
    content: dict[str, Any] = json.loads(json.dumps(asdict(args), default=str))
    return content


def flags(args: Any) -> list[str]:
    """Write arguments, a dataclass, that differ from their defaults as flags, but not where and whether to resume."""
    words: list[str] = []
    for item in fields(args):
        value = getattr(args, item.name)
        if value == item.default or item.name in ("out", "resume"):
            continue
        flag = item.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", *map(str, value if isinstance(value, tuple) else (value,))]
    return words


def parse_settings(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Read name=value pairs; values are JSON where they can be."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign:
            raise ValueError(f"--inner: expected name=value, got {pair!r}.")
        try:
            settings[name] = json.loads(text.lower() if text in ("True", "False") else text)
        except json.JSONDecodeError:
            settings[name] = text
    return settings
