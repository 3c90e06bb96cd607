"""The ranker over real sockets, with peers written by hand."""

from __future__ import annotations

import asyncio
import hashlib
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, TypeAlias

import grpc
import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import artifact_pb2, claim_pb2, compare_pb2, evidence_pb2, ranker_pb2_grpc
from assay_rpc.segment.v1 import benchmark_pb2, models_pb2

from services.ranker.claims.bounds import Value
from services.ranker.claims.evidence import Observation, canonical, seal
from services.ranker.claims.model import Basis, SubjectRelation
from services.ranker.database.sqlite import lock
from services.rpc.serving.listening import StartError
from tests.ranker.conftest import Ranker, verify
from tests.ranker.servers_fake import MODEL

B4, PILE = "segformer-b4-finetuned-ade-512-512", "the-pile"
Stub: TypeAlias = "ranker_pb2_grpc.RankerServiceAsyncStub"


async def test_artifacts_are_listed_and_described(ranker: Ranker) -> None:
    stub = await ranker.start()
    first = await stub.ListArtifacts(artifact_pb2.ListArtifactsRequest(page_size=7))
    token = first.next_page_token
    second = await stub.ListArtifacts(
        artifact_pb2.ListArtifactsRequest(page_size=7, page_token=token)
    )
    listed = {one.id: one.claim_count for one in (*first.artifacts, *second.artifacts)}
    assert len(listed) == 9
    assert (listed[B4], listed[PILE], listed["gpt2"]) == (45, 29, 23)
    assert second.next_page_token == ""
    pile = (await stub.GetArtifact(artifact_pb2.GetArtifactRequest(artifact=PILE))).artifact
    assert pile.type == artifact_pb2.ARTIFACT_TYPE_DATASET
    assert (len(pile.capabilities), len(pile.claims)) == (8, 29)
    (published,) = pile.published
    assert published.value == 59
    assert (published.feasible.low, published.feasible.high) == (25, 82)
    assert "consistent with its printed parts, but not identified by them" in published.remark
    assert pile.version == 1
    bounds = {claim.id: claim.bound for claim in pile.claims}
    assert bounds["P1.1"] == claim_pb2.Bound(
        equals=claim_pb2.Equals(value=22, tolerance=0), unit="subsets"
    )
    assert bounds["P7.1"] == claim_pb2.Bound(ratio=claim_pb2.Range(low=10), unit="1")
    assert not bounds["P7.1"].ratio.HasField("high")
    assert bounds["P8.1"].boolean


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        (
            lambda stub: stub.GetArtifact(artifact_pb2.GetArtifactRequest(artifact="the-heap")),
            grpc.StatusCode.NOT_FOUND,
            r"segformer-b4-finetuned-ade-512-512, segformer-b5.*, the-pile",
        ),
        (
            lambda stub: stub.GetArtifact(artifact_pb2.GetArtifactRequest()),
            grpc.StatusCode.INVALID_ARGUMENT,
            "artifact: is empty",
        ),
        (
            lambda stub: stub.ListArtifacts(artifact_pb2.ListArtifactsRequest(page_token="!")),  # noqa: S106
            grpc.StatusCode.INVALID_ARGUMENT,
            "page_token",
        ),
        (
            lambda stub: stub.GetArtifact(
                artifact_pb2.GetArtifactRequest(artifact=PILE, version=9)
            ),
            grpc.StatusCode.NOT_FOUND,
            "no version of the-pile named '9'; known: 1",
        ),
        (
            lambda stub: stub.GetEvidence(evidence_pb2.GetEvidenceRequest(digest="sha256:1")),
            grpc.StatusCode.INVALID_ARGUMENT,
            "digest: 'sha256:1' is not sha256:<hex>",
        ),
        (
            lambda stub: stub.GetEvidence(
                evidence_pb2.GetEvidenceRequest(digest="sha256:" + 64 * "0")
            ),
            grpc.StatusCode.NOT_FOUND,
            "no evidence named",
        ),
        (
            lambda stub: stub.ListEvidence(evidence_pb2.ListEvidenceRequest(claim="P1.2")),
            grpc.StatusCode.INVALID_ARGUMENT,
            "claim: 'P1.2' is not of the form OWNER/ID",
        ),
        (
            lambda stub: stub.ListEvidence(evidence_pb2.ListEvidenceRequest(claim="the-pile/B4.1")),
            grpc.StatusCode.NOT_FOUND,
            r"known: P0, P1\.1",
        ),
        (
            lambda stub: stub.Compare(
                compare_pb2.CompareRequest(left=PILE, right="gpt2", pages=["page"])
            ),
            grpc.StatusCode.INVALID_ARGUMENT,
            "pages: 'page' does not compare the-pile and gpt2",
        ),
        (
            lambda stub: stub.Compare(
                compare_pb2.CompareRequest(left=PILE, right=B4, pages=["leaf"])
            ),
            grpc.StatusCode.NOT_FOUND,
            "no page named 'leaf'; known: page",
        ),
        (
            lambda stub: stub.Compare(
                compare_pb2.CompareRequest(left=PILE, right=B4, hardware="x" * 501)
            ),
            grpc.StatusCode.INVALID_ARGUMENT,
            "hardware: has 501 characters",
        ),
        (
            lambda stub: stub.Compare(compare_pb2.CompareRequest(left=PILE, right=PILE)),
            grpc.StatusCode.INVALID_ARGUMENT,
            "right",
        ),
        (
            lambda stub: stub.Compare(compare_pb2.CompareRequest(left=PILE, right="the-heap")),
            grpc.StatusCode.NOT_FOUND,
            "the-heap",
        ),
        (
            lambda stub: stub.Compare(
                compare_pb2.CompareRequest(left=PILE, right=B4, as_of="2026-2-30")
            ),
            grpc.StatusCode.INVALID_ARGUMENT,
            "as_of",
        ),
        (
            lambda stub: stub.Compare(compare_pb2.CompareRequest(left=PILE)),
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


async def test_claims_are_verified_through_the_stubs(ranker: Ranker) -> None:
    await ranker.start()
    found = await ranker.verify(B4) | await ranker.verify(PILE) | await ranker.verify("page")
    assert len(found) == 76
    latency = found["B4.5"]
    assert latency.verdict == evidence_pb2.VERDICT_UNDERSPECIFIED  # it names no processor
    assert latency.basis == evidence_pb2.BASIS_MEASURED
    evidence = latency.evidence
    assert evidence.value.number == pytest.approx(1.01)
    assert evidence.value.unit == "s"
    assert evidence.interval.level == 1 - 2 / 2**8
    assert (evidence.timing.restarts, evidence.timing.clean) == (8, 8)
    assert evidence.timing.least_seconds == 1.0
    assert "onnxruntime-cpu" in evidence.conditions
    assert evidence.relation == evidence_pb2.SUBJECT_RELATION_SAME_ARCHITECTURE_RANDOM_WEIGHTS
    assert evidence.environment.cpu == "a processor"
    assert evidence.environment.versions["onnxruntime"] == "1.32.0"
    assert evidence.n == 8
    assert evidence.digest.startswith("sha256:")
    assert abs(evidence.measure_time.seconds - datetime.now(UTC).timestamp()) < 600
    assert found["P4.2"].evidence.value.number == pytest.approx(3)
    assert found["P4.2"].verdict == evidence_pb2.VERDICT_INCONCLUSIVE
    assert "the tools gzip and zstd are not installed beside corpus" in found["P4.2"].reason
    assert found["P2.1"].verdict == evidence_pb2.VERDICT_CONFIRMED
    assert list(found["B1.7"].contradicts) == [f"{B4}/B4.7"]
    assert found["B1.7"].claim.contradicts == found["B1.7"].contradicts
    assert evidence.claim == f"{B4}/B4.5"
    assert evidence.subject.name == "segformer-b4-random"
    assert evidence.subject.weights == common_pb2.WEIGHTS_KIND_RANDOM
    assert (evidence.subject.input_height, evidence.subject.classes) == (512, 150)
    assert evidence.engine.id == "onnxruntime-cpu"
    assert hashlib.sha256(evidence.content).hexdigest() == evidence.digest.removeprefix("sha256:")
    assert (found["R3"].claim.page, found["R3"].claim.artifact) == ("page", "")
    assert found["R3"].evidence.claim == "page/R3"
    assert found["B4.1"].evidence.value.number == 64_108_374
    # One request for each split, however many claims need it; the plans of the timings.
    assert ranker.corpus.storage_calls == 2
    single, *others, batches = ranker.segment.benchmarks
    assert [one.engine for one in others] == ["openvino-cpu", "torch-cpu"]
    assert single.model == batches.model == MODEL.ref
    assert single.scenario == benchmark_pb2.SCENARIO_SINGLE_STREAM
    assert single.budget.seconds == 60
    assert batches.scenario == benchmark_pb2.SCENARIO_OFFLINE
    assert (batches.batch_size, batches.budget.seconds) == (2, 30)


async def test_every_page_of_models_is_read(ranker: Ranker) -> None:
    other = models_pb2.Model()
    other.CopyFrom(MODEL)
    other.ref.CopyFrom(common_pb2.ModelRef(name="a-model", version="1", digest="sha256:aa"))
    other.architecture = "segformer-b0"
    ranker.segment.models = [other, MODEL]
    await ranker.start()
    found = await ranker.verify(B4, "B4.1")
    assert found["B4.1"].evidence.subject.digest == "sha256:b4"


async def test_peers_that_are_down_are_named_and_the_call_goes_on(
    ranker: Ranker, dead_address: str
) -> None:
    stub = await ranker.start(segment_addr=dead_address, corpus_addr=dead_address)
    found = await ranker.verify(B4, "B4.5", "B4.1", "B3.1")
    found |= await ranker.verify(PILE, "P4.2", "P1.1", "P1.3")
    assert found["B4.5"].verdict == evidence_pb2.VERDICT_NOT_TESTABLE_HERE
    assert "segment cannot be reached" in found["B4.5"].reason
    assert not found["B4.5"].evidence.HasField("value")
    assert found["B4.1"].verdict == evidence_pb2.VERDICT_CONFIRMED
    assert found["B4.1"].basis == evidence_pb2.BASIS_SOURCED
    assert found["P4.2"].verdict == evidence_pb2.VERDICT_NOT_TESTABLE_HERE
    assert "corpus cannot be reached" in found["P4.2"].reason
    assert found["P1.1"].verdict == evidence_pb2.VERDICT_NOT_TESTABLE_HERE
    assert found["P1.1"].sourcing == evidence_pb2.SOURCE_VERDICT_FAITHFUL
    assert found["P1.3"].verdict == evidence_pb2.VERDICT_REFUTED
    reply = await stub.Compare(compare_pb2.CompareRequest(left=B4, right=PILE))
    assert len(reply.left.claims) + len(reply.right.claims) + len(reply.pages[0].claims) == 76
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
    await ranker.start()
    found = await ranker.verify(B4, "B4.5")
    assert found["B4.5"].verdict == evidence_pb2.VERDICT_NOT_TESTABLE_HERE
    assert said in found["B4.5"].reason


async def test_a_peer_that_lies_is_refused(ranker: Ranker) -> None:
    ranker.segment.seconds = (-1.0, -1.0, -1.0)
    ranker.corpus.seconds = 1e-9
    await ranker.start()
    found = await ranker.verify(B4, "B4.5") | await ranker.verify(PILE, "P4.2")
    for claim in ("B4.5", "P4.2"):
        assert found[claim].verdict == evidence_pb2.VERDICT_NOT_TESTABLE_HERE
        assert "outside physics" in found[claim].reason
        assert not found[claim].evidence.HasField("value")


async def test_a_comparison_reads_evidence_and_is_kept(ranker: Ranker) -> None:
    stub = await ranker.start()
    request = compare_pb2.CompareRequest(left=B4, right=PILE, as_of="2026-01-15")
    empty = await stub.Compare(request)
    assert empty.cache.status == compare_pb2.CACHE_STATUS_MISS
    unverified = {one.claim.id: one for one in empty.left.claims}["B4.5"]
    assert unverified.verdict == evidence_pb2.VERDICT_NOT_TESTABLE_HERE
    assert f"assay claims {B4} --claim B4.5" in unverified.reason
    again = await stub.Compare(request)
    assert again.cache.status == compare_pb2.CACHE_STATUS_HIT
    again.ClearField("cache")
    empty.ClearField("cache")
    assert again == empty
    assert (await stub.Compare(compare_pb2.CompareRequest(left=B4, right=PILE))).cache.status == (
        compare_pb2.CACHE_STATUS_MISS
    )
    await ranker.verify(B4)
    await ranker.verify("page")
    full = await stub.Compare(request)
    assert full.cache.status == compare_pb2.CACHE_STATUS_MISS
    assert {one.claim.id: one for one in full.left.claims}[
        "B4.5"
    ].verdict == evidence_pb2.VERDICT_UNDERSPECIFIED
    assert not any("not been verified" in one.reason for one in full.left.claims)
    assert [one.verdict for one in full.pages[0].claims] == [
        evidence_pb2.VERDICT_REFUTED,
        evidence_pb2.VERDICT_CONFIRMED,
    ]
    assert full.overall == compare_pb2.SEPARATION_DIFFERENT_TYPES
    assert full.left.score.coverage > empty.left.score.coverage
    assert full.left.reliability[0].refuted > 5
    assert not empty.left.reliability[0].HasField("mean")
    assert [one.page.id for one in full.pages] == ["page"]
    assert not full.left.artifact.claims
    assert not full.pages[0].page.claims


async def test_swapped_sides_give_the_swapped_answer_from_the_same_entry(ranker: Ranker) -> None:
    stub = await ranker.start()
    await ranker.verify(B4, "B4.1")
    one = await stub.Compare(compare_pb2.CompareRequest(left=B4, right=PILE))
    other = await stub.Compare(compare_pb2.CompareRequest(left=PILE, right=B4))
    assert other.cache.status == compare_pb2.CACHE_STATUS_HIT
    assert other.left == one.right
    assert other.right == one.left
    assert other.summary == one.summary
    swapped = {
        compare_pb2.SEPARATION_LEFT: compare_pb2.SEPARATION_RIGHT,
        compare_pb2.SEPARATION_RIGHT: compare_pb2.SEPARATION_LEFT,
    }
    assert [row.separation for row in other.components] == [
        swapped.get(row.separation, row.separation) for row in one.components
    ]


async def test_evidence_outlives_the_process(ranker: Ranker) -> None:
    await ranker.start()
    found = await ranker.verify(B4, "B4.1")
    again = await ranker.start()
    reply = await again.Compare(compare_pb2.CompareRequest(left=B4, right=PILE))
    assert {one.claim.id: one for one in reply.left.claims}["B4.1"].evidence == (
        found["B4.1"].evidence
    )


async def test_a_later_citation_does_not_displace_a_measurement(
    ranker: Ranker, dead_address: str
) -> None:
    await ranker.start()
    await ranker.verify(B4, "B4.1")
    stub = await ranker.start(segment_addr=dead_address)
    again = (await ranker.verify(B4, "B4.1"))["B4.1"]
    assert again.basis == evidence_pb2.BASIS_MEASURED
    assert "segment cannot be reached" in again.not_measured.message
    reply = await stub.Compare(compare_pb2.CompareRequest(left=B4, right=PILE))
    assert {one.claim.id: one for one in reply.left.claims}[
        "B4.1"
    ].basis == evidence_pb2.BASIS_MEASURED


async def test_tampered_evidence_is_not_used(ranker: Ranker) -> None:
    stub = await ranker.start()
    await ranker.verify(B4, "B4.1")
    with closing(sqlite3.connect(ranker.folder / "evidence.sqlite")) as connection, connection:
        connection.execute("DROP TRIGGER evidence_is_never_changed")
        connection.execute(
            "UPDATE evidence SET content = CAST(replace(CAST(content AS TEXT), ?, ?) AS BLOB)",
            ("64108374", "99999999"),
        )
    reply = await stub.Compare(compare_pb2.CompareRequest(left=B4, right=PILE))
    refused = {one.claim.id: one for one in reply.left.claims}["B4.1"]
    assert not refused.HasField("evidence")
    assert refused.reason.startswith("what is stored of it is damaged and was refused")
    assert f"assay claims {B4} --claim B4.1" in refused.reason


async def test_a_database_that_cannot_be_used_is_named_at_start(ranker: Ranker) -> None:
    (ranker.folder / "file").write_text("x")
    with pytest.raises(StartError, match="ASSAY_RANKER_DATABASE"):
        await ranker.connect(database=ranker.folder / "file" / "e.sqlite")


async def test_calls_are_refused_until_the_database_is_open(ranker: Ranker) -> None:
    with lock(ranker.folder / "evidence.sqlite", 0):
        starting = asyncio.create_task(ranker.connect(lock_seconds=60))
        while ranker.server is None or not ranker.server.port:  # noqa: ASYNC110  (not ours)
            await asyncio.sleep(0)
        # Not by a channel that would wait for the health service.
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ranker.server.port}") as channel:
            early = ranker_pb2_grpc.RankerServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError, match="starting") as error:
                await early.Compare(compare_pb2.CompareRequest(left=B4, right=PILE))
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE
            with pytest.raises(grpc.aio.AioRpcError, match="starting"):
                await verify(channel, B4)
    stub = ranker_pb2_grpc.RankerServiceStub(await starting)
    assert (await stub.Compare(compare_pb2.CompareRequest(left=B4, right=PILE))).summary


