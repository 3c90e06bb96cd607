"""Evidence -> the score of an artifact in a profile, part by part.

Pure. A score is the weighted sum of the profile's metrics, as utilities. An artifact that lacks a
metric has no score, only the remaining bounds, which decide nothing. Parts in no profile
(freshness, reported outcomes, adoption) are shown next to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from services.common.counts import with_unit
from services.common.statistics.interval import TooFewError
from services.common.statistics.outcomes import Reports, reported
from services.ranker.claims.findings import ClaimVerdict, Evidence
from services.ranker.claims.model import Artifact
from services.ranker.methodology.definition import GREATEST, LEAST, Methodology, Metric
from services.ranker.methodology.profile import Profile, profiles
from services.ranker.methodology.readings import (
    Reading,
    Readings,
    facts_of,
    in_words,
    read_all,
)
from services.ranker.words import words

_DIGITS = 9
"""Decimals kept, so that replicas on another machine give the same bytes."""


@dataclass(frozen=True)
class Component:
    """One part of a score: a metric, or what is shown beside it with weight 0.

    `low` <= `point` <= `high` are utilities: 0 and 1 are the ends of the scale, which may be passed
    by a half. `point` is None if nothing is known. `evidence` are the digests that it was
    computed from; `missing` says how to know more.
    """

    name: str
    weight: float
    low: float
    point: float | None
    high: float
    explanation: str
    evidence: tuple[str, ...] = ()
    missing: str = ""

    @property
    def coverage(self) -> float:
        """1 where something is known, else 0."""
        return 0.0 if self.point is None else 1.0


@dataclass(frozen=True)
class Outcomes:
    """What was reported of matches with an artifact.

    `operators` are the reports of each identity that the server verified. `reported` and
    `succeeded` count those of everybody, and `anonymous` those of callers that showed none.
    """

    operators: Mapping[str, Reports] = field(default_factory=dict)
    reported: int = 0
    succeeded: int = 0
    anonymous: int = 0


NO_OUTCOMES = Outcomes()
"""Outcomes of an artifact before anyone reported how a match with it ended."""


@dataclass(frozen=True)
class Score:
    """A score out of 100 in a profile: `low` <= `point` <= `high`.

    0 and 100 are what the scales' references would get; less and more are possible. `point` is None
    where a metric of the profile is missing; `low` and `high` are then the bounds that are left.
    `coverage` is the share of the middle weights that has evidence. `components` are all metrics of
    the type, with weight 0 if they are not of the profile, and what is shown beside them.
    """

    profile: str
    low: float
    point: float | None
    high: float
    coverage: float
    lacks: tuple[str, ...]
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


@dataclass(frozen=True)
class Standing:
    """An artifact as profiles see it: its readings on a hardware class, at a level.

    `unsure` are readings of intervals with a lower level; they are reported, and not read.
    """

    record: ArtifactRecord
    readings: Readings
    methodology: Methodology
    as_of: date
    level: float = 0.0
    unsure: Readings = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The artifact's id."""
        return self.record.artifact.id

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """The profiles of the artifact's type."""
        return profiles(self.methodology.rules(self.record.artifact.type))

    def score(self, profile: Profile) -> Score:
        """Its score in a profile of its type."""
        low, point, high = profile.score(self.readings)
        lacks = profile.lacks(self.readings)
        return Score(
            profile=profile.name,
            low=round(low, _DIGITS),
            point=None if point is None else round(point, _DIGITS),
            high=round(high, _DIGITS),
            coverage=round(1 - sum(profile.weights[name] for name in lacks), 12),
            lacks=lacks,
            components=self._components(profile),
            methodology_digest=self.methodology.digest,
            as_of=self.as_of,
        )

    def _measured(self, name: str, weight: float, metric: Metric) -> Component:
        if name in self.readings:
            return _known(name, weight, metric, self.readings[name])
        if name in self.unsure:
            return _unsure(name, weight, self.unsure[name], self.level)
        return _missing(name, weight, metric)

    def _components(self, profile: Profile) -> tuple[Component, ...]:
        artifact, outcomes = self.record.artifact, self.record.outcomes
        metrics = self.methodology.rules(artifact.type).metrics
        return (
            *(
                self._measured(name, profile.weights.get(name, 0.0), one)
                for name, one in metrics.items()
            ),
            freshness(artifact, self.as_of, self.methodology),
            outcome_component(outcomes),
            adoption(),
        )


