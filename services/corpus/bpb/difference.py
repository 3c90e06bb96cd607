"""How much two models differ on the same documents, in bits per byte, paired by document.

A document that is excluded for either model is in neither sum. The interval is that of the
difference itself: both models' replicates count a document equally often, so the difficulty of a
document cancels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.common.median import Interval
from services.corpus.bpb.bootstrap import interval
from services.corpus.bpb.figures import DocumentScore, Score, Tally


@dataclass(frozen=True, slots=True)
class Difference:
    """Bits per byte of `model` minus those of `against`, over the same documents."""

    model: Score
    against: Score
    interval: Interval | None

    @property
    def bits_per_byte(self) -> float | None:
        """Below 0 where `model` predicts better; None when no document is scored for both."""
        model, against = self.model.bits_per_byte, self.against.bits_per_byte
        return None if model is None or against is None else model - against


@dataclass(frozen=True)
class Differences:
    """Over all documents, by subset, and how many were left out: excluded for either model."""

    overall: Difference
    subsets: dict[str, Difference]
    left_out: int


class _Pair:
    def __init__(self) -> None:
        self._sides = (Tally(), Tally())

    def add(self, model: DocumentScore, against: DocumentScore) -> None:
        for side, document in zip(self._sides, (model, against), strict=True):
            side.add(document)

    def difference(self) -> Difference:
        model, against = self._sides
        spread = model.replicates.bits_per_byte - against.replicates.bits_per_byte
        return Difference(model.score(), against.score(), interval(spread))


def differences(model: Iterable[DocumentScore], against: Iterable[DocumentScore]) -> Differences:
    """Pair the scores of two models by document id, whatever their order.

    Raises ValueError when the documents are not the same, naming one that is not in both.
    """
    others = {document.id: document for document in against}
    overall, subsets, left_out = _Pair(), dict[str, _Pair](), 0
    for document in model:
        other = others.pop(document.id, None)
        if other is None or other.text_bytes != document.text_bytes:
            raise ValueError(f"document {document.id} was scored for one model only")
        if document.excluded or other.excluded:
            left_out += 1
            continue
        overall.add(document, other)
        subsets.setdefault(document.subset, _Pair()).add(document, other)
    if others:
        raise ValueError(f"document {min(others)} was scored for one model only")
    return Differences(
        overall.difference(),
        {name: subsets[name].difference() for name in sorted(subsets)},
        left_out,
    )
