"""A score as the sum that it is: each term with its points, and the evidence that it rests on.

Pure. The terms' low, point and high add up to the score's; what is not known is a term too, with
all of its points open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.ranker.methodology.definition import Methodology, Metric
from services.ranker.methodology.readings import Reading, facts_of, read
from services.ranker.methodology.score import NEUTRAL, ArtifactRecord, Score


@dataclass(frozen=True)
class Contribution:
    """One term, in points of 100. `metric` is empty for a component that is no sum of metrics."""

    component: str
    metric: str
    max_points: float
    low: float
    point: float
    high: float
    known: bool
    explanation: str
    evidence: tuple[str, ...]


def explain(
    score: Score, record: ArtifactRecord, methodology: Methodology, hardware: str
) -> tuple[Contribution, ...]:
    """The terms of a score that was computed from the record on this class of hardware."""
    rules = methodology.rules(record.artifact.type)
    facts = facts_of(record.artifact.claims)
    metrics = {"quality": rules.quality, "ecosystem": rules.ecosystem}
    terms: list[Contribution] = []
    for component in score.components:
        if component.name in metrics:
            terms += _of_metrics(
                component.name,
                component.weight,
                [
                    (name, metric, read(metric, record.evidence, facts, hardware))
                    for name, metric in metrics[component.name].items()
                ],
            )
            continue
        points = 100 * component.weight
        terms.append(
            Contribution(
                component=component.name,
                metric="",
                max_points=points,
                low=points * component.low,
                point=points * component.point,
                high=points * component.high,
                known=component.coverage > 0,
                explanation=component.explanation,
                evidence=component.evidence,
            )
        )
    return tuple(terms)


def _of_metrics(
    component: str, weight: float, readings: Iterable[tuple[str, Metric, Reading | None]]
) -> list[Contribution]:
    found = []
    for name, metric, reading in readings:
        points = 100 * weight * metric.weight
        low, point, high = (
            (0.0, NEUTRAL, 1.0) if reading is None else (reading.low, reading.point, reading.high)
        )
        found.append(
            Contribution(
                component=component,
                metric=name,
                max_points=points,
                low=points * low,
                point=points * point,
                high=points * high,
                known=reading is not None,
                explanation=_missing(metric) if reading is None else _shown(metric, reading),
                evidence=() if reading is None else reading.evidence,
            )
        )
    return found


def _missing(metric: Metric) -> str:
    facts = " or ".join(sorted({source.fact for source in metric.inputs}))
    reason = f" ({metric.when_missing})" if metric.when_missing else ""
    return f"no evidence on {facts}{reason}: all of its points are open"


def _shown(metric: Metric, reading: Reading) -> str:
    """The value, and the two published figures that it lies between."""
    scale = metric.inputs[0].scale
    if scale is None:
        return reading.shown
    zero, one = scale.zero, scale.one
    how = "on a logarithmic line" if scale.logarithmic else "on the line"
    return (
        f"{reading.shown}, {how} from {zero.value:g} ({zero.artifact}; {zero.source}) at 0 to "
        f"{one.value:g} ({one.artifact}; {one.source}) at 1"
    )