def standing(
    record: ArtifactRecord, methodology: Methodology, as_of: date, hardware: str, level: float
) -> Standing:
    """What is read of an artifact on a class of hardware, from intervals of `level` or more."""
    rules = methodology.rules(record.artifact.type)
    facts = facts_of(record.artifact.claims)
    readings = read_all(rules.metrics, record.evidence, facts, hardware, level)
    others = {name: one for name, one in rules.metrics.items() if name not in readings}
    unsure = read_all(others, record.evidence, facts, hardware, 0.0)
    return Standing(record, readings, methodology, as_of, level, unsure)


def _unsure(name: str, weight: float, reading: Reading, level: float) -> Component:
    """A metric whose interval is less sure than is wanted; its digests are not of a score."""
    wanted = f"{100 * level:.6g} % is required here"
    explanation = f"{reading.shown} is sure to {100 * reading.level:.6g} %, and {wanted}"
    missing = f"more observations: {wanted}"
    return Component(name, weight, LEAST, None, GREATEST, explanation, missing=missing)


def _missing(name: str, weight: float, metric: Metric) -> Component:
    how = f"; {metric.when_missing}" if metric.when_missing else ""
    explanation = f"no evidence on {words(metric.fact)}{how}"
    missing = metric.when_missing or f"evidence on {words(metric.fact)}"
    return Component(name, weight, LEAST, None, GREATEST, explanation, missing=missing)


def _known(name: str, weight: float, metric: Metric, reading: Reading) -> Component:
    on = f" on {reading.same}" if reading.same else ""
    return Component(
        name,
        weight,
        reading.low,
        reading.point,
        reading.high,
        f"{reading.shown}{on}{_between(metric)}",
        reading.evidence,
    )


def _between(metric: Metric) -> str:
    """The two published figures that a scale goes through."""
    scale = metric.scale
    if scale is None:
        return ""
    zero, one = scale.zero, scale.one
    low, high = (
        with_unit(in_words(end.value), "" if metric.unit == "share" else metric.unit or "")
        for end in (zero, one)
    )
    scaled = "logarithmic scale" if scale.logarithmic else "scale"
    return (
        f"; {scaled}: 0 is {low} ({zero.artifact}; {zero.source}), 1 is {high} ({one.artifact}; "
        f"{one.source})"
    )


def freshness(artifact: Artifact, as_of: date, methodology: Methodology) -> Component:
    """How recent the artifact is by the day that it declares; nothing verifies that day."""
    released = artifact.released
    if released is None:
        return _unknown("freshness", "no day of release is declared", "declare a day of release")
    if released > as_of:
        why = f"not released by {as_of}, but on {released}"
        return _unknown("freshness", why, "ask for a later day")
    age = (as_of - released).days
    value = round(0.5 ** (age / methodology.half_life_days), 12)
    explanation = (
        f"declared: released on {released}, {age:,} days before {as_of}; halves every "
        f"{methodology.half_life_days:g} days"
    )
    return Component("freshness", 0.0, value, value, value, explanation, (artifact.digest,))


def outcome_component(outcomes: Outcomes) -> Component:
    """What operators report, one opinion each, with an interval that allows for some who lie."""
    anonymous = f"; {outcomes.anonymous:,} anonymous reports do not count"
    beside = anonymous if outcomes.anonymous else ""
    try:
        found = reported(outcomes.operators)
    except TooFewError as error:
        return _unknown("outcomes", f"{error}{beside}", "reports by operators")
    low, high = found.shown.low or 0.0, found.shown.high or 0.0
    explanation = f"reported by {found.operators:,} operators, each of which counts once{beside}"
    return Component(
        "outcomes",
        0.0,
        round(min(low, found.mean), _DIGITS),
        round(found.mean, _DIGITS),
        round(max(high, found.mean), _DIGITS),
        explanation,
    )


def adoption() -> Component:
    """How much the artifact is used. Such figures are declared by others and not verified here."""
    return _unknown(
        "adoption",
        "usage figures are declared by others, and not verified here",
        "usage figures that can be verified",
    )


def _unknown(name: str, explanation: str, missing: str) -> Component:
    return Component(name, 0.0, 0.0, None, 1.0, explanation, missing=missing)
