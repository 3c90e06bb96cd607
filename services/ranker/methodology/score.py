"""Components -> a score out of 100, with what the missing evidence leaves open.

Pure. The denominator is fixed: the weights of the type sum to 1 whatever is known, so a score moves
only with what is found, never with how much was looked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from services.ranker.claims.model import Artifact, ClaimVerdict, Evidence
from services.ranker.methodology import components as parts
from services.ranker.methodology.components import NO_OUTCOMES, Component, Outcomes
from services.ranker.methodology.definition import Methodology, Metric
from services.ranker.methodology.readings import Reading, facts_of, read


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
class Dossier:
    """All that is known of one artifact: what was observed, what became of its claims, its matches.

    Evidence on claims of other artifacts is ignored. `matched` counts every match, with a reported
    end or without; it is shown and enters no score.
    """

    artifact: Artifact
    evidence: tuple[Evidence, ...]
    verdicts: tuple[ClaimVerdict, ...]
    outcomes: Outcomes = NO_OUTCOMES
    matched: int = 0


def score(dossier: Dossier, methodology: Methodology, as_of: date, hardware: str) -> Score:
    """The score of one artifact on a class of hardware. Depends on nothing but the arguments."""
    artifact = dossier.artifact
    rules = methodology.rules(artifact.type)
    weights = rules.weights
    facts = facts_of(artifact.claims)

    def reading(metric: Metric) -> Reading | None:
        return read(metric, dossier.evidence, facts, hardware)

    return combine(
        (
            parts.measured("quality", weights["quality"], rules.quality, reading),
            parts.measured("ecosystem", weights["ecosystem"], rules.ecosystem, reading),
            parts.match_graph(weights["match_graph"], dossier.outcomes, methodology),
            parts.freshness(artifact, as_of, weights["freshness"], methodology),
            parts.adoption(weights["adoption"]),
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


def _points(share: float) -> float:
    return min(100.0, max(0.0, round(100 * share, 9)))
