"""Manifests over real sockets: what is wrong is told at once, what is right is registered once."""

from __future__ import annotations

import copy
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
        ],
        capabilities=[{"id": "a", "name": "A"}],
    )
    reply = await stub.ValidateManifest(admin_pb2.ValidateManifestRequest(manifest=broken))
    assert not reply.valid
    told = {one.place.partition(".")[2]: one.message for one in reply.errors}
    assert "is not a known key" in told["claims[X1].tolerence"]
    assert "need a unit" in told["claims[X2].bound.unit"]
    assert "is there twice" in told["claims[3].id"]
    assert "is missing" in told["capabilities[a].description"]


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        (
            {"claims": [claim(method="m.none@1")]},
            "claims[C1].method",
            "no method 'm.none@1'; of a data set there are composition.named_source_share@1",
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
    with pytest.raises(grpc.aio.AioRpcError, match="comes with the ranker"):
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
        claim(id="R1", method="page.match_graph_evidence@1", bound={"boolean": True}),
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
