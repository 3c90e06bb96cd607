"""Searching, matching and reporting over real sockets: counts are true."""

from __future__ import annotations

import asyncio
import uuid

import grpc
import pytest
from assay_rpc.errors import AssayError
from assay_rpc.ranker.v1 import (
    compare_pb2,
    outcome_pb2,
    outcome_pb2_grpc,
    ranker_pb2_grpc,
    score_pb2,
    search_pb2,
)

from tests.ranker.conftest import Ranker

B4 = "segformer-b4-finetuned-ade-512-512"
URI = f"capability://{B4}/semantic-segmentation"
WELL, BADLY = outcome_pb2.OUTCOME_SUCCESS, outcome_pb2.OUTCOME_FAILURE


def counts(matched: int, reported: int, succeeded: int) -> score_pb2.MatchCounts:
    return score_pb2.MatchCounts(matched=matched, reported=reported, succeeded=succeeded)


async def test_from_an_intent_to_an_outcome(ranker: Ranker) -> None:
    channel = await ranker.connect()
    stub = outcome_pb2_grpc.OutcomeServiceStub(channel)
    reads = ranker_pb2_grpc.RankerServiceStub(channel)
    wish = "find every pixel of the sky in a photo"
    found = await reads.SearchCapabilities(search_pb2.SearchCapabilitiesRequest(intent=wish))
    first = found.matches[0]
    assert first.capability == "semantic-segmentation"
    assert first.confidence >= found.floor > 0
    assert {"pixel", "sky"} <= {term.term for term in first.terms}
    uris = {one.artifact: one.capability.uri for one in first.providers}
    assert uris[B4] == URI
    match = outcome_pb2.RecordMatchRequest(match_id="m1", intent=wish, capability_uri=URI)
    once, again = await stub.RecordMatch(match), await stub.RecordMatch(match)
    assert once == again
    assert once.counts == counts(1, 0, 0)
    report = outcome_pb2.ReportOutcomeRequest(match_id="m1", outcome=WELL)
    for _ in range(2):
        assert (await stub.ReportOutcome(report)).counts == counts(1, 1, 1)
    found = await reads.SearchCapabilities(search_pb2.SearchCapabilitiesRequest(intent=wish))
    shown = {one.artifact: one.counts for one in found.matches[0].providers}
    assert shown.pop(B4) == counts(1, 1, 1)
    assert set(map(str, shown.values())) == {str(counts(0, 0, 0))}


async def test_counts_are_true_under_retries_from_many_callers_and_a_restart(
    ranker: Ranker,
) -> None:
    stub = outcome_pb2_grpc.OutcomeServiceStub(await ranker.connect())
    names = [str(uuid.uuid4()) for _ in range(20)]
    await asyncio.gather(
        *(
            stub.RecordMatch(
                outcome_pb2.RecordMatchRequest(match_id=one, intent="x", capability_uri=URI)
            )
            for one in names * 3
        )
    )
    await asyncio.gather(
        *(
            stub.ReportOutcome(
                outcome_pb2.ReportOutcomeRequest(match_id=one, outcome=WELL if place < 5 else BADLY)
            )
            for place, one in [*enumerate(names[:8])] * 3
        )
    )
    again = ranker_pb2_grpc.RankerServiceStub(await ranker.connect())
    reply = await again.Compare(compare_pb2.CompareRequest(left=B4, right="the-pile"))
    assert reply.left.matches == counts(20, 8, 5)
    assert reply.right.matches == counts(0, 0, 0)
    component = {one.name: one for one in reply.left.score.components}["match_graph"]
    assert component.coverage == pytest.approx(8 / 10)
    assert component.point == pytest.approx(6 / 10)
    assert "5 of 8 reported matches went well" in component.explanation


@pytest.mark.parametrize(
    ("call", "request_", "code", "message"),
    [
        (
            "SearchCapabilities",
            search_pb2.SearchCapabilitiesRequest(intent="  "),
            grpc.StatusCode.INVALID_ARGUMENT,
            "intent: is empty",
        ),
        (
            "SearchCapabilities",
            search_pb2.SearchCapabilitiesRequest(intent="x" * 1001),
            grpc.StatusCode.INVALID_ARGUMENT,
            "at most 1,000",
        ),
        (
            "SearchCapabilities",
            search_pb2.SearchCapabilitiesRequest(intent="x", limit=101),
            grpc.StatusCode.INVALID_ARGUMENT,
            "limit: 101",
        ),
        (
            "SearchCapabilities",
            search_pb2.SearchCapabilitiesRequest(intent="x", type=99),  # type: ignore[arg-type]
            grpc.StatusCode.INVALID_ARGUMENT,
            "type: 99",
        ),
        (
            "RecordMatch",
            outcome_pb2.RecordMatchRequest(match_id="", intent="x", capability_uri=URI),
            grpc.StatusCode.INVALID_ARGUMENT,
            "match_id",
        ),
        (
            "RecordMatch",
            outcome_pb2.RecordMatchRequest(match_id="m", intent="x", capability_uri="the-pile"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "capability://ARTIFACT/ID",
        ),
        (
            "RecordMatch",
            outcome_pb2.RecordMatchRequest(match_id="m", intent="x", capability_uri=f"{URI}s"),
            grpc.StatusCode.NOT_FOUND,
            "known: .*semantic-segmentation",
        ),
        (
            "RecordMatch",
            outcome_pb2.RecordMatchRequest(
                match_id="m", intent="x", capability_uri="capability://heap/a"
            ),
            grpc.StatusCode.NOT_FOUND,
            "the-pile",
        ),
        (
            "ReportOutcome",
            outcome_pb2.ReportOutcomeRequest(match_id="never", outcome=WELL),
            grpc.StatusCode.NOT_FOUND,
            "record it first",
        ),
        (
            "ReportOutcome",
            outcome_pb2.ReportOutcomeRequest(match_id="m"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "neither success nor failure",
        ),
    ],
)
async def test_bad_requests_are_told_what_is_wrong(
    ranker: Ranker, call: str, request_: object, code: grpc.StatusCode, message: str
) -> None:
    channel = await ranker.connect()
    stub: object = outcome_pb2_grpc.OutcomeServiceStub(channel)
    if call == "SearchCapabilities":
        stub = ranker_pb2_grpc.RankerServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError, match=message) as error:
        await getattr(stub, call)(request_)
    assert error.value.code() is code


async def test_an_id_is_one_match_and_an_outcome_is_final(ranker: Ranker) -> None:
    stub = outcome_pb2_grpc.OutcomeServiceStub(await ranker.connect())
    match = outcome_pb2.RecordMatchRequest(match_id="m", intent="x", capability_uri=URI)
    await stub.RecordMatch(match)
    match.intent = "y"
    with pytest.raises(grpc.aio.AioRpcError, match="used for another match") as error:
        await stub.RecordMatch(match)
    assert AssayError.of(error.value).reason == "REQUEST_ID_REUSED"
    await stub.ReportOutcome(outcome_pb2.ReportOutcomeRequest(match_id="m", outcome=BADLY))
    with pytest.raises(grpc.aio.AioRpcError, match=r"gone badly.*an outcome is final") as error:
        await stub.ReportOutcome(outcome_pb2.ReportOutcomeRequest(match_id="m", outcome=WELL))
    assert AssayError.of(error.value).reason == "REQUEST_ID_REUSED"
