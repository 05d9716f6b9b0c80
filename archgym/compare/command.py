"""`archgym compare`: run a comparison of agents, score it, print it and write its page."""

from collections.abc import Sequence

from archgym.compare import page as compare_page
from archgym.compare import scoreboard, scoreboard_tabular
from archgym.compare.comparison import Comparison
from archgym.compare.tabular import TabularComparison
from archgym.files import write_json
from archgym.running.arms import Args, TabularArgs


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
    tabular = isinstance(args, TabularArgs)
    if tabular != args.tabular:
        wanted, got = (Args, TabularArgs) if tabular else (TabularArgs, Args)
        raise ValueError(f"args: expected {wanted.__name__} for {args.env_id}, got {got.__name__}.")
    comparison = TabularComparison(specs, args) if isinstance(args, TabularArgs) else Comparison(specs, args)
    comparison.check()
    if not tabular and args.seeds < (enough := comparison.enough_seeds()):
        print(
            f"{args.seeds} seeds cannot decide between so many arms, even if their scores never overlap (Holm's "
            f"correction over all pairs): {enough} can."
        )
    with comparison.folder_of_its_own():
        comparison.run()
        if isinstance(comparison, TabularComparison):
            content = scoreboard_tabular.build(comparison)
        else:
            content = scoreboard.build(comparison)
        path = comparison.folder / "compare.json"
        write_json(path, content)
        page = compare_page.write(comparison.folder)
        scoreboard.print_tables(content)
        if "table" in content:
            scoreboard_tabular.print_regrets(content)
    print(f"\nFiles:\n  {page}  (open this in a browser)\n  {path}  (all numbers)")
    return 1 if content["failures"] else 0
