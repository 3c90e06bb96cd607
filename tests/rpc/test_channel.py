import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc import channel as channel_module
from assay_rpc.audit.v1alpha1 import audit_pb2, corpus_audit_pb2
from assay_rpc.channel import connect_async, service_config
from assay_rpc.corpus.v1 import benchmark_pb2 as corpus_benchmark_pb2
from assay_rpc.corpus.v1 import corpus_pb2, scoring_pb2
from assay_rpc.ranker.v1 import admin_pb2 as ranker_admin_pb2
from assay_rpc.ranker.v1 import (
    artifact_pb2,
    outcome_pb2,
    ranker_pb2,
    ranker_pb2_grpc,
    verification_pb2,
)
from assay_rpc.segment.v1 import admin_pb2 as segment_admin_pb2
from assay_rpc.segment.v1 import benchmark_pb2 as segment_benchmark_pb2
from assay_rpc.segment.v1 import segment_pb2

from services.rpc.serving import listening
from services.rpc.serving.server import build_server
from services.rpc.settings import ServerSettings
from tests.rpc.conftest import EchoClient
from tests.rpc.echo_server import ECHO, Echo, echo_service, method

FILES = (
    *(segment_pb2, segment_benchmark_pb2, segment_admin_pb2),
    *(audit_pb2, corpus_audit_pb2, corpus_pb2, scoring_pb2, corpus_benchmark_pb2),
    *(ranker_pb2, verification_pb2, outcome_pb2, ranker_admin_pb2),
)
# Streams of requests: what was sent is gone, so gRPC cannot send it again.
NEVER_RETRIED = {"SegmentImages", "EvaluateSegmentation", "VerifyProof", "AuditCorpus"}


def methods() -> dict[tuple[str, str], Any]:
    """Every method of the contract."""
    return {
        (service.full_name, rpc.name): rpc
        for file in FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for rpc in service.methods
    }


def config_of(service: str, name: str) -> dict[str, Any]:
    """The method's entry: its own, else its service's."""
    entries = json.loads(service_config())["methodConfig"]
    for wanted in ({"service": service, "method": name}, {"service": service}):
        for entry in entries:
            if wanted in entry["name"]:
                return dict(entry)
    raise AssertionError(f"{service}/{name} has no entry")


def test_every_name_in_the_service_config_exists() -> None:
    known = {service for service, _ in methods()}
    for entry in json.loads(service_config())["methodConfig"]:
        for name in entry["name"]:
            assert name["service"] in known
            if "method" in name:
                assert (name["service"], name["method"]) in methods()


@pytest.mark.parametrize(("service", "name"), methods())
def test_every_method_has_a_time_limit(service: str, name: str) -> None:
    seconds = float(config_of(service, name)["timeout"].removesuffix("s"))
    method = methods()[service, name]
    streams = method.client_streaming or method.server_streaming
    # GetDocuments may have to decompress whole shards, ScoreTexts has work of an hour.
    longer = {"GetDocuments": 300, "ScoreTexts": 3600, "AuditBPB": 3600}
    assert seconds >= 3600 if streams else seconds <= longer.get(name, 60)


@pytest.mark.parametrize(("service", "name"), methods())
def test_only_what_may_be_repeated_is_retried(service: str, name: str) -> None:
    assert ("retryPolicy" in config_of(service, name)) == (name not in NEVER_RETRIED)


@pytest.mark.slow
async def test_replicas_that_stop_under_load_fail_no_call() -> None:
    """Clients go on at the others; what reached a replica too late is tried again there."""
    replicas = [build_server(ServerSettings(), echo_service(Echo())) for _ in range(4)]
    for replica in replicas:
        await replica.start()
    target = "ipv4:" + ",".join(f"127.0.0.1:{replica.port}" for replica in replicas)
    answered = 0

    async def client() -> None:
        nonlocal answered
        async with connect_async(target) as channel:
            stub = ranker_pb2_grpc.RankerServiceStub(channel)
            while True:
                await stub.ListArtifacts(artifact_pb2.ListArtifactsRequest(), timeout=60)
                answered += 1

    async def more() -> None:
        """Return when all clients have had answers; raise what ended one."""
        wanted = answered + 100
        while answered < wanted:
            await asyncio.sleep(0.01)
            for task in clients:
                assert not task.done(), task.exception()

    clients = [asyncio.create_task(client()) for _ in range(8)]
    for replica in replicas[1:]:
        await more()
        await replica.stop(grace=60)
    await more()
    for task in clients:
        task.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    await replicas[0].stop(0)


