"""Work split among several processes without communication: each process knows its own part.

Pure.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from services.errors import InvalidArgument


@dataclass(frozen=True)
class Share:
    """Every `count`-th piece of work, starting at `number`."""

    number: int = 0
    count: int = 1

    @classmethod
    def of(cls, text: str) -> Share:
        """Parse "I/N" with 0 <= I < N. Raises InvalidArgument."""
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if match is None or not int(match[1]) < int(match[2]):
            raise InvalidArgument("--share", f"{text} is not I/N with I from 0 to N - 1")
        return cls(int(match[1]), int(match[2]))

    def of_tasks(self, tasks: Sequence[int]) -> list[int]:
        """Return the tasks, by number, that belong to this share."""
        return [task for task in tasks if task % self.count == self.number]

    def has(self, name: str) -> bool:
        """Whether the thing of this name belongs to this share, whatever other things exist."""
        return zlib.crc32(name.encode("utf-8", "surrogateescape")) % self.count == self.number
