"""How the claimed figure follows from the published sums."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.corpus.audit.evidence import Evidence
from services.corpus.audit.record import Number, PublishedDocument, Record, Sums
from services.corpus.audit.scored_tokens import scored_in, scored_of
from services.corpus.audit.verdict import Mistake

LN2 = math.log(2)


def nats_of(sums: Sums) -> float | None:
    """Return a sum of nats, as published or computed from other published numbers."""
    if sums.nats is not None:
        return sums.nats.value
    if sums.loss is not None and (scored := scored_in(sums)) is not None:
        return sums.loss.value * scored
    if sums.bits_per_byte is not None and sums.bytes is not None:
        return sums.bits_per_byte.value * LN2 * sums.bytes
    return None


def rounding_of(sums: Sums) -> float:
    """Return the largest error of `nats_of` from the rounding of published numbers."""
    if sums.nats is not None:
        return sums.nats.half_digit
    if sums.loss is not None and (scored := scored_in(sums)) is not None:
        return sums.loss.half_digit * scored
    if sums.bits_per_byte is not None and sums.bytes is not None:
        return sums.bits_per_byte.half_digit * LN2 * sums.bytes
    return 0.0


def document_nats(document: PublishedDocument) -> float | None:
    """Return a document's nats, as published or as the sum over its tokens."""
    if (nats := nats_of(document.sums)) is not None:
        return nats
    if document.token_nats is None:
        return None
    return math.fsum(one for one in document.token_nats if one is not None)


def document_rounding(document: PublishedDocument) -> float:
    """Return the largest error of `document_nats` from rounding."""
    if nats_of(document.sums) is not None:
        return rounding_of(document.sums)
    return document.token_half_digit * len(document.token_nats or ())


def sum_of(counts: Iterable[int | None]) -> int | None:
    """Add up counts; None if one is unknown, or there are none."""
    listed = list(counts)
    known = [count for count in listed if count is not None]
    return sum(known) if known and len(known) == len(listed) else None


@dataclass(frozen=True)
class Figure:
    """A figure that the published sums give, and the mistakes, if any, that lead to it.

    `doubt` is its largest error from the rounding of the sums.
    """

    mistakes: tuple[Mistake, ...]
    value: float
    doubt: float

    def fits(self, claim: Number) -> bool:
        """Whether the claim can be this figure."""
        return claim.equals(self.value, self.doubt)


def publishes_bytes(record: Record) -> bool:
    """Whether a record states its bytes anywhere."""
    counts = (one.sums.bytes for one in record.documents)
    return record.totals.bytes is not None or any(count is not None for count in counts)


def whole_nats(record: Record) -> tuple[float, float] | None:
    """Return the total nats, as published or added up, and their largest rounding error."""
    parts = [(document_nats(one), document_rounding(one)) for one in record.documents]
    found = [(nats, doubt) for nats, doubt in parts if nats is not None]
    if found and len(found) == len(parts):
        return math.fsum(nats for nats, _ in found), math.fsum(doubt for _, doubt in found)
    if (nats := nats_of(record.totals)) is not None:
        return nats, rounding_of(record.totals)
    scored = sum_of(scored_of(one) for one in record.documents)
    if (loss := record.totals.loss) is None or scored is None:
        return None
    return loss.value * scored, loss.half_digit * scored


def figures(evidence: Evidence) -> Iterator[Figure]:
    """Compute the figure in every known way, the right one first.

    Bytes are the published ones, or else those of the texts or of the evaluation set.
    """
    averages = list(_averages(evidence))
    yield from averages
    for one in averages:  # A wrong unit is a separate mistake, with any divisor.
        mistakes = (*one.mistakes, Mistake.NATS_FOR_BITS)
        yield Figure(mistakes, one.value * LN2, one.doubt * LN2)


def _averages(evidence: Evidence) -> Iterator[Figure]:
    record = evidence.record
    whole, size = whole_nats(record), _whole_bytes(evidence)
    if whole is None or not size:
        return
    nats, doubt = whole
    yield Figure((), nats / LN2 / size, doubt / LN2 / size)
    ratios = list(_ratios(evidence))
    complete = len(ratios) == len(record.documents)
    ratios = [one for one in ratios if one.bytes]
    tokens = _whole_tokens(record)
    if complete and len(ratios) > 1:
        if tokens:
            yield Figure(
                (Mistake.TOKEN_WEIGHTED_MEAN,),
                math.fsum(one.value * one.tokens for one in ratios) / tokens,
                math.fsum(one.doubt * one.tokens for one in ratios) / tokens,
            )
        yield Figure(
            (Mistake.MEAN_OF_RATIOS,),
            math.fsum(one.value for one in ratios) / len(ratios),
            math.fsum(one.doubt for one in ratios) / len(ratios),
        )
    if tokens:
        yield Figure((Mistake.PER_TOKEN,), nats / LN2 / tokens, doubt / LN2 / tokens)


@dataclass(frozen=True)
class _Ratio:
    """A document's own figure, and its largest rounding error."""

    value: float
    doubt: float
    bytes: int
    tokens: int


def _ratios(evidence: Evidence) -> Iterator[_Ratio]:
    sizes = _sizes(evidence)
    for one, size in zip(evidence.documents, sizes, strict=True):
        if (nats := document_nats(one)) is not None and size is not None:
            divisor = LN2 * (size or 1)
            doubt = document_rounding(one)
            yield _Ratio(nats / divisor, doubt / divisor, size, one.sums.tokens or 0)


def _sizes(evidence: Evidence) -> list[int | None]:
    if not publishes_bytes(evidence.record):
        return evidence.sources
    return [one.sums.bytes for one in evidence.documents]


def _whole_bytes(evidence: Evidence) -> int | None:
    record = evidence.record
    if (whole := sum_of(_sizes(evidence))) is not None:
        return whole
    return record.totals.bytes if publishes_bytes(record) else record.known.bytes


def _whole_tokens(record: Record) -> int | None:
    whole = sum_of(one.sums.tokens for one in record.documents)
    return record.totals.tokens if whole is None else whole