async def test_a_redis_url_that_is_none_is_named_at_start(ranker: Ranker) -> None:
    with pytest.raises(StartError, match="REDIS_URL"):
        await ranker.connect(REDIS_URL="http://somewhere")


async def test_comparisons_are_kept_in_redis(ranker: Ranker, redis_url: str) -> None:
    request = compare_pb2.CompareRequest(left=B4, right=PILE, as_of="2026-01-15")
    first = await (await ranker.start(REDIS_URL=redis_url)).Compare(request)
    second = await (await ranker.start(REDIS_URL=redis_url)).Compare(request)
    assert first.cache.status == compare_pb2.CACHE_STATUS_MISS
    assert second.cache.status == compare_pb2.CACHE_STATUS_HIT
    first.ClearField("cache")
    second.ClearField("cache")
    assert first == second


async def test_what_is_known_of_a_pair_is_read_again_when_anything_changes(ranker: Ranker) -> None:
    stub = await ranker.start()
    there = compare_pb2.CompareRequest(left=B4, right=PILE, as_of="2026-01-15")
    back = compare_pb2.CompareRequest(left=PILE, right=B4, as_of="2026-01-15")
    first, second, third = [await stub.Compare(one) for one in (there, back, there)]
    statuses = [one.cache.status for one in (first, second, third)]
    assert statuses == [
        compare_pb2.CACHE_STATUS_MISS,
        compare_pb2.CACHE_STATUS_HIT,
        compare_pb2.CACHE_STATUS_HIT,
    ]
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
    assert changed.cache.status == compare_pb2.CACHE_STATUS_MISS
    known = {one.claim.id: one.evidence.digest for one in changed.right.claims}
    assert known["P1.2"] == found.digest


