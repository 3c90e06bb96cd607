"""The ranker over real sockets, with peers written by hand."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import TypeAlias

import grpc
import pytest
from assay.common.v1 import common_pb2
from assay.ranker.v1 import ranker_pb2 as pb
from assay.ranker.v1 import ranker_pb2_grpc
from assay.segment.v1 import admin_pb2, models_pb2

from services.ranker.__main__ import build_service
from services.ranker.claims.evidence import Observation, canonical, seal
from services.ranker.claims.model import Basis, SubjectRelation, Value
from services.ranker.settings import RankerSettings
from services.rpc.server import StartError
from tests.ranker.conftest import Ranker
from tests.ranker.servers_fake import MODEL

B4, PILE = "segformer-b4-finetuned-ade-512-512", "the-pile"
Stub: TypeAlias = "ranker_pb2_grpc.RankerServiceAsyncStub"


async def verdicts(stub: Stub, artifact: str, *claims: str) -> dict[str, pb.ClaimVerdict]:
    request = pb.VerifyClaimsRequest(artifact=artifact, claims=claims)
    return {
        update.verdict.claim.id: update.verdict
        async for update in stub.VerifyClaims(request, timeout=60)
        if update.WhichOneof("update") == "verdict"
    }


async def test_artifacts_are_listed_and_described(ranker: Ranker) -> None:
    stub = await ranker.start()
    first = await stub.ListArtifacts(pb.ListArtifactsRequest(page_size=7))
    token = first.next_page_token
    second = await stub.ListArtifacts(pb.ListArtifactsRequest(page_size=7, page_token=token))
    listed = {one.id: one.claim_count for one in (*first.artifacts, *second.artifacts)}
    assert len(listed) == 9
    assert (listed[B4], listed[PILE], listed["gpt2"]) == (33, 21, 23)
    assert second.next_page_token == ""
    pile = (await stub.GetArtifact(pb.GetArtifactRequest(artifact=PILE))).artifact
    assert pile.type == pb.ARTIFACT_TYPE_DATASET
    assert (len(pile.capabilities), len(pile.claims)) == (8, 21)
    assert pile.published.value == 59
    assert (pile.published.feasible.low, pile.published.feasible.high) == (25, 82)
    assert "consistent with, not identified by" in pile.published.remark
    bounds = {claim.id: claim.bound for claim in pile.claims}
    assert bounds["P1.1"] == pb.Bound(equals=pb.Equals(value=22, tolerance=0), unit="subsets")
    assert bounds["P7.1"] == pb.Bound(ratio=pb.Range(low=10), unit="1")
    assert not bounds["P7.1"].ratio.HasField("high")
    assert bounds["P8.1"].boolean


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        (
            lambda stub: stub.GetArtifact(pb.GetArtifactRequest(artifact="the-heap")),
            grpc.StatusCode.NOT_FOUND,
            r"segformer-b4-finetuned-ade-512-512, segformer-b5.*, the-pile",
        ),
        (
            lambda stub: stub.GetArtifact(pb.GetArtifactRequest()),
            grpc.StatusCode.INVALID_ARGUMENT,
            "artifact: is empty",
        ),
        (
            lambda stub: stub.ListArtifacts(pb.ListArtifactsRequest(page_token="!")),  # noqa: S106
            grpc.StatusCode.INVALID_ARGUMENT,
            "page_token",
        ),
        (
            lambda stub: verdicts(stub, "the-heap"),
            grpc.StatusCode.NOT_FOUND,
            "the-pile",
        ),
        (
            lambda stub: verdicts(stub, PILE, "B4.1"),
            grpc.StatusCode.NOT_FOUND,
            r"known: P0, P1\.1",
        ),
        (
            lambda stub: stub.Compare(pb.CompareRequest(left=PILE, right=PILE)),
            grpc.StatusCode.INVALID_ARGUMENT,
            "right",
        ),
        (
            lambda stub: stub.Compare(pb.CompareRequest(left=PILE, right="the-heap")),
            grpc.StatusCode.NOT_FOUND,
            "the-heap",
        ),
        (
            lambda stub: stub.Compare(pb.CompareRequest(left=PILE, right=B4, as_of="2026-2-30")),
            grpc.StatusCode.INVALID_ARGUMENT,
            "as_of",
        ),
        (
            lambda stub: stub.Compare(pb.CompareRequest(left=PILE)),
            grpc.StatusCode.INVALID_ARGUMENT,
            "right: is empty",
        ),
    ],
)
async def test_bad_requests_are_told_what_is_wrong(
    ranker: Ranker, call: Callable[[Stub], object], code: grpc.StatusCode, message: str
) -> None:
    stub = await ranker.start()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call(stub)  # type: ignore[misc]
    assert error.value.code() is code
    assert re.search(message, error.value.details() or "")


async def test_an_unknown_budget_is_refused(ranker: Ranker) -> None:
    stub = await ranker.start()
    request = pb.VerifyClaimsRequest(artifact=PILE, budget=9)  # type: ignore[arg-type]
    with pytest.raises(grpc.aio.AioRpcError, match="budget"):
        await stub.VerifyClaims(request).read()


async def test_claims_are_verified_through_the_stubs(ranker: Ranker) -> None:
    stub = await ranker.start()
    found = await verdicts(stub, B4) | await verdicts(stub, PILE) | await verdicts(stub, "page")
    assert len(found) == 56
    latency = found["B4.5"]
    assert latency.verdict == pb.VERDICT_REFUTED
    assert latency.basis == pb.BASIS_MEASURED
    evidence = latency.evidence
    assert evidence.value.number == pytest.approx(1.01)
    assert evidence.value.unit == "s"
    assert evidence.interval.level == 0.99
    assert evidence.relation == pb.SUBJECT_RELATION_SAME_ARCHITECTURE_RANDOM_WEIGHTS
    assert evidence.environment.cpu == "a processor"
    assert evidence.environment.versions["onnxruntime"] == "1.32.0"
    assert evidence.n == 9
    assert evidence.digest.startswith("sha256:")
    assert abs(evidence.time.seconds - datetime.now(UTC).timestamp()) < 600
    assert found["P4.2"].evidence.value.number == pytest.approx(3)
    assert found["P4.2"].verdict == pb.VERDICT_REFUTED
    assert found["P2.1"].verdict == pb.VERDICT_CONFIRMED
    assert list(found["B1.7"].contradicts) == ["B4.7"]
    assert found["B4.1"].evidence.value.number == 64_108_374
    # One request for each split, however many claims need it; the plans of the timings.
    assert ranker.corpus.storage_calls == 2
    single, batches = ranker.segment.benchmarks
    assert single.model == batches.model == MODEL.ref
    assert single.scenario == admin_pb2.SCENARIO_SINGLE_STREAM
    assert single.budget.seconds == 60
    assert batches.scenario == admin_pb2.SCENARIO_OFFLINE
    assert (batches.batch_size, batches.budget.seconds) == (2, 30)


async def test_every_page_of_models_is_read(ranker: Ranker) -> None:
    other = models_pb2.Model()
    other.CopyFrom(MODEL)
    other.ref.CopyFrom(common_pb2.ModelRef(name="a-model", version="1", digest="sha256:aa"))
    other.architecture = "segformer-b0"
    ranker.segment.models = [other, MODEL]
    found = await verdicts(await ranker.start(), B4, "B4.1")
    assert found["B4.1"].evidence.subject_digest == "sha256:b4"


async def test_peers_that_are_down_are_named_and_the_call_goes_on(
    ranker: Ranker, dead_address: str
) -> None:
    stub = await ranker.start(segment_addr=dead_address, corpus_addr=dead_address)
    found = await verdicts(stub, B4, "B4.5", "B4.1", "B3.1")
    found |= await verdicts(stub, PILE, "P4.2", "P1.1")
    assert found["B4.5"].verdict == pb.VERDICT_NOT_TESTABLE_HERE
    assert "segment cannot be reached" in found["B4.5"].reason
    assert not found["B4.5"].evidence.HasField("value")
    assert found["B4.1"].verdict == pb.VERDICT_CONFIRMED
    assert found["B4.1"].basis == pb.BASIS_SOURCED
    assert found["P4.2"].verdict == pb.VERDICT_NOT_TESTABLE_HERE
    assert "corpus cannot be reached" in found["P4.2"].reason
    assert found["P1.1"].verdict == pb.VERDICT_CONFIRMED
    reply = await stub.Compare(pb.CompareRequest(left=B4, right=PILE))
    assert len(reply.left.claims) + len(reply.right.claims) + len(reply.page_claims) == 56
    compared = {one.claim.id: one for one in (*reply.left.claims, *reply.right.claims)}
    assert compared["B4.5"].reason == found["B4.5"].reason
    assert compared["P4.2"].reason == found["P4.2"].reason


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "segment is busy"),
        (grpc.StatusCode.INTERNAL, "segment refused with INTERNAL"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "did not answer within 10 s"),
    ],
)
async def test_a_peer_that_refuses_is_quoted(
    ranker: Ranker, status: grpc.StatusCode, said: str
) -> None:
    ranker.segment.fails = status
    found = await verdicts(await ranker.start(), B4, "B4.5")
    assert found["B4.5"].verdict == pb.VERDICT_NOT_TESTABLE_HERE
    assert said in found["B4.5"].reason


async def test_a_peer_that_lies_is_refused(ranker: Ranker) -> None:
    ranker.segment.seconds = (-1.0, -1.0, -1.0)
    ranker.corpus.seconds = 1e-9
    stub = await ranker.start()
    found = await verdicts(stub, B4, "B4.5") | await verdicts(stub, PILE, "P4.2")
    for claim in ("B4.5", "P4.2"):
        assert found[claim].verdict == pb.VERDICT_NOT_TESTABLE_HERE
        assert "outside physics" in found[claim].reason
        assert not found[claim].evidence.HasField("value")


async def test_the_callers_deadline_is_passed_on(ranker: Ranker) -> None:
    stub = await ranker.start()
    request = pb.VerifyClaimsRequest(artifact=B4, claims=["B4.1"])
    async for _ in stub.VerifyClaims(request, timeout=7):
        pass
    (left,) = ranker.segment.remaining
    # The transport rounds a deadline up; without one the peer would have ten seconds.
    assert left < 8


async def test_cancelling_ends_the_measurement_and_frees_the_place(ranker: Ranker) -> None:
    ranker.segment.hangs = True
    stub = await ranker.start()
    call = stub.VerifyClaims(pb.VerifyClaimsRequest(artifact=B4, claims=["B3.1", "B4.5"]))
    await ranker.segment.started.wait()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await verdicts(stub, PILE)
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "another verification is running" in (error.value.details() or "")
    call.cancel()
    await ranker.segment.cancelled.wait()
    while True:
        try:
            assert await verdicts(stub, "page")
        except grpc.aio.AioRpcError as busy:
            assert busy.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017
            await asyncio.sleep(0)
        else:
            break
    # What was decided before the call was cancelled has stayed.
    reply = await stub.Compare(pb.CompareRequest(left=B4, right=PILE))
    kept = {one.claim.id for one in reply.left.claims if one.HasField("evidence")}
    assert kept == {"B3.1"}


async def test_a_comparison_reads_evidence_and_is_kept(ranker: Ranker) -> None:
    stub = await ranker.start()
    request = pb.CompareRequest(left=B4, right=PILE, as_of="2026-01-15")
    empty = await stub.Compare(request)
    assert empty.cache.status == pb.CACHE_STATUS_MISS
    unverified = {one.claim.id: one for one in empty.left.claims}["B4.5"]
    assert unverified.verdict == pb.VERDICT_NOT_TESTABLE_HERE
    assert f"assay claims {B4} --claim B4.5" in unverified.reason
    again = await stub.Compare(request)
    assert again.cache.status == pb.CACHE_STATUS_HIT
    again.ClearField("cache")
    empty.ClearField("cache")
    assert again == empty
    assert (await stub.Compare(pb.CompareRequest(left=B4, right=PILE))).cache.status == (
        pb.CACHE_STATUS_MISS
    )
    await verdicts(stub, B4)
    await verdicts(stub, "page")
    full = await stub.Compare(request)
    assert full.cache.status == pb.CACHE_STATUS_MISS
    assert {one.claim.id: one for one in full.left.claims}["B4.5"].verdict == pb.VERDICT_REFUTED
    assert not any("not been verified" in one.reason for one in full.left.claims)
    assert [one.verdict for one in full.page_claims] == [
        pb.VERDICT_REFUTED,
        pb.VERDICT_CONFIRMED,
    ]
    assert full.overall == pb.SEPARATION_DIFFERENT_TYPES
    assert full.left.score.coverage > empty.left.score.coverage
    assert full.left.reliability.refuted > 5


async def test_swapped_sides_give_the_swapped_answer_from_the_same_entry(ranker: Ranker) -> None:
    stub = await ranker.start()
    await verdicts(stub, B4, "B4.1")
    one = await stub.Compare(pb.CompareRequest(left=B4, right=PILE))
    other = await stub.Compare(pb.CompareRequest(left=PILE, right=B4))
    assert other.cache.status == pb.CACHE_STATUS_HIT
    assert other.left == one.right
    assert other.right == one.left
    assert other.summary == one.summary
    swapped = {
        pb.SEPARATION_LEFT: pb.SEPARATION_RIGHT,
        pb.SEPARATION_RIGHT: pb.SEPARATION_LEFT,
    }
    assert [row.separation for row in other.components] == [
        swapped.get(row.separation, row.separation) for row in one.components
    ]


async def test_evidence_outlives_the_process(ranker: Ranker) -> None:
    found = await verdicts(await ranker.start(), B4, "B4.1")
    again = await ranker.start()
    reply = await again.Compare(pb.CompareRequest(left=B4, right=PILE))
    assert {one.claim.id: one for one in reply.left.claims}["B4.1"].evidence == (
        found["B4.1"].evidence
    )


async def test_a_later_citation_does_not_displace_a_measurement(
    ranker: Ranker, dead_address: str
) -> None:
    await verdicts(await ranker.start(), B4, "B4.1")
    stub = await ranker.start(segment_addr=dead_address)
    assert (await verdicts(stub, B4, "B4.1"))["B4.1"].basis == pb.BASIS_SOURCED
    reply = await stub.Compare(pb.CompareRequest(left=B4, right=PILE))
    assert {one.claim.id: one for one in reply.left.claims}["B4.1"].basis == pb.BASIS_MEASURED


async def test_tampered_evidence_is_not_used(ranker: Ranker) -> None:
    stub = await ranker.start()
    await verdicts(stub, B4, "B4.1")
    with closing(sqlite3.connect(ranker.folder / "evidence.sqlite")) as connection, connection:
        connection.execute("DROP TRIGGER evidence_is_never_changed")
        connection.execute(
            "UPDATE evidence SET content = CAST(replace(CAST(content AS TEXT), ?, ?) AS BLOB)",
            ("64108374", "99999999"),
        )
    reply = await stub.Compare(pb.CompareRequest(left=B4, right=PILE))
    refused = {one.claim.id: one for one in reply.left.claims}["B4.1"]
    assert not refused.HasField("evidence")
    assert refused.reason.startswith("what is stored of it is damaged and was refused")
    assert f"assay claims {B4} --claim B4.1" in refused.reason


async def test_a_database_that_cannot_be_used_is_named_at_start(ranker: Ranker) -> None:
    (ranker.folder / "file").write_text("x")
    service = build_service(RankerSettings(database=ranker.folder / "file" / "e.sqlite"))
    with pytest.raises(StartError, match="ASSAY_RANKER_DATABASE"):
        await service.warm()
    await service.close()


async def test_a_redis_url_that_is_none_is_named_at_start(ranker: Ranker) -> None:
    settings = RankerSettings(
        database=ranker.folder / "e.sqlite",
        REDIS_URL="http://somewhere",  # type: ignore[call-arg]
    )
    service = build_service(settings)
    with pytest.raises(StartError, match="REDIS_URL"):
        await service.warm()
    await service.close()


async def test_comparisons_are_kept_in_redis(ranker: Ranker, redis_url: str) -> None:
    request = pb.CompareRequest(left=B4, right=PILE, as_of="2026-01-15")
    first = await (await ranker.start(REDIS_URL=redis_url)).Compare(request)
    second = await (await ranker.start(REDIS_URL=redis_url)).Compare(request)
    assert first.cache.status == pb.CACHE_STATUS_MISS
    assert second.cache.status == pb.CACHE_STATUS_HIT
    first.ClearField("cache")
    second.ClearField("cache")
    assert first == second


async def test_what_is_known_of_a_pair_is_read_again_when_anything_changes(ranker: Ranker) -> None:
    stub = await ranker.start()
    there = pb.CompareRequest(left=B4, right=PILE, as_of="2026-01-15")
    back = pb.CompareRequest(left=PILE, right=B4, as_of="2026-01-15")
    first, second, third = [await stub.Compare(one) for one in (there, back, there)]
    statuses = [one.cache.status for one in (first, second, third)]
    assert statuses == [pb.CACHE_STATUS_MISS, pb.CACHE_STATUS_HIT, pb.CACHE_STATUS_HIT]
    assert (second.left, second.right) == (first.right, first.left)
    found = seal(
        Observation(Value(825.0, "GiB"), SubjectRelation.EXACT, Basis.SOURCED),
        claim="P1.2",
        method="sources.cite@1",
        command="c",
        time=datetime(2026, 1, 1, tzinfo=UTC),
    )
    # Not by the ranker, whose own changes it would know of.
    with closing(sqlite3.connect(ranker.folder / "evidence.sqlite")) as other, other:
        row = (found.digest, found.claim, found.time.isoformat(), canonical(found))
        other.execute("INSERT INTO evidence VALUES (?, ?, ?, ?)", row)
    changed = await stub.Compare(there)
    assert changed.cache.status == pb.CACHE_STATUS_MISS
    known = {one.claim.id: one.evidence.digest for one in changed.right.claims}
    assert known["P1.2"] == found.digest
