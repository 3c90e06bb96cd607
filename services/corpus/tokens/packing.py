"""Which pieces of documents share a sequence.

A document is here its number of tokens, its separator included. A piece is (document, the token of
it that it begins with, tokens).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeAlias

Piece: TypeAlias = tuple[int, int, int]


def concatenated(ends: Sequence[int], first: int, last: int) -> list[Piece]:
    """Cut the tokens `first` to `last` out of documents that end at `ends`, one after the other."""
    pieces: list[Piece] = []
    document = bisect_right(ends, first)
    begin = ends[document - 1] if document else 0
    while first < last:
        end = ends[document]
        size = min(last, end) - first
        if size:
            pieces.append((document, first - begin, size))
        first += size
        begin = end
        document += 1
    return pieces


def best_fit(counts: Sequence[int], length: int) -> list[list[Piece]]:
    """Pack documents into sequences of `length` tokens, of which at most one is not full.

    Documents of more than `length` are cut every `length` tokens. What is left of them, and the
    others, go whole into the sequence that they fill best, the longest first. What then stays open
    is filled from the emptiest sequences, whose documents are cut for it. Best fit after Ding et
    al. 2024, "Fewer Truncations Improve Language Modeling". Sequences come in the order of their
    first document.
    """
    sequences: list[list[Piece]] = []
    rest: list[Piece] = []
    for document, count in enumerate(counts):
        whole = count // length * length
        sequences += [[(document, offset, length)] for offset in range(0, whole, length)]
        if count > whole:
            rest.append((document, whole, count - whole))
    rest.sort(key=lambda piece: (-piece[2], piece[0]))
    by_room: list[list[int]] = [[] for _ in range(length + 1)]
    rooms = 0  # bit r: a sequence has room for r more
    packed: list[list[Piece]] = []
    for piece in rest:
        size = piece[2]
        enough = rooms >> size
        if enough:
            room = (enough & -enough).bit_length() - 1 + size
            number = by_room[room].pop()
            if not by_room[room]:
                rooms ^= 1 << room
        else:
            room, number = length, len(packed)
            packed.append([])
        packed[number].append(piece)
        room -= size
        if room:
            by_room[room].append(number)
            rooms |= 1 << room
    _fill([(room, number) for room in range(length + 1) for number in by_room[room]], packed)
    sequences += [pieces for pieces in packed if pieces]
    sequences.sort(key=min)
    return sequences


def _fill(open_ones: list[tuple[int, int]], packed: list[list[Piece]]) -> None:
    """Fill the sequences that have room, given by it ascending, from those that have most."""
    first, last = 0, len(open_ones) - 1
    room = open_ones[0][0] if open_ones else 0
    while first < last:
        receiver, donor = packed[open_ones[first][1]], packed[open_ones[last][1]]
        document, offset, size = donor.pop()
        taken = min(room, size)
        receiver.append((document, offset, taken))
        if taken < size:
            donor.append((document, offset + taken, size - taken))
        room -= taken
        if not donor:
            last -= 1
        if not room:
            first += 1
            room = open_ones[first][0]
