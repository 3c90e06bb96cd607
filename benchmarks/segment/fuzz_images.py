"""Feeds damaged pictures to the decoder, and counts those neither decoded nor refused.

    python -m benchmarks.segment.fuzz_images [--inputs N] [--seed N] [--processes N] [--state FILE]

Seeds are small pictures of every format and kind, drawn here. An input is a seed after one to
eight edits: flipped bits, extreme numbers, markers, pieces moved, repeated, removed or taken from
another seed, a cut at the end; half of the PNGs get correct checksums again. Inputs come in chunks
that depend only on the seed and the chunk's number: `--chunk N` repeats one. With `--state`, chunks
that an earlier run has finished are skipped.

An outcome is a picture, BadImage or ImageTooLarge. Anything else, an input that takes more than
_SLOW seconds of processor time, and a process that dies or hangs are failures: exit status 1.

Writes benchmarks/results/segment/fuzz_images.json.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import json
import random
import resource
import struct
import sys
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import report
from services.errors import BadImage, ImageTooLarge
from services.segment.images.decode import decode

_CHUNK = 2_000
_MAX_PIXELS = 1_000_000
_SLOW = 2.0
# A chunk takes a second or two; a process that takes this long hangs, and prints its stack.
_HANGS = 300.0
_SIZE = (12, 16)
_WORDS = [
    *(b"\xff" + bytes([code]) for code in (*range(0xC0, 0xE3), 0xED, 0xFE)),
    *(b"IHDR PLTE IDAT IEND iCCP iTXt zTXt tEXt eXIf tRNS acTL fcTL fdAT cICP pHYs gAMA".split()),
    *(b"RIFF WEBP VP8  VP8L VP8X ANIM ANMF ALPH EXIF XMP ".split(b" ")),
    *(b"GIF87a GIF89a BM II*\0 MM\0* Exif\0\0 JFIF\0 Adobe MPF\0 ICC_PROFILE\0".split(b" ")),
    *(b"\x21\xf9\x04", b"\x21\xfe", b"\x21\xff\x0bNETSCAPE2.0", b"\x2c", b"\x3b"),
    *(
        struct.pack("<HHI", tag, kind, 1)
        for tag in (256, 257, 259, 322, 323, 273)
        for kind in (3, 4)
    ),
]
_NUMBERS = [0, 1, 2, 3, 5, 8, 16, 32, 64, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**24, 2**31 - 1]
_NUMBERS += [2**31, 2**32 - 1]


@cache
def seeds() -> tuple[bytes, ...]:
    """Small pictures of every format, mode and variant that Pillow can write."""
    height, width = _SIZE
    ramp = np.linspace(0, 255, height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = []

    def add(image: Image.Image, kind: str, frames: int = 1, **options: Any) -> None:
        file = io.BytesIO()
        if frames > 1:
            turned = image.transpose(Image.Transpose.ROTATE_180)
            options |= {"save_all": True, "append_images": [turned] * (frames - 1)}
        image.copy().save(file, kind, **options)  # a copy: saving leaves settings behind
        found.append(file.getvalue())

    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "words"
    for picture in (Image.fromarray(ramp), Image.fromarray(noise)):
        for mode in ("RGB", "L", "CMYK"):
            add(picture.convert(mode), "JPEG", quality=60)
        add(picture, "JPEG", progressive=True, exif=exif, icc_profile=bytes(300), comment=b"words")
        add(picture, "JPEG", restart_marker_blocks=1, subsampling=0)
        add(picture, "MPO", frames=2)
        for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"):
            add(
                picture.convert("L").convert(mode) if mode == "I;16" else picture.convert(mode),
                "PNG",
            )
        add(picture.convert("P"), "PNG", transparency=bytes(range(256)), exif=exif)
        add(picture, "PNG", icc_profile=bytes(300), frames=2)
        add(picture, "WEBP", quality=50)
        add(picture.convert("RGBA"), "WEBP", lossless=True, exif=exif)
        add(picture, "WEBP", frames=2)
        add(picture, "GIF")
        add(picture.convert("P"), "GIF", transparency=3, comment=b"words", frames=2)
        for mode in ("RGB", "L", "P", "1"):
            add(picture.convert(mode), "BMP")
        for mode in ("RGB", "RGBA", "CMYK", "L", "P", "1", "I;16", "F"):
            grey = picture.convert("L").convert(mode) if mode in {"I;16", "F"} else None
            add(grey or picture.convert(mode), "TIFF")
        for packing in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "tiff_deflate"):
            add(picture, "TIFF", compression=packing)
        add(picture, "TIFF", exif=exif, frames=2)
        for packing in ("group3", "group4", "tiff_ccitt"):
            add(picture.convert("1"), "TIFF", compression=packing)
    return (*found, _run_length_bmp())


def mutated(generator: random.Random) -> bytes:
    """One input."""
    data = bytearray(generator.choice(seeds()))
    for _ in range(generator.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        generator.choice(_EDITS)(data, generator)
    if data.startswith(b"\x89PNG") and generator.random() < 0.5:
        return _with_checksums(bytes(data))
    return bytes(data)


def outcome(data: bytes) -> str:
    """The outcome of one input: a picture, the name of its refusal, or the failure."""
    start = time.thread_time()
    try:
        picture = decode(data, _MAX_PIXELS)
        np.asarray(picture)
    except (BadImage, ImageTooLarge) as error:
        kind = type(error).__name__
    except Exception as error:  # noqa: BLE001  # what the run is for: it is counted and told
        kind = f"{type(error).__name__}: {error}"
    else:
        right = picture.mode == "RGB" and 0 < picture.width * picture.height <= _MAX_PIXELS
        kind = "picture" if right else f"a picture {picture.mode} {picture.size}"
    took = time.thread_time() - start
    return kind if took <= _SLOW else f"slow: {took:.1f} s"


def run_chunk(seed: int, chunk: int, inputs: int = _CHUNK) -> dict[str, Any]:
    """Outcomes of one chunk, its slowest input in milliseconds, and the process's peak memory."""
    generator = random.Random(f"{seed}:{chunk}")
    counts: Counter[str] = Counter()
    slowest = 0.0
    faulthandler.dump_traceback_later(_HANGS, exit=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns when it repairs something
        for _ in range(inputs):
            data = mutated(generator)
            start = time.thread_time()
            counts[outcome(data)] += 1
            slowest = max(slowest, time.thread_time() - start)
    faulthandler.cancel_dump_traceback_later()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"chunk": chunk, "counts": dict(counts), "slowest_ms": 1e3 * slowest, "peak_mib": peak}


