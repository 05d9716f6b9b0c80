"""Turns what is raised where arrays would be too large into a sentence that names the settings that ask for them."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def enough(*more: type[Exception], **asked: int | None) -> Iterator[None]:
    """Refuse sizes that no memory is given for.

    Args:
        more: What else is raised in the block where there is none: torch raises a `RuntimeError`.
        asked: The settings that decide about the sizes, by name.

    Raises:
        ValueError: If the block asks for more memory than there is.
    """
    kinds: tuple[type[Exception], ...] = (MemoryError, OverflowError, *more)
    try:
        yield
    except kinds as error:
        given = ", ".join(f"{name}={value}" for name, value in asked.items())
        raise ValueError(f"{', '.join(asked)}: expected sizes that fit into memory, got {given}.") from error
