"""Indexes all shards of a corpus, several at a time, once."""

from __future__ import annotations

import fcntl
import hashlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.corpus.index.format import IndexFormatError, index_path, open_index
from services.corpus.index.writer import LEVEL, write_index
from services.corpus.layout import ShardFile, find_shards
from services.errors import PreconditionFailed

_LOCK = ".index.lock"
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Indexed:
    """A shard that has its index: documents, frames, and bytes of jsonl, before and after."""

    path: str
    documents: int
    frames: int
    jsonl_bytes: int
    source_bytes: int
    shard_bytes: int
    fresh: bool


@dataclass(frozen=True)
class Options:
    """How shards are re-framed."""

    level: int = LEVEL
    with_text: bool = True


def index_corpus(
    source: Path,
    out: Path,
    options: Options,
    *,
    jobs: int,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> list[Indexed]:
    """Index every shard below `source` into `out`; those that are done already are left alone.

    `progress` is called now and then with the compressed bytes of finished shards and of all.
    Raises LayoutError, PreconditionFailed when another indexer works on `out`, DataLoss and
    OSError; what was finished stays, and a further call goes on.
    """
    shards = find_shards(source)
    sizes = [shard.file.stat().st_size for shard in shards]
    out.mkdir(parents=True, exist_ok=True)
    if out.resolve() == source.resolve():
        raise PreconditionFailed("--out: is the corpus itself; name another directory")
    with _locked(out):
        # A fresh interpreter a process: no lock or thread of this one is carried over.
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(jobs, len(shards)), mp_context=spawn) as pool:
            running = [pool.submit(index_shard, shard, out, options) for shard in shards]
            try:
                _follow(running, sizes, progress)
                return [future.result() for future in running]
            finally:
                pool.shutdown(cancel_futures=True)


def index_shard(shard: ShardFile, out: Path, options: Options) -> Indexed:
    """Index one shard, unless its index is there already."""
    try:
        index = open_index(out / index_path(shard.path))
    except (OSError, IndexFormatError):
        index = None
    fresh = index is None or not _is_of(index.header.source.digest, shard.file)
    if fresh or index is None:
        index = write_index(
            shard.file, shard.path, out, level=options.level, with_text=options.with_text
        )
    return Indexed(
        path=shard.path,
        documents=index.documents,
        frames=len(index.frames),
        jsonl_bytes=int(index.frames["jsonl_bytes"].sum(dtype="int64")),
        source_bytes=index.header.source.bytes,
        shard_bytes=index.header.shard.bytes,
        fresh=fresh,
    )


def _is_of(digest: str, file: Path) -> bool:
    with file.open("rb") as source:
        return digest == f"sha256:{hashlib.file_digest(source, 'sha256').hexdigest()}"


def _follow(
    running: Sequence[Future[Indexed]], sizes: Sequence[int], progress: Callable[[int, int], None]
) -> None:
    while True:
        done, left = wait(running, timeout=_POLL_SECONDS)
        finished = [size for future, size in zip(running, sizes, strict=True) if future.done()]
        progress(sum(finished), sum(sizes))
        if not left or any(future.exception() for future in done):
            return


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    with (out / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PreconditionFailed(
                f"--out: another indexer is at work in {out}; wait for it, or name another"
            ) from None
        yield
