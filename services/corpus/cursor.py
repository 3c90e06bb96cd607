"""A place in a stream as bytes that a client keeps and gives back.

    "assay-cursor" 0x00 | JSON | CRC-32 of what precedes, 4 bytes, big-endian

The JSON says its version, the digests of the corpus and of each part of the selection that the
place belongs to, and the place. The server remembers nothing, so that any replica, or the same one
after a restart, can go on from it. One place has one spelling: other spellings are refused, so a
version that adds something (a seed, an epoch, a world size) can't be misread by this one.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from services.errors import InvalidArgument, PreconditionFailed

VERSION = 1

_PREFIX = b"assay-cursor\x00"
_CHECKSUM_BYTES = 4
# A cursor of this version is about 400 bytes; a shard's path is what can be longer.
_MAX_BYTES = 8192
_MAX_COUNT = (1 << 63) - 1
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PART_DIGEST = re.compile(r"[0-9a-f]{16}")
_PARTS = ("splits", "subsets", "limits")


@dataclass(frozen=True, slots=True)
class Position:
    """The next line to read, and what the selection's limits have already been charged.

    `documents` and `text_bytes` count what was delivered before; `text_bytes` is 0 where the
    selection has no limit in bytes.
    """

    shard: str
    line: int
    documents: int
    text_bytes: int


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

        Raises InvalidArgument when `cursor` is not one; PreconditionFailed when it is one of
        another version, corpus or selection, naming what differs.
        """
        corpus, selection, position = _decode(cursor)
        if corpus != self._corpus:
            raise PreconditionFailed(
                f"cursor: belongs to a corpus with digest {corpus}, and this one is "
                f"{self._corpus}; start over without a cursor"
            )
        for part in _PARTS:
            if selection[part] != self._selection[part]:
                raise PreconditionFailed(
                    f"cursor: belongs to a selection with other {part}; repeat the selection "
                    "that it came from, or start over without a cursor"
                )
        return position


def _encode(corpus: str, selection: Mapping[str, str], position: Position) -> bytes:
    fields = {
        "version": VERSION,
        "corpus": corpus,
        "selection": {part: selection[part] for part in _PARTS},
        "shard": position.shard,
        "line": position.line,
        "documents": position.documents,
        "text_bytes": position.text_bytes,
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
        raise PreconditionFailed(
            f"cursor: is of version {str(version)[:20]}, and this server reads version {VERSION}; "
            "start over without a cursor"
        )
    try:
        selection = {part: _match(_PART_DIGEST, fields["selection"][part]) for part in _PARTS}
        position = Position(
            shard=_match(re.compile(r".+"), fields["shard"]),
            line=_count(fields["line"]),
            documents=_count(fields["documents"]),
            text_bytes=_count(fields["text_bytes"]),
        )
        corpus = _match(_DIGEST, fields["corpus"])
    except (KeyError, TypeError, ValueError):
        raise _malformed("lacks a field or has one out of range") from None
    if _encode(corpus, selection, position) != cursor:
        raise _malformed("is spelled in another way than this service does")
    return corpus, selection, position


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
