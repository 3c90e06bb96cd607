from __future__ import annotations

from pathlib import Path

import pytest

from services.corpus.shards.layout import LayoutError, find_layout, find_shards


def _touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")


def test_shards_come_by_split_then_in_natural_order(tmp_path: Path) -> None:
    _touch(
        tmp_path,
        "test.jsonl.zst",
        "val/1.jsonl.zst",
        "val.jsonl.zst",
        "train/10.jsonl.zst",
        "train/2.jsonl.zst",
        "train/00.jsonl.zst",
    )
    found = find_shards(tmp_path)
    assert [(shard.split, shard.path) for shard in found] == [
        ("train", "train/00.jsonl.zst"),
        ("train", "train/2.jsonl.zst"),
        ("train", "train/10.jsonl.zst"),
        ("val", "val.jsonl.zst"),
        ("val", "val/1.jsonl.zst"),
        ("test", "test.jsonl.zst"),
    ]
    assert all(shard.file == tmp_path / shard.path for shard in found)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    _touch(
        tmp_path,
        "test.jsonl.zst",
        "notes.txt",
        "extra.jsonl.zst",
        "train/.00.jsonl.zst.part",
        "train/.01.jsonl.zst",
        "train/index.json",
    )
    (tmp_path / "train" / "folder.jsonl.zst").mkdir()
    assert [shard.path for shard in find_shards(tmp_path)] == ["test.jsonl.zst"]


@pytest.mark.parametrize("exists", [True, False])
def test_no_shards_says_what_was_expected(tmp_path: Path, exists: bool) -> None:
    root = tmp_path if exists else tmp_path / "nowhere"
    problem = "holds no shard" if exists else "is not a directory"
    with pytest.raises(LayoutError, match=f"{problem}.*train/NN.jsonl.zst, val.jsonl.zst or test"):
        find_shards(root)


def test_folders_that_are_passed_over_are_named(tmp_path: Path) -> None:
    for name in ("data/a.jsonl", "_old/b.jsonl", ".kept/deep/c.parquet", ".git/config", "_tmp/x"):
        file = tmp_path / name
        file.parent.mkdir(parents=True)
        file.write_bytes(b'{"text": "x"}\n')
    layout = find_layout(tmp_path)
    assert [shard.path for shard in layout.shards] == ["data/a.jsonl"]
    assert set(layout.left_out) == {"_old/", ".kept/"}
    assert "_old/" in layout.notice()


def test_a_folder_that_a_link_leads_to_again_is_named(tmp_path: Path) -> None:
    """Each folder is read once; one above the corpus is none of it, and a round loses nothing."""
    root = tmp_path / "corpus"
    for folder in (root / "train", root / "notes", tmp_path / "other"):
        folder.mkdir(parents=True)
        if folder.name != "notes":
            (folder / "a.jsonl").write_bytes(b"")
    (root / "train" / "round").symlink_to(root / "train")
    (root / "remarks").symlink_to("notes")  # without data
    assert not find_layout(root).left_out
    (root / "up").symlink_to("..")
    (root / "validation").symlink_to("train")
    found = find_layout(root)
    assert [shard.path for shard in found.shards] == ["train/a.jsonl"]
    assert found.left_out == ("up/", "validation/")
