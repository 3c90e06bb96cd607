"""Spans of a document: the pieces of text that are sampled, the same for every tokenizer.

A token belongs to the span of its first byte. So a document's nats are the sum of its spans' nats
for any tokenizer, and two models can be paired by span.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

SPAN_BYTES = 4096
NAT_UNITS = 1 << 16
"""Nats are stored as whole numbers of 65,536ths, whose sums do not depend on their order."""


def span_ends(text: bytes, size: int = SPAN_BYTES) -> list[int]:
    """Return where each span of a UTF-8 text ends, in bytes; the last end is the text's.

    Every multiple of `size` ends a span, moved forward to the next character. Raises ValueError for
    a size that may not fit a character.
    """
    if size < 4:
        raise ValueError(f"a span has at least 4 bytes, not {size}")
    ends = []
    for end in range(size, len(text), size):
        while end < len(text) and text[end] & 0xC0 == 0x80:
            end += 1  # noqa: PLW2901
        if end < len(text):
            ends.append(end)
    return [*ends, len(text)] if text else []


def span_sizes(ends: Sequence[int]) -> list[int]:
    """Return the bytes of each span."""
    return [end - start for start, end in itertools.pairwise([0, *ends])]


def span_scripts(text: bytes, ends: Sequence[int]) -> list[int]:
    """Return how far from ASCII each span of a UTF-8 text is: 0, 1 or 2.

    1 means more than a 16th of its bytes beyond ASCII, 2 more than a third: prose in Latin letters
    is 0, and in other scripts 2.
    """
    if text.isascii():
        return [0] * len(ends)
    beyond = np.frombuffer(text, np.uint8) > 127
    counts = np.add.reduceat(beyond, [0, *ends[:-1]], dtype=np.int64)
    return [
        (16 * int(count) > size) + (3 * int(count) > size)
        for count, size in zip(counts, span_sizes(ends), strict=True)
    ]


def span_nats(ends: Sequence[int], starts: Sequence[int], nats: Sequence[float]) -> list[int]:
    """Return the nats of each span, in 65,536ths.

    `starts` are the first bytes of the tokens, in rising order, and `nats` their -log p. A token
    that starts at the text's end counts for the last span. Raises ValueError for tokens without a
    text.
    """
    if not ends and len(starts):
        raise ValueError("an empty text has no tokens")
    firsts = np.searchsorted(np.asarray(starts), np.asarray([0, *ends[:-1]])) if ends else ()
    bounds = [*(int(first) for first in firsts), len(starts)]
    return [
        round(math.fsum(nats[first:after]) * NAT_UNITS)
        for first, after in itertools.pairwise(bounds)
    ]
