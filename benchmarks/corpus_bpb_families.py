"""Compares bits per byte with lm-evaluation-harness's for three families of models.

    python -m benchmarks.corpus_bpb_families [--documents N] [--max-text-bytes N]

A Llama with real weights, a GPT-2 and a GPT-NeoX with random ones and their real tokenizers; the
first documents of test and val. Needs the real data (ASSAY_TEST_DATA) and lm-eval's environment,
which corpus_bpb_lm_eval.py makes.

lm-eval adds a window's log-likelihoods up in float32; we add exactly. What that alone does to a
figure is measured by letting torch add ours up the same way, which is the last row of each model.

Writes results/corpus-bpb-families.json.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import torch

from benchmarks import random_models, report
from benchmarks.corpus_bpb_lm_eval import Peer, make_venv
from services.cli import testdata
from services.corpus import reader
from services.corpus.bpb.compute import OPENVINO, TORCH, Compute
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.language_model import LanguageModel
from services.corpus.bpb.registry import Registry
from services.corpus.bpb.scoring import score_document
from services.corpus.bpb.windows import rolling_windows
from services.corpus.documents import Document
from services.corpus.layout import find_shards
from services.corpus.selection import Selection

HERE = Path(__file__).resolve().parent
TOLERANCE = 1e-7
_VARIANTS: dict[str, dict[str, object]] = {
    "as it comes": {},
    "softmax_dtype=float64": {"softmax_dtype": "float64"},
}


def added_in_float32(model: LanguageModel, length: int, document: Document) -> float:
    """Nats of a document, each window's added up by torch in float32, as lm-eval does."""
    tokens = model.encode(document.text.decode())
    windows = rolling_windows(tokens, model.prefix_token, length)
    rows = (model.log_likelihoods([window])[0] for window in windows)
    return -math.fsum(float(torch.from_numpy(row).sum()) for row in rows)


def rows(name: str, directory: Path, documents: list[Document], python: Path) -> Iterator[Any]:
    """Compare one model on each engine with lm-eval's two ways of adding."""
    registry = Registry({name: directory})
    length = registry.describe(name).max_length
    definition = Definition().resolve(length)
    peer = Peer(python, directory)
    try:
        theirs = {
            variant: peer.score(documents, add_bos_token=False, **options)["nats"]
            for variant, options in _VARIANTS.items()
        }
    finally:
        peer.close()
    for engine in (OPENVINO, TORCH):
        model = registry.load(name, Compute(engine))
        ours = {
            "": [score_document(model, definition, document).nats for document in documents],
            ", added in float32": [added_in_float32(model, length, d) for d in documents],
        }
        for way, variant in (
            ("", "softmax_dtype=float64"),
            ("", "as it comes"),
            (", added in float32", "as it comes"),
        ):
            worst = max(
                abs(a - b) / (math.log(2) * len(document.text))
                for a, b, document in zip(ours[way], theirs[variant], documents, strict=True)
            )
            what = f"largest difference of a document, {name} on {engine}{way}"
            row = report.row(
                what,
                f"lm-eval {variant}",
                worst,
                TOLERANCE,
                "bits per byte (theirs: to reach)",
                target=1.0,
                less_is_better=True,
            )
            yield {**row, "ours": worst, "theirs": TOLERANCE}


def main() -> int:
    """Compare, report and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=HERE.parent / ".venv-peers" / "lm-eval")
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--max-text-bytes", type=int, default=0)
    options = parser.parse_args()
    data = testdata.data_dir()
    if data is None:
        parser.error("no real data: set ASSAY_TEST_DATA")
    selection = Selection(("test", "val"), max_text_bytes=options.max_text_bytes)
    found = reader.documents(find_shards(data / "pile"), selection)
    documents = list(islice(found, options.documents))
    results: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        directories = {"tinystories-656k": data / "lm" / "tinystories-656k"} | {
            name: random_models.make(name, data / "tokenizers", Path(folder))
            for name in ("gpt2-small", "neox-14m")
        }
        for name, directory in directories.items():
            results += rows(name, directory, documents, make_venv(options.venv))
    report.write(
        "corpus-bpb-families",
        results,
        packages=("torch", "transformers", "tokenizers", "openvino"),
        documents={"count": len(documents), "bytes": sum(len(d.text) for d in documents)},
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
