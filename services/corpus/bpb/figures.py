"""Sums and counts of a scoring, overall and by subset.

Sums of nats are exact until they are read: they do not depend on the order of the documents, and
figures of parts merge into the very figures of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

import numpy as np

from services.common.median import Interval
from services.corpus.bpb.bootstrap import Replicates, counts, interval
from services.corpus.bpb.exclusion import Exclusion

EXCLUDED_IDS = 1000


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
    def bits_per_byte(self) -> float | None:
        """Nats / (ln 2 * bytes); None when no token was scored."""
        scored = self.tokens and self.text_bytes
        return self.nats / (math.log(2) * self.text_bytes) if scored else None

    @property
    def nats_per_token(self) -> float | None:
        """The mean loss; None when no token was scored."""
        return self.nats / self.tokens if self.tokens else None

    @property
    def bytes_per_token(self) -> float | None:
        """How much text a token covers; None when no token was scored."""
        return self.text_bytes / self.tokens if self.tokens else None


@dataclass(frozen=True, slots=True)
class Average:
    """An average of the bits per byte of subsets, and the weight that those present have.

    `bits_per_byte` is None when nothing was scored.
    """

    bits_per_byte: float | None
    interval: Interval | None
    weight: float


@dataclass(frozen=True, slots=True)
class DocumentScore:
    """One document's figures; with a reason in `excluded` it is in no other figure."""

    id: str
    subset: str
    nats: float
    text_bytes: int
    tokens: int
    excluded: Exclusion | None = None

    def row(self) -> list[str | float | None]:
        """Return the values in order, as JSON has them."""
        return list(astuple(self))

    @classmethod
    def of(cls, row: Sequence[Any]) -> DocumentScore:
        """Read what `row` gave. Raises ValueError for a reason that is none."""
        name, subset, nats, text_bytes, tokens, reason = row
        excluded = None if reason is None else Exclusion(reason)
        return cls(name, subset, nats, text_bytes, tokens, excluded)


@dataclass(frozen=True, slots=True)
class Excluded:
    """Documents that were excluded for one reason: their sums and the ids of the first 1,000.

    The sums are what could be computed: a document with a token out of range adds no nats.
    """

    score: Score
    ids: tuple[str, ...]


@dataclass
class Tally:
    """Sums over documents, with the bootstrap replicates of their bits per byte."""

    nats: ExactSum = field(default_factory=ExactSum)
    text_bytes: int = 0
    tokens: int = 0
    documents: int = 0
    replicates: Replicates = field(default_factory=Replicates)

    def add(self, document: DocumentScore) -> None:
        """Count one document."""
        self.replicates.add(counts(document.id), document.nats, document.text_bytes)
        self.nats.add(document.nats)
        self.text_bytes += document.text_bytes
        self.tokens += document.tokens
        self.documents += 1

    def merge(self, other: Tally) -> None:
        """Count everything that another one counted."""
        self.nats.merge(other.nats)
        self.text_bytes += other.text_bytes
        self.tokens += other.tokens
        self.documents += other.documents
        self.replicates.merge(other.replicates)

    def score(self) -> Score:
        """The sums, rounded, with the interval of the bits per byte."""
        return Score(
            self.nats.value,
            self.text_bytes,
            self.tokens,
            self.documents,
            interval(self.replicates.bits_per_byte),
        )


@dataclass
class _Left:
    tally: Tally = field(default_factory=Tally)
    ids: list[str] = field(default_factory=list)

    def add_ids(self, ids: Sequence[str]) -> None:
        self.ids += ids[: EXCLUDED_IDS - len(self.ids)]


class ScoreTotals:
    """Sums over documents. Excluded ones are kept apart from everything else, by reason."""

    def __init__(self) -> None:
        self._subsets: dict[str, Tally] = {}
        self._excluded: dict[Exclusion, _Left] = {reason: _Left() for reason in Exclusion}

    def add(self, document: DocumentScore) -> None:
        """Count one document."""
        if document.excluded is not None:
            left = self._excluded[document.excluded]
            left.tally.add(document)
            left.add_ids([document.id])
            return
        self._subsets.setdefault(document.subset, Tally()).add(document)

    def merge(self, other: ScoreTotals) -> None:
        """Count everything that another one counted, as if added after this one's documents."""
        for name, tally in other._subsets.items():
            self._subsets.setdefault(name, Tally()).merge(tally)
        for reason, left in other._excluded.items():
            self._excluded[reason].tally.merge(left.tally)
            self._excluded[reason].add_ids(left.ids)

    @property
    def documents(self) -> int:
        """Documents counted, with the excluded ones."""
        kept = sum(tally.documents for tally in self._subsets.values())
        return kept + sum(left.tally.documents for left in self._excluded.values())

    @property
    def overall(self) -> Score:
        """Over all documents that are not excluded: the micro average."""
        total = Tally()
        for tally in self._subsets.values():
            total.merge(tally)
        return total.score()

    @property
    def subsets(self) -> dict[str, Score]:
        """By subset, by name."""
        return {name: self._subsets[name].score() for name in sorted(self._subsets)}

    @property
    def macro(self) -> Average:
        """Mean over the subsets with scored tokens of their bits per byte."""
        return self.weighted(dict.fromkeys(self._subsets, 1.0))

    def weighted(self, weights: Mapping[str, float]) -> Average:
        """Average over the subsets with scored tokens and a weight.

        The interval takes 10 documents of each of them.
        """
        parts = [
            (weight, bits, tally)
            for name, tally in sorted(self._subsets.items())
            if (weight := weights.get(name)) and (bits := tally.score().bits_per_byte) is not None
        ]
        whole = math.fsum(weight for weight, _, _ in parts)
        if not whole:
            return Average(None, None, 0.0)
        value = math.fsum(weight * bits for weight, bits, _ in parts) / whole
        stacked = np.array([weight * tally.replicates.bits_per_byte for weight, _, tally in parts])
        return Average(value, interval(stacked.sum(axis=0) / whole), whole)

    @property
    def excluded(self) -> dict[Exclusion, Excluded]:
        """Excluded documents, by every reason that there was."""
        return {
            reason: Excluded(left.tally.score(), tuple(left.ids))
            for reason, left in self._excluded.items()
            if left.tally.documents
        }
