"""JobService: parse, one call, build the reply."""

from __future__ import annotations

from contextlib import aclosing
from datetime import datetime
from typing import Any

import grpc
from assay.ranker.v1 import jobs_pb2 as pb
from assay.ranker.v1 import jobs_pb2_grpc as pb_grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.errors import InvalidArgument, Unavailable
from services.ranker.api import replies, requests, verify_reply
from services.ranker.jobs import Job, Jobs, Order
from services.ranker.measuring.verify import Plan
from services.rpc.pagination import page

Context = grpc.aio.ServicerContext[Any, Any]

_MAX_REQUEST_ID = 100


class JobService(pb_grpc.JobServiceServicer):
    """Runs verifications as jobs. Give it its part with `attach` once it is open."""

    def __init__(self) -> None:
        self._jobs: Jobs | None = None

    def attach(self, jobs: Jobs) -> None:
        """Take the queue."""
        self._jobs = jobs

    async def SubmitVerification(  # noqa: N802  # the contract's name
        self,
        request: pb.SubmitVerificationRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.SubmitVerificationResponse:
        """See `jobs.proto`."""
        if len(request.request_id) > _MAX_REQUEST_ID:
            raise InvalidArgument("request_id", f"has more than {_MAX_REQUEST_ID} characters")
        order = Order(
            requests.required("artifact", request.artifact),
            tuple(request.claims),
            requests.parse_budget(request.budget),
        )
        if request.validate_only:
            return pb.SubmitVerificationResponse(job=_planned(order, self._opened().plan(order)))
        return pb.SubmitVerificationResponse(
            job=_job(self._opened().submit(order, request.request_id))
        )

    async def GetJob(  # noqa: N802  # the contract's name
        self,
        request: pb.GetJobRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.GetJobResponse:
        """See `jobs.proto`."""
        return pb.GetJobResponse(job=_job(self._opened().get(request.id)))

    async def ListJobs(  # noqa: N802  # the contract's name
        self,
        request: pb.ListJobsRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.ListJobsResponse:
        """See `jobs.proto`."""
        # Keyed so that the newest come first, whatever is submitted between two pages.
        shown, token = page(
            self._opened().newest_first,
            request.page_size,
            request.page_token,
            lambda job: (f"{1e12 - job.created.timestamp():020.6f}", job.id),
        )
        return pb.ListJobsResponse(jobs=[_job(one) for one in shown], next_page_token=token)

    async def WatchJob(  # type: ignore[override]  # noqa: N802
        self, request: pb.WatchJobRequest, context: Context
    ) -> None:
        """See `jobs.proto`."""
        updates = self._opened().watch(request.id)
        async with aclosing(updates):
            async for update in updates:
                if isinstance(update, Job):
                    await context.write(pb.WatchJobResponse(job=_job(update)))
                else:
                    verdict = replies.claim_verdict(update)
                    await context.write(pb.WatchJobResponse(verdict=verdict))

    async def CancelJob(  # noqa: N802  # the contract's name
        self,
        request: pb.CancelJobRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.CancelJobResponse:
        """See `jobs.proto`."""
        return pb.CancelJobResponse(job=_job(await self._opened().cancel(request.id)))

    def _opened(self) -> Jobs:
        if self._jobs is None:
            raise Unavailable("the ranker is still starting")
        return self._jobs


def _planned(order: Order, plan: Plan) -> pb.Job:
    return pb.Job(
        artifact=order.subject, budget=replies.budget(order.budget), plan=verify_reply.plan(plan)
    )


def _job(value: Job) -> pb.Job:
    message = _planned(value.order, value.plan)
    message.id = value.id
    message.state = pb.JobState.Value(f"JOB_STATE_{value.state.value}")
    message.done = len(value.verdicts)
    message.error = value.error
    message.create_time.CopyFrom(_stamp(value.created))
    if value.progress is not None:
        message.progress.CopyFrom(verify_reply.progress(value.progress))
    if value.started is not None:
        message.start_time.CopyFrom(_stamp(value.started))
    if value.ended is not None:
        message.end_time.CopyFrom(_stamp(value.ended))
    return message


def _stamp(time: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp
