"""Every error that a caller can be told about.

Pure: knows nothing of gRPC. `services.rpc.status` holds the one table that turns a class of this
tree into a status code and details.

    AssayError
    ├── InvalidArgument          a field of the request is missing, malformed or out of range
    │   ├── BadImage             the bytes are not an image that can be decoded
    │   └── ImageTooLarge        the image has more pixels than the server decodes
    ├── NotFound                 nothing is registered under that name
    ├── PreconditionFailed       the cursor, digest or version belongs to other data
    ├── LicenseNotAccepted       the weights' licence has not been accepted in the settings
    ├── DataLoss                 stored data is damaged
    ├── Overloaded               try again later
    ├── TooLarge                 over a size limit: trying again cannot help
    ├── Unavailable              the service, or one that it depends on, does not answer now
    ├── DeadlineExceeded         the deadline passed before the work was done
    └── InternalError            a fault of the server that is worth a message of its own
"""

from __future__ import annotations

from collections.abc import Iterable


class AssayError(Exception):
    """Base of every error with a message that a caller may see.

    The message says what was wrong and what to do about it. It holds nothing that only the
    server's operator should know (paths, stack traces).
    """


class InvalidArgument(AssayError):
    """A field of the request is missing, malformed or out of range."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class BadImage(InvalidArgument):
    """The bytes are not an image that can be decoded."""


class ImageTooLarge(InvalidArgument):
    """The image has more pixels than the server decodes."""


class NotFound(AssayError):
    """Nothing is registered under that name.

    `kind` is what was looked for ("model"), `known` the names that exist, or None where they are
    too many to list or not the caller's to know. `hint` says what else there is to say about the
    name.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str] | None, hint: str = "") -> None:
        self.kind = kind
        self.name = name
        self.known = sorted(known or ())
        self.hint = hint
        listed = ", ".join(self.known) if self.known else "none is registered"
        aside = f" ({hint})" if hint else ""
        listing = "" if known is None else f"; known: {listed}"
        super().__init__(f"no {kind} named {name!r}{aside}{listing}")


class PreconditionFailed(AssayError):
    """The cursor, digest or version belongs to other data than the request's."""


class LicenseNotAccepted(AssayError):
    """The weights' licence has not been accepted in the server's settings."""


class DataLoss(AssayError):
    """Stored data is damaged at `offset` bytes into the file `shard`."""

    def __init__(self, shard: str, offset: int, problem: str) -> None:
        super().__init__(f"{shard}: {problem} at compressed byte {offset}")
        self.shard = shard
        self.offset = offset
        self.problem = problem

    def __reduce__(self) -> tuple[type[DataLoss], tuple[str, int, str]]:
        # So that it comes whole out of a process that reads shards.
        return DataLoss, (self.shard, self.offset, self.problem)


class Overloaded(AssayError):
    """The server cannot take the work now; try again in `retry_after` seconds."""

    def __init__(self, problem: str, retry_after: float) -> None:
        super().__init__(f"{problem}; try again in {retry_after:.3g} s")
        self.retry_after = retry_after


class TooLarge(AssayError):
    """Over a size limit: trying again cannot help."""


class Unavailable(AssayError):
    """The service, or one that it depends on, does not answer now."""


class DeadlineExceeded(AssayError):
    """The deadline passed before the work was done."""


class InternalError(AssayError):
    """A fault of the server that is worth a message of its own."""
