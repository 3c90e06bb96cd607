"""An arithmetic coder in whole numbers, after Martin's range coder (1979), with carries.

The range is held in 128 bits and never below 2^120, totals are below 2^63: dividing the range by a
total loses less than 2^-57 of it, so a document of a billion tokens loses less than a bit. The
code ends with the fewest bits that, followed by zeros, lie in the last slice: fewer than one
more than its information.
"""

from __future__ import annotations

from services.corpus.proof.frequencies import Slice

_BITS = 128
_FULL = 1 << _BITS
_MASK = _FULL - 1


def _spare_bytes(width: int) -> int:
    """Return how many whole bytes a range is too narrow by."""
    return (_BITS - width.bit_length()) // 8


class Encoder:
    """Codes slices one after the other."""

    def __init__(self) -> None:
        self._done = bytearray()
        self._low = 0
        self._width = _MASK

    def encode(self, part: Slice) -> None:
        """Narrow the range to a slice."""
        unit = self._width // part.total
        self._low += unit * part.start
        self._width = unit * part.size
        if self._low >= _FULL:
            self._carry()
        count = _spare_bytes(self._width)
        if count:
            self._done += (self._low >> (_BITS - 8 * count)).to_bytes(count, "big")
            self._low = (self._low << 8 * count) & _MASK
            self._width <<= 8 * count

    def _carry(self) -> None:
        self._low -= _FULL
        place = len(self._done) - 1
        while self._done[place] == 0xFF:
            self._done[place] = 0
            place -= 1
        self._done[place] += 1

    def finish(self) -> tuple[bytes, int]:
        """Return the code, filled up with zero bits to whole bytes, and its length in bits."""
        for bits in range(_BITS + 1):
            step = 1 << (_BITS - bits)
            value = -(-self._low // step) * step
            if value < self._low + self._width:
                break
        self._low = value
        if self._low >= _FULL:
            self._carry()
        rest = (self._low >> (_BITS - 8 * -(-bits // 8))).to_bytes(-(-bits // 8), "big")
        return bytes(self._done) + rest, 8 * len(self._done) + bits


class Decoder:
    """Reads what an Encoder wrote. A damaged code gives other places, never an error."""

    def __init__(self, code: bytes) -> None:
        self._code = code
        self._next = _BITS // 8
        self._value = int.from_bytes(code[: self._next].ljust(self._next, b"\0"), "big")
        self._width = _MASK

    def place(self, total: int) -> int:
        """Return a number below `total` that lies in the next slice."""
        return min(self._value // (self._width // total), total - 1)

    def consume(self, part: Slice) -> None:
        """Narrow the range to the slice that `place` lies in."""
        unit = self._width // part.total
        self._value -= unit * part.start
        self._width = unit * part.size
        count = _spare_bytes(self._width)
        if count:
            new = self._code[self._next : self._next + count].ljust(count, b"\0")
            self._next += count
            self._value = (self._value << 8 * count) | int.from_bytes(new, "big")
            self._width <<= 8 * count
