"""Whether a service traces its calls: its own setting, and OpenTelemetry's standard variables."""

from __future__ import annotations

import os
from importlib import metadata

from services.rpc.tracing.tracing import Tracing

_PACKAGES = (
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-grpc",
    "opentelemetry-instrumentation-grpc",
    "opentelemetry-instrumentation-redis",
)
_EXPORTER = "OTEL_TRACES_EXPORTER"
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def require_tracing() -> None:
    """Raise ValueError with the remedy if traces are requested but cannot be sent."""
    for package in _PACKAGES:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            raise ValueError(f"needs {package}: install the extra `tracing`, or unset it") from None
    exporter = os.environ.get(_EXPORTER) or "otlp"
    if exporter not in {"otlp", "none"}:
        raise ValueError(f"{_EXPORTER} is {exporter!r}: spans are sent by otlp, or by none")
    for variable in _PROTOCOLS:
        protocol = os.environ.get(variable) or "grpc"
        if protocol != "grpc":
            raise ValueError(
                f"{variable} is {protocol!r}: spans are sent by grpc, which collectors take at "
                "port 4317"
            )


def tracing_of(wanted: bool, service: str) -> Tracing:
    """Return the tracing of a service, such as "segment"; it does nothing unless it is on."""
    if not wanted or os.environ.get(_EXPORTER) == "none":
        return Tracing()
    # The module needs an extra, and is imported only if tracing is on.
    from services.rpc.tracing.otel import OtelTracing  # noqa: PLC0415

    return OtelTracing(service)
