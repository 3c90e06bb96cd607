"""The state of each model of a repository on this replica. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from services.errors import LicenseNotAccepted
from services.segment.serving.planning import Plan
from services.segment.serving.repository import Identity, RegisteredModel, version_key


class ModelState(Enum):
    """How far a model has come."""

    AVAILABLE = "available"
    LOADING = "loading"
    SERVING = "serving"
    DRAINING = "draining"
    FAILED = "failed"
    NOT_ACCEPTED = "not accepted"


@dataclass(frozen=True)
class ModelStatus:
    """A model with its state; its digest is empty if it is not present."""

    identity: Identity
    state: ModelState
    problem: str
    desired: bool


def statuses(
    plan: Plan,
    present: Collection[RegisteredModel],
    *,
    serving: Collection[Identity],
    draining: Collection[Identity],
    loading: Identity | None,
    problems: Mapping[Identity, str],
) -> list[ModelStatus]:
    """Return the status of every present, loaded or wanted model, by name and version.

    `problems` says why models could not be loaded. A wanted model that does not serve yet is
    LOADING.
    """
    found: dict[Identity, ModelStatus] = {}

    def note(
        identity: Identity, state: ModelState, problem: str = "", *, desired: bool = False
    ) -> None:
        found[identity] = ModelStatus(identity, state, problem, desired or identity in plan.wanted)

    absent = {(model.name, model.version) for model in plan.absent}

    def is_absent(identity: Identity) -> bool:
        """Whether the model is desired but in no model folder."""
        return identity[:2] in absent or (identity.name, "") in absent

    for model in present:
        identity = model.identity
        if not model.accepted:
            asked = plan.everything or is_absent(identity)
            note(identity, ModelState.NOT_ACCEPTED, _terms(model), desired=asked)
        elif identity == loading:
            note(identity, ModelState.LOADING)
        elif identity in plan.wanted and identity in problems:
            note(identity, ModelState.FAILED, problems[identity])
        else:
            note(identity, ModelState.LOADING if identity in plan.wanted else ModelState.AVAILABLE)
    for identity in draining:
        note(identity, ModelState.DRAINING)
    for identity in serving:  # even if its folder is gone
        note(identity, ModelState.SERVING, desired=is_absent(identity))
    known = {
        status.identity[:2] for status in found.values() if status.state != ModelState.DRAINING
    }
    for wish in plan.absent:
        if wish.version and (wish.name, wish.version) not in known:
            missing = Identity(wish.name, wish.version, "")
            note(missing, ModelState.FAILED, "no model folder holds it", desired=True)
        elif not wish.version and all(name != wish.name for name, _ in known):
            missing = Identity(wish.name, "", "")
            note(missing, ModelState.FAILED, "no model folder holds one of that name", desired=True)
    return sorted(found.values(), key=lambda status: _order(status.identity))


def _order(identity: Identity) -> tuple[str, str, str, str]:
    return identity.name, version_key(identity.version), identity.version, identity.digest


def _terms(model: RegisteredModel) -> str:
    try:
        model.require_accepted()
    except LicenseNotAccepted as error:
        return str(error)
    return ""
