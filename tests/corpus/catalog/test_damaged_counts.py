"""Counting a shard that ends too early: what is before is counted, and the way out is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import zstandard

from services.corpus.catalog.counts import CountProgress, count_shards
from services.corpus.shards.formats import READING, Reading


@dataclass(frozen=True)
class Sized:
    """A shard with its size."""

    split: str
    path: str
    file: Path
    compressed_bytes: int
    reading: Reading = READING


def test_a_shard_that_is_cut_off_is_counted_as_far_and_told_with_line_and_flag(
    tmp_path: Path,
) -> None:
    lines = b'{"text": "a", "meta": {"pile_set_name": "Github"}}\n' * 2
    whole = zstandard.compress(lines)
    file = tmp_path / "test.jsonl.zst"
    file.write_bytes(whole + whole[:-4])
    shard = Sized("test", file.name, file, file.stat().st_size)
    found = count_shards([shard], lambda: False, CountProgress())
    assert found.shards[0].documents == 2
    assert found.damage is not None
    assert "is cut off in the middle of a zstd frame behind line 2" in str(found.damage)
    assert "--skip-bad-lines of index and stream takes what is before" in str(found.damage)
