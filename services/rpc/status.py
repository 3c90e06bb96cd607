"""The only table from errors to the statuses that callers get.

`TABLE` gives each class of `services.errors` its status code and `ErrorReason`. `status_of` builds
the google.rpc.Status from them, `trailers_of` the metadata that gRPC's own retry policy reads, and
`item_error` the error of one item in a call of many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import grpc
from assay_rpc.common.v1 import common_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from services import errors

DOMAIN = "assay"
"""`ErrorInfo.domain` of every error."""
DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
# gRPC refuses trailers past 8 KiB, and they carry a message up to three times, percent-encoded
# once.
_MAX_MESSAGE_BYTES = 1000
_MAX_RETRY_SECONDS = 3600.0

Code = grpc.StatusCode


@dataclass(frozen=True)
class Entry:
    """Status of one class of error."""

    code: grpc.StatusCode
    reason: common_pb2.ErrorReason.ValueType


def _failed(reason: common_pb2.ErrorReason.ValueType) -> Entry:
    return Entry(Code.FAILED_PRECONDITION, reason)


TABLE: dict[type[errors.AssayError], Entry] = {
    errors.InvalidArgument: Entry(Code.INVALID_ARGUMENT, common_pb2.ERROR_REASON_INVALID_ARGUMENT),
    errors.BadImage: Entry(Code.INVALID_ARGUMENT, common_pb2.ERROR_REASON_BAD_IMAGE),
    errors.ImageTooLarge: Entry(Code.INVALID_ARGUMENT, common_pb2.ERROR_REASON_IMAGE_TOO_LARGE),
    errors.NotFound: Entry(Code.NOT_FOUND, common_pb2.ERROR_REASON_NOT_FOUND),
    errors.DigestMismatch: _failed(common_pb2.ERROR_REASON_DIGEST_MISMATCH),
    errors.CursorMismatch: _failed(common_pb2.ERROR_REASON_CURSOR_MISMATCH),
    errors.IndexRequired: _failed(common_pb2.ERROR_REASON_INDEX_REQUIRED),
    errors.SourceChanged: _failed(common_pb2.ERROR_REASON_SOURCE_CHANGED),
    errors.CheckpointMismatch: _failed(common_pb2.ERROR_REASON_CHECKPOINT_MISMATCH),
    errors.EngineUnavailable: _failed(common_pb2.ERROR_REASON_ENGINE_UNAVAILABLE),
    errors.RequestIdReused: _failed(common_pb2.ERROR_REASON_REQUEST_ID_REUSED),
    errors.RevisionMismatch: Entry(Code.ABORTED, common_pb2.ERROR_REASON_REVISION_MISMATCH),
    errors.VersionConflict: _failed(common_pb2.ERROR_REASON_VERSION_CONFLICT),
    errors.ModelUnusable: _failed(common_pb2.ERROR_REASON_MODEL_UNUSABLE),
    errors.Unsupported: Entry(Code.UNIMPLEMENTED, common_pb2.ERROR_REASON_UNSUPPORTED),
    errors.LicenseNotAccepted: Entry(
        Code.PERMISSION_DENIED, common_pb2.ERROR_REASON_LICENSE_NOT_ACCEPTED
    ),
    errors.DataLoss: Entry(Code.DATA_LOSS, common_pb2.ERROR_REASON_DATA_LOSS),
    errors.Overloaded: Entry(Code.RESOURCE_EXHAUSTED, common_pb2.ERROR_REASON_OVERLOADED),
    errors.TooLarge: Entry(Code.RESOURCE_EXHAUSTED, common_pb2.ERROR_REASON_TOO_LARGE),
    errors.QuotaExceeded: Entry(Code.RESOURCE_EXHAUSTED, common_pb2.ERROR_REASON_QUOTA_EXCEEDED),
    errors.Unauthenticated: Entry(Code.UNAUTHENTICATED, common_pb2.ERROR_REASON_UNAUTHENTICATED),
    errors.Forbidden: Entry(Code.PERMISSION_DENIED, common_pb2.ERROR_REASON_FORBIDDEN),
    errors.StorageFull: Entry(Code.RESOURCE_EXHAUSTED, common_pb2.ERROR_REASON_STORAGE_FULL),
    errors.Unavailable: Entry(Code.UNAVAILABLE, common_pb2.ERROR_REASON_UNAVAILABLE),
    errors.DeadlineExceeded: Entry(
        Code.DEADLINE_EXCEEDED, common_pb2.ERROR_REASON_DEADLINE_EXCEEDED
    ),
    errors.InternalError: Entry(Code.INTERNAL, common_pb2.ERROR_REASON_INTERNAL),
}


def entry_of(error: errors.AssayError) -> Entry:
    """The entry of the error's class, or of its nearest ancestor with an entry."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return TABLE[errors.InternalError]


