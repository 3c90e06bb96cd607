"""Where the shards of a corpus are: the layout that the Pile was published in.

    train/00.jsonl.zst, train/01.jsonl.zst, ...
    val.jsonl.zst
    test.jsonl.zst

`val/` and `test/` may be folders of shards as well. Other files are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
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
    """Find the shards below `root`, in streaming order.

    Raises LayoutError when there is none.
    """
    files = [root / f"{split}{SUFFIX}" for split in SPLITS]
    for split in SPLITS:
        if (root / split).is_dir():
            files += (root / split).iterdir()
    paths = [file.relative_to(root).as_posix() for file in files if file.is_file()]
    found = tuple(ShardFile(split, path, root / path) for split, path in in_order(paths))
    if not found:
        state = "holds no shard" if root.is_dir() else "is not a directory"
        raise LayoutError(
            f"{root} {state}; a corpus has train/NN{SUFFIX}, val{SUFFIX} or test{SUFFIX}"
        )
    return found


def in_order(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Return (split, path) of those of `paths` below a corpus's root that are shards.

    In streaming order: by split, the shard beside its folder first, then by name, 2 before 10.
    """
    found: list[tuple[int, bool, list[tuple[int, str]], str]] = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        split = folder or name.removesuffix(SUFFIX)
        if split in SPLITS and name.endswith(SUFFIX) and not name.startswith("."):
            found.append((SPLITS.index(split), bool(folder), _natural(name), path))
    return [(SPLITS[split], path) for split, _, _, path in sorted(found)]


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that compares runs of digits as numbers, and equal numbers by their spelling."""
    return [
        (int(part), part) if part.isdecimal() else (-1, part)
        for part in re.split(r"([0-9]+)", name)
    ]
