"""Sums and counts of a scoring, overall and by subset.

Sums of nats are exact until they are read: they do not depend on the order of the documents, and
figures of parts merge into the very figures of the whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

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
    """Sums and counts: -log p in nats, UTF-8 bytes, scored tokens, documents."""

    nats: float = 0.0
    text_bytes: int = 0
    tokens: int = 0
    documents: int = 0

    @property
    def bits_per_byte(self) -> float:
        """Nats / (ln 2 * bytes); 0 when there are no bytes."""
        return self.nats / (math.log(2) * self.text_bytes) if self.text_bytes else 0.0


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

    def add(self, document: DocumentScore) -> None:
        self.nats.add(document.nats)
        self.text_bytes += document.text_bytes
        self.tokens += document.tokens
        self.documents += 1

    def merge(self, other: _Tally) -> None:
        self.nats.merge(other.nats)
        self.text_bytes += other.text_bytes
        self.tokens += other.tokens
        self.documents += other.documents

    def score(self) -> Score:
        return Score(self.nats.value, self.text_bytes, self.tokens, self.documents)


class Figures:
    """Adds up documents. Those that do not round-trip are kept apart from everything else."""

    def __init__(self) -> None:
        self._overall = _Tally()
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
        self._overall.add(document)
        self._subsets.setdefault(document.subset, _Tally()).add(document)

    def merge(self, other: Figures) -> None:
        """Count everything that another one counted, as if added after this one's documents."""
        self._overall.merge(other._overall)
        for name, tally in other._subsets.items():
            self._subsets.setdefault(name, _Tally()).merge(tally)
        self._lost.merge(other._lost)
        room = NOT_ROUND_TRIPPING_IDS - len(self._lost_ids)
        self._lost_ids += other._lost_ids[:room]

    @property
    def documents(self) -> int:
        """Documents counted, with those that do not round-trip."""
        return self._overall.documents + self._lost.documents

    @property
    def overall(self) -> Score:
        """Over all documents that round-trip: the micro average."""
        return self._overall.score()

    @property
    def subsets(self) -> dict[str, Score]:
        """By subset, by name."""
        return {name: self._subsets[name].score() for name in sorted(self._subsets)}

    @property
    def macro_bits_per_byte(self) -> float:
        """Mean over the subsets with text of their bits per byte; 0 when there are none."""
        figures = [score.bits_per_byte for score in self.subsets.values() if score.text_bytes]
        return math.fsum(figures) / len(figures) if figures else 0.0

    @property
    def not_round_tripping(self) -> Score:
        """Documents that the tokenizer does not reproduce."""
        return self._lost.score()

    @property
    def not_round_tripping_ids(self) -> tuple[str, ...]:
        """Ids of the first 1,000 of them."""
        return tuple(self._lost_ids)
