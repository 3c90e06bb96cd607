"""Compares reading a local shard into documents with other loaders, on one core.

    python -m benchmarks.corpus.local_read [--rounds N] [--megabytes N]

Needs the real documents (ASSAY_TEST_DATA): a shard of them is made by repetition, once, and
indexed. Every side makes a bytes object of each text; peers run in environments of their own. Timed
rounds alternate; figures are medians of processor time without start-up, which is shown separately.

Writes benchmarks/results/corpus/local_read.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from pathlib import Path

import zstandard

from benchmarks import report
from benchmarks.peer_process import PeerProcess, peer_python
from services.cli import testdata
from services.corpus.shards.frames import FrameReader
from services.corpus.shards.index.format import Index, open_index
from services.corpus.shards.index.writer import write_index
from services.corpus.shards.layout import find_shards

NAME = "train/00.jsonl.zst"
# For a slow peer, less of the shard gives the same rate.
LIMITS = {"datasets": 40_000_000, "mosaicml": 40_000_000}
TARGETS = {"lm_dataformat": 2.5, "datasets": 25.0, "mosaicml": 10.0}


class Readers(PeerProcess):
    """Loaders in a process of their own."""

    def __init__(self, venv: Path, requirements: str) -> None:
        super().__init__(peer_python(venv, requirements), "corpus_readers.py")

    def measure(self, reader: str, shard: Path, limit_bytes: int) -> dict[str, float]:
        """Time one reader; the first 200 documents are not counted."""
        answer: dict[str, float] = self.ask(
            reader=reader, shard=str(shard), limit_bytes=limit_bytes, skip=200
        )
        return answer


def make_shard(folder: Path, megabytes: int) -> tuple[Path, Index]:
    """Return a shard of one frame, as the Pile's are, and the index of its re-framed copy."""
    source, out = folder / f"{megabytes}.jsonl.zst", folder / f"{megabytes}-indexed"
    data = testdata.data_dir()
    if data is None:
        raise SystemExit("no real documents: set ASSAY_TEST_DATA")
    if not source.exists():
        folder.mkdir(parents=True, exist_ok=True)
        decoder, lines = zstandard.ZstdDecompressor(), b""
        for shard in find_shards(data / "pile"):
            with shard.file.open("rb") as file:
                lines += decoder.stream_reader(file).read()
        partial = source.with_suffix(".partial")
        compressor = zstandard.ZstdCompressor(level=3)
        with partial.open("wb") as raw, compressor.stream_writer(raw) as writer:
            for _ in range(max(1, megabytes * 1_000_000 // len(lines))):
                writer.write(lines)
        partial.replace(source)
    if not (out / "train" / "00.index").exists():
        write_index(source, NAME, out)
    return source, open_index(out / "train" / "00.index")


def read_texts(frames: FrameReader, limit_bytes: int) -> dict[str, float]:
    """Time our reader over the frames of texts."""
    wall, cpu, size = time.perf_counter(), time.process_time(), 0
    for frame in range(len(frames.index.frames)):
        size += sum(map(len, frames.texts(frame)))
        if size >= limit_bytes:
            break
    return {
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.perf_counter() - wall,
        "text_bytes": size,
    }


def zstd_seconds(shard: Path) -> float:
    """Time `zstd -dc` of the shard of one frame: seconds of processor time."""
    before = os.times()
    with Path(os.devnull).open("wb") as nowhere:
        subprocess.run(["zstd", "-dcq", "--single-thread", shard], check=True, stdout=nowhere)
    after = os.times()
    used = after.children_user + after.children_system
    return used - before.children_user - before.children_system


def main() -> None:
    """Run the rounds and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--venvs", type=Path, default=report.HERE.parent / ".venv-peers")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    source, index = make_shard(arguments.venvs / "bench", arguments.megabytes)
    out = source.with_name(f"{arguments.megabytes}-indexed") / "train"
    frames = FrameReader(NAME, out / "00.jsonl.zst", out / "00.text.zst", index)
    peers = Readers(arguments.venvs / "corpus", "corpus.txt")
    mosaicml = Readers(arguments.venvs / "mosaicml", "mosaicml.txt")
    whole = int(index.text_bytes.sum(dtype="int64"))
    readers = ("lm_dataformat", "zstandard + orjson", "datasets", "mosaicml")
    ours: dict[str, list[float]] = {name: [] for name in (*readers, "zstd -dc")}
    theirs: dict[str, list[float]] = {name: [] for name in (*readers, "zstd -dc")}
    starts: dict[str, list[float]] = {name: [] for name in readers}
    mosaicml.measure("mosaicml", source, 1_000_000)  # writes its shards
    for turn in range(arguments.rounds):
        for name in readers:
            limit = min(LIMITS.get(name, whole // 2), whole // 2)
            answer = (mosaicml if name == "mosaicml" else peers).measure(name, source, limit)
            theirs[name].append(answer["text_bytes"] / answer["cpu_seconds"] / 1e6)
            starts[name].append(answer["start_seconds"])
            mine = read_texts(frames, whole // 2)
            ours[name].append(mine["text_bytes"] / mine["cpu_seconds"] / 1e6)
        theirs["zstd -dc"].append(whole / zstd_seconds(source) / 1e6)
        mine = read_texts(frames, whole)
        ours["zstd -dc"].append(mine["text_bytes"] / mine["cpu_seconds"] / 1e6)
        print(f"round {turn + 1} of {arguments.rounds}", flush=True)
    peers.close()
    mosaicml.close()
    rows = [
        report.row(
            "a shard on the local disk to a bytes object a text, one core",
            name,
            statistics.median(ours[name]),
            statistics.median(theirs[name]),
            "MB of text per second of processor time",
            target=TARGETS.get(name, 0.9 if name == "zstd -dc" else None),
        )
        for name in (*readers, "zstd -dc")
    ]
    report.write(
        "corpus/local_read",
        rows,
        packages=("zstandard", "orjson", "numpy"),
        peer_versions={**peers.versions, **mosaicml.versions},
        shard={
            "made_by": "repeating the real documents",
            "compressed_bytes": source.stat().st_size,
            "text_bytes": whole,
            "documents": index.documents,
        },
        start_seconds={
            name: round(statistics.median(seconds), 3) for name, seconds in starts.items()
        },
    )


if __name__ == "__main__":
    main()
