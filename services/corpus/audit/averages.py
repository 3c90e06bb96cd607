"""How the claimed figure follows from the published sums."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from services.corpus.audit.record import PublishedDocument, Record, Sums
from services.corpus.audit.scored_tokens import scored_in
from services.corpus.audit.verdict import Mistake

LN2 = math.log(2)


def nats_of(sums: Sums) -> float | None:
    """Return a sum of nats, as published or as it follows from what was."""
    if sums.nats is not None:
        return sums.nats.value
    if sums.loss is not None and (scored := scored_in(sums)) is not None:
        return sums.loss.value * scored
    if sums.bits_per_byte is not None and sums.bytes is not None:
        return sums.bits_per_byte.value * LN2 * sums.bytes
    return None


def rounding_of(sums: Sums) -> float:
    """Return by how much `nats_of` may be off, because what it is computed from was rounded."""
    if sums.nats is not None:
        return sums.nats.half_digit
    if sums.loss is not None and (scored := scored_in(sums)) is not None:
        return sums.loss.half_digit * scored
    if sums.bits_per_byte is not None and sums.bytes is not None:
        return sums.bits_per_byte.half_digit * LN2 * sums.bytes
    return 0.0


def document_nats(document: PublishedDocument) -> float | None:
    """Return a document's nats, as published or of its tokens."""
    if (nats := nats_of(document.sums)) is not None:
        return nats
    if document.token_nats is None:
        return None
    return math.fsum(one for one in document.token_nats if one is not None)


@dataclass(frozen=True)
class Figure:
    """A figure that the published sums give, by the mistake that computes it so, or none.

    `doubt` is what it may be off by, because the sums were rounded.
    """

    mistake: Mistake | None
    value: float
    doubt: float


def figures(record: Record) -> Iterator[Figure]:
    """Compute the figure in every way that is looked for, the right one first."""
    parts = [
        (nats, one.sums.bytes, one.sums.tokens, rounding_of(one.sums))
        for one in record.documents
        if (nats := document_nats(one)) is not None and one.sums.bytes is not None
    ]
    whole = len(parts) == len(record.documents)
    if parts and whole:
        nats, size = math.fsum(n for n, _, _, _ in parts), sum(b for _, b, _, _ in parts)
        doubt = math.fsum(d for _, _, _, d in parts)
        tokens = [t for _, _, t, _ in parts if t is not None]
        token_sum = sum(tokens) if len(tokens) == len(parts) else None
    else:
        found = nats_of(record.totals)
        if found is None or record.totals.bytes is None:
            return
        nats, size, token_sum = found, record.totals.bytes, record.totals.tokens
        doubt = rounding_of(record.totals)
    if not size:
        return
    yield Figure(None, nats / LN2 / size, doubt / LN2 / size)
    if whole:
        ratios = [(n / LN2 / b, d / LN2 / b, t or 0) for n, b, t, d in parts if b]
        if token_sum and len(ratios) > 1:
            yield Figure(
                Mistake.TOKEN_WEIGHTED_MEAN,
                math.fsum(ratio * t for ratio, _, t in ratios) / token_sum,
                math.fsum(off * t for _, off, t in ratios) / token_sum,
            )
        if len(ratios) > 1:
            yield Figure(
                Mistake.MEAN_OF_RATIOS,
                math.fsum(ratio for ratio, _, _ in ratios) / len(ratios),
                math.fsum(off for _, off, _ in ratios) / len(ratios),
            )
    yield Figure(Mistake.NATS_FOR_BITS, nats / size, doubt / size)
    if token_sum:
        yield Figure(Mistake.PER_TOKEN, nats / LN2 / token_sum, doubt / LN2 / token_sum)
