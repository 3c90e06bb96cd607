"""Manifests over real sockets: what is wrong is told at once, what is right is registered once."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import grpc
import pytest
import yaml
from assay_rpc.errors import AssayError
from assay_rpc.ranker.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    artifact_pb2,
    compare_pb2,
    evidence_pb2,
    ranker_pb2_grpc,
    search_pb2,
)

from services.ranker.advice import warnings
from services.ranker.claims.bounds import Equals
from services.ranker.claims.registry import packaged
from services.ranker.measuring import methods
from services.ranker.methodology.load import load
from tests.ranker.claims.test_manifest import ARTIFACT
from tests.ranker.conftest import Ranker, verify

GOOD: dict[str, Any] = {
    **copy.deepcopy(ARTIFACT),
    "capabilities": [
        {
            "id": "whale-songs",
            "name": "Whale songs",
            "description": "Holds recordings of whales.",
            "intents": ["recordings of humpback whales"],
        }
    ],
}


def manifest(**changes: Any) -> bytes:
    return yaml.safe_dump({**GOOD, **changes}).encode()


def claim(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(ARTIFACT["claims"][0]), **changes}


async def test_everything_that_is_wrong_is_told_at_once(ranker: Ranker) -> None:
    stub = admin_pb2_grpc.RankerAdminServiceStub(await ranker.connect())
    broken = manifest(
        claims=[
            claim(id="X1", tolerence=3),
            claim(id="X2", bound={"equals": {"value": 3, "tolerance": 1}}),
            claim(id="X2"),
            claim(id="X2"),
            claim(id="X3", method="composition.subset_cuont@1"),
            claim(id="X4", bound={"boolean": True}),
        ],
        released="yesterday",
        capabilities=[{"id": "a", "name": "A"}],
    )
    reply = await stub.ValidateManifest(admin_pb2.ValidateManifestRequest(manifest=broken))
    assert not reply.valid
    told = {one.place.partition(".")[2]: one.message for one in reply.errors}
    assert "is not a known key" in told["claims[X1].tolerence"]
    assert "need a unit" in told["claims[X2].bound.unit"]
    assert "appears twice" in told["claims[3].id"]
    assert "is missing" in told["capabilities[a].description"]
    assert "did you mean composition.subset_count@1" in told["claims[X3].method"]
    assert "gives a number, never yes or no" in told["claims[X4].bound"]
    assert "must be a day" in told["released"]


async def test_a_claim_whose_source_does_not_say_it(ranker: Ranker) -> None:
    channel = await ranker.connect()
    admin = admin_pb2_grpc.RankerAdminServiceStub(channel)
    silent = {"title": "The card that it cites", "silent": True}
    both = manifest(claims=[claim(sources=[{**silent, "says": 3}])])
    checked = await admin.ValidateManifest(admin_pb2.ValidateManifestRequest(manifest=both))
    assert [one.place for one in checked.errors] == ["manifest.claims[C1].sources[0].silent"]
    content = manifest(claims=[claim(sources=[silent])])
    await admin.RegisterManifest(admin_pb2.RegisterManifestRequest(manifest=content))
    reply = await ranker_pb2_grpc.RankerServiceStub(channel).ListVerdicts(
        evidence_pb2.ListVerdictsRequest(owner="thing")
    )
    (found,) = reply.claims
    assert found.sourcing == evidence_pb2.SOURCE_VERDICT_UNSOURCED
    assert [one.silent for one in found.claim.sources] == [True]


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        (
            {"claims": [claim(method="m.none@1")]},
            "claims[C1].method",
            "no method 'm.none@1'; of a dataset there are composition.du",
        ),
        ({"claims": [claim(contradicts=["C9"])]}, "claims[C1].contradicts", "'C9' is not the id"),
        ({"claims": [claim(id="a/b")]}, "claims[a/b].id", "is no id: it must match [A-Za-z0-9]"),
        ({"id": "Thing"}, "id", "is no id: it must match [a-z0-9]"),
        ({"released": "2999-01-01"}, "released", "is to come"),
        ({"subject": "the-pile"}, "subject", "measured under its own id, 'thing'"),
        ({"classes": 19}, "classes", "a DATASET has none"),
        ({"input": "big"}, "input", 'like "512x512"'),
        ({"digest": "sha256:5a"}, "digest", "is no digest"),
        ({"version": 0}, "version", "greater than or equal to 1"),
        ({"kind": "page"}, "capabilities", "is not a known key"),
    ],
)
async def test_a_manifest_that_does_not_fit_is_refused(
    ranker: Ranker, changes: dict[str, Any], place: str, message: str
) -> None:
    stub = admin_pb2_grpc.RankerAdminServiceStub(await ranker.connect())
    content = manifest(**changes)
    reply = await stub.ValidateManifest(admin_pb2.ValidateManifestRequest(manifest=content))
    assert not reply.valid
    assert any(place in one.place and message in one.message for one in reply.errors), reply
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.RegisterManifest(admin_pb2.RegisterManifestRequest(manifest=content))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"x" * (64 << 10) + b"x", "at most 65,536"),
    ],
)
async def test_no_manifest_at_all(ranker: Ranker, content: bytes, message: str) -> None:
    stub = admin_pb2_grpc.RankerAdminServiceStub(await ranker.connect())
    with pytest.raises(grpc.aio.AioRpcError, match=message):
        await stub.ValidateManifest(admin_pb2.ValidateManifestRequest(manifest=content))


async def test_text_that_is_no_yaml_is_an_error_of_the_manifest(ranker: Ranker) -> None:
    stub = admin_pb2_grpc.RankerAdminServiceStub(await ranker.connect())
    for content in (b"a: [", b"\xff\xfe", b"a: &x 1\nb: *x\n", b"a: 1\na: 2\n", b"- 1\n"):
        reply = await stub.ValidateManifest(admin_pb2.ValidateManifestRequest(manifest=content))
        assert not reply.valid
        assert reply.errors[0].message


async def test_a_registered_artifact_is_known_found_and_kept(ranker: Ranker) -> None:
    channel = await ranker.connect()
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
    request = admin_pb2.RegisterManifestRequest(manifest=manifest())
    first, second = await stub.RegisterManifest(request), await stub.RegisterManifest(request)
    assert first == second
    assert (first.artifact.id, first.version) == ("thing", 1)
    assert any("released" in one.place for one in first.warnings)
    for _ in range(2):
        known = ranker_pb2_grpc.RankerServiceStub(channel)
        reply = await known.GetArtifact(artifact_pb2.GetArtifactRequest(artifact="thing"))
        assert reply.artifact == first.artifact
        found = await known.SearchCapabilities(
            search_pb2.SearchCapabilitiesRequest(intent="songs of humpback whales")
        )
        assert [one.artifact for one in found.matches[0].providers] == ["thing"]
        compared = await known.Compare(compare_pb2.CompareRequest(left="thing", right="the-pile"))
        assert compared.left.score.coverage == 0  # no evidence at all
        channel = await ranker.connect()  # after a restart it is all still so


async def test_versions_only_grow_and_have_one_content(ranker: Ranker) -> None:
    channel = await ranker.connect()
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)

    async def register(**changes: Any) -> admin_pb2.RegisterManifestResponse:
        return await stub.RegisterManifest(
            admin_pb2.RegisterManifestRequest(manifest=manifest(**changes))
        )

    await register()
    with pytest.raises(grpc.aio.AioRpcError, match="a version has one content") as error:
        await register(pricing="Dear")
    assert AssayError.of(error.value).reason == "VERSION_CONFLICT"
    assert (await register(version=3, pricing="Dear")).artifact.pricing == "Dear"
    with pytest.raises(grpc.aio.AioRpcError, match="registered in version 3"):
        await register(version=2)
    with pytest.raises(grpc.aio.AioRpcError, match="comes with the ranker and cannot"):
        await register(id="the-pile")
    known = ranker_pb2_grpc.RankerServiceStub(channel)
    reply = await known.GetArtifact(artifact_pb2.GetArtifactRequest(artifact="thing"))
    assert reply.artifact.pricing == "Dear"


def test_advice_is_given_where_something_could_be_better() -> None:
    registry = packaged(methods.known())
    told = {
        place: advice
        for artifact in registry.artifacts
        for place, advice in warnings(artifact, load())
    }
    assert "freshness stays unknown" in told["gpt2.released"]
    assert "that weight" not in told
    assert not any(".cost" in place for place in told)


def test_a_share_that_is_written_as_a_percentage_is_told() -> None:
    model = packaged(methods.known()).artifact("segformer-b0-finetuned-ade-512-512")
    (accuracy,) = (one for one in model.claims if one.id == "S0.2")
    written = replace(accuracy, bound=Equals(0.374, 0.001, "%"))
    told = dict(warnings(replace(model, claims=(written,)), load()))
    advice = told[f"{model.id}.claims[S0.2].bound"]
    assert "a share of 0.374 is 37.4 %; is the unit right?" in advice
    assert f"{model.id}.claims[S0.2].bound" not in dict(warnings(model, load()))


async def test_a_cache_is_let_go_of(ranker: Ranker) -> None:
    channel = await ranker.connect()
    stub, known = (
        admin_pb2_grpc.RankerAdminServiceStub(channel),
        ranker_pb2_grpc.RankerServiceStub(channel),
    )
    pair = compare_pb2.CompareRequest(
        left="the-pile", right="segformer-b4-finetuned-ade-512-512", as_of="2026-01-15"
    )
    other = compare_pb2.CompareRequest(left="gpt2", right="cc-100-en", as_of="2026-01-15")

    async def statuses() -> list[int]:
        return [(await known.Compare(one)).cache.status for one in (pair, other)]

    miss, hit = compare_pb2.CACHE_STATUS_MISS, compare_pb2.CACHE_STATUS_HIT
    assert await statuses() == [miss, miss]
    assert await statuses() == [hit, hit]
    one = admin_pb2.InvalidateCacheRequest(artifact="the-pile")
    assert (await stub.InvalidateCache(one)).removed == 1
    assert await statuses() == [miss, hit]
    assert (await stub.InvalidateCache(admin_pb2.InvalidateCacheRequest(all=True))).removed == 2
    assert await statuses() == [miss, miss]
    with pytest.raises(grpc.aio.AioRpcError, match="no artifact named 'heap'"):
        await stub.InvalidateCache(admin_pb2.InvalidateCacheRequest(artifact="heap"))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (admin_pb2.InvalidateCacheRequest(), "scope: name an artifact, or set all"),
        (admin_pb2.InvalidateCacheRequest(all=False), "all: is false"),
        (admin_pb2.InvalidateCacheRequest(artifact=""), "artifact: is empty"),
    ],
)
async def test_what_of_the_cache_goes_is_said(
    ranker: Ranker, request_: admin_pb2.InvalidateCacheRequest, message: str
) -> None:
    stub = admin_pb2_grpc.RankerAdminServiceStub(await ranker.connect())
    with pytest.raises(grpc.aio.AioRpcError, match=message) as error:
        await stub.InvalidateCache(request_)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_owners_may_use_the_same_claim_ids(ranker: Ranker) -> None:
    """What is known of one's claim says nothing of another's."""
    channel = await ranker.connect()
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
    same = claim(
        id="P1.2",
        method="sources.cite@1",
        aspect="composition",
        group="total-size",
        bound={"range": {"low": 1}, "unit": "GiB"},
    )
    await stub.RegisterManifest(admin_pb2.RegisterManifestRequest(manifest=manifest(claims=[same])))
    packaged_ = await verify(channel, "the-pile", "P1.2")
    own = await verify(channel, "thing", "P1.2")
    assert packaged_["P1.2"].evidence.claim == "the-pile/P1.2"
    assert packaged_["P1.2"].basis == evidence_pb2.BASIS_SOURCED
    assert own["P1.2"].evidence.claim == "thing/P1.2"
    assert not own["P1.2"].evidence.HasField("value")
    assert "no publication that settles it is known here" in own["P1.2"].reason


PAGE: dict[str, Any] = {
    "kind": "page",
    "schema": 1,
    "id": "another-page",
    "name": "Another page",
    "description": "Compares two.",
    "compares": ["thing", "the-pile"],
    "printed": {},
    "claims": [
        claim(id="R1", method="page.match_graph_evidence@2", bound={"boolean": True}),
    ],
}


async def test_a_registered_page_is_shown_with_what_it_compares(ranker: Ranker) -> None:
    channel = await ranker.connect()
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
    page = admin_pb2.RegisterManifestRequest(manifest=yaml.safe_dump(PAGE).encode())
    with pytest.raises(grpc.aio.AioRpcError, match="no artifact 'thing'"):
        await stub.RegisterManifest(page)
    await stub.RegisterManifest(admin_pb2.RegisterManifestRequest(manifest=manifest()))
    reply = await stub.RegisterManifest(page)
    assert reply.WhichOneof("registered") == "page"
    assert (reply.page.id, reply.page.version, reply.version) == ("another-page", 1, 1)
    assert [(one.id, one.page, one.artifact) for one in reply.page.claims] == [
        ("R1", "another-page", "")
    ]
    request = compare_pb2.CompareRequest(left="the-pile", right="thing")
    for _ in range(2):
        compared = await ranker_pb2_grpc.RankerServiceStub(channel).Compare(request)
        (shown,) = compared.pages
        assert (shown.page.id, list(shown.page.claims)) == ("another-page", [])
        assert [one.claim.id for one in shown.claims] == ["R1"]
        channel = await ranker.connect()  # after a restart it is still so


ABOUT_TWO: dict[str, Any] = {
    **PAGE,
    "id": "about-two",
    "source": {"title": "Somebody's page", "url": "https://example.org"},
    "claims": [
        claim(id="T1", artifact="thing"),
        claim(
            id="T2",
            artifact="the-pile",
            bound={"equals": {"value": 5, "tolerance": 0}, "unit": "subsets"},
            sources=[{"title": "A paper that nobody has read", "says": 9}],
        ),
        claim(
            id="T3",
            artifact="the-pile",
            method="sources.cite@1",
            aspect="publication",
            group="whatever",
            bound={"boolean": True},
            sources=[{"title": "The same", "says": False}],
            contradicts=["T2"],
        ),
    ],
}


async def test_a_page_claims_things_of_several_artifacts_and_proves_none_by_what_it_quotes(
    ranker: Ranker,
) -> None:
    channel = await ranker.connect()
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
    await stub.RegisterManifest(admin_pb2.RegisterManifestRequest(manifest=manifest()))
    content = yaml.safe_dump(ABOUT_TWO).encode()
    page = (await stub.RegisterManifest(admin_pb2.RegisterManifestRequest(manifest=content))).page
    assert page.source.title == "Somebody's page"
    assert [(one.id, one.artifact) for one in page.claims] == [
        ("T1", "thing"),
        ("T2", "the-pile"),
        ("T3", "the-pile"),
    ]
    found = await verify(channel, "about-two")
    nowhere, false, quoted = (found[name] for name in ("T1", "T2", "T3"))
    assert nowhere.not_measured.reason == evidence_pb2.NotMeasured.REASON_NOT_SERVED
    # A sample counts no subsets; what is quoted against the claim refutes nothing either.
    for one in (false, quoted):
        assert one.verdict == evidence_pb2.VERDICT_NOT_TESTABLE_HERE
        assert one.sourcing == evidence_pb2.SOURCE_VERDICT_MISQUOTED
    assert "has not been checked here" in quoted.reason
    known = ranker_pb2_grpc.RankerServiceStub(channel)
    pile = await known.GetArtifact(artifact_pb2.GetArtifactRequest(artifact="the-pile"))
    assert [one.id for one in pile.artifact.claims if one.page] == ["T2", "T3"]
    compared = await known.Compare(compare_pb2.CompareRequest(left="the-pile", right="thing"))
    assert compared.left.score.coverage == 0  # what it quotes of itself enters no profile
    assert not any("about-two" in one.contradicts for one in compared.left.claims)


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        ({"artifact": "the-pil"}, "claims[T1].artifact", "did you mean the-pile"),
        ({"method": "model_facts.pads@1"}, "claims[T1].method", "no method measures this"),
        ({"contradicts": ["the-pile/P1.1"]}, "claims[T1].contradicts", "is the-pile's"),
        ({"comparator": {"artifact": "x"}}, "claims[T1].comparator.artifact", "no artifact 'x'"),
    ],
)
async def test_a_page_that_does_not_fit_is_refused(
    ranker: Ranker, change: dict[str, Any], place: str, message: str
) -> None:
    stub = admin_pb2_grpc.RankerAdminServiceStub(await ranker.connect())
    page = {
        **ABOUT_TWO,
        "compares": ["the-pile", "gpt2"],
        "claims": [claim(id="T1", **{"artifact": "the-pile", **change})],
    }
    content = yaml.safe_dump(page).encode()
    reply = await stub.ValidateManifest(admin_pb2.ValidateManifestRequest(manifest=content))
    assert any(place in one.place and message in one.message for one in reply.errors), reply


def withdrawal(identifier: str, version: int = 2) -> admin_pb2.RegisterManifestRequest:
    record = {
        "kind": "withdrawal",
        "schema": 1,
        "id": identifier,
        "version": version,
        "reason": "nobody keeps it up",
    }
    return admin_pb2.RegisterManifestRequest(manifest=yaml.safe_dump(record).encode())


@pytest.mark.slow
async def test_an_artifact_is_withdrawn_by_a_later_record_and_registered_again(
    ranker: Ranker,
) -> None:
    channel = await ranker.connect()
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
    await stub.RegisterManifest(admin_pb2.RegisterManifestRequest(manifest=manifest()))
    reply = await stub.RegisterManifest(withdrawal("thing"))
    assert (reply.version, reply.artifact.withdrawal.reason) == (2, "nobody keeps it up")
    assert await stub.RegisterManifest(withdrawal("thing")) == reply
    for _ in range(2):
        known = ranker_pb2_grpc.RankerServiceStub(channel)
        shown = await known.GetArtifact(artifact_pb2.GetArtifactRequest(artifact="thing"))
        assert shown.artifact == reply.artifact
        listed = await known.ListArtifacts(artifact_pb2.ListArtifactsRequest())
        assert "thing" not in [one.id for one in listed.artifacts]
        with pytest.raises(grpc.aio.AioRpcError, match=r"withdrawn on .*: nobody keeps it up"):
            await known.Compare(compare_pb2.CompareRequest(left="thing", right="the-pile"))
        found = await known.SearchCapabilities(
            search_pb2.SearchCapabilitiesRequest(intent="songs of humpback whales")
        )
        assert "thing" not in [one.artifact for match in found.matches for one in match.providers]
        channel = await ranker.connect()  # after a restart it is still so
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
    again = admin_pb2.RegisterManifestRequest(manifest=manifest(version=3))
    assert not (await stub.RegisterManifest(again)).artifact.HasField("withdrawal")
    channel = await ranker.connect()
    known = ranker_pb2_grpc.RankerServiceStub(channel)
    shown = await known.GetArtifact(artifact_pb2.GetArtifactRequest(artifact="thing"))
    assert (shown.artifact.version, shown.artifact.HasField("withdrawal")) == (3, False)


@pytest.mark.parametrize(
    ("identifier", "version", "message"),
    [
        ("the-pile", 2, "comes with the ranker and cannot be changed"),
        ("page", 2, "comes with the ranker and cannot be changed"),
        ("nothing", 2, "no artifact named 'nothing'"),
        ("thing", 1, "greater than or equal to 2"),
    ],
)
async def test_what_cannot_be_withdrawn(
    ranker: Ranker, identifier: str, version: int, message: str
) -> None:
    stub = admin_pb2_grpc.RankerAdminServiceStub(await ranker.connect())
    for content in (manifest(), yaml.safe_dump(ABOUT_TWO).encode()):
        await stub.RegisterManifest(admin_pb2.RegisterManifestRequest(manifest=content))
    with pytest.raises(grpc.aio.AioRpcError, match=message):
        await stub.RegisterManifest(withdrawal(identifier, version))
    page = await stub.RegisterManifest(withdrawal("about-two"))
    assert page.page.withdrawal.reason == "nobody keeps it up"
    assert (await stub.RegisterManifest(withdrawal("thing"))).artifact.HasField("withdrawal")
