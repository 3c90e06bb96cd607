"""What is written within its own source would be read as a part of it the next time."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.corpus.shards.places import is_matched_by, is_read_from


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source" / "train" / "a").mkdir(parents=True)
    (tmp_path / "beside").mkdir()
    return tmp_path / "source"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("source", True),
        ("source/out", True),
        ("source/train/a/out/deeper", True),
        ("source/../source/out", True),
        ("beside", False),
        ("source-2", False),
        ("beside/../out", False),
    ],
)
def test_a_place_below_the_source(source: Path, tmp_path: Path, place: str, expected: bool) -> None:
    assert is_read_from(tmp_path / place, source) is expected


def test_links_are_seen_through_on_both_sides(source: Path, tmp_path: Path) -> None:
    (tmp_path / "to-source").symlink_to(source)
    assert is_read_from(tmp_path / "to-source" / "out", source)
    assert is_read_from(source / "out", tmp_path / "to-source")
    (source / "linked").symlink_to(tmp_path / "beside")  # a folder of the source is elsewhere
    assert is_read_from(tmp_path / "beside" / "out", source)
    (source / "train" / "round").symlink_to(source)
    assert not is_read_from(tmp_path / "other", source)


def test_a_file_is_written_within_by_nobody(source: Path) -> None:
    (source / "a.jsonl").write_text("")
    assert not is_read_from(source / "out", source / "a.jsonl")


@pytest.mark.parametrize(
    ("pattern", "place", "expected"),
    [
        ("source/*", "source/out", True),
        ("source/*", "source/out/deeper", True),
        ("source/train-*", "source/out", False),
        ("source/**/*.jsonl", "source/train/out", True),
        ("source/*.jsonl", "source/out", False),
        ("*/train", "source/train/out", True),
    ],
)
def test_a_pattern_finds_what_will_be_there(
    source: Path, tmp_path: Path, pattern: str, place: str, expected: bool
) -> None:
    assert source.is_dir()
    assert is_matched_by(tmp_path / place, str(tmp_path / pattern)) is expected
