"""Verifications as jobs over real sockets: submitted, followed, cancelled."""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.errors import AssayError
from assay_rpc.ranker.v1 import (
    compare_pb2,
    ranker_pb2_grpc,
    verification_pb2,
    verification_pb2_grpc,
)

from services.errors import Unavailable
from services.ranker.database.job_store import JobStore
from services.rpc.access.tokens import line_of, new_token
from tests.ranker.conftest import Ranker

PILE = "the-pile"
B4 = "segformer-b4-finetuned-ade-512-512"


def order(
    *claims: str, artifact: str = PILE, **more: object
) -> verification_pb2.SubmitVerificationRequest:
    """A request for claims of the artifact, with an id of its own unless one is given."""
    return verification_pb2.SubmitVerificationRequest(
        artifact=artifact,
        claims=[f"{artifact}/{claim}" for claim in claims],
        **{"request_id": uuid.uuid4().hex, **more},  # type: ignore[arg-type]
    )


async def ended(
    stub: verification_pb2_grpc.VerificationServiceAsyncStub, name: str, after: int = 0
) -> list[verification_pb2.WatchJobResponse]:
    return [
        update
        async for update in stub.WatchJob(
            verification_pb2.WatchJobRequest(job=name, after=after), timeout=60
        )
    ]


async def test_the_cost_is_told_before_anything_is_done(ranker: Ranker) -> None:
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect())
    planned = (
        await stub.SubmitVerification(order("P4.1", "P1.2", validate_only=True, request_id=""))
    ).job
    assert planned.id == ""
    assert planned.state == verification_pb2.JOB_STATE_UNSPECIFIED
    assert list(planned.plan.claims) == [f"{PILE}/P1.2", f"{PILE}/P4.1"]
    assert planned.plan.estimated_duration.ToTimedelta().total_seconds() > 0
    full = order("P4.1", validate_only=True, effort=verification_pb2.EFFORT_FULL)
    dearer = (await stub.SubmitVerification(full)).job.plan.estimated_duration
    assert dearer.ToTimedelta() > planned.plan.estimated_duration.ToTimedelta()
    assert (await stub.ListJobs(verification_pb2.ListJobsRequest())).jobs == []


async def test_a_job_is_followed_to_its_end_and_its_evidence_kept(ranker: Ranker) -> None:
    channel = await ranker.connect()
    stub = verification_pb2_grpc.VerificationServiceStub(channel)
    job = (await stub.SubmitVerification(order("P1.2", "P2.2", "P3.1"))).job
    updates = await ended(stub, job.id)
    verdicts = [one.result for one in updates if one.HasField("result")]
    assert [f"{PILE}/{one.claim.id}" for one in verdicts] == list(job.plan.claims)
    assert updates[0].HasField("progress")
    last = updates[-1].progress
    assert (last.state, last.done) == (verification_pb2.JOB_STATE_SUCCEEDED, 3)
    assert not last.HasField("error")
    assert last.request_id
    assert last.create_time.ToDatetime() <= last.start_time.ToDatetime()
    assert last.start_time.ToDatetime() <= last.end_time.ToDatetime()
    assert (await stub.GetJob(verification_pb2.GetJobRequest(job=job.id))).job == last
    for after in range(5):  # of verdicts that were had already nothing is told again
        watched = await ended(stub, job.id, after)
        assert [one.result for one in watched if one.HasField("result")] == verdicts[after:]
        assert watched[0].progress.state == watched[-1].progress.state == last.state
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
    assert first.submitter == ""  # nobody authenticated
    with pytest.raises(grpc.aio.AioRpcError, match="used for another request") as error:
        await stub.SubmitVerification(order("P2.2", request_id="r"))
    assert AssayError.of(error.value).reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_request_id_is_its_callers_own(ranker: Ranker, restarted: bool) -> None:
    tokens = {name: new_token() for name in ("alice", "bob")}
    file = ranker.folder / "tokens"
    file.write_text("\n".join(line_of(name, token) for name, token in tokens.items()))
    callers = {name: (("authorization", f"Bearer {token}"),) for name, token in tokens.items()}
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect(token_file=file))
    asked, other = order("P1.2", request_id="r"), order("P2.2", request_id="r")
    job = (await stub.SubmitVerification(asked, metadata=callers["alice"])).job
    nobodys = (await stub.SubmitVerification(asked)).job
    await ended(stub, nobodys.id)
    if restarted:
        stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect(token_file=file))
    bobs = (await stub.SubmitVerification(other, metadata=callers["bob"])).job
    assert len({job.id, nobodys.id, bobs.id}) == 3
    assert bobs.submitter == "token:bob"
    assert (await stub.SubmitVerification(asked, metadata=callers["alice"])).job.id == job.id
    assert (await stub.SubmitVerification(asked)).job.id == nobodys.id
    with pytest.raises(grpc.aio.AioRpcError, match="used for another request"):
        await stub.SubmitVerification(other, metadata=callers["alice"])


