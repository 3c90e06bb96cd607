"""A sample of a corpus by its bytes, in one pass: priority sampling within strata.

Duffield, Lund, Thorup ("Priority sampling for estimation of arbitrary subset sums", 2007). A span
of b bytes has priority b / u, where u in (0, 1] is a function of the seed, the document's id and
the span's number. A stratum is what a subset has of one kind, and of each the spans of greatest
priority are taken. So the sample is a function of the documents and the seed, in whatever order and
in whatever parts they are seen, and a larger sample holds the smaller one.
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
"""A document's id and the number of a span in it."""

METHOD = "priority-by-script@2"
_Name = TypeVar("_Name", str, tuple[str, int])
_LEAST = 2  # spans of a stratum, and spans of it that chance decides on


class Allocation(Enum):
    """How a sample is shared out among the subsets.

    BYTES, in proportion to their text, is best for the whole; a stratum counts for half of an equal
    share at least, since an average is no surer than the part of it that few spans tell of. EQUAL
    is best for averages that weigh the subsets otherwise, and for the subsets themselves.
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
        """What names it."""
        return self.document, self.number


@dataclass(frozen=True)
class Stratum:
    """What was drawn of a subset's spans of one kind, by priority.

    `threshold` is the first span that was not drawn, None when all were. There are `spans_in_all`
    with `text_bytes`.
    """

    kind: int
    spans: tuple[Span, ...]
    threshold: Span | None
    spans_in_all: int
    text_bytes: int

    def certain(self, span: Span) -> bool:
        """Whether a drawn span was sure to be: it has as many bytes as the threshold's priority."""
        if self.threshold is None:
            return True
        return span.text_bytes * self.threshold.draw >= self.threshold.text_bytes << 64

    def chance(self, span: Span) -> float:
        """Return the chance, given the threshold, that a span is drawn."""
        if self.threshold is None or self.certain(span):
            return 1.0
        return span.text_bytes * self.threshold.draw / (self.threshold.text_bytes << 64)


@dataclass(frozen=True)
class Drawn:
    """What was drawn of a subset, by kind, and what is known of all of it.

    `documents` have text, and `powers` are the sums of their bytes, and of the squares, cubes and
    fourth powers of those.
    """

    strata: tuple[Stratum, ...]
    documents: int
    powers: tuple[int, int, int, int]

    @property
    def spans(self) -> tuple[Span, ...]:
        """Everything that was drawn."""
        return tuple(chain.from_iterable(stratum.spans for stratum in self.strata))

    @property
    def complete(self) -> bool:
        """Whether everything was drawn."""
        return all(stratum.threshold is None for stratum in self.strata)

    @property
    def text_bytes(self) -> int:
        """Bytes of all of the subset."""
        return self.powers[0]

    @property
    def of_documents(self) -> bool:
        """Whether every document is one span: the sample is one of documents."""
        return sum(stratum.spans_in_all for stratum in self.strata) == self.documents


class Sampler:
    """Sees the sizes of every document once, then says which spans are drawn."""

    def __init__(self, spans: int, seed: int = 0) -> None:
        """Draw `spans` in all. Raises ValueError for fewer than 1."""
        if spans < 1:
            raise ValueError(f"a sample has at least 1 span, not {spans}")
        self._spans, self._seed = spans, seed
        self._subsets: dict[str, _Subset] = {}

    def add(
        self, document: str, subset: str, sizes: Sequence[int], kinds: Sequence[int] = ()
    ) -> None:
        """Take a document into account; `sizes` are the bytes of its spans, in their order.

        `kinds` are the spans' kinds, all one without. A document without text has no span. To
        sample whole documents, give each one span.
        """
        if sizes:
            found = self._subsets.get(subset) or self._subsets.setdefault(subset, _Subset())
            found.add(_ranked(document, sizes, self._seed), sizes, kinds, self._spans)

    def merge(self, other: Sampler) -> None:
        """Take everything into account that another one did.

        Raises ValueError unless it was made for as many spans, with the same seed.
        """
        if (other._spans, other._seed) != (self._spans, self._seed):
            raise ValueError("samples of another size or seed do not merge")
        for name, subset in other._subsets.items():
            self._subsets.setdefault(name, _Subset()).merge(subset, self._spans)

    def draw(self, allocation: Allocation = Allocation.BYTES) -> dict[str, Drawn]:
        """Draw, by subset, in the order of their names.

        Every stratum has 2 spans or all it has, and as many more as it takes for 2 that chance
        decided on; so there may be more than were requested.
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
    """Return weights in proportion to sizes, but for small ones that of half an equal share."""
    whole = sum(sizes.values())
    return {name: max(2 * len(sizes) * size, whole) for name, size in sizes.items()}


def allocate(
    spans: int, weights: Mapping[_Name, int], rooms: Mapping[_Name, int]
) -> dict[_Name, int]:
    """Share spans out by weight, at least 2 to each and at most its room; ties go by name.

    One after the other goes to the greatest weight / (twice its share + 1), as Sainte-Laguë's seats
    do. So nobody's share falls when there are more spans, which largest remainders do not promise.
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
    """Return how many documents of equal size all of the selection is worth (Kish); 0 of none.

    Of all of them, drawn or not: a sample that has missed the giants looks best.
    """
    whole = sum(part.powers[0] for part in parts.values())
    squares = sum(part.powers[1] for part in parts.values())
    return whole * whole / squares if squares else 0.0


def _claim(weight: int, share: int) -> int:
    return -((weight << 64) // (2 * share + 1))


_Ranked: TypeAlias = tuple[int, str, int, int, int]
"""A span as it sorts, the greatest priority first and equal ones by their keys: a number that falls
with the priority, document, number, bytes, draw.

Quotients of bytes and draws, which are at most 2^64, differ by 2^-128 at least where they differ.
So the whole parts of 2^128 times them sort as they do.
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
    """Return how many of spans, sorted, to draw: `least`, or more for 2 by chance.

    All of them where no threshold leaves two.
    """
    sizes = sorted(text_bytes for *_, text_bytes, _ in spans[:least])
    for count in range(least, len(spans)):
        *_, text_bytes, draw = spans[count]
        # By chance are those with fewer bytes than the threshold's priority, rounded up.
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
        """Take everything that another one saw into account."""
        self._count(other.documents, other.powers)
        for kind, pool in other.pools.items():
            self._pool(kind, least).merge(pool)

    def draw(self, shares: Mapping[int, int]) -> Drawn:
        """Draw the best of each kind, as many as its share or more."""
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
    """The spans of a stratum that may still be drawn: no more than its best, and the next."""

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
        """Take everything that another one saw into account."""
        self.seen += other.seen
        self.text_bytes += other.text_bytes
        self._keep(other.spans)

    def draw(self, kind: int, share: int) -> Stratum:
        """Draw the best, `share` of them or more."""
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
        # What comes after the threshold of the best seen so far comes after the last one too.
        self.spans.sort()
        count = _cut(self.spans, self.least)
        if count < len(self.spans):
            del self.spans[count + 1 :]
            self.last = self.spans[count]
