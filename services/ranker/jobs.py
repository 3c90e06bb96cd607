"""Verifications as jobs, one after the other; anyone who knows a job's id can follow or cancel it.

A job is stored with its verdicts. A ranker that starts again reports the jobs that have ended, and
continues the others after the claims that they have decided. A job during which two processes ended
is not started a third time. Ended jobs are forgotten after `_MAX_ENDED_JOBS` later ones have ended.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

import structlog

from services.common.identity import ANONYMOUS, Identity
from services.errors import (
    AssayError,
    InternalError,
    NotFound,
    Overloaded,
    RequestIdReused,
    Unavailable,
)
from services.ranker.claims.findings import ClaimVerdict
from services.ranker.database.job_store import JobStore, KeptJob, KeptVerdict
from services.ranker.measuring.measurements import Budget
from services.ranker.measuring.verify import VerificationPlan, VerificationProgress, Verifier
from services.rpc.tracing.tracing import Tracing

_MAX_ENDED_JOBS = 200
_MAX_WAITING_JOBS = 16
_MOST_BEGUN = 2
_log = structlog.get_logger(__name__)


class JobState(StrEnum):
    """The state of a job."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


_ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class VerificationRequest:
    """What a job should verify; empty claims mean all of the subject's."""

    subject: str
    claims: tuple[str, ...]
    budget: Budget


@dataclass(frozen=True)
class Wording:
    """Turns verdicts and errors into the messages that are sent and stored."""

    verdict: Callable[[ClaimVerdict], bytes]
    error: Callable[[AssayError], bytes]


@dataclass
class Job:
    """State of a verification. `verdicts` grows; the times are aware, None until they come."""

    id: str
    order: VerificationRequest
    plan: VerificationPlan
    created: datetime
    owner: Identity = ANONYMOUS
    state: JobState = JobState.QUEUED
    progress: VerificationProgress | None = None
    verdicts: list[KeptVerdict] = field(default_factory=list)
    error: bytes = b""
    """The message that says why it failed."""
    request_id: str = ""
    begun: int = 0
    """Processes that have begun to run it."""
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self.state in _ENDED

    @property
    def left(self) -> tuple[str, ...]:
        """Claims of the plan that are not decided yet."""
        decided = {one.claim for one in self.verdicts}
        return tuple(one for one in self.plan.claims if one not in decided)


