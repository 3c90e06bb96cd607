"""Services that commands would use: whether they answer, their version, their clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import grpc
from assay_rpc.channel import connect
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.cli.connections.remote import connection_to, running_address
from services.cli.connections.running import announced_address
from services.cli.doctor.finding import Finding, Level

_SECONDS = 3.0
_SKEW_SECONDS = 5.0


def service(name: str) -> Iterator[Finding]:
    """The named service, if one is configured or `assay up` runs it."""
    subject = f"service {name}"
    address = running_address(name)
    variable = f"ASSAY_{name.upper()}_ADDR"
    if address is None and (address := announced_address(name)) is None:
        yield Finding(
            subject, Level.OFF, "none is named; commands start a private one", f"set {variable}"
        )
        return
    with connect(connection_to(address)) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its attributes are missing from the types
        asked = time.time()
        try:
            reply, call = stub.Check.with_call(
                health_pb2.HealthCheckRequest(), timeout=_SECONDS, wait_for_ready=False
            )
        except grpc.RpcError as error:
            yield Finding(
                subject,
                Level.WRONG,
                f"does not answer at {address}: {error.details()}",
                f"start it, or correct {variable}; for TLS see ASSAY_TLS and ASSAY_TLS_CA",
            )
            return
        answered = time.time()
        said = {str(key): str(value) for key, value in call.initial_metadata()}
    if reply.status != health_pb2.HealthCheckResponse.SERVING:
        yield Finding(subject, Level.WARNING, f"{address} answers, and is not ready", "wait")
        return
    version, ours = said.get("assay-version", "unknown"), metadata.version("assay-services")
    found = f"{address}, version {version}"
    if version == ours:
        yield Finding(subject, Level.FINE, found)
    else:
        yield Finding(
            subject, Level.WARNING, f"{found}, this command {ours}", "run the same version of both"
        )
    yield from _skew(subject, said.get("assay-time-ms"), asked, answered)


def _skew(subject: str, told: str | None, asked: float, answered: float) -> Iterator[Finding]:
    """A warning if the service's clock is seconds away from this machine's."""
    if told is None:
        return
    there = int(told) / 1000
    apart = max(asked - there, there - answered, 0.0)
    if apart > _SKEW_SECONDS:
        yield Finding(
            subject,
            Level.WARNING,
            f"its clock is {apart:.0f} s from this machine's",
            "turn time synchronisation on, on both",
        )
