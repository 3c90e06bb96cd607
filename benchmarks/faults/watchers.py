"""Hundreds of browsers that follow a verification; some never read, and some leave."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

from assay_rpc.channel import connect
from assay_rpc.ranker.v1 import verification_pb2, verification_pb2_grpc

from benchmarks.faults.attacks import BACK, PROBE_SECONDS, SETTLES_SECONDS, limit_of
from benchmarks.faults.callers import CALLS, PAIR
from benchmarks.faults.load import Load
from benchmarks.faults.probes import Probes
from benchmarks.faults.running import MemoryLimit, Running
from benchmarks.faults.table import Row, row

_READERS, _SILENT, _LEAVING, _TOO_MANY = 200, 30, 26, 20
_JOBS = 12
_COME_SECONDS, _SECONDS = 3.0, 300.0
_WHAT = "256 browsers follow a verification (30 never read, 26 leave), and 20 more come"


async def _open(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    """Request events as a browser does; return the connection and the answer's first line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return reader, writer, await reader.readline()


async def _reads(port: int, path: str) -> str:
    """Read to the end; return the outcome."""
    reader, writer, status = await _open(port, path)
    said = await reader.readuntil(b"\r\n\r\n") if b" 200 " in status else b""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while b" 200 " in status and b"event: end" not in said:
            said = await reader.readuntil(b"\n")
    writer.close()
    if b" 200 " not in status:
        return status.split()[1].decode()
    return "end" if b"event: end" in said else "cut off"


async def _leaves(port: int, path: str, now: asyncio.Event) -> None:
    """Disconnect in the middle of the events, when the event is set."""
    _, writer, _ = await _open(port, path)
    await now.wait()
    writer.transport.abort()


def _silent(port: int, path: str) -> socket.socket:
    """Send the request and never read, with the smallest possible buffer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    connection.connect(("127.0.0.1", port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return connection


async def _watch(port: int, path: str) -> tuple[Counter[str], Counter[str]]:
    """The outcomes of the browsers that read, and of those beyond the limit."""
    silent = [_silent(port, path) for _ in range(_SILENT)]
    readers = [asyncio.create_task(_reads(port, path)) for _ in range(_READERS)]
    now = asyncio.Event()
    leaving = [asyncio.create_task(_leaves(port, path, now)) for _ in range(_LEAVING)]
    await asyncio.sleep(_COME_SECONDS)
    async with asyncio.timeout(_SECONDS):
        more = await asyncio.gather(*(_reads(port, path) for _ in range(_TOO_MANY)))
        now.set()
        ended = await asyncio.gather(*readers)
        await asyncio.gather(*leaving)
    for one in silent:
        one.close()
    return Counter(ended), Counter(more)


def _submitted(ranker: Running, word: str) -> str:
    """Submit verifications, one after the other; return the path of the last one's events."""
    with connect(ranker.address) as channel:
        stub = verification_pb2_grpc.VerificationServiceStub(channel)
        for number in range(_JOBS):
            request = verification_pb2.SubmitVerificationRequest(
                artifact=PAIR[number % 2], request_id=f"{word} {number}"
            )
            job = stub.SubmitVerification(request).job
    return f"/verifications/{job.id}/events"


def watched(folder: Path, home: Path) -> list[Row]:
    """Follow the last of several verifications of a ranker under its limit."""
    limit = MemoryLimit(limit_of("ranker"), "watched")
    with ExitStack() as stack:
        peers = {
            f"ASSAY_RANKER_{name.upper()}_ADDR": stack.enter_context(
                Running(name, folder / name, {"ASSAY_HOME": str(home)})
            ).address
            for name in ("segment", "corpus")
        }
        variables = peers | {
            "ASSAY_HOME": str(home),
            "ASSAY_RANKER_DATABASE": str(folder / "evidence.sqlite"),
            "ASSAY_RANKER_HTTP_PORT": "0",
        }
        ranker = stack.enter_context(Running("ranker", folder, variables, limit=limit))
        with Load(CALLS["ranker"](ranker.address), clients=2) as load:
            load.answered(20)
        asyncio.run(_reads(ranker.http_port, _submitted(ranker, "before")))
        before, held = ranker.megabytes, ranker.descriptors
        path = _submitted(ranker, "watched")
        with Probes(f"127.0.0.1:{ranker.health_port}") as probes:
            begun = time.monotonic()
            ended, late = asyncio.run(_watch(ranker.http_port, path))
            seconds = time.monotonic() - begun
        settled = time.monotonic() + SETTLES_SECONDS
        while time.monotonic() < settled and (
            ranker.megabytes > before * BACK or ranker.descriptors > held
        ):
            time.sleep(0.5)
        alive = ranker.alive and not limit.kills()
        after, peak, left = ranker.megabytes, ranker.peak_megabytes, ranker.descriptors - held
        # The new verdicts have changed the comparison.
        with Load(CALLS["ranker"](ranker.address), clients=1) as load:
            load.answered(5, seconds=20)
        served = len(load.calls.seconds) >= 5 and not load.calls.failed
    refused = _TOO_MANY - late["end"]
    says = f"in {seconds:.0f} s; {refused} of the {_TOO_MANY} more were refused"
    bound = limit_of("ranker") / 1e6
    return [
        row(_WHAT, "processes that ended", float(not alive), 0, ""),
        row(_WHAT, "readers that do not see the end", _READERS - ended["end"], 0, "", says),
        row(_WHAT, "largest resident memory", peak, bound, "MB", "its manifest's limit"),
        row(_WHAT, "slowest probe meanwhile", probes.worst, PROBE_SECONDS, "s"),
        row(_WHAT, "memory after, of that before", after / before, BACK, "times"),
        row(_WHAT, "descriptors that stay open", max(0, left), 0, ""),
        row(_WHAT, "does not serve afterwards", float(not served), 0, ""),
    ]
