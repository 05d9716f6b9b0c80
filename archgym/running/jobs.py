"""Work of a comparison or a study: searches on several processes, with a view of how far they are, each resumable."""

import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from archgym.journal import checkpoint_of
from archgym.running import protocol, scratch, workers
from archgym.running.arguments import SearchArgs
from archgym.running.progress import Progress, left


def work(
    pool: workers.Workers,
    title: str,
    jobs: Sequence[workers.Job],
    keep: Callable[[Any], None] = lambda result: None,
) -> list[dict[str, str]]:
    """Run jobs side by side, show how far they are, and keep their results.

    Args:
        pool: The processes.
        title: Of the progress.
        jobs: What to do; the share that is done of a search or a training under way is read from its journal.
        keep: Called with every result.

    Returns:
        What went wrong: `job`, `reason` and `trace` of each failure; the reason names the log of a search.
    """
    failures: list[dict[str, str]] = []
    if not jobs:
        return failures
    done, begun = 0, time.monotonic()
    with Progress(title, len(jobs), guess=False) as progress:

        def show(running: list[workers.Job]) -> None:
            shares = {job.name: share(job) for job in running}
            reached = done + sum(shares.values())
            words = ["; ".join(f"{name}{f' ({part:.0%})' if part else ''}" for name, part in shares.items())]
            words += [f"{len(failures)} failed"] if failures else []
            if 0 < done < len(jobs):  # before a job has ended, its start-up is most of what was timed
                words += [left((time.monotonic() - begun) * (len(jobs) - reached) / reached)]
            progress.update(reached, "; ".join(filter(None, words)))

        for job, result in pool.run(jobs, show):
            done += 1
            if isinstance(result, workers.Failure):
                failures.append({"job": job.name, "reason": result.reason + _logged(job), "trace": result.trace})
            else:
                keep(result)
    return failures


def share(job: workers.Job) -> float:
    """Tell how much of a search or a training from scratch is done, by the lines of its journal; 0 of other jobs."""
    if job.function is search_once:
        args: SearchArgs = job.arguments[1]
        assert args.out is not None, "every search of many has its folder"
        path, windows, others = args.out / "journal.jsonl", args.windows, 2  # others: the header and the reset
    elif job.function is scratch.train:
        training: scratch.Job = job.arguments[0]
        path, windows, others = training.journal, training.settings["windows"], 1
    else:
        return 0.0
    lines = path.read_bytes().count(b"\n") - others if path.exists() else 0
    return min(0.99, max(0, lines) / windows)  # what runs is not done


def search_once(agent: str, args: SearchArgs) -> None:
    """Run one search, or go on with it; called in a worker. What it raises is written to its log as well."""
    assert args.out is not None
    journal = args.out / "journal.jsonl"
    begun = journal.exists() and b"\n" in journal.read_bytes()
    if not begun:
        shutil.rmtree(args.out, ignore_errors=True)
        args.out.mkdir(parents=True)
    try:
        protocol.search_quietly(agent, replace(args, resume=begun), _log(args), page=False)
    except Exception:  # whatever it is: the failure's reason is one line, and names the log
        with _log(args).open("a", encoding="utf-8") as file:
            file.write(traceback.format_exc())
        raise
    checkpoint_of(journal).unlink(missing_ok=True)  # of no use any more, and large with images


def _log(args: SearchArgs) -> Path:
    assert args.out is not None, "every search of many has its folder"
    return args.out / "log.txt"


def _logged(job: workers.Job) -> str:
    """Say where the log of a search lies, if there is one; nothing of other jobs."""
    if job.function is not search_once or not (path := _log(job.arguments[1])).exists():
        return ""
    return f" (see {path})"
