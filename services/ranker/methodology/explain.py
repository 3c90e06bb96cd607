"""A score as a sum: each term with its points, and the evidence that it rests on.

Pure. The terms' points add up to the score's; a missing metric is a term too, with all of its
points open. Ends of terms with random errors add up as squares, so the score's ends are within the
terms' sums.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.ranker.methodology.definition import SHOWN
from services.ranker.methodology.score import Score


@dataclass(frozen=True)
class Contribution:
    """One term, in points of 100. `point` is None if nothing is known."""

    component: str
    metric: str
    max_points: float
    low: float
    point: float | None
    high: float
    explanation: str
    evidence: tuple[str, ...]

    @property
    def known(self) -> bool:
        """Whether there is evidence."""
        return self.point is not None


def explain(score: Score) -> tuple[Contribution, ...]:
    """The terms of a score: its profile's metrics, then the parts that are shown but count 0."""
    return tuple(
        Contribution(
            component=one.name,
            metric="" if one.name in SHOWN else one.name,
            max_points=100 * one.weight,
            low=100 * one.weight * one.low,
            point=None if one.point is None else 100 * one.weight * one.point,
            high=100 * one.weight * one.high,
            explanation=one.explanation,
            evidence=one.evidence,
        )
        for one in score.components
        if one.weight or one.name in SHOWN
    )
