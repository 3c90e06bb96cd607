"""Writes small corpora for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import zstandard

from services.common.license import License
from services.corpus.catalog.catalog import Catalog, Registration
from services.corpus.catalog.corpus import Corpus, Kind

NAME = "small"


def line(text: str, subset: str | None = "Github", **more: Any) -> bytes:
    """One line as the Pile has it, with its newline."""
    record: dict[str, Any] = {"text": text, **more}
    if subset is not None:
        record["meta"] = {"pile_set_name": subset}
    return json.dumps(record).encode() + b"\n"


def compress(data: bytes, *, checksum: bool = False, level: int = 3) -> bytes:
    """One zstd frame, as a stream writes it: without its size."""
    compressor = zstandard.ZstdCompressor(
        level=level, write_checksum=checksum, write_content_size=False
    )
    writer = compressor.compressobj()
    return writer.compress(data) + writer.flush()


def frames(data: bytes, ends: Iterable[int] = (), **options: Any) -> bytes:
    """Several frames, cut at `ends`."""
    cuts = [0, *sorted(ends), len(data)]
    parts = (data[start:end] for start, end in pairwise(cuts))
    return b"".join(compress(part, **options) for part in parts)


def write_corpus(root: Path, shards: Mapping[str, Sequence[bytes] | bytes]) -> Path:
    """Write shards: path to lines, or to the very bytes of the file."""
    for path, content in shards.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else compress(b"".join(content)))
    return root


def open_corpus(root: Path, cache: Path, name: str = NAME) -> Corpus:
    """Register and open the corpus at `root`."""
    catalog = Catalog(cache)
    license_ = License("MIT", "MIT License", "https://spdx.org/licenses/MIT.html")
    catalog.load({name: Registration(root, Kind.SAMPLE, "a test", license_)})
    return catalog.open(name)
