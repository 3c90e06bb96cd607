"""A sample of a corpus by its bytes, in one pass: priority sampling within strata.

Duffield, Lund, Thorup ("Priority sampling for estimation of arbitrary subset sums", 2007). A span
of b bytes has priority b / u, where u in (0, 1] is a function of the seed, the document's id and
the span's number. A stratum is a subset's text of one kind; the spans of greatest priority in each
are taken. So the sample depends only on the documents and the seed, not on the order or the parts
in which they are read, and a larger sample contains the smaller one.
"""

from __future__ import annotations

import hashlib
import heapq
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from typing import TypeAlias, TypeVar

Key: TypeAlias = tuple[str, int]
"""A document's id and the number of a span in the document."""

METHOD = "priority-by-script@2"
_Name = TypeVar("_Name", str, tuple[str, int])
_LEAST = 2  # least spans of a stratum, and least spans that chance decides on


class Allocation(Enum):
    """How a sample is divided among the subsets.

    BYTES divides in proportion to text, which is best for the whole; each stratum counts for at
    least half of an equal share, since an average is no more precise than its part with the fewest
    spans. EQUAL is best for averages with other weights, and for the subsets themselves.
    """

    BYTES = "bytes"
    EQUAL = "equal"


@dataclass(frozen=True, slots=True)
class Span:
    """A span that may be drawn; `draw` is 2^64 u, in 1 .. 2^64."""

    document: str
    number: int
    text_bytes: int
    draw: int

    @property
    def key(self) -> Key:
        """The span's key."""
        return self.document, self.number


@dataclass(frozen=True)
class Stratum:
    """The spans of one kind that were drawn from a subset, by priority.

    `threshold` is the first span that was not drawn, None if all were. The stratum has
    `spans_in_all` spans with `text_bytes`.
    """

    kind: int
    spans: tuple[Span, ...]
    threshold: Span | None
    spans_in_all: int
    text_bytes: int

    def certain(self, span: Span) -> bool:
        """Whether a span was certain to be drawn: its bytes reach the threshold's priority."""
        if self.threshold is None:
            return True
        return span.text_bytes * self.threshold.draw >= self.threshold.text_bytes << 64

    def chance(self, span: Span) -> float:
        """Return the probability, given the threshold, that a span is drawn."""
        if self.threshold is None or self.certain(span):
            return 1.0
        return span.text_bytes * self.threshold.draw / (self.threshold.text_bytes << 64)


@dataclass(frozen=True)
class Drawn:
    """What was drawn of a subset, by kind, and what is known of the whole subset.

    `documents` is the number of documents with text. `powers` are the sums of their bytes, and of
    the squares, cubes and fourth powers of their bytes.
    """

    strata: tuple[Stratum, ...]
    documents: int
    powers: tuple[int, int, int, int]

    @property
    def spans(self) -> tuple[Span, ...]:
        """All spans that were drawn."""
        return tuple(chain.from_iterable(stratum.spans for stratum in self.strata))

    @property
    def complete(self) -> bool:
        """Whether everything was drawn."""
        return all(stratum.threshold is None for stratum in self.strata)

    @property
    def text_bytes(self) -> int:
        """Bytes of the whole subset."""
        return self.powers[0]

    @property
    def of_documents(self) -> bool:
        """Whether every document is one span, so that the sample is one of documents."""
        return sum(stratum.spans_in_all for stratum in self.strata) == self.documents


