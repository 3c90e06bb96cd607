"""Numbers that no evaluation gives, whatever mistakes it made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from services.corpus.audit.averages import document_nats, nats_of, sum_of
from services.corpus.audit.evidence import Evidence, wrong_digest
from services.corpus.audit.record import Record, Sums
from services.corpus.audit.scored_tokens import counted_of, exactly_scored, scored_in, scored_of

# A tokenizer may add a token before and after a text, and a space.
_AROUND = 3
# If the number of documents is unknown: a document has at least this many bytes per added token.
_LEAST_DOCUMENT = 10
_LARGEST_POWER = 709  # of e, in a double
_ROUNDING = 1e-4  # nats by which a token's probability can exceed 1


def impossible(evidence: Evidence) -> Iterator[str]:
    """Find impossible numbers, except those that a wrong count of bytes can explain."""
    record = evidence.record
    if record.claim.value < 0:
        yield f"the claim is {record.claim.value} bits per byte; information is never negative"
    yield from _nothing(evidence)
    yield from _sums("totals", record.totals)
    if record.perplexity is not None:
        if record.perplexity.value < 1:
            yield f"the perplexity is {record.perplexity.value}; it is never below 1"
        elif record.totals.loss is not None:
            yield from _perplexity(record)
    for place, document in enumerate(record.documents):
        where = f"document {document.id}"
        yield from _sums(where, document.sums)
        if document.token_nats is not None:
            yield from _listed_tokens(where, document.sums, document.token_nats)
        if any(nats is not None and nats < -_ROUNDING for nats in document.token_nats or ()):
            yield f"{where} has a token of negative -log p; no probability is above 1"
        if wrong_digest(document):
            yield f"{where} has a text that its SHA-256 is not of"
        characters, text = document.sums.characters, evidence.texts[place]
        said, size = document.source_bytes, evidence.sources[place]
        if said is not None and said != size:
            yield f"{where} is said to have a source of {said:,} bytes, and its text has {size:,}"
        if characters is not None and text is not None and characters != len(text):
            yield (
                f"{where} is said to have {characters:,} characters, and its text has {len(text):,}"
            )
    characters, read = record.totals.characters, sum(map(len, filter(None, evidence.texts)))
    if characters is not None and evidence.all_texts and characters != read:
        yield f"totals: {characters:,} characters, and the texts have {read:,}"
    yield from _additions(record)


def impossible_bytes(evidence: Evidence) -> Iterator[str]:
    """Find numbers of bytes that the numbers of characters and tokens make impossible."""
    record = evidence.record
    count = len(record.documents) or record.known_documents or 0
    yield from _bytes("totals", _with_sums(record), record.tokenizer, count)
    known = record.known_documents or 0
    yield from _bytes("the evaluation set", record.known, record.tokenizer, known)
    for document in record.documents:
        yield from _bytes(f"document {document.id}", document.sums, record.tokenizer, 1)


def _with_sums(record: Record) -> Sums:
    """Return the totals, with the documents' sums for missing counts."""
    totals, documents = record.totals, [one.sums for one in record.documents]
    return replace(
        totals,
        tokens=_or_sum(totals.tokens, (one.tokens for one in documents)),
        bytes=_or_sum(totals.bytes, (one.bytes for one in documents)),
        characters=_or_sum(totals.characters, (one.characters for one in documents)),
    )


def _or_sum(total: int | None, counts: Iterable[int | None]) -> int | None:
    return sum_of(counts) if total is None else total


def _bytes(where: str, sums: Sums, tokenizer: str, documents: int) -> Iterator[str]:
    tokens, size, characters = sums.tokens, sums.bytes, sums.characters
    if size is None:
        return
    if characters is not None and not characters <= size <= 4 * characters:
        yield (
            f"{where}: {size:,} bytes for {characters:,} characters; UTF-8 takes 1 to 4 bytes for "
            "each"
        )
    around = _AROUND * documents or size // _LEAST_DOCUMENT
    if tokens is not None and tokens > size + around:
        kind = " of a byte model" if tokenizer == "bytes" else ""
        yield (
            f"{where}: {tokens:,} tokens{kind} for {size:,} bytes; a token stands for one byte or "
            "more"
        )
    if size == 0 and sums.bits_per_byte is not None and sums.bits_per_byte.value > 0:
        yield f"{where}: {sums.bits_per_byte.value} bits per byte of no bytes"


