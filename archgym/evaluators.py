"""Which evaluator scores the architectures: the one that the trainer's name stands for."""

from archgym.evaluator import Evaluator
from archgym.settings import Problem


def open_evaluator(problem: Problem, members: int) -> Evaluator:
    """Make the evaluator of a problem.

    Args:
        problem: What is searched, on what; `Settings.trainer` decides.
        members: K.

    Raises:
        ValueError: If the trainer, its settings or the device are wrong.
    """
    if not problem.trains:
        from archgym.synthetic import Synthetic

        return Synthetic(problem, members)
    from archgym.population import Population  # here: a landscape needs no torch

    return Population(problem, members)