class Sampler:
    """Reads the sizes of every document once, then says which spans are drawn."""

    def __init__(self, spans: int, seed: int = 0) -> None:
        """Prepare to draw `spans` in all. Raises ValueError for fewer than 1."""
        if spans < 1:
            raise ValueError(f"a sample has at least 1 span, not {spans}")
        self._spans, self._seed = spans, seed
        self._subsets: dict[str, _Subset] = {}

    def add(
        self, document: str, subset: str, sizes: Sequence[int], kinds: Sequence[int] = ()
    ) -> None:
        """Take a document into account; `sizes` are the bytes of its spans, in order.

        `kinds` are the spans' kinds; without kinds, all spans are of one kind. A document without
        text has no span. To sample whole documents, give each one span.
        """
        if sizes:
            found = self._subsets.get(subset) or self._subsets.setdefault(subset, _Subset())
            found.add(_ranked(document, sizes, self._seed), sizes, kinds, self._spans)

    def merge(self, other: Sampler) -> None:
        """Add everything that `other` has taken into account.

        Raises ValueError unless `other` was made for as many spans, with the same seed.
        """
        if (other._spans, other._seed) != (self._spans, self._seed):
            raise ValueError("samples of another size or seed do not merge")
        for name, subset in other._subsets.items():
            self._subsets.setdefault(name, _Subset()).merge(subset, self._spans)

    def draw(self, allocation: Allocation = Allocation.BYTES) -> dict[str, Drawn]:
        """Return what was drawn, by subset, in the order of their names.

        Every stratum has at least 2 spans or all of its spans, and enough for 2 that chance decided
        on; so there may be more spans than requested.
        """
        subsets = sorted(self._subsets.items())
        pools = {(name, kind): pool for name, one in subsets for kind, pool in one.pools.items()}
        sizes = {key: pool.text_bytes for key, pool in pools.items()}
        if allocation is Allocation.EQUAL:
            weights: dict[tuple[str, int], int] = {}
            for name, one in subsets:
                parts = {key: size for key, size in sizes.items() if key[0] == name}
                scale = 2 * len(parts) * one.powers[0]
                shared = at_least_half_a_share(parts)
                weights |= {key: (weight << 64) // scale for key, weight in shared.items()}
        else:
            weights = at_least_half_a_share(sizes)
        shares = allocate(self._spans, weights, {key: pool.seen for key, pool in pools.items()})
        return {
            name: one.draw({kind: shares[name, kind] for kind in one.pools})
            for name, one in subsets
        }


def at_least_half_a_share(sizes: Mapping[_Name, int]) -> dict[_Name, int]:
    """Return weights in proportion to sizes, but at least that of half an equal share."""
    whole = sum(sizes.values())
    return {name: max(2 * len(sizes) * size, whole) for name, size in sizes.items()}


def allocate(
    spans: int, weights: Mapping[_Name, int], rooms: Mapping[_Name, int]
) -> dict[_Name, int]:
    """Divide spans by weight, each share at least 2 and at most its room; ties go by name.

    Each next span goes to the greatest weight / (twice its share + 1), like Sainte-Laguë's seats.
    So no share falls when there are more spans, which largest remainders do not guarantee.
    """
    shares = {name: min(_LEAST, rooms[name]) for name in weights}
    left = spans - sum(shares.values())
    queue = [
        (_claim(weights[name], shares[name]), name)
        for name in weights
        if shares[name] < rooms[name]
    ]
    heapq.heapify(queue)
    while left > 0 and queue:
        name = queue[0][1]
        shares[name] += 1
        left -= 1
        if shares[name] < rooms[name]:
            heapq.heapreplace(queue, (_claim(weights[name], shares[name]), name))
        else:
            heapq.heappop(queue)
    return shares


def effective_documents(parts: Mapping[str, Drawn]) -> float:
    """Return how many documents of equal size the whole selection is worth (Kish); 0 if empty.

    Counts all documents, drawn or not: a sample that missed the giants would look best.
    """
    whole = sum(part.powers[0] for part in parts.values())
    squares = sum(part.powers[1] for part in parts.values())
    return whole * whole / squares if squares else 0.0


def _claim(weight: int, share: int) -> int:
    return -((weight << 64) // (2 * share + 1))


_Ranked: TypeAlias = tuple[int, str, int, int, int]
"""A span in sortable form, the greatest priority first and ties by key: a number that falls with
the priority, document, number, bytes, draw.

Draws are at most 2^64, so unequal quotients of bytes and draws differ by at least 2^-128. So the
whole parts of 2^128 times the quotients sort like the quotients.
"""


def _ranked(document: str, sizes: Sequence[int], seed: int) -> Iterator[_Ranked]:
    start = hashlib.blake2b(
        f"span\0{seed}\0{document}\0".encode("utf-8", "surrogatepass"), digest_size=8
    )
    for number, text_bytes in enumerate(sizes):
        if text_bytes < 1:
            raise ValueError(f"span {number} of document {document} has {text_bytes} bytes")
        state = start.copy()
        state.update(b"%d" % number)
        draw = int.from_bytes(state.digest(), "little") + 1
        yield -((text_bytes << 128) // draw), document, number, text_bytes, draw


def _cut(spans: Sequence[_Ranked], least: int) -> int:
    """Return how many of the sorted spans to draw: `least`, or more to get 2 by chance.

    Returns all of them if no threshold leaves two.
    """
    sizes = sorted(text_bytes for *_, text_bytes, _ in spans[:least])
    for count in range(least, len(spans)):
        *_, text_bytes, draw = spans[count]
        # Chance decides on spans with fewer bytes than the threshold's priority, rounded up.
        if bisect_left(sizes, -((-text_bytes << 64) // draw)) >= _LEAST:
            return count
        sizes.insert(bisect_left(sizes, text_bytes), text_bytes)
    return len(spans)


@dataclass
class _Subset:
    """A subset's pools by kind, and the sums over its documents."""

    documents: int = 0
    powers: tuple[int, int, int, int] = (0, 0, 0, 0)
    pools: dict[int, _Pool] = field(default_factory=dict)

    def add(
        self, ranked: Iterable[_Ranked], sizes: Sequence[int], kinds: Sequence[int], least: int
    ) -> None:
        """Take the spans of one document into account."""
        found: dict[int, list[_Ranked]] = {}
        for place, span in enumerate(ranked):
            found.setdefault(kinds[place] if kinds else 0, []).append(span)
        size = sum(sizes)
        square = size * size
        self._count(1, (size, square, square * size, square * square))
        for kind, spans in found.items():
            self._pool(kind, least).add(spans)

    def merge(self, other: _Subset, least: int) -> None:
        """Add everything that `other` has taken into account."""
        self._count(other.documents, other.powers)
        for kind, pool in other.pools.items():
            self._pool(kind, least).merge(pool)

    def draw(self, shares: Mapping[int, int]) -> Drawn:
        """Draw the best spans of each kind, as many as its share or more."""
        strata = tuple(self.pools[kind].draw(kind, shares[kind]) for kind in sorted(shares))
        return Drawn(strata, self.documents, self.powers)

    def _pool(self, kind: int, least: int) -> _Pool:
        return self.pools.get(kind) or self.pools.setdefault(kind, _Pool(least))

    def _count(self, documents: int, powers: tuple[int, int, int, int]) -> None:
        self.documents += documents
        mine = self.powers
        self.powers = (
            mine[0] + powers[0],
            mine[1] + powers[1],
            mine[2] + powers[2],
            mine[3] + powers[3],
        )


@dataclass
class _Pool:
    """The spans of a stratum that may still be drawn: only its best, and the next."""

    least: int
    seen: int = 0
    text_bytes: int = 0
    spans: list[_Ranked] = field(default_factory=list)
    last: _Ranked | None = None

    def add(self, spans: Sequence[_Ranked]) -> None:
        """Take the spans of one document into account."""
        self.seen += len(spans)
        self.text_bytes += sum(text_bytes for *_, text_bytes, _ in spans)
        self._keep(spans)

    def merge(self, other: _Pool) -> None:
        """Add everything that `other` has taken into account."""
        self.seen += other.seen
        self.text_bytes += other.text_bytes
        self._keep(other.spans)

    def draw(self, kind: int, share: int) -> Stratum:
        """Draw the best spans, `share` or more."""
        self._prune()
        count = _cut(self.spans, share)
        best = tuple(Span(*one[1:]) for one in self.spans[: count + 1])
        threshold = best[count] if count < len(best) else None
        return Stratum(kind, best[:count], threshold, self.seen, self.text_bytes)

    def _keep(self, spans: Sequence[_Ranked]) -> None:
        last = self.last
        self.spans += spans if last is None else [span for span in spans if span <= last]
        if len(self.spans) > 2 * self.least + 1000:
            self._prune()

    def _prune(self) -> None:
        # A span after the threshold of the best so far is also after the final threshold.
        self.spans.sort()
        count = _cut(self.spans, self.least)
        if count < len(self.spans):
            del self.spans[count + 1 :]
            self.last = self.spans[count]