def test_the_channel_takes_what_the_servers_send() -> None:
    assert ServerSettings().max_message_bytes == channel_module.MAX_MESSAGE_BYTES


def test_the_wheel_holds_the_service_config() -> None:
    assert Path(channel_module.__file__).with_name("service_config.json").is_file()


def test_an_empty_target_is_refused() -> None:
    with pytest.raises(ValueError, match="target is empty"):
        connect_async("")


async def test_an_unreachable_server_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with connect_async(f"127.0.0.1:{unused.getsockname()[1]}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await method(channel, "UnaryUnary")(b"", timeout=30)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "dns:///127.0.0.1"])
async def test_a_proxy_is_not_asked_for_this_machines_own_addresses(
    monkeypatch: pytest.MonkeyPatch, client: EchoClient, host: str
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("no_grpc_proxy", raising=False)
        async with connect_async(f"{host}:{client.server.port}") as channel:
            assert await method(channel, "UnaryUnary")(b"x", timeout=30) == b"x"


@pytest.mark.parametrize("target", ["example.org:1", "127.0.0.1.example.org:1", "localhost2:1"])
def test_a_proxy_is_asked_for_other_machines(target: str) -> None:
    assert dict(channel_module.options(target))["grpc.enable_http_proxy"] == 1


async def test_a_refusal_with_pushback_is_retried(client: EchoClient) -> None:
    """With the retry policy of the services' own methods, on the echo service."""
    config = json.loads(service_config())
    policy = config_of("assay.segment.v1.SegmentService", "SegmentImage")
    config["methodConfig"] = [{**policy, "name": [{"service": ECHO}]}]
    options: list[Any] = [("grpc.service_config", json.dumps(config))]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{client.server.port}", options) as channel:
        assert await method(channel, "UnaryUnary")(b"flaky") == b"flaky"
        assert client.echo.calls == 2
        with pytest.raises(grpc.aio.AioRpcError):
            await method(channel, "UnaryUnary")(b"TooLarge")
        assert client.echo.calls == 3, "a pushback of -1 must end the retries"


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 4, 6, 7
ACK = 1


def frame(kind: int, payload: bytes = b"", flags: int = 0) -> bytes:
    """An HTTP/2 frame of the connection as a whole (stream 0)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + bytes(4) + payload


def answers_to_pings(port: int, count: int) -> list[int]:
    """Types of the answers to so many pings, each sent once the one before was answered."""
    answers = []
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as connection,
        connection.makefile("rb") as stream,
    ):
        connection.sendall(PREFACE + frame(SETTINGS) + frame(SETTINGS, flags=ACK))
        for number in range(count):
            connection.sendall(frame(PING, number.to_bytes(8, "big")))
            kind = None
            while kind not in (PING, GOAWAY):
                header = stream.read(9)
                payload = stream.read(int.from_bytes(header[:3], "big"))
                kind = header[3]
                if kind == PING and not header[4] & ACK:  # the server's own
                    connection.sendall(frame(PING, payload, ACK))
                    kind = None
            answers.append(kind)
            if kind == GOAWAY:
                break
    return answers


async def test_the_servers_ping_limit_is_the_one_it_names(
    monkeypatch: pytest.MonkeyPatch, client: EchoClient
) -> None:
    """A wrong option name is silently ignored, and gRPC's own limit is one ping in five minutes."""
    limited = await asyncio.to_thread(answers_to_pings, client.server.port, 20)
    assert limited[-1] == GOAWAY
    monkeypatch.setattr(listening, "MIN_PING_INTERVAL_MS", 0)
    server = build_server(ServerSettings(), echo_service(Echo()))
    await server.start()
    assert await asyncio.to_thread(answers_to_pings, server.port, 20) == [PING] * 20
    await server.stop(0)


def test_the_channel_pings_no_more_often_than_the_server_allows() -> None:
    every = dict(channel_module.options("localhost:1"))["grpc.keepalive_time_ms"]
    assert int(every) >= 2 * listening.MIN_PING_INTERVAL_MS
