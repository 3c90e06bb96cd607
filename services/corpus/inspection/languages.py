"""Which languages documents are in.

A sample of documents is looked at, drawn by the digests of their ids, so that the same documents
are drawn in whatever order they come.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter

from services.corpus.languages import READ_BYTES, language_of

SAMPLED = 2_000


class Languages:
    """Takes documents one after the other, then tells the languages of a sample of them."""

    def __init__(self, sampled: int = SAMPLED) -> None:
        self._sampled = sampled
        self._heap: list[tuple[int, bytes]] = []

    def add(self, document: str, text: bytes) -> None:
        """Take a document by its id."""
        digest = hashlib.blake2b(document.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        draw = -int.from_bytes(digest, "little")
        if len(self._heap) < self._sampled:
            heapq.heappush(self._heap, (draw, text[:READ_BYTES]))
        elif draw > self._heap[0][0]:
            heapq.heapreplace(self._heap, (draw, text[:READ_BYTES]))

    def found(self) -> Counter[str]:
        """Return how many documents of the sample are in each language, by ISO 639 code."""
        return Counter(language_of(text) for _, text in sorted(self._heap))
