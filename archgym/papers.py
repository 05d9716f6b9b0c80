"""Papers' experiments as keyword arguments: `paper="nas-dqn"` stands for the task, the space and the settings of one.

What the caller gives goes before what the paper says. Plain names and numbers: nothing is imported that trains.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from archgym.lookup import unknown


@dataclass(frozen=True)
class Paper:
    """One paper's experiment."""

    title: str
    """What the paper is called, by whom."""
    source: str
    """Where it is."""
    trainer: str
    """The inner algorithm."""
    tasks: tuple[str, ...]
    """Tasks of its experiment; the first one is taken where none is given."""
    settings: Mapping[str, Any]
    """What else its experiment is, by keyword argument."""
    unpublished: str
    """What the paper does not say, so that it is this project's choice."""
    otherwise: str = ""
    """What it says and this project does otherwise."""
    one_shot: Mapping[str, Any] = field(default_factory=dict)
    """Its protocol, by argument of `archgym study one-shot`; empty: it has another one."""


PAPERS: dict[str, Paper] = {
    "nas-dqn": Paper(
        "An Integrated Approach to Neural Architecture Search for Deep Q-Networks (Rahmani et al.)",
        "arXiv 2510.19872",
        "dqn",
        ("NASDQNPendulum-v0",),
        {"space": "mlp", "transfer": "matching", "replay_keep": 0.25, "window_episodes": 200},
        "the rule of the controller, the three activations, the torques, the reward, the episodes' length, the number "
        "of windows, and every hyperparameter of the DQN",
    ),
    "mazyavkina": Paper(
        "Optimizing the Neural Architecture of Reinforcement Learning Agents (Mazyavkina et al.)",
        "arXiv 2011.14632",
        "ppo",
        ("Breakout-v5", "Freeway-v5"),
        {
            "space": "nature-kernels",
            "transfer": "shared",
            "preset": "mazyavkina",
            "inner_envs": "carry",
            "envs_per_member": 8,
            "window_steps": 10_240,  # ten rollouts of 128 steps in 8 environments
            "windows": 976,  # as many as 10 million steps hold
        },
        "how the preprocessing of the games goes beyond the usual, and whether its published code, which never "
        "optimises the chosen layers, made its figures",
        "smaller kernels of a choice are the middle of its largest one, where the paper's code has a convolution of "
        "its own for every combination; and the controller learns after ten windows of ten rollouts each, which is one "
        "reading of its every ten steps (its code: after three such windows, `update_every=3`)",
        {
            "agents": ("enas:controller=mazyavkina", "spos"),  # its Table 5
            "score": "last_fifth",  # the return at the end
            "retrain": 10_000_000,
        },
    ),
}


def find(name: str) -> Paper:
    """Find a paper's experiment by its name.

    Raises:
        ValueError: If there is none.
    """
    if name not in PAPERS:
        raise unknown("paper", name, PAPERS)
    return PAPERS[name]


def check(name: str, task: str, trainer: str, table: str) -> None:
    """Refuse a paper's experiment where it does not fit.

    Raises:
        ValueError: If there is no such paper, or it had other tasks or another inner algorithm.
    """
    paper = find(name)
    if trainer != paper.trainer:
        raise ValueError(
            f"paper: {name!r} is an experiment with {paper.trainer.upper()}: expected "
            f"ArchSearch-{paper.trainer.upper()}-v0 or a view of it, got an environment of {trainer.upper()}."
        )
    if table:
        raise ValueError(f"paper: {name!r} hands weights on between architectures; a recorded table has none.")
    if task not in paper.tasks:
        own = ", ".join(f"{key}={value!r}" for key, value in paper.settings.items())
        raise ValueError(
            f"paper: expected task {' or '.join(map(repr, paper.tasks))} with paper={name!r}, got {task!r}. Its "
            f"settings can be given one by one on other tasks: {own}."
        )


def complete(keywords: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Add what a paper's experiment is to keywords of an environment.

    Args:
        keywords: With `paper`; the others as given, None like what is not given.
        defaults: Of the settings that are not given.

    Returns:
        The keywords with those of the paper; the given ones go before. A window that is given in steps is not also one
        of episodes, nor the reverse.

    Raises:
        ValueError: As `check` does.
    """
    given = {name: value for name, value in keywords.items() if value is not None}
    paper = find(given["paper"])
    own = {"task": paper.tasks[0], **paper.settings}
    for unit, other in (("window_steps", "window_episodes"), ("window_episodes", "window_steps")):
        if unit in given and other not in given:
            own.pop(other, None)
    whole = {**own, **given}
    check(whole["paper"], whole["task"], *({**defaults, **whole}[name] for name in ("trainer", "table")))
    return whole


def flags(name: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Give the values that a paper's experiment gives to those of some flags that have another default than None.

    What has no flag, or one that is None unless it is given, is left to `complete`.

    Args:
        name: Of the paper.
        known: The flags' defaults, by name.
    """
    paper = find(name)
    own = {
        "env_id": f"ArchSearch-{paper.trainer.upper()}-v0",
        "task": paper.tasks[0],
        **paper.settings,
        **paper.one_shot,
    }
    return {flag: value for flag, value in own.items() if known.get(flag) is not None}


def lines() -> list[str]:
    """Describe the papers' experiments, a line each."""
    return [
        f"  {name:<22} {paper.title}, {paper.source}: {paper.trainer.upper()} on {' or '.join(paper.tasks)}"
        for name, paper in PAPERS.items()
    ]
