"""Builds the contract's messages from the core's values, and the core's values from requests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from assay.common.v1 import common_pb2
from assay.corpus.v1 import corpus_pb2 as pb

from services.corpus.api import wire
from services.corpus.catalog import published
from services.corpus.catalog.corpus import Corpus, CorpusRef, Kind
from services.corpus.catalog.describe import Description
from services.corpus.catalog.distance import Distance
from services.corpus.catalog.rights import Availability, Rights
from services.corpus.shards.documents import Document
from services.corpus.shards.frames import PassedOver
from services.corpus.stream.chunks import Chunk
from services.corpus.stream.mixture import Mixture, mixture
from services.corpus.stream.selection import Selection
from services.corpus.stream.unit_stream import FrameChunk, FramePart
from services.errors import InvalidArgument

_KINDS = {
    Kind.COMPLETE: pb.CORPUS_KIND_COMPLETE,
    Kind.SAMPLE: pb.CORPUS_KIND_SAMPLE,
    Kind.REFERENCE: pb.CORPUS_KIND_REFERENCE,
}
_AVAILABILITY = {
    Availability.ALWAYS: pb.AVAILABILITY_ALWAYS,
    Availability.NOT_UNCOPYRIGHTED: pb.AVAILABILITY_NOT_UNCOPYRIGHTED,
    Availability.BY_NAME: pb.AVAILABILITY_BY_NAME,
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
        min_text_bytes=message.min_text_bytes,
        max_text_bytes=message.max_text_bytes,
        uncopyrighted=_uncopyrighted(message.preset),
        seed=message.seed if message.HasField("seed") else None,
        mixture=_mixture(message.mixture) if message.HasField("mixture") else None,
        epochs=message.epochs or 1,
    )


def _uncopyrighted(preset: int) -> bool:
    if preset not in set(pb.SubsetPreset.values()):
        raise InvalidArgument("selection.preset", f"{preset} is not a preset")
    return preset == pb.SUBSET_PRESET_UNCOPYRIGHTED


def _mixture(message: pb.Mixture) -> Mixture:
    shares = message.WhichOneof("shares")
    if shares == "weights":
        return mixture("weights", message.weights.by_subset)
    if shares == "passes":
        return mixture("passes", message.passes.by_subset)
    if message.preset == pb.MIXTURE_PRESET_PILE_WEIGHTS:
        rows = published.SUBSETS.items()
        return mixture("weights", {name: row.weight for name, row in rows}, published=True)
    if message.preset == pb.MIXTURE_PRESET_PILE_EPOCHS:
        rows = published.SUBSETS.items()
        return mixture("passes", {name: row.epochs for name, row in rows}, published=True)
    raise InvalidArgument("selection.mixture", "names neither a preset, weights nor passes")


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
                frames=0 if shard.index is None else len(shard.index.frames),
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
                jsonl_bytes=None if subset.stored is None else subset.stored.jsonl_bytes,
                compressed_bytes=None if subset.stored is None else subset.stored.compressed_bytes,
                rights=_rights(subset.rights),
            )
            for subset in found.subsets
        ],
        documents=census.documents,
        text_bytes=census.text_bytes,
        documents_without_subset=found.documents_without_subset,
        duplicate_documents=census.duplicate_documents,
        distance=_distance(found.distance),
    )


def _distance(found: Distance | None) -> pb.PublishedDistance | None:
    if found is None:
        return None
    return pb.PublishedDistance(
        total_variation=found.value,
        interval=common_pb2.Interval(low=found.low, high=found.high, level=found.level),
        source=published.SOURCE,
    )


def _rights(found: Rights | None) -> pb.SubsetRights | None:
    if found is None:
        return None
    return pb.SubsetRights(
        license=found.license,
        availability=_AVAILABILITY[found.availability],
        source=found.source,
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


def frames(part: FrameChunk) -> bytes:
    """One message of a stream of frames, serialised."""
    head = pb.StreamCorpusResponse(cursor=part.cursor, damaged=_damaged(part.damaged))
    return wire.frames_message(
        head, [(_fields(piece), piece.data) for piece in part.parts], part.order
    )


def _fields(piece: FramePart) -> pb.Frame:
    """Everything but the data."""
    if not piece.first:
        return pb.Frame(continues=piece.continues)
    shard, number = piece.shard, piece.frame
    record, text = shard.index.frames[number], shard.has_text(number)
    return pb.Frame(
        continues=piece.continues,
        form=pb.FRAME_FORM_TEXT if text else pb.FRAME_FORM_JSONL,
        content_bytes=int(record["text_bytes" if text else "jsonl_bytes"]),
        shard=shard.name,
        frame=number,
        first_line=int(record["first_line"]),
        subset=shard.index.header.subsets[int(record["subset"])],
        text_bytes=shard.sizes(number).tolist(),
    )


def _damaged(found: Sequence[PassedOver]) -> list[pb.DamagedFrame]:
    return [
        pb.DamagedFrame(
            shard=one.error.shard,
            frame=one.error.frame,
            offset=one.error.offset,
            documents=one.documents,
            places=one.places,
            told=one.told,
        )
        for one in found
    ]


def chunk(part: Chunk, *, jsonl: bool) -> pb.StreamCorpusResponse:
    """One message of a stream."""
    damaged = _damaged(part.damaged)
    if jsonl:
        lines = pb.JsonlBatch(lines=part.lines, continues=part.continues)
        return pb.StreamCorpusResponse(cursor=part.cursor, jsonl=lines, damaged=damaged)
    documents = pb.DocumentBatch(
        documents=[
            _document(document, continues=part.continues, whole=not part.fragment)
            for document in part.documents
        ]
    )
    return pb.StreamCorpusResponse(cursor=part.cursor, documents=documents, damaged=damaged)


def _document(document: Document, *, continues: bool = False, whole: bool = True) -> pb.Document:
    return pb.Document(
        id=document.id,
        subset=document.subset,
        text=document.text,
        meta=document.meta,
        shard=document.shard,
        line=document.line,
        continues=continues,
        frame=document.frame,
        digest=f"sha256:{hashlib.sha256(document.text).hexdigest()}" if whole else "",
    )


def documents(corpus: Corpus, found: Iterable[Document]) -> pb.GetDocumentsResponse:
    """Documents that were asked for by id."""
    return pb.GetDocumentsResponse(
        corpus=corpus_ref(corpus), documents=[_document(one) for one in found]
    )
