"""`archgym study`: runs a study, prints what came of it, and writes it down."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from archgym.files import write_json
from archgym.provenance import versions
from archgym.running import terminal
from archgym.running.claim import Claim
from archgym.study import page as study_page
from archgym.study.study import Study


def main(study: Study) -> int:
    """Run a study, and say what came of it.

    Returns:
        The exit code: 1 if a run failed.

    Raises:
        ValueError: If something was asked for wrongly; nothing has been trained or written then.
    """
    study.check()
    with Claim(study.folder, study.plan(), resume=study.args.resume, kind="study"):
        print("\n".join([study.amount(), *study.forewarned()]), flush=True)
        study.run()
        content = {
            "study": study.name,
            "arms": [
                {"name": arm.name, "text": arm.text, "command": study.command_of(arm), "control": arm.control}
                for arm in study.arms.values()
            ],
            **study.content(),
            "seeds": study.seeds,
            "command": study.command,
            "args": study.plan()["args"],
            "machine": study.machine(),
            "versions": versions(),
            "failures": study.failures,
        }
        path = study.folder / "study.json"
        write_json(path, content)
        page = study_page.write(study.folder)
    print_tables(content)
    print(f"\nFiles:\n  {page}  (open this in a browser)\n  {path}  (all numbers)")
    return 1 if study.failures else 0


def print_tables(content: Mapping[str, Any]) -> None:
    """Print the tables of a study, and its answers."""
    console = terminal.console()
    for own in content["tables"]:
        table = Table(title=own["title"])
        for place, name in enumerate(own["header"]):
            table.add_column(name, overflow="fold", justify="left" if place == 0 else "right")
        for row in own["rows"]:
            table.add_row(*(cell.replace("[", r"\[") for cell in row))
        console.print(table)
    for one in content["answers"]:
        console.print(f"{one['claim']}: {one['answer'].upper()}", markup=False, highlight=False)
        for row in one["rows"]:
            console.print(f"  {study_page.comparison_said(row)}", markup=False, highlight=False)
    for failure in content["failures"]:
        console.print(f"failed: {failure['job']}: {failure['reason']}", markup=False)
