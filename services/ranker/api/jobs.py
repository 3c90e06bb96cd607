"""JobService: parse, one call, build the reply."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import grpc
from assay_rpc.ranker.v1 import verification_pb2, verification_pb2_grpc

from services.errors import InvalidArgument
from services.ranker.api import messages
from services.ranker.jobs import Job, Jobs, Order
from services.ranker.measuring.verify import Plan
from services.rpc.pagination import page

Context = grpc.aio.ServicerContext[Any, Any]

_MAX_REQUEST_ID = 100


class JobService(verification_pb2_grpc.VerificationServiceServicer):
    """Runs verifications as jobs."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def SubmitVerification(  # noqa: N802  # the contract's name
        self,
        request: verification_pb2.SubmitVerificationRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> verification_pb2.SubmitVerificationResponse:
        """See `jobs.proto`."""
        if len(request.request_id) > _MAX_REQUEST_ID:
            raise InvalidArgument("request_id", f"has more than {_MAX_REQUEST_ID} characters")
        order = Order(
            messages.required("artifact", request.artifact),
            tuple(request.claims),
            messages.parse_budget(request.budget),
        )
        if request.validate_only:
            return verification_pb2.SubmitVerificationResponse(
                job=_planned(order, self._jobs.plan(order))
            )
        return verification_pb2.SubmitVerificationResponse(
            job=_job(self._jobs.submit(order, request.request_id))
        )

    async def GetJob(  # noqa: N802  # the contract's name
        self,
        request: verification_pb2.GetJobRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> verification_pb2.GetJobResponse:
        """See `jobs.proto`."""
        return verification_pb2.GetJobResponse(job=_job(self._jobs.get(request.id)))

    async def ListJobs(  # noqa: N802  # the contract's name
        self,
        request: verification_pb2.ListJobsRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> verification_pb2.ListJobsResponse:
        """See `jobs.proto`."""
        # Keyed so that the newest come first, whatever is submitted between two pages.
        shown, token = page(
            self._jobs.newest_first,
            request.page_size,
            request.page_token,
            lambda job: (f"{1e12 - job.created.timestamp():020.6f}", job.id),
        )
        return verification_pb2.ListJobsResponse(
            jobs=[_job(one) for one in shown], next_page_token=token
        )

    async def WatchJob(  # type: ignore[override]  # noqa: N802
        self, request: verification_pb2.WatchJobRequest, context: Context
    ) -> None:
        """See `jobs.proto`."""
        updates = self._jobs.watch(request.id)
        async with aclosing(updates):
            async for update in updates:
                if isinstance(update, Job):
                    await context.write(verification_pb2.WatchJobResponse(job=_job(update)))
                else:
                    verdict = messages.claim_verdict(update)
                    await context.write(verification_pb2.WatchJobResponse(verdict=verdict))

    async def CancelJob(  # noqa: N802  # the contract's name
        self,
        request: verification_pb2.CancelJobRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> verification_pb2.CancelJobResponse:
        """See `jobs.proto`."""
        return verification_pb2.CancelJobResponse(job=_job(await self._jobs.cancel(request.id)))


def _planned(order: Order, plan: Plan) -> verification_pb2.Job:
    return verification_pb2.Job(
        artifact=order.subject, budget=messages.budget(order.budget), plan=messages.plan(plan)
    )


def _job(value: Job) -> verification_pb2.Job:
    message = _planned(value.order, value.plan)
    message.id = value.id
    message.state = verification_pb2.JobState.Value(f"JOB_STATE_{value.state.value}")
    message.done = len(value.verdicts)
    message.error = value.error
    message.create_time.CopyFrom(messages.timestamp(value.created))
    if value.progress is not None:
        message.progress.CopyFrom(messages.progress(value.progress))
    if value.started is not None:
        message.start_time.CopyFrom(messages.timestamp(value.started))
    if value.ended is not None:
        message.end_time.CopyFrom(messages.timestamp(value.ended))
    return message
