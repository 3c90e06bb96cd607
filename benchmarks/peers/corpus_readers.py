"""Reads a shard with other loaders, for corpus/local_read.py and corpus/other_readers.py.

Runs in an environment that has them and none of this project. Reads one JSON object a line:
{"reader": NAME, "shard": FILE, "limit_bytes": N, "skip": N}; the clock starts after `skip`
documents and stops after `limit_bytes` of text. Answers each with {"start_seconds",
"wall_seconds", "cpu_seconds", "text_bytes"}, start-up being what passes until the first document.
{"reader": NAME, "shard": FILE} alone is answered with {"documents", "digest"}: SHA-256 over the
sorted SHA-256 of the texts. The first line it writes has versions.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import orjson

_BATCH = 4096


def lm_dataformat(shard: str) -> Iterator[bytes]:
    """Its own generator, with orjson instead of the json module that jsonlines uses."""
    import jsonlines
    import lm_dataformat as lmd

    reader = jsonlines.Reader
    lmd.jsonlines.Reader = lambda file, *_, **__: reader(file, loads=orjson.loads)
    for text in lmd.Reader(shard).read_jsonl_zst(shard):
        yield text.encode()


def zstandard_orjson(shard: str) -> Iterator[bytes]:
    """The leanest loop over the same two libraries: decode, split, parse."""
    import zstandard

    tail = b""
    with (
        open(shard, "rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as source,
    ):
        while data := source.read(1 << 20):
            lines = (tail + data).split(b"\n")
            tail = lines.pop()
            for line in lines:
                yield orjson.loads(line)["text"].encode()


def huggingface(shard: str) -> Iterator[bytes]:
    """`datasets` in streaming mode."""
    import datasets

    datasets.disable_progress_bars()
    rows = datasets.load_dataset("json", data_files=shard, split="train", streaming=True)
    for row in rows:
        yield row["text"].encode()


def mosaicml(shard: str) -> Iterator[bytes]:
    """A StreamingDataset over the shard's documents written as MDS with zstd, next to the shard."""
    from streaming import MDSWriter, StreamingDataset

    folder = Path(shard).with_suffix(".mds")
    if not folder.exists():
        columns = {"text": "bytes"}
        with MDSWriter(out=str(folder), columns=columns, compression="zstd:3") as out:
            for text in zstandard_orjson(shard):
                out.write({"text": text})
    with tempfile.TemporaryDirectory() as local:
        dataset: Any = StreamingDataset(
            remote=str(folder), local=local, shuffle=False, batch_size=1
        )
        for sample in dataset:
            yield sample["text"]


READERS = {
    "lm_dataformat": lm_dataformat,
    "zstandard + orjson": zstandard_orjson,
    "datasets": huggingface,
    "mosaicml": mosaicml,
}


def measure(reader: str, shard: str, limit_bytes: int, skip: int) -> dict[str, float]:
    """Time the documents after the first `skip`, which are at least one."""
    begun = time.perf_counter()
    texts = READERS[reader](shard)
    next(texts)
    start = time.perf_counter() - begun
    for _ in range(skip - 1):
        next(texts)
    kept: list[bytes] = []  # both sides must make a list of the texts
    wall, cpu = time.perf_counter(), time.process_time()
    size = 0
    for text in texts:
        kept.append(text)
        size += len(text)
        if size >= limit_bytes:
            break
        if len(kept) == _BATCH:
            kept.clear()
    return {
        "start_seconds": start,
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "text_bytes": size,
    }


def digest(reader: str, shard: str) -> dict[str, Any]:
    """Digest all texts, whatever their order."""
    found = sorted(hashlib.sha256(text).digest() for text in READERS[reader](shard))
    return {"documents": len(found), "digest": hashlib.sha256(b"".join(found)).hexdigest()}


def main() -> None:
    """Answer requests until standard input ends."""
    names = ("lm-dataformat", "datasets", "mosaicml-streaming", "zstandard", "orjson", "pyarrow")
    here = {one.name for one in distributions()}
    print(json.dumps({name: version(name) for name in names if name in here}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = measure(**request) if "limit_bytes" in request else digest(**request)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