def _sums(where: str, sums: Sums) -> Iterator[str]:
    for name, number in (("nats", sums.nats), ("loss", sums.loss), ("figure", sums.bits_per_byte)):
        if number is not None and number.value < 0:
            sign = "; is it a log-likelihood with its sign?" if name != "figure" else ""
            yield f"{where}: the {name} is {number.value}, and never negative{sign}"
    tokens = sums.tokens
    if tokens is not None and sums.scored_tokens is not None and sums.scored_tokens > tokens:
        yield f"{where}: {sums.scored_tokens:,} tokens scored of {tokens:,}"
    if 0 in {tokens, sums.scored_tokens} and sums.nats is not None and sums.nats.value > 0:
        yield f"{where}: {sums.nats.value} nats for no tokens"


def _perplexity(record: Record) -> Iterator[str]:
    perplexity, loss = record.perplexity, record.totals.loss
    if perplexity is None or loss is None:
        return
    # In logarithms, so that no loss overflows; half a digit below the number changes it most.
    lowest = max(perplexity.value - perplexity.half_digit, 0.5)
    allowed = loss.half_digit + 1e-4 + math.log(perplexity.value / lowest)
    if abs(math.log(perplexity.value) - loss.value) > 1.02 * allowed:
        power = f"{math.exp(loss.value):.6g}" if loss.value < _LARGEST_POWER else "larger"
        yield (
            f"the perplexity is {perplexity.value} and the loss {loss.value}, whose exponential is "
            f"{power}"
        )


def _nothing(evidence: Evidence) -> Iterator[str]:
    """Find a figure of no bytes, and a figure of 0 although tokens were scored."""
    record, totals = evidence.record, evidence.record.totals
    counts = [document.sums.bytes for document in record.documents]
    if (
        totals.bytes == 0
        or record.known.bytes == 0
        or (counts and all(count == 0 for count in counts))
        or (evidence.sources and all(size == 0 for size in evidence.sources))
    ):
        yield f"the claim is {record.claim.value} bits per byte of no bytes"
    parts = [(document_nats(one), scored_of(one) or one.sums.tokens) for one in record.documents]
    nats = [nats_of(totals), *(nats for nats, _ in parts)]
    scored = scored_in(totals) or sum(count or 0 for _, count in parts)
    if record.claim.value == 0 and scored and not any(nats):
        yield (
            f"the claim is 0 bits per byte over {scored:,} scored tokens; no model is certain of "
            "each of them"
        )


def _listed_tokens(where: str, sums: Sums, token_nats: Sequence[float | None]) -> Iterator[str]:
    tokens, scored, listed = sums.tokens, sums.scored_tokens, len(token_nats)
    # If the first token was not scored, some leave it out and others write null.
    left_out = None not in token_nats[:1]
    if tokens is not None and not tokens - left_out <= listed <= tokens:
        yield f"{where} has {tokens:,} tokens, and the likelihoods of {listed:,}"
    if scored is not None and scored not in {listed, listed - token_nats.count(None)}:
        yield f"{where} has {scored:,} scored tokens, and the likelihoods of {listed:,}"


def _additions(record: Record) -> Iterator[str]:
    """Find totals that are not the sums over the documents."""
    documents = record.documents
    if not documents:
        return
    for name in ("tokens", "bytes", "characters"):
        total = getattr(record.totals, name)
        parts = [getattr(document.sums, name) for document in documents]
        if total is not None and None not in parts and sum(parts) != total:
            yield f"totals: {total:,} {name}, and the documents' add up to {sum(parts):,}"
    scored = sum_of(exactly_scored(document) for document in documents)
    listed = sum_of(counted_of(document) for document in documents)
    total = record.totals.scored_tokens
    if None not in (total, scored) and total not in {scored, listed}:
        yield f"totals: {total:,} scored tokens, and the documents' add up to {scored:,}"
    nats = [document.sums.nats for document in documents]
    total = record.totals.nats
    if total is not None and all(one is not None for one in nats):
        added = math.fsum(one.value for one in nats if one is not None)
        slack = sum(one.half_digit for one in nats if one is not None)
        if abs(added - total.value) > slack + total.half_digit + 1e-5 * abs(added):
            yield f"totals: {total.value} nats, and the documents' add up to {added:.6f}"
