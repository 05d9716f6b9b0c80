"""What saved runs of the benchmarks say: the ratios of the last one, and what is slower now than it was then.

`make bench` runs the benchmarks, saves the run under `.benchmarks` and prints its ratios. `make bench-compare` runs
them anew, without saving, and names what takes over 15 % longer than in the last saved run; the exit code is 1 then,
and 2 if there is no run of this machine to hold it against. Times are compared in yardsticks (`rounds.yardstick`),
measured in the same round: on a machine that is busier than last time everything takes longer, the yardstick too.

    python -m benchmarks.saved_runs --run
    python -m benchmarks.saved_runs --compare
    python -m benchmarks.saved_runs
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.machine import processor

ROOT = Path(__file__).resolve().parent.parent
SAVED = ROOT / ".benchmarks"
SLOWER = 1.15
PYTEST = (
    *(sys.executable, "-m", "pytest", "benchmarks", "--benchmark-only", "--benchmark-columns=median,iqr,rounds"),
    *("-q", "-p", "no:cacheprovider", "--timeout", "0"),
)


@dataclass(frozen=True)
class Args:
    run: bool = False
    """Run the benchmarks and save the run, before printing the ratios of the last saved one."""
    compare: bool = False
    """Run the benchmarks and compare them with the last saved run, instead."""
    saved: Path = SAVED
    """Folder of the saved runs."""


def last_saved(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Find the last saved run.

    Raises:
        ValueError: If there is none.
    """
    paths = sorted(folder.glob("*/[0-9][0-9][0-9][0-9]_*.json"), key=lambda path: path.name)
    if not paths:
        raise ValueError(f"expected a saved run of the benchmarks under {folder}, found none: `make bench` saves one.")
    return paths[-1], json.loads(paths[-1].read_text())


def by_name(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Map "group: contender" to what `rounds.report` wrote."""
    return {f"{one['group']}: {one['extra_info']['contender']}": one["extra_info"] for one in run["benchmarks"]}


def ratios(run: dict[str, Any]) -> list[str]:
    """Write every group's contenders as ratios to its reference, as the lines of a table."""
    commit = run["commit_info"]
    changed = " with changes" if commit.get("dirty") else ""
    lines = [f"{run['machine_info']['archgym']['described']}; commit {str(commit['id'])[:8]}{changed}", ""]
    lines += ["| group | contender | us per | | times as fast as the first of its group |", "|---|---|---|---|---|"]
    for name, own in by_name(run).items():
        group, times = name.partition(":")[0], own["times"]
        ratio = "1" if own["contender"] == own["reference"] else f"{times[0]:.3g} [{times[1]:.3g}, {times[2]:.3g}]"
        lines.append(f"| {group} | {own['contender']} | {own['unit']} | {own['microseconds']:,.4g} | {ratio} |")
    return lines


def check(then: dict[str, Any]) -> None:
    """Refuse a saved run that this machine, or this size of benchmark, is not to be compared with.

    Raises:
        ValueError: If it is such a one.
    """
    info = then["machine_info"]["archgym"]
    if info["machine"] != processor():
        raise ValueError(
            f"expected a saved run of this machine ({processor()}), the last one is of another ({info['machine']}): "
            "`make bench` saves one."
        )
    if info["toy"] != ("ARCHGYM_TOY" in os.environ):
        sizes = ("full", "toy") if info["toy"] else ("toy", "full")
        raise ValueError(f"expected a saved run of {sizes[0]} size, the last one is of {sizes[1]} size (ARCHGYM_TOY).")


def changes(then: dict[str, Any], now: dict[str, Any]) -> dict[str, float]:
    """Map what both runs measured to how many times as long it takes now, in yardsticks.

    Raises:
        ValueError: If they have nothing in common.
    """
    before, after = by_name(then), by_name(now)

    def cost(one: dict[str, Any]) -> float:
        return float(one["yardsticks"] / one["amount"])

    both = {name: cost(own) / cost(before[name]) for name, own in after.items() if name in before}
    if not both:
        raise ValueError("expected benchmarks that the last saved run has too, got none: `make bench` saves a new run.")
    return both


def benchmark(*options: str) -> None:
    """Run the benchmarks.

    Raises:
        ValueError: If they fail.
    """
    if subprocess.run([*PYTEST, *options], cwd=ROOT, check=False).returncode:
        raise ValueError("expected benchmarks that pass, but some failed (see above).")


def compare(args: Args) -> int:
    """Name what became slower; the exit code, 1 if anything did."""
    path, then = last_saved(args.saved)
    check(then)
    with tempfile.TemporaryDirectory() as folder:
        benchmark(f"--benchmark-json={folder}/run.json")
        now = json.loads(Path(folder, "run.json").read_text())
    return tell(path.name, then, now)


def tell(name: str, then: dict[str, Any], now: dict[str, Any]) -> int:
    """Print what became slower since the saved run of that name; the exit code, 1 if anything did."""
    both = changes(then, now)
    print(f"\nagainst {name}, {len(both)} benchmarks, times in yardsticks")
    new, gone = by_name(now).keys() - both.keys(), by_name(then).keys() - both.keys()
    for what, names in (("not in the saved run", new), ("only in the saved run", gone)):
        if names:
            print(f"{what}: {', '.join(sorted(names))}")
    slower = {name: times for name, times in both.items() if times > SLOWER}
    for what, times in sorted(slower.items(), key=lambda item: -item[1]):
        print(f"slower: {what} takes {times:.2f} times as long")
    if not slower:
        print(f"nothing takes over {SLOWER - 1:.0%} longer")
    return 1 if slower else 0


def main(args: Args) -> int:
    try:
        if args.compare:
            return compare(args)
        if args.run:
            benchmark("--benchmark-autosave", f"--benchmark-storage=file://{args.saved.resolve()}")
        print("\n".join(ratios(last_saved(args.saved)[1])))
    except ValueError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args)))
