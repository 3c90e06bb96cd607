"""What became of a claim, in the words of the pages and of the terminal alike, and counts of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from assay_rpc.ranker.v1 import claim_pb2, evidence_pb2

from services.common.counts import plural
from services.ranker.web.values import enum_name
from services.ranker.words import joined

UNVERIFIED: Final = "UNVERIFIED"


@dataclass(frozen=True)
class Kind:
    """A verdict: its class in the style, its name, how a count of it reads in a sentence."""

    css: str
    name: str
    one: str
    several: str


KINDS: Final = {
    "REFUTED": Kind("refuted", "refuted", "is refuted", "are refuted"),
    "CONFIRMED": Kind("confirmed", "confirmed", "is confirmed", "are confirmed"),
    "INCONCLUSIVE": Kind("inconclusive", "inconclusive", "is inconclusive", "are inconclusive"),
    "UNDERSPECIFIED": Kind(
        "underspecified", "underspecified", "is underspecified", "are underspecified"
    ),
    "NOT_TESTABLE_HERE": Kind(
        "untestable", "not testable here", "cannot be tested here", "cannot be tested here"
    ),
    UNVERIFIED: Kind(
        "unverified", "not verified yet", "is not verified yet", "are not verified yet"
    ),
}
"""Verdicts in the order in which they are shown."""


def reference_of(claim: claim_pb2.Claim) -> str:
    """A claim's "OWNER/ID"."""
    return f"{claim.page or claim.artifact}/{claim.id}"


def kind(verdict: evidence_pb2.ClaimVerdict) -> Kind:
    """The result for a claim. A claim that was not verified yet has no verdict on this machine."""
    name = enum_name(verdict, "verdict")
    if name == "NOT_TESTABLE_HERE" and not verdict.HasField("evidence"):
        unverified = verdict.claim.method and not verdict.HasField("not_measured")
        return KINDS[UNVERIFIED] if unverified else KINDS[name]
    return KINDS.get(name, KINDS[UNVERIFIED])


def counted(verdicts: Iterable[evidence_pb2.ClaimVerdict]) -> dict[Kind, int]:
    """How many claims are of each kind, 0 included. A claim that is listed twice counts once."""
    kinds = [kind(one) for one in {reference_of(one.claim): one for one in verdicts}.values()]
    return {one: kinds.count(one) for one in KINDS.values()}


_ORDER: Final = (
    "CONFIRMED",
    "REFUTED",
    "INCONCLUSIVE",
    "UNDERSPECIFIED",
    "NOT_TESTABLE_HERE",
    UNVERIFIED,
)
"""In which order a sentence counts them."""


def sentence(counts: Mapping[Kind, int]) -> str:
    """The counts in words: "Of 3 claims, 1 is refuted and 2 are not verified yet."."""
    total = sum(counts.values())
    if not total:
        return "Nothing is claimed."
    said = [
        f"{count} {one.one if count == 1 else one.several}"
        for one, count in ((KINDS[name], counts[KINDS[name]]) for name in _ORDER)
        if count
    ]
    return f"Of {plural(total, 'claim')}, {joined(said)}."
