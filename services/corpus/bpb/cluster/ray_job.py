"""Scores the units of a job on a Ray cluster: actors hold the model, and units come to them.

The driver keeps the list of units that are left. When a machine is lost, the units of its actors go
back to the list and new actors start where there is room. A unit counts once: when its result is
written.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
import structlog
from ray.exceptions import RayActorError, RayTaskError

from services.corpus.bpb.cluster.unit_results import UnitResult, is_done, write_result
from services.corpus.bpb.cluster.unit_scoring import UnitJob, UnitScorer
from services.corpus.bpb.cluster.units import WorkUnit
from services.corpus.bpb.models.compute import CUDA
from services.errors import Unavailable

_log = structlog.get_logger(__name__)
_START_TIMEOUT_SECONDS = 600  # a cluster may have to start machines
_MAX_LOSSES_A_WORKER = 3  # between two results


class _Worker:
    """An actor: one model in memory."""

    def __init__(self, job: UnitJob) -> None:
        self._job = job
        self._scorer: UnitScorer | None = None

    def open(self) -> None:
        """Open the job. Not in the constructor, whose errors would look like a lost machine."""
        self._scorer = UnitScorer(self._job)

    def score(self, unit: WorkUnit) -> UnitResult:
        if self._scorer is None:
            raise RuntimeError("score before open")
        return self._scorer.score(unit)


def run_on_ray(
    job: UnitJob,
    out: Path,
    *,
    address: str | None,
    workers: int,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> None:
    """Score the units of a job whose results are not in `out` yet, and write them there.

    `address` names a running cluster ("auto" finds this machine's); None starts one here. `workers`
    actors are started; 0 means as many as the cluster has room for. `progress` is
    called with the units done and their total. Raises Unavailable if the cluster has no room or
    loses worker after worker, the error of a worker, and PreconditionFailed as `is_done` does;
    finished units stay.
    """
    scorer = UnitScorer(job)
    facts = scorer.facts()
    done = {unit for unit in scorer.units if is_done(out, unit, facts)}
    left = [unit for unit in scorer.units if unit not in done]
    progress(len(done), len(scorer.units))
    if not left:
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR):
        needs = _needs(job, scorer)
        remote = ray.remote(_Worker).options(**needs, scheduling_strategy="SPREAD")
        count = min(workers or _room(needs), len(left))
        for unit, result in _results(remote, job, left, count):
            write_result(out, result)
            done.add(unit)
            progress(len(done), len(scorer.units))


def _results(
    remote: Any, job: UnitJob, units: list[WorkUnit], workers: int
) -> Iterator[tuple[WorkUnit, UnitResult]]:
    """Score units on `workers` actors, and yield each unit when it is done."""
    left = deque(units)
    tasks: dict[Any, tuple[Any, WorkUnit | None]] = {}  # None: the actor opens the job

    def start() -> None:
        actor = remote.remote(job)
        tasks[actor.open.remote()] = actor, None

    for _ in range(workers):
        start()
    lost = 0  # since the last result
    while left or any(unit for _, unit in tasks.values()):
        finished, _ = ray.wait(list(tasks), num_returns=1, timeout=_START_TIMEOUT_SECONDS)
        if not finished and not any(unit for _, unit in tasks.values()):
            raise Unavailable(f"the cluster had no room for a worker in {_START_TIMEOUT_SECONDS} s")
        for task in finished:
            actor, unit = tasks.pop(task)
            try:
                result = ray.get(task)
            except RayActorError as error:
                _log.warning("worker lost", unit=str(unit), reason=str(error).splitlines()[0])
                lost += 1
                if lost > _MAX_LOSSES_A_WORKER * workers:
                    raise Unavailable(f"{lost} workers were lost one after the other") from error
                if unit is not None:
                    left.appendleft(unit)
                start()
                continue
            except RayTaskError as error:
                raise error.cause from None
            if left:
                following = left.popleft()
                tasks[actor.score.remote(following)] = actor, following
            if unit is not None:
                lost = 0
                yield unit, result


def _needs(job: UnitJob, scorer: UnitScorer) -> dict[str, float]:
    """Return the resources of one worker: a GPU, or a processor for each of the model's threads."""
    if job.compute.engine == CUDA:
        return {"num_cpus": 1, "num_gpus": 1}
    return {"num_cpus": scorer.threads}


def _room(needs: dict[str, float]) -> int:
    """Count the workers that the cluster has room for now, at least 1."""
    free = ray.available_resources()  # type: ignore[no-untyped-call]
    names = {"num_cpus": "CPU", "num_gpus": "GPU"}
    return max(1, min(int(free.get(names[name], 0) // need) for name, need in needs.items()))
