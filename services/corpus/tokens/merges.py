"""The merges of a byte-level BPE, applied to pieces of text. Numba.

Of a piece's bytes, the pair that was merged first in training is merged first, the leftmost of
equal ones, until no pair is left that was merged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_NONE = np.int32(1 << 30)
_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


@dataclass(frozen=True)
class Merges:
    """`first` has the token of each byte, (256,); pairs lie in an open table of three arrays."""

    first: NDArray[np.uint32]
    pairs: NDArray[np.uint64]
    ranks: NDArray[np.int32]
    merged: NDArray[np.uint32]

    @classmethod
    def of(cls, vocabulary: Mapping[str, int], merges: Sequence[Any]) -> Merges | None:
        """Take those of a tokenizer.json; None where a byte or a merged pair has no token."""
        spelled = [pair.split(" ") if isinstance(pair, str) else pair for pair in merges]
        try:
            first = np.array([vocabulary[one] for one in _spellings_of_bytes()], np.uint32)
            rows = [
                (vocabulary[left] << 32 | vocabulary[right], vocabulary[left + right])
                for left, right in spelled
            ]
        except (KeyError, ValueError):
            return None
        slots = 1 << max(4, (2 * len(rows)).bit_length())
        table = cls(
            first,
            np.full(slots, _EMPTY, np.uint64),
            np.full(slots, _NONE, np.int32),
            np.zeros(slots, np.uint32),
        )
        _insert(
            np.array([pair for pair, _ in rows], np.uint64),
            np.array([token for _, token in rows], np.uint32),
            table.pairs,
            table.ranks,
            table.merged,
        )
        return table


def _spellings_of_bytes() -> list[str]:
    """How GPT-2 spells each byte in its vocabulary: printable ones as they are."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


@njit(cache=True, nogil=True)
def _slot(pair, pairs):  # type: ignore[no-untyped-def]
    """Return where a pair is, or would be."""
    value = pair * _MIX
    slot = np.int64((value ^ value >> _HALF) & np.uint64(pairs.size - 1))
    while pairs[slot] != pair and pairs[slot] != _EMPTY:  # numba
        slot = (slot + 1) & (pairs.size - 1)
    return slot


@njit(cache=True, nogil=True)
def _insert(added, tokens, pairs, ranks, merged):  # type: ignore[no-untyped-def]
    for rank in range(added.size):
        slot = _slot(added[rank], pairs)
        pairs[slot], ranks[slot], merged[slot] = added[rank], rank, tokens[rank]


@njit(cache=True, nogil=True)
def cut(arena, starts, known, last, first, pairs, ranks, merged, firsts, tokens):  # type: ignore[no-untyped-def]  # noqa: PLR0917  # numba has no keywords to spare
    """Cut the pieces `known` to `last`, which lie in `arena` from `starts` on.

    Tokens of piece n become `tokens[firsts[n]:firsts[n + 1]]`; there are as many as bytes at most.
    """
    at = firsts[known]
    for number in range(known, last):
        begin, size = starts[number], starts[number + 1] - starts[number]
        ids, slots = np.empty(size, np.uint32), np.empty(size, np.int64)
        for place in range(size):
            ids[place] = first[arena[begin + place]]
        for place in range(size - 1):
            slots[place] = _slot(np.uint64(ids[place]) << _HALF | np.uint64(ids[place + 1]), pairs)
        while size > 1:
            best = 0
            for place in range(1, size - 1):
                if ranks[slots[place]] < ranks[slots[best]]:
                    best = place
            if ranks[slots[best]] == _NONE:
                break
            ids[best] = merged[slots[best]]
            for place in range(best + 1, size - 1):
                ids[place] = ids[place + 1]
                slots[place] = slots[place + 1]
            size -= 1
            for place in range(max(0, best - 1), min(best + 1, size - 1)):
                pair = np.uint64(ids[place]) << _HALF | np.uint64(ids[place + 1])
                slots[place] = _slot(pair, pairs)
        tokens[at : at + size] = ids[:size]
        at += size
        firsts[number + 1] = at
