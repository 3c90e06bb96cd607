"""Turns the chunks of StreamCorpus into documents, whichever way they were delivered."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any

import grpc

from assay_rpc.corpus._sequence import TokenSequence, sequences_of
from assay_rpc.corpus.v1 import stream_pb2
from assay_rpc.errors import DataLoss

try:
    import zstandard
except ImportError:
    CAN_DECODE = False
else:
    CAN_DECODE = True

Fields = tuple[bytes, str, str, str, int, int | None, bytes]
"""Text, subset, id, shard, line, frame, meta."""
Decoder = Callable[[bytes, stream_pb2.Frame], bytes]
"""Decompresses the data of a frame."""


class Batch:
    """The chunks up to a cursor, put together."""

    def __init__(self) -> None:
        self._frames: list[stream_pb2.Frame] = []
        self._parts: list[bytes] = []  # of the last frame, which the next chunk continues
        self._contents: list[bytes] = []
        self._order: list[int] = []
        self._documents: list[stream_pb2.Document] = []
        self._lines: list[bytes] = []
        self._tokens: list[stream_pb2.TokenBatch] = []
        self.damaged: list[stream_pb2.DamagedFrame] = []
        self.bad_lines: list[stream_pb2.BadLine] = []

    def add(self, chunk: stream_pb2.StreamCorpusResponse, decode: Decoder) -> None:
        """Add the next chunk. Raises what `decode` raises for a damaged frame."""
        for frame in chunk.frames.frames:
            if not self._parts:
                self._frames.append(frame)
            self._parts.append(frame.data)
            if not frame.continues:
                self._contents.append(decode(b"".join(self._parts), self._frames[-1]))
                self._parts = []
        self._order.extend(chunk.frames.order)
        self.damaged.extend(chunk.damaged)
        self.bad_lines.extend(chunk.bad_lines)
        for document in chunk.documents.documents:
            if self._documents and self._documents[-1].continues:
                self._documents[-1].text += document.text
                self._documents[-1].continues = document.continues
            else:
                self._documents.append(document)
        self._lines.append(chunk.jsonl.lines)
        if chunk.WhichOneof("payload") == "tokens":
            self._tokens.append(chunk.tokens)

    def sequences(self) -> Iterator[TokenSequence]:
        """Iterate the sequences of tokens."""
        for batch in self._tokens:
            yield from sequences_of(batch)

    def texts(self) -> list[bytes]:
        """Return the texts in their order."""
        found = [one.text for one in self._documents]
        found += [_text(line) for line in _lines(b"".join(self._lines))]
        frames = [text for texts in self._frame_texts() for text in texts]
        return found + ([frames[place] for place in self._order] if self._order else frames)

    def documents(self) -> list[Fields]:
        """Return the documents in their order."""
        found: list[Fields] = [
            (
                one.text,
                one.subset,
                one.id,
                one.shard,
                one.line,
                one.frame if one.HasField("frame") else None,
                one.meta,
            )
            for one in self._documents
        ]
        lines = [_record(line) for line in _lines(b"".join(self._lines))]
        found += [(text, "", "", "", 0, None, meta) for text, meta in lines]
        frames: list[Fields] = []
        for frame, records in zip(self._frames, self._frame_records(), strict=True):
            shard, subset, number = frame.shard, frame.subset, frame.frame
            for line, (text, meta) in enumerate(records, frame.first_line):
                frames.append((text, subset, f"{shard}:{line}", shard, line, number, meta))
        return found + ([frames[place] for place in self._order] if self._order else frames)

    def _frame_texts(self) -> Iterator[list[bytes]]:
        for frame, content in zip(self._frames, self._contents, strict=True):
            if frame.form == stream_pb2.FRAME_FORM_TEXT:
                yield _cut(content, frame)
            else:
                yield [_text(line) for line in _lines(content)]

    def _frame_records(self) -> Iterator[Iterable[tuple[bytes, bytes]]]:
        """Yield (text, meta) of each document of each frame."""
        for frame, content in zip(self._frames, self._contents, strict=True):
            if frame.form == stream_pb2.FRAME_FORM_TEXT:
                subset = json.dumps(frame.subset, ensure_ascii=False)
                meta = f'{{"pile_set_name": {subset}}}'.encode()
                yield zip(_cut(content, frame), itertools.repeat(meta), strict=False)
            else:
                yield [_record(line) for line in _lines(content)]


def frame_decoder() -> Decoder:
    """Return what decompresses a frame, for one thread.

    It raises DataLoss for a frame that is damaged, or that has another size than it says: what a
    few bytes decompress to may be larger than memory.
    """
    if not CAN_DECODE:
        return lambda data, _: data  # the server sends none
    decompressor = zstandard.ZstdDecompressor()

    def decode(data: bytes, frame: stream_pb2.Frame) -> bytes:
        size = frame.content_bytes
        try:
            # A size in the frame's own header rules, whatever limit is given.
            if zstandard.frame_content_size(data) in {-1, size}:
                # 0 would be no limit.
                content = decompressor.decompress(data, max_output_size=max(1, size))
                if len(content) == size:
                    return content
        except zstandard.ZstdError as error:
            raise _damaged(frame, str(error)) from error
        raise _damaged(frame, f"it does not decompress to {size} bytes, which it says")

    return decode


def _damaged(frame: stream_pb2.Frame, why: str) -> DataLoss:
    place = f"frame {frame.frame} of {frame.shard}"
    return DataLoss(f"{place} arrived damaged: {why}", code=grpc.StatusCode.DATA_LOSS)


def _cut(content: bytes, frame: stream_pb2.Frame) -> list[bytes]:
    ends = list(accumulate(frame.text_bytes))
    return [content[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _lines(content: bytes) -> list[bytes]:
    # Not splitlines: JSON may have a bare carriage return between its tokens.
    return content.split(b"\n")[:-1]


def _text(line: bytes) -> bytes:
    value: dict[str, Any] = json.loads(line.decode("utf-8", "surrogatepass"))
    return str(value["text"]).encode("utf-8", "surrogatepass")


def _record(line: bytes) -> tuple[bytes, bytes]:
    """Return text and meta of a line."""
    value: dict[str, Any] = json.loads(line.decode("utf-8", "surrogatepass"))
    meta = json.dumps(value["meta"]).encode() if "meta" in value else b""
    return str(value["text"]).encode("utf-8", "surrogatepass"), meta
