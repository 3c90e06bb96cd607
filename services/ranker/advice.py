"""Possible improvements of a valid manifest, and the cost of leaving it as it is."""

from __future__ import annotations

from collections.abc import Iterator

from services.common.percent import percent
from services.common.statistics.reliability import TRIVIAL_ABOVE
from services.ranker.claims.bounds import Bound, Equals, Range, Ratio
from services.ranker.claims.definition import implausible
from services.ranker.claims.model import Artifact, Claim, Page, Verdict
from services.ranker.measuring.methods import Measurement, method_named
from services.ranker.methodology.definition import Methodology
from services.ranker.words import words

_MAX_RELATIVE_TOLERANCE = 0.5
_CONTINUOUS = ("s", "pictures/s", "share", "%", "bits per byte", "1")
_COUNTED = (
    Measurement.NONE,
    Measurement.MODEL_FACTS,
    Measurement.CORPUS_FACTS,
    Measurement.CORPUS_AUDIT,
)


def warnings(entry: Artifact | Page, methodology: Methodology) -> tuple[tuple[str, str], ...]:
    """Warnings: each a place in the manifest and a remedy. The methods of its claims must exist."""
    of_itself = _of_artifact(entry, methodology) if isinstance(entry, Artifact) else ()
    return tuple(of_itself) + tuple(
        (f"{entry.id}.claims[{claim.id}].{field}", advice)
        for claim in entry.claims
        for field, advice in _of_claim(claim)
    )


def _of_artifact(artifact: Artifact, methodology: Methodology) -> Iterator[tuple[str, str]]:
    if artifact.released is None:
        yield (
            f"{artifact.id}.released",
            "not given: freshness stays unknown; give the documented day of first publication",
        )
    if not artifact.claims:
        yield f"{artifact.id}.claims", "none: nothing can be measured, so its score stays open"
    for capability in artifact.capabilities:
        if not capability.intents:
            yield (
                f"{artifact.id}.capabilities[{capability.id}].intents",
                "none: write what it is used for, in the words of those who search",
            )
    facts = {claim.group for claim in artifact.claims if not claim.comparator}
    rules = methodology.rules(artifact.type)
    unread = [metric.fact for metric in rules.metrics.values() if metric.fact not in facts]
    if unread and artifact.claims:
        named = ", ".join(map(words, unread))
        yield (
            f"{artifact.id}.claims",
            f"none is about {named}: it has no place in profiles that require them",
        )


def _of_claim(claim: Claim) -> Iterator[tuple[str, str]]:
    bound = claim.bound
    measurement = method_named(claim.method).measurement if claim.method else Measurement.NONE
    if isinstance(bound, Equals):
        if bound.tolerance == 0 and bound.unit in _CONTINUOUS and measurement not in _COUNTED:
            yield (
                "bound",
                "a tolerance of 0 on what is measured is never met; say how far off is equal",
            )
        elif bound.value and bound.tolerance > _MAX_RELATIVE_TOLERANCE * abs(bound.value):
            wide = percent(bound.tolerance / abs(bound.value))
            yield "bound", f"a tolerance of {wide} of the value confirms nearly anything"
    if claim.guess > TRIVIAL_ABOVE:
        odds = percent(claim.guess)
        yield "bound", f"a guess holds with {odds}: the claim adds nothing when it is confirmed"
    definition = method_named(claim.method).definition if claim.method else None
    if bound and definition and implausible(bound, definition):
        told = f"nothing that is plausible in {definition.unit} is within"
        yield "bound", f"{told}{_hint(bound)}; is the unit right?"
    if isinstance(bound, Range | Ratio) and bound.low == bound.high:
        yield "bound", "a range of one number is met by chance alone; write `equals`"
    if isinstance(bound, Ratio) and not claim.comparator:
        yield "comparator", "a ratio to what? Name it, or the claim cannot be repeated"
    undecidable = claim.undecidable
    if undecidable and undecidable.verdict is Verdict.NOT_TESTABLE_HERE and not claim.needs:
        yield "needs", "say what it would take, so that the reader can get it"


def _hint(bound: Bound) -> str:
    """The share that a number would be if it was written as a percentage."""
    if not isinstance(bound, Equals) or bound.unit != "%" or not 0 < bound.value <= 1:
        return ""
    return f": a share of {bound.value:g} is {100 * bound.value:g} %"
