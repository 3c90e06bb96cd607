"""The words of a text as contamination is defined over them. Numpy and numba.

The normalisation is that of the Pile's decontamination, which lm-evaluation-harness keeps in
`lm_eval/decontamination/janitor.py`: the letters A to Z become a to z, ASCII punctuation is deleted
(`can't` becomes `cant`; punctuation alone is not a word), and white space, including Unicode's,
separates. Other characters stay unchanged.

Kernels work on UTF-8 and never copy the text: a word is its beginning and end in the original text,
and comparing two words skips deleted characters.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

DELETED = 0
SPACE = 32

Bytes = NDArray[np.uint8]
Places = NDArray[np.uint32]
Hashes = NDArray[np.uint64]


def _kept() -> Bytes:
    """Return what each byte becomes: a letter, `SPACE` or `DELETED`, (256,) uint8."""
    table = np.arange(256, dtype=np.uint8)
    table[ord("A") : ord("Z") + 1] += ord("a") - ord("A")
    table[[ord(character) for character in string.punctuation]] = DELETED
    # What str.split() splits at: tab to carriage return, the separators, space. NUL is a character.
    table[[*range(9, 14), *range(28, 33)]] = SPACE
    return table


KEPT = _kept()
_OFFSET = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_SHIFT = np.uint64(32)


def as_bytes(text: str | bytes) -> Bytes:
    """Return a text's UTF-8 as an array; a lone surrogate is its three bytes."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return np.frombuffer(data, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Words:
    """A text and its words: what `split` returns of each."""

    data: Bytes
    starts: Places
    ends: Places
    hashes: Hashes


def words_of(text: str | bytes) -> Words:
    """Split a text, given as str or as UTF-8. Releases the GIL."""
    data = as_bytes(text)
    return Words(data, *split(data, KEPT))


@njit(cache=True, nogil=True)
def split(data, kept):  # type: ignore[no-untyped-def]
    """Return where the words of a text begin and end, and the hash of each.

    `data` is UTF-8, (bytes,), `kept` the table `KEPT`. The results are uint32, uint32 and uint64 of
    (words,): the first byte kept, one past the last byte kept, and the hash of what is kept.
    """
    size = data.size
    starts = np.empty(size // 2 + 1, dtype=np.uint32)
    ends = np.empty(size // 2 + 1, dtype=np.uint32)
    hashes = np.empty(size // 2 + 1, dtype=np.uint64)
    words = 0
    value = _OFFSET
    begun = False
    at = 0
    while at < size:
        byte = data[at]
        new = kept[byte]
        width = 1
        if byte >= 0xC2:
            gap = _wide_space(data, at)
            if gap:
                new = SPACE
                width = gap
        if new == SPACE:
            if begun:
                hashes[words] = (value ^ (value >> _SHIFT)) * _MIX
                words += 1
                begun = False
                value = _OFFSET
        elif new != DELETED or byte == 0:
            if not begun:
                starts[words] = at
                begun = True
            ends[words] = at + 1
            value = (value ^ np.uint64(new)) * _PRIME
        at += width
    if begun:
        hashes[words] = (value ^ (value >> _SHIFT)) * _MIX
        words += 1
    return starts[:words], ends[:words], hashes[:words]


@njit(cache=True, nogil=True)
def _wide_space(data, at):  # type: ignore[no-untyped-def]
    """Return the bytes of the white space beyond ASCII that begins at `at`, 0 if none does."""
    first = data[at]
    if first == 0xC2:
        nel_or_nbsp = at + 1 < data.size and (data[at + 1] == 0x85) | (data[at + 1] == 0xA0)
        return 2 if nel_or_nbsp else 0
    if first < 0xE1 or first > 0xE3 or at + 2 >= data.size:
        return 0
    code = np.int64(first) << 16 | np.int64(data[at + 1]) << 8 | np.int64(data[at + 2])
    one_of = (code == 0xE19A80) | (code == 0xE280A8) | (code == 0xE280A9) | (code == 0xE280AF)
    one_of |= (code == 0xE2819F) | (code == 0xE38080) | ((code >= 0xE28080) & (code <= 0xE2808A))
    return 3 if one_of else 0


@njit(cache=True, nogil=True)
def same(one, start, end, other, begin, finish, kept):  # type: ignore[no-untyped-def]  # noqa: PLR0917  # numba has no keywords to spare
    """Return whether one[start:end] and other[begin:finish] are the same word."""
    while True:
        while start < end and kept[one[start]] == DELETED and one[start] != 0:
            start += 1
        while begin < finish and kept[other[begin]] == DELETED and other[begin] != 0:
            begin += 1
        if start == end or begin == finish:
            return start == end and begin == finish
        if kept[one[start]] != kept[other[begin]]:
            return False
        start += 1
        begin += 1
