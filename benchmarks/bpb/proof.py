"""Proves bits per byte over real documents and decodes the proofs in another process.

    python -m benchmarks.bpb.proof [--documents N] [--most-bytes N] [--rows N]

Two models: the reference byte model over the first documents of val, test and train with at most
4,096 bytes (default: 1,000), and tinystories-656k over every document of the data that its
tokenizer reproduces, which is one in eleven. Documents are whole. Each proof is written here and
decoded by another process, which gets only the file, the model's folder and the documents' digests.

Needs the real data (ASSAY_TEST_DATA). Writes results/bpb/proof.json.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported

from benchmarks import report
from services.cli import testdata
from services.corpus.bpb.definition import Definition
from services.corpus.proof import file_format
from services.corpus.proof.engines.proving_model import open_model
from services.corpus.proof.frequencies import largest_excess_bits
from services.corpus.proof.prove import ROWS, prove
from services.corpus.proof.verify import verify
from services.corpus.shards.documents import Document
from services.corpus.shards.layout import find_shards
from services.corpus.stream import reader
from services.corpus.stream.selection import Selection

BYTES = "byte-reference"
STORIES = "tinystories-656k"


@dataclass(frozen=True)
class Limits:
    """How many documents the byte model is tried on, and their largest size in bytes."""

    documents: int
    most_bytes: int


def documents(data: Path, name: str, limits: Limits) -> list[Document]:
    """Return the documents that a model is tried on."""
    splits = ("val", "test", "train")
    selection = Selection(splits)
    if name == BYTES:
        selection = Selection(
            splits, max_documents=limits.documents, max_text_bytes=limits.most_bytes
        )
    return list(reader.documents(find_shards(data / "pile"), selection))


def folder(data: Path, name: str) -> Path | None:
    """Return a model's folder; the byte model is packaged."""
    return None if name == BYTES else data / "lm" / name


def decode(data: Path, name: str, path: Path, limits: Limits) -> None:
    """Decode and compare in the other process, and print the result as JSON."""
    model = open_model(name, folder(data, name))
    wanted = documents(data, name, limits)
    began = time.monotonic()
    found = verify(file_format.read(path), model, expected=wanted)
    seconds = time.monotonic() - began
    failures = [[each.id, each.reason] for each in found.failures]
    print(json.dumps({"documents": found.documents, "failures": failures, "seconds": seconds}))


def measure(data: Path, name: str, limits: Limits, rows: int) -> tuple[list[Any], dict[str, Any]]:
    """Make a proof, have the other process decode it, and return rows and facts."""
    model = open_model(name, folder(data, name))
    wanted = documents(data, name, limits)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "proof"
        began = time.monotonic()
        proof = prove(model, Definition(), wanted, path, rows=rows, leave_out_lossy=True)
        seconds = time.monotonic() - began
        command = [sys.executable, "-m", "benchmarks.bpb.proof", "--decode", str(path)]
        done = subprocess.run(
            [
                *(*command, "--model", name, "--documents", str(limits.documents)),
                *("--most-bytes", str(limits.most_bytes)),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    decoded = json.loads(done.stdout)
    totals = proof.totals
    excess = [record.bits - record.nats / math.log(2) for record in proof.records]
    bound = max(
        largest_excess_bits(record.tokens, proof.header.vocabulary) for record in proof.records
    )
    facts = {
        "documents": totals.documents,
        "longest, bytes": max(record.text_bytes for record in proof.records),
        "left out, lossy": len(proof.header.left_out),
        "bytes": totals.text_bytes,
        "tokens": totals.tokens,
        "nats": totals.nats,
        "bits": totals.bits,
        "bits per byte": totals.nats / math.log(2) / totals.text_bytes,
        "file bytes": proof.size,
        "header and records, bytes": proof.size - -(-totals.bits // 8),
        "excess bits a document": {"mean": sum(excess) / len(excess), "largest": max(excess)},
        "proof sha256": proof.digest,
        "rows": rows,
        "pins": {"engine": model.pins.engine, "threads": model.pins.threads},
        "seconds": {"prove": round(seconds, 1), "decode": round(decoded["seconds"], 1)},
        "seconds for 2 kB": {
            "prove": round(seconds / totals.text_bytes * 2000, 3),
            "decode": round(decoded["seconds"] / totals.text_bytes * 2000, 3),
        },
        "failures": decoded["failures"],
    }
    right = decoded["documents"] - len(decoded["failures"])
    what = f"{name}, documents decoded byte for byte by another process"
    row = report.row(what, "documents proved", right, totals.documents, "documents", target=1.0)
    most = report.row(
        f"{name}, the most bits that a document's code has over nats / ln 2",
        "the bound for its longest document",
        max(excess),
        bound,
        "bits",
        target=1.0,
        less_is_better=True,
    )
    return [row, most], facts


def both(data: Path, limits: Limits, rows: int) -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """Measure both models."""
    for name in (STORIES, BYTES):
        yield name, *measure(data, name, limits, rows)


def main() -> int:
    """Measure, report and write the result; 1 when a document does not come back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--most-bytes", type=int, default=4096)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--decode", type=Path, help="decode this proof (the other process)")
    parser.add_argument("--model", choices=(BYTES, STORIES), default=BYTES)
    options = parser.parse_args()
    data = testdata.data_dir()
    if data is None:
        parser.error("no real data: set ASSAY_TEST_DATA")
    limits = Limits(options.documents, options.most_bytes)
    if options.decode:
        decode(data, options.model, options.decode, limits)
        return 0
    found = list(both(data, limits, options.rows))
    report.write(
        "bpb/proof",
        [row for _, rows, _ in found for row in rows],
        packages=("numpy", "tokenizers", "torch", "transformers"),
        most_bytes=options.most_bytes,
        proofs={name: facts for name, _, facts in found},
    )
    return 1 if any(facts["failures"] for _, _, facts in found) else 0


if __name__ == "__main__":
    raise SystemExit(main())
