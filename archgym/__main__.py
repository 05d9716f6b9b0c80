"""The command line: `archgym COMMAND ...`, or `python -m archgym COMMAND ...`."""

import ast
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import archgym
from archgym import lookup
from archgym.running.agent import load_agent
from archgym.running.launch import main as launch
from archgym.running.launch import parse, print_notes, sentences

USAGE = """usage: archgym COMMAND ...

commands:
  search AGENT [--help]   search an architecture (an agent of `archgym list`, or the dotted name of your own)
  compare AGENT ...       compare agents at equal budgets (`archgym compare --help`)
  study NAME [--help]     test the claims of a paper with arms and controls of its own
  table COMMAND           build recorded tables, check them, take them elsewhere
  report DIR              write the page of a search, a comparison or a study anew
  doctor [--device cpu]   prove on this machine that an action takes effect (`--speed`: what it reaches, in numbers)
  list                    list tasks, spaces, agents, studies, environments, papers and tables
  --version               print the version
"""


def main(given: Sequence[str] | None = None) -> None:
    """Run one command; wrong input ends with one sentence and exit code 2."""
    if given is None:
        print_notes()
        if "" not in sys.path:
            sys.path.insert(0, "")  # modules of one's own lie in the present folder, as for `python -m archgym`
    words = list(sys.argv[1:] if given is None else given)
    command = words.pop(0) if words else "--help"
    with sentences():
        match command:
            case "-h" | "--help":
                print(USAGE, end="")
            case "--version":
                print(archgym.__version__)
            case "search":
                search(words)
            case "compare":
                sys.exit(compare(words))
            case "study":
                sys.exit(study(words))
            case "table":
                from archgym.table_tools import command as table_command

                sys.exit(table_command.main(words))
            case "report":
                report(words)
            case "doctor":
                from archgym import doctor

                sys.exit(doctor.main(parse(doctor.Args, words, "archgym doctor")))
            case "list":
                if words and words != ["--help"] and words != ["-h"]:
                    raise ValueError(f"list: expected no arguments, got {words[0]!r}.")
                list_names()
            case _:
                raise lookup.unknown(
                    "command", command, ("compare", "doctor", "list", "report", "search", "study", "table")
                )


def search(words: list[str]) -> None:
    """Hand the remaining flags to one agent's module; no other agent is imported."""
    known = lookup.names("archgym.agents")
    if not words or words[0] in ("-h", "--help"):
        print(
            f"usage: archgym search AGENT ...\n\nagents: {', '.join(known)}, or the dotted name of your own "
            "(mylab.agents.mine)\n\n`archgym search AGENT --help` has more."
        )
        return
    name = words.pop(0)
    module = load_agent(name)
    launch(module.Agent, module.Args, name.replace("_", "-"), words)


def compare(words: list[str]) -> int:
    """Compare the agents that are named before the first flag."""
    from archgym.compare import command
    from archgym.running.arms import Args, TabularArgs

    flags = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
    if not flags and "--help" not in words and "-h" not in words:
        raise ValueError("compare: expected at least one agent (`archgym list` names them), got none.")
    given, usage = words[flags:], "archgym compare AGENT[:option=value,...] ..."
    asked = [word for word in given if word not in ("-h", "--help")]
    kind = TabularArgs if parse(TabularArgs, asked, usage).tabular else Args  # other defaults
    args = parse(kind, given, usage)
    return command.main(words[:flags], args)


def study(words: list[str]) -> int:
    """Run the study that is named first."""
    if not words or words[0] in ("-h", "--help"):
        print("usage: archgym study NAME ...\n\nstudies:")
        for name in lookup.names("archgym.studies"):
            print(f"  {name:<22} {first_line('archgym.studies', name)}")
        print("\n`archgym study NAME --help` has more.")
        return 0
    from archgym.study import command

    module = lookup.load("archgym.studies", words[0], "study")
    return command.main(module.Study(parse(module.Args, words[1:], f"archgym study {words[0]}")))


def report(words: list[str]) -> None:
    """Write the page of a search, a comparison or a study anew."""
    if words in (["-h"], ["--help"]):
        print("usage: archgym report DIR\n\nWrites the page of a search, a comparison or a study anew.")
        return
    if len(words) != 1:
        raise ValueError(f"report: expected one run folder, got {len(words)} arguments.")
    folder = Path(words[0])
    if (folder / "compare.json").exists():
        from archgym.compare import page as compare_page

        print(compare_page.write(folder))
        return
    if (folder / "study.json").exists():
        from archgym.study import page as study_page

        print(study_page.write(folder))
        return
    from archgym.running import report as page

    print(page.write(folder))


def list_names() -> None:
    """Print everything that has a name."""
    import gymnasium as gym

    from archgym import papers, table_card
    from archgym.inner.envs import dimensions
    from archgym.inner.tasks import TASKS
    from archgym.observations import described

    print("tasks (inner problems; any other Gymnasium id works too: discrete actions, vectors or images of bytes)")
    for task in TASKS.values():
        inputs, outputs = dimensions(task)
        steps = "" if task.budget is None else f", learned within {task.budget:,} steps"
        own = "".join(f"; {trainer}: {named(settings)}" for trainer, settings in task.settings.items())
        print(
            f"  {task.id:<20} {described(inputs)}, {outputs} actions, random {task.random_return:g}, "
            f"reference {task.reference_return:g}{steps}{own}"
        )
    print("\nsearch spaces")
    for name in lookup.names("archgym.search_spaces"):
        space = lookup.load("archgym.search_spaces", name, "search space").SPACE
        choices = ", ".join(f"{choice.name} ({len(choice.options)})" for choice in space.choices)
        print(f"  {name:<20} {space.size:,} architectures: {choices}; for {' or '.join(space.takes)}")
    print("\nagents")
    for name in lookup.names("archgym.agents"):
        print(f"  {name:<22} {first_line('archgym.agents', name)}")
    print("\nstudies")
    for name in lookup.names("archgym.studies"):
        print(f"  {name:<22} {first_line('archgym.studies', name)}")
    print("\nenvironments")
    for name in gym.registry:
        if name.startswith("ArchSearch-"):
            print(f"  {name}")
    print("\npapers' experiments (--paper)")
    for line in papers.lines():
        print(line)
    print("\nrecorded tables")
    for line in table_card.lines():
        print(line)


def named(settings: Mapping[str, Any]) -> str:
    """Write settings as `--inner` takes them."""
    return " ".join(f"{name}={value}" for name, value in settings.items())


def first_line(package: str, name: str) -> str:
    """Read the first line of a module's docstring, without importing the module."""
    spec = importlib.util.find_spec(f"{package}.{name.replace('-', '_')}")
    origin = spec.origin if spec else None
    assert origin is not None, "a listed module is there"
    return (ast.get_docstring(ast.parse(Path(origin).read_text())) or "").splitlines()[0]


if __name__ == "__main__":
    main()
