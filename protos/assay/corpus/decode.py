"""Turns the chunks of StreamCorpus into documents, whichever way they were delivered."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any

from assay.corpus.v1 import corpus_pb2 as pb

try:
    import zstandard
except ImportError:
    CAN_DECODE = False
else:
    CAN_DECODE = True

Fields = tuple[bytes, str, str, str, int, int]
"""Text, subset, id, shard, line, frame."""


class Batch:
    """The chunks up to a cursor, put together."""

    def __init__(self) -> None:
        self._frames: list[pb.Frame] = []
        self._order: list[int] = []
        self._documents: list[pb.Document] = []
        self._lines = b""

    def add(self, chunk: pb.StreamCorpusResponse) -> None:
        """Add the next chunk."""
        for frame in chunk.frames.frames:
            if self._frames and self._frames[-1].continues:
                self._frames[-1].data += frame.data
                self._frames[-1].continues = frame.continues
            else:
                self._frames.append(frame)
        self._order.extend(chunk.frames.order)
        for document in chunk.documents.documents:
            if self._documents and self._documents[-1].continues:
                self._documents[-1].text += document.text
                self._documents[-1].continues = document.continues
            else:
                self._documents.append(document)
        self._lines += chunk.jsonl.lines

    def texts(self) -> list[bytes]:
        """Return the texts in their order."""
        found = [one.text for one in self._documents]
        found += [_text(line) for line in self._lines.splitlines()]
        frames = [text for frame in self._frames for text in _texts(frame)]
        return found + ([frames[place] for place in self._order] if self._order else frames)

    def documents(self) -> list[Fields]:
        """Return the documents in their order."""
        found: list[Fields] = [
            (one.text, one.subset, one.id, one.shard, one.line, one.frame)
            for one in self._documents
        ]
        found += [(_text(line), "", "", "", 0, 0) for line in self._lines.splitlines()]
        frames: list[Fields] = []
        for frame in self._frames:
            shard, subset, number = frame.shard, frame.subset, frame.frame
            for line, text in enumerate(_texts(frame), frame.first_line):
                frames.append((text, subset, f"{shard}:{line}", shard, line, number))
        return found + ([frames[place] for place in self._order] if self._order else frames)


def _texts(frame: pb.Frame) -> list[bytes]:
    """Decode a frame's texts. Raises zstandard.ZstdError when it is damaged."""
    data = zstandard.ZstdDecompressor().decompress(frame.data)
    if frame.form == pb.FRAME_FORM_TEXT:
        texts, start = [], 0
        for end in accumulate(frame.text_bytes):
            texts.append(data[start:end])
            start = end
        return texts
    return [_text(line) for line in data.splitlines()]


def _text(line: bytes) -> bytes:
    value: dict[str, Any] = json.loads(line.decode("utf-8", "surrogatepass"))
    return str(value["text"]).encode("utf-8", "surrogatepass")
