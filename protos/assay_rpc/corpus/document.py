"""A document of a corpus, as programs take it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Document:
    """One document.

    `text` may have lone surrogates, which JSON allows; `text_bytes` has three bytes for each
    (WTF-8). `id` is "<shard>:<line>"; `line` and `frame` count from 0 in the shard, and `frame` is
    None if the shard has no index. `meta_json` is the record's "meta" as JSON, empty if it has
    none.
    """

    text: str
    subset: str
    id: str
    shard: str
    line: int
    frame: int | None = None
    meta_json: bytes = b""

    @property
    def meta(self) -> Any:
        """The record's "meta", parsed; None if it has none."""
        if not self.meta_json:
            return None
        return json.loads(self.meta_json.decode("utf-8", "surrogatepass"))

    @property
    def text_bytes(self) -> bytes:
        """The text in UTF-8, as the corpus has it."""
        return self.text.encode("utf-8", "surrogatepass")
