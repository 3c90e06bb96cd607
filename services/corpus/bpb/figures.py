"""Sums and counts of a scoring, overall and by subset.

Sums of nats are exact until they are read: they do not depend on the order of the documents, and
figures of parts merge into the very figures of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from services.common.median import Interval
from services.corpus.bpb.bootstrap import Replicates, counts, interval

NOT_ROUND_TRIPPING_IDS = 1000


class ExactSum:
    """A sum of floats without rounding error, kept as partial sums that do not overlap."""

    def __init__(self) -> None:
        self._partials: list[float] = []

    def add(self, value: float) -> None:
        """Add a finite value (Shewchuk's two-sum, as in `math.fsum`)."""
        kept = 0
        for partial in self._partials:
            low, high = (value, partial) if abs(value) < abs(partial) else (partial, value)
            value = high + low
            rest = low - (value - high)
            if rest:
                self._partials[kept] = rest
                kept += 1
        self._partials[kept:] = [value]

    def merge(self, other: ExactSum) -> None:
        """Add another sum."""
        for partial in other._partials:
            self.add(partial)

    @property
    def value(self) -> float:
        """The sum, correctly rounded."""
        return math.fsum(self._partials)


@dataclass(frozen=True, slots=True)
class Score:
    """Sums and counts: -log p in nats, UTF-8 bytes, scored tokens, documents.

    `interval` is that of the bits per byte over the documents, None with fewer than 10.
    """

    nats: float = 0.0
    text_bytes: int = 0
    tokens: int = 0
    documents: int = 0
    interval: Interval | None = None

    @property
    def bits_per_byte(self) -> float:
        """Nats / (ln 2 * bytes); 0 when there are no bytes."""
        return self.nats / (math.log(2) * self.text_bytes) if self.text_bytes else 0.0

    @property
    def nats_per_token(self) -> float:
        """The mean loss; 0 when there are no tokens."""
        return self.nats / self.tokens if self.tokens else 0.0

    @property
    def bytes_per_token(self) -> float:
        """How much text a token covers; 0 when there are no tokens."""
        return self.text_bytes / self.tokens if self.tokens else 0.0


@dataclass(frozen=True, slots=True)
class Average:
    """An average of the bits per byte of subsets, and the weight that those present have."""

    bits_per_byte: float
    interval: Interval | None
    weight: float


@dataclass(frozen=True, slots=True)
class DocumentScore:
    """One document's figures.

    `round_trips` is false when decoding the tokens does not give the text back: the likelihood is
    then that of another text.
    """

    id: str
    subset: str
    nats: float
    text_bytes: int
    tokens: int
    round_trips: bool


@dataclass
class _Tally:
    nats: ExactSum = field(default_factory=ExactSum)
    text_bytes: int = 0
    tokens: int = 0
    documents: int = 0
    replicates: Replicates = field(default_factory=Replicates)

    def add(self, document: DocumentScore) -> None:
        self.replicates.add(counts(document.id), document.nats, document.text_bytes)
        self.nats.add(document.nats)
        self.text_bytes += document.text_bytes
        self.tokens += document.tokens
        self.documents += 1

    def merge(self, other: _Tally) -> None:
        self.nats.merge(other.nats)
        self.text_bytes += other.text_bytes
        self.tokens += other.tokens
        self.documents += other.documents
        self.replicates.merge(other.replicates)

    def score(self) -> Score:
        return Score(
            self.nats.value,
            self.text_bytes,
            self.tokens,
            self.documents,
            interval(self.replicates.bits_per_byte),
        )


class Figures:
    """Adds up documents. Those that do not round-trip are kept apart from everything else."""

    def __init__(self) -> None:
        self._subsets: dict[str, _Tally] = {}
        self._lost = _Tally()
        self._lost_ids: list[str] = []

    def add(self, document: DocumentScore) -> None:
        """Count one document."""
        if not document.round_trips:
            self._lost.add(document)
            if len(self._lost_ids) < NOT_ROUND_TRIPPING_IDS:
                self._lost_ids.append(document.id)
            return
        self._subsets.setdefault(document.subset, _Tally()).add(document)

    def merge(self, other: Figures) -> None:
        """Count everything that another one counted, as if added after this one's documents."""
        for name, tally in other._subsets.items():
            self._subsets.setdefault(name, _Tally()).merge(tally)
        self._lost.merge(other._lost)
        room = NOT_ROUND_TRIPPING_IDS - len(self._lost_ids)
        self._lost_ids += other._lost_ids[:room]

    @property
    def documents(self) -> int:
        """Documents counted, with those that do not round-trip."""
        kept = sum(tally.documents for tally in self._subsets.values())
        return kept + self._lost.documents

    @property
    def overall(self) -> Score:
        """Over all documents that round-trip: the micro average."""
        total = _Tally()
        for tally in self._subsets.values():
            total.merge(tally)
        return total.score()

    @property
    def subsets(self) -> dict[str, Score]:
        """By subset, by name."""
        return {name: self._subsets[name].score() for name in sorted(self._subsets)}

    @property
    def macro(self) -> Average:
        """Mean over the subsets with text of their bits per byte; 0 when there are none."""
        return self.weighted(dict.fromkeys(self._subsets, 1.0))

    def weighted(self, weights: Mapping[str, float]) -> Average:
        """Average over the subsets with text and a weight; 0 when there are none.

        The interval takes 10 documents of each of them.
        """
        parts = [
            (weights[name], tally)
            for name, tally in sorted(self._subsets.items())
            if tally.text_bytes and weights.get(name)
        ]
        whole = math.fsum(weight for weight, _ in parts)
        if not whole:
            return Average(0.0, None, 0.0)
        value = math.fsum(weight * tally.score().bits_per_byte for weight, tally in parts) / whole
        stacked = np.array([weight * tally.replicates.bits_per_byte for weight, tally in parts])
        return Average(value, interval(stacked.sum(axis=0) / whole), whole)

    @property
    def not_round_tripping(self) -> Score:
        """Documents that the tokenizer does not reproduce."""
        return self._lost.score()

    @property
    def not_round_tripping_ids(self) -> tuple[str, ...]:
        """Ids of the first 1,000 of them."""
        return tuple(self._lost_ids)
