"""Evidence -> the value of a predeclared metric.

Pure. What is read depends on where a piece of evidence comes from (fact, relation, unit, hardware,
basis, time), never on what it says, so that a better value can only give a better reading.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.ranker.claims.identity import hardware_class
from services.ranker.claims.model import STRENGTH, Basis, Claim, Evidence
from services.ranker.methodology.definition import Input, Metric


@dataclass(frozen=True)
class Reading:
    """What the evidence says of one metric: its position on the metric's scale, in [0, 1].

    `shown` is the value as a reader sees it, with its unit; `evidence` the digests it rests on.
    """

    low: float
    point: float
    high: float
    shown: str
    evidence: tuple[str, ...]


def facts_of(claims: Iterable[Claim]) -> dict[str, str]:
    """Claim id -> the fact that evidence on it speaks to, for claims about the artifact alone.

    A claim that names a comparator is about two things: its evidence may be a ratio, or the other's
    figure, and is left out.
    """
    return {claim.id: claim.group for claim in claims if not claim.comparator}


def read(
    metric: Metric, evidence: Iterable[Evidence], facts: Mapping[str, str], hardware: str
) -> Reading | None:
    """The reading of `metric`, or None when no evidence speaks to it.

    The first input with evidence counts; of it the best basis (measured before derived before
    sourced), of that the latest; of several as late as each other the least favourable ends.
    """
    items = sorted(evidence, key=lambda item: item.digest)
    for source in metric.inputs:
        found = [
            (item, position)
            for item in items
            if facts.get(item.claim) == source.fact
            and _admitted(item, source, metric.per_hardware, hardware)
            and (position := _position(item, source)) is not None
        ]
        if found:
            best = max(_preference(item) for item, _ in found)
            return _worst([pair for pair in found if _preference(pair[0]) == best])
    return None


def latest_hardware(*sides: Iterable[Evidence]) -> str:
    """The hardware class to compare on: one that every side was measured on, if there is one.

    Among those the one measured on last; empty when nothing was measured. Independent of the order
    of the sides and of the evidence.
    """
    latest: list[dict[str, float]] = []
    for side in sides:
        classes: dict[str, float] = {}
        for item in side:
            if item.basis is Basis.MEASURED and (name := hardware_class(item.environment)):
                classes[name] = max(classes.get(name, -math.inf), item.time.timestamp())
        latest.append(classes)
    names = set.intersection(*map(set, latest)) or set.union(*map(set, latest)) if latest else set()
    return max(
        names, key=lambda name: (max(c.get(name, -math.inf) for c in latest), name), default=""
    )


def _admitted(item: Evidence, source: Input, per_hardware: bool, hardware: str) -> bool:
    """Whether `item` may speak for the artifact through `source`."""
    if item.relation not in source.relations:
        return False
    return not per_hardware or (
        item.basis is Basis.MEASURED and hardware_class(item.environment) == hardware
    )


def _preference(item: Evidence) -> tuple[int, datetime]:
    return STRENGTH[item.basis], item.time


def _position(item: Evidence, source: Input) -> tuple[float, float, float] | None:
    """Low, point and high of `item` on the scale; None when its value is of another kind."""
    if item.value is None:
        return None
    if source.scale is None:
        if not isinstance(item.value.content, bool):
            return None
        truth = float(item.value.content == source.good)
        return truth, truth, truth
    number = item.value.number
    if number is None or item.value.unit != source.unit:
        return None
    ends = [number] if item.interval is None else [item.interval.low, number, item.interval.high]
    if not math.isfinite(number) or any(map(math.isnan, ends)):
        return None
    positions = [source.scale.position(end) for end in ends]
    return min(positions), source.scale.position(number), max(positions)


def _worst(found: list[tuple[Evidence, tuple[float, float, float]]]) -> Reading:
    """One reading of several equally good pieces of evidence: the least of each end."""
    low, point, high = (min(position[end] for _, position in found) for end in range(3))
    shown = next(_shown(item, point) for item, position in found if position[1] == point)
    return Reading(low, point, high, shown, tuple(item.digest for item, _ in found))


def _shown(item: Evidence, point: float) -> str:
    """The value for a reader, with its basis; of a truth, whether it is the good one."""
    number = item.value.number if item.value else None
    basis = item.basis.value.lower()
    if item.value is None or number is None:
        return f"{'yes' if point == 1 else 'no'} ({basis})"
    text = f"{number:,.0f}" if abs(number) >= 10_000 else f"{number:.4g}"
    unit = "" if item.value.unit == "1" else f" {item.value.unit}"
    return f"{text}{unit} ({basis})"
