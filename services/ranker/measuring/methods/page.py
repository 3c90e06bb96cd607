"""Consequences of the figures that a comparison page prints."""

from __future__ import annotations

from services.ranker.claims.bounds import Interval, Value
from services.ranker.claims.definition import Definition, Kind, Plausible
from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import (
    Artifact,
    Aspect,
    Basis,
    Claim,
    Input,
    Page,
    Source,
    SubjectRelation,
)
from services.ranker.measuring.measurements import Measurements
from services.ranker.measuring.methods.registration import Measurement, method
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.methodology.published import feasible


@method(
    2,
    Measurement.NONE,
    Definition(
        aspect=Aspect.PUBLICATION,
        kind=Kind.NUMBER,
        unit="points",
        fact="printed-score",
        chance=Plausible(0, 100, least=0, most=100),
    ),
)
async def feasible_score(claim: Claim, measurements: Measurements) -> Observation:
    """The printed score, with the scores that the published formula allows."""
    if not claim.artifact:
        raise UnobservableError("the claim is about a page, and names no artifact with a score")
    _require_read(claim, measurements)
    artifact = measurements.registry.artifact(claim.artifact)
    if artifact.published is None:
        raise UnobservableError("no page printed a score for it")
    bounds = feasible(artifact.published.printed_components)
    printed = artifact.published.value
    inside = bounds.low <= printed <= bounds.high
    return Observation(
        value=Value(printed, "points"),
        relation=SubjectRelation.EXACT,
        basis=Basis.DERIVED,
        interval=Interval(bounds.low, bounds.high) if inside else None,
        sources=(Source(artifact.published.source),),
        inputs=(Input(artifact.digest, "manifest", artifact.id),),
        note=(
            f"With the components as printed, the published formula allows {bounds.low} to "
            f"{bounds.high}; {printed:g} is {'one of those' if inside else 'none of those'}."
        ),
    )


@method(
    2,
    Measurement.NONE,
    Definition(
        aspect=Aspect.PUBLICATION, kind=Kind.BOOLEAN, fact="match-graph-evidence", chance=0.5
    ),
)
async def match_graph_evidence(claim: Claim, measurements: Measurements) -> Observation:
    """Whether any match is printed for any of the compared artifacts."""
    page, artifacts = _compared(claim, measurements)
    matched = {one.id: _times_matched(page, one) for one in artifacts}
    parts = {one.id: _printed(one)["match_graph"] for one in artifacts}
    return Observation(
        value=Value(any(matched.values()) or any(parts.values())),
        relation=SubjectRelation.EXACT,
        basis=Basis.DERIVED,
        sources=(Source(page.name),),
        inputs=(Input(page.digest, "manifest", page.id),),
        note=(
            f"Times matched are printed as {_listed(matched)}, the match graph's component as "
            f"{_listed(parts)}."
        ),
    )


@method(
    2,
    Measurement.NONE,
    Definition(aspect=Aspect.PUBLICATION, kind=Kind.BOOLEAN, fact="leads", chance=0.5),
)
async def component_leads(claim: Claim, measurements: Measurements) -> Observation:
    """Whether the first artifact leads only in ecosystem, the second in adoption and quality."""
    page, artifacts = _compared(claim, measurements)
    if len(artifacts) != 2:
        raise UnobservableError(f"{page.id} compares {len(artifacts)} artifacts, and not two")
    first, second = artifacts
    left, right = _printed(first), _printed(second)
    ahead = {name for name in left if left[name] > right[name]}
    behind = {name for name in left if left[name] < right[name]}
    return Observation(
        value=Value(ahead == {"ecosystem"} and behind == {"adoption", "quality"}),
        relation=SubjectRelation.EXACT,
        basis=Basis.DERIVED,
        sources=(Source(page.name),),
        inputs=(Input(page.digest, "manifest", page.id),),
        note=(
            f"As printed, {first.id} is ahead in {', '.join(sorted(ahead)) or 'nothing'} and "
            f"{second.id} in {', '.join(sorted(behind)) or 'nothing'}."
        ),
    )


def _require_read(claim: Claim, measurements: Measurements) -> None:
    """Prevent figures that a registered manifest calls printed from deciding about themselves."""
    if not measurements.registry.is_packaged(claim):
        raise UnobservableError(
            f"the manifest of {claim.owner} quotes what is printed, and the quote has not been "
            "checked here"
        )


def _compared(claim: Claim, measurements: Measurements) -> tuple[Page, tuple[Artifact, ...]]:
    _require_read(claim, measurements)
    page = measurements.registry.subject(claim.owner)
    if not isinstance(page, Page):
        raise UnobservableError(f"{claim.owner} is no page")
    if not page.compares:
        raise UnobservableError(f"{page.id} compares nothing")
    names = dict.fromkeys(page.compares)
    return page, tuple(measurements.registry.artifact(name) for name in names)


def _times_matched(page: Page, artifact: Artifact) -> float:
    printed = page.printed.get(artifact.id, {})
    if "times_matched" not in printed:
        raise UnobservableError(f"{page.id} prints no `times_matched` of {artifact.id}")
    return printed["times_matched"]


def _printed(artifact: Artifact) -> dict[str, int]:
    if artifact.published is None:
        raise UnobservableError(f"no components are printed for {artifact.id}")
    return dict(artifact.published.printed_components)


def _listed(values: dict[str, float] | dict[str, int]) -> str:
    return " and ".join(f"{value:g}" for value in values.values())
