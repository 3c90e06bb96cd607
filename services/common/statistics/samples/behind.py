"""The corpus behind the documents: what similar documents, drawn at random, would give.

This differs from what these documents give, and is harder: document sizes differ by orders of
magnitude, so a few documents decide, and others would have decided differently. The precision
depends on how many documents of equal size these are worth (Kish), whatever their number.

That worth itself depends on the documents drawn. If sizes vary so widely that it would mostly be
too small (lognormal by 2.3), the few selections without a giant pass, and cover worse: of
selections of 200 such documents, one in seventeen passes, and a third of those miss. Of all
selections, at most about 5 % get an interval at 95 % that misses.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from services.common.statistics.estimate import Estimate, satterthwaite
from services.common.statistics.interval import Interval, Kind, TooFewError
from services.common.statistics.samples.levels import Average, Nats
from services.common.statistics.samples.sampling import Drawn, effective_documents
from services.common.statistics.samples.spans import NAT_UNITS
from services.common.statistics.student import quantile, skewed, student

LEAST_FOR_LEVEL = 25
LEAST_FOR_DIFFERENCE = 250
"""Equal-size documents that the selection must be worth for any statement about a corpus."""

METHOD = "hc2-t@1"
_HEADS = 1024
_BITS = 1 / (NAT_UNITS * math.log(2))


def behind_sample(parts: Mapping[str, Drawn], nats: Nats, average: Average) -> Estimate:
    """Return the average over all bytes as an estimate for the corpus behind a sample of documents.

    `average` is `levels.whole` of the same sample. The variance of drawing the documents themselves
    is added to its variance. Raises ValueError if a document was cut into spans: the rates that
    count here are those of documents.
    """
    if not all(part.of_documents for part in parts.values()):
        raise ValueError("of a corpus only a sample of whole documents tells, not of spans")
    powers = [sum(part.powers[index] for part in parts.values()) for index in range(4)]
    size = float(powers[0])
    second, third, fourth = (power / size**exponent for exponent, power in enumerate(powers[1:], 2))
    value = average.estimate.value
    terms = []
    for part in (stratum for one in parts.values() for stratum in one.strata):
        certain, drawn = [], []
        for span in part.spans:
            found = nats[span.key]
            if found is None:
                continue
            share = span.text_bytes / size
            off = found / span.text_bytes * _BITS - value
            if part.certain(span):
                certain.append((share * off) ** 2)
            else:
                drawn.append(share * off**2)
        sure = sum(span.text_bytes for span in part.spans if part.certain(span))
        terms += certain
        if drawn:
            terms.append((part.text_bytes - sure) / size * math.fsum(drawn) / len(drawn))
    extra = math.fsum(terms) / (1 - 2 * third / second + second)
    freedom = satterthwaite(
        [
            (average.estimate.variance, average.estimate.freedom),
            (extra, second**2 / fourth),
        ]
    )
    return replace(average.estimate, variance=average.estimate.variance + extra, freedom=freedom)


def sample_level_interval(
    parts: Mapping[str, Drawn], nats: Nats, average: Average, level: float
) -> Interval:
    """Return the interval of the corpus's level; see `behind_sample`.

    Raises TooFewError unless the selection is worth 25 documents of equal size.
    """
    worth = _worth(effective_documents(parts), LEAST_FOR_LEVEL)
    return skewed(behind_sample(parts, nats, average), level, worth)


def sample_difference_interval(
    parts: Mapping[str, Drawn], nats: Nats, average: Average, level: float
) -> Interval:
    """Return the interval of the corpus's difference; `nats` are differences.

    Raises TooFewError unless the selection is worth 250 documents of equal size.
    """
    worth = _worth(effective_documents(parts), LEAST_FOR_DIFFERENCE)
    return skewed(behind_sample(parts, nats, average), level, worth)


class Scored:
    """Documents that were all scored: the largest of them, and sums over the others.

    All sums are whole numbers, so merging parts gives exactly the state of the whole.
    """

    def __init__(self) -> None:
        self.documents = 0
        self._sums = _Sums()
        self._heads: list[_Document] = []

    def add(self, document: str, text_bytes: int, nats: int) -> None:
        """Count a document, with its nats, or its difference of nats, in 65,536ths.

        Raises ValueError for a document without text.
        """
        if text_bytes < 1:
            raise ValueError(f"document {document} has {text_bytes} bytes of text")
        self.documents += 1
        self._sums = self._sums.plus(_Sums.of(text_bytes, nats))
        self._keep([(text_bytes, document, nats)])

    def merge(self, other: Scored) -> None:
        """Add everything that `other` counted."""
        self.documents += other.documents
        self._sums = self._sums.plus(other._sums)
        self._keep(other._heads)

    @property
    def bits_per_byte(self) -> float:
        """Bits per byte of these documents, exactly. Raises ZeroDivisionError for no documents."""
        return self._sums.nats / self._sums.text_bytes * _BITS

    @property
    def effective_documents(self) -> float:
        """How many documents of equal size these are worth; 0 if there are none."""
        squares = self._sums.powers[0]
        return self._sums.text_bytes**2 / squares if squares else 0.0

    def level_interval(self, level: float) -> Interval:
        """Return the interval of the level of the corpus that these documents were sampled from.

        Computed on the logarithm if the level is above 0. Raises TooFewError unless the documents
        are worth 25 documents of equal size.
        """
        worth = _worth(self.effective_documents, LEAST_FOR_LEVEL)
        found = self.behind()
        if found.value <= 0:
            return replace(student(found, level, worth), method=METHOD)
        reach = math.exp(quantile(found.freedom, level) * found.error / found.value)
        low, high = found.value / reach, found.value * reach
        return Interval(low, high, level, Kind.CONFIDENCE, METHOD, worth)

    def difference_interval(self, level: float) -> Interval:
        """Return the interval of the corpus's difference.

        Raises TooFewError unless these are worth 250 documents of equal size.
        """
        worth = _worth(self.effective_documents, LEAST_FOR_DIFFERENCE)
        return replace(student(self.behind(), level, worth), method=METHOD)

    def behind(self) -> Estimate:
        """Return bits per byte with the variance HC2 and its degrees (Bell, McCaffrey 2002).

        Each of the largest 1,024 documents has its own term. The other documents, none larger than
        the smallest of those, share the largest correction that any of them could have.
        """
        sums = self._sums
        size, value = float(sums.text_bytes), sums.nats / sums.text_bytes
        second, fourth = sums.powers[0] / size**2, sums.powers[2] / size**4
        heads = sorted(self._heads, reverse=True)
        rest = sums
        for text_bytes, _, nats in heads:
            rest = rest.minus(_Sums.of(text_bytes, nats))
        shares = [text_bytes / size for text_bytes, _, _ in heads]
        scales = [share**2 / (1 - 2 * share + second) for share in shares]
        ends = [
            scale * (nats / text_bytes - value) ** 2
            for scale, (text_bytes, _, nats) in zip(scales, heads, strict=True)
        ]
        moments = [[scale * share**power for scale, share in zip(scales, shares, strict=True)]
                   for power in range(3)]  # fmt: skip
        if rest.text_bytes:
            correction = 1 - 2 * shares[-1] + second
            ends.append(rest.residual(value) / size**2 / correction)
            for power in range(3):
                moments[power].append(rest.powers[power] / size ** (power + 2) / correction)
        zeroth, first, square = (math.fsum(terms) for terms in moments)
        own = math.fsum(
            (scale * (second - 2 * share)) ** 2 for scale, share in zip(scales, shares, strict=True)
        )
        spent = (
            fourth
            + max(0.0, second**2 * zeroth**2 + 2 * zeroth * square + 2 * first**2
                  - 4 * second * zeroth * first - own)
        )  # fmt: skip
        freedom = max(1.0, second**2 / spent)
        return Estimate(value * _BITS, math.fsum(ends) * _BITS**2, freedom)

    def _keep(self, documents: Iterable[_Document]) -> None:
        for document in documents:
            if len(self._heads) < _HEADS:
                heapq.heappush(self._heads, document)
            elif document > self._heads[0]:
                heapq.heapreplace(self._heads, document)


_Document = tuple[int, str, int]  # bytes, id, nats


@dataclass(frozen=True)
class _Sums:
    """Sums over documents of b, x, b x, x^2, and of b^2, b^3, b^4."""

    text_bytes: int = 0
    nats: int = 0
    products: int = 0
    squares: int = 0
    powers: tuple[int, int, int] = (0, 0, 0)

    @classmethod
    def of(cls, b: int, x: int) -> _Sums:
        return cls(b, x, b * x, x * x, (b**2, b**3, b**4))

    def plus(self, other: _Sums, sign: int = 1) -> _Sums:
        second, third, fourth = (
            mine + sign * theirs for mine, theirs in zip(self.powers, other.powers, strict=True)
        )
        return _Sums(
            self.text_bytes + sign * other.text_bytes,
            self.nats + sign * other.nats,
            self.products + sign * other.products,
            self.squares + sign * other.squares,
            (second, third, fourth),
        )

    def minus(self, other: _Sums) -> _Sums:
        return self.plus(other, -1)

    def residual(self, rate: float) -> float:
        """Return the sum of (x - rate b)^2."""
        numerator, denominator = rate.as_integer_ratio()
        exact = (
            self.squares * denominator**2
            - 2 * numerator * denominator * self.products
            + numerator**2 * self.powers[0]
        )
        return exact / denominator**2


def _worth(documents: float, least: int) -> float:
    if documents < least:
        raise TooFewError("documents of equal size", math.floor(documents), least)
    return documents
