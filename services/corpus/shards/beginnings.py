"""What a file without a telling name holds, by how it begins."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from services.corpus.shards.foreign import is_wide

# Files that describe a dataset and are none of its documents, by their names without a suffix.
DESCRIBING = frozenset(
    {"card", "config", "croissant", "dataset_dict", "dataset_info", "dataset_infos", "index"}
    | {"license", "manifest", "meta", "metadata", "notice", "readme", "requirements", "state"}
    | {"stats", "sha256sums"}
)
_SNIFFED_BYTES = 1 << 16
_BEGINNING_BYTES = 64


def is_unnamed_shard(root: Path, path: str, read: Collection[str]) -> bool:
    """Whether a file has no ending and begins as a record does, as Spark's part-00000 may."""
    *folders, name = path.split("/")
    if "." in name or path in read or name.lower() in DESCRIBING:
        return False
    if folders[-1:] == ["blobs"]:
        return False  # of a cache of the Hugging Face hub, which links to them by their names
    try:
        with (root / path).open("rb") as opened:
            return _begins_record(opened.read(_BEGINNING_BYTES))
    except OSError:  # one that cannot be read is no shard of this corpus
        return False


def holds_records(file: Path) -> bool:
    """Whether a JSON file that is not compressed begins as records do and not as a setting does."""
    if file.name.split(".")[0].lower() in DESCRIBING:
        return False
    if file.suffix.lower() != ".json":
        return True
    with file.open("rb") as opened:
        begun = opened.read(_SNIFFED_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    if begun.startswith(b"[") or is_wide(begun):
        return True
    line, newline, _ = begun.partition(b"\n")
    if not newline and len(begun) >= _SNIFFED_BYTES // 2:
        return begun.startswith(b"{")  # one long line
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _begins_record(begun: bytes) -> bool:
    rest = begun.removeprefix(b"\xef\xbb\xbf").lstrip()
    return rest.startswith(b"{") and rest[1:].lstrip().startswith(b'"')
