"""A corpus as a `tf.data.Dataset`.

    from assay_rpc.corpus.tensorflow import load, load_tokens

    documents = load("localhost:50052", "the-pile", seed=7, rank=rank, world_size=8)
    tokens = load_tokens("localhost:50052", "the-pile", tokenizer="gpt2", length=2048,
                         global_batch=512, seed=7, start_step=step)
    for batch in tokens.batch(8).prefetch(2):
        train(batch["ids"])

A dataset reads ahead of what a program has taken, so the state travels with each row: `load(...,
with_state=True)` gives rows a "state", and `load(..., state=row["state"].numpy())` continues behind
that row. Needs `tensorflow`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, Unpack

import tensorflow as tf

from assay_rpc.connection import Connection
from assay_rpc.corpus.selection import SelectionOptions, select
from assay_rpc.corpus.stream import stream
from assay_rpc.corpus.tokens import TokenStream


def load(
    target: str | Connection,
    corpus: str | dict[str, float],
    *,
    rank: int = 0,
    world_size: int = 1,
    equal: Literal["drop", "wrap"] | None = None,
    batch_size: int = 0,
    with_state: bool = False,
    state: bytes | str | None = None,
    **selection: Unpack[SelectionOptions],
) -> tf.data.Dataset:
    """Return the documents of a rank as rows of text, subset, id, shard, line and meta (JSON).

    Texts are UTF-8, as tf.string; line is int64. `equal` and `batch_size` give every rank as many
    documents, as `stream` does. `with_state` adds "state", a tf.string of some hundred bytes: where
    the stream is behind that row. `state` is one of those, of the same rank of as many. Iterating
    again begins again, there. Raises ValueError for a selection or a state that is none; iterating
    raises TensorFlow's own errors, with the text of this package's.
    """
    select(**selection)  # refuse what is wrong with it here, and not in TensorFlow's thread
    place: dict[str, Any] | None = None if state is None else json.loads(state)
    columns = dict.fromkeys(("text", "subset", "id", "shard", "meta"), tf.string)
    columns["line"] = tf.int64
    if with_state:
        columns["state"] = tf.string

    def rows() -> Iterator[dict[str, Any]]:
        with stream(
            target,
            corpus,
            rank=rank,
            world_size=world_size,
            equal=equal,
            batch_size=batch_size,
            **selection,
        ) as documents:
            if place is not None:
                documents.load_state_dict(place)
            for document in documents:
                row = {
                    "text": document.text_bytes,
                    "subset": document.subset.encode(),
                    "id": document.id.encode(),
                    "shard": document.shard.encode(),
                    "line": document.line,
                    "meta": document.meta_json,
                }
                if with_state:
                    row["state"] = json.dumps(documents.state_dict()).encode()
                yield row

    signature = {name: tf.TensorSpec((), kind) for name, kind in columns.items()}
    return tf.data.Dataset.from_generator(rows, output_signature=signature)


def load_tokens(
    target: str | Connection,
    corpus: str | dict[str, float],
    *,
    length: int,
    start_step: int = 0,
    **options: Any,
) -> tf.data.Dataset:
    """Return sequences of tokens as rows of ids, boundaries and documents.

    `ids` is int64 (length,); `boundaries` int64 (pieces + 1,), cumulative lengths from 0;
    `documents` tf.string (pieces,). The last two differ in length from row to row: drop them,
    or use `padded_batch`. Options are those of TokenStream. Where a run continues is a number of
    steps alone: `start_step`.
    """

    def rows() -> Iterator[dict[str, Any]]:
        with TokenStream(target, corpus, length=length, **options) as sequences:
            sequences.start_at(start_step)
            for sequence in sequences:
                yield {
                    "ids": sequence.numpy(),
                    "boundaries": sequence.boundaries,
                    "documents": [name.encode() for name in sequence.documents],
                }

    signature = {
        "ids": tf.TensorSpec((length,), tf.int64),
        "boundaries": tf.TensorSpec((None,), tf.int64),
        "documents": tf.TensorSpec((None,), tf.string),
    }
    return tf.data.Dataset.from_generator(rows, output_signature=signature)
