"""Random and damaged messages to every method of the three services.

    python -m benchmarks.faults.fuzz_rpcs [--messages N] [--seed N] [--service NAME] [--seconds S]

The services serve the packaged models and corpus; the ranker reaches the other two. Exits with 1 if
a call was a fault (`fuzzer.py`), or if a process died, wrote a traceback or continued calls that
had ended. Faults are printed with the requests that caused them. Memory is compared with that of a
service that has answered every example once, since engines and libraries are loaded at first use.

Calls that end as DEADLINE_EXCEEDED were ended by the fuzzer, after a second: Health.Watch, which
never ends, BenchmarkModel, which takes longer, and sometimes the first picture of another size than
the model's, for which a graph is compiled.

Writes results/faults/fuzz_rpcs.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc
from assay_rpc.audit.v1alpha1 import audit_pb2, corpus_audit_pb2
from assay_rpc.corpus.v1 import benchmark_pb2 as corpus_benchmark_pb2
from assay_rpc.corpus.v1 import corpus_pb2, scoring_pb2
from assay_rpc.ranker.v1 import admin_pb2 as ranker_admin_pb2
from assay_rpc.ranker.v1 import outcome_pb2, ranker_pb2, verification_pb2
from assay_rpc.segment.v1 import admin_pb2, benchmark_pb2, segment_pb2
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from benchmarks import report
from benchmarks.faults.fuzzer import Found, Fuzzer
from benchmarks.faults.running import Running
from services.inference.v2 import open_inference_pb2

_FILES = {
    "segment": (segment_pb2, benchmark_pb2, admin_pb2, open_inference_pb2),
    "corpus": (
        corpus_pb2,
        scoring_pb2,
        audit_pb2,
        corpus_audit_pb2,
        corpus_benchmark_pb2,
    ),
    "ranker": (ranker_pb2, outcome_pb2, verification_pb2, ranker_admin_pb2),
}

# Seconds until abandoned calls have ended: a benchmark first ends its worker process.
_HELD_SECONDS = 30.0


def services_of(name: str) -> list[ServiceDescriptor]:
    """Describe every gRPC service of one of the three, with health, and reflection beside it."""
    files = (*_FILES[name], health_pb2, reflection_pb2)
    return [one for file in files for one in file.DESCRIPTOR.services_by_name.values()]


def started(name: str, folder: Path, home: Path, peers: dict[str, str]) -> Running:
    """Start a service for the fuzzer."""
    variables = {"ASSAY_HOME": str(home)}
    if name == "segment":
        variables["ASSAY_SEGMENT_DESIRED"] = str(folder / "desired.json")
    if name == "ranker":
        variables |= {f"ASSAY_RANKER_{peer.upper()}_ADDR": at for peer, at in peers.items()}
        variables["ASSAY_RANKER_DATABASE"] = str(folder / "evidence.sqlite")
    return Running(name, folder, variables)


async def serving(address: str) -> bool:
    """Whether the service reports that it is ready."""
    async with grpc.aio.insecure_channel(address) as channel:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            reply = health_pb2.HealthCheckResponse.FromString(await check(b"", timeout=30))
        except grpc.aio.AioRpcError:
            return False
        return reply.status == health_pb2.HealthCheckResponse.SERVING


def still_served(service: Running) -> float:
    """Count the calls that a service still serves after a while, though no caller waits."""
    end = time.monotonic() + _HELD_SECONDS
    while (left := service.sample("grpc_server_in_flight")) and time.monotonic() < end:
        time.sleep(0.2)
    return left


def fuzzed(service: Running, messages: int, seed: int, seconds: float) -> Found:
    """Fuzz a running service; a dead process and a traceback in its log are faults too."""
    fuzzer = Fuzzer(service.address, services_of(service.name), seed=seed)
    asyncio.run(fuzzer.warm())
    fuzzer.found.megabytes_before = service.megabytes
    found = asyncio.run(fuzzer.run(messages, seconds))
    if not service.alive:
        found.faults.append(f"{service.name} has died: {service.said()[-2000:]}")
    elif not asyncio.run(serving(service.address)):
        found.faults.append(f"{service.name} is not ready any more")
    elif left := still_served(service):
        found.faults.append(f"{service.name} still serves {left:g} calls that have ended")
    else:
        for code in ("INTERNAL", "UNKNOWN", "DATA_LOSS"):
            if counted := service.sample("grpc_server_handled_total", grpc_code=code):
                found.faults.append(f"{service.name} has counted {counted:g} calls as {code}")
    for line in service.said().splitlines():
        # gRPC logs this if a caller leaves at the moment that its call ends.
        if "ExecuteBatchError raised in core" in line:
            continue
        if "Traceback" in line or "unexpected error" in line:
            found.faults.append(f"{service.name} logged: {line[:3000]}")
    return found


def main() -> int:
    """Fuzz the services that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=1_000_000, help="of all services together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="at most, for each")
    parser.add_argument("--service", choices=_FILES, help="one alone")
    parser.add_argument("--no-result", action="store_true", help="write no result")
    options = parser.parse_args()
    chosen = [options.service] if options.service else list(_FILES)
    rows, facts, faults = [], {}, 0
    peers: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="assay-fuzz-") as scratch:
        folder = Path(scratch)
        for name in chosen:
            with started(name, folder / name, folder / "home", peers) as service:
                peers[name] = service.address
                found = fuzzed(
                    service, options.messages // len(chosen), options.seed, options.seconds
                )
                after = service.megabytes if service.alive else 0.0
            for fault in found.faults:
                print(fault, file=sys.stderr)
            faults += len(found.faults)
            rows.append(
                report.row(
                    f"{name}: calls that were faults, of {found.calls:,}",
                    *("what the contract allows", len(found.faults), 0, "calls"),
                    target=1.0,
                    less_is_better=True,
                )
            )
            rows.append(
                report.row(
                    f"{name}: resident memory after them",
                    *("when every example had been answered once", after),
                    *(found.megabytes_before, "MB"),
                    target=1 / 1.2,
                    less_is_better=True,
                )
            )
            facts[name] = {
                "calls": found.calls,
                "codes": found.table(),
            }
    if not options.no_result:
        report.write(
            "faults/fuzz_rpcs",
            rows,
            packages=("grpcio", "protobuf"),
            processors=os.cpu_count(),
            services=facts,
        )
    else:
        print(json.dumps(facts))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
