"""A collector of spans: OTLP's own service, in this process on a free port of loopback."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Condition
from types import TracebackType
from typing import Any, Self

import grpc
import pytest

# Of the extra `tracing`.
service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
stubs = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc")

_SECONDS = 60.0


@dataclass(frozen=True)
class Received:
    """A span, and the service that made it."""

    service: str
    resource: dict[str, Any]
    span: Any

    @property
    def trace(self) -> str:
        return bytes(self.span.trace_id).hex()

    @property
    def attributes(self) -> dict[str, Any]:
        return _values(self.span.attributes)


class Collector:
    """Keeps every span that it is sent, while it is entered."""

    def __init__(self) -> None:
        self._received: list[Received] = []
        self._changed = Condition()
        self._server = grpc.server(ThreadPoolExecutor(4))
        stubs.add_TraceServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    @property
    def variables(self) -> dict[str, str]:
        """OTEL_* variables of who is to send its spans here, soon after they end."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._changed:
            for resource in request.resource_spans:
                about = _values(resource.resource.attributes)
                self._received += [
                    Received(str(about["service.name"]), about, span)
                    for scope in resource.scope_spans
                    for span in scope.spans
                ]
            self._changed.notify_all()
        return service.ExportTraceServiceResponse()

    def until(self, enough: Callable[[list[Received]], bool]) -> list[Received]:
        """Wait until what was received is enough; return it."""
        with self._changed:
            found = self._changed.wait_for(lambda: enough(self._received), _SECONDS)
            names = [f"{one.service}: {one.span.name}" for one in self._received]
            assert found, f"not enough of {names}"
            return list(self._received)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop(None).wait()


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
