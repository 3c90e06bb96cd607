"""Tokenizes texts with a tokenizer of GPT-2's kind, each piece of text once, for the same tokens.

Pieces repeat: nearly all pieces of a text (words with the blank before them) occurred before, and
their tokens are looked up. The library tokenizes long pieces, and texts for which the result is not
known to be the same.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from services.corpus.tokens import merges, pieces
from services.corpus.tokens.cutter import Cutter, Ids
from services.corpus.tokens.merges import Merges
from services.corpus.tokens.pieces import (
    CODE_POINTS,
    DONE,
    LETTER,
    LONG,
    NUMBER,
    OTHER,
    SPACE,
    UNKNOWN,
    Table,
)

_PIECES = 1 << 18
_UNKNOWN_AT_ONCE = 4096
_OTHER_OPTIONS = (
    "dropout",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "byte_fallback",
    "ignore_merges",
)


def cutter_of(opened: Any, library: Cutter, content: Mapping[str, Any]) -> KnownPieces | None:
    """Return a cutter of a tokenizer that cuts each piece of GPT-2's by itself, by merges alone.

    None for another, by its tokenizer.json. `library` cuts as `opened`, the library's, does.
    """
    model, before = content.get("model") or {}, content.get("pre_tokenizer") or {}
    alike = (
        model.get("type") == "BPE"
        and not any(model.get(option) for option in _OTHER_OPTIONS)
        and content.get("normalizer") is None
        and before.get("type") == "ByteLevel"
        and before.get("add_prefix_space") is False
        and before.get("use_regex", True) is True
    )
    by = Merges.of(model.get("vocab") or {}, model.get("merges") or []) if alike else None
    added = [one["content"] for one in content.get("added_tokens") or []]
    return None if by is None else KnownPieces(opened, library, by, added)


class KnownPieces:
    """A `Cutter`; safe to share between threads, of which one at a time cuts."""

    def __init__(
        self,
        opened: Any,
        library: Cutter,
        by: Merges,
        added: Sequence[str],
        table: Table | None = None,
    ) -> None:
        """Take a tokenizer of the library `tokenizers`, how it cuts, and what its added tokens are.

        `by` are its merges. About 30 MiB.
        """
        self._split = opened.pre_tokenizer.pre_tokenize_str
        self._library, self._merges = library, by
        self._added = [one.encode("utf-8", "surrogatepass") for one in added]
        self._classes = np.full(CODE_POINTS, UNKNOWN, np.uint8)
        self._classes[:128] = [self._class_of(code) for code in range(128)]
        self._table = table or Table()
        # Tokens of the table's pieces, one piece after the other; no more than their bytes.
        self._firsts = np.zeros(len(self._table.starts), np.int64)
        self._tokens = np.zeros(len(self._table.arena), np.uint32)
        self._known = 0
        self._lock = threading.Lock()

    def cut(self, texts: Sequence[bytes]) -> list[Ids]:
        """Cut texts, as `Cutter` says."""
        with self._lock:
            found: list[Ids | None] = [None] * len(texts)
            odd = [number for number, text in enumerate(texts) if self._is_odd(text)]
            for number, ids in zip(
                odd, self._library.cut([texts[number] for number in odd]), strict=True
            ):
                found[number] = ids
            even = [number for number, ids in enumerate(found) if ids is None]
            cut = self._cut([texts[number] for number in even])
            for number, ids in zip(even, cut, strict=True):
                found[number] = ids
            return [ids for ids in found if ids is not None]

    def _is_odd(self, text: bytes) -> bool:
        """Whether a text has an added token, which no piece may cut, or is not UTF-8."""
        if any(one in text for one in self._added):
            return True
        if text.isascii():
            return False
        try:
            text.decode()
        except UnicodeDecodeError:
            return True
        return False

    def _cut(self, texts: Sequence[bytes]) -> list[Ids]:
        data = np.frombuffer(b"".join(texts), np.uint8)
        text_ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
        self._learn(data)
        table, numbers = self._table, np.empty(min(_PIECES, len(data) + len(texts)), np.int32)
        parts, ends = [np.zeros(0, np.uint32)], [0]
        at = text = size = 0
        why = -1
        while why != DONE:
            why, at, text, count = pieces.scan(
                data, at, text_ends, text, self._classes, table.slots, table.starts, table.hashes,
                table.arena, table.used, numbers,
            )  # fmt: skip
            self._fill()
            ids, part_ends = pieces.expand(numbers[:count], self._firsts, self._tokens)
            parts.append(ids)
            ends += (part_ends + size).tolist()
            size += len(ids)
            if why == LONG:
                end = pieces.piece_end(data, at, text_ends[text], self._classes)
                (ids,) = self._library.cut([data[at:end].tobytes()])
                parts.append(ids)
                at, size = end, size + len(ids)
            elif why != DONE and count < len(numbers):
                table.clear()
                self._known = 0
        together = np.concatenate(parts)
        return [together[first:end] for first, end in pairwise(ends)]

    def _fill(self) -> None:
        """Cut the pieces that are new."""
        table, by, last = self._table, self._merges, int(self._table.used[0])
        merges.cut(
            table.arena, table.starts, self._known, last, by.first, by.pairs, by.ranks, by.merged,
            self._firsts, self._tokens,
        )  # fmt: skip
        self._known = last

    def _learn(self, data: Any) -> None:
        """Learn the classes of the characters of texts."""
        found = np.empty(_UNKNOWN_AT_ONCE, np.int64)
        count = _UNKNOWN_AT_ONCE
        while count == _UNKNOWN_AT_ONCE:
            count = pieces.unknown(data, self._classes, found)
            for code in found[:count].tolist():
                self._classes[code] = self._class_of(code)

    def _class_of(self, code: int) -> int:
        """Ask the library's own cutting what a character is, whatever Unicode it was made with."""
        character = chr(code)
        if character == " ":  # which goes with what follows
            return SPACE
        between = [piece for piece, _ in self._split(f"a{character}1")]
        beside = [piece for piece, _ in self._split(f"!{character}!")]
        if len(beside) == 1:
            return OTHER
        if len(between) == 2:  # it went with one of both
            return LETTER if len(between[0]) > 1 else NUMBER
        return SPACE
