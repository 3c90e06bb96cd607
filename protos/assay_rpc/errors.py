"""What a call of a client raises: an AssayError, whose class says why.

    from assay_rpc.errors import IndexRequired, Overloaded

    try:
        ...
    except Overloaded as error:
        time.sleep(error.retry_after or 1.0)

Programs that call the stubs make one of their grpc.RpcError: `AssayError.of(error)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from assay_rpc.common.v1 import common_pb2

_DETAILS = "grpc-status-details-bin"
_REQUEST_ID = "x-request-id"
_DOMAIN = "assay"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class Violation:
    """A field of the request that is wrong: its path, and what is wrong with it."""

    field: str
    description: str


class AssayError(Exception):
    """A call that failed.

    `code` is the status. `reason` is the name of its assay.common.v1.ErrorReason without the
    prefix, or empty; a later server may have names that this version does not know. `violations`
    are all wrong fields, `retry_after` is in seconds, and `request_id` identifies the call in the
    server's log. Any of them may be missing.
    """

    REASON: ClassVar[str] = ""
    """The reason that the class stands for."""

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        reason: str | None = None,
        violations: Iterable[Violation] = (),
        retry_after: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = self.REASON if reason is None else reason
        self.violations = tuple(violations)
        self.retry_after = retry_after
        self.request_id = request_id

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.message, {**self.__dict__})

    @staticmethod
    def of(error: grpc.RpcError) -> AssayError:
        """The error that a stub raised, with what its trailers say."""
        if not isinstance(error, (grpc.Call, grpc.aio.AioRpcError)):
            return AssayError(str(error))
        code, trailers = error.code(), dict(error.trailing_metadata() or ())
        found: dict[str, Any] = {"request_id": trailers.get(_REQUEST_ID, "")}
        reason = ""
        for detail in _details(trailers.get(_DETAILS, b"")):
            if (info := _unpacked(detail, error_details_pb2.ErrorInfo)) is not None:
                reason = info.reason if info.domain == _DOMAIN else reason
            elif (wrong := _unpacked(detail, error_details_pb2.BadRequest)) is not None:
                found["violations"] = [
                    Violation(one.field, one.description) for one in wrong.field_violations
                ]
            elif (retry := _unpacked(detail, error_details_pb2.RetryInfo)) is not None:
                found["retry_after"] = retry.retry_delay.ToNanoseconds() / 1e9
        kind = _BY_REASON.get(reason) if reason else _BY_CODE.get(code)
        return (kind or AssayError)(error.details() or code.name, code=code, reason=reason, **found)

    @staticmethod
    def of_item(error: common_pb2.ItemError) -> AssayError:
        """The error of one item of many."""
        reason = _reason(error.reason)
        return _BY_REASON.get(reason, AssayError)(
            error.message,
            code=_CODES.get(error.code, grpc.StatusCode.UNKNOWN),
            reason=reason,
            violations=[Violation(one.field, one.description) for one in error.violations],
            retry_after=(
                error.retry_after.ToNanoseconds() / 1e9 if error.HasField("retry_after") else None
            ),
        )


def _again(kind: type[AssayError], message: str, state: Mapping[str, Any]) -> AssayError:
    error = kind(message)
    error.__dict__.update(state)
    return error


def _reason(number: int) -> str:
    """The reason's name; a number that only a later contract has stands for itself."""
    if number == common_pb2.ERROR_REASON_UNSPECIFIED:
        return ""
    value = common_pb2.ErrorReason.DESCRIPTOR.values_by_number.get(number)
    return value.name.removeprefix("ERROR_REASON_") if value is not None else str(number)


def _details(status: bytes) -> Iterable[Any]:
    """The details of a status; none of what something between has damaged."""
    try:
        found: Iterable[Any] = status_pb2.Status.FromString(status).details
    except DecodeError:
        return ()
    return found


def _unpacked(detail: Any, kind: Any) -> Any:
    message = kind()
    try:
        return message if detail.Unpack(message) else None
    except DecodeError:
        return None


