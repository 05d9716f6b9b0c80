"""`archgym table describe`: what a recorded table tells, printed, as numbers and as a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from archgym import table as tables
from archgym.files import write_json
from archgym.running.launch import parse
from archgym.table_describe.findings import describe
from archgym.table_describe.layout import grids, remarks, verdict

LOG_WIDTH = 170  # columns of the tables where there is no terminal


@dataclass(frozen=True)
class Args:
    """Tell what a recorded table shows: on the terminal, as numbers, and as a page with figures."""

    out: Path | None = None
    """Folder for `describe.json` and `report.html`; None: runs/describe__NAME."""
    draws: int = 1000
    """Resamples of every interval."""
    seed: int = 0
    """Of the resampling."""


def main(words: Sequence[str]) -> int:
    """Describe a table, given by its name or file.

    Raises:
        ValueError: If there is no such table, or too few seeds in it.
    """
    if not words or words[0].startswith("-"):
        parse(Args, list(words), "archgym table describe NAME_OR_FILE")  # --help ends here
        raise ValueError("describe: expected the name or the file (.npz) of a table, got none.")
    from archgym.table_describe import page as table_page  # here: matplotlib is slow to load

    name, args = words[0], parse(Args, list(words[1:]), "archgym table describe NAME_OR_FILE")
    if args.draws < 100:
        raise ValueError(f"--draws: expected at least 100, got {args.draws}.")
    content = describe(tables.load(name), name, args.draws, args.seed)
    folder = args.out or Path("runs") / f"describe__{content['name']}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "describe.json"
    write_json(path, content)
    page = table_page.write(folder, content)
    show(content)
    print(f"\nFiles:\n  {page}  (open this in a browser)\n  {path}  (all numbers)")
    return 0


def show(content: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=LOG_WIDTH)
    for title, header, rows in grids(content):
        grid = Grid(title=title)
        for place, column in enumerate(header):
            grid.add_column(column, overflow="fold", justify="left" if place == 0 else "right")
        for row in rows:
            grid.add_row(*row)
        console.print(grid)
    for sentence in (verdict(content), *remarks(content)):
        console.print(sentence, highlight=False)
    console.print(
        f"{content['architectures']} architectures, {content['seeds']} seeds, "
        f"{content['steps']:,} steps each; normalised returns (random policy 0, reference 1); 95 % intervals draw the "
        "seeds anew, those of differences are Student's on the same seeds. What is chosen is chosen on the search "
        "seeds; `where chosen` is what it seems to be there; the rule's interval draws the choice anew as well.",
        highlight=False,
    )
