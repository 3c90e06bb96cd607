"""Measures the packaged model on held-out text, beside compressors, and puts it in its card.

    python -m services.corpus.bpb.reference.evaluate

Scores every document of the reference corpus's test split, which training did not read, with the
file that is packaged and the scoring that serves. xz and zstd compress the same documents, one at
a time. Rewrites the part of MODEL_CARD.md between its two markers.
"""

from __future__ import annotations

import json
import lzma
import math
import platform
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import zstandard

from services.corpus.bpb.definition import Definition
from services.corpus.bpb.reference.text import texts
from services.corpus.bpb.registry import REFERENCE, Registry
from services.corpus.bpb.scoring import score_document
from services.corpus.documents import Document
from services.corpus.reference.build import ensure_reference_corpus

_CARD = Path(__file__).parent / "MODEL_CARD.md"
_BEGIN, _END = "<!-- measured -->", "<!-- end of measured -->"
_ALL = "All"


def measure(documents: list[tuple[str, bytes]]) -> dict[str, dict[str, float]]:
    """Return bits by subset and by what codes them, with documents and bytes."""
    registry = Registry({})
    model = registry.load(REFERENCE)
    definition = Definition().resolve(registry.describe(REFERENCE).max_length)
    compressor = zstandard.ZstdCompressor(level=19)
    totals: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for index, (subset, text) in enumerate(documents):
        score = score_document(model, definition, Document(str(index), subset, text, b"", "", 0))
        bits = {
            "model": score.nats / math.log(2),
            "xz": 8 * len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)),
            "zstd": 8 * len(compressor.compress(text)),
            "bytes": len(text),
            "documents": 1,
        }
        for name in (subset, _ALL):
            for what, value in bits.items():
                totals[name][what] += value
    return totals


def table(totals: dict[str, dict[str, float]]) -> str:
    """Render bits per byte by subset as Markdown."""
    lines = [
        "| subset | documents | bytes | this model | xz -9e | zstd -19 |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name in sorted(totals, key=lambda name: (name == _ALL, name)):
        row = totals[name]
        figures = " | ".join(f"{row[what] / row['bytes']:.3f}" for what in ("model", "xz", "zstd"))
        lines.append(f"| {name} | {row['documents']:,.0f} | {row['bytes']:,.0f} | {figures} |")
    return "\n".join(lines)


def main() -> int:
    """Measure and rewrite the card."""
    with tempfile.TemporaryDirectory() as home:
        documents = list(texts(ensure_reference_corpus(Path(home)), "test"))
    manifest = json.loads((_CARD.parent / "lm.json").read_text(encoding="utf-8"))
    training = manifest["training"]
    measured = (
        f"File: SHA-256 `{manifest['sha256']}`, trained on {training['tokens']:,} tokens with seed "
        f"{training['seed']}. Bits per byte on the test split of Python "
        f"{platform.python_version()}, each document by itself:\n\n{table(measure(documents))}"
    )
    head, rest = _CARD.read_text(encoding="utf-8").split(_BEGIN)
    tail = rest.split(_END)[1]
    _CARD.write_text(f"{head}{_BEGIN}\n{measured}\n{_END}{tail}", encoding="utf-8")
    print(measured)  # a script for the terminal
    return 0


if __name__ == "__main__":
    sys.exit(main())
