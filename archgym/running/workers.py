"""Jobs on several processes: one thread each, results as they come, and a job that fails harms no other."""

import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

TICK_SECONDS = 0.5
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """A call to a function of a module, with arguments that a process can be sent."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Failure:
    """What became of a job that raised, or whose process died.

    Args:
        reason: One line.
        trace: Where it happened; "" if the process died.
    """

    reason: str
    trace: str = ""


@dataclass
class Worker:
    """One process, its end of the line, and what it works on."""

    process: SpawnProcess
    line: "Connection[Any, Any]"
    job: Job | None = None


class Workers:
    """Processes that live for many jobs; a context manager, which ends them all.

    Args:
        count: How many at most; none is started before there is a job for it.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.workers: list[Worker] = []

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: object) -> None:
        self._end(self.workers)

    def run(
        self, jobs: Iterable[Job], tick: Callable[[list[Job]], None] = lambda running: None
    ) -> Iterator[tuple[Job, Any]]:
        """Run jobs in the given order.

        Args:
            jobs: What to do.
            tick: Called with the running jobs, at least twice a second.

        Yields:
            Each job with its result, or with a `Failure`, as they end. Jobs of which nobody asks any more are ended.
        """
        waiting = deque(jobs)
        try:
            while waiting or self._busy():
                self._hand_out(waiting)
                for worker in self._answering():
                    job, worker.job = worker.job, None
                    assert job is not None, "who has no job does not answer"
                    try:
                        result = worker.line.recv()
                    except EOFError:
                        worker.process.join()
                        result = Failure(f"its process ended with exit code {worker.process.exitcode}")
                        self.workers.remove(worker)
                    yield job, result
                tick([worker.job for worker in self._busy() if worker.job])
        finally:
            self._end(self._busy())

    def _busy(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.job]

    def _hand_out(self, waiting: deque[Job]) -> None:
        """Give every idle process a job; start processes while there are more jobs."""
        while waiting and (len(self.workers) < self.count or len(self._busy()) < len(self.workers)):
            idle = [worker for worker in self.workers if not worker.job]
            if not idle:
                idle = [_start()]
                self.workers += idle
            idle[0].job = waiting.popleft()
            idle[0].line.send((idle[0].job.function, idle[0].job.arguments))

    def _answering(self) -> list[Worker]:
        """Wait for answers, but not for long."""
        busy = self._busy()
        lines = wait([worker.line for worker in busy], TICK_SECONDS)
        return [worker for worker in busy if worker.line in lines]

    def _end(self, workers: list[Worker]) -> None:
        for worker in list(workers):
            worker.process.kill()
            worker.process.join()
            self.workers.remove(worker)


def end_with_parent() -> None:
    """End this process when its parent is gone: whoever is killed leaves nobody behind who goes on."""
    parent = parent_process()
    assert parent is not None, "called in the main process"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _start() -> Worker:
    """Start a process with one thread for its mathematics."""
    own, other = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_work, args=(other,))
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))  # read when a library is loaded: must stand before the process does
    process.start()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    other.close()
    return Worker(process, own)


def _work(line: "Connection[Any, Any]") -> None:
    """Do one job after the other."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    while True:
        function, arguments = line.recv()
        try:
            result = function(*arguments)
        except Exception as error:
            said = str(error).splitlines() or [""]
            result = Failure(f"{type(error).__name__}: {said[0]}", traceback.format_exc())
        line.send(result)
