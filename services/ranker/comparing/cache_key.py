"""The cache key of a comparison: the pair in one order, and the digest of its inputs.

The pair is put in one order (`canonical`) before it is compared; `api.comparisons` puts the answer
back into the caller's order. The key contains everything that the answer depends on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from datetime import date

from services.errors import InvalidArgument
from services.ranker.claims.findings import ClaimVerdict, PageVerdicts
from services.ranker.methodology.definition import Methodology
from services.ranker.methodology.readings import latest_hardware
from services.ranker.methodology.score import ArtifactRecord

SCHEMA = 5
"""Version of `key`; raise it when the same evidence must give another answer."""

PREFIX = f"cmp:v{SCHEMA}"
"""Beginning of every key."""


@dataclass(frozen=True)
class Pair:
    """Two records in the order of their ids. `swapped` says that the caller had them reversed."""

    first: ArtifactRecord
    second: ArtifactRecord
    pages: tuple[PageVerdicts, ...]
    swapped: bool
    hardware: str
    """Hardware class that timings are taken from."""


def canonical(
    left: ArtifactRecord,
    right: ArtifactRecord,
    pages: Iterable[PageVerdicts] = (),
    hardware: str = "",
) -> Pair:
    """The pair in one order, whichever way it was requested.

    The default hardware class is the one that both were measured on last.

    Raises InvalidArgument if the two are one artifact.
    """
    if left.artifact.id == right.artifact.id:
        raise InvalidArgument(
            "right", f"{right.artifact.id!r} is the left artifact too; name another one"
        )
    first, second = sorted((_own(left), _own(right)), key=lambda one: one.artifact.id)
    pages = tuple(pages)
    owners = {first.artifact.id, second.artifact.id, *(one.page.id for one in pages)}
    first, second = (replace(one, verdicts=_among(one.verdicts, owners)) for one in (first, second))
    return Pair(
        first,
        second,
        tuple(replace(one, claims=_among(one.claims, owners)) for one in pages),
        swapped=first.artifact.id != left.artifact.id,
        hardware=hardware or latest_hardware(first.evidence, second.evidence),
    )


def _own(record: ArtifactRecord) -> ArtifactRecord:
    """The record with evidence on its artifact's own claims only."""
    claims = {claim.id for claim in record.artifact.claims}
    own = tuple(item for item in record.evidence if item.claim in claims)
    return record if own == record.evidence else replace(record, evidence=own)


def _among(verdicts: Iterable[ClaimVerdict], owners: Container[str]) -> tuple[ClaimVerdict, ...]:
    """The verdicts without contradictions by claims outside the comparison."""

    def kept(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(one for one in names if "/" not in one or one.partition("/")[0] in owners)

    def among(one: ClaimVerdict) -> ClaimVerdict:
        contradicts, of_claim = kept(one.contradicts), kept(one.claim.contradicts)
        if (contradicts, of_claim) == (one.contradicts, one.claim.contradicts):
            return one
        return replace(one, contradicts=contradicts, claim=replace(one.claim, contradicts=of_claim))

    return tuple(map(among, verdicts))


def key(pair: Pair, methodology: Methodology, as_of: date) -> str:
    """The cache key of a comparison: new evidence, methodology or day gives a new key."""
    sides = [evidence_digest(side) for side in (pair.first, pair.second)]
    pages = _digest(
        [one.page.id, one.page.digest, [_verdict(verdict) for verdict in one.claims]]
        for one in pair.pages
    )
    hardware = hashlib.sha256(pair.hardware.encode()).hexdigest()[:16]
    rules = methodology.digest.removeprefix("sha256:")
    return ":".join((PREFIX, *sides, pages, rules, hardware, as_of.isoformat()))


def evidence_digest(record: ArtifactRecord) -> str:
    """SHA-256, in hex, of everything that is known about one artifact."""
    record = _own(record)
    artifact, outcomes = record.artifact, record.outcomes
    return _digest(
        [
            artifact.id,
            artifact.digest,
            [
                outcomes.reported,
                outcomes.succeeded,
                outcomes.anonymous,
                record.matched,
                [[name, one.good, one.total] for name, one in sorted(outcomes.operators.items())],
            ],
            sorted(item.digest for item in record.evidence),
            [_verdict(verdict) for verdict in record.verdicts],
        ]
    )


def _verdict(verdict: ClaimVerdict) -> list[object]:
    """The basis of a verdict, and the method's settings for the claim, not in other digests.

    Contradictions follow from the manifests, whose digests are included.
    """
    claim, evidence = verdict.claim, verdict.evidence.digest if verdict.evidence else ""
    by_method = [claim.aspect, claim.group, claim.guess, claim.machine]
    return [claim.id, *by_method, verdict.verdict, verdict.basis, evidence, verdict.reason]


def _digest(parts: Iterable[object]) -> str:
    text = json.dumps(list(parts), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
