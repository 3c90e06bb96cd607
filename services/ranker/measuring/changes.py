"""What changed between two verifications of a claim, in words. Pure.

It also says if a measured value differs in any digit, and whether it lies in the previous interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from services.common.counts import plural
from services.ranker.claims.findings import Change, ClaimVerdict, Difference, Evidence
from services.ranker.claims.identity import hardware_class
from services.ranker.claims.wording import show

_SHORT_DIGEST_CHARACTERS = 19  # of a digest: "sha256:" and twelve digits


def change(before: ClaimVerdict, after: ClaimVerdict) -> Change | None:
    """Return the differences now; None if there was no evidence before."""
    if before.evidence is None:
        return None
    return Change(before.verdict, before.evidence, tuple(_differences(before, after)))


def _differences(before: ClaimVerdict, after: ClaimVerdict) -> Iterator[Difference]:
    if before.verdict is not after.verdict:
        yield Difference("verdict", _readable(before.verdict), _readable(after.verdict))
    if before.evidence is not None and after.evidence is not None:
        yield from _between(before.evidence, after.evidence)
    if after.sample is not None:  # without a new one, the previous one counts
        for one in _of_sample(before.sample, after.sample):
            yield replace(one, of_sample=True)


def _of_sample(old: Evidence | None, new: Evidence) -> Iterator[Difference]:
    if old is None:
        yield Difference("value", "nothing was measured", _value(new))
        return
    if (old.n, _digests(old)) != (new.n, _digests(new)):
        others = "others" if old.n == new.n else f"{new.n:,}"
        yield Difference("subject", f"{old.n:,}", others)
    yield from _between(old, new)


def _digests(of: Evidence) -> list[str]:
    return [one.digest for one in of.inputs]


def _between(old: Evidence, new: Evidence) -> Iterator[Difference]:
    if (old.value, old.interval) != (new.value, new.interval):
        yield Difference("value", _value(old), f"{_value(new)}{_expected(old, new)}")
    if old.value is None or new.value is None:
        return  # nothing else is known of what could not be observed
    if old.basis is not new.basis:
        yield Difference("basis", _readable(old.basis), _readable(new.basis))
    if old.relation is not new.relation:
        yield Difference("relation", _readable(old.relation), _readable(new.relation))
    if old.subject_digest != new.subject_digest:
        yield Difference("subject", _short(old), _short(new))
    if old.method != new.method:
        yield Difference("method", old.method, new.method)
    if old.engine and new.engine and _engine(old) != _engine(new):
        yield Difference("engine", _engine(old), _engine(new))
    if old.environment and new.environment:
        was, now = hardware_class(old.environment), hardware_class(new.environment)
        if was != now:
            yield Difference("hardware", was, now)
        yield from _versions(_named(old), _named(new))


def _versions(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            was, now = (f"{name} {one.get(name, 'not there')}" for one in (old, new))
            yield Difference("versions", was, now)


def _expected(old: Evidence, new: Evidence) -> str:
    """Whether a number lies in the previous number's interval."""
    number = new.value.number if new.value else None
    if number is None or old.interval is None or not old.interval.level:
        return ""
    inside = old.interval.low <= number <= old.interval.high
    return f", {'inside' if inside else 'outside'} the interval that it had"


def _value(evidence: Evidence) -> str:
    return "unknown" if evidence.value is None else show(evidence.value, evidence.interval)


def _short(evidence: Evidence) -> str:
    return evidence.subject_digest[:_SHORT_DIGEST_CHARACTERS] or "nothing that has a digest"


def _engine(evidence: Evidence) -> str:
    """The engine with the settings that affect figures: "openvino-cpu 2026.4.1 fp32, 2 threads"."""
    engine = evidence.engine
    name = " ".join(str(engine[key]) for key in ("id", "version") if engine.get(key))
    precision = str(engine.get("precision", "")).lower()
    text = name if precision in {"", "unspecified"} else f"{name} {precision}"
    threads = engine.get("threads")
    return f"{text}, {plural(threads, 'thread')}" if threads and isinstance(threads, int) else text


def _named(evidence: Evidence) -> Mapping[str, str]:
    versions = evidence.environment.get("versions")
    return versions if isinstance(versions, Mapping) else {}


def _readable(name: str) -> str:
    return name.replace("_", " ").lower()
