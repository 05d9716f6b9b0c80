"""`archgym table`: build recorded tables, check them, and take them elsewhere."""

import importlib
from collections.abc import Sequence

from archgym import table_card
from archgym.lookup import unknown

# By name: the module whose `main(words)` runs it and gives the exit code, and what is said of it.
COMMANDS = {
    "build": ("table_tools.build", "train every architecture of a space from scratch, on several seeds, and record it"),
    "check": ("table_tools.check", "train random rows again, and compare them with the record"),
    "describe": ("table_describe.command", "tell what a table shows: figures with intervals, and a page"),
    "export": ("table_tools.export", "write a table as Parquet or CSV"),
    "list": ("", "list the tables that come with archgym"),
}


def main(words: Sequence[str]) -> int:
    """Run one of the commands; returns the exit code."""
    rest = list(words)
    command = rest.pop(0) if rest else "--help"
    if command in ("-h", "--help"):
        print("usage: archgym table COMMAND ...\n\ncommands:")
        for name, (_, said) in COMMANDS.items():
            print(f"  {name:<10} {said}")
        print("\n`archgym table COMMAND --help` has more.")
        return 0
    if command not in COMMANDS:
        raise unknown("table command", command, COMMANDS)
    if command == "list":
        if rest:
            raise ValueError(f"table list: expected no arguments, got {rest[0]!r}.")
        for line in table_card.lines():
            print(line)
        return 0
    code: int = importlib.import_module(f"archgym.{COMMANDS[command][0]}").main(rest)
    return code
