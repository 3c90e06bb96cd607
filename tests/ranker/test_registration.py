"""Manifests over real sockets: what is wrong is told at once, what is right is registered once."""

from __future__ import annotations

import copy
from typing import Any

import grpc
import pytest
import yaml
from assay.ranker.v1 import admin_pb2 as pb
from assay.ranker.v1 import (
    admin_pb2_grpc,
    match_graph_pb2,
    match_graph_pb2_grpc,
    ranker_pb2,
    ranker_pb2_grpc,
)

from services.ranker.advice import warnings
from services.ranker.claims.registry import packaged
from services.ranker.measuring import methods
from services.ranker.methodology.load import load
from tests.ranker.claims.test_manifest import ARTIFACT
from tests.ranker.conftest import Ranker

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
    reply = await stub.ValidateManifest(pb.ValidateManifestRequest(manifest=broken))
    assert not reply.valid
    told = {one.place.partition(".")[2]: one.message for one in reply.errors}
    assert "unknown field" in told["claims[X1].tolerence"]
    assert "need a unit" in told["claims[X2].bound.unit"]
    assert "is there twice" in told["claims[3].id"]
    assert "missing" in told["capabilities[a].description"]


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        (
            {"claims": [claim(method="m.none@1")]},
            "claims[C1].method",
            "no method 'm.none@1'; known",
        ),
        ({"claims": [claim(id="B4.1")]}, "claims[B4.1]", "unique over all manifests"),
        ({"claims": [claim(contradicts=["C9"])]}, "claims[C1].contradicts", "'C9' is not the id"),
        ({"version": 0}, "version", "a whole number from 1"),
        ({"kind": "page"}, "", "unknown field"),
    ],
)
async def test_a_manifest_that_does_not_fit_is_refused(
    ranker: Ranker, changes: dict[str, Any], place: str, message: str
) -> None:
    stub = admin_pb2_grpc.RankerAdminServiceStub(await ranker.connect())
    content = manifest(**changes)
    reply = await stub.ValidateManifest(pb.ValidateManifestRequest(manifest=content))
    assert not reply.valid
    assert any(place in one.place and message in one.message for one in reply.errors), reply
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.RegisterArtifact(pb.RegisterArtifactRequest(manifest=content))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"x" * (1 << 20) + b"x", "at most 1,048,576"),
    ],
)
async def test_no_manifest_at_all(ranker: Ranker, content: bytes, message: str) -> None:
    stub = admin_pb2_grpc.RankerAdminServiceStub(await ranker.connect())
    with pytest.raises(grpc.aio.AioRpcError, match=message):
        await stub.ValidateManifest(pb.ValidateManifestRequest(manifest=content))


async def test_text_that_is_no_yaml_is_an_error_of_the_manifest(ranker: Ranker) -> None:
    stub = admin_pb2_grpc.RankerAdminServiceStub(await ranker.connect())
    for content in (b"a: [", b"\xff\xfe", b"a: &x 1\nb: *x\n", b"a: 1\na: 2\n", b"- 1\n"):
        reply = await stub.ValidateManifest(pb.ValidateManifestRequest(manifest=content))
        assert not reply.valid
        assert reply.errors[0].message


async def test_a_registered_artifact_is_known_found_and_kept(ranker: Ranker) -> None:
    channel = await ranker.connect()
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
    request = pb.RegisterArtifactRequest(manifest=manifest())
    first, second = await stub.RegisterArtifact(request), await stub.RegisterArtifact(request)
    assert first == second
    assert (first.artifact.id, first.version) == ("thing", 1)
    assert any("released" in one.place for one in first.warnings)
    for _ in range(2):
        known = ranker_pb2_grpc.RankerServiceStub(channel)
        reply = await known.GetArtifact(ranker_pb2.GetArtifactRequest(artifact="thing"))
        assert reply.artifact == first.artifact
        found = await match_graph_pb2_grpc.MatchGraphServiceStub(channel).SearchCapabilities(
            match_graph_pb2.SearchCapabilitiesRequest(intent="songs of humpback whales")
        )
        assert [one.artifact for one in found.matches[0].providers] == ["thing"]
        compared = await known.Compare(ranker_pb2.CompareRequest(left="thing", right="the-pile"))
        assert compared.left.score.coverage == 0  # no evidence at all
        channel = await ranker.connect()  # after a restart it is all still so


async def test_versions_only_grow_and_have_one_content(ranker: Ranker) -> None:
    channel = await ranker.connect()
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)

    async def register(**changes: Any) -> pb.RegisterArtifactResponse:
        return await stub.RegisterArtifact(pb.RegisterArtifactRequest(manifest=manifest(**changes)))

    await register()
    with pytest.raises(grpc.aio.AioRpcError, match="a version has one content") as error:
        await register(pricing="Dear")
    assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert (await register(version=3, pricing="Dear")).artifact.pricing == "Dear"
    with pytest.raises(grpc.aio.AioRpcError, match="registered in version 3"):
        await register(version=2)
    with pytest.raises(grpc.aio.AioRpcError, match="comes with the ranker"):
        await register(id="the-pile")
    known = ranker_pb2_grpc.RankerServiceStub(channel)
    reply = await known.GetArtifact(ranker_pb2.GetArtifactRequest(artifact="thing"))
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
    pair = ranker_pb2.CompareRequest(
        left="the-pile", right="segformer-b4-finetuned-ade-512-512", as_of="2026-01-15"
    )
    other = ranker_pb2.CompareRequest(left="gpt2", right="cc-100-en", as_of="2026-01-15")

    async def statuses() -> list[int]:
        return [(await known.Compare(one)).cache.status for one in (pair, other)]

    miss, hit = ranker_pb2.CACHE_STATUS_MISS, ranker_pb2.CACHE_STATUS_HIT
    assert await statuses() == [miss, miss]
    assert await statuses() == [hit, hit]
    one = pb.InvalidateCacheRequest(artifact="the-pile")
    assert (await stub.InvalidateCache(one)).removed == 1
    assert await statuses() == [miss, hit]
    assert (await stub.InvalidateCache(pb.InvalidateCacheRequest())).removed == 2
    assert await statuses() == [miss, miss]
    with pytest.raises(grpc.aio.AioRpcError, match="no artifact named 'heap'"):
        await stub.InvalidateCache(pb.InvalidateCacheRequest(artifact="heap"))
