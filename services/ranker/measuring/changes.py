"""What changed between two verifications of a claim, in words.

Pure. That a measured value is not the same to the last digit is told as well, with whether it lies
where the one before said that it would.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.ranker.claims.model import Change, ClaimVerdict, Evidence
from services.ranker.claims.verdict import show
from services.ranker.methodology.readings import hardware_class

_SHORT = 19  # of a digest: "sha256:" and twelve digits


def change(before: ClaimVerdict, after: ClaimVerdict) -> Change | None:
    """Return what is different now; None when there was no evidence before."""
    if before.evidence is None:
        return None
    return Change(before.verdict, before.evidence, tuple(_differences(before, after)))


def _differences(before: ClaimVerdict, after: ClaimVerdict) -> Iterator[str]:
    if before.verdict is not after.verdict:
        yield f"the verdict was {_words(before.verdict)} and is {_words(after.verdict)}"
    if before.evidence is not None and after.evidence is not None:
        yield from _between(before.evidence, after.evidence)
    if after.sample is not None:  # without another, the one before stands
        yield from (f"on the sample: {one}" for one in _of_sample(before.sample, after.sample))


def _of_sample(old: Evidence | None, new: Evidence) -> Iterator[str]:
    if old is None:
        yield f"nothing was measured, and now it is {_value(new)}"
        return
    if (old.n, old.inputs) != (new.n, new.inputs):
        yield f"it was of {old.n:,} and is of {'others' if old.n == new.n else f'{new.n:,}'}"
    yield from _between(old, new)


def _between(old: Evidence, new: Evidence) -> Iterator[str]:
    if (old.value, old.interval) != (new.value, new.interval):
        yield f"the value was {_value(old)} and is {_value(new)}{_expected(old, new)}"
    if old.value is None or new.value is None:
        return  # nothing else is known of what could not be observed
    if old.basis is not new.basis:
        yield f"it was {_words(old.basis)} and is {_words(new.basis)}"
    if old.relation is not new.relation:
        yield f"what was observed was {_words(old.relation)} and is {_words(new.relation)}"
    if old.subject_digest != new.subject_digest:
        yield f"what was observed was {_short(old)} and is {_short(new)}"
    if old.method != new.method:
        yield f"the method was {old.method} and is {new.method}"
    if old.environment and new.environment:
        was, now = hardware_class(old.environment), hardware_class(new.environment)
        if was != now:
            yield f"the hardware was {was} and is {now}"
        yield from _versions(_named(old), _named(new))


def _versions(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield f"{name} was {old.get(name, 'not there')} and is {new.get(name, 'not there')}"


def _expected(old: Evidence, new: Evidence) -> str:
    """Whether a number lies in the interval that the one before had."""
    number = new.value.number if new.value else None
    if number is None or old.interval is None or not old.interval.level:
        return ""
    inside = old.interval.low <= number <= old.interval.high
    return f", {'inside' if inside else 'outside'} the interval that it had"


def _value(evidence: Evidence) -> str:
    return "unknown" if evidence.value is None else show(evidence.value, evidence.interval)


def _short(evidence: Evidence) -> str:
    return evidence.subject_digest[:_SHORT] or "nothing that has a digest"


def _named(evidence: Evidence) -> Mapping[str, str]:
    versions = evidence.environment.get("versions")
    return versions if isinstance(versions, Mapping) else {}


def _words(name: str) -> str:
    return name.replace("_", " ").lower()
