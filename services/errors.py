"""Every error that a caller can be told about.

Pure: knows nothing of gRPC. `services.rpc.status` holds the one table that turns a class of this
tree into a status code and details.

    AssayError
    ├── InvalidArgument          fields of the request are missing, malformed or out of range
    │   ├── BadImage             the bytes are not an image that can be decoded
    │   └── ImageTooLarge        the image has more pixels than the server decodes
    ├── NotFound                 nothing is registered under that name
    ├── PreconditionFailed       something that the request relies on does not hold; subclasses:
    │   ├── DigestMismatch       a name has another digest than the request's
    │   ├── CursorMismatch       the cursor is of another corpus, selection, rank or version
    │   ├── IndexRequired        a shard has no index
    │   ├── SourceChanged        files changed since the server started
    │   ├── CheckpointMismatch   the checkpoint is in use, damaged or of another request
    │   ├── EngineUnavailable    the engine is not installed, or does not agree with the reference
    │   ├── RequestIdReused      the id was used for another request
    │   ├── RevisionMismatch     a test-and-set read another revision
    │   ├── VersionConflict      that version exists with other content
    │   └── ModelUnusable        tensors are missing, it is not causal, a likelihood is not finite
    ├── Unsupported              valid, and not available on this server
    ├── LicenseNotAccepted       the weights' licence has not been accepted in the settings
    ├── DataLoss                 stored data is damaged
    ├── Unauthenticated          the token is missing, malformed or expired
    ├── Forbidden                the caller lacks the role, or it is another caller's
    ├── Overloaded               try again later
    │   └── QuotaExceeded        the caller has used up its quota
    ├── TooLarge                 over a size limit: trying again cannot help
    ├── StorageFull              the server's disk is full: trying again cannot help
    ├── Unavailable              the service, or one that it depends on, does not answer now
    ├── DeadlineExceeded         the deadline passed before the work was done
    └── InternalError            a fault of the server that deserves its own message
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Any


class AssayError(Exception):
    """Base of every error with a message that a caller may see.

    The message says what was wrong and what to do about it. It contains nothing that only the
    server's operator should know (paths, stack traces).
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # Restored without calling the constructor, whose arguments may differ from the message:
        # worker processes send errors to their parent.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[AssayError], args: tuple[Any, ...], values: dict[str, Any]) -> AssayError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(values)
    return error


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return at most three known names that a misspelt name may mean, the nearest first.

    Case does not count, and names much less similar than the nearest are left out. A part of a
    longer name, "segformer-b4", matches that name whatever its length. A name of more than 500
    characters has no match: it is not a typing error, and comparing a name of megabytes takes
    minutes.
    """
    if len(name) > _NAME_CHARACTERS:
        return []
    wanted = name.casefold()
    alike = {one: _likeness(wanted, one.casefold()) for one in sorted(known)}
    least = max(_LEAST, max(alike.values(), default=0) - 0.15)
    near = sorted((one for one in alike if alike[one] >= least), key=lambda one: -alike[one])
    return near[:3]


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean x or y?` with the nearest of the known names; "" if none is near."""
    near = nearest(name, known)
    return f"; did you mean {' or '.join(near)}?" if near else ""


_NAME_CHARACTERS = 500
_LEAST = 0.6
_PART_CHARACTERS = 3
_PART_LIKENESS = 0.9


def _likeness(wanted: str, known: str) -> float:
    part = len(wanted) >= _PART_CHARACTERS and wanted in known
    return max(_ratio(wanted, known), _PART_LIKENESS if part else 0.0)


def _ratio(wanted: str, known: str) -> float:
    """Similarity of two names; 0, found quickly, if they cannot be similar enough."""
    pair = SequenceMatcher(None, wanted, known)
    if pair.real_quick_ratio() < _LEAST or pair.quick_ratio() < _LEAST:
        return 0.0
    return pair.ratio()


