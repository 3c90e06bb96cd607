"""Indexes all shards of a corpus, several at a time, once."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.corpus.shards.bad_lines import BadLine, BadLines
from services.corpus.shards.formats import READING, Reading
from services.corpus.shards.index.format import (
    FileFact,
    Index,
    IndexFormatError,
    index_path,
    open_index,
    text_path,
)
from services.corpus.shards.index.output import file_fact
from services.corpus.shards.index.writer import IndexOptions, write_index
from services.corpus.shards.layout import ShardFile, find_shards, indexed_names
from services.corpus.shards.places import is_read_from
from services.corpus.storage.files import size_and_version
from services.corpus.worker_processes import without_interrupts, worker_processes
from services.errors import PreconditionFailed, StorageFull, Unavailable

_LOCK = ".index.lock"
_POLL_SECONDS = 0.1
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True)
class Indexed:
    """A shard that has its index: documents, frames, and bytes of jsonl, before and after.

    `path` is what was written and `source` what it was made of; `bad` are the first of
    `bad_lines` lines that were passed over, none of which is known of a shard that was done before.
    """

    path: str
    source: str
    documents: int
    frames: int
    jsonl_bytes: int
    source_bytes: int
    shard_bytes: int
    fresh: bool
    bad_lines: int = 0
    bad: tuple[BadLine, ...] = ()


def index_corpus(
    source: Path,
    out: Path,
    options: IndexOptions,
    *,
    jobs: int,
    reading: Reading = READING,
    every_file: bool = False,
    progress: Callable[[int, int], None] = lambda *_: None,
    stopped: Callable[[], bool] = lambda: False,
) -> list[Indexed]:
    """Index every shard below `source` into `out`; those that are done already are left alone.

    `progress` is called ten times a second with the compressed bytes that were read and of all;
    `stopped` is asked as often. Raises Unavailable once it says so, LayoutError,
    PreconditionFailed when another indexer works on `out`, DataLoss and OSError; what was finished
    stays, and a further call resumes.
    """
    shards = find_shards(source, reading, every_file=every_file)
    sizes = [size_and_version(shard.file)[0] for shard in shards]
    names = indexed_names(shards)
    if any((out / names[shard.path]).resolve() == shard.file.resolve() for shard in shards):
        raise PreconditionFailed("--out: is the corpus itself; name another directory")
    in_piles_layout = all(path == written for path, written in names.items())
    if (every_file or not in_piles_layout) and is_read_from(out, source):
        raise PreconditionFailed(
            f"--out: {out} is the corpus itself, or within it, where what is written would be "
            "taken for a part of it; name another directory"
        )
    read = multiprocessing.get_context("spawn").RawArray("Q", len(shards))
    with _room_for(out), _locked(out), _workers(min(jobs, len(shards)), read) as pool:
        with without_interrupts():
            running = [
                pool.submit(_index_and_count, number, shard, names[shard.path], out, options)
                for number, shard in enumerate(shards)
            ]
        while not _all_done(running):
            progress(sum(read), sum(sizes))
            if stopped():
                raise Unavailable("indexing was stopped; the same command continues")
        progress(sum(read), sum(sizes))
        for failed in (future for future in running if future.done()):
            failed.result()  # the first that failed ends the others
        return [future.result() for future in running]


@contextmanager
def _room_for(out: Path) -> Iterator[None]:
    """Turn a full disk into StorageFull, which says what to do."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StorageFull(
            f"{out} cannot be written ({error.strerror}); shards that are indexed stay: make room "
            "or raise the limit, and the same command continues"
        ) from error


@contextmanager
def _workers(count: int, read: Any) -> Iterator[ProcessPoolExecutor]:
    try:
        with worker_processes(count, _begin_worker, (read,)) as pool:
            yield pool
    except BrokenProcessPool:
        raise Unavailable(
            "a process of the indexer was killed, as a machine short of memory does; the "
            "same command continues"
        ) from None


def _all_done(running: Sequence[Future[Indexed]]) -> bool:
    """Wait a moment; say whether nothing is left to wait for."""
    done, left = wait(running, timeout=_POLL_SECONDS)
    return not left or any(future.exception() for future in done)


# The bytes that were read of each shard, in a worker.
_read: Any = None


def _begin_worker(read: Any) -> None:
    """Take the array that a worker process counts in."""
    global _read  # noqa: PLW0603  a pool has no other way to hand something to its workers
    _read = read


def _index_and_count(
    number: int, shard: ShardFile, name: str, out: Path, options: IndexOptions
) -> Indexed:
    def count(read: int) -> None:
        _read[number] = read

    return index_shard(shard, out, options, count, name)


def index_shard(
    shard: ShardFile,
    out: Path,
    options: IndexOptions,
    progress: Callable[[int], None],
    name: str = "",
) -> Indexed:
    """Index one shard, as `name` if given, unless that was done already with the same options.

    `progress` is called with the compressed bytes that were read.
    """
    name = name or shard.path
    size, _ = size_and_version(shard.file)
    bad = BadLines(shard.path, skip=options.skip_bad_lines, size=size)
    try:
        index = open_index(out / index_path(name))
    except (OSError, IndexFormatError):
        index = None
    fresh = index is None or not _is_done(index, shard, name, out, options)
    if fresh or index is None:
        index = write_index(
            shard.file,
            name,
            out,
            options,
            path=shard.path,
            reading=shard.reading,
            progress=lambda read, _: progress(read),
            bad=bad,
        )
    progress(index.header.source.bytes)
    return Indexed(
        path=name,
        source=shard.path,
        documents=index.documents,
        frames=len(index.frames),
        jsonl_bytes=int(index.frames["jsonl_bytes"].sum(dtype="int64")),
        source_bytes=index.header.source.bytes,
        shard_bytes=index.header.shard.bytes,
        fresh=fresh,
        bad_lines=index.header.bad_lines,
        bad=tuple(bad.kept),
    )


def _is_done(index: Index, shard: ShardFile, name: str, out: Path, options: IndexOptions) -> bool:
    """Whether an index is of this shard, made so, and has its files beside it."""
    header = index.header
    if header.level != options.level or (header.text is not None) != options.with_text:
        return False
    if header.keys != shard.reading.keys.describe() or (
        header.bad_lines and not options.skip_bad_lines
    ):
        return False
    files: list[tuple[str, FileFact | None]] = [
        (name, header.shard),
        (text_path(name), header.text),
    ]
    for path, fact in files:
        file = out / path
        if fact and not (file.is_file() and file.stat().st_size == fact.bytes):
            return False
    return header.source == file_fact(shard.file)


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
