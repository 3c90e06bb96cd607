"""Values that were measured by part, drawn: by subset beside published figures, by batch size."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assay_rpc.ranker.v1 import evidence_pb2
from markupsafe import Markup

from services.ranker.web import drawing
from services.ranker.web.links import Nowhere
from services.ranker.web.views import claims
from services.ranker.words import words

_BATCH = re.compile(r"(?:batch(?:es)?(?: of)? )?(\d+)")
_RATE = "pictures/s"
_IN_BATCHES = re.compile(r"\bIn batches of (\d+)\b")


@dataclass(frozen=True)
class Drawing:
    """A figure with its heading and what a reader should know of it."""

    heading: str
    remark: str
    drawn: Markup


def drawings(verdicts: Sequence[evidence_pb2.ClaimVerdict], side: str) -> list[Drawing]:
    """What was measured by part of one artifact, and its throughput by batch size."""
    found = [
        _drawing(one, evidence, _published(verdicts), side)
        for one in verdicts
        for evidence in (one.evidence, one.sample)
        if evidence.parts
    ]
    throughput = _throughput(verdicts)
    if len(throughput) > 1:
        found.append(
            Drawing(
                "Throughput against batch size",
                "",
                drawing.line(sorted(throughput.items()), "pictures in a batch", _RATE, side),
            )
        )
    return found


def _drawing(
    verdict: evidence_pb2.ClaimVerdict,
    evidence: evidence_pb2.Evidence,
    published: Mapping[str, float],
    side: str,
) -> Drawing:
    unit = evidence.value.unit
    sizes = [_BATCH.fullmatch(one.name) for one in evidence.parts]
    named = f"{words(verdict.claim.group)} ({verdict.claim.id})"
    remark = ". ".join(
        filter(None, (claims.piece(evidence, Nowhere()).of, evidence.note.rstrip(".")))
    )
    if all(sizes) and len(sizes) > 1:
        points = [
            (float(size[1]), one.value)
            for size, one in zip(sizes, evidence.parts, strict=True)
            if size
        ]
        return Drawing(
            f"{named}, by batch size", remark, drawing.line(points, "batch size", unit, side)
        )
    bars = [
        drawing.Bar(one.name, one.value, published.get(_slug(one.name)))
        for one in sorted(evidence.parts, key=lambda one: one.name)
    ]
    return Drawing(f"{named}, by part, in {unit}", remark, drawing.bars(bars, unit, side))


def _published(verdicts: Sequence[evidence_pb2.ClaimVerdict]) -> dict[str, float]:
    """What claims say of bits per byte by subset: the card's figures, which others published."""
    prefix = "bits-per-byte-"
    return {
        one.claim.group.removeprefix(prefix): one.claim.bound.equals.value
        for one in verdicts
        if one.claim.group.startswith(prefix)
        and one.claim.bound.WhichOneof("kind") == "equals"
        and not one.claim.HasField("comparator")
    }


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _throughput(verdicts: Sequence[evidence_pb2.ClaimVerdict]) -> dict[float, float]:
    """Measured pictures a second by batch size, as methods note the size."""
    found = {}
    for one in verdicts:
        evidence = one.evidence
        size = _IN_BATCHES.search(evidence.note)
        measured = evidence.basis == evidence_pb2.BASIS_MEASURED
        if measured and size and evidence.value.unit == _RATE:
            found[float(size[1])] = evidence.value.number
    return found
