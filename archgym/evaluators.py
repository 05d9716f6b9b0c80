"""Which evaluator scores the architectures: a table, a planted landscape, or training."""

from archgym.evaluator import Evaluator
from archgym.problem import Problem


def open_evaluator(problem: Problem, members: int) -> Evaluator:
    """Make the evaluator of a problem.

    Args:
        problem: What is searched, on what; `Settings.table` and `Settings.trainer` decide.
        members: K.

    Raises:
        ValueError: If the trainer, its settings or the device are wrong.
    """
    if problem.settings.table:
        from archgym.tabular import Tabular

        return Tabular(problem, members)
    if not problem.trains:
        from archgym.synthetic import Synthetic

        return Synthetic(problem, members)
    from archgym.population import Population  # here: what is looked up needs no torch

    return Population(problem, members)