_GOOD = {"picture", BadImage.__name__, ImageTooLarge.__name__}


def _flip(data: bytearray, generator: random.Random) -> None:
    if data:
        data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)


def _set(data: bytearray, generator: random.Random) -> None:
    if data:
        data[generator.randrange(len(data))] = generator.randrange(256)


def _set_early(data: bytearray, generator: random.Random) -> None:
    if data:
        data[generator.randrange(min(64, len(data)))] = generator.randrange(256)


def _number(data: bytearray, generator: random.Random) -> None:
    size = generator.choice((2, 4))
    value = generator.choice(_NUMBERS) % 2 ** (8 * size)
    place = generator.randrange(len(data) + 1)
    data[place : place + size] = value.to_bytes(size, generator.choice(("big", "little")))


def _word(data: bytearray, generator: random.Random) -> None:
    word = generator.choice(_WORDS)
    place = generator.randrange(len(data) + 1)
    data[place : place + generator.choice((0, len(word)))] = word


def _cut(data: bytearray, generator: random.Random) -> None:
    del data[generator.randrange(len(data) + 1) :]


def _leave_out(data: bytearray, generator: random.Random) -> None:
    place = generator.randrange(len(data) + 1)
    del data[place : place + generator.randrange(1, 40)]


def _repeat(data: bytearray, generator: random.Random) -> None:
    place = generator.randrange(len(data) + 1)
    data[place:place] = data[place : place + generator.randrange(1, 80)] * generator.choice((1, 9))


