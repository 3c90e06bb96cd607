"""Reads a split of the reference corpus for training and evaluation."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import zstandard


def texts(corpus: Path, split: str) -> Iterator[tuple[str, bytes]]:
    """Yield (subset, UTF-8 text) of every document of a split, in the order of the shards."""
    shards = sorted((corpus / split).glob("*.jsonl.zst")) or [corpus / f"{split}.jsonl.zst"]
    for shard in shards:
        with shard.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
            for line in io.TextIOWrapper(reader, encoding="utf-8"):
                record = json.loads(line)
                text = record["text"].encode("utf-8", "surrogatepass")
                yield record["meta"]["pile_set_name"], text
