"""Lines of a shard that are not documents: refused, or skipped and reported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.common.percent import percent
from services.corpus.shards.blocks import Block
from services.corpus.shards.foreign import foreign
from services.corpus.shards.formats import Unreadable
from services.errors import DataLoss

MAX_SHARE = 0.01
"""Most bad lines that are passed over, of a shard's lines; `FREE` are passed over in any case."""
FREE = 100
_FREE_BYTES = 64 << 10
_KEPT = 1000
_WAY_OUT = "--skip-bad-lines of index and stream"


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not a document. `line` counts from 0 in `shard`.

    `offset` is the compressed byte up to which the shard was read; where the line itself begins is
    in `reason`, if it is known. `rest` says that the shard cannot be read from there on.
    """

    shard: str
    line: int
    offset: int
    reason: str
    rest: bool = False


class BadLines:
    """The bad lines of one shard: the first raises DataLoss, or with `skip` each is counted.

    Lines of white space are no documents and no bad lines either. With `skip`, more than FREE and
    MAX_SHARE of the lines read so far raise DataLoss all the same.
    """

    def __init__(self, shard: str, *, skip: bool, size: int | None = None) -> None:
        """`size` is that of the file in bytes, where it is known."""
        self._shard, self._skip, self._size = shard, skip, size
        self.count = 0
        self.kept: list[BadLine] = []
        """The first thousand."""
        self._new: list[BadLine] = []

    def met(self, block: Block, number: int, raw: bytes, error: ValueError) -> None:
        """Line `number` of a block cannot be parsed. Raises DataLoss as the class says."""
        reason = block.bad.get(number)
        if reason is None:
            if not raw or raw.isspace():
                return
            reason = str(error)
        if number == 0 and (other := foreign(raw, self._shard)):  # no line of it is one
            raise Unreadable(self._shard, block.offset, f"{other},")
        place = block.place(number)
        where = "" if place is None else f", at byte {place} of its lines"
        if not self._skip:
            hint = ""
            if reason.startswith('has no "'):
                hint = "; --text-key names the member with the text"
            problem = f"line {number} {reason} ({_WAY_OUT} passes over it{hint}){where},"
            raise DataLoss(self._shard, block.offset, problem)
        self._add(BadLine(self._shard, number, block.offset, f"{reason}{where}"))
        if self.count > max(FREE, MAX_SHARE * (number + 1)):
            problem = (
                f"{self.count} of the first {number + 1} lines are not documents, which is more "
                f"than {percent(MAX_SHARE)} and more than --skip-bad-lines allows; the last: "
                f"{reason},"
            )
            raise DataLoss(self._shard, block.offset, problem)

    def ended(self, line: int, error: DataLoss) -> None:
        """The shard cannot be read from `line` on. Raises DataLoss unless that is skipped.

        What is not damage (a file that cannot be opened, a window that is not allowed) is raised in
        any case, and so is damage before the first line, or before more than MAX_SHARE of the file.
        """
        problem = error.problem.rstrip(",")
        if isinstance(error, Unreadable):
            raise error
        if not self._skip:
            if not line:
                raise DataLoss(error.shard, error.offset, error.problem) from None
            way_out = f"{problem} behind line {line} ({_WAY_OUT} takes what is before),"
            raise DataLoss(error.shard, error.offset, way_out) from None
        lost = 0 if self._size is None else self._size - error.offset
        if not line or lost > max(_FREE_BYTES, MAX_SHARE * (self._size or 0)):
            what = f"the {lost:,} bytes behind it" if line else "all of it"
            told = f"{problem}; {what} would be lost, which --skip-bad-lines does not skip,"
            raise DataLoss(error.shard, error.offset, told) from None
        reason = f"{problem}; nothing behind it was read"
        self._add(BadLine(self._shard, line, error.offset, reason, rest=True))

    def take(self) -> tuple[BadLine, ...]:
        """Return those that were met since the last call."""
        if not self._new:
            return ()
        found, self._new = tuple(self._new), []
        return found

    def readable(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Yield the blocks of the shard as far as it can be read."""
        line = 0
        try:
            for block in blocks:
                yield block
                line = block.first_line + block.lines
        except DataLoss as error:
            self.ended(line, error)

    def _add(self, line: BadLine) -> None:
        self.count += 1
        self._new.append(line)
        if len(self.kept) < _KEPT:
            self.kept.append(line)
