"""RankerAdminService: parse, one call, build the reply."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from assay_rpc.ranker.v1 import admin_pb2, admin_pb2_grpc

from services.common import identity
from services.errors import InvalidArgument
from services.ranker.api import messages, requests
from services.ranker.api.comparisons import Comparisons
from services.ranker.claims.model import Page
from services.ranker.registration import Registration

Context = grpc.aio.ServicerContext[Any, Any]

_MAX_MANIFEST_BYTES = 64 << 10


class RankerAdminService(admin_pb2_grpc.RankerAdminServiceServicer):
    """Registers manifests, and drops cached comparisons."""

    def __init__(self, registration: Registration, comparisons: Comparisons) -> None:
        self._registration = registration
        self._comparisons = comparisons

    async def ValidateManifest(  # noqa: N802  # the contract's name
        self,
        request: admin_pb2.ValidateManifestRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> admin_pb2.ValidateManifestResponse:
        """See `admin.proto`."""
        checked = self._registration.check(_manifest(request.manifest))
        return admin_pb2.ValidateManifestResponse(
            valid=not checked.errors,
            errors=_findings(checked.errors),
            warnings=_findings(checked.warnings),
        )

    async def RegisterManifest(  # noqa: N802  # the contract's name
        self,
        request: admin_pb2.RegisterManifestRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> admin_pb2.RegisterManifestResponse:
        """See `admin.proto`."""
        who = identity.current()
        entry, time, warnings = await self._registration.register(
            _manifest(request.manifest), who.name if who.verified else ""
        )
        withdrawn = self._registration.withdrawn(entry.id)
        by = self._registration.registered_by(entry.id)
        reply = admin_pb2.RegisterManifestResponse(
            version=withdrawn.withdrawal.version if withdrawn else entry.version,
            register_time=messages.timestamp(time),
            warnings=_findings(warnings),
        )
        if isinstance(entry, Page):
            reply.page.CopyFrom(messages.page(entry, withdrawn=withdrawn, registered_by=by))
        else:
            reply.artifact.CopyFrom(messages.artifact(entry, withdrawn=withdrawn, registered_by=by))
        return reply

    async def InvalidateCache(  # noqa: N802  # the contract's name
        self,
        request: admin_pb2.InvalidateCacheRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> admin_pb2.InvalidateCacheResponse:
        """See `admin.proto`."""
        return admin_pb2.InvalidateCacheResponse(
            removed=await self._comparisons.invalidate(_scope(request))
        )


def _scope(request: admin_pb2.InvalidateCacheRequest) -> str:
    """The artifact whose comparisons go; empty for all."""
    match request.WhichOneof("scope"):
        case "artifact":
            return requests.required("artifact", request.artifact)
        case "all" if request.all:
            return ""
        case "all":
            raise InvalidArgument("all", "is false; set it, or name an artifact")
    raise InvalidArgument("scope", "name an artifact, or set all")


def _manifest(content: bytes) -> bytes:
    if not content:
        raise InvalidArgument("manifest", "is empty; give the bytes of a YAML file")
    if len(content) > _MAX_MANIFEST_BYTES:
        raise InvalidArgument(
            "manifest", f"has {len(content):,} bytes; at most {_MAX_MANIFEST_BYTES:,}"
        )
    return content


def _findings(found: Iterable[tuple[str, str]]) -> list[admin_pb2.ManifestFinding]:
    return [admin_pb2.ManifestFinding(place=place, message=message) for place, message in found]
