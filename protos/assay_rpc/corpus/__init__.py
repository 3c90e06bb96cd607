"""The contract of the corpus service, by version, and `stream`, which follows it for a program.

    from assay_rpc.corpus import stream

    for document in stream("localhost:50052", "the-pile", subsets=["ArXiv"], seed=7):
        print(document.id, len(document.text))

`assay_rpc.corpus.pytorch` and `assay_rpc.corpus.huggingface` adapt it to those libraries;
`assay_rpc.corpus.scoring` computes bits per byte.
"""

from assay_rpc.corpus.document import Document
from assay_rpc.corpus.selection import SelectionOptions, select
from assay_rpc.corpus.stream import AsyncCorpusStream, CorpusStream, stream

__all__ = [
    "AsyncCorpusStream",
    "CorpusStream",
    "Document",
    "SelectionOptions",
    "select",
    "stream",
]
