"""A server that says another version, or has another time."""

from __future__ import annotations

import time
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc


class OldHealth(health_pb2_grpc.HealthServicer):
    """Ready, of a version, with a clock that is `away` seconds ahead."""

    def __init__(self, version: str, away: float) -> None:
        self._said = version, away

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The state, as Assay's own servers say it."""
        version, away = self._said
        now = round((time.time() + away) * 1000)
        context.send_initial_metadata((("assay-version", version), ("assay-time-ms", str(now))))
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
