"""Scores, their parts, and how far a page can be believed, ready to be shown."""

from __future__ import annotations

from dataclasses import dataclass

from assay_rpc.ranker.v1 import artifact_pb2, compare_pb2, score_pb2
from markupsafe import Markup

from services.common.counts import plural
from services.ranker.methodology.points import POINTS, passes
from services.ranker.web import drawing
from services.ranker.web.links import Links
from services.ranker.web.sides import LEAST, MOST, facts, reports
from services.ranker.web.values import fixed, spread
from services.ranker.words import joined, words

_MOST_NAMES = 5

NOTHING = Markup()
"""No drawing."""


@dataclass(frozen=True)
class Figure:
    """A value with its interval drawn, or in `text` why there is none; `remarks` are small."""

    text: str
    drawn: Markup = NOTHING
    remarks: tuple[str, ...] = ()
    known: bool = True


def score(value: score_pb2.Score, side: str) -> Figure:
    """A score in its profile.

    Where a metric has no evidence there is none, and nothing is drawn: bounds that are left decide
    nothing, and a bar would look like knowledge.
    """
    if not value.HasField("point"):
        if not value.coverage:
            return Figure("no evidence yet", known=False)
        return Figure(
            f"no score yet: no evidence for {lacks(value)}",
            remarks=(
                f"possible: {fixed(value.low, 1)} to {fixed(value.high, 1)} points",
                *_scale(value),
            ),
            known=False,
        )
    return Figure(
        _with_ends(value.point, value.low, value.high, 1, " points"),
        drawing.interval(value.low, value.point, value.high, 100 * MOST, side, least=100 * LEAST),
        _scale(value),
    )


def _with_ends(point: float, low: float, high: float, digits: int, unit: str = "") -> str:
    said, least, most = spread(point, low, high, digits)
    return f"{said}{unit}, from {least} to {most}" if least else f"{said}{unit}"


def _scale(value: score_pb2.Score) -> tuple[str, ...]:
    """What the points are, where a reader would take 100 for the most."""
    return (POINTS,) if passes(value.low, value.high) else ()


def lacks(value: score_pb2.Score) -> str:
    """The metrics of a profile that have no evidence, in words."""
    names = [words(one) for one in value.lacks]
    if len(names) > _MOST_NAMES:
        return plural(len(names), "metric")
    return joined(names)


def component(value: score_pb2.Component | None, side: str) -> list[Figure]:
    """A part of a score; nothing for an artifact of a type that has no such part."""
    if value is None:
        return []
    explanation = tuple(filter(None, (value.explanation,)))
    if not value.HasField("point"):
        return [Figure("no evidence yet", NOTHING, explanation, known=False)]
    return [
        Figure(
            _with_ends(value.point, value.low, value.high, 2),
            drawing.interval(value.low, value.point, value.high, MOST, side, least=LEAST),
            explanation,
        )
    ]


def published(artifact: artifact_pb2.Artifact, side: str) -> list[Figure]:
    """The scores that pages printed, each in what its printed components allow."""
    return [_published(one, side) for one in artifact.published]


def _published(value: artifact_pb2.PublishedScore, side: str) -> Figure:
    feasible = value.feasible
    parts = joined(
        [f"{words(name)} {value:g}" for name, value in sorted(value.printed_components.items())]
    )
    return Figure(
        f"{value.value:g} of 100; its printed components are consistent with "
        f"{feasible.low:g} to {feasible.high:g}",
        drawing.interval(feasible.low, value.value, feasible.high, 100, side),
        tuple(filter(None, (f"printed: {parts}" if parts else "", value.remark))),
    )


def reliability(side: compare_pb2.ComparedArtifact, color: str) -> list[Figure]:
    """How far each page can be believed about an artifact."""
    return [_reliability(one, color) for one in side.reliability]


def _reliability(value: compare_pb2.PageReliability, color: str) -> Figure:
    of_page = f"as {value.page} states it; " if value.page else "its own card; "
    counts = (f"{of_page}{facts(value)}; no part of the score",)
    if not value.HasField("mean"):
        return Figure("unknown: nothing was decided", NOTHING, counts, known=False)
    low, high = value.interval.low, value.interval.high
    return Figure(
        f"{value.mean:.2f}, from {low:.2f} to {high:.2f}",
        drawing.interval(low, value.mean, high, 1, color),
        counts,
    )


def matches(counts: score_pb2.MatchCounts) -> Figure:
    """How often it was matched, and what became of that."""
    return Figure(f"{counts.matched:,}", NOTHING, tuple(reports(counts)))


@dataclass(frozen=True)
class Term:
    """One term of a score's sum, and the evidence that it rests on."""

    name: str
    points: str
    weight: str
    explanation: str
    evidence: tuple[tuple[str, str], ...]


def contribution(value: score_pb2.Contribution, links: Links, evidence: frozenset[str]) -> Term:
    """A term of a score's sum. Of the digests that it rests on those in `evidence` have pages."""
    name = words(value.component)
    if value.metric and value.metric != value.component:
        name += f": {words(value.metric)}"
    known = value.HasField("point")
    return Term(
        name=name,
        points=_with_ends(value.point, value.low, value.high, 2) if known else "unknown",
        weight=f"{value.max_points:g}" if value.metric else "not weighted",
        explanation=value.explanation,
        evidence=tuple(
            (one.removeprefix("sha256:")[:12], links.evidence(one))
            for one in value.evidence
            if one in evidence
        ),
    )
