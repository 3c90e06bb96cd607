"""Messages of ListCorpora, GetCorpus and DescribeCorpus: corpora and their contents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from assay_rpc.corpus.v1 import describe_pb2, selection_pb2

from services.corpus.catalog import published
from services.corpus.catalog.corpus import Corpus, Kind, Shard
from services.corpus.catalog.counts import ShardCount
from services.corpus.catalog.describe import Description, Subset
from services.corpus.catalog.distance import Distance
from services.corpus.catalog.rights import Availability, Rights
from services.rpc.messages import interval_message, license_message

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

# Most files that a message names.
_NAMED = 100


def corpus_ref(corpus: Corpus) -> selection_pb2.CorpusRef:
    """Name a corpus in a reply."""
    return selection_pb2.CorpusRef(name=corpus.ref.name, digest=corpus.ref.digest)


def summary(corpus: Corpus) -> describe_pb2.CorpusSummary:
    """One line about a corpus."""
    return describe_pb2.CorpusSummary(
        ref=corpus_ref(corpus),
        kind=_KINDS[corpus.kind],
        splits=corpus.splits,
        stored_bytes=corpus.compressed_bytes,
    )


def corpus_message(corpus: Corpus) -> describe_pb2.Corpus:
    """A corpus without reading its shards: from its registration, or from existing counts."""
    counts: Sequence[ShardCount | None] = [None] * len(corpus.shards)
    if corpus.counted or corpus.indexed:
        counts = corpus.counts().shards
    return describe_pb2.Corpus(
        ref=corpus_ref(corpus),
        kind=_KINDS[corpus.kind],
        source=corpus.source,
        license=license_message(corpus.license),
        splits=corpus.splits,
        shards=[_shard(shard, count) for shard, count in zip(corpus.shards, counts, strict=True)],
        format=describe_pb2.CORPUS_FORMAT_JSONL,
        text_key=corpus.keys.text,
        subset_key=corpus.keys.subset or "meta.pile_set_name",
        left_out=corpus.left_out[:_NAMED],
        left_out_total=len(corpus.left_out),
        counted=corpus.counted or corpus.indexed,
        indexed=corpus.indexed,
    )


def description(corpus: Corpus, found: Description) -> describe_pb2.CorpusDescription:
    """Describe a corpus and its contents."""
    counts = found.counts
    return describe_pb2.CorpusDescription(
        corpus=corpus_message(corpus),
        subsets=[_subset(subset) for subset in found.subsets],
        documents=counts.documents,
        text_bytes=counts.text_bytes,
        documents_without_subset=found.documents_without_subset,
        duplicate_documents=counts.duplicate_documents,
        distance=None if found.distance is None else distance_message(found.distance),
    )


def count_progress(corpus: Corpus, seconds: float) -> describe_pb2.CountProgress:
    """The progress of counting, after `seconds` of it."""
    done, total = corpus.count_progress.bytes_done, corpus.compressed_bytes
    message = describe_pb2.CountProgress(
        shards_done=corpus.count_progress.shards_done,
        shards_total=len(corpus.shards),
        bytes_done=done,
        bytes_total=total,
    )
    if done:
        message.time_left.FromNanoseconds(round(seconds * (total / done - 1) * 1e9))
    return message


def _shard(shard: Shard, count: ShardCount | None) -> describe_pb2.Shard:
    return describe_pb2.Shard(
        split=shard.split,
        path=shard.path,
        stored_bytes=shard.compressed_bytes,
        content_bytes=None if count is None else count.jsonl_bytes,
        documents=None if count is None else count.documents,
        digest=shard.digest,
        frames=None if shard.index is None else len(shard.index.frames),
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
        message.content_bytes = subset.stored.jsonl_bytes
        message.stored_bytes = subset.stored.compressed_bytes
    if subset.rights is not None:
        message.rights.CopyFrom(rights_message(subset.rights))
    return message


def rights_message(rights: Rights) -> describe_pb2.SubsetRights:
    """The rights of a subset's texts."""
    return describe_pb2.SubsetRights(
        license=rights.license,
        availability=_AVAILABILITY[rights.availability],
        source=rights.source,
    )


def distance_message(found: Distance) -> describe_pb2.PublishedDistance:
    """The distance of shares from the published ones."""
    return describe_pb2.PublishedDistance(
        total_variation=found.value,
        interval=interval_message(found.low, found.high, found.level, "drawn-shares@1"),
        source=published.SOURCE,
    )
