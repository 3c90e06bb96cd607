r"""GPT-2's pieces of texts, each looked up in a table of known pieces. Numba.

A byte-level BPE cuts a text into pieces, and then each piece into tokens separately:

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

Kernels work on UTF-8, which must be valid. A table from the caller says what each character is: a
letter, a number or white space.
"""

from __future__ import annotations

import numpy as np
from numba import njit

OTHER, LETTER, NUMBER, SPACE, UNKNOWN = range(5)
CODE_POINTS = 0x110000

MOST_PIECES = 1 << 18
"""Pieces that a table holds."""
LONGEST = 1 << 8
"""Bytes of the longest piece that a table holds."""
TEXT_END = -1
"""Among the numbers of pieces: a text ends."""

DONE, FULL, LONG = range(3)

_ARENA_BYTES = 4 << 20
_OFFSET = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_SHIFT = np.uint64(32)

_BLANK, _APOSTROPHE = ord(" "), ord("'")
_S, _T, _M, _D, _L, _R, _V, _E = (ord(letter) for letter in "stmdlrve")


class Table:
    """Pieces by their bytes, numbered as they were met; `used` has how many, and bytes of them."""

    def __init__(self, most: int = MOST_PIECES, arena_bytes: int = _ARENA_BYTES) -> None:
        """Hold `most` pieces, of `arena_bytes` together."""
        self.slots = np.full(1 << (2 * most).bit_length(), -1, np.int32)
        self.starts = np.zeros(most + 1, np.int64)
        self.hashes = np.zeros(most, np.uint64)
        self.arena = np.zeros(arena_bytes, np.uint8)
        self.used = np.zeros(2, np.int64)

    def clear(self) -> None:
        """Forget all pieces."""
        self.slots.fill(-1)
        self.used.fill(0)


@njit(cache=True, nogil=True)
def _character(data, at):  # type: ignore[no-untyped-def]
    """Return the code point at a place of valid UTF-8, and the bytes that it takes."""
    first = np.int64(data[at])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | np.int64(data[at + 1]) & 0x3F, 2
    if first < 0xF0:
        high = (first & 0x0F) << 12 | (np.int64(data[at + 1]) & 0x3F) << 6
        return high | np.int64(data[at + 2]) & 0x3F, 3
    high = (first & 0x07) << 18 | (np.int64(data[at + 1]) & 0x3F) << 12
    return high | (np.int64(data[at + 2]) & 0x3F) << 6 | np.int64(data[at + 3]) & 0x3F, 4


@njit(cache=True, nogil=True)
def unknown(data, classes, found):  # type: ignore[no-untyped-def]
    """Put the code points whose class is not known into `found`, each once; return how many.

    They are then known as `OTHER`. No more are looked for once `found` is full.
    """
    at = count = 0
    while at < data.size and count < found.size:
        code, size = _character(data, at)
        if classes[code] == UNKNOWN:
            classes[code] = OTHER
            found[count] = code
            count += 1
        at += size
    return count


@njit(cache=True, nogil=True)
def _run(data, at, end, wanted, classes):  # type: ignore[no-untyped-def]
    """Return where a run of characters of one class ends."""
    while at < end:
        code, size = _character(data, at)
        if classes[code] != wanted:
            break
        at += size
    return at


@njit(cache=True, nogil=True)
def _contraction(data, at, end):  # type: ignore[no-untyped-def]
    """Return the bytes of 's, 't, 're, 've, 'm, 'll or 'd at a place, or 0."""
    if at + 1 < end:
        first = data[at + 1]
        if first in (_S, _T, _M, _D):  # numba has no sets of these
            return 2
        if at + 2 < end:
            second = data[at + 2]
            if first == _L and second == _L:
                return 3
            if second == _E and first in (_R, _V):
                return 3
    return 0


