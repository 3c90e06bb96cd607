"""The figures of scores: their sums, and what these or a sample say of all documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from services.common.statistics.samples.sampling import Drawn, Key
from services.common.statistics.samples.spans import NAT_UNITS
from services.corpus.bpb.estimates import LEVEL, Everything, Figure, Quantity, Sampled, Scope
from services.corpus.bpb.figures import DocumentScore, Score, ScoreTotals
from services.corpus.bpb.sampling import Unit


@dataclass(frozen=True)
class Drawing:
    """What was drawn of every subset: spans or documents."""

    unit: Unit
    parts: Mapping[str, Drawn]

    @property
    def complete(self) -> bool:
        """Whether the sample is the whole selection."""
        return all(part.complete for part in self.parts.values())


class Estimates(Protocol):
    """Figures of all documents; one that nothing was scored for is None."""

    @property
    def subsets(self) -> dict[str, Figure | None]:
        """By subset, by name."""
        ...

    @property
    def overall(self) -> Figure | None:
        """Over all bytes: the micro average."""
        ...

    @property
    def macro(self) -> Figure | None:
        """Mean over the subsets that have a figure."""
        ...

    def weighted(self, weights: Mapping[str, float]) -> Figure | None:
        """Average over the subsets with a figure and a weight."""
        ...


class Report:
    """What a scoring gives: `totals` are over what was scored, `estimates` speak of everything."""

    def __init__(
        self,
        scores: Iterable[DocumentScore],
        drawing: Drawing | None = None,
        scope: Scope = Scope.DOCUMENTS,
        level: float = LEVEL,
    ) -> None:
        """`drawing` is the sample that the scores are of, None if they are of all documents."""
        self.totals = ScoreTotals()
        if drawing is None or drawing.complete:
            whole = Everything(Quantity.LEVEL, scope, level)
            for score in scores:
                self.totals.add(score)
                if score.excluded is None:
                    place = (score.subset, score.id)
                    whole.add(*place, score.text_bytes, score.tokens, score.nats)
            self.estimates: Estimates = whole
        else:
            kept = list(scores)
            for score in kept:
                self.totals.add(score)
            nats = span_nats(drawing, kept)
            tokens = {name: score.tokens for name, score in self.totals.subsets.items()}
            self.estimates = Sampled(
                Quantity.LEVEL, scope, drawing.unit, drawing.parts, nats, level=level, tokens=tokens
            )

    @property
    def subsets(self) -> dict[str, tuple[Score, Figure | None]]:
        """The sums and the figure of each subset, by name."""
        sums = self.totals.subsets
        return {
            name: (sums.get(name, Score()), figure)
            for name, figure in self.estimates.subsets.items()
        }


def span_nats(drawing: Drawing, scores: Iterable[DocumentScore]) -> dict[Key, int | None]:
    """Return the nats of every span that was drawn.

    None where its document is excluded, or not among the scores.
    """
    nats: dict[Key, int | None] = {
        span.key: None for part in drawing.parts.values() for span in part.spans
    }
    for score in scores:
        if score.excluded is not None:
            continue
        if drawing.unit is Unit.DOCUMENTS:
            nats[score.id, 0] = round(score.nats * NAT_UNITS)
        for number, units in score.spans:
            nats[score.id, number] = units
    return nats
