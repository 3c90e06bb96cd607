"""What the exit status of `assay` means, and how an error becomes one."""

from __future__ import annotations

import enum
import errno
import os
import sys
from pathlib import Path

import grpc
from assay_rpc import errors as client

from services import errors
from services.cli.absent import beside
from services.cli.extras import missing_library
from services.common.missing_library import MissingLibrary
from services.corpus.shards.layout import LayoutError

RpcError = grpc.aio.AioRpcError | grpc.Call
"""Errors of a stub: those of grpc.aio; or of grpc, whose errors are the calls themselves."""


class Exit(enum.IntEnum):
    """Exit statuses. `assay --help` prints them."""

    DONE = 0
    FAULT = 1
    USAGE = 2
    NOT_FOUND = 3
    BAD_INPUT = 4
    UNAVAILABLE = 5
    DATA_LOSS = 6
    INTERRUPTED = 130


MEANINGS = {
    Exit.DONE: "done",
    Exit.FAULT: "internal error, full disk or missing library; the message says which",
    Exit.USAGE: "usage error",
    Exit.NOT_FOUND: "no such artifact, model, corpus, split, subset or file",
    Exit.BAD_INPUT: "the input is invalid, or does not fit what was requested",
    Exit.UNAVAILABLE: "a service is unreachable, overloaded, or ran out of time",
    Exit.DATA_LOSS: "stored data is damaged; everything before the damage was delivered",
    Exit.INTERRUPTED: "interrupted (Ctrl-C)",
}

# gRPC's own message for a method that a server does not have.
_NO_METHOD = "Method not found!"
_BY_CODE = {
    grpc.StatusCode.NOT_FOUND: Exit.NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT: Exit.BAD_INPUT,
    grpc.StatusCode.FAILED_PRECONDITION: Exit.BAD_INPUT,
    grpc.StatusCode.ABORTED: Exit.BAD_INPUT,
    grpc.StatusCode.UNIMPLEMENTED: Exit.BAD_INPUT,
    grpc.StatusCode.OUT_OF_RANGE: Exit.BAD_INPUT,
    grpc.StatusCode.PERMISSION_DENIED: Exit.BAD_INPUT,
    grpc.StatusCode.UNAUTHENTICATED: Exit.BAD_INPUT,
    grpc.StatusCode.UNAVAILABLE: Exit.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Exit.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Exit.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS: Exit.DATA_LOSS,
}

_BY_ERROR: tuple[tuple[type[Exception], Exit], ...] = (
    (MissingLibrary, Exit.FAULT),
    (errors.NotFound, Exit.NOT_FOUND),
    (FileNotFoundError, Exit.NOT_FOUND),
    (errors.DataLoss, Exit.DATA_LOSS),
    (errors.Unavailable, Exit.UNAVAILABLE),
    (errors.Overloaded, Exit.UNAVAILABLE),
    (errors.DeadlineExceeded, Exit.UNAVAILABLE),
    (errors.InternalError, Exit.FAULT),
    (errors.StorageFull, Exit.FAULT),
    (errors.AssayError, Exit.BAD_INPUT),
    (LayoutError, Exit.BAD_INPUT),
    (FileExistsError, Exit.BAD_INPUT),
    (IsADirectoryError, Exit.BAD_INPUT),
    (NotADirectoryError, Exit.BAD_INPUT),
    (PermissionError, Exit.BAD_INPUT),
    (OSError, Exit.FAULT),
)


def explain(error: Exception, extra: str = "") -> tuple[Exit, str] | None:
    """The status and the one-line message of an error that a user can act on, else None.

    `extra` is the command's own, for a missing library that several extras have.
    """
    if isinstance(error, RpcError):
        status = _BY_CODE.get(error.code(), Exit.FAULT)
        if _never_retry(error):
            status = Exit.BAD_INPUT  # RESOURCE_EXHAUSTED that waiting does not help
        return status, _answered(error.details() or error.code().name, error.code())
    if isinstance(error, client.AssayError):
        return _BY_CODE.get(error.code, Exit.FAULT), _answered(error.message, error.code)
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        given = os.fsencode(error.object).decode("utf-8", "backslashreplace")
        encoding = sys.getfilesystemencoding()
        return Exit.BAD_INPUT, (
            f"'{given}' is not text in the encoding of the terminal ({encoding}): write it in "
            "UTF-8, with a locale such as LC_ALL=C.UTF-8"
        )
    if isinstance(error, ModuleNotFoundError) and error.name:
        return Exit.FAULT, missing_library(error.name, extra)
    for kind, status in _BY_ERROR:
        if isinstance(error, kind):
            return status, _of_file(error) if isinstance(error, OSError) else str(error)
    return None


def _of_file(error: OSError) -> str:
    """The file and its error, without the number that Python puts before them."""
    if not error.strerror or error.filename2 is not None:
        return str(error)
    what = f"{error.strerror[:1].lower()}{error.strerror[1:]}"
    if error.filename is None:
        return what
    near = beside(Path(os.fsdecode(error.filename))) if error.errno == errno.ENOENT else ""
    return f"{os.fsdecode(error.filename)}: {what}{near}"


def _answered(message: str, code: grpc.StatusCode) -> str:
    """A service's answer, and what to set if the answer alone does not say."""
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return f"{message} (the command sends ASSAY_TOKEN, or what is in the file ASSAY_TOKEN_FILE)"
    if code is grpc.StatusCode.UNIMPLEMENTED and message == _NO_METHOD:
        return (
            "the service does not offer this: it is a ranker with ASSAY_RANKER_OPERATIONS=false, "
            "which only reads, or of another version; `assay doctor` shows versions"
        )
    return message


def _never_retry(error: RpcError) -> bool:
    """Whether the server said, in gRPC's own way, that the same call can never succeed."""
    return ("grpc-retry-pushback-ms", "-1") in tuple(error.trailing_metadata() or ())