async def test_evidence_is_given_by_digest_and_by_claim_the_newest_first(ranker: Ranker) -> None:
    stub = await ranker.start()
    old = [
        seal(
            Observation(Value(value, "GiB"), SubjectRelation.EXACT, Basis.SOURCED),
            claim="P1.2",
            method="sources.cite@1",
            command="c",
            time=datetime(2026, 1, day, tzinfo=UTC),
        )
        for day, value in ((1, 825.0), (2, 826.0))
    ]
    # As it was kept before claims were named with their owners.
    with closing(sqlite3.connect(ranker.folder / "evidence.sqlite")) as other, other:
        for one in old:
            row = (one.digest, one.claim, one.time.isoformat(), canonical(one))
            other.execute("INSERT INTO evidence VALUES (?, ?, ?, ?)", row)
    new = (await ranker.verify(PILE, "P1.2"))["P1.2"]
    assert new.HasField("change")
    request = evidence_pb2.ListEvidenceRequest(claim=f"{PILE}/P1.2", page_size=2)
    first = await stub.ListEvidence(request)
    request.page_token = first.next_page_token
    second = await stub.ListEvidence(request)
    listed = [*first.evidence, *second.evidence]
    assert [one.digest for one in listed] == [new.evidence.digest, old[1].digest, old[0].digest]
    assert second.next_page_token == ""
    for piece in listed:
        assert piece.claim == f"{PILE}/P1.2"
        assert "sha256:" + hashlib.sha256(piece.content).hexdigest() == piece.digest
        got = await stub.GetEvidence(evidence_pb2.GetEvidenceRequest(digest=piece.digest))
        assert got.evidence == piece


async def test_a_comparison_is_on_the_hardware_and_the_pages_that_were_asked_for(
    ranker: Ranker,
) -> None:
    stub = await ranker.start()
    await ranker.verify(B4, "B4.5")
    pair: dict[str, Any] = {"left": B4, "right": PILE, "as_of": "2026-01-15"}
    latest = await stub.Compare(compare_pb2.CompareRequest(**pair))
    assert latest.hardware == "a processor x2"
    other = await stub.Compare(compare_pb2.CompareRequest(**pair, hardware="another x1"))
    assert (other.hardware, other.cache.status) == ("another x1", compare_pb2.CACHE_STATUS_MISS)
    named = await stub.Compare(compare_pb2.CompareRequest(**pair, pages=["page"]))
    assert named.cache.status == compare_pb2.CACHE_STATUS_HIT
    assert named.pages == latest.pages
