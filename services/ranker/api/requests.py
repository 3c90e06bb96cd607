"""Fields of requests that several services have -> the ranker's values."""

from __future__ import annotations

from assay.ranker.v1 import ranker_pb2

from services.errors import InvalidArgument
from services.ranker.api import replies
from services.ranker.claims import model
from services.ranker.measuring.probes import Budget


def parse_type(number: int) -> model.ArtifactType:
    """Return the type that a request names; raise `InvalidArgument` when it names none."""
    for kind in model.ArtifactType:
        if replies.artifact_type(kind) == number:
            return kind
    raise InvalidArgument("type", f"{number} is no type of artifact")


_BUDGETS = {
    ranker_pb2.BUDGET_UNSPECIFIED: Budget.QUICK,
    ranker_pb2.BUDGET_QUICK: Budget.QUICK,
    ranker_pb2.BUDGET_FULL: Budget.FULL,
}


def parse_budget(number: int) -> Budget:
    """Return the budget that a request names; raise `InvalidArgument` for one that is none."""
    for known, value in _BUDGETS.items():
        if known == number:
            return value
    raise InvalidArgument("budget", f"{number} is not one of the contract's")


def required(field: str, value: str) -> str:
    """Return an id of a request; raise `InvalidArgument` when it is empty."""
    if not value:
        raise InvalidArgument(field, "is empty; give an artifact's registered id")
    return value
