import asyncio
import contextlib
import http.client
import socket
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from assay_rpc.channel import connect, connect_async
from assay_rpc.connection import Connection
from assay_rpc.ranker.v1 import artifact_pb2, ranker_pb2_grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from prometheus_client import Counter

from services.errors import Unavailable
from services.rpc.serving.listening import StartError
from services.rpc.serving.server import Server, build_server
from services.rpc.settings import ServerSettings
from tests.ports import require_ipv6
from tests.rpc.conftest import EchoClient
from tests.rpc.echo_server import ECHO, RANKER, Echo, echo_service, health_stub, method

Status = health_pb2.HealthCheckResponse


async def health(port: int, name: str = "") -> int:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_stub(channel)
        return int((await stub.Check(health_pb2.HealthCheckRequest(service=name))).status)


async def test_health_says_the_version_and_the_clock() -> None:
    server = build_server(ServerSettings(), echo_service(Echo()))
    await server.start()
    before = time.time_ns() // 1_000_000
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = health_stub(channel).Check(health_pb2.HealthCheckRequest())
        said = dict(await call.initial_metadata())
        await call
    assert said["assay-version"] == metadata.version("assay-services")
    assert before <= int(said["assay-time-ms"]) <= time.time_ns() // 1_000_000
    await server.stop(0)


async def test_health_is_not_serving_until_the_service_is_warm() -> None:
    warming, warm = asyncio.Event(), asyncio.Event()

    async def warm_up() -> None:
        warming.set()
        await warm.wait()

    server = build_server(ServerSettings(), replace(echo_service(Echo()), warm=warm_up))
    starting = asyncio.create_task(server.start())
    await warming.wait()
    for port in (server.port, server.health_port):
        for name in ("", RANKER):
            assert await health(port, name) == Status.NOT_SERVING
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(channel, "UnaryUnary")(b"")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        warm.set()
        await starting
        assert await method(channel, "UnaryUnary")(b"x") == b"x"
    for port in (server.port, server.health_port):
        for name in ("", RANKER):
            assert await health(port, name) == Status.SERVING
    await server.stop(0)


async def test_health_of_an_unknown_service_is_not_found(client: EchoClient) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health(client.server.health_port, "nope")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert RANKER in str(caught.value.details())