class InvalidArgument(AssayError):
    """Fields of the request are missing, malformed or out of range: see `violations`."""

    REASON = "INVALID_ARGUMENT"


class NotFound(AssayError):
    """Nothing is registered under that name."""

    REASON = "NOT_FOUND"


class BadImage(AssayError):
    """The bytes are not an image that can be decoded."""

    REASON = "BAD_IMAGE"


class ImageTooLarge(AssayError):
    """The image has more pixels, or longer sides, than the server decodes."""

    REASON = "IMAGE_TOO_LARGE"


class DigestMismatch(AssayError):
    """The thing has another digest than the request requires."""

    REASON = "DIGEST_MISMATCH"


class DataLoss(AssayError):
    """Stored or received data is damaged."""

    REASON = "DATA_LOSS"


class Overloaded(AssayError):
    """The queue is full, or the work could not finish before the deadline: see `retry_after`."""

    REASON = "OVERLOADED"


class Unavailable(AssayError):
    """The service, or one that it depends on, does not answer now."""

    REASON = "UNAVAILABLE"


class DeadlineExceeded(AssayError):
    """The deadline passed before or while the work was done."""

    REASON = "DEADLINE_EXCEEDED"


class InternalError(AssayError):
    """A fault of the server; its log has it under `request_id`."""

    REASON = "INTERNAL"


class TooLarge(AssayError):
    """A message is over the size limit."""

    REASON = "TOO_LARGE"


class LicenseNotAccepted(AssayError):
    """The server's settings do not accept the weights' licence."""

    REASON = "LICENSE_NOT_ACCEPTED"


class CursorMismatch(AssayError):
    """The position is of another corpus, selection, rank or version."""

    REASON = "CURSOR_MISMATCH"


class IndexRequired(AssayError):
    """A shard has no index, and the request needs one: `assay corpus index` makes it."""

    REASON = "INDEX_REQUIRED"


class SourceChanged(AssayError):
    """Files have changed since the server read them."""

    REASON = "SOURCE_CHANGED"


class CheckpointMismatch(AssayError):
    """The checkpoint is in use, damaged or of another request."""

    REASON = "CHECKPOINT_MISMATCH"


class EngineUnavailable(AssayError):
    """The engine is not installed, or does not agree with the reference."""

    REASON = "ENGINE_UNAVAILABLE"


class RequestIdReused(AssayError):
    """The request's or match's id was used before with other content."""

    REASON = "REQUEST_ID_REUSED"


class RevisionMismatch(AssayError):
    """The state has another revision than the request expects: read it again."""

    REASON = "REVISION_MISMATCH"


class VersionConflict(AssayError):
    """A newer version is registered, or this one with other content."""

    REASON = "VERSION_CONFLICT"


class ModelUnusable(AssayError):
    """The model lacks tensors, is not causal, or gave a likelihood that is not finite."""

    REASON = "MODEL_UNUSABLE"


class StorageFull(AssayError):
    """The server's disk is full."""

    REASON = "STORAGE_FULL"


class Unauthenticated(AssayError):
    """The token is missing, malformed or expired."""

    REASON = "UNAUTHENTICATED"


class Forbidden(AssayError):
    """The caller lacks the role that the call requires."""

    REASON = "FORBIDDEN"


class QuotaExceeded(AssayError):
    """The caller has used up its quota: see `retry_after`."""

    REASON = "QUOTA_EXCEEDED"


class Unsupported(AssayError):
    """The request is valid, but this server cannot do it."""

    REASON = "UNSUPPORTED"


_BY_REASON: dict[str, type[AssayError]] = {
    kind.REASON: kind for kind in AssayError.__subclasses__()
}
# Where gRPC itself or a proxy ended the call, and no server gave a reason.
_BY_CODE: dict[grpc.StatusCode, type[AssayError]] = {
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: Forbidden,
    grpc.StatusCode.UNIMPLEMENTED: Unsupported,
}
