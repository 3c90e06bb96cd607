"""Measures how well a corpus is stored: `python -m services.corpus.storage_benchmark`.

Reads one JSON object from stdin,

    {"shards": [{"path", "file"}, ...], "sample_bytes", "repetitions"}

and prints JSON lines: {"step", "done", "total"} as it goes, then {"result", "kernel", "load",
"versions"}, or {"damage": {"shard", "offset", "problem"}}, or {"empty": true} where the shards hold
no text. Run in a process of its own, whose peak memory is the streaming's.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import zstandard

from services.common.calibration import kernel_seconds
from services.common.cpu_counters import allowed_others, load_between, processors, read_counters
from services.common.statistics.medians import widest_median_interval
from services.corpus.shards.blocks import read_blocks
from services.corpus.shards.decoder import decode_shard
from services.errors import DataLoss
from services.rpc.worker import end_with_parent

# Decoders are fed pieces of this size, as when reading from a disk.
_FEED_BYTES = 128 << 10
_GZIP_WBITS = 31
_STREAMED_BYTES = 128 << 20
_MAX_SHARDS_READ = 1000
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Sample:
    """Text of the first shards and what it is stored as: one compressed prefix a shard."""

    text: bytes
    stored: tuple[bytes, ...]


@dataclass(frozen=True)
class Codec:
    """One codec's form of the sample, and how to decode it piece by piece."""

    name: str
    parts: tuple[bytes, ...]
    decode: Callable[[bytes], int]

    def run(self) -> int:
        """Decode the sample once; return its size in bytes."""
        return sum(self.decode(part) for part in self.parts)

    @property
    def compressed_bytes(self) -> int:
        """Size of the sample in this codec's form."""
        return sum(len(part) for part in self.parts)


def main() -> None:
    """Measure what the request on stdin names."""
    end_with_parent()
    request = json.load(sys.stdin)
    try:
        for update in measure(
            [(shard["path"], Path(shard["file"])) for shard in request["shards"]],
            request["sample_bytes"],
            request["repetitions"],
        ):
            print(json.dumps(update), flush=True)
    except DataLoss as error:
        damage = {"shard": error.shard, "offset": error.offset, "problem": error.problem}
        print(json.dumps({"damage": damage}), flush=True)


def measure(
    shards: Sequence[tuple[str, Path]], sample_bytes: int, repetitions: int
) -> Iterator[dict[str, Any]]:
    """Yield progress, then the result. `shards` are (path in the corpus, file), not empty.

    Speeds are of processor time on one thread, so that another process's load on the machine
    distorts them little; the codecs take turns, so the load distorts all of them alike. gzip and
    zstd are also run as the tools that users have, where those are installed: how fast a format is
    read depends on who reads it.
    """
    makers = _makers()
    total = 3 + len(makers) + repetitions
    done = 0

    def progress(step: str) -> dict[str, Any]:
        nonlocal done
        done += 1
        return {"step": step, "done": done, "total": total}

    yield progress("streaming shards")
    streaming = streaming_memory(shards)
    yield progress("reading the sample")
    sample = read_sample(shards, sample_bytes)
    if not sample.text:
        yield {"empty": True}
        return
    yield progress("parsing with zstandard and json")
    plain = plain_parse(shards, sample.text.count(b"\n"))
    codecs = []
    for name, make in makers.items():
        yield progress(f"compressing with {name}")
        codecs.append(make(sample))
    seconds: dict[str, list[float]] = {codec.name: [] for codec in codecs}
    by_tool: dict[str, list[float]] = {codec.name: [] for codec in codecs}
    before, kernel = read_counters(), [kernel_seconds(1)]
    with tempfile.TemporaryDirectory() as folder:
        tools = [
            tool for codec in codecs if (tool := tool_of(codec, Path(folder), len(sample.text)))
        ]
        for turn in range(repetitions):
            yield progress(f"decompressing, turn {turn + 1} of {repetitions}")
            # A codec is not always measured after the same one.
            first = turn % len(codecs)
            for codec in codecs[first:] + codecs[:first]:
                begin = time.process_time()
                size = codec.run()
                seconds[codec.name].append(time.process_time() - begin)
                if size != len(sample.text):
                    raise RuntimeError(f"{codec.name} gave back {size} of {len(sample.text)} bytes")
            for tool in tools[turn % 2 :] + tools[: turn % 2]:
                by_tool[tool.codec].append(tool.run())
    kernel.append(kernel_seconds(1))
    load = load_between(before, read_counters(), threads=1)
    yield {
        "result": {
            "sample_bytes": len(sample.text),
            "codecs": [
                _speed(codec, sample, seconds[codec.name], by_tool[codec.name]) for codec in codecs
            ],
            "streaming": streaming,
            "plain_parse": plain,
        },
        "kernel": kernel,
        "load": {"allowed": allowed_others(1, processors()), **asdict(load)},
        "versions": decoder_versions(),
    }


@dataclass(frozen=True)
class Tool:
    """A codec's command-line tool and its file, which holds the sample `repeats` times.

    So the tool's own start is a small part of what it takes.
    """

    codec: str
    words: tuple[str, ...]
    repeats: int

    def run(self) -> float:
        """Decode the file; return the processor time that the tool took a sample, in seconds."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(self.words, stdout=subprocess.DEVNULL, check=True)  # noqa: S603 - a fixed tool
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        return taken / self.repeats


_TOOLS = {"gzip-6": "gzip", "zstd-3": "zstd"}
"""Codecs at their tools' default levels, by which the tools are compared."""

_TOOL_BYTES = 32 << 20
"""Text that a tool decodes at least in a run."""


