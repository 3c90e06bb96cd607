"""Recognises nats that were weighted as in Hugging Face's guide to perplexity."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.corpus.audit.record import Number, Record
from services.corpus.audit.scored_tokens import Pattern, likely_windows
from services.corpus.audit.verdict import Mistake
from services.corpus.bpb.scored_windows import guide_windows

Likelihoods = Sequence[float | None]
# Windows to try, between the longest document with a right sum and the shortest with a wrong one.
_MOST_BETWEEN = 512


@dataclass(frozen=True)
class Listed:
    """One document's -log p by token, None for a token not scored, and its published nats.

    `half_digit` is the largest rounding error of each likelihood.
    """

    token_nats: Likelihoods
    nats: Number
    half_digit: float

    @property
    def plain(self) -> float:
        """The sum of the listed likelihoods."""
        return math.fsum(one or 0 for one in self.token_nats)

    @property
    def tokens(self) -> int:
        """The number of tokens, including the first one if the list leaves it out."""
        return len(self.token_nats) + (None not in self.token_nats[:1])

    def agrees(self, value: float) -> bool:
        """Whether the published nats can be this sum, with likelihoods in single precision."""
        rounded = self.nats.half_digit + self.half_digit * len(self.token_nats)
        allowed = rounded * 1.02 + 1e-5 * abs(value) + 1e-9
        return abs(self.nats.value - value) <= allowed


def guide_pattern(record: Record, documents: Sequence[Listed]) -> Pattern | None:
    """Return the window and stride whose weights give every document's nats; None if none do.

    The nats of at least one document differ from the plain sum.
    """
    # Documents with another sum rule out most windows.
    ordered = sorted(documents, key=lambda one: (one.agrees(one.plain), one.tokens))
    for window in _windows(record, ordered):
        strides = {record.stride, window // 2, window // 4, window // 8}
        for stride in sorted((one for one in strides if 0 < one < window), reverse=True):
            if all(one.agrees(weighted(one.token_nats, window, stride)) for one in ordered):
                return Pattern((Mistake.GUIDE_WEIGHTS,), window, stride)
    return None


def weighted(token_nats: Likelihoods, window: int, stride: int) -> float:
    """Sum a document's likelihoods as the guide does.

    The first token's likelihood is None, or missing if no likelihood is None.
    """
    nats = list(token_nats) if None in token_nats[:1] else [None, *token_nats]
    place, total = 1, 0.0
    for one in guide_windows(range(len(nats)), window, stride):
        part = [nats[i] or 0.0 for i in range(place, place + len(one.targets))]
        place += len(part)
        total += math.fsum(part) / len(part) * one.counted
    return total


def _windows(record: Record, documents: Sequence[Listed]) -> Iterator[int]:
    if record.window:
        yield record.window
        return
    # A document of a single window has the plain sum.
    right = [one.tokens for one in documents if one.agrees(one.plain)]
    shortest = min(one.tokens for one in documents if not one.agrees(one.plain))
    longest = max((tokens for tokens in right if tokens < shortest), default=1)
    between = range(max(2, longest), shortest)
    usual = [window for window in likely_windows(record) if window < shortest]
    yield from dict.fromkeys((*usual, *(between if len(between) <= _MOST_BETWEEN else ())))
