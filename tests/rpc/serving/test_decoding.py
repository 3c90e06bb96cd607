"""Bytes that are no message of the method's type, at the services' port and at the health port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from assay_rpc.errors import AssayError
from assay_rpc.ranker.v1 import artifact_pb2
from grpc_health.v1 import health_pb2

from services.errors import InvalidArgument, TooLarge
from services.rpc.serving.decoding import Requests, Sizes, decoded, marking
from tests.rpc.conftest import EchoClient
from tests.rpc.echo_server import RANKER, method

BROKEN = b"\xff\xff\xff"


async def refused(call: Any) -> AssayError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return AssayError.of(caught.value)


async def test_an_undecodable_request_is_refused_with_a_reason_and_counted(
    client: EchoClient,
) -> None:
    call: Any = client.channel.unary_unary(f"/{RANKER}/ListArtifacts")
    error = await refused(call(BROKEN))
    assert error.reason == "INVALID_ARGUMENT"
    assert error.request_id
    assert error.violations[0].field == "request"
    labels = {"grpc_service": RANKER, "grpc_method": "ListArtifacts"}

    def counted() -> float | None:
        wanted = {**labels, "grpc_code": "INVALID_ARGUMENT"}
        return client.server.registry.get_sample_value("grpc_server_handled_total", wanted)

    async with asyncio.timeout(30):
        while counted() is None:  # noqa: ASYNC110  (another task's, after the answer)
            await asyncio.sleep(0)
    assert counted() == 1


@pytest.mark.parametrize("port", ["port", "health_port"])
@pytest.mark.parametrize("name", ["Check", "List"])
async def test_so_is_an_undecodable_probe(client: EchoClient, port: str, name: str) -> None:
    if not hasattr(health_pb2, "HealthListRequest") and name == "List":
        pytest.skip("these stubs of grpc_health are from before the method")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{getattr(client.server, port)}") as channel:
        call: Any = channel.unary_unary(f"/grpc.health.v1.Health/{name}")
        assert (await refused(call(BROKEN))).reason == "INVALID_ARGUMENT"
        watch: Any = channel.unary_stream("/grpc.health.v1.Health/Watch")
        assert (await refused(watch(BROKEN).read())).reason == "INVALID_ARGUMENT"


@pytest.mark.parametrize("port", ["port", "health_port"])
async def test_an_unknown_name_is_not_found_with_a_reason(client: EchoClient, port: str) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{getattr(client.server, port)}") as channel:
        call: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        asked = health_pb2.HealthCheckRequest(service="nope").SerializeToString()
        assert (await refused(call(asked))).reason == "NOT_FOUND"


async def test_the_health_of_all_services_is_listed(client: EchoClient) -> None:
    kind: Any = getattr(health_pb2, "HealthListResponse", None)
    if kind is None:
        pytest.skip("these stubs of grpc_health are from before the method")
    call: Any = client.channel.unary_unary("/grpc.health.v1.Health/List")
    statuses = kind.FromString(await call(b"")).statuses
    assert set(statuses) == {"", RANKER}
    assert {one.status for one in statuses.values()} == {health_pb2.HealthCheckResponse.SERVING}


def test_what_is_too_large_is_not_decoded() -> None:
    read: Any = marking(lambda _: pytest.fail("it was decoded"), 10)
    with pytest.raises(TooLarge, match="the request has 11 bytes and the server takes 10"):
        decoded(read(bytes(11)))
    read = marking(bytes.hex, 10)
    assert decoded(read(bytes(10))) == "00" * 10


async def test_a_stream_is_read_up_to_what_cannot_be_decoded() -> None:
    read: Any = marking(artifact_pb2.GetArtifactRequest.FromString)
    good = artifact_pb2.GetArtifactRequest(artifact="x")

    async def sent() -> AsyncIterator[Any]:
        yield read(good.SerializeToString())
        yield read(BROKEN)

    requests = Requests(sent(), Sizes())
    assert await anext(requests) == good
    with pytest.raises(InvalidArgument, match="is not a message of the method's type"):
        await anext(requests)


async def test_of_a_streams_messages_the_size_is_known(client: EchoClient) -> None:
    """Without encoding them again, which for large ones stops the event loop."""
    sent = [b"how large is this?", b"how large", b"how large is " + bytes(1 << 20)]
    call: Any = method(client.channel, "StreamStream")(iter(sent))
    assert [int(answer) async for answer in call] == [len(one) for one in sent]