class Jobs:
    """The queue of one verifier's verifications, and their results."""

    def __init__(
        self,
        verifier: Verifier,
        store: JobStore,
        wording: Wording,
        now: Callable[[], datetime],
        tracing: Tracing | None = None,
    ) -> None:
        self._verifier = verifier
        self._store = store
        self._wording = wording
        self._now = now
        self._tracing = tracing or Tracing()
        self._closing = False
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        # The key includes the owner: another caller's id, which lists show, neither gets nor blocks
        # a job.
        self._by_request: dict[tuple[Identity, str], str] = {}
        self._changed = asyncio.Condition()

    async def restore(self) -> None:
        """Load stored jobs, and queue again those that have not ended. Raises `Unavailable`."""
        for kept in await self._store.every():
            job = _restored(kept)
            self._jobs[job.id] = job
            if job.request_id:
                self._by_request[job.owner, job.request_id] = job.id
            if not job.over:
                job.state = JobState.QUEUED
                self._start(job)

    def plan(self, order: VerificationRequest) -> VerificationPlan:
        """What an order would do and cost. Raises `NotFound` and `InvalidArgument`."""
        return self._verifier.plan(order.subject, order.claims, order.budget)

    async def submit(
        self, order: VerificationRequest, request_id: str = "", owner: Identity = ANONYMOUS
    ) -> Job:
        """Queue an order of `owner`; a request id that the owner has used returns its job.

        The job is stored when this returns. Raises as `plan`, `RequestIdReused` if the owner has
        used the id for another order, `Overloaded` if the queue is full, `Unavailable` if the job
        cannot be stored.
        """
        if (owner, request_id) in self._by_request:
            job = self._jobs[self._by_request[owner, request_id]]
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
            self._by_request[owner, request_id] = job.id
        try:
            await self._store.keep(_kept(job))
        except BaseException:
            self._remove({job.id})
            raise
        self._start(job)
        await self._forget()
        return job

    def get(self, name: str) -> Job:
        """The job, or `NotFound`."""
        if name not in self._jobs:
            raise NotFound("job", name, None, hint="it was never submitted here, or was forgotten")
        return self._jobs[name]

    def count(self, state: str) -> int:
        """How many jobs are in a state."""
        return sum(job.state == state for job in self._jobs.values())

    @property
    def newest_first(self) -> list[Job]:
        """All known jobs, the newest first."""
        return list(reversed(self._jobs.values()))

    async def watch(self, name: str, after: int = 0) -> AsyncGenerator[Job | KeptVerdict, None]:
        """Yield the job, then its verdicts and changes in order; the last item is the ended job.

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
            if not job.over:  # the job was cancelled before its first step
                await self._end(job, JobState.CANCELLED)
        return job

    async def close(self) -> None:
        """Stop the jobs that have not ended; a ranker that restores them continues them."""
        self._closing = True
        for task in (tasks := list(self._tasks.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for job in self._jobs.values():
            if job.state is JobState.RUNNING:
                job.begun -= 1  # the job did not end this process
                await self._keep(job)

    def _start(self, job: Job) -> None:
        self._tasks[job.id] = asyncio.create_task(
            self._run(job),
            name=f"job {job.id}",
            context=self._tracing.detached(),  # so that it does not inherit this call's deadline
        )

    async def _run(self, job: Job) -> None:
        state = JobState.CANCELLED
        error: AssayError | None = None
        try:
            if left := job.left:
                seen = {"assay.job": job.id, "assay.artifact": job.order.subject}
                with self._tracing.span("verification", seen):
                    await self._verify(job, left)
            state = JobState.SUCCEEDED
        except AssayError as problem:
            state, error = JobState.FAILED, problem
        except Exception:  # noqa: BLE001  (a job that fails must say so, whatever it was)
            # Only the operator should know what it was.
            _log.exception("job failed", job=job.id)
            state = JobState.FAILED
            error = InternalError("a fault of the server; its log says more")
        finally:
            if not self._closing:
                await self._end(job, state, error)

    async def _verify(self, job: Job, left: tuple[str, ...]) -> None:
        """Decide the remaining claims of a job."""
        if job.begun >= _MOST_BEGUN:
            raise Unavailable(
                f"the ranker has ended {job.begun} times while this job ran, and does not begin it "
                "again; verify fewer claims at a time, or look into its log for why it ended"
            )
        before = len(job.verdicts)
        updates = self._verifier.verify(job.order.subject, left, job.order.budget)
        async with aclosing(updates):
            async for update in updates:
                if isinstance(update, VerificationPlan):
                    job.state, job.begun = JobState.RUNNING, job.begun + 1
                    job.started = job.started or self._now()
                    # Not begun if its state cannot be stored: a crash would then repeat it
                    # endlessly.
                    await self._store.keep(_kept(job))
                elif isinstance(update, VerificationProgress):
                    total = before + update.total
                    job.progress = replace(update, done=before + update.done, total=total)
                else:
                    await self._decided(job, update)
                await self._tell()

    async def _decided(self, job: Job, verdict: ClaimVerdict) -> None:
        kept = KeptVerdict(verdict.claim.id, self._wording.verdict(verdict))
        try:
            await self._store.decide(job.id, len(job.verdicts), kept)
        except Unavailable as error:  # the caller gets the verdict anyway
            _log.warning("verdict of a job not kept", job=job.id, problem=str(error))
        job.verdicts.append(kept)

    async def _end(self, job: Job, state: JobState, error: AssayError | None = None) -> None:
        job.state, job.progress, job.ended = state, None, self._now()
        job.error = b"" if error is None else self._wording.error(error)
        self._tasks.pop(job.id, None)
        await self._keep(job)
        await self._tell()

    async def _keep(self, job: Job) -> None:
        try:
            await self._store.keep(_kept(job))
        except Unavailable as error:
            _log.warning("job not kept", job=job.id, problem=str(error))

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _forget(self) -> None:
        over = [name for name, job in self._jobs.items() if job.over]
        gone = set(over[: max(0, len(over) - _MAX_ENDED_JOBS)])
        self._remove(gone)
        try:
            if gone:
                await self._store.forget(gone)
        except Unavailable as error:  # they are forgotten again after the next start
            _log.warning("old jobs not removed", problem=str(error))

    def _remove(self, gone: set[str]) -> None:
        for name in gone:
            del self._jobs[name]
        self._by_request = {by: name for by, name in self._by_request.items() if name not in gone}


def _kept(job: Job) -> KeptJob:
    return KeptJob(
        id=job.id,
        request_id=job.request_id,
        owner=(job.owner.name, job.owner.verified),
        subject=job.order.subject,
        asked=job.order.claims,
        budget=job.order.budget.value,
        claims=job.plan.claims,
        seconds=job.plan.seconds,
        created=job.created,
        state=job.state.value,
        begun=job.begun,
        started=job.started,
        ended=job.ended,
        error=job.error,
    )


def _restored(kept: KeptJob) -> Job:
    return Job(
        id=kept.id,
        order=VerificationRequest(kept.subject, kept.asked, Budget(kept.budget)),
        plan=VerificationPlan(kept.claims, kept.seconds),
        created=kept.created,
        owner=Identity(*kept.owner),
        state=JobState(kept.state),
        verdicts=list(kept.verdicts),
        error=kept.error,
        request_id=kept.request_id,
        begun=kept.begun,
        started=kept.started,
        ended=kept.ended,
    )
