"""Fields of requests -> the ranker's values, or errors."""

from __future__ import annotations

from collections.abc import Sequence

from assay_rpc.ranker.v1 import (
    verification_pb2,
)

from services.errors import DigestMismatch, InvalidArgument
from services.ranker.api import messages
from services.ranker.claims import model
from services.ranker.measuring.measurements import Budget
from services.ranker.methodology.definition import Methodology

LARGEST_REQUEST = 256 << 10
"""Bytes of the largest request: a list of a thousand claims takes 200 thousand."""
_MAX_HARDWARE = 500
_MAX_ELEMENTS = 1000


def check_methodology(digest: str, known: Methodology) -> None:
    """Raise `DigestMismatch` if a request requires another methodology."""
    if digest and digest != known.digest:
        raise DigestMismatch(
            f"the methodology here is {known.version}, {known.digest}: not {digest}"
        )


def parse_type(number: int) -> model.ArtifactType:
    """Return the type that a request names; raise `InvalidArgument` when it names none."""
    for kind in model.ArtifactType:
        if messages.artifact_type(kind) == number:
            return kind
    raise InvalidArgument("type", f"{number} is not a type of artifact")


_EFFORTS = {
    verification_pb2.EFFORT_UNSPECIFIED: Budget.QUICK,
    verification_pb2.EFFORT_QUICK: Budget.QUICK,
    verification_pb2.EFFORT_FULL: Budget.FULL,
}


def parse_effort(number: int) -> Budget:
    """Return the budget that a request names; raise `InvalidArgument` for an unknown one."""
    for known, value in _EFFORTS.items():
        if known == number:
            return value
    raise InvalidArgument("effort", f"{number} is not one of the contract's")


def hardware(name: str) -> str:
    """Return the hardware class that a request names; raise `InvalidArgument` for a long one."""
    if len(name) > _MAX_HARDWARE:
        raise InvalidArgument("hardware", f"has {len(name):,} characters; at most {_MAX_HARDWARE}")
    return name


def parse_claim(field: str, text: str) -> tuple[str, str]:
    """Return owner and id of a claim; raise `InvalidArgument` unless it is "OWNER/ID"."""
    owner, _, claim = text.partition("/")
    if not owner or not claim or "/" in claim:
        raise InvalidArgument(field, f"{text!r:.200} is not of the form OWNER/ID")
    return owner, claim


def limited(field: str, values: Sequence[str]) -> Sequence[str]:
    """Return a request's list; raise `InvalidArgument` if it is too long."""
    if len(values) > _MAX_ELEMENTS:
        raise InvalidArgument(field, f"has {len(values):,} elements; at most {_MAX_ELEMENTS:,}")
    return values


def required(field: str, value: str) -> str:
    """Return an id of a request; raise `InvalidArgument` when it is empty."""
    if not value:
        raise InvalidArgument(field, "is empty; give an artifact's registered id")
    return value
