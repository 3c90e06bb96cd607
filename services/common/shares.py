"""Work that several processes share without a word between them: each knows which part is its own.

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
    """Every `count`-th piece of work from `number` on."""

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
        """Return those of numbered tasks that are this share's."""
        return [task for task in tasks if task % self.count == self.number]

    def has(self, name: str) -> bool:
        """Whether what has this name is this share's, whatever else there is."""
        return zlib.crc32(name.encode("utf-8", "surrogateescape")) % self.count == self.number
