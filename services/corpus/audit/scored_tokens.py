"""Which of its tokens a project scored, inferred from their number."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.corpus.audit.record import PublishedDocument, Record, Sums
from services.corpus.audit.tokenizer import Counts
from services.corpus.audit.verdict import Mistake

_WINDOWS = tuple(2**k for k in range(6, 18))
# A zero is informative only if it was printed with many digits.
_ENOUGH_ZEROS, _MANY_DIGITS = 2, 1e-6
_SHOWN = 4  # most window sizes that nulls may show; more are not windows
# Tokens around a text that a project may score too: beginning and end of sequence.
AROUND = (1, 2)


@dataclass(frozen=True)
class Pattern:
    """A way of scoring tokens. `window` and `stride` are in tokens, 0 if it has none."""

    mistakes: tuple[Mistake, ...]
    window: int = 0
    stride: int = 0
    extra: int = 0

    def counts(self, tokens: Counts) -> Counts:
        """Return the number of scored tokens in texts with these numbers of tokens."""
        scored = tokens + self.extra
        if Mistake.TRUNCATED in self.mistakes:
            scored = np.minimum(scored, self.window)
        if Mistake.FIRST_TOKEN_MISSING in self.mistakes:
            scored = np.maximum(scored - 1, 0)
        if Mistake.BOUNDARY_UNSCORED in self.mistakes:
            chunks = -(-tokens // self.window)
            scored = scored - np.maximum(chunks - self.stride, 0)
        if Mistake.GUIDE_WEIGHTS in self.mistakes:
            later = -(-np.maximum(tokens - self.window, 0) // self.stride)
            scored = np.maximum(tokens - 1, 0) - later
        return scored

    def unscored(self, tokens: int) -> slice:
        """Return the places of tokens that are not scored, except a truncated text's first one."""
        if Mistake.TRUNCATED in self.mistakes:
            return slice(self.window, tokens)
        if Mistake.BOUNDARY_UNSCORED in self.mistakes:
            return slice(self.window * self.stride, tokens, self.window)
        if self.mistakes:
            return slice(0, 1)
        return slice(0, 0)

    def covered(self, sizes: Counts) -> int:
        """Return the bytes that the scored tokens cover, given the bytes of all tokens."""
        left_out = sizes[self.unscored(len(sizes))].sum()
        return int(sizes.sum() - left_out - (sizes[:1].sum() if self._first_too else 0))

    def left_out(self, tokens: int) -> int:
        """Return the number of tokens not scored, given the numbers of tokens."""
        return len(range(tokens)[self.unscored(tokens)]) + min(int(self._first_too), tokens)

    @property
    def _first_too(self) -> bool:
        return {Mistake.TRUNCATED, Mistake.FIRST_TOKEN_MISSING} <= set(self.mistakes)


COMPLETE = Pattern(())


def likely_windows(record: Record) -> Sequence[int]:
    """Return the windows to try: the record's, or those that its nulls show and usual ones.

    Some count the token before a window as part of it, and some do not.
    """
    if record.window:
        return (record.window, record.window + 1, record.window - 1)
    shown: dict[int, None] = {}
    for document in record.documents:
        passed_over = (i for i, nats in enumerate(document.token_nats or ()) if nats is None)
        later = next((place for place in passed_over if place), None)
        if later is not None:
            shown.setdefault(later)
    return (*tuple(shown)[:_SHOWN], *_WINDOWS)


