"""Evidence -> the components of a score, and the score out of 100 that they add up to.

Pure. A component is an interval [low, high] in [0, 1] around a point, with the share of it that has
evidence (coverage). What is missing is [0, 1] with the point in the middle, and keeps its weight:
it widens the interval, and moves neither the denominator nor the point of the rest. The weights of
a type sum to 1 whatever is known, so a score moves only with what is found, never with how much was
looked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from services.ranker.claims.model import Artifact, ClaimVerdict, Evidence
from services.ranker.methodology import beta
from services.ranker.methodology.definition import Methodology, Metric
from services.ranker.methodology.readings import Reading, facts_of, read

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


@dataclass(frozen=True)
class Score:
    """A score out of 100: `low` <= `point` <= `high`.

    `point` has every missing part in the middle of its range and means nothing without `coverage`,
    the share of the weight that has evidence.
    """

    low: float
    point: float
    high: float
    coverage: float
    components: tuple[Component, ...]
    methodology_digest: str
    as_of: date


@dataclass(frozen=True)
class ArtifactRecord:
    """All that is known of one artifact: what was observed, what became of its claims, its matches.

    Evidence on claims of other artifacts is ignored. `matched` counts every match, with a reported
    end or without; it is shown and enters no score.
    """

    artifact: Artifact
    evidence: tuple[Evidence, ...]
    verdicts: tuple[ClaimVerdict, ...]
    outcomes: Outcomes = NO_OUTCOMES
    matched: int = 0


def score(record: ArtifactRecord, methodology: Methodology, as_of: date, hardware: str) -> Score:
    """The score of one artifact on a class of hardware. Depends on nothing but the arguments."""
    artifact = record.artifact
    rules = methodology.rules(artifact.type)
    weights = {name: one.weight for name, one in rules.weights.items()}
    facts = facts_of(artifact.claims)

    def reading(metric: Metric) -> Reading | None:
        return read(metric, record.evidence, facts, hardware)

    return combine(
        (
            measured("quality", weights["quality"], rules.quality, reading),
            measured("ecosystem", weights["ecosystem"], rules.ecosystem, reading),
            match_graph(weights["match_graph"], record.outcomes, methodology),
            freshness(artifact, as_of, weights["freshness"], methodology),
            adoption(weights["adoption"]),
        ),
        methodology,
        as_of,
    )


def combine(components: tuple[Component, ...], methodology: Methodology, as_of: date) -> Score:
    """The weighted sum of the components, end by end."""

    def total(values: Iterable[float]) -> float:
        return math.fsum(c.weight * value for c, value in zip(components, values, strict=True))

    return Score(
        low=_points(total(c.low for c in components)),
        point=_points(total(c.point for c in components)),
        high=_points(total(c.high for c in components)),
        coverage=round(total(c.coverage for c in components), 12),
        components=components,
        methodology_digest=methodology.digest,
        as_of=as_of,
    )


def measured(
    name: str,
    weight: float,
    metrics: Mapping[str, Metric],
    read: Callable[[Metric], Reading | None],
) -> Component:
    """A component of predeclared metrics: the weighted sum of their positions on their scales.

    `read` gives the reading of a metric, or None when there is no evidence of it.
    """
    readings = {name: read(metric) for name, metric in metrics.items()}
    known = {name: reading for name, reading in readings.items() if reading is not None}
    missing = tuple(name for name, reading in readings.items() if reading is None)
    gap = 1.0 if not known else math.fsum(metrics[name].weight for name in missing)

    def total(ends: Iterable[float], of_missing: float) -> float:
        parts = [metrics[name].weight * end for name, end in zip(known, ends, strict=True)]
        return _unit(math.fsum([*parts, gap * of_missing]))

    return Component(
        name=name,
        weight=weight,
        low=total((reading.low for reading in known.values()), 0.0),
        point=total((reading.point for reading in known.values()), NEUTRAL),
        high=total((reading.high for reading in known.values()), 1.0),
        coverage=_unit(1 - gap),
        explanation=_explain(metrics, known, missing),
        evidence=tuple(
            sorted({digest for reading in known.values() for digest in reading.evidence})
        ),
        missing=missing,
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


def _explain(
    metrics: Mapping[str, Metric], known: Mapping[str, Reading], missing: Sequence[str]
) -> str:
    parts = [
        f"{name} {reading.shown} is {reading.point:.2f} of its scale, "
        f"weight {metrics[name].weight:g}"
        for name, reading in known.items()
    ]
    if missing:
        parts.append(f"no evidence of {_listed(missing)}")
    reasons = {name: metrics[name].when_missing for name in missing}
    parts += [f"of {name}: {reason}" for name, reason in reasons.items() if reason]
    return "; ".join(parts)


def _listed(names: Sequence[str], most: int = 5) -> str:
    """The names, the first few when there are many."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"


def _unit(value: float) -> float:
    """`value` without the last digits of its sum, within [0, 1]."""
    return min(1.0, max(0.0, round(value, 12)))


def _points(share: float) -> float:
    return min(100.0, max(0.0, round(100 * share, 9)))
