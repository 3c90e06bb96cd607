"""Figures, intervals and names of the contract in words, for terminal and page alike."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import claim_pb2, evidence_pb2
from google.protobuf.message import Message

from services.common.counts import plural, with_unit

BASES = {
    evidence_pb2.BASIS_MEASURED: "measured",
    evidence_pb2.BASIS_DERIVED: "computed",
    evidence_pb2.BASIS_SOURCED: "from a publication",
}
"""What a verdict rests on, in words."""
SOURCING = {
    evidence_pb2.SOURCE_VERDICT_FAITHFUL: "repeats its source as quoted",
    evidence_pb2.SOURCE_VERDICT_MISQUOTED: "not what its source is quoted to say",
    evidence_pb2.SOURCE_VERDICT_UNSOURCED: "its source does not say it",
}
"""Whether a claim repeats its source, which is another question than whether it is true."""


def enum_name(message: Message, field: str) -> str:
    """The name of an enum field's value without the enum's prefix: "CONFIRMED"."""
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    return enum_value_name(descriptor, getattr(message, field))


def enum_value_name(field: Any, number: int) -> str:
    """The name of a value of the enum that a field's descriptor has, without the enum's prefix."""
    enum = field.enum_type
    shared = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    value = enum.values_by_number.get(number)
    return value.name.removeprefix(shared) if value else str(number)


def number(value: float) -> str:
    """Four significant digits, thousands separated, no exponent where none is needed."""
    if math.isinf(value):  # the end of an interval that is open
        return "∞" if value > 0 else "-∞"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def spread(point: float, low: float, high: float, digits: int) -> tuple[str, str, str]:
    """A point and the ends of its interval in figures; without ends where none differs from it."""
    said, least, most = (fixed(one, digits) for one in (point, low, high))
    return (said, "", "") if least == said == most else (said, least, most)


def fixed(value: float, digits: int) -> str:
    """A number with that many decimal places; a zero without a sign."""
    return f"{value:z.{digits}f}"


def value_text(evidence: evidence_pb2.Evidence) -> str:
    """The evidence's value with unit and interval, "" when it has none."""
    kind = evidence.value.WhichOneof("kind")
    if kind is None:
        return ""
    if kind == "boolean":
        return "yes" if evidence.value.boolean else "no"
    if kind == "text":
        return evidence.value.text
    text = with_unit(number(evidence.value.number), evidence.value.unit)
    low, high = ends(evidence.interval)
    if evidence.HasField("interval") and high > low:
        text += f"\n[{number(low)} .. {number(high)}]"
    return text


def measured_text(evidence: evidence_pb2.Evidence) -> str:
    """A measured value, and what it is of where that is not the thing itself."""
    of = {
        evidence_pb2.SUBJECT_RELATION_SAMPLE: f"\non a sample of {evidence.n:,}",
        evidence_pb2.SUBJECT_RELATION_SAME_ARCHITECTURE_RANDOM_WEIGHTS: "\nwith random weights",
        evidence_pb2.SUBJECT_RELATION_NAMED: "\nof what has its name",
    }
    return value_text(evidence) + of.get(evidence.relation, "")


def ends(interval: common_pb2.Interval) -> tuple[float, float]:
    """An interval's ends; an open one is infinite."""
    return (
        interval.low if interval.HasField("low") else -math.inf,
        interval.high if interval.HasField("high") else math.inf,
    )


def source(one: claim_pb2.Source) -> str:
    """A citation in one line."""
    return ", ".join(filter(None, (one.title, one.locator, one.date, one.url)))


def difference(one: evidence_pb2.Difference) -> str:
    """What changed since the last verification, in words."""
    sample = " (of a sample)" if one.of_sample else ""
    return f"{one.what}: {one.before} -> {one.after}{sample}"


def changes(verdicts: Iterable[evidence_pb2.ClaimVerdict]) -> list[str]:
    """What changed since the claims were verified last, a line a claim; empty the first time."""
    again = [verdict for verdict in verdicts if verdict.HasField("change")]
    lines = [
        f"{verdict.claim.id}: {'; '.join(map(difference, verdict.change.differences))}"
        for verdict in again
        if verdict.change.differences
    ]
    if len(lines) < len(again):
        same = f"{len(again) - len(lines)} of {plural(len(again), 'claim')}"
        lines.append(f"{same}: same verdict and measurement")
    return lines
