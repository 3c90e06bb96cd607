"""Builds on a Ray cluster: actors do the tasks of a stage, one stage after the other.

The sources and the output are at the same paths on every machine. A task counts as done when its
last file exists, so a task that a lost machine had begun is repeated.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
import structlog
from ray.exceptions import RayActorError, RayTaskError

from services.corpus.build.job import Job, is_done
from services.corpus.build.stages.sequence import Builder, Stage
from services.corpus.build.steps.plugins import look_beside
from services.errors import Unavailable

_log = structlog.get_logger(__name__)
_START_TIMEOUT_SECONDS = 600  # a cluster may have to start machines
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 5  # of idle workers with those that do not start
_MAX_LOSSES_A_WORKER = 3  # between two results


class _Worker:
    """An actor: what its steps need is made ready once."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._builder: Builder | None = None

    def run(self, stage: str, task: int) -> None:
        """Do a task. Its error would look like a lost machine if the constructor raised it."""
        if self._builder is None:
            look_beside(Path(self._job.folder))
            self._builder = Builder(self._job)
        self._builder.run(stage, task)


def build_on_ray(
    job: Job,
    *,
    address: str | None,
    workers: int,
    progress: Callable[[Stage, int], None] = lambda *_: None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Do what is left of a build on a cluster.

    `address` names a running cluster ("auto" finds this machine's); None starts one here. `workers`
    actors of one processor each are started; 0 means as many as the cluster has room for. Raises
    Unavailable when the cluster has no room, loses worker after worker, or `stopped` says so, and
    what tasks raise; finished tasks stay.
    """
    if is_done(job):
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR):
        free = ray.available_resources()  # type: ignore[no-untyped-call]
        pool = _Pool(job, workers or max(1, int(free.get("CPU", 1))), stopped)
        for stage in Builder(job).stages():
            progress(stage, stage.tasks - len(stage.left()))
            pool.run(stage, progress)


class _Pool:
    """Actors, started when there is something for them to do."""

    def __init__(self, job: Job, workers: int, stopped: Callable[[], bool]) -> None:
        options = {"num_cpus": 1, "scheduling_strategy": "SPREAD"}
        self._remote: Any = ray.remote(_Worker).options(**options)
        self._job, self._workers, self._stopped = job, workers, stopped
        self._idle: list[Any] = []
        self._lost = 0  # since the last result

    def run(self, stage: Stage, progress: Callable[[Stage, int], None]) -> None:
        """Do what is left of a stage."""
        left = deque(stage.left())
        running: dict[Any, tuple[Any, int, bool]] = {}  # the worker, its task, whether it is new
        waited = idle_for = 0.0
        while left or running:
            while left and len(running) < self._workers:
                new = not self._idle
                actor = self._remote.remote(self._job) if new else self._idle.pop()
                task = left.popleft()
                running[actor.run.remote(stage.name, task)] = actor, task, new
            finished, _ = ray.wait(list(running), num_returns=1, timeout=_POLL_SECONDS)
            if self._stopped():
                raise Unavailable("the build was stopped; the same command continues")
            waited = 0.0 if finished or self._idle else waited + _POLL_SECONDS
            if waited > _START_TIMEOUT_SECONDS and not self._room():
                raise Unavailable(
                    f"the cluster had no room for a worker in {_START_TIMEOUT_SECONDS} s"
                )
            idle_for = 0.0 if finished or not self._idle else idle_for + _POLL_SECONDS
            if idle_for > _PATIENCE_SECONDS:
                left.extend(self._not_begun(running))
            for result in finished:
                actor, task, _ = running.pop(result)
                if self._ended(result, stage, task):
                    self._idle.append(actor)
                    progress(stage, stage.tasks - len(stage.left()))
                else:
                    left.appendleft(task)

    def _not_begun(self, running: dict[Any, tuple[Any, int, bool]]) -> list[int]:
        """Take back the tasks of workers that may never start, since a lost machine had their room.

        A worker that is idle keeps its own room, so that it may be what they wait for.
        """
        waiting = [result for result, (_, _, new) in running.items() if new][: len(self._idle)]
        tasks = []
        for result in waiting:
            actor, task, _ = running.pop(result)
            ray.kill(actor)
            tasks.append(task)
        return tasks

    def _ended(self, result: Any, stage: Stage, task: int) -> bool:
        """Return whether a task is done; False where its machine was lost."""
        try:
            ray.get(result)
        except RayActorError as error:
            reason = str(error).splitlines()[0]
            _log.warning("worker lost", stage=stage.name, task=task, reason=reason)
            self._lost += 1
            if self._lost > _MAX_LOSSES_A_WORKER * self._workers:
                raise Unavailable(f"{self._lost} workers were lost one after the other") from error
            return False
        except RayTaskError as error:
            raise error.cause from None
        self._lost = 0
        return True

    def _room(self) -> bool:
        """Whether any actor runs: then a task is long, and no room is waited for."""
        free = ray.available_resources()  # type: ignore[no-untyped-call]
        total = ray.cluster_resources()  # type: ignore[no-untyped-call]
        return bool(free.get("CPU", 0) < total.get("CPU", 0))
