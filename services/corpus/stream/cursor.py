"""The position of a stream as bytes that a client keeps and returns to resume.

    "assay-cursor" 0x00 | JSON | CRC-32 of what precedes, 4 bytes, big-endian

The JSON has its version, the digests of the corpus and of each part of the selection, and the
position: a line of a shard, or, where the shards have an index, the units that a rank has left. The
server remembers nothing, so any replica resumes from a cursor, before and after a restart. A
position has exactly one spelling and others are refused, so this version can't misread a later one.
"""

from __future__ import annotations

import itertools
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from services.corpus.stream.global_batches import TokenPosition
from services.corpus.stream.resume import MAX_WORLD_SIZE, RankPosition
from services.corpus.stream.spans import SpanPosition
from services.errors import CursorMismatch, InvalidArgument

VERSION = 2

_PREFIX = b"assay-cursor\x00"
_CHECKSUM_BYTES = 4
# A cursor is about 400 bytes. A shard's path can be longer, and so can the list of units that a
# rank was left with when the number of ranks changed: about ten bytes each.
_MAX_BYTES = 1 << 20
_MAX_COUNT = (1 << 63) - 1
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PART_DIGEST = re.compile(r"[0-9a-f]{16}")
_SHARD = re.compile(r".+", re.DOTALL)  # a file's name may have line breaks
_PARTS = ("splits", "subsets", "limits", "order")


@dataclass(frozen=True, slots=True)
class LinePosition:
    """The next line to read of a shard, and what counts against the selection's limits so far.

    `documents` and `text_bytes` are those delivered before; `text_bytes` is 0 where the selection
    has no limit in bytes.
    """

    shard: str
    line: int
    documents: int
    text_bytes: int


Position: TypeAlias = LinePosition | RankPosition | SpanPosition | TokenPosition


class CursorCodec:
    """Writes and reads the cursors of one corpus and one selection."""

    def __init__(self, corpus_digest: str, selection_digests: Mapping[str, str]) -> None:
        self._corpus = corpus_digest
        self._selection = {part: selection_digests[part] for part in _PARTS}

    def encode(self, position: Position) -> bytes:
        """Spell a position."""
        return _encode(self._corpus, self._selection, position)

    def decode(self, cursor: bytes) -> Position:
        """Read a position.

        Raises InvalidArgument when `cursor` is not one; CursorMismatch when it is one of
        another version, corpus or selection, naming what differs.
        """
        corpus, selection, position = _decode(cursor)
        if corpus != self._corpus:
            raise CursorMismatch(
                f"cursor: belongs to a corpus with digest {corpus}, and this one is "
                f"{self._corpus}; start over without a cursor"
            )
        for part in _PARTS:
            if selection[part] != self._selection[part]:
                raise CursorMismatch(
                    f"cursor: belongs to a selection with other {part}; repeat the selection "
                    "that it came from, or start over without a cursor"
                )
        return position


def _encode(corpus: str, selection: Mapping[str, str], position: Position) -> bytes:
    spelled: dict[str, object]
    if isinstance(position, RankPosition):
        spelled = {
            "pieces": position.pieces,
            "next": position.next,
            "stride": position.stride,
            "rank": position.rank,
        }
    elif isinstance(position, SpanPosition):
        spelled = {"spans": position.spans, "stride": position.stride, "rank": position.rank}
    elif isinstance(position, TokenPosition):
        spelled = {
            "tokens": position.options,
            "begun": position.begun,
            "next": position.next,
            "world_size": position.world_size,
            "rank": position.rank,
            "taken": position.taken,
        }
    else:
        spelled = {
            "shard": position.shard,
            "line": position.line,
            "documents": position.documents,
            "text_bytes": position.text_bytes,
        }
    fields = {
        "version": VERSION,
        "corpus": corpus,
        "selection": {part: selection[part] for part in _PARTS},
        **spelled,
    }
    body = _PREFIX + json.dumps(fields, separators=(",", ":")).encode()
    return body + zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big")


