"""Texts of test sets in a corpus: where, in which subsets, and how much of each set."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

import numpy as np

from services.corpus.contamination.hit import Hit
from services.corpus.contamination.ngrams import NgramIndex
from services.corpus.contamination.words import Words
from services.corpus.inspection.findings import Contamination, Place, SetFound, Share
from services.corpus.shards.documents import Document

MOST_LISTED = 1_000
"""Hits that are listed: the longest."""
_EXCERPT_BYTES = 160


class Contaminated:
    """Takes documents one after the other, and looks each up in the test sets."""

    def __init__(self, sets: Mapping[str, Sequence[bytes]], n: int) -> None:
        """`sets` are the texts by the name of their set. Raises as NgramIndex."""
        self._names = list(sets)
        texts = [(f"{number}/{at}", text) for number, name in enumerate(self._names)
                 for at, text in enumerate(sets[name])]  # fmt: skip
        self._index = NgramIndex(texts, n)
        self._found = [np.zeros(len(sets[name]), dtype=np.bool_) for name in self._names]
        short = [int(one.partition("/")[0]) for one in self._index.too_short]
        self._too_short = np.bincount(short, minlength=len(sets)).tolist()
        self._longest = [0] * len(sets)
        self._shares: dict[str, Share] = {}
        self._documents: set[str] = set()
        self._heap: list[tuple[int, int, Place]] = []
        self.hits = 0

    def add(self, document: Document, words: Words, split: str) -> None:
        """Look a document up."""
        hits = self._index.hits(words)
        if not hits:
            return
        self._documents.add(document.id)
        share = self._shares.setdefault(document.subset, Share())
        share.documents += 1
        end = 0
        for hit in hits:
            share.text_bytes += max(0, hit.end - max(hit.start, end))
            end = max(end, hit.end)
            self._add(document, split, hit)

    def result(self) -> Contamination:
        """Return what was found so far."""
        sets = tuple(
            SetFound(name, found.size, short, int(found.sum()), longest)
            for name, found, short, longest in zip(
                self._names, self._found, self._too_short, self._longest, strict=True
            )
        )
        places = tuple(place for _, _, place in sorted(self._heap, reverse=True))
        documents = frozenset(self._documents)
        return Contamination(self._index.n, self.hits, sets, self._shares, places, documents)

    def _add(self, document: Document, split: str, hit: Hit) -> None:
        self.hits += 1
        test_set, number = map(int, hit.test.split("/"))
        self._found[test_set][number] = True
        self._longest[test_set] = max(self._longest[test_set], hit.words)
        full = len(self._heap) == MOST_LISTED
        if full and hit.words <= self._heap[0][0]:
            return
        excerpt = document.text[hit.start : min(hit.end, hit.start + _EXCERPT_BYTES)]
        place = Place(
            *(document.id, document.subset, split, self._names[test_set], number, hit),
            excerpt.decode("utf-8", "replace"),
        )
        # Of equal lengths the first: no two have one number.
        entry = (hit.words, -self.hits, place)
        if full:
            heapq.heapreplace(self._heap, entry)
        else:
            heapq.heappush(self._heap, entry)
