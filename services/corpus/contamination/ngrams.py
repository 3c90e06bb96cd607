"""An index of the n-grams of test texts, and where documents repeat them.

A document is hashed word by word, and a rolling hash of n words is looked up in a filter that fits
in a processor's cache, then in the sorted hashes. What is found there is compared byte by byte and
extended in both directions to the longest run of words that both texts share. So no result rests on
a hash: nothing is missed, and there are no false hits.

Memory: some 24 bytes a word of the test texts, and the texts; 20 bytes for each byte of them while
the index is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from services.corpus.contamination.hit import MOST_WORDS, Hit, N
from services.corpus.contamination.words import KEPT, Bytes, Hashes, Places, Words, same, words_of
from services.errors import InvalidArgument, TooLarge

MOST_BYTES = 1 << 30
"""Of test texts in one index."""
# Places of an n-gram in one text that are compared. Only a text of one phrase has more.
_MOST_PLACES = 64
_BASE = np.uint64(0x9E3779B97F4A7C15)
_SIX = np.uint64(6)
_LOW = np.uint64(63)
_BIT = np.uint64(1)
_LEAST_FILTER_BITS = 6


class NgramIndex:
    """The n-grams of test texts.

    `texts` are ids, which need not differ, with texts, as str or as UTF-8. Safe for threads: a
    finished index is only read, and looking up releases the GIL.

    Raises InvalidArgument if n is not 1 to 1,000, TooLarge for more than 1 GiB of texts.
    """

    def __init__(self, texts: Iterable[tuple[str, str | bytes]], n: int = N) -> None:
        if not 1 <= n <= MOST_WORDS:
            raise InvalidArgument("n", f"is {n}; an n-gram has 1 to {MOST_WORDS:,} words")
        self.n = n
        self.ids: list[str] = []
        """The ids, in the order of the texts."""
        self.too_short: list[str] = []
        """Ids of texts of fewer than n words: they have no n-gram and are never found."""
        self._texts = _joined(self._split(texts))
        self._grams = _grams(self._texts, n)

    def __len__(self) -> int:
        """Return how many different n-grams there are, as told by their 64-bit hashes."""
        return self._grams.hashes.size

    def hits(self, document: str | bytes | Words) -> list[Hit]:
        """Return where the document repeats test texts, by place.

        Every n-gram that the document shares with a text lies in a hit of that text. Where a text
        has the n-gram at several places, the hit is of the one that goes on for longest, the first
        of those; 64 places are compared. Hits of one text may overlap.
        """
        found = document if isinstance(document, Words) else words_of(document)
        grams, texts = self._grams, self._texts
        if not _any(found.hashes, self.n, grams.power, grams.filter):
            return []
        words = (found.data, found.starts, found.ends)
        room = 64
        while True:
            rows = np.empty((room, 4), dtype=np.int64)
            count = _hits(words, found.hashes, self.n, grams.arrays, texts.arrays, rows, KEPT)
            if count <= room:
                break
            room = count
        hits = (self._hit(row, found.starts, found.ends) for row in rows[:count].tolist())
        return sorted(hits, key=lambda hit: hit.start)

    def _hit(self, row: list[int], starts: Places, ends: Places) -> Hit:
        text, here, there, length = row
        texts = self._texts
        first, base = int(texts.first_word[text]), int(texts.first_byte[text])
        return Hit(
            test=self.ids[text],
            start=int(starts[here]),
            end=int(ends[here + length - 1]),
            test_start=int(texts.starts[first + there]) - base,
            test_end=int(texts.ends[first + there + length - 1]) - base,
            words=length,
        )

    def _split(self, texts: Iterable[tuple[str, str | bytes]]) -> Iterator[Words]:
        size = 0
        for name, text in texts:
            found = words_of(text)
            size += found.data.size
            if size > MOST_BYTES:
                raise TooLarge(
                    f"the test texts have more than {MOST_BYTES:,} bytes, the most that one index "
                    "is of; scan against fewer files at a time"
                )
            self.ids.append(name)
            if found.hashes.size < self.n:
                self.too_short.append(name)
            yield found


@dataclass(frozen=True, slots=True)
class _Texts:
    """All test texts, one behind the other. Words are numbered through."""

    data: Bytes
    starts: Places
    ends: Places
    hashes: Hashes
    first_word: NDArray[np.int64]
    """(texts + 1,): the first word of each, and the number of words."""
    first_byte: NDArray[np.int64]
    text_of: NDArray[np.int32]
    """(words,)"""

    @property
    def arrays(self) -> tuple[NDArray[np.generic], ...]:
        """What the kernel takes."""
        return self.data, self.starts, self.ends, self.first_word, self.text_of


@dataclass(frozen=True, slots=True)
class _Grams:
    """The n-grams: sorted hashes, and where each begins, by word."""

    hashes: Hashes
    first_place: NDArray[np.int64]
    """(hashes + 1,): the first place of each in `places`."""
    places: Places
    filter: Hashes
    power: np.uint64
    """The factor that removes the leaving word from a rolling hash."""

    @property
    def arrays(self) -> tuple[NDArray[np.generic] | np.uint64, ...]:
        """What the kernel takes."""
        return self.hashes, self.first_place, self.places, self.filter, self.power


def _joined(texts: Iterable[Words]) -> _Texts:
    parts = list(texts)
    first_word = np.cumsum([0, *(part.hashes.size for part in parts)], dtype=np.int64)
    first_byte = np.cumsum([0, *(part.data.size for part in parts)], dtype=np.int64)

    bases = list(zip(parts, first_byte[:-1].astype(np.uint32), strict=True))
    return _Texts(
        data=np.concatenate([np.empty(0, np.uint8), *(part.data for part in parts)]),
        starts=np.concatenate(
            [np.empty(0, np.uint32), *(part.starts + base for part, base in bases)]
        ),
        ends=np.concatenate([np.empty(0, np.uint32), *(part.ends + base for part, base in bases)]),
        hashes=np.concatenate([np.empty(0, np.uint64), *(part.hashes for part in parts)]),
        first_word=first_word,
        first_byte=first_byte,
        text_of=np.repeat(np.arange(len(parts), dtype=np.int32), np.diff(first_word)),
    )


def _grams(texts: _Texts, n: int) -> _Grams:
    """Hash every n-gram that lies in one text, and sort them."""
    power = power_of(n)
    rolled = roll(texts.hashes, n, power)
    places = np.flatnonzero(
        texts.text_of[: rolled.size] == texts.text_of[texts.text_of.size - rolled.size :]
    ).astype(np.uint32)
    rolled = rolled[places]
    order = np.argsort(rolled, kind="stable")
    rolled, places = rolled[order], places[order]
    hashes, first_place = np.unique(rolled, return_index=True)
    bits = max(_LEAST_FILTER_BITS, int(16 * hashes.size).bit_length())
    table = np.zeros(1 << (bits - 6), dtype=np.uint64)
    _fill_filter(hashes, table)
    return _Grams(hashes, np.append(first_place, places.size), places, table, power)


def power_of(n: int) -> np.uint64:
    """Return the factor by which `roll` removes the leaving word."""
    return np.uint64(pow(int(_BASE), n, 1 << 64))


@njit(cache=True, nogil=True)
def roll(hashes, n, power):  # type: ignore[no-untyped-def]
    """Return the hash of each run of n words, (words - n + 1,)."""
    rolled = np.empty(max(hashes.size - n + 1, 0), dtype=np.uint64)
    value = np.uint64(0)
    for word in range(hashes.size):
        value = value * _BASE + hashes[word]
        if word >= n:
            value -= hashes[word - n] * power
        if word >= n - 1:
            rolled[word - n + 1] = value
    return rolled


@njit(cache=True, nogil=True)
def _marks(value):  # type: ignore[no-untyped-def]
    """Return the three bits of a hash in its word of the filter."""
    second, third = value >> _SIX, value >> _SIX >> _SIX
    return _BIT << (value & _LOW) | _BIT << (second & _LOW) | _BIT << (third & _LOW)


@njit(cache=True, nogil=True)
def _fill_filter(hashes, table):  # type: ignore[no-untyped-def]
    size = np.uint64(table.size - 1)
    for value in hashes:
        table[(value >> np.uint64(18)) & size] |= _marks(value)


@njit(cache=True, nogil=True)
def _any(hashes, n, power, table):  # type: ignore[no-untyped-def]
    """Return whether the filter lets any n-gram of a document pass."""
    size = np.uint64(table.size - 1)
    value = np.uint64(0)
    for word in range(hashes.size):
        value = value * _BASE + hashes[word]
        if word >= n:
            value -= hashes[word - n] * power
        if word >= n - 1:
            marks = _marks(value)
            if table[(value >> np.uint64(18)) & size] & marks == marks:
                return True
    return False


@njit(cache=True, nogil=True)
def _hits(words, hashes, n, grams, texts, found, kept):  # type: ignore[no-untyped-def]  # noqa: PLR0917  # numba has no keywords to spare
    """Fill `found` with rows of text, word of the document, word of the text and words.

    Returns how many rows there are, of which those that fit are filled.
    """
    sorted_hashes, first_place, places, table, power = grams
    first_word, text_of = texts[3], texts[4]
    size = np.uint64(table.size - 1)
    covered = np.zeros(first_word.size, dtype=np.int64)
    count = 0
    value = np.uint64(0)
    for last in range(hashes.size):
        value = value * _BASE + hashes[last]
        if last >= n:
            value -= hashes[last - n] * power
        here = last - n + 1
        if here < 0:
            continue
        marks = _marks(value)
        if table[(value >> np.uint64(18)) & size] & marks != marks:
            continue
        gram = np.searchsorted(sorted_hashes, value)
        if gram == sorted_hashes.size or sorted_hashes[gram] != value:
            continue
        place, end = first_place[gram], first_place[gram + 1]
        while place < end:
            text = text_of[places[place]]
            longest, tried, back = 0, 0, 0
            best = np.int64(0)
            while place < end and text_of[places[place]] == text:
                there = np.int64(places[place])
                place += 1
                tried += 1
                if covered[text] > last or tried > _MOST_PLACES:
                    continue
                bounds = (first_word[text], first_word[text + 1])
                forward = _forward(words, here, texts, there, bounds[1], kept)
                if forward < n:  # another n-gram of the same hash
                    continue
                backward = _backward(words, here, texts, there, bounds[0], kept)
                if forward + backward > longest:
                    longest, best, back = forward + backward, there, backward
            if longest:
                if count < found.shape[0]:
                    found[count, 0] = text
                    found[count, 1] = here - back
                    found[count, 2] = best - back - first_word[text]
                    found[count, 3] = longest
                count += 1
                covered[text] = here - back + longest
    return count


@njit(cache=True, nogil=True)
def _forward(words, here, texts, there, end, kept):  # type: ignore[no-untyped-def]  # noqa: PLR0917  # see _hits
    """Return how many words are the same from `here` and `there` on."""
    data, starts, ends = words
    other, begins, finishes = texts[0], texts[1], texts[2]
    count = 0
    while here + count < starts.size and there + count < end:
        one, two = here + count, there + count
        if not same(data, starts[one], ends[one], other, begins[two], finishes[two], kept):
            break
        count += 1
    return count


@njit(cache=True, nogil=True)
def _backward(words, here, texts, there, first, kept):  # type: ignore[no-untyped-def]  # noqa: PLR0917  # see _hits
    """Return how many words are the same before `here` and `there`."""
    data, starts, ends = words
    other, begins, finishes = texts[0], texts[1], texts[2]
    count = 0
    while here - count > 0 and there - count > first:
        one, two = here - count - 1, there - count - 1
        if not same(data, starts[one], ends[one], other, begins[two], finishes[two], kept):
            break
        count += 1
    return count
