"""Training from scratch: one architecture on several seeds, apart from every search.

It is recorded as a search is (`archgym.journal`): killed, it goes on from its last checkpoint.
"""

import json
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.evaluator import Evaluator
from archgym.evaluators import open_evaluator
from archgym.files import write_json
from archgym.journal import Journal, read_rows
from archgym.problem import Problem
from archgym.settings import INHERITED, Settings


@dataclass(frozen=True)
class Job:
    """One architecture trained from scratch on several seeds, side by side; plain, so that a process can take it."""

    settings: dict[str, Any]
    action: list[int]
    seeds: list[int]
    folder: Path
    name: str
    keep_weights: bool
    head: int = 0
    """Steps before the first window, for a training that is no whole number of windows; in no curve and no score."""

    @property
    def order(self) -> dict[str, Any]:
        """What is asked for."""
        return {"settings": self.settings, "action": self.action, "seeds": self.seeds, "head": self.head}

    @property
    def journal(self) -> Path:
        """Where it is recorded while it is under way."""
        return self.folder / f"{self.name}.journal.jsonl"

    @property
    def file(self) -> Path:
        """Where its result is written."""
        return self.folder / f"{self.name}.result.json"

    def result(self) -> dict[str, Any] | None:
        """Read what it came to, as `train` gives it; None if it has not ended."""
        found: dict[str, Any] | None = json.loads(self.file.read_text()) if self.file.exists() else None
        return found


def train(job: Job) -> dict[str, Any]:
    """Train from scratch, or read what an earlier run has done; may keep the weights of the best seed.

    Returns:
        `order` (what was asked for), `curves` (seeds x windows, raw return), `scores` (seeds: normalised area under the
        curve), `last_fifth` (seeds: raw return), `steps` of all seeds, `seconds` of wall-clock in the windows.
    """
    done = job.result()
    if done is not None and done["order"] == job.order:
        return done
    from archgym.export import save

    problem = Problem(Settings(**job.settings))
    evaluator = open_evaluator(problem, len(job.seeds))
    evaluator.reset(job.seeds)
    action = np.array(job.action, dtype=np.int64)
    actions = np.tile(action, (len(job.seeds), 1))
    if job.head:
        begin(evaluator, job, actions)
    with closing(Journal(evaluator, job.journal, job.order, resume=is_begun(job))) as journal:
        windows = [journal.train_window(actions) for _ in range(problem.settings.windows)]
        curves = np.array([[result.raw_return for result in window] for window in windows]).T  # (seeds, windows)
        last = curves[:, -max(1, curves.shape[1] // 5) :].mean(1)
        if job.keep_weights and journal.trains:
            save(job.folder, problem, action, journal.weights(int(np.argmax(last)), action), job.name)
    result = {
        "order": job.order,
        "curves": curves.tolist(),
        "scores": np.mean([[result.normalised_return for result in window] for window in windows], axis=0).tolist(),
        "last_fifth": last.tolist(),
        "steps": sum(result.env_steps for window in windows for result in window) + job.head * len(job.seeds),
        "seconds": round(sum(sum(row["seconds"].values()) for row in journal.rows), 3),
    }
    write_json(job.file, result)
    for path in (journal.path, journal.checkpoint_path):
        path.unlink(missing_ok=True)
    return result


def is_begun(job: Job) -> bool:
    """Tell whether a killed process has left a record of this training; one of another training is removed.

    Raises:
        ValueError: If its first line was altered.
    """
    if not job.journal.exists():
        return False
    data = job.journal.read_bytes()
    rows, _ = read_rows(data[: data.find(b"\n") + 1], job.journal)
    if rows and rows[0]["settings"] == job.order:
        return True
    job.journal.unlink()
    return False


def begin(evaluator: Evaluator, job: Job, actions: NDArray[np.int64]) -> None:
    """Train the head of a job: one window of another length, in an evaluator from which the state is then carried over.

    The schedule of the learner is that of the whole training: the same horizon, and no shorter a lifetime.
    """
    problem = evaluator.problem
    windows = -(-problem.settings.windows * problem.window_steps // job.head)
    settings = replace(problem.settings, window_steps=job.head, windows=windows, horizon=problem.horizon)
    first = open_evaluator(Problem(settings), evaluator.members)
    first.reset(job.seeds)
    first.train_window(actions)
    evaluator.set_state(first.get_state())


def retraining(settings: Settings, steps: int) -> tuple[Settings, int]:
    """Give the settings of training from scratch: full windows, and as many as the steps hold.

    Where the search keeps its inner environments alive between windows, training from scratch does so too, in windows
    of the same length: episodes end as late there as the task lets them, and at the limit of searches otherwise.
    """
    problem = Problem(replace(settings, window_steps=None, windows=1))
    own = problem.full_window_steps
    if problem.carries and settings.window_steps is not None:
        own = settings.window_steps
    windows = max(1, round(steps / own))
    return replace(_from_scratch(settings, own, windows), inner_envs=settings.inner_envs), own * windows


def exact_retraining(settings: Settings, steps: int) -> tuple[Settings, int]:
    """Give the settings of a training from scratch of just so many steps, and the steps of its head.

    Full windows, as many as the steps hold, after a head that takes the rest; one shorter window where they hold none.
    Inner environments are fresh in every window: living ones could not be handed on from a head.

    Args:
        settings: Of the search.
        steps: A multiple of `envs_per_member`.
    """
    window = min(steps, Problem(replace(settings, window_steps=None, windows=1)).full_window_steps)
    windows, head = divmod(steps, window)
    horizon = steps if settings.horizon is None else settings.horizon
    return replace(_from_scratch(settings, window, windows), horizon=horizon), head


def _from_scratch(settings: Settings, window: int, windows: int) -> Settings:
    """Let every architecture have a learner of its own, and count nothing but its training, in equal windows."""
    handed_on = {name: getattr(Settings, name) for name in (*INHERITED, "distil_steps")}  # the defaults: nothing is
    own = replace(settings, transfer="own", **handed_on, share_weights=False, reward="return", cost_weight=0.0)
    counted = replace(own, evaluation_steps=None, window_episodes=None, inner_envs="fresh")
    return replace(counted, window_steps=window, windows=windows)
