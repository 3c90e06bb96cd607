"""Ranks, explanations and lists: over real sockets, and as properties."""

from __future__ import annotations

import hashlib
import random
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
from services.ranker.methodology.profile import Profile, profiles
from services.ranker.methodology.ranking import of_registry
from services.ranker.methodology.score import ArtifactRecord, Standing, standing
from tests.ranker.conftest import Ranker, verify
from tests.ranker.records import CPU, DAY, records

METHODOLOGY = load()
HERE = hardware_class(CPU)
MODEL = ArtifactType.SEGMENTATION_MODEL
B0 = "segformer-b0-finetuned-ade-512-512"
B4 = "segformer-b4-finetuned-ade-512-512"


LEVEL = METHODOLOGY.family_level


def side(record: ArtifactRecord) -> Standing:
    return standing(record, METHODOLOGY, DAY, HERE, LEVEL)


def named(name: str, record: ArtifactRecord) -> Standing:
    return side(replace(record, artifact=replace(record.artifact, id=name)))


SIDES = st.lists(records("a", (MODEL,)), min_size=1, max_size=6).map(
    lambda found: [named(f"m{number}", one) for number, one in enumerate(found)]
)
PROFILES = profiles(METHODOLOGY.rules(MODEL))


@pytest.mark.slow
@given(records("a"))
def test_every_point_of_a_score_is_traced(record: ArtifactRecord) -> None:
    standing_ = side(record)
    known = {item.digest for item in record.evidence} | {record.artifact.digest}
    for profile in standing_.profiles:
        result = standing_.score(profile)
        terms = explain(result)
        metrics = [term for term in terms if term.metric]
        assert [term.metric for term in metrics] == [
            name
            for name in METHODOLOGY.rules(record.artifact.type).metrics
            if name in profile.ranges
        ]
        assert sum(term.max_points for term in terms) == pytest.approx(100)
        if result.point is not None:
            assert sum(term.point or 0 for term in metrics) == pytest.approx(result.point, abs=1e-6)
        assert sum(term.low for term in metrics) <= result.low + 1e-6
        assert sum(term.high for term in metrics) >= result.high - 1e-6
        for term in terms:
            assert term.low <= term.high
            assert set(term.evidence) <= known
            assert term.explanation
            if term.metric and term.known:
                assert term.evidence
        assert {term.metric for term in metrics if not term.known} == set(result.lacks)


@pytest.mark.slow
@given(SIDES, st.randoms(), st.sampled_from(PROFILES))
def test_places_are_of_those_that_lack_nothing(
    sides: list[Standing], chance: random.Random, profile: Profile
) -> None:
    places = of_registry(sides, profile)
    by_id = {one.artifact: one for one in places.ranks}
    assert set(by_id) == {one.id for one in sides}
    for one in places.ranks:
        ranked = one.best_place is not None
        assert ranked == (not one.score.lacks) == (one.score.point is not None)
        for other in one.beats:
            assert one.artifact not in by_id[other].beats
            best, worst = one.best_place, by_id[other].worst_place
            assert best is not None
            assert worst is not None
            assert best < worst
        for other in one.not_separable_from:
            assert one.artifact in by_id[other].not_separable_from
    shuffled = list(sides)
    chance.shuffle(shuffled)
    assert of_registry(shuffled, profile) == places


@pytest.mark.slow
@given(SIDES, st.sampled_from(PROFILES))
def test_nothing_without_evidence_is_before_anything_with_some(
    sides: list[Standing], profile: Profile
) -> None:
    unknown = named("a", replace(sides[0].record, evidence=()))
    ranks = of_registry([unknown, *sides], profile).ranks
    at = [one.artifact for one in ranks].index("a")
    assert (ranks[at].best_place, ranks[at].score.point) == (None, None)
    assert all(one.score.coverage == 0 for one in ranks[at:])


@pytest.mark.slow
@given(SIDES, records("z", (MODEL,)), st.sampled_from(PROFILES))
def test_another_artifact_changes_no_score_and_no_pair(
    sides: list[Standing], other: ArtifactRecord, profile: Profile
) -> None:
    before = {one.artifact: one for one in of_registry(sides, profile).ranks}
    after = {one.artifact: one for one in of_registry([*sides, side(other)], profile).ranks}
    for name, one in before.items():
        assert after[name].score == one.score
        assert tuple(x for x in after[name].beats if x != "z") == one.beats
        assert tuple(x for x in after[name].not_separable_from if x != "z") == (
            one.not_separable_from
        )


