"""What a reader that leaves has taken, through a real pipe."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.pipe import PositionedOutput


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for one in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(one)


def filled(writer: int, kept: Path, chunks: int) -> PositionedOutput:
    out = PositionedOutput(writer, kept)
    for number in range(chunks):
        out.write(b"x" * 1000)
        out.keep(b"after %d" % number)
    return out


def test_the_kept_position_is_the_last_before_what_was_not_read(
    pipe: tuple[int, int], tmp_path: Path
) -> None:
    reader, writer = pipe
    kept = tmp_path / "place"
    out = filled(writer, kept, 10)
    assert kept.read_bytes() == b"after 9"
    os.read(reader, 3500)
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        out.write(b"more")
    assert kept.read_bytes() == b"after 2"


@pytest.mark.parametrize("before", [None, b"earlier"])
def test_nothing_read_leaves_the_position_of_before(
    pipe: tuple[int, int], tmp_path: Path, before: bytes | None
) -> None:
    reader, writer = pipe
    kept = tmp_path / "place"
    if before:
        kept.write_bytes(before)
    out = filled(writer, kept, 3)
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        out.write(b"more")
    assert (kept.read_bytes() if kept.exists() else None) == before


def test_a_file_keeps_every_position(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        out = filled(file.fileno(), tmp_path / "place", 3)
    assert not out.is_pipe
    assert (tmp_path / "place").read_bytes() == b"after 2"


def test_a_place_that_cannot_be_kept_is_named(pipe: tuple[int, int], tmp_path: Path) -> None:
    kept = tmp_path / "gone" / "place"
    with pytest.raises(OSError, match=r"gone/place") as raised:
        filled(pipe[1], kept, 1)
    assert raised.value.filename == str(kept)
