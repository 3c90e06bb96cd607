"""Compares indexing a shard with decompressing and recompressing it, on one core.

    taskset -c 0 python -m benchmarks.corpus.index [--rounds N]

Needs the real documents (ASSAY_TEST_DATA). The other side is the least that re-framing can do: the
`zstandard` package, one stream in and one out, at the same level. Rounds alternate; figures are
medians of processor time.

Writes benchmarks/results/corpus/index.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import zstandard

from benchmarks import report
from benchmarks.corpus.local_read import NAME, make_shard
from services.corpus.shards.index.writer import LEVEL, IndexOptions, write_index

_PIECE_BYTES = 1 << 20


def recompress(source: Path, out: Path) -> None:
    """Decompress and compress again."""
    reader = zstandard.ZstdDecompressor()
    with source.open("rb") as raw, out.open("wb") as file:
        decoded = reader.stream_reader(raw)
        with zstandard.ZstdCompressor(level=LEVEL).stream_writer(file) as writer:
            while piece := decoded.read(_PIECE_BYTES):
                writer.write(piece)


def timed(action: Callable[[Path], object]) -> float:
    """Processor seconds of one run into an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        action(Path(folder))
        return time.process_time() - begun


def main() -> None:
    """Run the rounds and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--venvs", type=Path, default=report.HERE.parent / ".venv-peers")
    options = parser.parse_args()
    source, index = make_shard(options.venvs / "bench", options.megabytes)
    sides: dict[str, Callable[[Path], object]] = {
        "zstandard": lambda out: recompress(source, out / "again.zst"),
        "with the file of texts": lambda out: write_index(source, NAME, out),
        "without it": lambda out: write_index(source, NAME, out, IndexOptions(with_text=False)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, action in sides.items():
            seconds[name].append(timed(action))
    size = int(index.line_bytes.sum(dtype="int64")) / 1e6
    speed = {name: size / statistics.median(found) for name, found in seconds.items()}
    rows = [
        report.row(
            f"indexing a shard, {name}",
            f"decompressing and compressing at level {LEVEL} with zstandard",
            speed[name],
            speed["zstandard"],
            "MB of jsonl per second of processor time",
            target=0.5,
        )
        for name in list(sides)[1:]
    ]
    report.write("corpus/index", rows, packages=("zstandard", "orjson", "xxhash"))


if __name__ == "__main__":
    main()
