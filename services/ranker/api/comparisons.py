"""Comparisons for callers: evidence from the store, the answer from the cache if possible.

Comparing reads evidence and makes none, so the key of the answer does not change during the
computation. The cache holds the reply for the pair in canonical order, serialised, without the
field `cache`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import compare_pb2
from google.protobuf.duration_pb2 import Duration

from services.errors import InvalidArgument
from services.ranker.api import evidence_messages, messages, requests
from services.ranker.cache.cache import Cache, CacheInfo
from services.ranker.claims.model import Page
from services.ranker.claims.registry import Registry
from services.ranker.comparing.cache_key import PREFIX, Pair, canonical, evidence_digest, key
from services.ranker.comparing.compare import ComparedArtifact, Comparison, compare, parse_day
from services.ranker.comparing.records import Records
from services.ranker.methodology.definition import Methodology
from services.ranker.methodology.reliability import PageReliability
from services.ranker.methodology.separation import Answer, Missing, Separation

SCHEMA = 4
"""Schema of the cached bytes: raise it when a change of the contract would misread older bytes."""

_EXCHANGED = {
    compare_pb2.SEPARATION_LEFT: compare_pb2.SEPARATION_RIGHT,
    compare_pb2.SEPARATION_RIGHT: compare_pb2.SEPARATION_LEFT,
}

# Limits on cached pairs, and on the pieces of evidence in them: a piece takes kilobytes.
_MAX_PREPARED_PAIRS = 1024
_MAX_PREPARED_EVIDENCE = 10_000


@dataclass(frozen=True)
class _Asked:
    """Options of a request. No pages means all that compare the two; no hardware the latest."""

    left: str
    right: str
    day: date
    hardware: str
    pages: tuple[str, ...]


@dataclass(frozen=True)
class _Prepared:
    """A pair's records at one state of database and registry, and the key of its answer."""

    state: tuple[int, int] | None
    pair: Pair
    key: str

    @property
    def evidence(self) -> int:
        """Number of pieces of evidence in the records."""
        on_pages = sum(len(page.claims) for page in self.pair.pages)
        return len(self.pair.first.evidence) + len(self.pair.second.evidence) + on_pages


class Comparisons:
    """Compares registered artifacts by stored evidence.

    `version` returns a number that changes with the database, or None if unknown; `computed` is
    called for every comparison that was not in the cache.
    """

    def __init__(
        self,
        registry: Registry,
        records: Records,
        cache: Cache,
        methodology: Methodology,
        *,
        version: Callable[[], int | None],
        computed: Callable[[], None],
    ) -> None:
        self._registry = registry
        self._records = records
        self._cache = cache
        self._methodology = methodology
        self._version = version
        self._computed = computed
        self._prepared: dict[_Asked, _Prepared] = {}
        self._prepared_state: tuple[int, int] | None = None

    async def compare(self, request: compare_pb2.CompareRequest) -> bytes:
        """Return the reply of the contract, serialised, in the caller's order.

        Raises `NotFound`, `InvalidArgument`, `DigestMismatch`, and `Unavailable` when evidence
        cannot be read now.
        """
        requests.check_methodology(request.methodology_digest, self._methodology)
        day = parse_day(request.as_of, datetime.now(UTC).date())
        prepared = await self._prepare(
            _Asked(
                request.left,
                request.right,
                day,
                requests.hardware(request.hardware),
                tuple(sorted(set(requests.limited("pages", request.pages)))),
            )
        )
        first = replace(prepared.pair, swapped=False)

        async def compute() -> bytes:
            self._computed()
            return encode(to_message(compare(first, self._methodology, day)))

        content, info = await self._cache.get(prepared.key, compute)
        if prepared.pair.swapped:
            content = exchanged(content)
        return content + cache_field(info)

    async def _prepare(self, asked: _Asked) -> _Prepared:
        """A pair's records and key; read again only after a change."""
        version = self._version()
        state = None if version is None else (version, self._registry.revision)
        known = self._prepared.get(asked)
        if known is not None and state is not None and known.state == state:
            return known
        artifacts = self._registry.artifact(asked.left), self._registry.artifact(asked.right)
        (first, second), pages = await self._records.with_pages(artifacts, self._pages(asked))
        pair = canonical(first, second, pages, asked.hardware)
        prepared = _Prepared(state, pair, key(pair, self._methodology, asked.day))
        self._hold(asked, prepared)
        return prepared

    def _hold(self, asked: _Asked, prepared: _Prepared) -> None:
        """Keep the records for the next caller, if nothing has changed and there is room."""
        if prepared.state is None:
            return
        if prepared.state != self._prepared_state:  # records of another state are never used again
            self._prepared.clear()
            self._prepared_state = prepared.state
        self._prepared.pop(asked, None)
        held = prepared.evidence + sum(one.evidence for one in self._prepared.values())
        while self._prepared and (
            held > _MAX_PREPARED_EVIDENCE or len(self._prepared) >= _MAX_PREPARED_PAIRS
        ):
            held -= self._prepared.pop(next(iter(self._prepared))).evidence
        if held <= _MAX_PREPARED_EVIDENCE:
            self._prepared[asked] = prepared

    def _pages(self, asked: _Asked) -> tuple[Page, ...]:
        about = self._registry.pages_of(asked.left, asked.right)
        if not asked.pages:
            return about
        chosen = tuple(self._registry.page(name) for name in asked.pages)
        for one in chosen:
            if one not in about:
                problem = f"{one.id!r} does not compare {asked.left} and {asked.right}"
                raise InvalidArgument("pages", problem)
        return chosen

    async def invalidate(self, name: str) -> int:
        """Drop cached comparisons of an artifact's current state, or of all if `name` is empty.

        Raises `NotFound`, and `Unavailable` if evidence cannot be read or the cache does not
        answer.
        """
        if not name:
            return await self._cache.invalidate(PREFIX)
        (record,) = await self._records.of([self._registry.artifact(name)])
        return await self._cache.invalidate(PREFIX, evidence_digest(record))


