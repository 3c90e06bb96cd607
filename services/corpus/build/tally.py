"""What each step got and gave, by source and subset: documents, bytes of text, texts changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

READ = -1
"""The number of the step before all others: reading the sources."""


@dataclass(slots=True)
class Count:
    """Documents and bytes of UTF-8 that went in and came out; how many texts were changed."""

    documents_in: int = 0
    bytes_in: int = 0
    documents_out: int = 0
    bytes_out: int = 0
    changed: int = 0

    def add(self, other: Count) -> None:
        """Add another count."""
        self.documents_in += other.documents_in
        self.bytes_in += other.bytes_in
        self.documents_out += other.documents_out
        self.bytes_out += other.bytes_out
        self.changed += other.changed


Key = tuple[int, int, str]
"""Step, source, subset."""


class Tally:
    """Counts by step, source and subset."""

    def __init__(self) -> None:
        self.counts: dict[Key, Count] = {}

    def of(self, step: int, source: int, subset: str) -> Count:
        """Return the count of a step, a source and a subset."""
        return self.counts.setdefault((step, source, subset), Count())

    def add(self, other: Tally) -> None:
        """Add another tally."""
        for key, count in other.counts.items():
            self.of(*key).add(count)

    def rows(self) -> list[dict[str, Any]]:
        """Return the counts as JSON, in order."""
        return [
            {"step": step, "source": source, "subset": subset, **asdict(count)}
            for (step, source, subset), count in sorted(self.counts.items())
        ]

    @classmethod
    def of_rows(cls, rows: Iterable[Mapping[str, Any]]) -> Tally:
        """Read what `rows` returned."""
        tally = cls()
        for row in rows:
            counts = dict(row)
            key = (counts.pop("step"), counts.pop("source"), counts.pop("subset"))
            tally.of(*key).add(Count(**counts))
        return tally
