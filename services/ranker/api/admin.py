"""RankerAdminService: parse, one call, build the reply."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from assay.ranker.v1 import admin_pb2 as pb
from assay.ranker.v1 import admin_pb2_grpc as pb_grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.errors import InvalidArgument, Unavailable
from services.ranker.api import replies
from services.ranker.api.comparisons import Comparisons
from services.ranker.registration import Registration

Context = grpc.aio.ServicerContext[Any, Any]

_MAX_BYTES = 1 << 20


class RankerAdminService(pb_grpc.RankerAdminServiceServicer):
    """Registers artifacts. Give it its parts with `attach` once they are open."""

    def __init__(self) -> None:
        self._parts: tuple[Registration, Comparisons] | None = None

    def attach(self, registration: Registration, comparisons: Comparisons) -> None:
        """Take what registers, and whose cache is looked after."""
        self._parts = registration, comparisons

    async def ValidateManifest(  # noqa: N802  # the contract's name
        self,
        request: pb.ValidateManifestRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.ValidateManifestResponse:
        """See `admin.proto`."""
        registration, _ = self._opened()
        checked = registration.check(_manifest(request.manifest))
        return pb.ValidateManifestResponse(
            valid=not checked.errors,
            errors=_findings(checked.errors),
            warnings=_findings(checked.warnings),
        )

    async def RegisterArtifact(  # noqa: N802  # the contract's name
        self,
        request: pb.RegisterArtifactRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.RegisterArtifactResponse:
        """See `admin.proto`."""
        registration, _ = self._opened()
        artifact, time, warnings = await registration.register(_manifest(request.manifest))
        stamp = Timestamp()
        stamp.FromDatetime(time)
        return pb.RegisterArtifactResponse(
            artifact=replies.artifact(artifact),
            version=artifact.version,
            time=stamp,
            warnings=_findings(warnings),
        )

    async def InvalidateCache(  # noqa: N802  # the contract's name
        self,
        request: pb.InvalidateCacheRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.InvalidateCacheResponse:
        """See `admin.proto`."""
        _, comparisons = self._opened()
        return pb.InvalidateCacheResponse(removed=await comparisons.invalidate(request.artifact))

    def _opened(self) -> tuple[Registration, Comparisons]:
        if self._parts is None:
            raise Unavailable("the ranker is still starting")
        return self._parts


def _manifest(content: bytes) -> bytes:
    if not content:
        raise InvalidArgument("manifest", "is empty; give the bytes of a YAML file")
    if len(content) > _MAX_BYTES:
        raise InvalidArgument("manifest", f"has {len(content):,} bytes; at most {_MAX_BYTES:,}")
    return content


def _findings(found: Iterable[tuple[str, str]]) -> list[pb.ManifestFinding]:
    return [pb.ManifestFinding(place=place, message=message) for place, message in found]
