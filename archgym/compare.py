"""`archgym compare`: run a comparison of agents, score it, print it and write its page."""

from collections.abc import Sequence

from archgym import compare_page, scoreboard
from archgym.arms import Args
from archgym.comparison import Comparison
from archgym.search import write_json


def main(specs: Sequence[str], args: Args) -> int:
    """Compare agents, and say where the result lies.

    Args:
        specs: The arms: `agent`, or `agent:option=value,option=value`.
        args: What they share.

    Returns:
        The exit code: 1 if a job failed.

    Raises:
        ValueError: If something was asked for wrongly; nothing has been trained or written then.
    """
    comparison = Comparison(specs, args)
    comparison.check()
    if args.seeds < (enough := comparison.enough_seeds()):
        print(
            f"{args.seeds} seeds cannot decide between so many arms, even if their scores never overlap (Holm's "
            f"correction over all pairs): {enough} can."
        )
    with comparison.folder_of_its_own():
        comparison.run()
        content = scoreboard.build(comparison)
        path = comparison.folder / "compare.json"
        write_json(path, content)
        page = compare_page.write(comparison.folder)
        scoreboard.print_tables(content)
    print(f"\nFiles:\n  {page}  (open this in a browser)\n  {path}  (all numbers)")
    return 1 if content["failures"] else 0