async def test_jobs_wait_for_each_other_and_can_be_cancelled(ranker: Ranker) -> None:
    ranker.segment.hangs = True
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect())
    running = (await stub.SubmitVerification(order("B4.5", artifact=B4))).job
    waiting = (await stub.SubmitVerification(order("P1.2"))).job
    watching = stub.WatchJob(verification_pb2.WatchJobRequest(job=running.id))
    async for update in watching:
        job = update.progress
        if job.state == verification_pb2.JOB_STATE_RUNNING and job.HasField("progress"):
            assert job.progress.claim == f"{B4}/B4.5"
            break
    watching.cancel()  # leaves the job alone
    listed = (await stub.ListJobs(verification_pb2.ListJobsRequest(page_size=1))).jobs
    assert [one.id for one in listed] == [waiting.id]
    assert listed[0].state == verification_pb2.JOB_STATE_QUEUED
    for name in (waiting.id, running.id, running.id):
        gone = (await stub.CancelJob(verification_pb2.CancelJobRequest(job=name))).job
        assert gone.state == verification_pb2.JOB_STATE_CANCELLED
        assert gone.HasField("end_time")
    ranker.segment.hangs = False
    later = (await stub.SubmitVerification(order("P1.2"))).job
    assert (await ended(stub, later.id))[-1].progress.state == (
        verification_pb2.JOB_STATE_SUCCEEDED
    )


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
        ("SubmitVerification", order(effort=9), "effort: 9"),
        ("SubmitVerification", order(request_id="x" * 101), "request_id: has more than 100"),
        ("SubmitVerification", order(request_id=""), "request_id: is empty"),
        (
            "SubmitVerification",
            verification_pb2.SubmitVerificationRequest(
                artifact=PILE, claims=["P1.2"], request_id="r"
            ),
            r"claims\[0\]: 'P1.2' is not of the form OWNER/ID",
        ),
        (
            "SubmitVerification",
            verification_pb2.SubmitVerificationRequest(
                artifact=PILE, claims=[f"{B4}/B4.1"], request_id="r"
            ),
            f"it is a claim of {B4}",
        ),
        ("SubmitVerification", order(*["P1.2"] * 1001), "claims: has 1,001 elements"),
        ("GetJob", verification_pb2.GetJobRequest(job="never"), "no job named 'never'"),
        ("CancelJob", verification_pb2.CancelJobRequest(job="never"), "no job named 'never'"),
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


async def test_a_job_has_not_the_deadline_of_the_call_that_submitted_it(ranker: Ranker) -> None:
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect())
    job = (await stub.SubmitVerification(order("B4.1", artifact=B4), timeout=5)).job
    await ended(stub, job.id)
    (left,) = ranker.segment.remaining
    assert 5.5 < left < 11  # the peer's own ten seconds


async def test_a_job_that_fails_says_why(ranker: Ranker, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("services.ranker.measuring.verify._step", broken)
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect())
    job = (await stub.SubmitVerification(order("P1.2"))).job
    last = (await ended(stub, job.id))[-1].progress
    assert last.state == verification_pb2.JOB_STATE_FAILED
    assert last.error.reason == common_pb2.ERROR_REASON_INTERNAL
    assert "its log says more" in last.error.message


