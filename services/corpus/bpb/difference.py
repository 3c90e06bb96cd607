"""How much two models differ on the same documents, in bits per byte, paired by document.

A document that either model's tokenizer loses is in neither sum. Paired means that the interval is
that of the difference itself: both models' replicates count a document equally often, so what makes
a document hard for both cancels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.common.median import Interval
from services.corpus.bpb.bootstrap import Replicates, counts, interval
from services.corpus.bpb.figures import DocumentScore, ExactSum, Score


@dataclass(frozen=True, slots=True)
class Difference:
    """Bits per byte of `model` less those of `against`, over the documents that both have."""

    model: Score
    against: Score
    interval: Interval | None

    @property
    def bits_per_byte(self) -> float:
        """Below 0 where `model` predicts better."""
        return self.model.bits_per_byte - self.against.bits_per_byte


@dataclass(frozen=True)
class Differences:
    """Over all documents, by subset, and how many were left out as not round-tripping."""

    overall: Difference
    subsets: dict[str, Difference]
    left_out: int


class _Side:
    def __init__(self) -> None:
        self.nats = ExactSum()
        self.text_bytes = self.tokens = self.documents = 0
        self.replicates = Replicates()

    def add(self, document: DocumentScore) -> None:
        self.nats.add(document.nats)
        self.text_bytes += document.text_bytes
        self.tokens += document.tokens
        self.documents += 1
        self.replicates.add(counts(document.id), document.nats, document.text_bytes)

    def score(self) -> Score:
        spread = interval(self.replicates.bits_per_byte)
        return Score(self.nats.value, self.text_bytes, self.tokens, self.documents, spread)


class _Pair:
    def __init__(self) -> None:
        self._sides = (_Side(), _Side())

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
        if not (document.round_trips and other.round_trips):
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
