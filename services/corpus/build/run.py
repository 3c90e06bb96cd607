"""Runs a build on this machine: all of it with some processes, or one share of its tasks.

A share does every N-th task of each stage from the I-th on, then waits until the others have done
theirs. Processes that have a share each need the output at the same path, and nothing else of each
other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from services.common.shares import Share
from services.corpus.build.job import Job, is_done
from services.corpus.build.stages.sequence import Builder, Stage
from services.corpus.build.steps.plugins import look_beside
from services.corpus.worker_processes import without_interrupts, worker_processes
from services.errors import Unavailable

_POLL_SECONDS = 0.1
_WAIT_SECONDS = 1.0
_AHEAD = 4  # tasks that wait in each process's line

_ALL = Share()

Progress = Callable[[Stage, int], None]
"""Called with a stage and how many of its tasks are done."""
Stopped = Callable[[], bool]


def build(
    job: Job,
    *,
    jobs: int,
    share: Share = _ALL,
    progress: Progress = lambda *_: None,
    stopped: Stopped = lambda: False,
) -> None:
    """Do what is left of a build, with `jobs` processes. Call it with the folder locked.

    `progress` is called when a task is done, and `stopped` ten times a second. Raises Unavailable
    once `stopped` returns true or if a process was killed, and the errors of tasks; finished tasks
    stay, and another call continues after them.
    """
    if is_done(job):
        return
    builder = Builder(job)
    with _processes(job, jobs) as run:
        for stage in builder.stages():
            mine = share.of_tasks(stage.left())
            progress(stage, stage.tasks - len(stage.left()))
            for _ in run(stage, mine, stopped):
                progress(stage, stage.tasks - len(stage.left()))
            _wait_for_others(stage, progress, stopped)


Run = Callable[[Stage, Sequence[int], Stopped], Iterator[None]]


@contextmanager
def _processes(job: Job, jobs: int) -> Iterator[Run]:
    try:
        with worker_processes(jobs, _begin, (job,)) as pool:

            def run(stage: Stage, tasks: Sequence[int], stopped: Stopped) -> Iterator[None]:
                left = list(reversed(tasks))
                running: set[Future[None]] = set()
                while left or running:
                    with without_interrupts():
                        while left and len(running) < _AHEAD * jobs:
                            running.add(pool.submit(_run, stage.name, left.pop()))
                    done, running = wait(
                        running, timeout=_POLL_SECONDS, return_when="FIRST_COMPLETED"
                    )
                    for future in done:
                        future.result()
                        yield
                    _raise_if(stopped)

            yield run
    except BrokenProcessPool:
        raise Unavailable(
            "a process of the build was killed, as a machine short of memory does; the same "
            "command continues"
        ) from None


def _wait_for_others(stage: Stage, progress: Progress, stopped: Stopped) -> None:
    """Wait until the tasks of other shares are done."""
    left = len(stage.left())
    while left:
        _raise_if(stopped)
        time.sleep(_WAIT_SECONDS)
        now = len(stage.left())
        if now != left:
            progress(stage, stage.tasks - now)
        left = now


def _raise_if(stopped: Stopped) -> None:
    if stopped():
        raise Unavailable("the build was stopped; the same command continues")


_builder: Builder | None = None


def _begin(job: Job) -> None:
    global _builder  # noqa: PLW0603  a pool has no other way to hand something to its workers
    # A process is one of `jobs` processors, and rensa would take all of them.
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    look_beside(Path(job.folder))
    _builder = Builder(job)


def _run(stage: str, task: int) -> None:
    if _builder is None:
        raise RuntimeError("_begin comes first")
    _builder.run(stage, task)