def _cut(name: str) -> str:
    """A name as messages show it: whole, unless it is too long to be a name."""
    return name if len(name) <= _NAME_CHARACTERS else f"{name[:_NAME_CHARACTERS]}..."


Violation = tuple[str, str]
"""A field, by its path in the request or document, and what is wrong with it."""


class InvalidArgument(AssayError):
    """A field of the request, or several of them, is missing, malformed or out of range.

    `violations` are all that were found; `field` and `problem` are those of the first.
    """

    def __init__(self, field: str, problem: str, *others: Violation) -> None:
        self.field = field
        self.problem = problem
        self.violations: tuple[Violation, ...] = ((field, problem), *others)
        super().__init__("; ".join(f"{where}: {what}" for where, what in self.violations))


class BadImage(InvalidArgument):
    """The bytes are not an image that can be decoded."""


class ImageTooLarge(InvalidArgument):
    """The image has more pixels than the server decodes."""


class NotFound(AssayError):
    """Nothing is registered under that name.

    `kind` is the kind of thing sought ("model"). `known` are the names that exist, or None if they
    are too many to list or the caller may not know them. `hint` adds anything else to say about the
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
        meant = suggestion(name, self.known) if len(self.known) > 1 else ""
        super().__init__(f"no {kind} named {_cut(name)!r}{aside}{listing}{meant}")


class PreconditionFailed(AssayError):
    """Something that the request relies on does not hold. Raise the subclass that says what."""


class DigestMismatch(PreconditionFailed):
    """A name has another digest here than the one that the request gives."""


class CursorMismatch(PreconditionFailed):
    """The cursor is of another corpus, selection, rank or version; start over without it."""


class IndexRequired(PreconditionFailed):
    """A shard has no index, which the request needs."""


class SourceChanged(PreconditionFailed):
    """Files have changed since the server started or the work began."""


class CheckpointMismatch(PreconditionFailed):
    """The checkpoint is in use, damaged or of another request."""


class EngineUnavailable(PreconditionFailed):
    """The engine is not installed, cannot run the model, or does not agree with the reference."""


class RequestIdReused(PreconditionFailed):
    """The id was used for another request."""


class RevisionMismatch(PreconditionFailed):
    """A test-and-set read another revision: read again, and decide again."""


class VersionConflict(PreconditionFailed):
    """That version exists with other content, or a later one does."""


class ModelUnusable(PreconditionFailed):
    """Figures of the model could not be trusted: missing tensors, not causal, not finite."""


class Unsupported(AssayError):
    """The request is valid, but this server does not offer what it requests."""


class LicenseNotAccepted(AssayError):
    """The weights' licence has not been accepted in the server's settings."""


class DataLoss(AssayError):
    """Stored data is damaged at `offset` bytes into the file `shard`."""

    def __init__(self, shard: str, offset: int, problem: str) -> None:
        super().__init__(f"{shard}: {problem} at compressed byte {offset}")
        self.shard = shard
        self.offset = offset
        self.problem = problem


class Overloaded(AssayError):
    """The server cannot take the work now; try again in `retry_after` seconds."""

    def __init__(self, problem: str, retry_after: float) -> None:
        super().__init__(f"{problem}; try again in {retry_after:.3g} s")
        self.retry_after = retry_after


class QuotaExceeded(Overloaded):
    """The caller has used up its quota, which has room again in `retry_after` seconds."""


class Unauthenticated(AssayError):
    """The caller's token is missing, malformed or expired."""


class Forbidden(AssayError):
    """The caller lacks the role that the call requires, or the thing belongs to another caller."""


class TooLarge(AssayError):
    """The request is over a size limit: trying again cannot help."""


class StorageFull(AssayError):
    """The server's disk is full: trying again cannot help."""


class Unavailable(AssayError):
    """The service, or one that it depends on, does not answer now."""


class DeadlineExceeded(AssayError):
    """The deadline passed before the work was done."""


class InternalError(AssayError):
    """A fault of the server that deserves its own message."""
