"""What a client cannot make a server hold: compressed messages, and any number of streams."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.corpus.v1 import stream_pb2
from grpc_health.v1 import health_pb2

from services.errors import InvalidArgument
from services.rpc.call import require_fits
from services.rpc.serving.server import build_server
from services.rpc.settings import ServerSettings
from tests.rpc.echo_server import Echo, echo_service, method

MIB = 1 << 20
UNLIMITED = (("grpc.max_send_message_length", -1),)


def peak(pid: int) -> int:
    """Return the largest resident memory that a process had, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("ascii"))
    assert found
    return int(found[1]) * 1024


@pytest.mark.parametrize("port", ["port", "health_port"])
async def test_a_compressed_request_is_refused_before_it_is_unpacked(
    start_echo: Callable[..., Any], port: str
) -> None:
    with start_echo() as service:
        address = f"127.0.0.1:{getattr(service, port)}"
        before = peak(service.process.pid)
        async with grpc.aio.insecure_channel(
            address, options=UNLIMITED, compression=grpc.Compression.Gzip
        ) as channel:
            call: Any = (
                method(channel, "UnaryUnary")
                if port == "port"
                else channel.unary_unary("/grpc.health.v1.Health/Check")
            )
            flood = [call(bytes(128 * MIB)) for _ in range(4)]
            ended = await asyncio.gather(*flood, return_exceptions=True)
            codes = {error.code() for error in ended if isinstance(error, grpc.aio.AioRpcError)}
            assert codes == {grpc.StatusCode.RESOURCE_EXHAUSTED}
            check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
            assert health_pb2.HealthCheckResponse.FromString(await check(b"")).status
        # One of the four unpacked would be 128 MiB.
        assert peak(service.process.pid) - before < 64 * MIB


def test_lists_are_as_long_as_the_contract_allows() -> None:
    few = stream_pb2.StreamCorpusRequest(resume=[stream_pb2.ResumePoint()] * 1_001)
    few.selection.subsets.extend(map(str, range(1_000)))
    require_fits("the request", few, MIB)
    few.selection.subsets.append("one more")
    with pytest.raises(InvalidArgument, match=r"selection\.subsets: has 1,001 elements"):
        require_fits("the request", few, MIB)
    weights = stream_pb2.StreamCorpusRequest()
    weights.selection.mixture.weights.by_subset.update({str(n): 1.0 for n in range(1_001)})
    with pytest.raises(InvalidArgument, match=r"mixture\.weights\.by_subset: has 1,001"):
        require_fits("the request", weights, MIB)


async def test_calls_over_the_limit_of_a_connection_wait_at_the_client() -> None:
    echo = Echo()
    server = build_server(ServerSettings(max_streams=5), echo_service(echo))
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        hanging = [method(channel, "UnaryUnary")(b"hang") for _ in range(5)]
        while echo.calls < 5:
            await echo.entered.wait()
            await asyncio.sleep(0)
        sixth = asyncio.ensure_future(method(channel, "UnaryUnary")(b"sixth"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(channel, "UnaryUnary")(b"late", timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert echo.calls == 5
        hanging[0].cancel()
        assert await sixth == b"sixth"
        for call in hanging:
            call.cancel()
    await server.stop(0)
