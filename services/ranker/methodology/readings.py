"""Evidence -> the value of a predeclared metric, as a utility.

Pure. What is read depends on where evidence comes from (fact, relation, unit, hardware, basis,
level, number of observations), never on its value, so that a better value can only give a better
reading. The time of a sample does not matter either: otherwise one could measure until the last
result suits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from services.common.statistics.ranking import separation
from services.ranker.claims.bounds import Interval
from services.ranker.claims.findings import Evidence
from services.ranker.claims.identity import hardware_class
from services.ranker.claims.model import STRENGTH, Basis, Claim, SubjectRelation
from services.ranker.methodology.definition import Metric, Scale

CERTAIN = 1.0
"""Level of a reading whose ends are not random."""


@dataclass(frozen=True)
class Reading(separation.Reading):
    """A metric's reading: its utility, `low` <= `point` <= `high`.

    `sampled` says that the ends are those of an interval at `level`; bounds, and a count, have
    level 1. `same` is what it was measured on: readings of different things are not compared.
    `shown` is the value for readers, with its unit; `evidence` the digests that it rests on.
    """

    level: float = CERTAIN
    same: str = ""
    shown: str = ""
    evidence: tuple[str, ...] = ()


Readings = Mapping[str, Reading]
"""An artifact's readings by metric."""


def facts_of(claims: Iterable[Claim]) -> dict[str, str]:
    """Claim id -> the fact that its evidence is about, for claims about the artifact alone.

    A claim with a comparator is about two things: its evidence may be a ratio, or the other's
    figure, so it is left out.
    """
    return {claim.id: claim.group for claim in claims if not claim.comparator}


def read_all(
    metrics: Mapping[str, Metric],
    evidence: Iterable[Evidence],
    facts: Mapping[str, str],
    hardware: str,
    level: float,
) -> dict[str, Reading]:
    """The readings of all metrics that have one."""
    items = tuple(evidence)
    found = {name: read(one, items, facts, hardware, level) for name, one in metrics.items()}
    return {name: reading for name, reading in found.items() if reading is not None}


def read(
    metric: Metric,
    evidence: Iterable[Evidence],
    facts: Mapping[str, str],
    hardware: str,
    level: float,
) -> Reading | None:
    """The reading of `metric`, or None if no evidence is about it.

    An interval with a level below `level` is ignored. Of the rest the best basis counts (measured
    before derived before sourced), then the thing itself before a stand-in. Of samples the one with
    the most observations counts, of counts and citations the latest; among equals, the least
    favourable ends.
    """
    found = [
        (item, reading)
        for item in sorted(evidence, key=lambda item: item.digest)
        if facts.get(item.claim) == metric.fact
        and _admitted(item, metric, hardware)
        and (reading := _reading(item, metric, level)) is not None
    ]
    if not found:
        return None
    best = max(_preference(item, reading) for item, reading in found)
    return _worst([reading for item, reading in found if _preference(item, reading) == best])


def latest_hardware(*sides: Iterable[Evidence]) -> str:
    """The hardware class to compare on: one that every side was measured on, if there is one.

    Of several, the one measured on last; empty if nothing was measured. Independent of the order of
    the sides and of the evidence.
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


def _admitted(item: Evidence, metric: Metric, hardware: str) -> bool:
    """Whether `item` may represent the artifact."""
    if item.relation not in metric.relations or item.declared:
        return False
    return not metric.per_hardware or (
        item.basis is Basis.MEASURED and hardware_class(item.environment) == hardware
    )


def _preference(item: Evidence, reading: Reading) -> tuple[int, bool, bool, str, float]:
    """Sort key of evidence: the greater counts first.

    Of several things that it was measured on, the last by name counts: any would do, as long as all
    artifacts are read on the same one.
    """
    chance = reading.sampled
    return (
        STRENGTH[item.basis],
        item.relation is SubjectRelation.EXACT,
        chance,
        reading.same,
        float(item.n) if chance else item.time.timestamp(),
    )


def _reading(item: Evidence, metric: Metric, level: float) -> Reading | None:
    """`item` on the scale; None when its value is of another kind, or its interval not sure."""
    if item.value is None:
        return None
    if metric.scale is None:
        if not isinstance(item.value.content, bool):
            return None
        worth = float(item.value.content == metric.good)
        shown = f"{'yes' if worth else 'no'} ({_BASES[item.basis]})"
        return Reading(worth, worth, worth, False, shown=shown, evidence=(item.digest,))
    number = item.value.number
    if number is None or item.value.unit != metric.unit or not math.isfinite(number):
        return None
    interval = _interval(item, metric, number, level)
    if interval is None or not _says_something(interval):
        return None
    low, high = _ends(metric.scale, interval)
    return Reading(
        min(high, max(low, metric.scale.utility(number))),
        low,
        high,
        interval.level > 0,
        level=interval.level or CERTAIN,
        same=_same(item, metric),
        shown=_shown(item, number, interval),
        evidence=(item.digest,),
    )


def _interval(item: Evidence, metric: Metric, number: float, level: float) -> Interval | None:
    """The ends of a number, level 0 if they hold for certain; None if they are not sure."""
    if item.basis is Basis.SOURCED:
        # Ends that are cited are of other protocols; this figure is what it says, rounded.
        half = (metric.printed_to or 0.0) / 2
        return Interval(number - half, number + half)
    if item.interval is None:
        return Interval(number, number)
    return None if 0 < item.interval.level < level else item.interval


def _says_something(interval: Interval) -> bool:
    """Whether an interval leaves anything out; what was only an example has one that does not."""
    low, high = interval.low, interval.high
    return not (math.isnan(low) or math.isnan(high) or (math.isinf(high) and low <= 0))


def _ends(scale: Scale, interval: Interval) -> tuple[float, float]:
    low, high = sorted((scale.utility(interval.low), scale.utility(interval.high)))
    return low, high


def _same(item: Evidence, metric: Metric) -> str:
    """What the reading was measured on, in words; empty if nothing has to agree or is known."""
    known = {
        "hardware": hardware_class(item.environment),
        "engine": " ".join(
            str(item.engine[name]) for name in ("id", "precision", "threads") if name in item.engine
        ),
    }
    parts = ((name, known.get(name, item.subject.get(name, ""))) for name in metric.same)
    return ", ".join(f"{name} {value}" for name, value in parts if value)


def _worst(found: list[Reading]) -> Reading:
    """One reading of several equally good pieces of evidence: the least of each end."""
    least = min(found, key=lambda one: (one.point, one.shown))
    return replace(
        least,
        low=min(one.low for one in found),
        high=min(one.high for one in found),
        sampled=any(one.sampled for one in found),
        level=min(one.level for one in found),
        evidence=tuple(digest for one in found for digest in one.evidence),
    )


_BASES = {Basis.MEASURED: "measured", Basis.DERIVED: "computed", Basis.SOURCED: "published"}


def _shown(item: Evidence, number: float, interval: Interval) -> str:
    """The value for a reader, with what it may be and its basis."""
    unit = item.value.unit if item.value else ""
    ends = ""
    if interval.low < interval.high:
        ends = f" [{in_words(interval.low)} .. {in_words(interval.high)}]"
    shown = f"{in_words(number)}x{ends}" if unit == "1" else f"{in_words(number)}{ends} {unit}"
    return f"{shown.rstrip()} ({_BASES[item.basis]})"


def in_words(number: float) -> str:
    """A number as it is read: large ones in full, others to four figures that count."""
    return f"{number:,.0f}" if abs(number) >= 10_000 else f"{number:z.4g}"
