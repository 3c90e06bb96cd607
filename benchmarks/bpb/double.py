"""Compares bits per byte of many families of models with double precision.

    python -m benchmarks.bpb.double [FAMILY ...]

Every family is a tiny model with random weights (`family_configs.py`), on torch and on the engine
that is chosen by default. Writes benchmarks/results/bpb/double.json and prints the table that
docs/bpb.md has.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

from benchmarks import report
from benchmarks.bpb import family_configs
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.document_scoring import score_document
from services.corpus.bpb.models.compute import TORCH, Compute
from services.corpus.bpb.models.registry import Registry
from services.corpus.shards.documents import Document

TOLERANCE = 1e-6


def largest_differences(directory: Path) -> Iterator[tuple[str, float]]:
    """Give, for torch and the engine chosen, the largest difference of a text in bits a byte."""
    registry = Registry({"m": directory})
    definition = Definition(max_length=family_configs.LENGTH).resolve(registry.describe("m"))
    expected = family_configs.Expected(directory)
    nats = [expected.nats(text, family_configs.LENGTH) for text in family_configs.TEXTS]
    for compute in (Compute(TORCH), Compute()):
        loaded = registry.start("m", compute)
        differences = []
        for text, wanted in zip(family_configs.TEXTS, nats, strict=True):
            document = Document("t:0", "", text.encode(), b"", "t", 0)
            score = score_document(loaded.model, definition, document)
            if score.excluded is not None:
                raise SystemExit(f"{text!r} is excluded: {score.excluded}")
            differences.append(abs(score.nats - wanted) / (math.log(2) * score.text_bytes))
        yield loaded.engine, max(differences)


def main(name: str = "bpb/double", families: Iterable[str] = family_configs.FAMILIES) -> int:
    """Compare, report and write the result `name`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("families", nargs="*", default=list(families))
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    table = []
    texts = len(family_configs.TEXTS)
    for family in options.families:
        with tempfile.TemporaryDirectory() as folder:
            found = list(largest_differences(family_configs.make(family, Path(folder) / "m")))
        (_, on_torch), (engine, chosen) = found
        for used, difference in dict(found).items():
            rows.append(
                {
                    "what": f"largest difference of {texts} texts, {family}, {used}",
                    "peer": "transformers in float64",
                    "ours": difference,
                    "theirs": 0.0,
                    "unit": "bits per byte",
                    "ratio": None,
                    "target": TOLERANCE,
                }
            )
        table.append(f"| `{family}` | {on_torch:.1e} | {engine} | {chosen:.1e} |")
        print(table[-1], flush=True)
    report.write(name, rows, packages=("torch", "transformers", "openvino"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
