"""From a command line to a search: parse the arguments, run, compare, and say in one sentence what was wrong."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tyro

from archgym import protocol, search

WRONG_INPUT = 2  # exit code


def main(agent_class: Callable[[Any, Any], Any], args_class: type[Any], name: str, given: Sequence[str] = ()) -> None:
    """Run an agent's search from the command line.

    Args:
        agent_class: The agent, see `search.Agent`.
        args_class: Its arguments, a subclass of `search.SearchArgs`.
        name: Of the agent.
        given: The arguments; empty: those of the process.
    """
    arguments = list(given) or sys.argv[1:]
    with sentences():
        import torch

        torch.set_num_threads(1)  # more threads make small networks ten times slower on a busy machine
        args = tyro.cli(args_class, args=arguments, prog=f"archgym search {name}")
        if args.retrain is None:
            print_files(search.run(agent_class, args, name))
            return
        with protocol.Control(args, name) as control:
            folder = search.run(agent_class, args, name, begun=control.start)
            protocol.run(folder, args, name, control)
        print_files(folder)


def print_files(folder: Path) -> None:
    """Name what was written."""
    meanings = {
        "report.html": "open this in a browser",
        "journal.jsonl": "the record of the search",
        "best.json": "the exported network",
        "best.safetensors": "its weights",
        "protocol.json": "the comparison from scratch",
        "config.json": "settings and versions",
    }
    print("\nFiles:")
    for file, meaning in meanings.items():
        if (folder / file).exists():
            print(f"  {folder / file}  ({meaning})")


class sentences:
    """Ends the process with one sentence and exit code 2 where the input was wrong, or a file could not be written."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Turn refusals into sentences; faults of archgym keep their traceback."""
        if isinstance(error, ValueError | OSError):
            print(f"archgym: {error}", file=sys.stderr)
            sys.exit(WRONG_INPUT)
