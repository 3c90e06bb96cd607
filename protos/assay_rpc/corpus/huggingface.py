"""A corpus as an `IterableDataset` of the library `datasets`.

    from assay_rpc.corpus.huggingface import load

    dataset = load("localhost:50052", "the-pile", subsets=["ArXiv"], seed=7)
    mine = datasets.distributed.split_dataset_by_node(dataset, rank=0, world_size=8)

Needs `datasets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Unpack

from datasets import Features, IterableDataset, Value

from assay_rpc.connection import Connection
from assay_rpc.corpus.selection import SelectionOptions, select
from assay_rpc.corpus.stream import CorpusStream
from assay_rpc.corpus.v1 import selection_pb2

_FEATURES = Features(
    {
        "text": Value("large_string"),
        "subset": Value("string"),
        "id": Value("string"),
        "shard": Value("string"),
        "line": Value("int64"),
        "meta": Value("large_string"),
    }
)


def load(
    target: str | Connection,
    corpus: str,
    *,
    parts: int = 64,
    equal: Literal["drop", "wrap"] | None = None,
    **selection: Unpack[SelectionOptions],
) -> IterableDataset:
    """Return the selected documents as rows of text, subset, id, shard, line and meta (JSON).

    `target` is "host:port" or a Connection. `parts` are what `datasets` calls shards: it deals them
    to nodes and workers, shuffles their order, and continues from a state at the beginning of one,
    of which it skips the rows that were taken. More than one needs an index. With `equal`
    they have as many rows each, so that nodes do where they divide `parts`: "drop" leaves the last
    documents out, fewer than there are parts, "wrap" takes the first ones again.
    """
    return IterableDataset.from_generator(
        _rows,
        features=_FEATURES,
        gen_kwargs={
            "target": target,
            "corpus": corpus,
            "selection": select(**selection).SerializeToString(deterministic=True),
            "part": list(range(parts)),
            "parts": parts,
            "equal": equal,
        },
    )


def _rows(  # noqa: PLR0917  # `datasets` passes them by name
    target: str | Connection,
    corpus: str,
    selection: bytes,
    part: Sequence[int],
    parts: int,
    equal: Literal["drop", "wrap"] | None,
) -> Iterator[dict[str, Any]]:
    for number in part:
        with CorpusStream(
            target,
            corpus,
            selection=selection_pb2.Selection.FromString(selection),
            rank=number,
            world_size=parts,
            equal=equal,
        ) as stream:
            for document in stream:
                yield {
                    "text": document.text,
                    "subset": document.subset,
                    "id": document.id,
                    "shard": document.shard,
                    "line": document.line,
                    "meta": document.meta_json.decode("utf-8", "backslashreplace"),
                }
