"""Refuses settings of transfer that the trainer or the networks know nothing of, before anything is trained."""

from archgym.inheritance import blocks
from archgym.learners import dqn
from archgym.learners.exploration import Exploration
from archgym.problem import Problem
from archgym.settings import TRANSFERS
from archgym.supernet import Family, variants


def check(problem: Problem, family: Family, config: object) -> None:
    """Refuse what cannot be.

    Args:
        problem: What is searched.
        family: Of its networks.
        config: The trainer's resolved settings.

    Raises:
        ValueError: If a setting asks for a replay, an exploration rate, growth or layers that are not there.
    """
    settings, space = problem.settings, problem.space
    trainer = settings.trainer
    if settings.transfer == "distil" and not isinstance(config, dqn.Config):
        others = ", ".join(name for name in TRANSFERS if name != "distil")
        raise ValueError(
            f"transfer: expected one that needs no replay ({others}) with trainer {trainer!r}, got 'distil'."
        )
    if settings.transfer == "net2net" and not hasattr(family, "chain"):
        raise ValueError(
            f"transfer: expected a search space whose networks can grow (its supernet family has a `chain`), "
            f"got 'net2net' on {space.name!r}."
        )
    if settings.replay_keep != 1 and not hasattr(config, "buffer_size"):
        raise ValueError(
            f"replay_keep: expected 1.0 with trainer {trainer!r}, which has no replay, got {settings.replay_keep!r}."
        )
    if settings.exploration != "continue" and not isinstance(config, Exploration):
        raise ValueError(
            f"exploration: expected 'continue' with trainer {trainer!r}, which has no exploration rate, "
            f"got {settings.exploration!r}."
        )
    if settings.reset_layers:
        crops = (family.crop(network, problem.inputs, problem.outputs) for network in variants(space))
        fewest = min(len(blocks(crop)) for crop in crops)
        if settings.reset_layers > fewest:
            raise ValueError(
                f"reset_layers: expected at most {fewest}, the layers of the shallowest network of {space.name!r}, "
                f"got {settings.reset_layers}."
            )
