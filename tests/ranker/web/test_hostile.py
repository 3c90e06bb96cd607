"""The HTTP port under clients that keep it waiting, send much, or ask for what is not there."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import grpc
import pytest
from assay_rpc.errors import AssayError
from assay_rpc.ranker.v1 import artifact_pb2

from tests.ranker.conftest import Ranker

for _module in ("starlette", "uvicorn", "connectrpc", "jinja2"):
    pytest.importorskip(_module, reason="the extra `page` is not installed")

from services.rpc.serving import http, http_connection  # noqa: E402  needs the extra

RPC = "/assay.ranker.v1.RankerService"
_LONG = 30


class Raw:
    """A connection to the HTTP port that sends what it is told, whole or not."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, ranker: Ranker, limit: int = 1 << 16) -> Raw:
        assert ranker.server is not None
        port = ranker.server.http_port
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=limit))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def status(self) -> int:
        line = await self.reader.readline()
        return int(line.split()[1])

    def close(self) -> None:
        self.writer.transport.abort()


def post(size: int, name: str = "GetRank") -> bytes:
    return (
        f"POST {RPC}/{name} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {size}\r\n\r\n"
    ).encode()


CHUNKED = (
    f"POST {RPC}/ListArtifacts HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    "transfer-encoding: chunked\r\n\r\n"
).encode()


