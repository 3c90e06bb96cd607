"""A sample of a corpus by its bytes, in one pass: priority sampling within each subset.

Duffield, Lund, Thorup ("Priority sampling for estimation of arbitrary subset sums", 2007). A span
of b bytes has priority b / u, where u in (0, 1] is a function of the seed, the document's id and
the span's number. Of each subset the spans of greatest priority are taken. So the sample is a
function of the documents and the seed, in whatever order and in whatever parts they are seen, and a
larger sample holds the smaller one.
"""

from __future__ import annotations

import hashlib
import heapq
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

Key: TypeAlias = tuple[str, int]
"""A document's id and the number of a span in it."""

_LEAST = 2  # spans of a subset, and spans of it that chance decides on


class Allocation(Enum):
    """How a sample is shared out among the subsets.

    BYTES, in proportion to their text, is best for the whole; EQUAL for averages that weigh the
    subsets otherwise, and for the subsets themselves.
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
class Drawn:
    """What was drawn of a subset, by priority, and what is known of all of it.

    `threshold` is the first span that was not drawn, None when all were. `documents` have text, and
    `powers` are the sums of their bytes, and of the squares, cubes and fourth powers of those.
    """

    spans: tuple[Span, ...]
    threshold: Span | None
    documents: int
    spans_in_all: int
    powers: tuple[int, int, int, int]

    @property
    def text_bytes(self) -> int:
        """Bytes of all of the subset."""
        return self.powers[0]

    @property
    def of_documents(self) -> bool:
        """Whether every document is one span: the sample is one of documents."""
        return self.spans_in_all == self.documents

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


class Sampler:
    """Sees the sizes of every document once, then says which spans are drawn."""

    def __init__(self, spans: int, seed: int = 0) -> None:
        """Draw `spans` in all. Raises ValueError for fewer than 1."""
        if spans < 1:
            raise ValueError(f"a sample has at least 1 span, not {spans}")
        self._spans, self._seed = spans, seed
        self._pools: dict[str, _Pool] = {}

    def add(self, document: str, subset: str, sizes: Sequence[int]) -> None:
        """Take a document into account; `sizes` are the bytes of its spans, in their order.

        A document without text has none. To sample whole documents, give each one span.
        """
        if sizes:
            pool = self._pools.get(subset) or self._pools.setdefault(subset, _Pool(self._spans))
            pool.add(document, sizes, self._seed)

    def merge(self, other: Sampler) -> None:
        """Take everything into account that another one did.

        Raises ValueError unless it was made for as many spans, with the same seed.
        """
        if (other._spans, other._seed) != (self._spans, self._seed):
            raise ValueError("samples of another size or seed do not merge")
        for subset, pool in other._pools.items():
            self._pools.setdefault(subset, _Pool(self._spans)).merge(pool)

    def draw(self, allocation: Allocation = Allocation.BYTES) -> dict[str, Drawn]:
        """Draw, by subset, in the order of their names.

        Every subset with text has 2 spans or all it has, and as many more as it takes for 2 that
        chance decided on; so there may be more than were asked for.
        """
        rooms = {name: pool.seen for name, pool in self._pools.items()}
        equal = allocation is Allocation.EQUAL
        weights = {name: 1 if equal else pool.powers[0] for name, pool in self._pools.items()}
        shares = allocate(self._spans, weights, rooms)
        return {name: self._pools[name].draw(shares[name]) for name in sorted(shares)}


def allocate(spans: int, weights: Mapping[str, int], rooms: Mapping[str, int]) -> dict[str, int]:
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
class _Pool:
    """The spans of a subset that may still be drawn: no more than its best, and the next."""

    least: int
    seen: int = 0
    documents: int = 0
    powers: tuple[int, int, int, int] = (0, 0, 0, 0)
    spans: list[_Ranked] = field(default_factory=list)
    last: _Ranked | None = None

    def add(self, document: str, sizes: Sequence[int], seed: int) -> None:
        """Take the spans of one document into account."""
        found = list(_ranked(document, sizes, seed))
        size = sum(sizes)
        square = size * size
        self._count(len(sizes), 1, (size, square, square * size, square * square))
        self._keep(found)

    def merge(self, other: _Pool) -> None:
        """Take everything that another one saw into account."""
        self._count(other.seen, other.documents, other.powers)
        self._keep(other.spans)

    def draw(self, share: int) -> Drawn:
        """Draw the best, `share` of them or more."""
        self._prune()
        count = _cut(self.spans, share)
        best = tuple(Span(*one[1:]) for one in self.spans[: count + 1])
        threshold = best[count] if count < len(best) else None
        return Drawn(best[:count], threshold, self.documents, self.seen, self.powers)

    def _count(self, spans: int, documents: int, powers: tuple[int, int, int, int]) -> None:
        self.seen += spans
        self.documents += documents
        mine = self.powers
        self.powers = (
            mine[0] + powers[0],
            mine[1] + powers[1],
            mine[2] + powers[2],
            mine[3] + powers[3],
        )

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
