"""Whether the published numbers about the same tokens agree with each other.

Nats, a loss, a figure and a list of likelihoods each state the same sum. The other questions read
only the first of these that is present.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.common.counts import plural
from services.corpus.audit.averages import LN2, document_nats, document_rounding, sum_of
from services.corpus.audit.record import Number, Sums
from services.corpus.audit.scored_tokens import AROUND, counted_of, exactly_scored
from services.corpus.audit.trial import Trial

_SINGLE_PRECISION = 1e-5


@dataclass(frozen=True)
class _Stated:
    """A sum of nats that a published number states, and its largest rounding error."""

    nats: float
    doubt: float

    def agrees(self, other: _Stated) -> bool:
        off = abs(self.nats - other.nats)
        largest = max(abs(self.nats), abs(other.nats))
        allowed = 1.02 * (self.doubt + other.doubt) + _SINGLE_PRECISION * largest + 1e-9
        return math.isfinite(off) and off <= allowed


Statements = dict[str, list[_Stated]]


def compare_sums(trial: Trial) -> None:
    """Record numbers of one document, or of all documents, that state different sums.

    Call this after all four questions, because a mistake may explain the difference.
    """
    for number, count in _of_documents(trial).items():
        trial.contradict(f"the {number} of {plural(count, 'document')}, which {_ANOTHER}")
    totals = _of_totals(trial)
    for number in _disagreeing(totals):
        trial.contradict(f"the {number} of the totals, which {_ANOTHER}")
    claim, again = trial.record.claim, trial.record.totals.bits_per_byte
    if again is not None and not claim.equals(again.value, again.half_digit):
        trial.contradict(f"the figure of the totals, {again.value}, which is not the claim")
    if not trial.findings and not _add_up(trial, totals):
        trial.contradict("the totals, which state another sum than the documents")
    _compare_counts(trial)
    if not _is_of_tokens(trial, totals):
        trial.unchecked.append("the perplexity: it is not that of a token")


_ANOTHER = "states another sum of nats than the other numbers"


def _of_documents(trial: Trial) -> dict[str, int]:
    """Count the documents with a number that does not agree, by the number's name."""
    explained = any(finding.mistakes for finding in trial.findings)
    found: dict[str, int] = {}
    for document, source in zip(trial.record.documents, trial.evidence.sources, strict=True):
        sums = document.sums
        sizes = [source if sums.bytes is None else sums.bytes, source]
        if sums.bytes is None and explained:
            sizes = []
        exact = exactly_scored(document)
        stated = _stated(sums, exact, counted_of(document), [one for one in sizes if one])
        if document.token_nats is not None and "nats" not in stated:
            stated["likelihoods"] = [
                _Stated(
                    math.fsum(one or 0.0 for one in document.token_nats),
                    document.token_half_digit * len(document.token_nats),
                )
            ]
        for number in _disagreeing(stated):
            found[number] = found.get(number, 0) + 1
    return found


def _of_totals(trial: Trial) -> Statements:
    record = trial.record
    totals, documents = record.totals, record.documents
    exact = totals.scored_tokens
    if exact is None:
        exact = sum_of([exactly_scored(one) for one in documents])
    counted = totals.tokens
    if counted is None:
        counted = sum_of([counted_of(one) for one in documents])
    return _stated(totals, exact, counted, [])


def _stated(sums: Sums, exact: int | None, counted: int | None, sizes: Sequence[int]) -> Statements:
    """Return the sum that each number states; a loss may be over scored or counted tokens."""
    stated: Statements = {}
    if sums.nats is not None:
        stated["nats"] = [_Stated(sums.nats.value, sums.nats.half_digit)]
    if sums.loss is not None:
        counts = {one for one in (exact, counted) if one is not None}
        if exact is None and sums.nats is not None and sums.loss.value > 0:
            # If fewer tokens were scored than counted, the quotient shows it.
            most = math.inf if counted is None else counted + max(AROUND)
            counts.add(round(min(sums.nats.value / sums.loss.value, most, 1e18)))
        stated["loss"] = [_times(sums.loss, count) for count in sorted(counts)]
    if sums.bits_per_byte is not None:
        stated["figure"] = [_times(sums.bits_per_byte, size * LN2) for size in sizes]
    return {name: ways for name, ways in stated.items() if ways}


def _times(number: Number, factor: float) -> _Stated:
    return _Stated(number.value * factor, number.half_digit * factor)


def _disagreeing(stated: Statements) -> Iterator[str]:
    """Name the numbers that state another sum than the first one."""
    first, *others = stated or {"": []}
    for name in others:
        if not any(one.agrees(other) for one in stated[first] for other in stated[name]):
            yield name


def _add_up(trial: Trial, totals: Statements) -> bool:
    """Whether the totals equal the sum over the documents; True if either is unknown."""
    documents = trial.record.documents
    parts = [document_nats(one) for one in documents]
    nats = [one for one in parts if one is not None]
    if not totals or not nats or len(nats) < len(parts):
        return True
    added = _Stated(math.fsum(nats), math.fsum(map(document_rounding, documents)))
    return any(one.agrees(added) for one in next(iter(totals.values())))


def _compare_counts(trial: Trial) -> None:
    """Compare the total of tokens with the documents' sum, if every token was scored."""
    documents, tokens = trial.record.documents, trial.record.totals.tokens
    scored = sum_of([exactly_scored(one) for one in documents])
    pattern = trial.pattern
    if tokens is None or scored is None or pattern is None or pattern.mistakes:
        return
    if tokens not in {scored, scored - pattern.extra * len(documents)}:
        trial.contradict(
            f"the total of tokens, {tokens:,} where the documents have {scored:,} scored"
        )


def _is_of_tokens(trial: Trial, totals: Statements) -> bool:
    """Whether a perplexity without a loss can be that of a token, and not of a word or byte."""
    perplexity, record = trial.record.perplexity, trial.record
    if perplexity is None or perplexity.value < 1 or record.totals.loss is not None:
        return True
    nats = totals.get("nats") or []
    loss = Number(math.log(perplexity.value), perplexity.half_digit / perplexity.value)
    sums = Sums(nats=record.totals.nats, loss=loss)
    exact = record.totals.scored_tokens
    ways = _stated(sums, exact, record.totals.tokens, []).get("loss") or []
    return not nats or not ways or any(one.agrees(other) for one in nats for other in ways)
