"""Clients of Assay's three services, in one import.

    from assay_rpc.client import Connection, RankerClient, SegmentClient, stream

    to = Connection("segment.example.org:443", tls=True, token=token)
    with SegmentClient(to) as segment:
        labels = segment.label(picture)

Each takes an address or a Connection, and raises AssayError; assay_rpc.errors has its subclasses.
Names that begin with Async are for asyncio.
"""

from assay_rpc.connection import Connection
from assay_rpc.corpus import (
    AsyncCorpusStream,
    CorpusStream,
    Document,
    SelectionOptions,
    select,
    stream,
)
from assay_rpc.corpus.client import AsyncCorpusClient, CorpusClient
from assay_rpc.corpus.scoring import AsyncScoringClient, ScoringClient
from assay_rpc.errors import AssayError, Violation
from assay_rpc.ranker.async_client import AsyncRankerClient
from assay_rpc.ranker.client import RankerClient
from assay_rpc.segment._items import Labels
from assay_rpc.segment.client import AsyncSegmentClient, SegmentClient

__all__ = [
    "AssayError",
    "AsyncCorpusClient",
    "AsyncCorpusStream",
    "AsyncRankerClient",
    "AsyncScoringClient",
    "AsyncSegmentClient",
    "Connection",
    "CorpusClient",
    "CorpusStream",
    "Document",
    "Labels",
    "RankerClient",
    "ScoringClient",
    "SegmentClient",
    "SelectionOptions",
    "Violation",
    "select",
    "stream",
]