def patterns(record: Record, longest: int) -> Iterator[Pattern]:
    """Every known pattern, sound ones first.

    `longest` is the largest number of scored tokens of a text: the place of truncation, if any.
    """
    yield COMPLETE
    for extra in AROUND:
        yield Pattern((), extra=extra)
    yield Pattern((Mistake.FIRST_TOKEN_MISSING,))
    near = likely_windows(record)
    for window in (*near, longest, longest + 1) if record.window else (longest, longest + 1):
        if window > 1:
            yield Pattern((Mistake.TRUNCATED,), window)
            yield Pattern((Mistake.TRUNCATED, Mistake.FIRST_TOKEN_MISSING), window)
    for window in near:
        if window < 2:
            continue
        # Here the stride is the number of chunks whose first token is scored nevertheless.
        yield Pattern((Mistake.BOUNDARY_UNSCORED,), window, 0)
        yield Pattern((Mistake.BOUNDARY_UNSCORED,), window, 1)
        for stride in {record.stride or window // 2, window // 2, window // 4}:
            if 0 < stride < window:
                yield Pattern((Mistake.GUIDE_WEIGHTS,), window, stride)


def recognise(record: Record, tokens: Counts, scored: Counts, *, added: bool) -> list[Pattern]:
    """Return the patterns that give these counts; only the sound ones, if any.

    `tokens` are the texts' tokens and `scored` the scored ones, by document; if `added`, `scored`
    is one sum of all.
    """
    found: list[Pattern] = []
    for pattern in patterns(record, 0 if added else int(scored.max(initial=0))):
        if pattern.window and not (tokens > pattern.window).any():
            continue
        counts = pattern.counts(tokens)
        if (counts.sum() == scored.sum()) if added else np.array_equal(counts, scored):
            if not pattern.mistakes:
                return [pattern]
            if all(pattern.mistakes != other.mistakes for other in found):
                found.append(pattern)
    return [one for one in found if not _coincidence(record, one, tokens)] or found


def any_window(record: Record, tokens: Counts, scored: Counts, *, added: bool) -> list[Pattern]:
    """Return the patterns that give these counts with an unusual window.

    Larger windows score more tokens, so the window is found by bisection. Arguments are those of
    `recognise`.
    """
    if record.window or not len(tokens):
        return []
    boundary, guide = (Mistake.BOUNDARY_UNSCORED,), (Mistake.GUIDE_WEIGHTS,)
    ways: list[Callable[[int], Pattern]] = [
        lambda window: Pattern((Mistake.TRUNCATED,), window),
        lambda window: Pattern((Mistake.TRUNCATED, Mistake.FIRST_TOKEN_MISSING), window),
        lambda window: Pattern(boundary, window, 0),
        lambda window: Pattern(boundary, window, 1),
        lambda window: Pattern(guide, window, record.stride or window // 2),
        lambda window: Pattern(guide, window, record.stride or max(window // 4, 1)),
    ]
    found: list[Pattern] = []
    for way in ways:
        enough = bisect_left(
            range(2, int(tokens.max())),
            int(scored.sum()),
            key=lambda window, way=way: int(way(window).counts(tokens).sum()),  # type: ignore[misc]
        )
        pattern = way(2 + enough)
        counts = pattern.counts(tokens)
        fits = counts.sum() == scored.sum() if added else np.array_equal(counts, scored)
        if fits and all(pattern.mistakes != other.mistakes for other in found):
            found.append(pattern)
    return found


def _coincidence(record: Record, pattern: Pattern, tokens: Counts) -> bool:
    """Whether only one text was cut off, at an unlikely window: any number fits that."""
    return (
        Mistake.TRUNCATED in pattern.mistakes
        and pattern.window not in likely_windows(record)
        and int((tokens > pattern.window).sum()) == 1
    )


def zeros_as_nulls(record: Record) -> Record:
    """Read likelihoods of exactly 1 as tokens not scored, if their places fit such a pattern.

    Elsewhere they are tokens that the model was sure of, as far as digits were printed.
    """
    places = {
        i: [at for at, nats in enumerate(one.token_nats) if nats == 0]
        for i, one in enumerate(record.documents)
        if one.token_nats and None not in one.token_nats
    }
    if not _are_evidence(record, places):
        return record
    counts = {i: len(record.documents[i].token_nats or ()) for i in places}
    shown = {later for zeros in places.values() if (later := next(filter(None, zeros), 0)) > 1}
    windows = likely_windows(record) if record.window else sorted(shown)[:_SHOWN]
    ways = [Pattern((Mistake.FIRST_TOKEN_MISSING,))]
    ways += [Pattern((Mistake.BOUNDARY_UNSCORED,), w, s) for w in windows if w > 1 for s in (0, 1)]
    if not any(
        all(zeros == [*range(counts[i])[way.unscored(counts[i])]] for i, zeros in places.items())
        for way in ways
    ):
        return record
    documents = list(record.documents)
    for i in places:
        nulls = tuple(nats or None for nats in documents[i].token_nats or ())
        documents[i] = replace(documents[i], token_nats=nulls)
    return replace(record, documents=tuple(documents))


def _are_evidence(record: Record, places: Mapping[int, Sequence[int]]) -> bool:
    """Whether zeros at these places of documents can be other than certain tokens, as printed."""
    documents, total = record.documents, record.totals.scored_tokens
    listed = [len(one.token_nats or ()) for one in documents]
    if total == sum(listed) or listed == [one.sums.scored_tokens for one in documents]:
        return False
    zeros = sum(map(len, places.values()))
    digits = max((documents[i].token_half_digit for i in places), default=0.0)
    return zeros >= _ENOUGH_ZEROS or (zeros > 0 and 0 < digits < _MANY_DIGITS)


def scored_of(document: PublishedDocument) -> int | None:
    """Return the number of scored tokens of a document, stated or implied."""
    exact = exactly_scored(document)
    return scored_in(document.sums) if exact is None else exact


def exactly_scored(document: PublishedDocument) -> int | None:
    """Return the number of scored tokens that a document states explicitly."""
    if document.sums.scored_tokens is not None or document.token_nats is None:
        return document.sums.scored_tokens
    return sum(1 for nats in document.token_nats if nats is not None)


def counted_of(document: PublishedDocument) -> int | None:
    """Return the number of tokens that a document states, scored or not."""
    if document.sums.tokens is not None or document.token_nats is None:
        return document.sums.tokens
    return len(document.token_nats)


def scored_in(sums: Sums) -> int | None:
    """Return the number of tokens that these sums cover."""
    if sums.scored_tokens is not None:
        return sums.scored_tokens
    if sums.nats is not None and sums.loss is not None and sums.loss.value > 0:
        quotient = sums.nats.value / sums.loss.value
        doubt = quotient * (1e-6 + sums.loss.half_digit / sums.loss.value)
        if doubt < 0.4:
            return round(quotient)
    return sums.tokens
