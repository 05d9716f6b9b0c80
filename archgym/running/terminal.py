"""Where tables are printed: the terminal, or a file in its place."""

from rich.console import Console

WIDTH = 140  # columns where there is no terminal


def console(width: int = WIDTH) -> Console:
    """Make a console, as wide as the terminal; of a file as wide as told."""
    own = Console()
    return own if own.is_terminal else Console(width=width)
