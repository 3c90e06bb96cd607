"""Documents that are nearly the same, by MinHash.

As FineWeb has it (Penedo et al. 2024): sets of 5 words in a row, 14 bands of 8 hashes, so that two
documents of Jaccard similarity 0.8 share a band with 92 % probability, and of 0.5 with 5 %. Those
that share one are alike if of all 112 hashes at least 0.8 agree. A document is compared with the
first of each of its bands, and what is alike is one group. The hashes are made by rensa.

Memory: 448 bytes a document, and as much again while groups are found.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from services.corpus.contamination.words import Words
from services.corpus.minhash import Signer, has_words
from services.errors import Unsupported

MOST_DOCUMENTS = 250_000
"""More are not compared: they would take over 200 MiB."""
SIMILARITY = 0.8
_SHINGLE_WORDS = 5
_BANDS, _ROWS = 14, 8
_HASHES = _BANDS * _ROWS


def require_library() -> None:
    """Raise Unsupported where rensa is not installed."""
    if importlib.util.find_spec("rensa") is None:
        raise Unsupported(
            "near duplicates are found with rensa, which is not installed on the server: "
            "pip install 'assay-services[corpus-audit]'"
        )


class NearDuplicates:
    """Takes documents one after the other, then says which are alike."""

    def __init__(self) -> None:
        self._signer = Signer(_HASHES, _SHINGLE_WORDS)
        self.documents = 0
        """Those taken, at most MOST_DOCUMENTS."""
        self.complete = True
        """Whether every document was taken."""

    def add(self, words: Words) -> None:
        """Take a document, if there is room."""
        if self.documents == MOST_DOCUMENTS:
            self.complete = False
            return
        self._signer.add(words)
        self.documents += 1

    def groups(self) -> NDArray[np.uint64]:
        """Return the group of each document taken, the number of its first one: (documents,).

        Documents without a word are each a group of their own.
        """
        rows = self._signer.signatures()
        empty = ~has_words(rows)
        leaders = np.arange(len(rows))
        for document, first in self._candidates(rows):
            if empty[document]:
                continue
            one, other = _leader(leaders, document), _leader(leaders, first)
            if one == other:
                continue
            if np.mean(rows[document] == rows[first]) >= SIMILARITY:
                leaders[max(one, other)] = min(one, other)
        return np.array([_leader(leaders, at) for at in range(len(rows))], dtype=np.uint64)

    def _candidates(self, rows: NDArray[np.uint32]) -> Iterator[tuple[int, int]]:
        """Yield documents that share a band with an earlier one: it, and the first of the band."""
        for band in range(_BANDS):
            part = np.ascontiguousarray(rows[:, band * _ROWS : (band + 1) * _ROWS])
            keys = part.view([("", np.uint32)] * _ROWS).reshape(-1)
            _, first, group = np.unique(keys, return_index=True, return_inverse=True)
            firsts = first[group]
            later = np.flatnonzero(firsts != np.arange(len(rows)))
            yield from zip(later.tolist(), firsts[later].tolist(), strict=True)


def _leader(leaders: NDArray[np.int64], document: int) -> int:
    """Return the first document of a group, and shorten the way to it."""
    while leaders[document] != document:
        leaders[document] = leaders[leaders[document]]
        document = int(leaders[document])
    return document
