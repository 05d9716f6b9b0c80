"""Jobs on several processes: results as they come, failures that harm nobody, nobody left behind."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from archgym.running import workers
from archgym.running.workers import Failure, Job, Workers


# Jobs are functions of this module's neighbours: workers import them by name.
def run(jobs: list[Job], count: int) -> Iterator[tuple[Job, Any]]:
    with Workers(count) as pool:
        yield from pool.run(jobs)


POWERS = [Job(f"{n}", pow, (n, 2)) for n in range(7)]


def test_every_job_is_done_once_and_comes_with_its_result() -> None:
    done = {job.name: result for job, result in run(POWERS, 2)}
    assert done == {str(n): n**2 for n in range(7)}


def test_no_more_processes_than_jobs_are_started_and_no_job_needs_none() -> None:
    assert list(run([], 4)) == []
    ((_, alone),) = run([Job("pid", os.getpid, ())], 8)
    assert alone != os.getpid()


def test_a_worker_lives_for_many_jobs() -> None:
    pids = Counter(result for _, result in run([Job(f"{n}", os.getpid, ()) for n in range(6)], 2))
    assert 1 <= len(pids) <= 2


def test_a_job_that_raises_is_reported_with_its_trace_and_the_others_go_on() -> None:
    jobs = [Job("bad", int, ("seven",)), *POWERS]
    done = {job.name: result for job, result in run(jobs, 2)}
    failure = done.pop("bad")
    assert isinstance(failure, Failure)
    assert failure.reason == "ValueError: invalid literal for int() with base 10: 'seven'"
    assert "Traceback" in failure.trace
    assert done == {str(n): n**2 for n in range(7)}


def test_a_process_that_dies_fails_its_own_job_alone() -> None:
    jobs = [Job("gone", os._exit, (7,)), Job("killed", signal.raise_signal, (signal.SIGKILL,)), *POWERS]
    done = {job.name: result for job, result in run(jobs, 2)}
    assert done.pop("gone") == Failure("its process ended with exit code 7")
    assert done.pop("killed") == Failure("its process ended with exit code -9")
    assert done == {str(n): n**2 for n in range(7)}


def test_workers_have_one_thread_and_the_caller_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("MKL_NUM_THREADS")
    jobs = [Job(name, os.getenv, (name,)) for name in workers.THREADS]
    assert {job.name: result for job, result in run(jobs, 1)} == dict.fromkeys(workers.THREADS, "1")
    assert os.environ["OMP_NUM_THREADS"] == "5"
    assert "MKL_NUM_THREADS" not in os.environ


def test_the_running_jobs_are_told_while_they_run() -> None:
    told: list[list[str]] = []
    jobs = [Job("slow", time.sleep, (2 * workers.TICK_SECONDS,)), Job("next", time.sleep, (0.0,))]
    with Workers(1) as pool:
        assert len(list(pool.run(jobs, lambda running: told.append([job.name for job in running])))) == 2
    assert ["slow"] in told


def test_processes_live_on_from_one_list_of_jobs_to_the_next() -> None:
    with Workers(1) as pool:
        pids = {result for _ in range(3) for _, result in pool.run([Job("pid", os.getpid, ())])}
    assert len(pids) == 1


def test_jobs_of_which_nobody_asks_any_more_leave_no_answers_behind() -> None:
    with Workers(2) as pool:
        first = pool.run([Job("now", abs, (-1,)), Job("later", time.sleep, (60,))])
        assert next(first)[1] == 1
        first.close()
        assert sorted(job.name for job, _ in pool.run(POWERS)) == [job.name for job in POWERS]


def test_whoever_stops_asking_ends_all_processes() -> None:
    results = run([Job("pid", os.getpid, ()), Job("long", time.sleep, (60,))], 2)
    pid = next(result for job, result in results if job.name == "pid")
    os.kill(pid, 0)
    results.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_parent_that_is_killed_leaves_no_worker_behind() -> None:
    code = (
        "import os, time\nfrom archgym.running.workers import Job, Workers\n"
        "if __name__ == '__main__':\n"
        "    jobs = [Job('pid', os.getpid, ()), Job('long', time.sleep, (600,))]\n"
        "    for job, result in Workers(1).run(jobs): print(result, flush=True)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail(f"worker {worker} outlived its parent")