def to_message(comparison: Comparison) -> compare_pb2.CompareResponse:
    """Return the reply, except for the field `cache`."""
    return compare_pb2.CompareResponse(
        left=_side(comparison.left),
        right=_side(comparison.right),
        components=[
            compare_pb2.ComponentComparison(
                component=one.name,
                separation=_separation(one.separation),
                missing=map(_missing, one.missing),
            )
            for one in comparison.components
        ],
        profile=comparison.profile,
        profiles=map(_profile, comparison.profiles),
        overall=_separation(comparison.overall),
        summary=comparison.summary,
        pages=[evidence_messages.page_verdicts(one) for one in comparison.pages],
        methodology=messages.methodology(comparison.methodology),
        as_of=comparison.as_of.isoformat(),
        hardware=comparison.hardware,
    )


def exchange(message: compare_pb2.CompareResponse) -> None:
    """Exchange the sides of a reply, in place."""
    left = compare_pb2.ComparedArtifact()
    left.CopyFrom(message.right)
    message.right.CopyFrom(message.left)
    message.left.CopyFrom(left)
    for row in message.components:
        row.separation = _EXCHANGED.get(row.separation, row.separation)
    for one in message.profiles:
        one.separation = _EXCHANGED.get(one.separation, one.separation)
    message.overall = _EXCHANGED.get(message.overall, message.overall)


def encode(message: compare_pb2.CompareResponse) -> bytes:
    """Return the bytes to cache; equal replies have equal bytes."""
    return message.SerializeToString(deterministic=True)


def decode(content: bytes) -> compare_pb2.CompareResponse:
    """Return the reply from `encode`'s bytes; raises protobuf's error for other bytes."""
    return compare_pb2.CompareResponse.FromString(content)


def exchanged(content: bytes) -> bytes:
    """The bytes of the reply with its sides exchanged."""
    message = decode(content)
    exchange(message)
    return encode(message)


def cache_field(info: CacheInfo) -> bytes:
    """The bytes of the field `cache`: appended to a reply's bytes, they set it."""
    return encode(compare_pb2.CompareResponse(cache=cache_info(info)))


def cache_info(info: CacheInfo) -> compare_pb2.CacheInfo:
    """Return what the cache did."""
    age = Duration()
    age.FromNanoseconds(round(info.age * 1e9))
    status = compare_pb2.CacheStatus.Value(f"CACHE_STATUS_{info.status.value}")
    return compare_pb2.CacheInfo(status=status, age=age)


def _side(value: ComparedArtifact) -> compare_pb2.ComparedArtifact:
    return compare_pb2.ComparedArtifact(
        artifact=messages.artifact(value.record.artifact, claims=False),
        score=messages.score(value.score),
        scores=[messages.score(one, components=False) for one in value.scores],
        reliability=map(_reliability, value.reliability),
        claims=[evidence_messages.claim_verdict(one) for one in value.record.verdicts],
        matches=messages.match_counts(
            value.record.matched,
            value.record.outcomes.reported,
            value.record.outcomes.succeeded,
            value.record.outcomes.anonymous,
            len(value.record.outcomes.operators),
        ),
    )


def _profile(value: Answer) -> compare_pb2.ProfileComparison:
    return compare_pb2.ProfileComparison(
        profile=value.name,
        separation=_separation(value.separation),
        complete=value.complete,
        missing=map(_missing, value.missing),
    )


def _missing(value: Missing) -> compare_pb2.MissingEvidence:
    return compare_pb2.MissingEvidence(
        artifact=value.artifact, metric=value.metric, what=value.what
    )


def _reliability(value: PageReliability) -> compare_pb2.PageReliability:
    return compare_pb2.PageReliability(
        mean=value.mean,
        interval=None
        if value.interval is None
        else messages.interval(value.interval, common_pb2.INTERVAL_KIND_CREDIBLE),
        confirmed=value.confirmed,
        refuted=value.refuted,
        undecided=value.undecided,
        bounds=messages.interval(value.bounds, common_pb2.INTERVAL_KIND_BOUNDS),
        page=value.page,
        trivial=value.trivial,
        left_out=value.left_out,
    )


def _separation(value: Separation) -> compare_pb2.Separation.ValueType:
    return compare_pb2.Separation.Value(f"SEPARATION_{value.value}")
