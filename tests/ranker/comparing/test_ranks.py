"""Ranks, explanations and lists: over real sockets, and as properties."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import grpc
import pytest
import yaml
from assay.ranker.v1 import ranker_pb2, ranker_pb2_grpc, ranks_pb2_grpc
from assay.ranker.v1 import ranks_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st

from services.ranker.claims.model import ArtifactType
from services.ranker.methodology.explain import explain
from services.ranker.methodology.load import load
from services.ranker.methodology.ranking import rank
from services.ranker.methodology.readings import hardware_class
from services.ranker.methodology.score import Dossier, score
from services.ranker.methodology.separation import Separation, Side, overall
from tests.ranker.conftest import Ranker
from tests.ranker.dossiers import CPU, DAY, dossiers

METHODOLOGY = load()
HERE = hardware_class(CPU)
MODEL = ArtifactType.SEGMENTATION_MODEL
B4 = "segformer-b4-finetuned-ade-512-512"


def side(name: str, dossier: Dossier) -> Side:
    return Side(name, dossier.artifact.type, score(dossier, METHODOLOGY, DAY, HERE))


SIDES = st.lists(dossiers("a", (MODEL,)), min_size=1, max_size=6).map(
    lambda found: [side(f"m{number}", one) for number, one in enumerate(found)]
)


@given(dossiers("a"))
def test_every_point_of_a_score_is_traced(dossier: Dossier) -> None:
    result = score(dossier, METHODOLOGY, DAY, HERE)
    terms = explain(result, dossier, METHODOLOGY, HERE)
    for end in ("low", "point", "high"):
        assert sum(getattr(term, end) for term in terms) == pytest.approx(
            getattr(result, end), abs=1e-7
        )
    assert sum(term.max_points for term in terms) == pytest.approx(100)
    known = {item.digest for item in dossier.evidence} | {dossier.artifact.digest}
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
    ranges = METHODOLOGY.rules(MODEL).ranges
    by_id = {one.side.id: one for one in ranks}
    for left in ranks:
        assert 1 <= left.best_place <= left.worst_place <= left.of == len(sides)
        for right in ranks:
            if left.tie_group < right.tie_group:
                assert overall(left.side, right.side, ranges) is Separation.LEFT
                assert left.worst_place < right.best_place
        for name in left.not_separable_from:
            assert by_id[name].tie_group == left.tie_group
            assert left.side.id in by_id[name].not_separable_from
    assert sorted({one.tie_group for one in ranks}) == list(
        range(1, 1 + len({one.tie_group for one in ranks}))
    )
    shuffled = list(sides)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rank(shuffled, METHODOLOGY) == ranks


@given(SIDES, dossiers("z", (MODEL,)))
def test_another_artifact_changes_no_score_and_no_pair(sides: list[Side], other: Dossier) -> None:
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


def _empty() -> Dossier:
    from tests.ranker.dossiers import artifact  # noqa: PLC0415

    return Dossier(artifact("a", MODEL, ()), (), ())


async def test_the_methodology_is_given_whole(ranker: Ranker) -> None:
    stub = ranks_pb2_grpc.RankServiceStub(await ranker.connect())
    reply = await stub.GetMethodology(pb.GetMethodologyRequest(version="v1"))
    assert reply.methodology.digest == "sha256:" + hashlib.sha256(reply.content).hexdigest()
    assert yaml.safe_load(reply.content)["version"] == "v1"
    with pytest.raises(grpc.aio.AioRpcError, match="no methodology named 'v2'") as error:
        await stub.GetMethodology(pb.GetMethodologyRequest(version="v2"))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.aio.AioRpcError, match="no methodology named 'sha256:0'"):
        await stub.GetMethodology(pb.GetMethodologyRequest(digest="sha256:0"))


async def test_a_rank_is_explained_by_stored_evidence(ranker: Ranker) -> None:
    channel = await ranker.connect()
    claims = ranker_pb2_grpc.RankerServiceStub(channel)
    async for _ in claims.VerifyClaims(ranker_pb2.VerifyClaimsRequest(artifact=B4), timeout=60):
        pass
    stub = ranks_pb2_grpc.RankServiceStub(channel)
    day = "2026-01-15"
    rank_ = (await stub.GetRank(pb.GetRankRequest(artifact=B4, as_of=day))).rank
    assert (rank_.artifact, rank_.of) == (B4, 6)
    assert 1 <= rank_.best_place <= rank_.worst_place <= 6
    explained = await stub.ExplainRank(pb.ExplainRankRequest(artifact=B4, as_of=day))
    assert explained.score == rank_.score
    assert sum(one.point for one in explained.contributions) == pytest.approx(rank_.score.point)
    terms = {(one.component, one.metric): one for one in explained.contributions}
    accuracy = terms["quality", "ade20k-miou"]
    assert accuracy.known
    assert "SegFormer-B0" in accuracy.explanation
    cited = {one.digest: one for one in explained.evidence}
    assert cited[accuracy.evidence[0]].claim == "B1.4"
    assert not terms["adoption", ""].known
    compared = await claims.Compare(ranker_pb2.CompareRequest(left=B4, right="the-pile", as_of=day))
    assert compared.left.score.point == pytest.approx(rank_.score.point)


async def test_ranks_are_listed_by_type_and_by_intent_in_pages(ranker: Ranker) -> None:
    stub = ranks_pb2_grpc.RankServiceStub(await ranker.connect())
    request = pb.ListRanksRequest(
        type=ranker_pb2.ARTIFACT_TYPE_SEGMENTATION_MODEL, as_of="2026-01-15", page_size=4
    )
    first = await stub.ListRanks(request)
    request.page_token = first.next_page_token
    second = await stub.ListRanks(request)
    names = [one.artifact for one in (*first.ranks, *second.ranks)]
    assert (len(first.ranks), len(names), second.next_page_token) == (4, 6, "")
    assert first.evidence_digest == second.evidence_digest
    assert {one.tie_group for one in first.ranks} == {1}  # nothing is measured yet
    assert names == sorted(names)
    found = await stub.ListRanks(pb.ListRanksRequest(intent="train a language model on books"))
    assert {one.artifact for one in found.ranks} <= {"cc-100-en", "the-pile", "gpt2"}
    assert "the-pile" in {one.artifact for one in found.ranks}
    assert (await stub.ListRanks(pb.ListRanksRequest(intent="peel a banana"))).ranks == []


@pytest.mark.parametrize(
    ("call", "request_", "message"),
    [
        ("GetRank", pb.GetRankRequest(), "artifact: is empty"),
        ("GetRank", pb.GetRankRequest(artifact="heap"), "no artifact named 'heap'"),
        ("GetRank", pb.GetRankRequest(artifact=B4, as_of="today"), "as_of"),
        ("ExplainRank", pb.ExplainRankRequest(artifact="heap"), "no artifact named 'heap'"),
        ("ListRanks", pb.ListRanksRequest(), "say a type or an intent"),
        ("ListRanks", pb.ListRanksRequest(type=77), "type: 77"),  # type: ignore[arg-type]
        ("ListRanks", pb.ListRanksRequest(type=1, page_token="?"), "page_token"),  # type: ignore[arg-type]  # noqa: S106
        ("ListRanks", pb.ListRanksRequest(intent=""), "intent: is empty"),
    ],
)
async def test_bad_requests_are_told_what_is_wrong(
    ranker: Ranker, call: str, request_: object, message: str
) -> None:
    stub = ranks_pb2_grpc.RankServiceStub(await ranker.connect())
    with pytest.raises(grpc.aio.AioRpcError, match=message):
        await getattr(stub, call)(request_)
