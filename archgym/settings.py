"""The keyword arguments of the environments: plain strings and numbers, checked before anything is trained or written.

One dataclass feeds the environments, the command line and the header of every record.
"""

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from archgym import papers, table_card
from archgym.lookup import unknown

TRANSFERS = ("distil", "fresh", "matching", "net2net", "own", "restart", "shared")
SEPARATE = ("fresh", "own")  # transfers under which no architecture inherits anything from another
WEIGHTLESS = (*SEPARATE, "restart")  # and those under which it inherits no weights
OPTIMIZERS = ("keep", "reset")
EXPLORATIONS = ("bump", "continue", "restart")
INHERITED = ("optimizer", "replay_keep", "exploration", "reset_layers")  # what act at a switch beside `transfer`
REWARDS = ("evaluation", "improvement", "return")
LARGEST = 2**63  # counts are below it, for they go into arrays
INNER_ENVS = ("carry", "fresh")


@dataclass(frozen=True)
class Settings:
    """Keyword arguments of every `ArchSearch` environment."""

    task: str = "CartPole-v1"
    """The inner problem: a listed task, or any Gymnasium id with discrete actions whose observations are vectors, or
    images of bytes."""
    space: str = "mlp"
    """The search space: a listed one (`grid:10x4` where it comes in sizes), or the dotted name of a module that defines
    `SPACE`."""
    windows: int = 24
    """Windows in a lifetime."""
    window_steps: int | None = None
    """Inner environment steps of one member in a window; None: enough for an episode of the longest length in every
    inner environment (envs_per_member x the task's limit, and a quarter more). With `window_episodes` the most that a
    window may take; None: enough for these episodes, however long they are."""
    window_episodes: int | None = None
    """A window lasts until so many episodes of its member have ended, over all inner environments (DQN looks behind
    every step of these, PQN behind every rollout), or until it has taken `window_steps`; None: until it has taken
    these. Members then take different numbers of steps, and are trained one after the other. Schedules count the true
    steps, and are laid out for windows of the most steps unless `horizon` says for how many."""
    inner_envs: str = "fresh"
    """`fresh` (new ones in every window) or `carry`: a member's inner environments stay alive between windows, and its
    episodes go on, up to the task's own limit (not its `search_episode_limit`), so that late states of long games are
    trained on. Such a lifetime cannot be copied (`get_state`, `set_state`, `fork` of a member), and a resume trains all
    its windows again."""
    horizon: int | None = None
    """Environment steps H that a learner's schedule is laid out for, counted in the steps that the learner itself has
    been trained for (with `own` every architecture begins at 0); None: the lifetime, or the window with `fresh`."""
    envs_per_member: int = 4
    """Inner environments of one member."""
    transfer: str = "shared"
    """What an architecture inherits at a switch: `shared` (overlapping slices of a supernet, and the replay),
    `matching` (layers whose shape matches, the head among them, of a learner that has one network at a time, and the
    replay), `net2net` (the like, but what is wider or deeper computes what the network before it did), `distil` (as
    `matching`, and then the values of the network before it, taught on the replay), `restart` (no
    weights, but the replay), `own` (every architecture continues its own weights, replay and exploration), `fresh`
    (nothing: every window begins anew, switch or not)."""
    distil_steps: int | None = None
    """Gradient steps of `distil` at a switch, on minibatches of what is left of the replay; None: 400. On CartPole-v1 a
    learner that switches at random in every window comes no further with 100 than with none (benchmarks/README.md)."""
    optimizer: str = "keep"
    """Adam's moments and step counts of the weights that are inherited at a switch: `keep` or `reset`."""
    replay_keep: float = 1.0
    """Share of the replay that is kept at a switch, the newest transitions; 0 clears it. Learning then waits until the
    replay holds a minibatch, or `learning_starts` steps where these are fewer."""
    exploration: str = "continue"
    """The exploration rate at a switch: `continue`, `bump` (back to the middle between start_e and end_e, if it is
    below) or `restart` (its schedule begins anew)."""
    reset_layers: int = 0
    """So many of the last layers begin anew at the start of every window but the first, whatever the architecture; what
    `optimizer`, `replay_keep` and `exploration` say happens then too, and not only at a switch."""
    reward: str = "return"
    """`return` (mean return of the window's episodes), `improvement` (over the window before) or `evaluation` (greedy
    episodes on seeds held apart, after the window); normalised, 0 = random policy and 1 = reference."""
    evaluation_episodes: int = 10
    """Greedy episodes of `reward="evaluation"`; each takes as many steps as the longest has."""
    evaluation_steps: int | None = None
    """Inner environment steps that all greedy evaluations together may take that are asked for (`evaluate`); None: no
    limit. A multiple of the task's episode limit and of envs_per_member; a part is kept for the end
    (`archgym.budget`)."""
    cost_weight: float = 0.0
    """The reward loses this much times log(FLOPs / FLOPs of the default architecture)."""
    max_params: int | None = None
    """Most trainable parameters that an architecture may have."""
    random_return: float | None = None
    """Overrides the task's return of a random policy (reward 0)."""
    reference_return: float | None = None
    """Overrides the task's reference return (reward 1)."""
    device: str = "cpu"
    """Where networks and replay lie: a torch device."""
    learner: str = "auto"
    """What computes the gradient steps: `native` (compiled, for multilayer perceptrons on the CPU), `torch` (DQN
    without autograd for those on any device, and in CUDA graphs for other networks, else the reference), `reference`
    (autograd), or `auto`: the first that can, and the reference on other devices than the CPU."""
    threads: int = 1
    """Threads of the native learner; each trains members of its own, in inner environments of its own. The result does
    not depend on it."""
    share_weights: bool = False
    """Whether all members train one supernet, each its own architecture (`archgym.learners.sharing`); False gives every
    member a supernet of its own. A member then is not the single environment of its seed. Needs `transfer="shared"`;
    the reference trains."""
    exact: bool = False
    """Whether every member is computed at its own shapes, so that its numbers do not depend, bit for bit, on how many
    members there are; False stacks members of equal architecture."""
    layer_norm: bool = False
    """Whether LayerNorm stands before every activation, whatever the search space says; PQN's ids say so, for it needs
    that. A choice `layer_norm` of the space is inactive then."""
    actor_critic: bool = False
    """Whether networks have an output more than there are actions, for the value of what is seen; PPO's ids say so,
    for it needs that. The outputs before it are the logits of a policy then, and not values of actions."""
    trainer: str = "dqn"
    """The inner algorithm; given by the environment's id, with the other settings that it needs."""
    preset: str = "default"
    """A named set of the trainer's settings (`cleanrl`: the values of CleanRL's dqn.py, pqn.py or ppo.py). With
    `default` the task's own settings hold too (`archgym list`): MountainCar-v0 has some for DQN."""
    trainer_settings: dict[str, Any] = field(default_factory=dict)
    """The trainer's settings by name; as keyword arguments of the environment they are given directly."""
    table: str = ""
    """A recorded table that windows are looked up in instead of trained: a file, a name of `archgym list`, or `auto`,
    the one that comes with archgym for this trainer, space and task. What it was recorded with (horizon,
    envs_per_member, the trainer's settings) is then settled, its random and reference return hold unless others are
    given, and `window_steps` may be several recorded windows as one, up to a whole training. "": networks are
    trained."""
    paper: str = ""
    """A paper's experiment (`archgym.papers`): its task, space and settings hold where they are not given. "": none."""

    @classmethod
    def from_keywords(cls, keywords: Mapping[str, Any]) -> "Settings":
        """Sort keyword arguments into settings and trainer settings; numbers of numpy become Python's.

        Raises:
            ValueError: If one of them is wrong, or no table is named where the id asks for one (`tabular`).
        """
        keywords = {name: value.item() if isinstance(value, np.generic) else value for name, value in keywords.items()}
        for name in ("paper", "table"):
            if keywords.get(name):
                _check_name(name, keywords[name])
        if not isinstance(keywords.get("trainer_settings", {}), Mapping):
            raise ValueError(
                f"trainer_settings: expected settings by name (a dict), got {keywords['trainer_settings']!r}."
            )
        if keywords.pop("tabular", False) and not keywords.get("table"):
            raise ValueError(
                "table: expected a file (.npz), a name of `archgym list` or 'auto' with an environment on recorded "
                f"tables, got {keywords.get('table')!r}. The ids without 'Tabular' train networks."
            )
        own = {item.name for item in dataclasses.fields(cls)}
        defaults = {item.name: item.default for item in dataclasses.fields(cls)}
        if keywords.get("paper"):
            keywords = papers.complete(keywords, defaults)
        if keywords.get("table"):
            keywords = table_card.complete(keywords, defaults)
        trainer = {name: value for name, value in keywords.items() if name not in own}
        given = {name: value for name, value in keywords.items() if name in own}
        given["trainer_settings"] = {**given.get("trainer_settings", {}), **trainer}
        return cls(**given)

    def __post_init__(self) -> None:
        """Refuse wrong names, types and ranges."""
        counts = (
            "windows",
            "window_steps",
            "window_episodes",
            "horizon",
            "envs_per_member",
            "evaluation_episodes",
            "distil_steps",
            "max_params",
            "threads",
        )
        for name in counts:
            value = getattr(self, name)
            optional = name in ("window_steps", "window_episodes", "horizon", "distil_steps", "max_params")
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not (optional and value is None) and not (whole and value > 0):
                raise ValueError(f"{name}: expected a positive integer, got {value!r}.")
        for name in (*counts, "evaluation_steps", "reset_layers"):
            value = getattr(self, name)
            if isinstance(value, int) and value >= LARGEST:
                raise ValueError(f"{name}: expected an integer below 2**63, got {value!r}.")
        steps = self.evaluation_steps
        if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 0):
            raise ValueError(f"evaluation_steps: expected None or an integer of at least 0, got {steps!r}.")
        for kind, known in (
            *(("transfer", TRANSFERS), ("reward", REWARDS), ("inner_envs", INNER_ENVS)),
            *(("optimizer", OPTIMIZERS), ("exploration", EXPLORATIONS)),
        ):
            if getattr(self, kind) not in known:
                raise unknown(kind, getattr(self, kind), known)
        for name in ("task", "space", "device", "trainer", "preset", "learner", "table", "paper"):
            _check_name(name, getattr(self, name))
        for name in ("random_return", "reference_return"):
            if getattr(self, name) is not None and not _is_number(getattr(self, name)):
                raise ValueError(f"{name}: expected a finite number, got {getattr(self, name)!r}.")
        if not _is_number(self.cost_weight) or self.cost_weight < 0:
            raise ValueError(f"cost_weight: expected a number of at least 0, got {self.cost_weight!r}.")
        for name in ("share_weights", "exact", "layer_norm", "actor_critic"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}: expected True or False, got {getattr(self, name)!r}.")
        if self.paper:
            papers.check(self.paper, self.task, self.trainer, self.table)
        if self.table:
            self._check_table()
        if self.share_weights:
            self._check_sharing()
        if self.table or self.trainer == "synthetic":
            self._check_played()
        self._check_inheritance()

    def _check_inheritance(self) -> None:
        """Refuse what says how things are inherited where nothing is."""
        if not _is_number(self.replay_keep) or not 0 <= self.replay_keep <= 1:
            raise ValueError(f"replay_keep: expected a number from 0 to 1, got {self.replay_keep!r}.")
        layers = self.reset_layers
        if isinstance(layers, bool) or not isinstance(layers, int) or layers < 0:
            raise ValueError(f"reset_layers: expected an integer of at least 0, got {layers!r}.")
        if self.trainer == "synthetic" and self.transfer not in (*SEPARATE, "shared"):
            raise ValueError(
                "transfer: expected 'shared', 'own' or 'fresh' on a planted landscape, which has no weights to hand "
                f"over, got {self.transfer!r}."
            )
        reason = ""
        if self.trainer == "synthetic":
            reason = "on a planted landscape, where nothing is trained"
        elif self.share_weights:
            reason = "with share_weights=True, whose members switch at different times"
        elif self.transfer in SEPARATE:
            reason = f"with transfer={self.transfer!r}, which hands nothing over at a switch"
        if self.transfer != "distil" and self.distil_steps is not None:
            raise ValueError(
                f"distil_steps: expected None with transfer={self.transfer!r}, which teaches nothing, "
                f"got {self.distil_steps}."
            )
        if self.transfer == "distil" and self.replay_keep == 0:
            raise ValueError("replay_keep: expected a number above 0 with transfer='distil', got 0.")
        for item in dataclasses.fields(self):
            given = getattr(self, item.name)
            if reason and item.name in INHERITED and given != item.default:
                raise ValueError(f"{item.name}: expected {item.default!r} {reason}, got {given!r}.")

    def _check_sharing(self) -> None:
        """Refuse what does not go with one supernet for all members."""
        if self.transfer != "shared":
            raise ValueError(f"share_weights: expected transfer='shared', a supernet, got {self.transfer!r}.")
        if self.learner == "native":
            raise ValueError(
                "share_weights: expected learner='torch' or 'auto', got 'native', whose members never see each other."
            )
        if self.trainer == "synthetic":
            raise ValueError("share_weights: expected networks that are trained, got a planted landscape.")
        if self.window_episodes is not None:
            raise ValueError(
                "share_weights: expected windows of equally many steps (window_steps), for its members make every "
                f"gradient step together; got window_episodes={self.window_episodes}."
            )

    def _check_played(self) -> None:
        """Refuse what episodes are needed for where none is played."""
        looked_up = "a table" if self.table else "a planted landscape"
        for name, none in (("window_episodes", None), ("inner_envs", "fresh")):
            if getattr(self, name) != none:
                raise ValueError(
                    f"{name}: expected {none!r} with {looked_up}, where windows are looked up and no episode is "
                    f"played; got {getattr(self, name)!r}."
                )

    def _check_table(self) -> None:
        """Refuse what learning curves from scratch cannot answer."""
        if self.transfer not in ("fresh", "own"):
            raise ValueError(
                f"transfer: expected 'own' or 'fresh' with a table, which holds learning curves from scratch, "
                f"got {self.transfer!r}. The ids of tables (ArchSearch-DQN-Tabular-v0) have 'own' by default."
            )
        if self.reward == "evaluation":
            raise ValueError(
                "reward: expected 'return' or 'improvement' with a table, whose networks were evaluated at a few ages "
                "only, got 'evaluation'."
            )
        if self.evaluation_steps:
            raise ValueError(
                "evaluation_steps: expected None or 0 with a table, whose networks were evaluated at a few ages only, "
                f"got {self.evaluation_steps:,}."
            )
        if self.share_weights:
            raise ValueError("share_weights: expected networks that are trained, got a table.")

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as JSON takes them."""
        return dataclasses.asdict(self)


def _check_name(name: str, value: object) -> None:
    """Refuse a setting that is no name."""
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected a name, got {value!r}.")


def _is_number(value: object) -> bool:
    """Tell whether a setting is a finite number, and not True or False."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # integers too: larger ones are no floats
