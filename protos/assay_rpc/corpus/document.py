"""A document of a corpus, as programs take it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """One document.

    `text` may hold lone surrogates, which JSON can spell: `text_bytes` has them as three bytes each
    (WTF-8). `id` is "<shard>:<line>"; `line` and `frame` count from 0 in the shard, and `frame` is
    None where the shard has no index.
    """

    text: str
    subset: str
    id: str
    shard: str
    line: int
    frame: int | None = None

    @property
    def text_bytes(self) -> bytes:
        """The text in UTF-8, as the corpus has it."""
        return self.text.encode("utf-8", "surrogatepass")
