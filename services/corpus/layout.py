"""Where the shards of a corpus are: the layout that the Pile was published in.

    train/00.jsonl.zst, train/01.jsonl.zst, ...
    val.jsonl.zst
    test.jsonl.zst

`val/` and `test/` may be folders of shards as well. Other files are left alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "val", "test")
SUFFIX = ".jsonl.zst"


class LayoutError(ValueError):
    """The directory is not a corpus; the message says what was expected."""


@dataclass(frozen=True)
class ShardFile:
    """One shard: its split, its path below the corpus's root with "/" between parts, the file."""

    split: str
    path: str
    file: Path


def find_shards(root: Path) -> tuple[ShardFile, ...]:
    """Find the shards below `root`, in streaming order: by split, then by name, 2 before 10.

    Raises LayoutError when there is none.
    """
    found: list[ShardFile] = []
    for split in SPLITS:
        single = root / f"{split}{SUFFIX}"
        files = [single] if single.is_file() else []
        folder = root / split
        if folder.is_dir():
            files += sorted(
                (entry for entry in folder.iterdir() if _is_shard(entry)),
                key=lambda entry: _natural(entry.name),
            )
        found += [ShardFile(split, file.relative_to(root).as_posix(), file) for file in files]
    if not found:
        state = "holds no shard" if root.is_dir() else "is not a directory"
        raise LayoutError(
            f"{root} {state}; a corpus has train/NN{SUFFIX}, val{SUFFIX} or test{SUFFIX}"
        )
    return tuple(found)


def _is_shard(entry: Path) -> bool:
    return entry.name.endswith(SUFFIX) and not entry.name.startswith(".") and entry.is_file()


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that compares runs of digits as numbers, and equal numbers by their spelling."""
    return [
        (int(part), part) if part.isdecimal() else (-1, part)
        for part in re.split(r"([0-9]+)", name)
    ]
