"""The registered corpora: opened once at the start, then found by name."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path

from services.common.license import License
from services.corpus.catalog.corpus import Corpus, CorpusRef, Kind, Shard
from services.corpus.catalog.counts import (
    CorpusCounts,
    Count,
    ShardCount,
    count_shards,
    counts_of_indexes,
)
from services.corpus.catalog.fact_cache import FactCache
from services.corpus.catalog.locate import Location, ShardFiles, locate
from services.corpus.shards.formats import READING, Reading
from services.corpus.shards.index.format import Index, IndexFormatError, open_index
from services.corpus.shards.layout import LayoutError
from services.corpus.storage.files import StoredFile, content_of, size_and_version
from services.corpus.storage.frame_cache import FrameCache
from services.corpus.storage.local_copy import local_copy
from services.corpus.storage.objects import RETRIES, Objects, Retries
from services.corpus.storage.remote import ObjectStore
from services.corpus.stream.selection import Selection
from services.errors import DigestMismatch, IndexRequired, NotFound, Unavailable

# Raised whenever the same bytes would give other counts.
_COUNTS_VERSION = 3
_DIGEST_READ_BYTES = 1 << 20
_KEPT_MIXES = 8
FRAME_CACHE_BYTES = 10 << 30


@dataclass(frozen=True)
class Registration:
    """A corpus as it was registered: where it is and what is known about it."""

    location: Location
    kind: Kind
    source: str
    license: License
    reading: Reading = READING
    every_file: bool = False


class Catalog:
    """Corpora by registered name; `cache` is a folder for facts that are slow to find.

    For corpora in object storage it also holds indexes and at most `frame_cache_bytes` of frames.
    Empty until `load`. Safe to share between threads.
    """

    def __init__(
        self,
        cache: Path,
        *,
        frame_cache_bytes: int = FRAME_CACHE_BYTES,
        retries: Retries = RETRIES,
    ) -> None:
        self._cache = FactCache(cache)
        self._indexes = cache / "indexes"
        self._store = ObjectStore(Objects(retries), FrameCache(cache / "frames", frame_cache_bytes))
        self._corpora: dict[str, Corpus] = {}
        self._mixed: dict[str, Corpus] = {}
        self._mixed_lock = threading.Lock()
        self._closed = threading.Event()

    def load(self, registrations: Mapping[str, Registration]) -> None:
        """Find and digest the shards of these corpora. Blocks; digests are kept in the cache.

        Raises LayoutError when a directory is not a corpus; of object storage, what
        `storage.objects` raises.
        """
        for name, registration in sorted(registrations.items()):
            found = locate(
                registration.location,
                self._store,
                registration.reading,
                every_file=registration.every_file,
            )
            shards = tuple(self._shard(file) for file in found.shards)
            self._corpora[name] = Corpus(
                CorpusRef(name, corpus_digest(shards)),
                kind=registration.kind,
                source=registration.source,
                license=registration.license,
                shards=shards,
                count=self._count,
                left_out=found.left_out,
            )

    def close(self) -> None:
        """End the running counts, and every wait for object storage."""
        self._closed.set()
        self._store.objects.stop()

    def open(self, name: str, digest: str = "") -> Corpus:
        """Find a corpus by its registered name. A `digest` that is not empty is a precondition.

        Raises NotFound, naming the known ones, and DigestMismatch.
        """
        corpus = self._corpora.get(name)
        if corpus is None:
            raise NotFound("corpus", name, self._corpora)
        if digest and digest != corpus.ref.digest:
            raise DigestMismatch(
                f"corpus.digest: {name!r} has digest {corpus.ref.digest} here, and the request "
                f"requires {digest}"
            )
        return corpus

    def mixed(self, named: Sequence[tuple[str, str]], digest: str = "") -> Corpus:
        """Return several corpora, by name and digest, as one whose paths begin with their names.

        Raises as `open`, and IndexRequired where a shard has no index.
        """
        parts = sorted((self.open(*one) for one in named), key=lambda corpus: corpus.ref.name)
        key = " ".join(corpus.ref.digest for corpus in parts)
        with self._mixed_lock:
            mix = self._mixed.get(key)
            if mix is None:
                mix = self._mixed[key] = _mix(parts)
            while len(self._mixed) > _KEPT_MIXES:
                del self._mixed[next(iter(self._mixed))]
        if digest and digest != mix.ref.digest:
            raise DigestMismatch(
                f"corpus.digest: these corpora together have digest {mix.ref.digest} here, and "
                f"the request requires {digest}"
            )
        return mix

    def list(self) -> list[Corpus]:
        """All corpora, by name."""
        return [self._corpora[name] for name in sorted(self._corpora)]

    def _shard(self, files: ShardFiles) -> Shard:
        size, version = _registered(files.file)
        index = self._index(files)
        digest = index.header.shard.digest if index else self._digest(files.file)
        # A shard that grows afterwards is read to the size that was digested.
        reading = replace(files.reading, size=size)
        return Shard(
            *(files.split, files.path, files.file, size, digest, version),
            *(index, files.text, reading),
        )

    def _digest(self, file: StoredFile) -> str:
        size, version = _registered(file)
        local = isinstance(file, Path)
        key: dict[str, object] = {"fact": "file digest", "size": size, "version": version}
        # Not the URL itself: it may have a password, and the cache is a file.
        key["path"] = (
            str(file.resolve())
            if isinstance(file, Path)
            else hashlib.sha256(file.url.encode()).hexdigest()
        )
        # An object without a version may be any object of its size.
        cached = self._cache.get(key) if local or version else None
        digest = cached.get("digest") if cached else None
        if not isinstance(digest, str):
            digest = self._file_digest(file)
            self._cache.put(key, {"digest": digest})
        return digest

    def _index(self, files: ShardFiles) -> Index | None:
        """Open the index of a shard, None when it has none.

        Raises LayoutError for one that is damaged or of another shard.
        """
        if files.index is None:
            return None
        advice = "make it again with `assay corpus index`, or remove it to stream without"
        try:
            index = open_index(local_copy(files.index, self._indexes))
        except IndexFormatError as error:
            raise LayoutError(f"the index {files.index} {error}; {advice}") from None
        size, _ = _registered(files.file)
        stale = size != index.header.shard.bytes
        # Copying can give both files any times, so the content decides. An object is not read
        # for that: each of its frames is checked against its digest when it is read.
        if isinstance(files.file, Path) and isinstance(files.index, Path) and not stale:
            newer = files.file.stat().st_mtime_ns > files.index.stat().st_mtime_ns
            stale = newer and self._digest(files.file) != index.header.shard.digest
        text = index.header.text
        if text and not (files.text and _registered(files.text)[0] == text.bytes):
            missing = files.text or f"the file of texts of {files.file}"
            raise LayoutError(f"{missing} is missing or not what its index says; {advice}")
        if stale:
            raise LayoutError(f"{files.file} is not what its index {files.index} is of; {advice}")
        return index

    def _file_digest(self, file: StoredFile) -> str:
        digest = hashlib.sha256()
        for data in content_of(file, 0 if isinstance(file, Path) else _DIGEST_READ_BYTES):
            if self._closed.is_set():
                raise Unavailable("the server is shutting down")
            digest.update(data)
        return f"sha256:{digest.hexdigest()}"

    def _count(self, corpus: Corpus) -> CorpusCounts:
        key = {"fact": "census", "version": _COUNTS_VERSION, "corpus": corpus.ref.digest}
        cached = self._cache.get(key)
        if cached is not None:
            counts = _counts_from_json(cached)
            if counts is not None:
                return counts
        corpus.check_unchanged(Selection(corpus.splits))
        if not corpus.unindexed(Selection(corpus.splits)):
            return counts_of_indexes(
                [shard.index for shard in corpus.shards if shard.index is not None]
            )
        counts = count_shards(corpus.shards, self._closed.is_set, corpus.count_progress)
        if counts.damage is None:
            self._cache.put(key, asdict(counts))
        return counts


def _registered(file: StoredFile) -> tuple[int, str]:
    """Return size and version; of an object those that it had when it was found."""
    return size_and_version(file) if isinstance(file, Path) else astuple(file.state)


def corpus_digest(shards: tuple[Shard, ...]) -> str:
    """Digest a corpus: SHA-256 over a line "<path> <size> <digest>" for each shard, in order.

    Where its records are read by other keys than the usual ones, they are in the line as well.
    """
    digest = hashlib.sha256()
    for shard in shards:
        keys = shard.reading.keys.describe()
        read = f" {keys}" if keys else ""
        digest.update(f"{shard.path} {shard.compressed_bytes} {shard.digest}{read}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _mix(parts: Sequence[Corpus]) -> Corpus:
    for corpus in parts:
        missing = next((shard.path for shard in corpus.shards if shard.index is None), "")
        if missing:
            raise IndexRequired(
                f"{missing} of {corpus.ref.name!r} has no index, which mixing corpora needs; make "
                "one with `assay corpus index` and serve what it writes"
            )
    shards = tuple(
        replace(shard, path=f"{corpus.ref.name}/{shard.path}", corpus=corpus.ref.name)
        for corpus in parts
        for shard in corpus.shards
    )
    return Corpus(
        CorpusRef("+".join(corpus.ref.name for corpus in parts), corpus_digest(shards)),
        kind=Kind.SAMPLE,
        source="; ".join(corpus.source for corpus in parts if corpus.source),
        license=License("", "", ""),
        shards=shards,
        count=lambda corpus: counts_of_indexes(
            [shard.index for shard in corpus.shards if shard.index is not None]
        ),
    )


def _counts_from_json(value: Mapping[str, object]) -> CorpusCounts | None:
    shards, subsets = value.get("shards"), value.get("subsets")
    duplicates = value.get("duplicate_documents")
    if not (isinstance(shards, list) and isinstance(subsets, dict) and isinstance(duplicates, int)):
        return None
    try:
        return CorpusCounts(
            tuple(ShardCount(**shard) for shard in shards),
            {name: Count(**count) for name, count in subsets.items()},
            duplicates,
        )
    except TypeError:
        return None
