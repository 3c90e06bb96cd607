"""Ranks, explanations and lists: over real sockets, and as properties."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import grpc
import pytest
import yaml
from assay_rpc.errors import AssayError
from assay_rpc.ranker.v1 import artifact_pb2, compare_pb2, rank_pb2, ranker_pb2_grpc, score_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.ranker.claims.identity import hardware_class
from services.ranker.claims.model import ArtifactType
from services.ranker.methodology.explain import explain
from services.ranker.methodology.load import load
from services.ranker.methodology.ranking import Rank, rank
from services.ranker.methodology.score import ArtifactRecord, score
from services.ranker.methodology.separation import Separation, Side, overall
from tests.ranker.conftest import Ranker, verify
from tests.ranker.records import CPU, DAY, records

METHODOLOGY = load()
HERE = hardware_class(CPU)
MODEL = ArtifactType.SEGMENTATION_MODEL
B4 = "segformer-b4-finetuned-ade-512-512"


def side(name: str, record: ArtifactRecord) -> Side:
    return Side(name, record.artifact.type, score(record, METHODOLOGY, DAY, HERE))


SIDES = st.lists(records("a", (MODEL,)), min_size=1, max_size=6).map(
    lambda found: [side(f"m{number}", one) for number, one in enumerate(found)]
)


@given(records("a"))
def test_every_point_of_a_score_is_traced(record: ArtifactRecord) -> None:
    result = score(record, METHODOLOGY, DAY, HERE)
    terms = explain(result, record, METHODOLOGY, HERE)
    for end in ("low", "point", "high"):
        assert sum(getattr(term, end) for term in terms) == pytest.approx(
            getattr(result, end), abs=1e-7
        )
    assert sum(term.max_points for term in terms) == pytest.approx(100)
    known = {item.digest for item in record.evidence} | {record.artifact.digest}
    for term in terms:
        assert 0 <= term.low <= term.point <= term.high <= term.max_points + 1e-9
        assert set(term.evidence) <= known
        assert term.explanation
        if not term.known:
            assert (term.low, term.high) == (0, term.max_points)
        elif term.metric:
            assert term.evidence
    covered = sum(term.max_points for term in terms if term.known and term.metric)
    share = sum(
        c.weight * c.coverage for c in result.components if c.name in ("quality", "ecosystem")
    )
    assert covered == pytest.approx(100 * share, abs=1e-6)


@given(SIDES, st.randoms())
def test_groups_are_told_apart_and_their_members_are_not(sides: list[Side], chance: object) -> None:
    ranks = rank(sides, METHODOLOGY)
    ranges = METHODOLOGY.rules(MODEL).weights
    by_id = {one.side.id: one for one in ranks}
    known = [one for one in ranks if one.side.score.coverage > 0]
    places = {one.side.id: placed(one) for one in known}
    for left in known:
        group, best, worst = places[left.side.id]
        assert 1 <= best <= worst <= left.of == len(known)
        for right in known:
            other, other_best, _ = places[right.side.id]
            if group < other:
                assert overall(left.side, right.side, ranges) is Separation.LEFT
                assert worst < other_best
        for name in left.not_separable_from:
            assert by_id[name].tie_group == left.tie_group
            assert left.side.id in by_id[name].not_separable_from
    groups = {group for group, _, _ in places.values()}
    assert sorted(groups) == list(range(1, 1 + len(groups)))
    shuffled = list(sides)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rank(shuffled, METHODOLOGY) == ranks


def placed(one: Rank) -> tuple[int, int, int]:
    """Group, best and worst place of an artifact that something is known of."""
    assert one.tie_group is not None
    assert one.best_place is not None
    assert one.worst_place is not None
    return one.tie_group, one.best_place, one.worst_place


@given(SIDES)
def test_what_nothing_is_known_of_has_no_place_and_comes_last(sides: list[Side]) -> None:
    unknown = replace(sides[0], id="a", score=replace(sides[0].score, coverage=0.0))
    ranks = rank([unknown, *sides], METHODOLOGY)
    last = next(one for one in ranks if one.side.id == "a")
    assert (last.tie_group, last.best_place, last.worst_place) == (None, None, None)
    assert all(one.tie_group is None for one in ranks[ranks.index(last) :])
    assert tuple(one for one in ranks if one is not last) == rank(sides, METHODOLOGY)


@given(SIDES, records("z", (MODEL,)))
def test_another_artifact_changes_no_score_and_no_pair(
    sides: list[Side], other: ArtifactRecord
) -> None:
    before = {one.side.id: one for one in rank(sides, METHODOLOGY)}
    after = {one.side.id: one for one in rank([*sides, side("z", other)], METHODOLOGY)}
    for name, one in before.items():
        assert after[name].side == one.side
        assert set(after[name].not_separable_from) - {"z"} == set(one.not_separable_from)


def test_identical_artifacts_share_a_group() -> None:
    one = Side("a", MODEL, score(_empty(), METHODOLOGY, DAY, HERE))
    first, second = rank([one, replace(one, id="b")], METHODOLOGY)
    assert (first.tie_group, second.tie_group) == (1, 1)
    assert (first.best_place, first.worst_place) == (1, 2)
    assert rank([], METHODOLOGY) == ()


def _empty() -> ArtifactRecord:
    from tests.ranker.records import artifact  # noqa: PLC0415

    return ArtifactRecord(artifact("a", MODEL, ()), (), ())


async def test_the_methodology_is_given_whole(ranker: Ranker) -> None:
    stub = ranker_pb2_grpc.RankerServiceStub(await ranker.connect())
    reply = await stub.GetMethodology(score_pb2.GetMethodologyRequest(version="v1"))
    assert reply.methodology.digest == "sha256:" + hashlib.sha256(reply.content).hexdigest()
    assert yaml.safe_load(reply.content)["version"] == "v1"
    with pytest.raises(grpc.aio.AioRpcError, match="no methodology named 'v2'") as error:
        await stub.GetMethodology(score_pb2.GetMethodologyRequest(version="v2"))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    for call in (
        stub.GetMethodology(score_pb2.GetMethodologyRequest(digest="sha256:0")),
        stub.GetRank(rank_pb2.GetRankRequest(artifact=B4, methodology_digest="sha256:0")),
        stub.ExplainRank(rank_pb2.ExplainRankRequest(artifact=B4, methodology_digest="sha256:0")),
        stub.ListRanks(rank_pb2.ListRanksRequest(intent="x", methodology_digest="sha256:0")),
        stub.Compare(
            compare_pb2.CompareRequest(left=B4, right="gpt2", methodology_digest="sha256:0")
        ),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="not sha256:0") as error:
            await call
        assert AssayError.of(error.value).reason == "DIGEST_MISMATCH"


async def test_a_rank_is_explained_by_stored_evidence(ranker: Ranker) -> None:
    channel = await ranker.connect()
    claims = ranker_pb2_grpc.RankerServiceStub(channel)
    await verify(channel, B4)
    stub = ranker_pb2_grpc.RankerServiceStub(channel)
    day = "2026-01-15"
    rank_ = (await stub.GetRank(rank_pb2.GetRankRequest(artifact=B4, as_of=day))).rank
    assert (rank_.artifact, rank_.ranked_count) == (B4, 6)
    assert 1 <= rank_.best_place <= rank_.worst_place <= 6
    explained = await stub.ExplainRank(rank_pb2.ExplainRankRequest(artifact=B4, as_of=day))
    assert explained.score == rank_.score
    points = [
        one.point if one.HasField("point") else one.max_points / 2
        for one in explained.contributions
    ]
    assert sum(points) == pytest.approx(rank_.score.point)
    assert all(one.HasField("point") == one.known for one in explained.contributions)
    terms = {(one.component, one.metric): one for one in explained.contributions}
    accuracy = terms["quality", "ade20k-miou"]
    assert accuracy.known
    assert "SegFormer-B0" in accuracy.explanation
    cited = {one.digest: one for one in explained.evidence}
    assert cited[accuracy.evidence[0]].claim == f"{B4}/B1.4"
    assert not terms["adoption", ""].known
    compared = await claims.Compare(
        compare_pb2.CompareRequest(left=B4, right="the-pile", as_of=day)
    )
    assert compared.left.score.point == pytest.approx(rank_.score.point)


async def test_ranks_are_listed_by_type_and_by_intent_in_pages(ranker: Ranker) -> None:
    stub = ranker_pb2_grpc.RankerServiceStub(await ranker.connect())
    request = rank_pb2.ListRanksRequest(
        type=artifact_pb2.ARTIFACT_TYPE_SEGMENTATION_MODEL, as_of="2026-01-15", page_size=4
    )
    first = await stub.ListRanks(request)
    request.page_token = first.next_page_token
    second = await stub.ListRanks(request)
    names = [one.artifact for one in (*first.ranks, *second.ranks)]
    assert (len(first.ranks), len(names), second.next_page_token) == (4, 6, "")
    assert first.evidence_digest == second.evidence_digest
    assert {one.tie_group for one in first.ranks} == {1}  # nothing is measured yet
    assert names == sorted(names)
    found = await stub.ListRanks(
        rank_pb2.ListRanksRequest(intent="train a language model on books")
    )
    assert {one.artifact for one in found.ranks} <= {"cc-100-en", "the-pile", "gpt2"}
    assert "the-pile" in {one.artifact for one in found.ranks}
    assert (await stub.ListRanks(rank_pb2.ListRanksRequest(intent="peel a banana"))).ranks == []


@pytest.mark.parametrize(
    ("call", "request_", "message"),
    [
        ("GetRank", rank_pb2.GetRankRequest(), "artifact: is empty"),
        ("GetRank", rank_pb2.GetRankRequest(artifact="heap"), "no artifact named 'heap'"),
        ("GetRank", rank_pb2.GetRankRequest(artifact=B4, as_of="today"), "as_of"),
        ("ExplainRank", rank_pb2.ExplainRankRequest(artifact="heap"), "no artifact named 'heap'"),
        ("ListRanks", rank_pb2.ListRanksRequest(), "say a type or an intent"),
        ("ListRanks", rank_pb2.ListRanksRequest(type=77), "type: 77"),  # type: ignore[arg-type]
        ("ListRanks", rank_pb2.ListRanksRequest(type=1, page_token="?"), "page_token"),  # type: ignore[arg-type]  # noqa: S106
        ("ListRanks", rank_pb2.ListRanksRequest(intent=""), "intent: is empty"),
    ],
)
async def test_bad_requests_are_told_what_is_wrong(
    ranker: Ranker, call: str, request_: object, message: str
) -> None:
    stub = ranker_pb2_grpc.RankerServiceStub(await ranker.connect())
    with pytest.raises(grpc.aio.AioRpcError, match=message):
        await getattr(stub, call)(request_)
