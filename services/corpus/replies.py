"""Builds the contract's messages from the core's values, and the core's values from requests."""

from __future__ import annotations

from assay.common.v1 import common_pb2
from assay.corpus.v1 import corpus_pb2 as pb

from services.corpus import published
from services.corpus.corpus import Corpus, CorpusRef, Kind
from services.corpus.describe import Description
from services.corpus.documents import Document
from services.corpus.selection import Selection
from services.corpus.stream import Chunk

_KINDS = {
    Kind.COMPLETE: pb.CORPUS_KIND_COMPLETE,
    Kind.SAMPLE: pb.CORPUS_KIND_SAMPLE,
    Kind.REFERENCE: pb.CORPUS_KIND_REFERENCE,
}


def ref_of(message: pb.CorpusRef) -> CorpusRef:
    """Read a request's corpus."""
    return CorpusRef(message.name, message.digest)


def selection_of(message: pb.Selection) -> Selection:
    """Read a request's selection."""
    return Selection(
        splits=tuple(message.splits),
        subsets=frozenset(message.subsets),
        exclude_subsets=frozenset(message.exclude_subsets),
        max_documents=message.max_documents,
        max_bytes=message.max_bytes,
    )


def corpus_ref(corpus: Corpus) -> pb.CorpusRef:
    """Name a corpus in a reply."""
    return pb.CorpusRef(name=corpus.ref.name, digest=corpus.ref.digest)


def summary(corpus: Corpus) -> pb.CorpusSummary:
    """One line about a corpus."""
    return pb.CorpusSummary(
        corpus=corpus_ref(corpus),
        kind=_KINDS[corpus.kind],
        splits=corpus.splits,
        compressed_bytes=corpus.compressed_bytes,
    )


def description(corpus: Corpus, found: Description) -> pb.DescribeCorpusResponse:
    """Say what a corpus is and holds."""
    census = found.census
    return pb.DescribeCorpusResponse(
        corpus=corpus_ref(corpus),
        kind=_KINDS[corpus.kind],
        source=corpus.source,
        license=common_pb2.License(
            id=corpus.license.id,
            name=corpus.license.name,
            url=corpus.license.url,
            research_only=corpus.license.research_only,
        ),
        shards=[
            pb.Shard(
                split=shard.split,
                path=shard.path,
                compressed_bytes=shard.compressed_bytes,
                jsonl_bytes=count.jsonl_bytes,
                documents=count.documents,
                digest=shard.digest,
            )
            for shard, count in zip(corpus.shards, census.shards, strict=True)
        ],
        subsets=[
            pb.SubsetInfo(
                name=subset.name,
                documents=subset.documents,
                text_bytes=subset.text_bytes,
                share=subset.share,
                published=_published(subset.published),
            )
            for subset in found.subsets
        ],
        documents=census.documents,
        text_bytes=census.text_bytes,
        documents_without_subset=found.documents_without_subset,
        duplicate_documents=census.duplicate_documents,
    )


def _published(row: published.PublishedSubset | None) -> pb.PublishedSubset | None:
    if row is None:
        return None
    return pb.PublishedSubset(
        weight=row.weight,
        raw_gib=row.raw_gib,
        epochs=row.epochs,
        effective_gib=row.effective_gib,
        mean_document_kib=row.mean_document_kib,
        source=row.source,
    )


def chunk(part: Chunk, *, jsonl: bool) -> pb.StreamCorpusResponse:
    """One message of a stream."""
    if jsonl:
        lines = pb.JsonlBatch(lines=part.lines, continues=part.continues)
        return pb.StreamCorpusResponse(cursor=part.cursor, jsonl=lines)
    last = len(part.documents) - 1
    documents = pb.DocumentBatch(
        documents=[
            _document(document, continues=part.continues and index == last)
            for index, document in enumerate(part.documents)
        ]
    )
    return pb.StreamCorpusResponse(cursor=part.cursor, documents=documents)


def _document(document: Document, *, continues: bool) -> pb.Document:
    return pb.Document(
        id=document.id,
        subset=document.subset,
        text=document.text,
        meta=document.meta,
        shard=document.shard,
        line=document.line,
        continues=continues,
    )
