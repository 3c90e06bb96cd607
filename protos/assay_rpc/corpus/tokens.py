"""Sequences of tokens of a fixed length, packed, in the same steps for any number of ranks.

from assay_rpc.corpus.tokens import TokenStream

sequences = TokenStream(
    "localhost:50052", "the-pile", tokenizer="gpt2", length=2048, global_batch=512,
    rank=rank, world_size=8, seed=7,
)
for sequence in sequences:
    train(sequence.torch())
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, Unpack

import grpc

from assay_rpc.common.v1 import common_pb2
from assay_rpc.connection import Connection
from assay_rpc.corpus._position import CHUNK_BYTES
from assay_rpc.corpus._sequence import TokenSequence
from assay_rpc.corpus.selection import SelectionOptions, select, whole
from assay_rpc.corpus.stream import CorpusStream
from assay_rpc.corpus.v1 import stream_pb2

__all__ = ["TokenSequence", "TokenStream"]

_PACKINGS = {
    "concatenated": stream_pb2.PACKING_CONCATENATED,
    "best_fit": stream_pb2.PACKING_BEST_FIT,
}


class TokenStream(CorpusStream):
    """Iterates the sequences of a rank: see TokenOptions in the contract.

    `tokenizer` names a language model that the server has registered. Step s of training has the
    `global_batch` sequences from s * global_batch on, whatever the number of ranks, of which each
    takes an equal part, one after the other; without it a step has one sequence a rank. Each
    sequence names its step. What another number of ranks left of a step comes first after
    `resume_from`, when ranks' parts may differ by one sequence. The last
    sequences, which do not make a step, are left out, or with `remainder="wrap"` make one together
    with the first. `share` says how many there are. InvalidArgument is raised where what is
    selected makes no step, with the largest `global_batch` that fits. States, and other
    errors, are those of CorpusStream.
    """

    def __init__(
        self,
        target: str | Connection | grpc.Channel,
        corpus: str | Mapping[str, float],
        *,
        tokenizer: str,
        length: int,
        packing: Literal["concatenated", "best_fit"] = "concatenated",
        separator: int | None = None,
        global_batch: int = 0,
        remainder: Literal["drop", "wrap"] = "drop",
        rank: int = 0,
        world_size: int = 1,
        patience_seconds: float = 60.0,
        chunk_bytes: int = CHUNK_BYTES,
        **selection: Unpack[SelectionOptions],
    ) -> None:
        if packing not in _PACKINGS:
            raise ValueError(f"packing: {packing!r} is none of {', '.join(_PACKINGS)}")
        if not isinstance(tokenizer, str):
            raise TypeError(f"tokenizer: {tokenizer!r} is not a language model's name")
        global_batch = whole("global_batch", global_batch, bits=32)
        super().__init__(
            target,
            corpus,
            selection=select(**selection),
            rank=rank,
            world_size=world_size,
            delivery=stream_pb2.DELIVERY_TOKENS,
            patience_seconds=patience_seconds,
            chunk_bytes=chunk_bytes,
            equal=remainder,
        )
        self._each = (global_batch or world_size) // max(1, world_size)
        self._position.tokens = stream_pb2.TokenOptions(
            tokenizer=common_pb2.ModelRef(name=tokenizer),
            length=whole("length", length, bits=32),
            packing=_PACKINGS[packing],
            separator=None if separator is None else whole("separator", separator, bits=32),
            global_batch=global_batch,
        )

    def start_at(self, step: int) -> None:
        """Begin with step `step`, from 0: the same for any number of ranks and workers."""
        self._position.start_at(whole("step", step) * self._each)

    def __iter__(self) -> Iterator[TokenSequence]:  # type: ignore[override]  # of sequences here
        for batch in self._batches():
            yield from self._position.sequences(batch)