def tool_of(codec: Codec, folder: Path, text_bytes: int) -> Tool | None:
    """Write a codec's form of the sample to a file in `folder`; None if no tool decodes it."""
    program = shutil.which(_TOOLS.get(codec.name, ""))
    if program is None:
        return None
    repeats = -(-_TOOL_BYTES // text_bytes)
    file = folder / codec.name
    file.write_bytes(b"".join(codec.parts) * repeats)
    return Tool(codec.name, (program, "-dc", "--", str(file)), repeats)


def decoder_versions() -> dict[str, str]:
    """Versions of what decodes: speeds are theirs."""
    found = {"zlib": zlib.ZLIB_RUNTIME_VERSION, "libzstd": _dotted(zstandard.ZSTD_VERSION)}
    for name in sorted(set(_TOOLS.values())):
        program = shutil.which(name)
        if program is not None:
            told = subprocess.run(  # noqa: S603 - a fixed tool
                [program, "--version"], capture_output=True, text=True, check=False
            )
            words = (told.stdout or told.stderr).replace(",", " ").split()
            numbers = [one.lstrip("v") for one in words if one.lstrip("v")[:1].isdigit()]
            found[name] = numbers[0] if numbers else "unknown"
    return found


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def streaming_memory(shards: Sequence[tuple[str, Path]]) -> dict[str, Any]:
    """Read shards as the service does; return what was read and the peak memory's growth in bytes.

    A reader has fixed buffers of a few megabytes. To tell them from memory that grows with the
    text, `_STREAMED_BYTES` are read: from small shards in turn, and again from the first (at most
    `_MAX_SHARDS_READ`), or the first part of a large one. Nothing is kept.
    """
    before = _peak_bytes()
    content_bytes = 0
    for path, file in itertools.islice(itertools.cycle(shards), _MAX_SHARDS_READ):
        for block in read_blocks(file, path):
            content_bytes += len(block.data)
            if content_bytes >= _STREAMED_BYTES:
                break
        if content_bytes >= _STREAMED_BYTES:
            break
    return {
        "shard": shards[0][0],
        "content_bytes": content_bytes,
        "peak_growth_bytes": _peak_bytes() - before,
    }


def read_sample(shards: Sequence[tuple[str, Path]], sample_bytes: int) -> Sample:
    """Take about `sample_bytes` of text, to the next zstd block, from the first shards."""
    text: list[bytes] = []
    stored: list[bytes] = []
    left = sample_bytes
    for path, file in shards:
        end = 0
        for offset, piece in decode_shard(file, path):
            text.append(piece)
            left -= len(piece)
            end = offset
            if left <= 0:
                break
        with file.open("rb") as source:
            stored.append(source.read(end))
        if left <= 0:
            break
    return Sample(b"".join(text), tuple(stored))


def plain_parse(shards: Sequence[tuple[str, Path]], wanted: int) -> dict[str, int]:
    """Parse the first `wanted` lines with zstandard and json alone."""
    lines = parsed = 0
    for _, file in shards:
        with (
            file.open("rb") as source,
            zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True) as decoder,
        ):
            for line in io.BufferedReader(decoder):
                if lines == wanted:
                    return {"lines": lines, "parsed": parsed}
                lines += 1
                try:
                    document = json.loads(line.decode())
                except (ValueError, RecursionError):
                    continue
                parsed += isinstance(document, dict) and isinstance(document.get("text"), str)
    return {"lines": lines, "parsed": parsed}


def _makers() -> dict[str, Callable[[Sample], Codec]]:
    def zstd(level: int) -> Callable[[Sample], Codec]:
        def make(sample: Sample) -> Codec:
            compressed = zstandard.ZstdCompressor(level=level).compress(sample.text)
            return Codec(f"zstd-{level}", (compressed,), _decode_zstd)

        return make

    def gzip6(sample: Sample) -> Codec:
        return Codec("gzip-6", (gzip.compress(sample.text, 6, mtime=0),), _decode_gzip)

    return {
        "stored": lambda sample: Codec("stored", sample.stored, _decode_zstd),
        "gzip-6": gzip6,
        **{f"zstd-{level}": zstd(level) for level in (1, 3, 19)},
    }


def _decode_zstd(data: bytes) -> int:
    decoder = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)
    return _feed(data, decoder.decompress)


def _decode_gzip(data: bytes) -> int:
    return _feed(data, zlib.decompressobj(_GZIP_WBITS).decompress)


def _feed(data: bytes, decode: Callable[[memoryview], bytes]) -> int:
    view = memoryview(data)
    starts = range(0, len(data), _FEED_BYTES)
    return sum(len(decode(view[start : start + _FEED_BYTES])) for start in starts)


def _speed(
    codec: Codec, sample: Sample, seconds: Sequence[float], tool_seconds: Sequence[float]
) -> dict[str, Any]:
    speeds = [len(sample.text) / max(taken, 1e-9) for taken in seconds]
    found = widest_median_interval(speeds, 0.99)
    return {
        "codec": codec.name,
        "ratio": len(sample.text) / codec.compressed_bytes,
        "decompress_bytes_per_second": median(speeds),
        "decompress_interval": {"low": found.low, "high": found.high, "level": found.level},
        "seconds": list(seconds),
        "tool_seconds": list(tool_seconds),
    }


def _peak_bytes() -> int:
    """Peak resident memory of this process so far, in bytes.

    From the kernel's figure of this address space: getrusage's is never below what the parent
    process had when it started this one.
    """
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{_STATUS} does not say the peak resident memory")


if __name__ == "__main__":
    main()
