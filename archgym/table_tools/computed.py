"""With what the numbers of a table were computed: processor, learner, versions, and the trainer's settings in full.

A card keeps it by name (`Card.computed`). What was not the same for all rows is there as `one; other`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from archgym.evaluators import open_evaluator
from archgym.problem import Problem
from archgym.provenance import processor, versions

ALSO = "; "  # between values
UNKNOWN = "unknown"  # stands for a value that early tables lack


def computed_with(problem: Problem) -> dict[str, str]:
    """Tell what the numbers of a training depend on beside its settings: processor, learner, versions.

    Also the trainer's settings in full, for its defaults may change.

    Raises:
        ValueError: If the trainer, its settings, or the device are wrong.
    """
    evaluator: Any = open_evaluator(problem, 1)
    trainer = " ".join(f"{name}={value}" for name, value in asdict(evaluator.config).items())
    return {"processor": processor(), "learner": evaluator.learner, **versions(), "trainer": trainer}


def check_trainer(what: str, was: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse to go on with what was trained with other defaults of the trainer, or of the task.

    Raises:
        ValueError: If it was.
    """
    own = now["trainer"].split()
    for other in (one.split() for one in was.get("trainer", UNKNOWN).split(ALSO) if one != UNKNOWN):
        if own != other:
            gone, new = (" ".join(item for item in a if item not in b) for a, b in ((other, own), (own, other)))
            raise ValueError(f"{what} was trained with {gone or 'less'}; this archgym's trainer has {new or 'less'}.")


def merged(computed: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Put together with what rows were computed; values that differ as `one; other`."""
    names = dict.fromkeys(name for one in computed for name in one)
    values = {name: dict.fromkeys(v for one in computed for v in one.get(name, UNKNOWN).split(ALSO)) for name in names}
    return {name: ALSO.join(own) for name, own in values.items()}


def among(computed: Mapping[str, str], one: Mapping[str, str]) -> bool:
    """Tell whether rows that were put together may be of this one: each of its values is among theirs."""
    return all(one.get(name, UNKNOWN) in values.split(ALSO) for name, values in computed.items())
