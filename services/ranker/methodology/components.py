"""Readings, outcomes and dates -> the components of a score.

Pure. A component is an interval [low, high] in [0, 1] around a point, with the share of it that has
evidence (coverage). What is missing is [0, 1] with the point in the middle, and keeps its weight:
it widens the interval, and moves neither the denominator nor the point of the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from services.ranker.claims.model import Artifact
from services.ranker.methodology import beta
from services.ranker.methodology.definition import Methodology, Metric
from services.ranker.methodology.readings import Reading

NEUTRAL = 0.5
"""Where the point of what is not known lies: the middle of [0, 1]."""


@dataclass(frozen=True)
class Component:
    """One component of a score.

    `low` <= `point` <= `high`, all in [0, 1], as are `weight` and `coverage`. `evidence` are the
    digests that it was computed from, `missing` the names of what has no evidence.
    """

    name: str
    weight: float
    low: float
    point: float
    high: float
    coverage: float
    explanation: str
    evidence: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcomes:
    """How many matches with a wish were reported to have ended, and how many of them well."""

    reported: int = 0
    succeeded: int = 0


NO_OUTCOMES = Outcomes()
"""What an artifact has before anyone reported how a match with it ended."""


def measured(
    name: str,
    weight: float,
    metrics: Iterable[Metric],
    read: Callable[[Metric], Reading | None],
) -> Component:
    """A component made of predeclared metrics: the weighted sum of their places on their scales.

    `read` gives the reading of a metric, or None when there is no evidence of it.
    """
    readings = [(metric, read(metric)) for metric in metrics]
    known = [(metric, reading) for metric, reading in readings if reading is not None]
    missing = [metric for metric, reading in readings if reading is None]
    gap = 1.0 if not known else math.fsum(metric.weight for metric in missing)

    def total(ends: Iterable[float], of_missing: float) -> float:
        parts = [metric.weight * end for (metric, _), end in zip(known, ends, strict=True)]
        return _unit(math.fsum([*parts, gap * of_missing]))

    return Component(
        name=name,
        weight=weight,
        low=total((reading.low for _, reading in known), 0.0),
        point=total((reading.point for _, reading in known), NEUTRAL),
        high=total((reading.high for _, reading in known), 1.0),
        coverage=_unit(1 - gap),
        explanation=_explain(known, missing),
        evidence=tuple(sorted({digest for _, reading in known for digest in reading.evidence})),
        missing=tuple(metric.name for metric in missing),
    )


def match_graph(weight: float, outcomes: Outcomes, methodology: Methodology) -> Component:
    """How often matches went well: a Beta posterior over recorded outcomes.

    Coverage is the share of the posterior that is outcomes and not prior: 0 with none recorded.
    """
    reported, succeeded = outcomes.reported, outcomes.succeeded
    if reported == 0:
        return _unknown("match_graph", weight, "no outcome was reported", "outcomes of matches")
    prior = methodology.prior
    interval = beta.interval(succeeded, reported - succeeded, prior, methodology.level)
    point = beta.mean(succeeded, reported - succeeded, prior)
    return Component(
        name="match_graph",
        weight=weight,
        low=min(interval.low, point),
        point=point,
        high=max(interval.high, point),
        coverage=_unit(reported / (reported + prior.alpha + prior.beta)),
        explanation=f"{succeeded} of {reported} reported matches went well",
    )


def freshness(
    artifact: Artifact, as_of: date, weight: float, methodology: Methodology
) -> Component:
    """How recent the artifact is at `as_of`: one half to the power of its age in half-lives."""
    released = artifact.released
    if released is None:
        return _unknown("freshness", weight, "the day of release is not known", "a day of release")
    if released > as_of:
        return _unknown(
            "freshness", weight, f"not released by {as_of}, but on {released}", "a later day"
        )
    age = (as_of - released).days
    value = _unit(0.5 ** (age / methodology.half_life_days))
    return Component(
        name="freshness",
        weight=weight,
        low=value,
        point=value,
        high=value,
        coverage=1.0,
        explanation=(
            f"released on {released}, {age} days before {as_of}; halves every "
            f"{methodology.half_life_days:g} days"
        ),
        evidence=(artifact.digest,),
    )


def adoption(weight: float) -> Component:
    """How much the artifact is used. Such figures are declared by others and not verified here."""
    return _unknown(
        "adoption",
        weight,
        "figures of use are declared by others and not verified here",
        "figures of use that can be verified",
    )


def _unknown(name: str, weight: float, explanation: str, missing: str) -> Component:
    return Component(name, weight, 0.0, NEUTRAL, 1.0, 0.0, explanation, missing=(missing,))


def _explain(known: list[tuple[Metric, Reading]], missing: list[Metric]) -> str:
    parts = [
        f"{metric.name} {reading.shown} is {reading.point:.2f} of its scale, "
        f"weight {metric.weight:g}"
        for metric, reading in known
    ]
    if missing:
        parts.append(f"no evidence of {_listed([metric.name for metric in missing])}")
    parts += [f"of {one.name}: {one.when_missing}" for one in missing if one.when_missing]
    return "; ".join(parts)


def _listed(names: Sequence[str], most: int = 5) -> str:
    """The names, the first few when there are many."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"


def _unit(value: float) -> float:
    """`value` without the last digits of its sum, within [0, 1]."""
    return min(1.0, max(0.0, round(value, 12)))
