"""Compares bits per byte with lm-evaluation-harness's, document by document, and their speeds.

    python benchmarks/bpb/lm_eval.py [--venv DIR] [--documents N] [--rounds N]

Needs the real model and documents (ASSAY_TEST_DATA). lm-eval runs its own code in an environment
of its own, which is made on the first run. Both sides have one thread and the same documents: half
of them round-trip through the tokenizer, half do not. Timed rounds alternate.

Writes benchmarks/results/bpb/lm_eval.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shlex
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

from benchmarks.peer_process import PeerProcess, peer_python
from benchmarks.report import HERE
from services.cli import testdata
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.document_scoring import score_document
from services.corpus.bpb.figures import DocumentScore
from services.corpus.bpb.models.registry import Registry
from services.corpus.shards.documents import Document
from services.corpus.shards.layout import find_shards
from services.corpus.stream import reader
from services.corpus.stream.selection import Selection
from services.rpc.environment import environment

MODEL = "tinystories-656k"
DIFFERENCE = "bits per byte"
TOLERANCE = 1e-6
_GOLDEN_BYTES = 8000


def make_venv(venv: Path) -> Path:
    """Return the Python of lm-eval's environment, made if it is not there."""
    return peer_python(venv, "lm-eval.txt", "torch==2.13.0")


class Peer(PeerProcess):
    """lm-eval in a process of its own."""

    def __init__(self, python: Path, model: Path) -> None:
        super().__init__(python, "lm_eval_rolling.py", model)

    def score(self, documents: Sequence[Document], **options: object) -> Any:
        """Return lm-eval's reply for the documents; options are its HFLM's."""
        texts = [document.text.decode() for document in documents]
        return self.ask(texts=texts, options={"batch_size": 1, **options})


