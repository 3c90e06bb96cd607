"""A sequence of tokens, and how it comes out of a message."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from assay_rpc.corpus.v1 import stream_pb2

_SHORT = 2


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """Tokens of a fixed number, and the pieces of documents that they are.

    `ids` holds unsigned integers of 2 or 4 bytes. Piece i is `lengths[i]` tokens of the document
    `documents[i]`, which is empty for filling, from its token `offsets[i]` on; the separator behind
    a document is its last token. `step` is the step of training that it is of, from 0.
    """

    ids: memoryview
    lengths: tuple[int, ...]
    documents: tuple[str, ...]
    offsets: tuple[int, ...]
    step: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def boundaries(self) -> list[int]:
        """Where pieces begin, and where the last one ends: cumulative lengths from 0."""
        return list(accumulate(self.lengths, initial=0))

    def numpy(self) -> Any:
        """The ids as an array of 64-bit integers. Needs `numpy`."""
        import numpy as np  # noqa: PLC0415

        return np.array(self.ids, np.int64)

    def torch(self) -> Any:
        """The ids as a tensor of 64-bit integers. Needs `torch`."""
        import torch  # noqa: PLC0415

        return torch.from_numpy(self.numpy())


def sequences_of(batch: stream_pb2.TokenBatch) -> Iterator[TokenSequence]:
    """Iterate the sequences of a message."""
    data = batch.ids
    if sys.byteorder == "big":
        data = _swapped(data, batch.id_bytes)
    view = memoryview(data)
    ids = view.cast("H") if batch.id_bytes == _SHORT else view.cast("I")
    token = piece = 0
    for pieces, step in zip(batch.pieces, batch.steps, strict=True):
        last = piece + pieces
        lengths = tuple(batch.piece_tokens[piece:last])
        size = sum(lengths)
        yield TokenSequence(
            ids[token : token + size],
            lengths,
            tuple(batch.piece_documents[piece:last]),
            tuple(batch.piece_offsets[piece:last]),
            step,
        )
        token, piece = token + size, last


def _swapped(data: bytes, size: int) -> bytes:
    swapped = bytearray(data)
    for place in range(size):
        swapped[place::size] = data[size - 1 - place :: size]
    return bytes(swapped)
