"""The difference of two models on the same documents, in bits per byte.

The scores are paired by document or span, so that a text's difficulty for both models cancels. A
document that is excluded for either model is in neither sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from services.common.statistics.samples import levels
from services.corpus.bpb.estimates import LEVEL, Everything, Figure, Quantity, Sampled, Scope
from services.corpus.bpb.figures import DocumentScore, Score, Tally
from services.corpus.bpb.report import Drawing, Estimates, span_nats


@dataclass(frozen=True, slots=True)
class Difference:
    """Bits per byte of `model` less those of `against`, over the same documents.

    `figure` is the difference, below 0 if `model` predicts better, with its basis; None if nothing
    was scored for both. The figures of the two models are over the same text as the difference.
    `identical` says that both have the same likelihood for everything scored.
    """

    figure: Figure | None
    model: Score
    against: Score
    model_figure: Figure | None
    against_figure: Figure | None
    identical: bool


class Differences:
    """Differences over all documents, by subset and as averages of these."""

    def __init__(
        self,
        model: Iterable[DocumentScore],
        against: Iterable[DocumentScore],
        drawing: Drawing | None = None,
        scope: Scope = Scope.DOCUMENTS,
        level: float = LEVEL,
    ) -> None:
        """Pair the scores of two models by document id, whatever their order.

        Raises ValueError if the documents differ, naming one that is not in both.
        """
        self._pairs: list[tuple[DocumentScore, DocumentScore]] = []
        self.left_out = 0
        for ours, theirs in _paired(model, against):
            if ours.excluded or theirs.excluded:
                self.left_out += 1
            else:
                self._pairs.append((ours, theirs))
        self._sides = [_side(self._pairs, side) for side in (0, 1)]
        self._made = _estimates(self._pairs, drawing, scope, level)

    @property
    def overall(self) -> Difference:
        """Over all bytes."""
        figures = [made.overall for made in self._made]
        return self._difference(figures, None)

    @property
    def subsets(self) -> dict[str, Difference]:
        """By subset, by name."""
        difference, model, against = (made.subsets for made in self._made)
        return {
            name: self._difference([difference[name], model[name], against[name]], name)
            for name in difference
        }

    @cached_property
    def macro(self) -> Figure | None:
        """Mean over the subsets of their differences; None when there are none."""
        return self._made[0].macro

    def weighted(self, weights: Mapping[str, float]) -> Figure | None:
        """Average of the subsets' differences by weights; None when there are none."""
        return self._made[0].weighted(weights)

    def _difference(self, figures: list[Figure | None], subset: str | None) -> Difference:
        difference, model, against = figures
        scores = []
        for side in self._sides:
            total = Tally()
            for name, tally in side.items():
                if subset is None or subset == name:
                    total.merge(tally)
            scores.append(total.score())
        pairs = [one for one in self._pairs if subset is None or one[0].subset == subset]
        identical = bool(pairs) and all(
            (ours.nats, ours.spans) == (theirs.nats, theirs.spans) for ours, theirs in pairs
        )
        return Difference(difference, scores[0], scores[1], model, against, identical)


def _side(pairs: list[tuple[DocumentScore, DocumentScore]], side: int) -> dict[str, Tally]:
    tallies: dict[str, Tally] = {}
    for pair in pairs:
        tallies.setdefault(pair[side].subset, Tally()).add(pair[side])
    return tallies


def _estimates(
    pairs: list[tuple[DocumentScore, DocumentScore]],
    drawing: Drawing | None,
    scope: Scope,
    level: float,
) -> tuple[Estimates, Estimates, Estimates]:
    """Return the estimates of the difference, the model and the other model."""
    kinds = (Quantity.DIFFERENCE, Quantity.LEVEL, Quantity.LEVEL)
    if drawing is None or drawing.complete:
        between, model, against = (Everything(quantity, scope, level) for quantity in kinds)
        for ours, theirs in pairs:
            where = (ours.subset, ours.id, ours.text_bytes)
            between.add(*where, min(ours.tokens, theirs.tokens), ours.nats, -theirs.nats)
            model.add(*where, ours.tokens, ours.nats)
            against.add(*where, theirs.tokens, theirs.nats)
        return between, model, against
    sides = [span_nats(drawing, [pair[side] for pair in pairs]) for side in (0, 1)]
    nats = (levels.differences(*sides), *sides)
    counts = [{name: tally.tokens for name, tally in _side(pairs, side).items()} for side in (0, 1)]
    both = {name: min(one[name] for one in counts) for name in counts[0]}
    first, second, third = (
        Sampled(quantity, scope, drawing.unit, drawing.parts, one, level=level, tokens=tokens)
        for quantity, one, tokens in zip(kinds, nats, (both, *counts), strict=True)
    )
    return first, second, third


def _paired(
    model: Iterable[DocumentScore], against: Iterable[DocumentScore]
) -> Iterator[tuple[DocumentScore, DocumentScore]]:
    others = {document.id: document for document in against}
    for document in model:
        other = others.pop(document.id, None)
        if other is None or other.text_bytes != document.text_bytes:
            raise ValueError(f"document {document.id} was scored for one model only")
        yield document, other
    if others:
        raise ValueError(f"document {min(others)} was scored for one model only")