def choose(root: Path, registry: Registry, count: int) -> list[tuple[Document, DocumentScore]]:
    """Return the first documents of test and val, half of which round-trip, with our figures."""
    model, definition = registry.load(MODEL), _definition(registry)
    chosen: dict[bool, list[tuple[Document, DocumentScore]]] = {True: [], False: []}
    wanted = {True: count // 2, False: count - count // 2}
    selection = Selection(splits=("test", "val"))
    for document in reader.documents(find_shards(root), selection):
        text = document.text.decode()
        kind = model.decode(model.encode(text)) == text
        if len(chosen[kind]) < wanted[kind]:
            chosen[kind].append((document, score_document(model, definition, document)))
        if all(len(chosen[kind]) == wanted[kind] for kind in chosen):
            break
    return chosen[True] + chosen[False]


def _definition(registry: Registry, *, special_tokens: bool = False) -> Definition:
    return Definition(special_tokens=special_tokens).resolve(registry.describe(MODEL))


def differences(ours: list[DocumentScore], theirs: list[float]) -> tuple[float, float]:
    """Return the largest difference of a document in nats and in bits per byte."""
    nats = [abs(score.nats - value) for score, value in zip(ours, theirs, strict=True)]
    bits = [
        difference / (math.log(2) * score.text_bytes)
        for difference, score in zip(nats, ours, strict=True)
    ]
    return max(nats), max(bits)


# lm-eval's options, and ours for comparison. By default its sums are float32, which alone changes a
# short document's figure by some 1e-7 bits per byte.
VARIANTS: tuple[tuple[bool, dict[str, object]], ...] = (
    (False, {"add_bos_token": False}),
    (False, {"add_bos_token": False, "softmax_dtype": "float64"}),
    (True, {}),
)


def equality_rows(
    chosen: list[tuple[Document, DocumentScore]], peer: Peer, registry: Registry
) -> Iterator[dict[str, Any]]:
    """Compare likelihoods document by document, with and without special tokens."""
    model = registry.load(MODEL)
    for special, options in VARIANTS:
        definition = _definition(registry, special_tokens=special)
        name = f"lm-eval, {options or 'as it comes'}, ours with special_tokens={special}"
        for round_trips in (True, False):
            documents = [d for d, score in chosen if (score.excluded is None) is round_trips]
            ours = [score_document(model, definition, document) for document in documents]
            theirs = peer.score(documents, **options)["nats"]
            nats, bits = differences(ours, theirs)
            kind = "round-trip" if round_trips else "do not round-trip"
            what = f"{len(documents)} documents that {kind}"
            sums = math.fsum(score.nats for score in ours), math.fsum(theirs)
            yield _row(f"sum over {what}", name, sums, "nats")
            yield _row(f"largest difference, {what}", name, (nats, 0.0), "nats")
            yield _row(f"largest difference, {what}", name, (bits, 0.0), DIFFERENCE, TOLERANCE)


def speed_rows(
    chosen: list[tuple[Document, DocumentScore]], peer: Peer, registry: Registry, rounds: int
) -> Iterator[dict[str, Any]]:
    """Time both sides on the same documents in turns, after a round that is not counted."""
    model, definition = registry.load(MODEL), _definition(registry)
    documents = [document for document, _ in chosen]
    tokens = sum(score.tokens for _, score in chosen)
    seconds: dict[int, list[float]] = {0: [], 1: [], 8: []}  # 0: ours; else lm-eval's batch size
    for _ in range(rounds + 1):
        began = time.process_time()
        for document in documents:
            score_document(model, definition, document)
        seconds[0].append(time.process_time() - began)
        for size in (1, 8):
            reply = peer.score(documents, batch_size=size, add_bos_token=False)
            seconds[size].append(reply["cpu_seconds"])
    rates = {side: tokens / statistics.median(timed[1:]) for side, timed in seconds.items()}
    for size, target in ((1, 1.2), (8, 2.5)):
        name = f"lm-eval, batch size {size}, warm"
        what = f"scoring {len(documents)} documents, {tokens} tokens, one thread"
        yield _row(what, name, (rates[0], rates[size]), "tokens per CPU-second", target)


def _row(
    what: str, peer: str, values: tuple[float, float], unit: str, target: float | None = None
) -> dict[str, Any]:
    ours, theirs = values
    ratio = ours / theirs if theirs else None
    print(f"{what} | {peer} | {ours:.9g} | {theirs:.9g} {unit} | {ratio or '-'} | {target or '-'}")
    row = {"what": what, "peer": peer, "ours": ours, "theirs": theirs, "unit": unit}
    return {**row, "ratio": ratio, "target": target}


def golden(
    chosen: list[tuple[Document, DocumentScore]], peer: Peer, registry: Registry, path: Path
) -> None:
    """Write lm-eval's figures of a few short documents, by the digest of their text."""
    short = [(d, s) for d, s in chosen if len(d.text) <= _GOLDEN_BYTES]
    few = [
        pair
        for kind in (True, False)
        for pair in [p for p in short if (p[1].excluded is None) is kind][:6]
    ]
    documents = [document for document, _ in few]
    plain = peer.score(documents, add_bos_token=False)["nats"]
    special = peer.score(documents)["nats"]
    rows = [
        {
            "text_sha256": hashlib.sha256(document.text).hexdigest(),
            "nats": a,
            "nats_with_special_tokens": b,
            "tokens": score.tokens,
            "round_trips": score.excluded is None,
        }
        for (document, score), a, b in zip(few, plain, special, strict=True)
    ]
    model = {"name": MODEL, "digest": registry.describe(MODEL).digest}
    content = {"peer": peer.versions, "model": model, "documents": rows}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Compare, report and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=HERE.parent / ".venv-peers" / "lm-eval")
    parser.add_argument("--documents", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--golden", type=Path, help="also write the figures that a test expects")
    options = parser.parse_args()
    data = testdata.data_dir()
    if data is None:
        parser.error("no real data: set ASSAY_TEST_DATA")
    registry = Registry({MODEL: data / "lm" / MODEL})
    machine = environment("torch", "transformers", "tokenizers")
    chosen = choose(data / "pile", registry, options.documents)
    peer = Peer(make_venv(options.venv), data / "lm" / MODEL)
    try:
        rows = list(equality_rows(chosen, peer, registry))
        rows += speed_rows(chosen, peer, registry, options.rounds)
        if options.golden:
            golden(chosen, peer, registry, options.golden)
    finally:
        peer.close()
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "hardware": f"{machine.cpu}, {machine.cpu_count} processors, load {machine.load:.2f} each",
        "versions": {"ours": dict(machine.versions), "peer": peer.versions},
        "command": shlex.join(["python", "benchmarks/bpb/lm_eval.py", *sys.argv[1:]]),
        "documents": {
            "model": MODEL,
            "chosen": len(chosen),
            "round_trip": sum(score.excluded is None for _, score in chosen),
        },
        "rows": rows,
    }
    path = HERE / "results" / "bpb" / "lm_eval.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    worst = max(row["ours"] for row in rows if row["unit"] == DIFFERENCE)
    print(
        f"largest difference: {worst:.3g} bits per byte, within {TOLERANCE:g}: {worst <= TOLERANCE}"
    )
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
