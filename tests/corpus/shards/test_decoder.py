from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.shards.blocks import Block, read_blocks
from services.errors import DataLoss
from tests.corpus.shard_files import compress, frames

SKIPPABLE = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"other"
# Enough for several zstd blocks, and hardly compressible, so that damage hits text.
NOISE = b"".join(os.urandom(60).hex().encode() + b"\n" for _ in range(6000))


def _write(folder: Path, content: bytes) -> Path:
    file = folder / "test.jsonl.zst"
    file.write_bytes(content)
    return file


def _read(file: Path, **options: Any) -> tuple[list[Block], DataLoss | None]:
    blocks: list[Block] = []
    try:
        blocks.extend(read_blocks(file, "test.jsonl.zst", **options))
    except DataLoss as error:
        return blocks, error
    return blocks, None


def _is_consistent(blocks: list[Block]) -> None:
    line = 0
    for block in blocks:
        assert block.first_line == line
        assert block.lines == block.data.count(b"\n") > 0
        assert block.data.endswith(b"\n")
        line += block.lines


@given(
    text=st.binary(max_size=400).map(lambda data: data.replace(b"a", b"\n")),
    cuts=st.lists(st.integers(0, 400), max_size=4),
    checksum=st.booleans(),
    block_bytes=st.integers(1, 300),
    suffix=st.sampled_from([b"", SKIPPABLE]),
)
def test_any_frames_give_back_their_lines(  # noqa: PLR0917  hypothesis draws them by name
    tmp_path_factory: pytest.TempPathFactory,
    text: bytes,
    cuts: list[int],
    checksum: bool,
    block_bytes: int,
    suffix: bytes,
) -> None:
    stored = frames(text, [min(cut, len(text)) for cut in cuts], checksum=checksum)
    file = _write(tmp_path_factory.mktemp("shard"), stored + suffix)
    blocks, damage = _read(file, block_bytes=block_bytes)
    assert damage is None
    _is_consistent(blocks)
    ended = text if not text or text.endswith(b"\n") else text + b"\n"
    assert b"".join(block.data for block in blocks) == ended


@pytest.mark.parametrize("options", [{"level": 1}, {"level": 19}, {"checksum": True}])
def test_large_shards_come_in_bounded_blocks(tmp_path: Path, options: dict[str, int]) -> None:
    file = _write(tmp_path, compress(NOISE, **options))  # type: ignore[arg-type]
    blocks, damage = _read(file, block_bytes=200_000)
    assert damage is None
    _is_consistent(blocks)
    assert b"".join(block.data for block in blocks) == NOISE
    assert max(len(block.data) for block in blocks) <= 200_000 + (128 << 10)
    assert [block.offset for block in blocks] == sorted(block.offset for block in blocks)
    assert blocks[-1].offset <= file.stat().st_size


def test_a_frame_with_its_size_in_one_segment(tmp_path: Path) -> None:
    file = _write(tmp_path, zstandard.ZstdCompressor().compress(b"a\nb"))
    assert _read(file) == ([Block(0, 2, b"a\nb\n", file.stat().st_size, start=0)], None)


def test_every_truncation_delivers_what_is_before_it(tmp_path: Path) -> None:
    text = NOISE[:1200]
    whole = frames(text, [400, 800], checksum=True)
    ends = {0}
    for end in (400, 800, 1200):
        ends.add(len(frames(text[:end], [cut for cut in (400, 800) if cut < end], checksum=True)))
    for size in range(len(whole)):
        blocks, damage = _read(_write(tmp_path, whole[:size]))
        _is_consistent(blocks)
        delivered = b"".join(block.data for block in blocks)
        if size in ends - {0}:  # a whole number of frames is a whole shard
            assert damage is None
        else:
            assert damage is not None
            assert damage.shard == "test.jsonl.zst"
            assert damage.offset == size
            assert ("is empty" if size == 0 else "is cut off") in str(damage)
            assert text.startswith(delivered)
            whole_frames = sum(1 for end in ends if 0 < end <= size)
            assert len(delivered) >= text[: 400 * whole_frames].rfind(b"\n") + 1


