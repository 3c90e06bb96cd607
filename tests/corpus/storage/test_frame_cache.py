"""The cache of frames: its limit, its order, its threads and processes, a bad disk."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.corpus.storage.frame_cache import FrameCache


def _kept(root: Path) -> int:
    return sum(file.stat().st_size for file in root.glob("??/*"))


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path / "c", 100)
    for number in range(10):
        cache.put(str(number), b"x" * 10)
        file = cache._file(str(number))
        os.utime(file, (number, number))
    assert cache.get("0") == b"x" * 10
    cache.put("new", b"y" * 10)
    assert cache.get("0") is not None
    assert cache.get("1") is None
    assert cache.get("new") == b"y" * 10


@pytest.mark.slow
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=st.integers(0, 300),
    puts=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 120)), max_size=25),
)
def test_the_limit_holds_at_every_moment(
    tmp_path_factory: pytest.TempPathFactory, limit: int, puts: list[tuple[int, int]]
) -> None:
    root = tmp_path_factory.mktemp("cache")
    cache = FrameCache(root, limit)
    for key, size in puts:
        cache.put(str(key), bytes(size))
        assert _kept(root) <= limit
        found = cache.get(str(key))
        if size <= limit:
            assert found == bytes(size)


def _fill(root: Path, first: int) -> None:
    cache = FrameCache(root, 2000)
    for number in range(60):
        key = str(first + number)
        cache.put(key, key.encode() * 20)
        assert cache.get(key) in {None, key.encode() * 20}
        # Under the lock, since files come and go while they are counted.
        with cache._locked():
            assert _kept(root) <= 2000


def test_threads_and_processes_share_it(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=_fill, args=(root, 1000 * n)) for n in (1, 2)]
    for other in others:
        other.start()
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(_fill, root, 10_000 * n) for n in range(1, 5)]:
            done.result()
    for other in others:
        other.join()
        assert other.exitcode == 0
    assert 0 < _kept(root) <= 2000


def test_a_count_that_was_lost_is_made_again(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path, 100)
    cache.put("a", bytes(60))
    (tmp_path / "size").write_bytes(b"rubbish")
    cache.put("b", bytes(60))
    assert _kept(tmp_path) == 60


def test_a_disk_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = FrameCache(tmp_path / "file" / "cache", 100)
    cache.put("a", b"x")
    cache.drop("a")
    assert cache.get("a") is None
