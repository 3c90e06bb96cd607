"""The registered corpora: opened once at the start, then found by name."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from services.corpus.cache import FactCache
from services.corpus.census import Census, Count, ShardCount, census_of, take_census
from services.corpus.corpus import Corpus, CorpusRef, Kind, License, Shard
from services.corpus.index.format import (
    Index,
    IndexFormatError,
    index_path,
    open_index,
    text_path,
)
from services.corpus.layout import LayoutError, ShardFile, find_shards
from services.corpus.selection import Selection
from services.errors import NotFound, PreconditionFailed, Unavailable

# Counted up whenever the same bytes would give another census.
_CENSUS_VERSION = 2
_DIGEST_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Registration:
    """A corpus as it was registered: its directory and what is known about it."""

    root: Path
    kind: Kind
    source: str
    license: License


class Catalog:
    """Corpora by registered name; `cache` is a folder for what takes long to find out about them.

    Empty until `load`. Safe to share between threads.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = FactCache(cache)
        self._corpora: dict[str, Corpus] = {}
        self._closed = threading.Event()

    def load(self, registrations: Mapping[str, Registration]) -> None:
        """Find and digest the shards of these corpora. Blocks; digests are kept in the cache.

        Raises LayoutError when a directory is not a corpus.
        """
        for name, registration in sorted(registrations.items()):
            files = find_shards(registration.root)
            shards = tuple(self._shard(file) for file in files)
            self._corpora[name] = Corpus(
                CorpusRef(name, corpus_digest(shards)),
                kind=registration.kind,
                source=registration.source,
                license=registration.license,
                shards=shards,
                take_census=self._take_census,
            )

    def close(self) -> None:
        """End a census that is being taken."""
        self._closed.set()

    def open(self, ref: CorpusRef) -> Corpus:
        """Find a corpus. A digest in `ref` is a precondition.

        Raises NotFound, naming the known ones, and PreconditionFailed.
        """
        corpus = self._corpora.get(ref.name)
        if corpus is None:
            raise NotFound("corpus", ref.name, self._corpora)
        if ref.digest and ref.digest != corpus.ref.digest:
            raise PreconditionFailed(
                f"corpus.digest: {ref.name!r} has digest {corpus.ref.digest} here, and the "
                f"request wants {ref.digest}"
            )
        return corpus

    def list(self) -> list[Corpus]:
        """All corpora, by name."""
        return [self._corpora[name] for name in sorted(self._corpora)]

    def _shard(self, file: ShardFile) -> Shard:
        status, index = file.file.stat(), self._index(file)
        digest = index.header.shard.digest if index else self._digest(file)
        return Shard(
            *(file.split, file.path, file.file, status.st_size, digest, status.st_mtime_ns), index
        )

    def _digest(self, file: ShardFile) -> str:
        status = file.file.stat()
        key = {
            "fact": "file digest",
            "path": str(file.file.resolve()),
            "size": status.st_size,
            "mtime_ns": status.st_mtime_ns,
        }
        cached = self._cache.get(key)
        digest = cached.get("digest") if cached else None
        if not isinstance(digest, str):
            digest = self._file_digest(file.file)
            self._cache.put(key, {"digest": digest})
        return digest

    def _index(self, file: ShardFile) -> Index | None:
        """Open the index of a shard, None when it has none.

        Raises LayoutError for one that is damaged or of another shard.
        """
        index_file = file.file.parent / index_path(file.file.name)
        if not index_file.exists():
            return None
        advice = "make it again with `assay corpus index`, or remove it to stream without"
        try:
            index = open_index(index_file)
        except IndexFormatError as error:
            raise LayoutError(f"the index {index_file} {error}; {advice}") from None
        status, shard = file.file.stat(), index.header.shard
        stale = status.st_size != shard.bytes
        # A copy of both may have been written in any order: only the content tells.
        if not stale and status.st_mtime_ns > index_file.stat().st_mtime_ns:
            stale = self._digest(file) != shard.digest
        text, text_file = index.header.text, file.file.parent / text_path(file.file.name)
        if text and not (text_file.is_file() and text_file.stat().st_size == text.bytes):
            raise LayoutError(f"{text_file} is missing or not what its index says; {advice}")
        if stale:
            raise LayoutError(f"{file.file} is not what its index {index_file} is of; {advice}")
        return index

    def _file_digest(self, file: Path) -> str:
        digest = hashlib.sha256()
        with file.open("rb", buffering=0) as source:
            while data := source.read(_DIGEST_READ_BYTES):
                if self._closed.is_set():
                    raise Unavailable("the server is shutting down")
                digest.update(data)
        return f"sha256:{digest.hexdigest()}"

    def _take_census(self, corpus: Corpus) -> Census:
        key = {"fact": "census", "version": _CENSUS_VERSION, "corpus": corpus.ref.digest}
        cached = self._cache.get(key)
        if cached is not None:
            census = _census_from_json(cached)
            if census is not None:
                return census
        corpus.check_unchanged(Selection(corpus.splits))
        if not corpus.unindexed(Selection(corpus.splits)):
            return census_of([shard.index for shard in corpus.shards if shard.index is not None])
        census = take_census(corpus.shards, self._closed.is_set)
        if census.damage is None:
            self._cache.put(key, asdict(census))
        return census


def corpus_digest(shards: tuple[Shard, ...]) -> str:
    """Digest a corpus: SHA-256 over a line "<path> <size> <digest>" for each shard, in order."""
    digest = hashlib.sha256()
    for shard in shards:
        digest.update(f"{shard.path} {shard.compressed_bytes} {shard.digest}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _census_from_json(value: Mapping[str, object]) -> Census | None:
    shards, subsets = value.get("shards"), value.get("subsets")
    duplicates = value.get("duplicate_documents")
    if not (isinstance(shards, list) and isinstance(subsets, dict) and isinstance(duplicates, int)):
        return None
    try:
        return Census(
            tuple(ShardCount(**shard) for shard in shards),
            {name: Count(**count) for name, count in subsets.items()},
            duplicates,
        )
    except TypeError:
        return None
