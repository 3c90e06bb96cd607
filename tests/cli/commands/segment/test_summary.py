"""The table of a folder's pictures: what is written is what a later run reads."""

from __future__ import annotations

import codecs
import errno
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.cli.commands.segment import segment_many, summary
from services.errors import InvalidArgument, StorageFull
from services.segment.images.label_png import label_png


@pytest.mark.parametrize("name", ["a.jpg", "=cmd.jpg", "-1 b.jpg", "'a.jpg", "-3.jpg", "@x/y.png"])
def test_names_that_are_formulas_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    path = tmp_path / summary.SUMMARY
    row = {"picture": name, "class": "=1+1", "pixels": 7, "share": 0.5}
    summary.write_summary(path, {name: [row]})
    for _ in range(2):  # a later run writes what it has read
        text = path.read_text()
        assert "\n=" not in text
        assert ",=" not in text
        rows = summary._rows(path)
        assert list(rows) == [name]
        assert rows[name][0]["picture"] == name
        assert rows[name][0]["pixels"] == "7"
        summary.write_summary(path, rows)


def test_names_that_are_no_utf_8_come_back(tmp_path: Path) -> None:
    name = b"lat\xe9.jpg".decode("utf-8", "surrogateescape")
    path = tmp_path / summary.SUMMARY
    summary.write_summary(path, {name: [{"picture": name}]})
    assert list(summary._rows(path)) == [name]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_rows_are_counted_from_labels_of_a_run_that_was_killed(
    tmp_path: Path, kind: type[np.unsignedinteger]
) -> None:
    left_out = np.iinfo(kind).max
    path = tmp_path / "a.png"
    path.write_bytes(label_png(np.array([[1, 0, 1], [1, 1, left_out]], kind)))
    rows = summary.counted("a.jpg", path, {0: "sky", 1: "sea"})
    assert [(row["class"], row["pixels"], round(row["share"], 3)) for row in rows] == [
        ("sea", 4, 0.667),
        ("sky", 1, 0.167),
    ]
    assert (rows[0]["width"], rows[0]["height"]) == (3, 2)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InvalidArgument, match="cut off"):
        summary.counted("a.jpg", path, {})


@pytest.mark.parametrize(
    "content",
    [
        b"a.jpg\r\n\n b.jpg\n",
        b"a.jpg\0 b.jpg\0",
        codecs.BOM_UTF8 + b"a.jpg\n b.jpg",
        codecs.BOM_UTF16_LE + "a.jpg\r\n b.jpg\r\n".encode("utf-16-le"),
    ],
)
def test_lists_of_every_kind(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list"
    path.write_bytes(content)
    assert segment_many._listed(str(path)) == ["a.jpg", " b.jpg"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert segment_many._listed("-") == ["a.jpg", " b.jpg"]


def test_names_in_a_list_are_bytes(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"lat\xe9.jpg\0with\nnewline\x0c.jpg\0")
    assert segment_many._listed(str(path)) == ["lat\udce9.jpg", "with\nnewline\x0c.jpg"]


def test_a_full_disk_is_said_with_what_to_do(tmp_path: Path, monkeypatch: Any) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageFull, match=r"a\.png: No space left on device; make room and run"):
        summary.write(tmp_path / "a.png", b"labels")


def test_what_cannot_be_written_is_named_as_the_user_does(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(IsADirectoryError, match=r"a\.png"):
        summary.write(tmp_path / "a.png", b"labels")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_the_classes_of_all_pictures_are_of_earlier_runs_too(tmp_path: Path) -> None:
    """Else a run that continues would print the shares of the rest as those of all pictures."""
    size = {"width": 10, "height": 10}
    old = [
        {"class_id": 2, "class": "=sky", "pixels": 60},
        {"class_id": 0, "class": "sea", "pixels": 40},
    ]
    path = tmp_path / summary.SUMMARY
    summary.write_summary(path, {"a.jpg": [{"picture": "a.jpg"} | size | one for one in old]})
    new = [{"picture": "b.jpg", "class_id": 0, "class": "sea", "pixels": 100} | size]
    found, total = summary.classes_of(summary.earlier(tmp_path, path) | {"b.jpg": new})
    assert [(one.pictures, one.pixels) for one in found] == [(2, 140), (1, 60)]
    assert total == 200


def test_a_share_is_of_all_pixels_where_only_some_classes_are_counted() -> None:
    row = {"class_id": 0, "class": "sea", "pixels": 25, "width": 10, "height": 10}
    (one,), total = summary.classes_of({"a.jpg": [row]})
    assert (one.pixels, total) == (25, 100)