def test_a_truncated_single_frame_delivers_every_block_before(tmp_path: Path) -> None:
    whole = compress(NOISE)
    blocks, damage = _read(_write(tmp_path, whole[: len(whole) * 3 // 4]))
    assert damage is not None
    delivered = b"".join(block.data for block in blocks)
    assert NOISE.startswith(delivered)
    # Blocks are 128 KiB of text: no more than one of them is lost.
    assert len(delivered) > len(NOISE) * 3 // 4 - 2 * (128 << 10)


@given(st.data())
def test_a_flipped_bit_never_changes_what_was_delivered_before_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    text = NOISE[:19_999] + b"\n"
    cuts = [5000, 10_000]
    whole = bytearray(frames(text, cuts, checksum=True))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    blocks, damage = _read(_write(tmp_path_factory.mktemp("shard"), bytes(whole)))
    _is_consistent(blocks)
    delivered = b"".join(block.data for block in blocks)
    starts = [len(frames(text[:end], [c for c in cuts if c < end], checksum=True)) for end in cuts]
    intact = sum(5000 for start in starts if start <= place)
    assert delivered[: text[:intact].rfind(b"\n") + 1] == text[: text[:intact].rfind(b"\n") + 1]
    if damage is None:
        # Only a bit that means nothing can be flipped unseen.
        assert delivered == text
    else:
        assert damage.shard == "test.jsonl.zst"
        assert 0 <= damage.offset <= len(whole)


def test_wrong_magic(tmp_path: Path) -> None:
    blocks, damage = _read(_write(tmp_path, b"\x01\x02\x03\x04 what"))
    assert not blocks
    assert damage is not None
    assert str(damage) == "test.jsonl.zst: does not begin with a zstd frame at compressed byte 0"


def test_rubbish_after_the_frames(tmp_path: Path) -> None:
    good = compress(b"a\nb\n")
    blocks, damage = _read(_write(tmp_path, good + b"rubbish"))
    assert [block.data for block in blocks] == [b"a\nb\n"]
    assert damage is not None
    assert damage.offset == len(good)
    assert "continues with something that is not a zstd frame" in str(damage)


def test_empty_file(tmp_path: Path) -> None:
    _, damage = _read(_write(tmp_path, b""))
    assert damage is not None
    assert "is empty" in str(damage)


def test_a_frame_of_nothing_is_no_damage(tmp_path: Path) -> None:
    assert _read(_write(tmp_path, compress(b""))) == ([], None)


def test_a_missing_file_names_the_shard_and_not_the_path(tmp_path: Path) -> None:
    _, damage = _read(tmp_path / "gone.jsonl.zst")
    assert damage is not None
    assert "test.jsonl.zst: cannot be read (No such file" in str(damage)
    assert str(tmp_path) not in str(damage)


def test_a_bomb_is_refused_at_the_line_limit(tmp_path: Path) -> None:
    bomb = compress(b"good\n" + b"\0" * (64 << 20))
    assert len(bomb) < 16 << 10
    blocks, damage = _read(_write(tmp_path, bomb), max_line_bytes=1 << 20)
    assert [block.data for block in blocks] == [b"good\n"]
    assert damage is not None
    assert "a line is longer than 1048576 bytes" in str(damage)
    # It was noticed early: not even the tiny compressed form was read to its end.
    assert damage.offset < len(bomb) / 16


def test_a_window_over_the_limit_is_refused(tmp_path: Path) -> None:
    # Descriptor 0: no size, no checksum; window descriptor 0xA8: 2 GiB.
    huge = b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\x00\x00"
    _, damage = _read(_write(tmp_path, huge))
    assert damage is not None
    assert damage.offset == 0


def test_closing_closes_the_file(tmp_path: Path) -> None:
    file = _write(tmp_path, compress(NOISE))
    reader = read_blocks(file, "test.jsonl.zst", block_bytes=1000)
    next(reader)
    assert _open_files(file) == 1
    reader.close()  # type: ignore[attr-defined]
    assert _open_files(file) == 0


def _open_files(file: Path) -> int:
    return sum(link.resolve() == file.resolve() for link in Path("/proc/self/fd").iterdir())