async def test_a_burst_of_connections_is_accepted_a_few_at_a_time(
    ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3,000 that were reset at once kept health checks waiting for 16 seconds."""
    await ranker.start(http_port=0)
    assert ranker.server is not None
    made: list[int] = []
    own = http_connection.Connection.connection_made

    def counted(self: http_connection.Connection, transport: asyncio.Transport) -> None:
        made[-1] += 1
        own(self, transport)

    monkeypatch.setattr(http_connection.Connection, "connection_made", counted)
    burst = []
    for _ in range(500):  # while the loop runs nothing else
        burst.append(one := socket.socket())
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", ranker.server.http_port))
    for _ in range(50):
        made.append(0)
        await asyncio.sleep(0)
    for one in burst:
        one.close()
    assert sum(made) > 100
    assert max(made) <= 130


@pytest.mark.parametrize(("size", "count", "status"), [(1, 20_000, 400), (200, 1000, 200)])
async def test_a_body_in_chunks_of_a_byte_is_refused(
    ranker: Ranker, size: int, count: int, status: int
) -> None:
    """Four such clients kept health checks waiting for 22 seconds."""
    await ranker.start(http_port=0)
    client = await Raw.to(ranker)
    chunk = f"{size:x}\r\n{' ' * size}\r\n".encode()
    await client.send(CHUNKED + chunk * count + b"2\r\n{}\r\n0\r\n\r\n")
    assert await client.status() == status
    client.close()


async def test_small_chunks_behind_an_answer_end_the_connection_and_nothing_is_logged(
    ranker: Ranker, caplog: pytest.LogCaptureFixture
) -> None:
    await ranker.start(http_port=0)
    client = await Raw.to(ranker)
    await client.send(CHUNKED.replace(b"ListArtifacts", b"NoSuchMethod"))
    assert await client.status() == 404
    with contextlib.suppress(ConnectionError):
        await client.send(b"1\r\n \r\n" * 20_000)
        while await client.reader.read(4096):
            pass
    assert "Fatal error" not in caplog.text
    client.close()


@pytest.mark.parametrize(
    "begun",
    [
        b"G",
        b"GET / HTTP/1.1\r\nhost:",
        post(100) + b"{",
    ],
)
@pytest.mark.parametrize("again", [False, True])
async def test_a_client_that_never_finishes_is_hung_up_on(
    ranker: Ranker, monkeypatch: pytest.MonkeyPatch, begun: bytes, again: bool
) -> None:
    for name in ("head", "body"):
        monkeypatch.setitem(http_connection._SECONDS, name, 0.05)
    await ranker.start(http_port=0)
    client = await Raw.to(ranker)
    try:
        if again:
            await client.send(b"GET /static/none HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert await client.status() == 404
        await client.send(begun)
        async with asyncio.timeout(_LONG):
            await client.reader.read()
    except ConnectionError:
        pass
    finally:
        client.close()


@pytest.mark.slow
async def test_so_is_one_that_never_reads(ranker: Ranker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(http_connection._SECONDS, "reader", 0.05)
    await ranker.start(http_port=0)
    client = await Raw.to(ranker, limit=1)

    async def ask_for_ever() -> None:
        while True:
            await client.send(b"GET /methodology HTTP/1.1\r\nhost: localhost\r\n\r\n" * 100)

    try:
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(ask_for_ever(), _LONG)
    finally:
        client.close()


async def test_bodies_that_are_not_whole_are_held_up_to_a_limit(
    ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "HELD_BODIES", 1)
    await ranker.start(http_port=0, max_request_bytes=1 << 18)
    size, part = 1 << 18, 1 << 10
    clients = [await Raw.to(ranker) for _ in range(2)]
    small = await Raw.to(ranker)
    try:
        for client in clients:
            await client.send(post(size) + b" " * (size - part))
        answers = {asyncio.create_task(client.status()): client for client in clients}
        async with asyncio.timeout(_LONG):
            done, left = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        assert [one.result() for one in done] == [429]
        await small.send(post(2) + b"{}")
        assert await small.status() == 400  # it was read: it names no artifact
        (waiting,) = left
        await answers[waiting].send(b" " * (part - 2) + b"{}")
        assert await waiting == 400
    finally:
        for client in (*clients, small):
            client.close()


async def test_a_request_is_as_large_as_the_contract_has_a_use_for(ranker: Ranker) -> None:
    stub = await ranker.start(http_port=0)
    large = artifact_pb2.GetArtifactRequest(artifact="x" * 300_000)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetArtifact(large)
    assert AssayError.of(caught.value).reason == "TOO_LARGE"
    client = await Raw.to(ranker)
    try:
        await client.send(post(300_012, "GetArtifact") + b'{"artifact":"' + b"x" * 299_997 + b'"}')
        assert await client.status() == 429
    finally:
        client.close()


async def test_unknown_methods_leave_no_trace_in_the_metrics(ranker: Ranker) -> None:
    await ranker.start(http_port=0)
    assert ranker.server is not None
    client = await Raw.to(ranker)
    try:
        for path in (
            *(f"/assay.{number}" for number in range(20)),
            f"{RPC}/Nothing",
            f"{RPC}{RPC}/GetRank",
            f"{RPC}//GetRank",
            f"{RPC}/GetRank/",
        ):
            await client.send(f"POST {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
            assert await client.status() == 404, path
            head = await client.reader.readuntil(b"\r\n\r\n")
            fields = dict(
                line.lower().split(b": ", 1) for line in head.split(b"\r\n") if b": " in line
            )
            await client.reader.readexactly(int(fields[b"content-length"]))
    finally:
        client.close()
    methods = {
        sample.labels["method"]
        for family in ranker.server.registry.collect()
        if family.name.startswith("assay_http")
        for sample in family.samples
    }
    assert methods == {""}


async def test_a_form_whose_sender_leaves_is_no_fault_of_the_server(
    ranker: Ranker, capsys: pytest.CaptureFixture[str]
) -> None:
    await ranker.start(http_port=0, try_page=True)
    client = await Raw.to(ranker)
    await client.send(
        b"POST /try/text HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n"
        b"content-type: application/x-www-form-urlencoded\r\nexpect: 100-continue\r\n\r\n"
    )
    assert await client.status() == 100  # its body is waited for
    client.close()
    assert ranker.server is not None
    await ranker.server.stop()  # every request has ended
    labels = {"method": "/assay.corpus.v1.ScoringService/ScoreTexts", "status": "499"}
    assert ranker.server.registry.get_sample_value("assay_http_requests_total", labels) == 1
    assert "Traceback" not in str(capsys.readouterr())
