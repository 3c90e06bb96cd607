"""Sums and counts of a scoring, overall and by subset.

Sums of nats are exact until they are read: they do not depend on the order of the documents, and
sums of parts merge into exactly the sums of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from services.corpus.bpb.exact_sum import ExactSum
from services.corpus.bpb.exclusion import Exclusion

EXCLUDED_IDS = 1000


@dataclass(frozen=True, slots=True)
class Score:
    """Sums and counts: -log p in nats, UTF-8 bytes, scored tokens, documents, words.

    `words` is None if they were not counted.
    """

    nats: float = 0.0
    text_bytes: int = 0
    tokens: int = 0
    documents: int = 0
    words: int | None = None

    @property
    def bits_per_byte(self) -> float | None:
        """Nats / (ln 2 * bytes); None if no token was scored."""
        scored = self.tokens and self.text_bytes
        return self.nats / (math.log(2) * self.text_bytes) if scored else None

    @property
    def nats_per_token(self) -> float | None:
        """The mean loss; None when no token was scored."""
        return self.nats / self.tokens if self.tokens else None

    @property
    def bytes_per_token(self) -> float | None:
        """Bytes of text per token; None if no token was scored."""
        return self.text_bytes / self.tokens if self.tokens else None

    @property
    def word_perplexity(self) -> float | None:
        """exp(nats / words); None when no token was scored, without words, and over 1.8e308."""
        if not (self.tokens and self.words):
            return None
        return perplexity(self.nats / self.words)


def perplexity(nats: float) -> float | None:
    """Return exp(nats); None if it exceeds the range of a float, about 1.8e308."""
    try:
        return math.exp(nats)
    except OverflowError:
        return None


@dataclass(frozen=True, slots=True)
class DocumentScore:
    """One document's figures; with a reason in `excluded` it is in no other figure.

    In a sample of spans they cover the drawn spans, and `spans` has the number and the nats of
    each, in 65,536ths. `words` is None for a part of a document, and for a document that an earlier
    version scored.
    """

    id: str
    subset: str
    nats: float
    text_bytes: int
    tokens: int
    excluded: Exclusion | None = None
    words: int | None = None
    spans: tuple[tuple[int, int], ...] = ()

    def row(self) -> list[Any]:
        """Return the values in order, as JSON has them."""
        found: list[Any] = [self.id, self.subset, self.nats, self.text_bytes, self.tokens]
        found += [self.excluded, self.words]
        return [*found, [list(span) for span in self.spans]] if self.spans else found

    @classmethod
    def of(cls, row: Sequence[Any]) -> DocumentScore:
        """Read a row that `row` gave, or one of an earlier version, which counted no words.

        Raises ValueError for an unknown reason.
        """
        name, subset, nats, text_bytes, tokens, reason, *more = row
        excluded = None if reason is None else Exclusion(reason)
        words, spans = [*more, None, None][:2]
        pairs = tuple((int(number), int(units)) for number, units in spans or ())
        return cls(name, subset, nats, text_bytes, tokens, excluded, words, pairs)


@dataclass(frozen=True, slots=True)
class Excluded:
    """Documents that were excluded for one reason: their sums and the ids of the first 1,000.

    The sums hold only what could be computed: a document with a token out of range adds no nats.
    """

    score: Score
    ids: tuple[str, ...]


@dataclass
class Tally:
    """Sums over documents."""

    nats: ExactSum = field(default_factory=ExactSum)
    text_bytes: int = 0
    tokens: int = 0
    documents: int = 0
    words: int | None = 0

    def add(self, document: DocumentScore) -> None:
        """Count one document."""
        self.nats.add(document.nats)
        self.text_bytes += document.text_bytes
        self.tokens += document.tokens
        self.documents += 1
        self._add_words(document.words)

    def merge(self, other: Tally) -> None:
        """Count everything that another one counted."""
        self.nats.merge(other.nats)
        self.text_bytes += other.text_bytes
        self.tokens += other.tokens
        self.documents += other.documents
        self._add_words(other.words)

    def score(self) -> Score:
        """The sums, rounded."""
        return Score(self.nats.value, self.text_bytes, self.tokens, self.documents, self.words)

    def _add_words(self, words: int | None) -> None:
        self.words = None if self.words is None or words is None else self.words + words


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
        """Add everything that another instance counted, after this instance's documents."""
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
    def excluded(self) -> dict[Exclusion, Excluded]:
        """Excluded documents, by each reason that occurred."""
        return {
            reason: Excluded(left.tally.score(), tuple(left.ids))
            for reason, left in self._excluded.items()
            if left.tally.documents
        }