async def test_what_was_decided_before_a_job_was_cancelled_stays(ranker: Ranker) -> None:
    ranker.segment.hangs = True
    channel = await ranker.connect()
    stub = verification_pb2_grpc.VerificationServiceStub(channel)
    job = (await stub.SubmitVerification(order("B3.1", "B4.5", artifact=B4))).job
    waiting = (await stub.SubmitVerification(order("R3", artifact="page"))).job
    await ranker.segment.started.wait()
    watched = stub.WatchJob(verification_pb2.WatchJobRequest(job=waiting.id), timeout=60)
    states: list[verification_pb2.JobState.ValueType] = []
    async for one in watched:
        if not states:  # it waits, until the one before is cancelled
            await stub.CancelJob(verification_pb2.CancelJobRequest(job=job.id))
            await ranker.segment.cancelled.wait()
        if one.HasField("progress"):
            states.append(one.progress.state)
    assert states[0] == verification_pb2.JOB_STATE_QUEUED
    assert states[-1] == verification_pb2.JOB_STATE_SUCCEEDED
    reply = await ranker_pb2_grpc.RankerServiceStub(channel).Compare(
        compare_pb2.CompareRequest(left=B4, right=PILE)
    )
    kept = {one.claim.id for one in reply.left.claims if one.HasField("evidence")}
    assert kept == {"B3.1"}


async def job_of(
    stub: verification_pb2_grpc.VerificationServiceAsyncStub, name: str
) -> verification_pb2.Job:
    return (await stub.GetJob(verification_pb2.GetJobRequest(job=name))).job


async def test_a_job_that_has_ended_outlives_its_ranker(ranker: Ranker) -> None:
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect())
    asked = order("P1.2", "P2.2", request_id="r")
    job = (await stub.SubmitVerification(asked)).job
    told = await ended(stub, job.id)
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect())
    assert await job_of(stub, job.id) == told[-1].progress
    verdicts = [one for one in told if one.HasField("result")]
    assert (await ended(stub, job.id))[1:-1] == verdicts
    assert (await ended(stub, job.id, after=1))[1:-1] == verdicts[1:]
    assert (await stub.SubmitVerification(asked)).job.id == job.id


@pytest.mark.parametrize("waits", [False, True])
async def test_what_has_not_ended_goes_on_in_the_next_ranker(ranker: Ranker, waits: bool) -> None:
    ranker.segment.hangs = True
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect())
    running = (await stub.SubmitVerification(order("B4.1", "B4.5", artifact=B4))).job
    watching = stub.WatchJob(verification_pb2.WatchJobRequest(job=running.id))
    async for update in watching:
        if update.progress.progress.claim == f"{B4}/B4.5":
            break
    watching.cancel()
    before = await job_of(stub, running.id)
    assert (before.state, before.done) == (verification_pb2.JOB_STATE_RUNNING, 1)
    job = (await stub.SubmitVerification(order("P1.2"))).job if waits else running
    await ranker.stop()
    ranker.segment.hangs = False
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect())
    updates = await ended(stub, job.id)
    last = updates[-1].progress
    assert last.state == verification_pb2.JOB_STATE_SUCCEEDED
    decided = [one.result.claim.id for one in updates if one.HasField("result")]
    assert [f"{job.artifact}/{one}" for one in decided] == list(job.plan.claims)
    assert last.create_time == job.create_time


async def test_a_job_that_ends_its_ranker_is_not_begun_for_ever(
    ranker: Ranker, tmp_path: Path
) -> None:
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect())
    job = (await stub.SubmitVerification(order("P1.2"))).job
    await ended(stub, job.id)
    await ranker.stop()
    with closing(sqlite3.connect(tmp_path / "evidence.sqlite")) as connection, connection:
        # As after the second process that ended while it ran.
        connection.execute("DELETE FROM job_verdict")
        connection.execute("UPDATE job SET state = 'RUNNING', begun = 2, ended = NULL")
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect())
    last = (await ended(stub, job.id))[-1].progress
    assert last.state == verification_pb2.JOB_STATE_FAILED
    assert "has ended 2 times while this job ran" in last.error.message
    assert last.error.reason == common_pb2.ERROR_REASON_UNAVAILABLE


async def test_a_job_that_cannot_be_kept_is_not_taken(
    ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = verification_pb2_grpc.VerificationServiceStub(await ranker.connect())

    async def full(*_: object) -> None:
        raise Unavailable("the evidence database cannot be written")

    with monkeypatch.context() as patched:
        patched.setattr(JobStore, "keep", full)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.SubmitVerification(order("P1.2", request_id="r"))
    assert AssayError.of(refused.value).reason == "UNAVAILABLE"
    assert (await stub.ListJobs(verification_pb2.ListJobsRequest())).jobs == []
    job = (await stub.SubmitVerification(order("P1.2", request_id="r"))).job
    assert (await ended(stub, job.id))[-1].progress.state == verification_pb2.JOB_STATE_SUCCEEDED
