"""From a command line to a search: parse the arguments, run, compare, and say in one sentence what was wrong."""

import contextlib
import dataclasses
import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import tyro

from archgym import papers
from archgym.lookup import unknown
from archgym.running import protocol, search
from archgym.running.agent import view
from archgym.running.arguments import trains

BROKEN_PIPE, INTERRUPTED, WRONG_INPUT = 141, 130, 2  # exit codes; 141 is what shells say of SIGPIPE


def main(
    agent_class: Callable[[Any, Any], Any], args_class: type[Any], name: str, given: Sequence[str] | None = None
) -> None:
    """Run an agent's search from the command line.

    Args:
        agent_class: The agent, see `Agent`.
        args_class: Its arguments, a subclass of `SearchArgs`.
        name: Of the agent.
        given: The arguments; None: those of the process.
    """
    if given is None:
        print_notes()
    with sentences():
        args = parse(args_class, sys.argv[1:] if given is None else given, f"archgym search {name}")
        if "torch" in sys.modules or trains(args):  # else nothing has networks, neither search nor agent
            import torch

            torch.set_num_threads(1)  # more threads make small networks ten times slower on a busy machine
        if args.retrain is None:
            print_files(search.run(agent_class, args, name, begun=print_folder))
            return
        protocol.check(args)
        with protocol.Control(args, name) as control:

            def begun(folder: Path) -> None:
                print_folder(folder)
                control.start(folder)

            folder = search.run(agent_class, args, name, begun=begun)
            protocol.run(folder, args, name, control)
        print_files(folder)


def parse(args_class: type[Any], words: Sequence[str], prog: str) -> Any:
    """Read flags into a dataclass; a wrong one becomes one sentence instead of tyro's page.

    Raises:
        ValueError: If a flag is unknown, or its value has another type.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            own = _of_paper(args_class, words)
            args, rest = tyro.cli(args_class, args=list(words), prog=prog, return_unknown_args=True, **own)
    except SystemExit as end:
        if not end.code:  # --help
            raise
        raise ValueError(_wrong_value(args_class, list(words), said.getvalue())) from None
    if rest:
        flags = [f"--{item.name.replace('_', '-')}" for item in dataclasses.fields(args_class)]
        raise unknown("argument", rest[0], flags)
    return args


def _of_paper(args_class: type[Any], words: Sequence[str]) -> dict[str, Any]:
    """Give the arguments that hold where no flag says otherwise, if `--paper` says so, as tyro takes them.

    Raises:
        ValueError: If there is no such paper.
    """
    known = {item.name: item.default for item in dataclasses.fields(args_class)}
    named = [after for flag, after in pairwise(words) if flag == "--paper"]
    named += [word.removeprefix("--paper=") for word in words if word.startswith("--paper=")]
    if "paper" not in known or not named:
        return {}
    own = papers.flags(named[-1], known)
    return {"default": args_class(**{**own, "env_id": view(own["env_id"], args_class)})}


def _wrong_value(args_class: type[Any], words: list[str], said: str) -> str:
    """Tell which flag has a wrong value: tyro has named it, the type stands in the dataclass."""
    kinds = {item.name: getattr(item.type, "__name__", item.type) for item in dataclasses.fields(args_class)}
    named = re.search(r"--(\w[\w-]*)", said)
    name = named[1].replace("-", "_") if named else ""
    if name not in kinds:
        return " ".join(re.sub(r"[^\x20-\x7e]", " ", said).split())
    split = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    places = [place for place, word in enumerate(split) if word.strip("-").replace("-", "_") == name]
    following = split[places[-1] + 1 :] if places else []
    got = repr(following[0]) if following and not following[0].startswith("--") else "nothing"
    return f"--{name.replace('_', '-')}: expected {kinds[name]}, got {got}."


def print_folder(folder: Path) -> None:
    """Say where a search lies while it runs: whoever ends it has to name the folder to go on."""
    print(f"Run folder: {folder} (interrupted, the same command goes on with --out {folder} --resume)", flush=True)


def print_files(folder: Path) -> None:
    """Name what was written."""
    meanings = {
        "report.html": "open this in a browser",
        "journal.jsonl": "the record of the search",
        "best.json": "the exported network",
        "best.safetensors": "its weights",
        "protocol.json": "the comparison from scratch",
        "agent.npz": "what the agent has learned, for --start-from",
        "config.json": "settings and versions",
    }
    print("\nFiles:")
    for file, meaning in meanings.items():
        if (folder / file).exists():
            print(f"  {folder / file}  ({meaning})")


def print_notes() -> None:
    """Let this process print warnings of users' settings as notes, each once, without the lines of code behind them."""
    shown, original = set[str](), warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, UserWarning):
            original(message, category, *place, **more)
        elif str(message) not in shown:
            shown.add(str(message))
            print(f"archgym: note: {message}", file=sys.stderr)

    warnings.showwarning = show


class sentences:
    """Ends the process with one sentence and exit code 2 where the input was wrong, or a file could not be written."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Turn every ValueError and OSError into a sentence; other faults keep their traceback."""
        if isinstance(error, KeyboardInterrupt):
            print("archgym: interrupted", file=sys.stderr)
            sys.exit(INTERRUPTED)
        if isinstance(error, BrokenPipeError):  # `archgym list | head`: nobody reads on
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(BROKEN_PIPE)
        if isinstance(error, OSError) and error.filename:
            print(f"archgym: {error.filename}: {error.strerror}", file=sys.stderr)
            sys.exit(WRONG_INPUT)
        if isinstance(error, ValueError | OSError):
            print(f"archgym: {error}", file=sys.stderr)
            sys.exit(WRONG_INPUT)
