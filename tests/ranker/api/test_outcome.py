"""Searching, matching and reporting over real sockets: counts are true."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import grpc
import pytest
import trustme
from assay_rpc.channel import connect_async
from assay_rpc.connection import Connection
from assay_rpc.errors import AssayError
from assay_rpc.ranker.v1 import (
    compare_pb2,
    outcome_pb2,
    outcome_pb2_grpc,
    rank_pb2,
    ranker_pb2_grpc,
    score_pb2,
    search_pb2,
)

from tests.ranker.conftest import Ranker

B4 = "segformer-b4-finetuned-ade-512-512"
URI = f"capability://{B4}/semantic-segmentation"
WELL, BADLY = outcome_pb2.OUTCOME_SUCCESS, outcome_pb2.OUTCOME_FAILURE


def counts(matched: int, reported: int, succeeded: int) -> score_pb2.MatchCounts:
    """Of callers that show no certificate."""
    return score_pb2.MatchCounts(
        matched=matched, reported=reported, succeeded=succeeded, anonymous=reported
    )


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
    component = {one.name: one for one in reply.left.score.components}["outcomes"]
    assert not component.HasField("point")
    assert component.weight == 0
    assert "8 anonymous reports do not count" in component.explanation


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


async def test_an_id_is_one_match_and_an_outcome_stands_until_it_is_withdrawn(
    ranker: Ranker,
) -> None:
    stub = outcome_pb2_grpc.OutcomeServiceStub(await ranker.connect())
    match = outcome_pb2.RecordMatchRequest(match_id="m", intent="x", capability_uri=URI)
    await stub.RecordMatch(match)
    match.intent = "y"
    with pytest.raises(grpc.aio.AioRpcError, match="used for another match") as error:
        await stub.RecordMatch(match)
    assert AssayError.of(error.value).reason == "REQUEST_ID_REUSED"
    withdrawal = outcome_pb2.WithdrawOutcomeRequest(match_id="m")
    with pytest.raises(grpc.aio.AioRpcError, match="you reported none") as error:
        await stub.WithdrawOutcome(withdrawal)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    await stub.ReportOutcome(outcome_pb2.ReportOutcomeRequest(match_id="m", outcome=BADLY))
    with pytest.raises(grpc.aio.AioRpcError, match=r"gone badly; withdraw that first") as error:
        await stub.ReportOutcome(outcome_pb2.ReportOutcomeRequest(match_id="m", outcome=WELL))
    assert AssayError.of(error.value).reason == "REQUEST_ID_REUSED"
    for _ in range(2):
        assert (await stub.WithdrawOutcome(withdrawal)).counts == counts(1, 0, 0)
    again = await stub.ReportOutcome(outcome_pb2.ReportOutcomeRequest(match_id="m", outcome=WELL))
    assert again.counts == counts(1, 1, 1)


@pytest.mark.slow
async def test_a_thousand_calls_of_one_client_move_nothing(ranker: Ranker) -> None:
    channel = await ranker.connect()
    stub = outcome_pb2_grpc.OutcomeServiceStub(channel)
    reads = ranker_pb2_grpc.RankerServiceStub(channel)
    request = compare_pb2.CompareRequest(left=B4, right="the-pile")
    before = await reads.Compare(request)

    # Each call has a deadline of its own, which five hundred at once would spend in one queue.
    slots = asyncio.Semaphore(10)

    async def succeed(number: int) -> None:
        name = f"m{number}"
        match = outcome_pb2.RecordMatchRequest(match_id=name, intent="x", capability_uri=URI)
        async with slots:
            await stub.RecordMatch(match)
            await stub.ReportOutcome(outcome_pb2.ReportOutcomeRequest(match_id=name, outcome=WELL))

    await asyncio.gather(*(succeed(number) for number in range(500)))
    after = await reads.Compare(request)
    assert after.left.matches == counts(500, 500, 500)
    assert list(after.left.scores) == list(before.left.scores)
    explanation = {one.name: one.explanation for one in after.left.score.components}["outcomes"]
    assert "500 anonymous reports do not count" in explanation
    for reply in (before, after):
        reply.ClearField("cache")
        reply.left.ClearField("matches")
        for one in reply.left.score.components:
            one.explanation = ""
    assert after == before


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    served = made.issue_cert("localhost")
    served.private_key_pem.write_to_path(tmp_path / "server.key")
    served.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    return made


async def test_an_operator_is_one_opinion_by_its_certificate(
    ranker: Ranker, tmp_path: Path, authority: trustme.CA
) -> None:
    await ranker.connect(
        tls_cert=tmp_path / "server.pem",
        tls_key=tmp_path / "server.key",
        tls_client_ca=tmp_path / "ca.pem",
    )
    assert ranker.server is not None
    stubs = []
    for number in range(5):
        own = authority.issue_cert(f"o{number}.example", common_name=f"operator {number}")
        own.private_key_pem.write_to_path(tmp_path / f"{number}.key")
        own.cert_chain_pems[0].write_to_path(tmp_path / f"{number}.pem")
        channel = await ranker.opened.enter_async_context(
            connect_async(
                Connection(
                    f"localhost:{ranker.server.port}",
                    ca=tmp_path / "ca.pem",
                    cert=tmp_path / f"{number}.pem",
                    key=tmp_path / f"{number}.key",
                )
            )
        )
        stubs.append((outcome_pb2_grpc.OutcomeServiceStub(channel), channel))
    liar, _ = stubs[0]
    for number in range(50):
        name = f"stuffed {number}"
        await liar.RecordMatch(
            outcome_pb2.RecordMatchRequest(match_id=name, intent="x", capability_uri=URI)
        )
        await liar.ReportOutcome(outcome_pb2.ReportOutcomeRequest(match_id=name, outcome=WELL))
    for stub, _ in stubs[1:]:  # of one match each has an opinion of its own
        reply = await stub.ReportOutcome(
            outcome_pb2.ReportOutcomeRequest(match_id="stuffed 0", outcome=BADLY)
        )
    assert reply.counts == score_pb2.MatchCounts(
        matched=50, reported=54, succeeded=50, reporters=5, anonymous=0
    )
    reads = ranker_pb2_grpc.RankerServiceStub(stubs[1][1])
    compared = await reads.Compare(compare_pb2.CompareRequest(left=B4, right="the-pile"))
    part = {one.name: one for one in compared.left.score.components}["outcomes"]
    liars, others = 50 / 51, 4 * 1 / 2
    assert part.point == pytest.approx((1 + liars) / (2 + liars + others), abs=1e-6)
    assert part.low < 0.1  # as if two of the five had lied
    assert part.explanation == "reported by 5 operators, each of which counts once"
    ranked = await reads.GetRank(rank_pb2.GetRankRequest(artifact=B4))
    assert ranked.rank.reporters == 5
    await liar.WithdrawOutcome(outcome_pb2.WithdrawOutcomeRequest(match_id="stuffed 0"))
    compared = await reads.Compare(compare_pb2.CompareRequest(left=B4, right="the-pile"))
    assert compared.left.matches.reported == 53
