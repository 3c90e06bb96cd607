"""VerificationService: parse, one call, build the reply."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import grpc
from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import evidence_pb2, verification_pb2, verification_pb2_grpc

from services.common import identity
from services.errors import InvalidArgument, NotFound
from services.ranker.api import evidence_messages, messages, requests
from services.ranker.jobs import Job, Jobs, VerificationRequest, Wording
from services.ranker.measuring.verify import VerificationPlan
from services.rpc.pagination import page
from services.rpc.status import item_error

Context = grpc.aio.ServicerContext[Any, Any]

_MAX_REQUEST_ID_CHARACTERS = 100
WORDING = Wording(
    verdict=lambda verdict: evidence_messages.claim_verdict(verdict).SerializeToString(),
    error=lambda error: item_error(error).SerializeToString(),
)
"""How jobs serialise what they store."""


class VerificationService(verification_pb2_grpc.VerificationServiceServicer):
    """Runs verifications as jobs."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def SubmitVerification(  # noqa: N802  # the contract's name
        self,
        request: verification_pb2.SubmitVerificationRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> verification_pb2.SubmitVerificationResponse:
        """See `verification.proto`."""
        if len(request.request_id) > _MAX_REQUEST_ID_CHARACTERS:
            raise InvalidArgument(
                "request_id", f"has more than {_MAX_REQUEST_ID_CHARACTERS} characters"
            )
        if not request.request_id and not request.validate_only:
            raise InvalidArgument("request_id", "is empty; make one up, such as a UUID")
        subject = requests.required("artifact", request.artifact)
        order = VerificationRequest(
            subject, _claims(subject, request.claims), requests.parse_effort(request.effort)
        )
        if request.validate_only:
            return verification_pb2.SubmitVerificationResponse(
                job=_planned(order, self._jobs.plan(order))
            )
        return verification_pb2.SubmitVerificationResponse(
            job=_job(await self._jobs.submit(order, request.request_id, identity.current()))
        )

    async def GetJob(  # noqa: N802  # the contract's name
        self,
        request: verification_pb2.GetJobRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> verification_pb2.GetJobResponse:
        """See `verification.proto`."""
        return verification_pb2.GetJobResponse(job=_job(self._jobs.get(request.job)))

    async def ListJobs(  # noqa: N802  # the contract's name
        self,
        request: verification_pb2.ListJobsRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> verification_pb2.ListJobsResponse:
        """See `verification.proto`."""
        # The key puts the newest first, even if jobs are submitted between two pages.
        shown, token = page(
            self._jobs.newest_first,
            request.page_size,
            request.page_token,
            lambda job: (f"{1e12 - job.created.timestamp():020.6f}", job.id),
        )
        return verification_pb2.ListJobsResponse(
            jobs=[_job(one) for one in shown], next_page_token=token
        )

    async def WatchJob(  # noqa: N802  # the contract's name
        self,
        request: verification_pb2.WatchJobRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> AsyncIterator[verification_pb2.WatchJobResponse]:
        """See `verification.proto`."""
        updates = self._jobs.watch(request.job, request.after)
        async with aclosing(updates):
            async for update in updates:
                if isinstance(update, Job):
                    yield verification_pb2.WatchJobResponse(progress=_job(update))
                else:
                    yield verification_pb2.WatchJobResponse(
                        result=evidence_pb2.ClaimVerdict.FromString(update.message)
                    )

    async def CancelJob(  # noqa: N802  # the contract's name
        self,
        request: verification_pb2.CancelJobRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> verification_pb2.CancelJobResponse:
        """See `verification.proto`."""
        job = self._jobs.get(request.job)
        identity.require_owner(job.owner, f"job {job.id}")
        return verification_pb2.CancelJobResponse(job=_job(await self._jobs.cancel(request.job)))


def _claims(subject: str, references: Sequence[str]) -> tuple[str, ...]:
    """Ids of the claims of `subject` that a request names."""
    found = []
    for index, one in enumerate(requests.limited("claims", references)):
        owner, claim = requests.parse_claim(f"claims[{index}]", one)
        if owner != subject:
            raise NotFound(f"claim of {subject}", one, None, hint=f"it is a claim of {owner}")
        found.append(claim)
    return tuple(found)


def _planned(order: VerificationRequest, plan: VerificationPlan) -> verification_pb2.Job:
    return verification_pb2.Job(
        artifact=order.subject,
        effort=messages.effort(order.budget),
        plan=messages.plan(plan, order.subject),
    )


def _job(value: Job) -> verification_pb2.Job:
    message = _planned(value.order, value.plan)
    message.id = value.id
    message.state = verification_pb2.JobState.Value(f"JOB_STATE_{value.state.value}")
    message.done = len(value.verdicts)
    message.request_id = value.request_id
    if value.owner.verified:
        message.submitter = value.owner.name
    if value.error:
        message.error.CopyFrom(common_pb2.ItemError.FromString(value.error))
    message.create_time.CopyFrom(messages.timestamp(value.created))
    if value.progress is not None:
        message.progress.CopyFrom(messages.progress(value.progress, value.order.subject))
    if value.started is not None:
        message.start_time.CopyFrom(messages.timestamp(value.started))
    if value.ended is not None:
        message.end_time.CopyFrom(messages.timestamp(value.ended))
    return message
