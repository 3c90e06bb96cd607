"""ListCorpora and DescribeCorpus: what corpora are and hold, as messages."""

from __future__ import annotations

from dataclasses import asdict

from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import describe_pb2, selection_pb2

from services.corpus.catalog import published
from services.corpus.catalog.corpus import Corpus, Kind
from services.corpus.catalog.describe import Description, Subset
from services.corpus.catalog.distance import Distance
from services.corpus.catalog.rights import Availability

_KINDS = {
    Kind.COMPLETE: describe_pb2.CORPUS_KIND_COMPLETE,
    Kind.SAMPLE: describe_pb2.CORPUS_KIND_SAMPLE,
    Kind.REFERENCE: describe_pb2.CORPUS_KIND_REFERENCE,
}
_AVAILABILITY = {
    Availability.ALWAYS: describe_pb2.AVAILABILITY_ALWAYS,
    Availability.NOT_UNCOPYRIGHTED: describe_pb2.AVAILABILITY_EXCEPT_UNCOPYRIGHTED,
    Availability.BY_NAME: describe_pb2.AVAILABILITY_BY_NAME,
}


def corpus_ref(corpus: Corpus) -> selection_pb2.CorpusRef:
    """Name a corpus in a reply."""
    return selection_pb2.CorpusRef(name=corpus.ref.name, digest=corpus.ref.digest)


def summary(corpus: Corpus) -> describe_pb2.CorpusSummary:
    """One line about a corpus."""
    return describe_pb2.CorpusSummary(
        corpus=corpus_ref(corpus),
        kind=_KINDS[corpus.kind],
        splits=corpus.splits,
        compressed_bytes=corpus.compressed_bytes,
    )


def description(corpus: Corpus, found: Description) -> describe_pb2.DescribeCorpusResponse:
    """Say what a corpus is and holds."""
    counts = found.counts
    return describe_pb2.DescribeCorpusResponse(
        corpus=corpus_ref(corpus),
        kind=_KINDS[corpus.kind],
        source=corpus.source,
        license=common_pb2.License(**asdict(corpus.license)),
        shards=[
            describe_pb2.Shard(
                split=shard.split,
                path=shard.path,
                compressed_bytes=shard.compressed_bytes,
                jsonl_bytes=count.jsonl_bytes,
                documents=count.documents,
                digest=shard.digest,
                frames=0 if shard.index is None else len(shard.index.frames),
            )
            for shard, count in zip(corpus.shards, counts.shards, strict=True)
        ],
        subsets=[_subset(subset) for subset in found.subsets],
        documents=counts.documents,
        text_bytes=counts.text_bytes,
        documents_without_subset=found.documents_without_subset,
        duplicate_documents=counts.duplicate_documents,
        distance=None if found.distance is None else _distance(found.distance),
    )


def _subset(subset: Subset) -> describe_pb2.SubsetInfo:
    message = describe_pb2.SubsetInfo(
        name=subset.name,
        documents=subset.documents,
        text_bytes=subset.text_bytes,
        share=subset.share,
    )
    if subset.published is not None:
        message.published.CopyFrom(describe_pb2.PublishedSubset(**asdict(subset.published)))
    if subset.stored is not None:
        message.jsonl_bytes = subset.stored.jsonl_bytes
        message.compressed_bytes = subset.stored.compressed_bytes
    if subset.rights is not None:
        message.rights.license = subset.rights.license
        message.rights.availability = _AVAILABILITY[subset.rights.availability]
        message.rights.source = subset.rights.source
    return message


def _distance(found: Distance) -> describe_pb2.PublishedDistance:
    return describe_pb2.PublishedDistance(
        total_variation=found.value,
        interval=common_pb2.Interval(low=found.low, high=found.high, level=found.level),
        source=published.SOURCE,
    )
