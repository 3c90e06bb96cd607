"""The echo service as a process: how it starts, says that it is ready, and ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.channel import connect_async
from grpc_health.v1 import health_pb2

from tests.rpc.echo_server import health_stub, method

ROOT = Path(__file__).parents[3]
Status = health_pb2.HealthCheckResponse


def end_of(variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs the echo service with variables that keep it from starting."""
    return subprocess.run(
        [sys.executable, str(ROOT / "tests" / "rpc" / "echo_server.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains(start_echo: Callable[..., Any], number: signal.Signals) -> None:
    with start_echo({"ASSAY_ECHO_DRAIN_SECONDS": "3600"}) as service:
        async with (
            connect_async(service.address) as channel,
            grpc.aio.insecure_channel(f"127.0.0.1:{service.health_port}") as probe,
        ):
            watch = health_stub(probe).Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == Status.SERVING
            call = method(channel, "StreamStream")()
            await call.write(b"before")
            assert await call.read() == b"before"

            service.process.send_signal(number)
            assert (await watch.read()).status == Status.NOT_SERVING
            async with grpc.aio.insecure_channel(service.address) as late:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await method(late, "UnaryUnary")(b"late", timeout=30)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

            await call.write(b"after")
            assert await call.read() == b"after"
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            assert await call.code() is grpc.StatusCode.OK
        assert service.process.wait(60) == 0
        events = [json.loads(line)["event"] for line in service.log.read_text().splitlines()]
        assert [e for e in events if e not in ("call", "change")] == [
            "serving",
            "draining",
            "stopped",
        ]


async def test_a_second_signal_ends_the_drain(start_echo: Callable[..., Any]) -> None:
    with start_echo({"ASSAY_ECHO_DRAIN_SECONDS": "3600"}) as service:
        async with (
            connect_async(service.address) as channel,
            grpc.aio.insecure_channel(f"127.0.0.1:{service.health_port}") as probe,
        ):
            watch = health_stub(probe).Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == Status.SERVING
            call = method(channel, "UnaryStream")(b"hang")
            assert await call.read() == b"first"
            service.process.send_signal(signal.SIGTERM)
            assert (await watch.read()).status == Status.NOT_SERVING
            service.process.send_signal(signal.SIGTERM)
            with pytest.raises(grpc.aio.AioRpcError):
                await call.read()
        assert service.process.wait(60) == 0


def test_the_ready_file_goes_when_the_service_does(start_echo: Callable[..., Any]) -> None:
    with start_echo() as service:
        assert len({service.port, service.health_port, service.metrics_port}) == 3
        assert service.stop() == 0
    assert not (service.log.parent / "ready.json").exists()


@pytest.mark.parametrize("kind", ["PORT", "HEALTH_PORT", "METRICS_PORT"])
def test_a_port_in_use_is_one_clear_line(kind: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = end_of({f"ASSAY_ECHO_{kind}": str(port)})
    assert ended.returncode == 1
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("echo: cannot start")]
    assert str(port) in line
    assert f"ASSAY_ECHO_{kind} " in line


def test_a_bad_setting_is_one_clear_line() -> None:
    ended = end_of({"ASSAY_ECHO_PORT": "many"})
    assert ended.returncode == 2
    assert ended.stderr.startswith("bad setting: ASSAY_ECHO_PORT: ")
    assert ended.stderr.count("\n") == 1


def test_a_ready_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    ended = end_of({"ASSAY_ECHO_READY_FILE": str(tmp_path / "nowhere" / "ready")})
    assert ended.returncode == 1
    assert "ASSAY_ECHO_READY_FILE: cannot write" in ended.stderr.splitlines()[-1]


WARMING = """
import asyncio, sys, time
from dataclasses import replace
from services.rpc.serving.process import run
from tests.rpc.echo_server import Echo, EchoSettings, echo_service
async def waits():
    print("warming", flush=True)
    await asyncio.Event().wait()
def blocks():
    print("warming", flush=True)
    time.sleep(3600)
async def in_a_thread():
    await asyncio.to_thread(blocks)
async def close():
    if sys.argv[2:]:
        await asyncio.to_thread(time.sleep, 3600)
service = replace(echo_service(Echo()), warm=globals()[sys.argv[1]], close=close)
sys.exit(run(EchoSettings(), service))
"""


@pytest.mark.parametrize("words", [["waits"], ["in_a_thread"], ["in_a_thread", "close"]], ids=str)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_warming_up_ends_the_service(
    words: list[str], number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WARMING, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "warming\n"
        process.send_signal(number)
        assert process.wait(60) == 0


LEAVING = """
import sys, threading, time
from dataclasses import replace
from services.common import left_behind
from services.rpc.serving.process import run
from tests.rpc.echo_server import Echo, EchoSettings, echo_service
async def warm():
    left_behind.add("a load")
    threading.Thread(target=time.sleep, args=(3600,)).start()
    print("left", flush=True)
settings = EchoSettings(port=0, health_port=0, metrics_port=0)
sys.exit(run(settings, replace(echo_service(Echo()), warm=warm)))
"""


def test_a_service_ends_without_what_was_left_behind(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    with subprocess.Popen(
        [sys.executable, "-c", LEAVING],
        cwd=ROOT,
        env={**os.environ, "ASSAY_ECHO_READY_FILE": str(ready)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "left\n"
        while not ready.exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


FAILING = """
import sys
from dataclasses import replace
from services.rpc.serving.process import run
from tests.rpc.echo_server import Echo, EchoSettings, echo_service
async def warm():
    raise ZeroDivisionError("a bug")
sys.exit(run(EchoSettings(), replace(echo_service(Echo()), warm=warm)))
"""


def test_a_bug_while_warming_up_is_logged_with_its_traceback() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FAILING], cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    entry = json.loads(ended.stderr.splitlines()[-1])
    assert entry["error"] == "ZeroDivisionError('a bug')"
    assert "Traceback" in entry["exception"]