@njit(cache=True, nogil=True)
def _piece_end(data, at, end, classes):  # type: ignore[no-untyped-def]
    """Return where the piece at a place of a text ends."""
    if data[at] == _APOSTROPHE:
        size = _contraction(data, at, end)
        if size:
            return at + size
    code, size = _character(data, at)
    kind = classes[code]
    if kind != SPACE:
        return _run(data, at + size, end, kind, classes)
    if data[at] == _BLANK and at + 1 < end:
        code, more = _character(data, at + 1)
        if classes[code] != SPACE:
            return _run(data, at + 1 + more, end, classes[code], classes)
    last, behind = at, at + size
    while behind < end:
        code, size = _character(data, behind)
        if classes[code] != SPACE:
            break
        last, behind = behind, behind + size
    # The last one belongs to what follows, unless it is alone or nothing follows.
    return behind if behind == end or last == at else last


@njit(cache=True, nogil=True)
def _number(data, at, end, slots, starts, hashes, arena, used):  # type: ignore[no-untyped-def]  # noqa: PLR0917  # numba has no keywords to spare
    """Return the number of a piece, a new one if it was not met before; -1 where none is left."""
    value = _OFFSET
    for place in range(at, end):
        value = (value ^ np.uint64(data[place])) * _PRIME
    value ^= value >> _SHIFT
    slot = np.int64(value) & (slots.size - 1)
    while slots[slot] >= 0:
        number = slots[slot]
        if hashes[number] == value and starts[number + 1] - starts[number] == end - at:
            begin, same = starts[number], True
            for place in range(end - at):
                if arena[begin + place] != data[at + place]:
                    same = False
                    break
            if same:
                return number
        slot = (slot + 1) & (slots.size - 1)
    number = used[0]
    if number == hashes.size or used[1] + end - at > arena.size:
        return -1
    arena[used[1] : used[1] + end - at] = data[at:end]
    starts[number] = used[1]
    used[0] += 1
    used[1] += end - at
    starts[number + 1] = used[1]
    hashes[number] = value
    slots[slot] = number
    return number


@njit(cache=True, nogil=True)
def scan(data, at, ends, text, classes, slots, starts, hashes, arena, used, pieces):  # type: ignore[no-untyped-def]  # noqa: PLR0917  # numba has no keywords to spare
    """Number the pieces of texts that lie one behind the other in `data` and end at `ends`.

    Begins at the byte `at` of the text `text`. Returns why it ended, where, in which text, and how
    many numbers are in `pieces`: DONE; FULL, where the table or `pieces` has no room; or LONG,
    where a piece of more than LONGEST bytes begins.
    """
    count = 0
    while text < ends.size:
        end = ends[text]
        while at < end:
            behind = _piece_end(data, at, end, classes)
            if behind - at > LONGEST:
                return LONG, at, text, count
            if count == pieces.size:
                return FULL, at, text, count
            number = _number(data, at, behind, slots, starts, hashes, arena, used)
            if number < 0:
                return FULL, at, text, count
            pieces[count] = number
            count += 1
            at = behind
        if count == pieces.size:
            return FULL, at, text, count
        pieces[count] = TEXT_END
        count += 1
        text += 1
    return DONE, at, text, count


@njit(cache=True, nogil=True)
def piece_end(data, at, end, classes):  # type: ignore[no-untyped-def]
    """Return where the piece at a place of a text that ends at `end` ends."""
    return _piece_end(data, at, end, classes)


@njit(cache=True, nogil=True)
def expand(pieces, firsts, tokens):  # type: ignore[no-untyped-def]
    """Return the tokens of numbered pieces, and how many there are before each end of a text.

    Those of piece n are `tokens[firsts[n]:firsts[n + 1]]`.
    """
    size = texts = 0
    for number in pieces:
        if number == TEXT_END:
            texts += 1
        else:
            size += firsts[number + 1] - firsts[number]
    ids, ends = np.empty(size, np.uint32), np.empty(texts, np.int64)
    at = text = 0
    for number in pieces:
        if number == TEXT_END:
            ends[text] = at
            text += 1
        else:
            for place in range(firsts[number], firsts[number + 1]):
                ids[at] = tokens[place]
                at += 1
    return ids, ends
