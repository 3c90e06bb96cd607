"""Verifications as jobs over real sockets: submitted, followed, cancelled."""

from __future__ import annotations

import grpc
import pytest
from assay_rpc.ranker.v1 import (
    compare_pb2,
    ranker_pb2_grpc,
    verification_pb2,
    verification_pb2_grpc,
)
from google.protobuf.message import Message

from tests.ranker.conftest import Ranker

PILE = "the-pile"
B4 = "segformer-b4-finetuned-ade-512-512"


def order(
    *claims: str, artifact: str = PILE, **more: object
) -> verification_pb2.SubmitVerificationRequest:
    return verification_pb2.SubmitVerificationRequest(artifact=artifact, claims=claims, **more)  # type: ignore[arg-type]


async def ended(
    stub: verification_pb2_grpc.VerificationServiceAsyncStub, name: str
) -> list[Message]:
    return [
        update
        async for update in stub.WatchJob(verification_pb2.WatchJobRequest(id=name), timeout=60)
    ]


async def test_the_cost_is_told_before_anything_is_done(ranker: Ranker) -> None:
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect())
    planned = (await stub.SubmitVerification(order("P4.1", "P1.2", validate_only=True))).job
    assert planned.id == ""
    assert planned.state == verification_pb2.JOB_STATE_UNSPECIFIED
    assert list(planned.plan.claims) == ["P1.2", "P4.1"]
    assert planned.plan.estimated_time.ToTimedelta().total_seconds() > 0
    full = order("P4.1", validate_only=True, budget=verification_pb2.EFFORT_FULL)
    dearer = (await stub.SubmitVerification(full)).job.plan.estimated_time
    assert dearer.ToTimedelta() > planned.plan.estimated_time.ToTimedelta()
    assert (await stub.ListJobs(verification_pb2.ListJobsRequest())).jobs == []


async def test_a_job_is_followed_to_its_end_and_its_evidence_kept(ranker: Ranker) -> None:
    channel = await ranker.connect()
    stub = verification_pb2_grpc.VerificationServiceStub(channel)
    job = (await stub.SubmitVerification(order("P1.2", "P2.2", "P3.1"))).job
    updates = await ended(stub, job.id)
    verdicts = [one.verdict for one in updates if one.HasField("verdict")]  # type: ignore[attr-defined]
    assert [one.claim.id for one in verdicts] == list(job.plan.claims)
    last = updates[-1].job  # type: ignore[attr-defined]
    assert (last.state, last.done, last.error) == (verification_pb2.JOB_STATE_SUCCEEDED, 3, "")
    assert last.create_time.ToDatetime() <= last.start_time.ToDatetime()
    assert last.start_time.ToDatetime() <= last.end_time.ToDatetime()
    assert (await stub.GetJob(verification_pb2.GetJobRequest(id=job.id))).job == last
    again = [one.verdict for one in await ended(stub, job.id) if one.HasField("verdict")]  # type: ignore[attr-defined]
    assert again == verdicts
    compared = await ranker_pb2_grpc.RankerServiceStub(channel).Compare(
        compare_pb2.CompareRequest(left=PILE, right=B4)
    )
    kept = {one.claim.id: one.evidence.digest for one in compared.left.claims}
    assert {one.claim.id: one.evidence.digest for one in verdicts}.items() <= kept.items()


async def test_a_retry_gives_the_same_job(ranker: Ranker) -> None:
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect())
    first = (await stub.SubmitVerification(order("P1.2", request_id="r"))).job
    second = (await stub.SubmitVerification(order("P1.2", request_id="r"))).job
    assert first.id == second.id
    with pytest.raises(grpc.aio.AioRpcError, match="used for another request") as error:
        await stub.SubmitVerification(order("P2.2", request_id="r"))
    assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_jobs_wait_for_each_other_and_can_be_cancelled(ranker: Ranker) -> None:
    ranker.segment.hangs = True
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect())
    running = (await stub.SubmitVerification(order("B4.5", artifact=B4))).job
    waiting = (await stub.SubmitVerification(order("P1.2"))).job
    watching = stub.WatchJob(verification_pb2.WatchJobRequest(id=running.id))
    async for update in watching:
        if update.job.state == verification_pb2.JOB_STATE_RUNNING and update.job.HasField(
            "progress"
        ):
            break
    watching.cancel()  # leaves the job alone
    listed = (await stub.ListJobs(verification_pb2.ListJobsRequest(page_size=1))).jobs
    assert [one.id for one in listed] == [waiting.id]
    assert listed[0].state == verification_pb2.JOB_STATE_QUEUED
    for name in (waiting.id, running.id, running.id):
        gone = (await stub.CancelJob(verification_pb2.CancelJobRequest(id=name))).job
        assert gone.state == verification_pb2.JOB_STATE_CANCELLED
        assert gone.HasField("end_time")
    ranker.segment.hangs = False
    later = (await stub.SubmitVerification(order("P1.2"))).job
    assert (await ended(stub, later.id))[-1].job.state == verification_pb2.JOB_STATE_SUCCEEDED  # type: ignore[attr-defined]


async def test_a_full_queue_says_when_to_try_again(ranker: Ranker) -> None:
    ranker.segment.hangs = True
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect())
    for _ in range(16):
        await stub.SubmitVerification(order("B4.5", artifact=B4))
    with pytest.raises(grpc.aio.AioRpcError, match="16 verifications are waiting") as error:
        await stub.SubmitVerification(order("B4.5", artifact=B4))
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("call", "request_", "message"),
    [
        ("SubmitVerification", order(artifact=""), "artifact: is empty"),
        ("SubmitVerification", order(artifact="heap"), "no artifact named 'heap'"),
        ("SubmitVerification", order("B4.1"), "known: P0"),
        ("SubmitVerification", order(budget=9), "budget"),
        ("SubmitVerification", order(request_id="x" * 101), "request_id"),
        ("GetJob", verification_pb2.GetJobRequest(id="never"), "no job named 'never'"),
        ("CancelJob", verification_pb2.CancelJobRequest(id="never"), "no job named 'never'"),
        ("ListJobs", verification_pb2.ListJobsRequest(page_token="!"), "page_token"),  # noqa: S106
    ],
)
async def test_bad_requests_are_told_what_is_wrong(
    ranker: Ranker, call: str, request_: object, message: str
) -> None:
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect())
    with pytest.raises(grpc.aio.AioRpcError, match=message):
        await getattr(stub, call)(request_)


async def test_watching_a_job_that_is_not_there(ranker: Ranker) -> None:
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect())
    with pytest.raises(grpc.aio.AioRpcError, match="no job named 'never'"):
        await ended(stub, "never")