async def test_a_watch_is_told_of_the_drain_and_does_not_hold_it(client: EchoClient) -> None:
    stub = health_stub(client.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == Status.SERVING
    # The grace is longer than any test may take: were the watch to hold the drain, it would hang.
    stopping = asyncio.create_task(client.server.stop(grace=10_000))
    assert (await watch.read()).status == Status.NOT_SERVING
    assert await watch.read() is grpc.aio.EOF
    await stopping


@asynccontextmanager
async def draining(server: Server) -> AsyncIterator[asyncio.Task[None]]:
    """Has the server drain, for as long as it takes; the body runs once that has begun."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.health_port}") as channel:
        watch = health_stub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == Status.SERVING
        stopping = asyncio.create_task(server.stop(grace=10_000))
        assert (await watch.read()).status == Status.NOT_SERVING
        yield stopping
        await stopping


@pytest.mark.slow
async def test_a_drain_lets_a_call_in_flight_finish(client: EchoClient) -> None:
    call = method(client.channel, "StreamStream")()
    await call.write(b"before")
    assert await call.read() == b"before"
    async with draining(client.server):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.unary(b"new", timeout=1)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        await call.write(b"after")
        assert await call.read() == b"after"
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


async def test_a_shorter_grace_ends_a_drain_early(client: EchoClient) -> None:
    call = method(client.channel, "UnaryStream")(b"hang")
    assert await call.read() == b"first"
    await client.echo.entered.wait()
    async with draining(client.server):
        await client.server.stop(grace=0)
    await client.echo.cancelled.wait()
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()


async def test_stop_closes_the_service_once_and_after_the_last_call() -> None:
    closed = []

    async def close() -> None:
        closed.append(echo.cancelled.is_set())

    echo = Echo()
    server = build_server(ServerSettings(), replace(echo_service(echo), close=close))
    await server.start()
    async with connect_async(f"127.0.0.1:{server.port}") as channel:
        call = method(channel, "UnaryUnary")(b"hang")
        await echo.entered.wait()
        await asyncio.gather(server.stop(0), server.stop(0))
        call.cancel()
    assert closed == [True]


async def test_a_service_that_cannot_warm_up_frees_its_ports() -> None:
    closed = []

    async def fail() -> None:
        raise Unavailable("no model")

    async def close() -> None:
        closed.append(True)

    service = replace(echo_service(Echo()), warm=fail, close=close)
    server = build_server(ServerSettings(), service)
    with pytest.raises(Unavailable, match="no model"):
        await server.start()
    assert closed == [True]
    for port in (server.port, server.health_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


async def test_reflection_lists_the_services(client: EchoClient) -> None:
    stub: Any = ServerReflectionStub(client.channel)  # type: ignore[arg-type]

    async def ask() -> AsyncIterator[Any]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        yield reflection_pb2.ServerReflectionRequest(file_containing_symbol=RANKER)

    listed, described = [reply async for reply in stub.ServerReflectionInfo(ask())]
    names = {service.name for service in listed.list_services_response.service}
    assert names == {RANKER, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    assert described.file_descriptor_response.file_descriptor_proto


@pytest.mark.parametrize("field", ["port", "health_port", "metrics_port"])
async def test_a_port_in_use_is_named_with_its_variable(field: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = build_server(ServerSettings(**{field: port}), echo_service(Echo()))
        expected = f"port {port}: Address already in use; change ASSAY_{field.upper()} "
        with pytest.raises(StartError, match=expected) as caught:
            await server.start()
    assert "\n" not in str(caught.value)


async def test_an_address_of_another_machine_is_named_with_its_variable() -> None:
    server = build_server(ServerSettings(host="192.0.2.1"), echo_service(Echo()))
    with pytest.raises(StartError, match=r"192\.0\.2\.1 .*assign requested address.*ASSAY_HOST"):
        await server.start()


async def test_a_server_listens_on_ipv6() -> None:
    require_ipv6()
    server = build_server(ServerSettings(host="::1"), echo_service(Echo()))
    await server.start()
    async with connect_async(f"[::1]:{server.port}") as channel:
        assert await method(channel, "UnaryUnary")(b"x") == b"x"
    await server.stop(0)


async def test_a_start_that_is_cancelled_frees_the_ports() -> None:
    warming = asyncio.Event()

    async def warm_up() -> None:
        warming.set()
        await asyncio.Event().wait()

    server = build_server(ServerSettings(), replace(echo_service(Echo()), warm=warm_up))
    starting = asyncio.create_task(server.start())
    await warming.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


async def test_two_servers_live_in_one_process() -> None:
    servers = [build_server(ServerSettings(), echo_service(Echo())) for _ in range(2)]
    for server in servers:
        await server.start()
    ports = {p for s in servers for p in (s.port, s.health_port, s.metrics_port)}
    assert len(ports) == 6
    for server in servers:
        await server.stop(0)


async def test_a_message_over_the_limit_is_resource_exhausted() -> None:
    limit = 1 << 20
    server = build_server(ServerSettings(max_request_bytes=limit), echo_service(Echo()))
    await server.start()
    async with connect_async(f"127.0.0.1:{server.port}") as channel:
        call = method(channel, "UnaryUnary")
        assert await call(b"x" * limit) == b"x" * limit
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"x" * (3 * limit))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await call(b"still there") == b"still there"
    await server.stop(0)


async def test_metrics_are_scraped_over_http_with_the_services_own() -> None:
    own = Counter("echo_things", "Things.", registry=None)
    service = replace(echo_service(Echo()), collectors=(own,))
    server = build_server(ServerSettings(), service)
    await server.start()
    own.inc(3)
    async with connect_async(f"127.0.0.1:{server.port}") as channel:
        await method(channel, "UnaryUnary")(b"x")

    def scrape() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics") as page:
            return str(page.read(), "utf-8")

    text = await asyncio.to_thread(scrape)
    assert "echo_things_total 3.0" in text
    labels = f'grpc_code="OK",grpc_method="UnaryUnary",grpc_service="{ECHO}"'
    assert f"grpc_server_handled_total{{{labels}}} 1.0" in text
    assert "process_resident_memory_bytes" in text
    assert "assay_build_info{" in text
    await server.stop(0)


async def test_metrics_are_not_for_pages_that_rebind_their_name() -> None:
    server = build_server(ServerSettings(), echo_service(Echo()))
    await server.start()

    def scrape(host: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", server.metrics_port, timeout=30)
        connection.request("GET", "/metrics", headers={"Host": host})
        with contextlib.closing(connection), connection.getresponse() as answer:
            return answer.status, answer.read().decode()

    status, page = await asyncio.to_thread(scrape, "evil.example:80")
    assert status == 400
    assert '"evil.example:80" is not a name of this server; use localhost' in page
    status, page = await asyncio.to_thread(scrape, f"localhost:{server.metrics_port}")
    assert status == 200
    assert "assay_build_info{" in page
    await server.stop(0)


def thread_count(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


async def test_scrapers_that_never_finish_take_few_threads(
    start_echo: Callable[..., Any],
) -> None:
    with start_echo() as service, contextlib.ExitStack() as held:
        before = thread_count(service.process.pid)
        for _ in range(200):
            one = held.enter_context(socket.create_connection(("127.0.0.1", service.metrics_port)))
            one.sendall(b"GET /metrics HTTP/1.1\r\n")
        # The last of them was closed without a thread; the service goes on.
        one.settimeout(30)
        with contextlib.suppress(ConnectionResetError):
            assert one.recv(1) == b""
        assert thread_count(service.process.pid) - before <= 20
        async with connect_async(service.address) as channel:
            assert await method(channel, "UnaryUnary")(b"x") == b"x"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    server, client = authority.issue_cert("localhost"), authority.issue_cert("a-client")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, cert in (("server", server), ("client", client)):
        cert.private_key_pem.write_to_path(folder / f"{name}.key")
        for pem in cert.cert_chain_pems:
            pem.write_to_path(folder / f"{name}.pem", append=True)
    return folder


async def test_tls_beside_plaintext_health(certificates: Path) -> None:
    settings = ServerSettings(
        tls_cert=certificates / "server.pem", tls_key=certificates / "server.key"
    )
    server = build_server(settings, echo_service(Echo()))
    await server.start()
    async with connect_async(
        Connection(f"localhost:{server.port}", ca=certificates / "ca.pem")
    ) as channel:
        assert await method(channel, "UnaryUnary")(b"x") == b"x"
    async with grpc.aio.insecure_channel(f"localhost:{server.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await method(channel, "UnaryUnary")(b"x")
    assert await health(server.health_port) == Status.SERVING
    await server.stop(0)


async def test_mutual_tls_asks_for_a_certificate(certificates: Path) -> None:
    settings = ServerSettings(
        tls_cert=certificates / "server.pem",
        tls_key=certificates / "server.key",
        tls_client_ca=certificates / "ca.pem",
    )
    server = build_server(settings, echo_service(Echo()))
    await server.start()
    target, authority = f"localhost:{server.port}", certificates / "ca.pem"
    known = Connection(
        target, ca=authority, cert=certificates / "client.pem", key=certificates / "client.key"
    )
    async with connect_async(known) as channel:
        assert await method(channel, "UnaryUnary")(b"x") == b"x"
    async with connect_async(Connection(target, ca=authority)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(channel, "UnaryUnary")(b"x")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    await server.stop(0)


@pytest.mark.parametrize("content", [None, b"", b"not PEM"])
async def test_a_bad_certificate_file_is_named_with_its_variable(
    certificates: Path, tmp_path: Path, content: Any
) -> None:
    bad = tmp_path / "bad.pem"
    if content is not None:
        bad.write_bytes(content)
    settings = ServerSettings(tls_cert=bad, tls_key=certificates / "server.key")
    with pytest.raises(StartError, match=r"ASSAY_TLS_CERT.*bad\.pem"):
        await build_server(settings, echo_service(Echo())).start()


async def test_a_program_without_asyncio_can_call(client: EchoClient) -> None:
    def call() -> str:
        with connect(f"127.0.0.1:{client.server.port}") as channel:
            stub = ranker_pb2_grpc.RankerServiceStub(channel)
            request = artifact_pb2.ListArtifactsRequest(page_token="t")  # noqa: S106
            return stub.ListArtifacts(request, timeout=10).next_page_token

    assert await asyncio.to_thread(call) == "t"
