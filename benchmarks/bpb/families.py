"""Compares bits per byte with lm-evaluation-harness's for three families of models.

    python -m benchmarks.bpb.families [--documents N] [--max-text-bytes N]

A Llama with real weights, a GPT-2 and a GPT-NeoX with random ones and their real tokenizers; the
first documents of test and val. Needs the real data (ASSAY_TEST_DATA) and lm-eval's environment,
which bpb/lm_eval.py makes.

lm-eval takes the logarithm of a softmax, and adds a window's log-likelihoods up, in float32. With
softmax_dtype=float64 it does both in double precision, as we do. So the rows compare ours with
lm-eval in double precision, lm-eval in float32 with lm-eval in double precision, and, to show that
nothing else differs, lm-eval's arithmetic on our tokens and windows with unmodified lm-eval.

Writes results/bpb/families.json.
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

from benchmarks import report
from benchmarks.bpb import random_models
from benchmarks.bpb.lm_eval import Peer, make_venv
from services.cli import testdata
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.document_scoring import score_document
from services.corpus.bpb.models.checkpoint.model_directory import HuggingFaceModel, read_directory
from services.corpus.bpb.models.checkpoint.torch_module import load_module
from services.corpus.bpb.models.compute import OPENVINO, TORCH, Compute
from services.corpus.bpb.models.registry import Registry
from services.corpus.bpb.models.tokenizers.hugging_face_tokenizer import HuggingFaceTokenizer
from services.corpus.bpb.scored_windows import rolling_windows
from services.corpus.shards.documents import Document
from services.corpus.shards.layout import find_shards
from services.corpus.stream import reader
from services.corpus.stream.selection import Selection

TOLERANCE = 1e-7
_DOUBLE = "softmax_dtype=float64"
_VARIANTS: dict[str, dict[str, object]] = {
    "as it comes": {},
    _DOUBLE: {"softmax_dtype": "float64"},
}


def with_its_arithmetic(name: str, directory: Path, documents: list[Document]) -> list[float]:
    """Nats of documents by our tokens and windows, computed and added up as lm-eval does."""
    found = read_directory(name, directory)
    if not isinstance(found, HuggingFaceModel):
        raise SystemExit(f"{directory} is not a Hugging Face model")
    torch.set_num_threads(1)
    tokenizer = HuggingFaceTokenizer(name, found)
    module, _ = load_module(name, found, torch.float32)

    def nats(document: Document) -> float:
        tokens = tokenizer.encode(document.text.decode())
        total = 0.0
        for window in rolling_windows(tokens, tokenizer.prefix_token, found.max_length):
            logits = module(torch.tensor([list(window.inputs)]), use_cache=False).logits
            likely = torch.log_softmax(logits, -1, torch.float32)[:, -len(window.targets) :]
            targets = torch.tensor(list(window.targets)).view(1, -1, 1)
            total -= float(torch.gather(likely, 2, targets).squeeze(-1).sum())
        return total

    with torch.inference_mode():
        return [nats(document) for document in documents]


def rows(name: str, directory: Path, documents: list[Document], python: Path) -> Iterator[Any]:
    """Compare one model on each engine with lm-eval in float32 and in float64."""
    registry = Registry({name: directory})
    definition = Definition().resolve(registry.describe(name))
    peer = Peer(python, directory)
    try:
        theirs = {
            variant: peer.score(documents, add_bos_token=False, **options)["nats"]
            for variant, options in _VARIANTS.items()
        }
    finally:
        peer.close()

    def row(what: str, ours: list[float], variant: str, target: float | None) -> dict[str, Any]:
        worst = max(
            abs(a - b) / (math.log(2) * len(document.text))
            for a, b, document in zip(ours, theirs[variant], documents, strict=True)
        )
        print(f"{name}, {what}, against lm-eval {variant}: {worst:.3g} (to reach {target})")
        what = f"largest difference of {len(documents)} documents, {name}, {what}"
        facts = {"what": what, "peer": f"lm-eval, {variant}", "ours": worst, "theirs": 0.0}
        return {**facts, "unit": "bits per byte", "ratio": None, "target": target}

    for engine in (TORCH, OPENVINO):
        model = registry.load(name, Compute(engine))
        ours = [score_document(model, definition, document).nats for document in documents]
        yield row(engine, ours, _DOUBLE, TOLERANCE)
        yield row(engine, ours, "as it comes", None)
    yield row("lm-eval itself as it comes", theirs["as it comes"], _DOUBLE, None)
    same = with_its_arithmetic(name, directory, documents)
    yield row("our windows with its arithmetic", same, "as it comes", TOLERANCE)


def main() -> int:
    """Compare, report and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=report.HERE.parent / ".venv-peers" / "lm-eval")
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
        "bpb/families",
        results,
        packages=("torch", "transformers", "tokenizers", "openvino"),
        documents={"count": len(documents), "bytes": sum(len(d.text) for d in documents)},
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
