"""Frames that are in the machine's memory are streamed without a thread, and are the same."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

import pytest

from services.corpus.api.background import BackgroundIterator
from services.corpus.shards.frames import DamagedFrame
from services.corpus.storage.files import LocalRanges
from services.corpus.stream.chunks import Limits
from services.corpus.stream.cursor import CursorCodec
from services.corpus.stream.resume import start
from services.corpus.stream.selection import Selection
from services.corpus.stream.unit_reader import UnitReader
from services.corpus.stream.unit_stream import FrameChunk, frame_chunks
from services.corpus.stream.waiting import Waiting
from tests.corpus.shard_files import open_corpus
from tests.corpus.stream.test_indexed import SHARDS, make_corpus

SELECTIONS = MappingProxyType(
    {"in order": Selection(splits=("train", "test")), "shuffled": Selection(seed=3)}
)


def read(root: Path, cache: Path, selection: Selection) -> tuple[list[FrameChunk], list[bool]]:
    """All chunks of a selection; and of each step whether it was allowed to wait."""
    corpus = open_corpus(root, cache)
    chosen = corpus.resolve(selection)
    plan, waiting = corpus.plan(chosen), Waiting()
    codec = CursorCodec(corpus.ref.digest, chosen.digests())
    found: list[FrameChunk] = []
    waits: list[bool] = []
    with closing(UnitReader(corpus.shards_of(chosen), plan)) as units:
        made = frame_chunks(units, start(0, 1), codec, Limits(4 << 10), waiting)
        while True:
            waits.append(waiting.allowed)
            try:
                chunk = next(made)
            except StopIteration:
                return found, waits
            if chunk is not None:
                found.append(chunk)


def plain(chunks: list[FrameChunk]) -> list[object]:
    return [
        (
            chunk.cursor,
            list(chunk.order),
            [(p.shard.name, p.frame, bytes(p.data)) for p in chunk.parts],
        )
        for chunk in chunks
    ]


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("there", ["never", "sometimes", "seldom", "always"])
def test_chunks_are_the_same_wherever_the_frames_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, selection: str, there: str
) -> None:
    root = make_corpus(tmp_path)
    expected, _ = read(root, tmp_path / "a", SELECTIONS[selection])
    tries = itertools.count(1)

    def some(self: LocalRanges, offset: int, size: int) -> memoryview | None:
        every = {"never": 1, "sometimes": 7, "seldom": 2, "always": 1 << 30}[there]
        return None if next(tries) % every == 0 else memoryview(self.read(offset, size, 0))

    monkeypatch.setattr(LocalRanges, "read_in_memory", some)
    found, waits = read(root, tmp_path / "b", SELECTIONS[selection])
    assert plain(found) == plain(expected)
    # Even if all is in memory a thread opens each file, and goes on for some units.
    assert 1 < sum(waits) < len(waits) / 2 if there == "always" else sum(waits) > len(waits) / 2


def test_memory_gives_all_of_a_range_or_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 100)
    with closing(LocalRanges(file)) as ranges:
        assert ranges.read_in_memory(10, 1000) in (
            None,
            file.read_bytes()[10:1010],
        )  # a set needs hashes
        assert ranges.read_in_memory(25_000, 1000) is None


def test_a_damaged_frame_in_memory_ends_the_stream_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_corpus(tmp_path)
    for file in (root / SHARDS[1], root / "train/01.text.zst"):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    os.utime(root / "train/01.index", (2**32, 2**32))  # newer, so that nobody looks at the shard
    monkeypatch.setattr(
        LocalRanges,
        "read_in_memory",
        lambda self, offset, size: memoryview(self.read(offset, size, 0)),
    )
    with pytest.raises(DamagedFrame, match="train/01"):
        read(root, tmp_path / "cache", Selection())


def test_looks_that_fail_become_rare() -> None:
    waiting, looks = Waiting(), 0
    for _ in range(10_000):
        if not waiting.allowed:
            looks += 1
            waiting.failed()
        waiting.read()
    assert looks < 20
    while waiting.allowed:
        waiting.read()
    waiting.read()
    waiting.failed()
    for _ in range(16):
        assert waiting.allowed
        waiting.read()
    assert not waiting.allowed


async def test_steps_that_need_not_wait_take_no_thread() -> None:
    waiting, threads = Waiting(), []

    def source() -> Generator[int | None, None, None]:
        for number in range(40):
            waiting.read()
            if number == 20:
                waiting.failed()
                yield None
            threads.append(threading.get_ident())
            yield number

    with ThreadPoolExecutor(1) as executor:
        async with BackgroundIterator(source(), executor, waiting) as items:
            assert [item async for item in items] == list(range(40))
    here = [one == threading.get_ident() for one in threads]
    assert not here[0]
    assert all(here[1:20])
    assert not any(here[20:36])
    assert all(here[37:])
