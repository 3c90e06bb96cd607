"""Draws docs/images/speed.svg from the committed results: python -m benchmarks.plot.

A bar a row, on a logarithmic scale: how many times as fast as the peer, on the same machine.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PICTURE = ROOT / "docs" / "images" / "speed.svg"

ROWS = (
    (
        "segment/servers",
        "B0 in fp32, a JPEG file of 1024 x 768 to labels, clients: 8",
        "Triton-python, usual",
        "photo to labels, 8 clients: Triton (Python)",
    ),
    (
        "segment/servers",
        "B0 in fp32, a JPEG file of 1024 x 768 to labels, clients: 8",
        "LitServe, usual",
        "photo to labels, 8 clients: LitServe",
    ),
    (
        "segment/pipeline",
        "B0 in fp32, a JPEG file of 1024 x 768 to labels, one client, over loopback",
        "transformers pipeline, in its own process",
        "photo to labels, 1 client: transformers",
    ),
    (
        "corpus/local_read",
        "a shard on the local disk to a bytes object a text, one core",
        "datasets",
        "shard to texts, 1 core: datasets",
    ),
    (
        "corpus/local_read",
        "a shard on the local disk to a bytes object a text, one core",
        "lm_dataformat",
        "shard to texts, 1 core: lm_dataformat",
    ),
    (
        "bpb/speed",
        "scoring in fp32, one thread",
        "lm-eval in fp32, batch size 8, warm",
        "bits per byte, 1 thread: lm-eval",
    ),
)
"""File, what and peer of a result's row, and its label."""

_LEFT, _WIDTH, _ROW, _TOP = 310, 380, 30, 50
_TICKS = (1, 3, 10, 30, 100)


def ratio(file: str, what: str, peer: str) -> float:
    """Return how many times as fast the row is. Raises KeyError unless exactly one row matches."""
    rows = json.loads((RESULTS / f"{file}.json").read_text("utf-8"))["rows"]
    found = [row["ratio"] for row in rows if (row["what"], row["peer"]) == (what, peer)]
    if len(found) != 1:
        raise KeyError(f"{file}: {len(found)} rows of {what!r} against {peer!r}")
    return float(found[0])


def svg() -> str:
    """The picture."""
    height = _TOP + _ROW * len(ROWS) + 12
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="780" height="{height}" '
            f'viewBox="0 0 780 {height}" font-family="sans-serif" font-size="13">'
        ),
        f'<rect width="780" height="{height}" fill="#ffffff"/>',
        (
            '<text x="12" y="20" font-size="15">Times as fast as the peer, same machine, '
            "on processors (higher is better)</text>"
        ),
    ]
    for tick in _TICKS:
        x = _place(tick)
        lines.append(f'<line x1="{x}" y1="{_TOP - 6}" x2="{x}" y2="{height - 8}" stroke="#ddd"/>')
        lines.append(
            f'<text x="{x}" y="{_TOP - 10}" text-anchor="middle" fill="#666">{tick}x</text>'
        )
    for number, (*row, label) in enumerate(ROWS):
        value, y = ratio(*row), _TOP + _ROW * number
        end = _place(value)
        lines += [
            f'<text x="{_LEFT - 10}" y="{y + 17}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{_LEFT}" y="{y + 3}" width="{end - _LEFT:.1f}" height="20" fill="#0b6bcb"/>',
            f'<text x="{end + 6:.1f}" y="{y + 17}">{value:.1f}x</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _place(value: float) -> float:
    return round(_LEFT + _WIDTH * math.log10(value) / math.log10(_TICKS[-1]), 1)


if __name__ == "__main__":
    PICTURE.write_text(svg(), "utf-8")