def _decode(cursor: bytes) -> tuple[str, dict[str, str], Position]:
    body, checksum = cursor[:-_CHECKSUM_BYTES], cursor[-_CHECKSUM_BYTES:]
    if len(cursor) > _MAX_BYTES or not body.startswith(_PREFIX):
        raise _malformed("is not a cursor of this service")
    if zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big") != checksum:
        raise _malformed("its checksum is off, so it was cut or changed on the way")
    try:
        fields = json.loads(body[len(_PREFIX) :].decode("ascii"))
    except (ValueError, RecursionError):
        raise _malformed("holds no JSON") from None
    if not isinstance(fields, dict):
        raise _malformed("holds no JSON object")
    version = fields.get("version")
    if version != VERSION:
        raise CursorMismatch(
            f"cursor: has version {str(version)[:20]}, and this server reads version {VERSION}; "
            "start over without a cursor"
        )
    try:
        selection = {part: _match(_PART_DIGEST, fields["selection"][part]) for part in _PARTS}
        position = _position(fields)
        corpus = _match(_DIGEST, fields["corpus"])
    except (KeyError, TypeError, ValueError):
        raise _malformed("lacks a field or has one out of range") from None
    if _encode(corpus, selection, position) != cursor:
        raise _malformed("is spelled in another way than this service does")
    return corpus, selection, position


def _position(fields: Mapping[str, object]) -> Position:
    if "tokens" in fields:
        return _token_position(fields)
    if "spans" in fields:
        return _span_position(fields)
    return _rank_position(fields) if "stride" in fields else _line_position(fields)


def _token_position(fields: Mapping[str, object]) -> TokenPosition:
    position = TokenPosition(
        options=_match(_PART_DIGEST, fields["tokens"]),
        begun=_spans(fields["begun"]),
        next=_count(fields["next"]),
        world_size=_count(fields["world_size"]),
        rank=_count(fields["rank"]),
        taken=_count(fields["taken"]),
    )
    if not position.rank < position.world_size <= MAX_WORLD_SIZE:
        raise ValueError
    return position


def _span_position(fields: Mapping[str, object]) -> SpanPosition:
    stride, rank = _count(fields["stride"]), _count(fields["rank"])
    if not rank < stride <= MAX_WORLD_SIZE:
        raise ValueError
    return SpanPosition(_spans(fields["spans"]), stride, rank)


def _spans(spelled: object) -> tuple[tuple[int, int], ...]:
    if not isinstance(spelled, list):
        raise ValueError  # noqa: TRY004  each is one kind of malformed cursor
    spans = tuple((_count(begin), _count(end)) for begin, end in spelled)
    if not all(begin < end for begin, end in spans):
        raise ValueError
    return spans


def _line_position(fields: Mapping[str, object]) -> LinePosition:
    return LinePosition(
        shard=_match(_SHARD, fields["shard"]),
        line=_count(fields["line"]),
        documents=_count(fields["documents"]),
        text_bytes=_count(fields["text_bytes"]),
    )


def _rank_position(fields: Mapping[str, object]) -> RankPosition:
    spelled = fields["pieces"]
    if not isinstance(spelled, list):
        raise ValueError  # noqa: TRY004  each is one kind of malformed cursor
    pieces = tuple((_count(unit), _count(taken)) for unit, taken in spelled)
    position = RankPosition(
        pieces, _count(fields["next"]), _count(fields["stride"]), _count(fields["rank"])
    )
    units = [unit for unit, _ in pieces]
    ascending = all(one < other for one, other in itertools.pairwise([*units, position.next]))
    if not (ascending and position.rank < position.stride <= MAX_WORLD_SIZE):
        raise ValueError
    return position


def _match(pattern: re.Pattern[str], value: object) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_COUNT:
        raise ValueError
    return value


def _malformed(problem: str) -> InvalidArgument:
    return InvalidArgument(
        "cursor", f"{problem}; pass the bytes of a chunk's cursor unchanged, or none"
    )
