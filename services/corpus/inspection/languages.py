"""Which languages documents are in, by the model that comes with py3langid.

A sample of documents is looked at, drawn by the digests of their ids, so that the same documents
are drawn in whatever order they come; of each the first thousand bytes or so. What has no language
(`zxx`: code, tables) is a language of the model's, too.
"""

from __future__ import annotations

import hashlib
import heapq
import importlib.util
from collections import Counter
from functools import cache
from typing import Any

from services.errors import Unsupported

SAMPLED = 2_000
_READ_BYTES = 1_000


def require_library() -> None:
    """Raise Unsupported where py3langid is not installed."""
    if importlib.util.find_spec("py3langid") is None:
        raise Unsupported(
            "languages are told with py3langid, which is not installed on the server: "
            "pip install 'assay[corpus-audit]'"
        )


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
            heapq.heappush(self._heap, (draw, text[:_READ_BYTES]))
        elif draw > self._heap[0][0]:
            heapq.heapreplace(self._heap, (draw, text[:_READ_BYTES]))

    def found(self) -> Counter[str]:
        """Return how many documents of the sample are in each language, by ISO 639 code."""
        identifier = _identifier()
        return Counter(identifier.classify(text)[0] for _, text in sorted(self._heap))


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415  # an extra

    return LanguageIdentifier.from_model_file(MODEL_FILE)
