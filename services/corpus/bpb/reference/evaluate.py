"""Measures the packaged model on held-out text, beside compressors, and puts it in its card.

    python -m services.corpus.bpb.reference.evaluate

Scores every document of the reference corpus's test split, which training did not read, with the
file that is packaged and the scoring that serves. xz and zstd compress the same documents, one at
a time. Rewrites the part of MODEL_CARD.md between its two markers.
"""

from __future__ import annotations

import json
import math
import platform
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from services.corpus.bpb.compressors import COMPRESSORS
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.document_scoring import score_document
from services.corpus.bpb.models.registry import REFERENCE, Registry
from services.corpus.bpb.reference.text import texts
from services.corpus.reference.build import ensure_reference_corpus
from services.corpus.shards.documents import Document

_CARD = Path(__file__).parent / "MODEL_CARD.md"
_BEGIN, _END = "<!-- measured -->", "<!-- end of measured -->"
_ALL = "All"
# Some held-out modules are near copies of others (the character mappings of `encodings`), so the
# rest is reported too: documents that share under a tenth of their longer lines with training text.
_UNLIKE = "All, without near copies"
_LONG_LINE = 30
_SHARED = 0.1


def _long_lines(text: bytes) -> list[bytes]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if len(line) > _LONG_LINE]


def _is_unlike(text: bytes, known: set[bytes]) -> bool:
    lines = _long_lines(text)
    shared = sum(len(line) for line in lines if line in known)
    return shared <= _SHARED * sum(map(len, lines))


def measure(
    documents: list[tuple[str, bytes]], training: list[bytes]
) -> dict[str, dict[str, float]]:
    """Return bits by subset and by what codes them, with documents and bytes."""
    known = {line for text in training for line in _long_lines(text)}
    registry = Registry({})
    model = registry.load(REFERENCE)
    definition = Definition().resolve(registry.describe(REFERENCE))
    totals: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for index, (subset, text) in enumerate(documents):
        score = score_document(model, definition, Document(str(index), subset, text, b"", "", 0))
        bits = {
            "model": score.nats / math.log(2),
            "xz": 8 * len(COMPRESSORS["xz"].compress(text)),
            "zstd": 8 * len(COMPRESSORS["zstd-19"].compress(text)),
            "bytes": len(text),
            "documents": 1,
        }
        for name in (subset, _ALL, *([_UNLIKE] if _is_unlike(text, known) else [])):
            for what, value in bits.items():
                totals[name][what] += value
    return totals


def table(totals: dict[str, dict[str, float]]) -> str:
    """Render bits per byte by subset as Markdown."""
    lines = [
        "| subset | documents | bytes | this model | xz -9e | zstd -19 |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name in sorted(totals, key=lambda name: (name.startswith(_ALL), name)):
        row = totals[name]
        figures = " | ".join(f"{row[what] / row['bytes']:.3f}" for what in ("model", "xz", "zstd"))
        lines.append(f"| {name} | {row['documents']:,.0f} | {row['bytes']:,.0f} | {figures} |")
    return "\n".join(lines)


def main() -> int:
    """Measure and rewrite the card."""
    with tempfile.TemporaryDirectory() as home:
        corpus = ensure_reference_corpus(Path(home))
        documents = list(texts(corpus, "test"))
        known = [text for _, text in texts(corpus, "train")]
    manifest = json.loads((_CARD.parent / "lm.json").read_text(encoding="utf-8"))
    training = manifest["training"]
    figures = table(measure(documents, known))
    measured = (
        f"File: SHA-256 `{manifest['sha256']}`, trained on {training['tokens']:,} tokens with seed "
        f"{training['seed']}. Bits per byte on the test split of Python "
        f"{platform.python_version()}, each document separately:\n\n{figures}"
    )
    head, rest = _CARD.read_text(encoding="utf-8").split(_BEGIN)
    tail = rest.split(_END)[1]
    _CARD.write_text(f"{head}{_BEGIN}\n{measured}\n{_END}{tail}", encoding="utf-8")
    print(measured)  # a script for the terminal
    return 0


if __name__ == "__main__":
    sys.exit(main())