def _splice(data: bytearray, generator: random.Random) -> None:
    other = generator.choice(seeds())
    data[generator.randrange(len(data) + 1) :] = other[generator.randrange(len(other)) :]


_EDITS: list[Callable[[bytearray, random.Random], None]] = [
    *(_flip, _flip, _set, _set_early, _number, _number, _word, _cut, _leave_out, _repeat, _splice)
]


def _with_checksums(data: bytes) -> bytes:
    """A PNG with correct checksums in all chunks that can be found."""
    out, place = bytearray(data), 8
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if end + 4 > len(data):
            break
        out[end : end + 4] = struct.pack(">I", zlib.crc32(data[place + 4 : end]))
        place = end + 4
    return bytes(out)


def _run_length_bmp() -> bytes:
    """A run-length encoded BMP, which Pillow reads and does not write."""
    height, width = _SIZE
    body = bytes([width, 7, 0, 0]) * (height - 1)
    body += bytes([4, 1, 0, 2, 1, 0, 0, 3, 5, 6, 7, 0, 8, 9, 0, 1])
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 0, 0, 256, 0)
    start = 14 + len(info) + 1024
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + bytes(1024) + body


def _finished(state: Path | None) -> dict[int, dict[str, Any]]:
    if state is None or not state.exists():
        return {}
    lines = map(json.loads, state.read_text(encoding="utf-8").splitlines())
    return {line["chunk"]: line for line in lines}


def _run(chosen: argparse.Namespace, known: dict[int, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Run the chunks without a known outcome, each in one of the processes."""
    chunks = [chunk for chunk in range(-(-chosen.inputs // _CHUNK)) if chunk not in known]
    with ProcessPoolExecutor(chosen.processes) as pool:
        futures = [pool.submit(run_chunk, chosen.seed, chunk) for chunk in chunks]
        for chunk, future in zip(chunks, futures, strict=True):
            try:
                yield future.result()
            except Exception as error:
                raise SystemExit(
                    f"chunk {chunk}, or one beside it, ended its process: {error}"
                ) from error


def main() -> int:
    """Run, count, print and write."""
    parser = argparse.ArgumentParser(description="Feeds damaged pictures to the decoder.")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--state", type=Path, help="a file of finished chunks, to go on from")
    parser.add_argument("--chunk", type=int, help="run this chunk alone and print its outcomes")
    chosen = parser.parse_args()
    if chosen.chunk is not None:
        print(json.dumps(run_chunk(chosen.seed, chosen.chunk), indent=2))
        return 0
    done = _finished(chosen.state)
    start = time.monotonic()
    for result in _run(chosen, done.copy()):
        done[result["chunk"]] = result
        if chosen.state is not None:
            with chosen.state.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
    counts: Counter[str] = Counter()
    for result in done.values():
        counts.update(result["counts"])
    failures = {kind: count for kind, count in counts.items() if kind not in _GOOD}
    inputs = sum(counts.values())
    print(f"{inputs} inputs in {time.monotonic() - start:.0f} s: {dict(counts)}")
    report.write(
        "segment/fuzz_images",
        [
            {
                "what": f"{inputs:,} damaged pictures, those that are neither decoded nor refused",
                "peer": "none",
                "ours": sum(failures.values()),
                "theirs": None,
                "unit": "inputs",
                "ratio": None,
                "target": 0,
            }
        ],
        packages=("pillow", "numpy"),
        seed=chosen.seed,
        outcomes={kind: counts[kind] for kind in sorted(_GOOD)},
        failures=failures,
        slowest_ms=round(max(result["slowest_ms"] for result in done.values()), 1),
        peak_mib=round(max(result["peak_mib"] for result in done.values())),
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