def status_of(error: errors.AssayError, request_id: str) -> status_pb2.Status:
    """The whole status: code, message, ErrorInfo, RequestInfo and the class's own details."""
    entry = entry_of(error)
    reason = common_pb2.ErrorReason.Name(entry.reason).removeprefix("ERROR_REASON_")
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN),
        error_details_pb2.RequestInfo(request_id=request_id),
    ]
    if isinstance(error, errors.InvalidArgument):
        details.append(_bad_request(error))
    elif isinstance(error, errors.NotFound):
        details.append(
            error_details_pb2.ResourceInfo(
                resource_type=_sendable(error.kind), resource_name=_sendable(error.name)
            )
        )
    elif isinstance(error, errors.Overloaded):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(_retry_seconds(error) * 1e9))
        details.append(retry)
    status = status_pb2.Status(code=entry.code.value[0], message=_sendable(str(error)))
    for detail in details:
        status.details.add().Pack(detail)
    return status


def trailers_of(
    error: errors.AssayError, status: status_pb2.Status
) -> list[tuple[str, str | bytes]]:
    """Trailing metadata: the status's details, and whether gRPC itself may try again."""
    trailers: list[tuple[str, str | bytes]] = [(DETAILS_KEY, status.SerializeToString())]
    if isinstance(error, errors.Overloaded):
        trailers.append((PUSHBACK_KEY, str(math.ceil(_retry_seconds(error) * 1000))))
    elif isinstance(error, errors.TooLarge | errors.StorageFull):
        # The code is Overloaded's, but trying again cannot help: -1 tells gRPC not to.
        trailers.append((PUSHBACK_KEY, "-1"))
    return trailers


def item_error(error: errors.AssayError) -> common_pb2.ItemError:
    """The error that a call for this item alone would have ended with, as part of a message."""
    entry = entry_of(error)
    found = common_pb2.ItemError(
        code=entry.code.value[0], reason=entry.reason, message=_sendable(str(error))
    )
    if isinstance(error, errors.InvalidArgument):
        for violation in _bad_request(error).field_violations:
            found.violations.add(field=violation.field, description=violation.description)
    elif isinstance(error, errors.Overloaded):
        found.retry_after.FromNanoseconds(round(_retry_seconds(error) * 1e9))
    return found


def _bad_request(error: errors.InvalidArgument) -> error_details_pb2.BadRequest:
    """The first violation and as many others as fit into the trailers."""
    told = error_details_pb2.BadRequest()
    for field, problem in error.violations:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_sendable(field), description=_sendable(problem)
        )
        if told.field_violations and told.ByteSize() + violation.ByteSize() > _MAX_MESSAGE_BYTES:
            break
        told.field_violations.append(violation)
    return told


def retry_seconds(error: errors.AssayError) -> int | None:
    """Whole seconds after which to try again; None if that cannot help."""
    return math.ceil(_retry_seconds(error)) if isinstance(error, errors.Overloaded) else None


def _retry_seconds(error: errors.Overloaded) -> float:
    # 0.0 comes first, so that NaN becomes 0.
    return min(max(0.0, error.retry_after), _MAX_RETRY_SECONDS)


def _sendable(text: str) -> str:
    """The text without lone surrogates, cut to what fits into the trailers."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= _MAX_MESSAGE_BYTES:
        return encoded.decode()
    return encoded[:_MAX_MESSAGE_BYTES].decode("utf-8", "ignore") + " ..."