async def test_the_methodology_is_given_whole(ranker: Ranker) -> None:
    stub = ranker_pb2_grpc.RankerServiceStub(await ranker.connect())
    reply = await stub.GetMethodology(score_pb2.GetMethodologyRequest(version="v2"))
    assert reply.methodology.digest == "sha256:" + hashlib.sha256(reply.content).hexdigest()
    assert yaml.safe_load(reply.content)["version"] == "v2"
    with pytest.raises(grpc.aio.AioRpcError, match="no methodology named 'v1'") as error:
        await stub.GetMethodology(score_pb2.GetMethodologyRequest(version="v1"))
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
    stub = ranker_pb2_grpc.RankerServiceStub(channel)
    await verify(channel, B4)
    day, profile = "2026-01-15", "accuracy-and-size"
    rank_ = (
        await stub.GetRank(rank_pb2.GetRankRequest(artifact=B4, as_of=day, profile=profile))
    ).rank
    assert (rank_.artifact, rank_.profile, rank_.ranked_count) == (B4, profile, 1)
    assert (rank_.best_place, rank_.worst_place) == (1, 1)
    explained = await stub.ExplainRank(
        rank_pb2.ExplainRankRequest(artifact=B4, as_of=day, profile=profile)
    )
    assert explained.score == rank_.score
    terms = {one.component: one for one in explained.contributions}
    assert sum(one.point for one in terms.values() if one.metric) == pytest.approx(
        rank_.score.point
    )
    assert all(one.HasField("point") == one.known for one in explained.contributions)
    accuracy = terms["ade20k-miou"]
    assert accuracy.known
    assert "SegFormer-B0" in accuracy.explanation
    cited = {one.digest: one for one in explained.evidence}
    assert cited[accuracy.evidence[0]].claim == f"{B4}/B1.4"
    assert not terms["adoption"].known
    compared = await stub.Compare(compare_pb2.CompareRequest(left=B4, right="the-pile", as_of=day))
    scores = {one.profile: one for one in compared.left.scores}
    assert scores[profile].point == pytest.approx(rank_.score.point)
    # Nothing here timed it beside the reference: in the first profile it has no score and no place.
    core = (await stub.GetRank(rank_pb2.GetRankRequest(artifact=B4, as_of=day))).rank
    assert (core.profile, list(core.score.lacks)) == ("core", ["latency"])
    assert not core.score.HasField("point")
    assert not core.HasField("best_place")


async def test_ranks_are_listed_by_type_and_by_intent_in_pages(ranker: Ranker) -> None:
    channel = await ranker.connect()
    stub = ranker_pb2_grpc.RankerServiceStub(channel)
    request = rank_pb2.ListRanksRequest(
        type=artifact_pb2.ARTIFACT_TYPE_SEGMENTATION_MODEL,
        as_of="2026-01-15",
        page_size=4,
        profile="core",
    )
    first = await stub.ListRanks(request)
    request.page_token = first.next_page_token
    second = await stub.ListRanks(request)
    names = [one.artifact for one in (*first.ranks, *second.ranks)]
    assert (len(first.ranks), len(names), second.next_page_token) == (4, 6, "")
    assert first.evidence_digest == second.evidence_digest
    assert not any(one.HasField("best_place") for one in first.ranks)  # nothing is measured yet
    assert names == sorted(names)
    whole = await stub.ListRanks(
        rank_pb2.ListRanksRequest(type=artifact_pb2.ARTIFACT_TYPE_SEGMENTATION_MODEL)
    )
    expected = [one.name for one in PROFILES]
    assert list(dict.fromkeys(one.profile for one in whole.ranks)) == expected
    assert [(one.profile, one.level) for one in whole.profiles] == [(one, 1) for one in expected]
    found = await stub.ListRanks(
        rank_pb2.ListRanksRequest(intent="train a language model on books")
    )
    assert {one.artifact for one in found.ranks} <= {"cc-100-en", "the-pile", "gpt2"}
    assert "the-pile" in {one.artifact for one in found.ranks}
    assert (await stub.ListRanks(rank_pb2.ListRanksRequest(intent="peel a banana"))).ranks == []


async def test_a_list_that_is_named_is_ranked_together(ranker: Ranker) -> None:
    channel = await ranker.connect()
    stub = ranker_pb2_grpc.RankerServiceStub(channel)
    for name in (B0, B4):
        await verify(channel, name)
    named_ = rank_pb2.ArtifactSet(artifacts=[B4, B0, B4])
    reply = await stub.ListRanks(rank_pb2.ListRanksRequest(artifacts=named_, profile="ade20k-miou"))
    assert [(one.artifact, one.best_place, one.worst_place) for one in reply.ranks] == [
        (B4, 1, 1),
        (B0, 2, 2),
    ]
    assert list(reply.ranks[0].beats) == [B0]
    assert [(one.profile, one.level) for one in reply.profiles] == [("ade20k-miou", 1)]


@pytest.mark.parametrize(
    ("call", "request_", "message"),
    [
        ("GetRank", rank_pb2.GetRankRequest(), "artifact: is empty"),
        ("GetRank", rank_pb2.GetRankRequest(artifact="heap"), "no artifact named 'heap'"),
        ("GetRank", rank_pb2.GetRankRequest(artifact=B4, as_of="today"), "as_of"),
        ("ExplainRank", rank_pb2.ExplainRankRequest(artifact="heap"), "no artifact named 'heap'"),
        ("ListRanks", rank_pb2.ListRanksRequest(), "say a type, an intent or artifacts"),
        (
            "GetRank",
            rank_pb2.GetRankRequest(artifact=B4, profile="luck"),
            "no profile named 'luck'",
        ),
        ("ListRanks", rank_pb2.ListRanksRequest(type=1, profile="luck"), "known: .*accuracy"),  # type: ignore[arg-type]
        (
            "ListRanks",
            rank_pb2.ListRanksRequest(artifacts=rank_pb2.ArtifactSet(artifacts=[B4, B4])),
            "artifacts: name two or more",
        ),
        (
            "ListRanks",
            rank_pb2.ListRanksRequest(artifacts=rank_pb2.ArtifactSet(artifacts=[B4, "gpt2"])),
            "artifacts: only one type can be ranked: .*gpt2 is a language model",
        ),
        (
            "ListRanks",
            rank_pb2.ListRanksRequest(artifacts=rank_pb2.ArtifactSet(artifacts=[B4, "heap"])),
            "no artifact named 'heap'",
        ),
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
