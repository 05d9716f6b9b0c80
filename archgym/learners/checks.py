"""Refuses settings of trainers that nothing can be trained with; each check takes a setting's name and value."""

import sys

LARGEST_COUNT = 2**63 - 1  # what goes into arrays
LARGEST = sys.float_info.max
LARGEST_SINGLE = 1e38  # of what goes into float32 as it is


def whole(name: str, value: object) -> None:
    """Demand a positive integer.

    Raises:
        ValueError: If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: expected a positive integer, got {value!r}.")
    if value > LARGEST_COUNT:
        raise ValueError(f"{name}: expected an integer below 2**63, got {value!r}.")


def share(name: str, value: object) -> None:
    """Demand a number from 0 to 1.

    Raises:
        ValueError: If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name}: expected a number from 0 to 1, got {value!r}.")


def positive(name: str, value: object, most: float = LARGEST) -> None:
    """Demand a positive number, of at most so much.

    Raises:
        ValueError: If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError(f"{name}: expected a positive number, got {value!r}.")
    _held(name, value, most)


def flag(name: str, value: object) -> None:
    """Demand True or False.

    Raises:
        ValueError: If it is neither.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name}: expected True or False, got {value!r}.")


def not_negative(name: str, value: object) -> None:
    """Demand a number of at least 0.

    Raises:
        ValueError: If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError(f"{name}: expected a number of at least 0, got {value!r}.")
    _held(name, value, LARGEST)


def _held(name: str, value: float, most: float) -> None:
    """Demand a number that can be computed with; an integer may be larger than all floats."""
    if value > most:
        raise ValueError(f"{name}: expected a number of at most {most:g}, got {value!r}.")
