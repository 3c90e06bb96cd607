"""Verifications as jobs: one after the other, followed and cancelled by whoever knows the id.

Jobs live in this process and end with it; the evidence that they made stays. A job that nobody asks
about any more is forgotten after `_MAX_ENDED_JOBS` others have ended.
"""

from __future__ import annotations

import asyncio
import contextvars
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import structlog

from services.common.identity import ANONYMOUS, Identity
from services.errors import AssayError, InternalError, NotFound, Overloaded, RequestIdReused
from services.ranker.claims.findings import ClaimVerdict
from services.ranker.measuring.measurements import Budget
from services.ranker.measuring.verify import VerificationPlan, VerificationProgress, Verifier

_MAX_ENDED_JOBS = 200
_MAX_WAITING_JOBS = 16
_log = structlog.get_logger(__name__)


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


_ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class VerificationRequest:
    """What a job is to verify; empty claims mean all of the subject's."""

    subject: str
    claims: tuple[str, ...]
    budget: Budget


@dataclass
class Job:
    """A verification as it stands. `verdicts` grows; the times are aware, None before they came."""

    id: str
    order: VerificationRequest
    plan: VerificationPlan
    created: datetime
    owner: Identity = ANONYMOUS
    state: JobState = JobState.QUEUED
    progress: VerificationProgress | None = None
    verdicts: list[ClaimVerdict] = field(default_factory=list)
    error: AssayError | None = None
    request_id: str = ""
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in _ENDED


class Jobs:
    """The queue of verifications of one verifier, and what became of them."""

    def __init__(self, verifier: Verifier, now: Callable[[], datetime]) -> None:
        self._verifier = verifier
        self._now = now
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._by_request: dict[str, str] = {}
        self._changed = asyncio.Condition()

    def plan(self, order: VerificationRequest) -> VerificationPlan:
        """What an order would do and cost. Raises `NotFound` and `InvalidArgument`."""
        return self._verifier.plan(order.subject, order.claims, order.budget)

    def submit(
        self, order: VerificationRequest, request_id: str = "", owner: Identity = ANONYMOUS
    ) -> Job:
        """Put an order of `owner` into the queue; a request id that was used gives its job.

        Raises as `plan`, `RequestIdReused` when the id was used for another order, and
        `Overloaded` when the queue is full.
        """
        if request_id in self._by_request:
            job = self._jobs[self._by_request[request_id]]
            if job.order != order:
                raise RequestIdReused(
                    f"request_id {request_id!r} was used for another request; make up a new one"
                )
            return job
        plan = self.plan(order)
        waiting = [job for job in self._jobs.values() if not job.over]
        if len(waiting) >= _MAX_WAITING_JOBS:
            raise Overloaded(
                f"{len(waiting)} verifications are waiting", max(1.0, waiting[0].plan.seconds)
            )
        job = Job(uuid.uuid4().hex, order, plan, self._now(), owner, request_id=request_id)
        self._jobs[job.id] = job
        if request_id:
            self._by_request[request_id] = job.id
        self._tasks[job.id] = asyncio.create_task(
            self._run(job),
            name=f"job {job.id}",
            context=contextvars.Context(),  # so that it has not the deadline of this call
        )
        self._forget()
        return job

    def get(self, name: str) -> Job:
        """The job, or `NotFound`."""
        if name not in self._jobs:
            raise NotFound(
                "job", name, None, hint="it was never submitted here, or was forgotten or lost"
            )
        return self._jobs[name]

    def count(self, state: str) -> int:
        """How many jobs are in a state."""
        return sum(job.state == state for job in self._jobs.values())

    @property
    def newest_first(self) -> list[Job]:
        """Every job that is known."""
        return list(reversed(self._jobs.values()))

    async def watch(self, name: str, after: int = 0) -> AsyncGenerator[Job | ClaimVerdict, None]:
        """Yield the job, then its verdicts and changes in order; the last is the job, ended.

        The first `after` verdicts are left out. Raises `NotFound`.
        """
        job = self.get(name)
        yield job
        told = after
        state: tuple[JobState, VerificationProgress | None] = job.state, job.progress
        while True:
            while told < len(job.verdicts):
                yield job.verdicts[told]
                told += 1
            if job.over:
                yield job
                return
            if (job.state, job.progress) != state:
                state = job.state, job.progress
                yield job
                continue
            async with self._changed:
                while len(job.verdicts) <= told and (job.state, job.progress) == state:
                    await self._changed.wait()

    async def cancel(self, name: str) -> Job:
        """End a job that waits or runs, and return it once it has ended. Raises `NotFound`."""
        job = self.get(name)
        task = self._tasks.get(name)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            if not job.over:  # it was cancelled before its first step
                await self._end(job, JobState.CANCELLED)
        return job

    async def close(self) -> None:
        """Cancel every job that has not ended."""
        for task in (tasks := list(self._tasks.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, job: Job) -> None:
        state = JobState.CANCELLED
        error: AssayError | None = None
        try:
            order = job.order
            updates = self._verifier.verify(order.subject, order.claims, order.budget)
            async with aclosing(updates):
                async for update in updates:
                    if isinstance(update, VerificationPlan):
                        job.state, job.started = JobState.RUNNING, self._now()
                    elif isinstance(update, VerificationProgress):
                        job.progress = update
                    else:
                        job.verdicts.append(update)
                    await self._tell()
            state = JobState.SUCCEEDED
        except AssayError as problem:
            state, error = JobState.FAILED, problem
        except Exception:  # noqa: BLE001  (a job that fails must say so, whatever it was)
            # What it was is the operator's to know.
            _log.exception("job failed", job=job.id)
            state = JobState.FAILED
            error = InternalError("a fault of the server; its log says more")
        finally:
            await self._end(job, state, error)

    async def _end(self, job: Job, state: JobState, error: AssayError | None = None) -> None:
        job.state, job.error, job.progress, job.ended = state, error, None, self._now()
        self._tasks.pop(job.id, None)
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _forget(self) -> None:
        over = [name for name, job in self._jobs.items() if job.over]
        gone = set(over[: max(0, len(over) - _MAX_ENDED_JOBS)])
        for name in gone:
            del self._jobs[name]
        self._by_request = {
            request: name for request, name in self._by_request.items() if name not in gone
        }
