"""Speed of scoring SmolLM2-135M, against lm-evaluation-harness at its best batch size.

docs/smollm2.md makes the model. The peer's transformers can read its folder if
tokenizer_config.json names PreTrainedTokenizerFast and config.json has a top-level rope_theta,
100000. The first documents of test up to a size, one thread on each side. Rounds alternate between
all sides, and the first round is not counted; figures are medians.

    python -m benchmarks.bpb.smollm2_speed --model DIR [--documents N] [--max-text-bytes N]
        [--batch-sizes N ...] [--rounds N]

Needs the real data (ASSAY_TEST_DATA) and the environment that bpb/lm_eval.py makes. Writes
results/bpb/smollm2_speed.json.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from benchmarks import report
from benchmarks.bpb.lm_eval import Peer, make_venv
from benchmarks.bpb.setting import cpu_seconds, in_turns  # sets the threads
from services.cli import testdata
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.document_scoring import score_document
from services.corpus.bpb.models.compute import Compute
from services.corpus.bpb.models.registry import Registry
from services.corpus.shards.layout import find_shards
from services.corpus.stream import reader
from services.corpus.stream.selection import Selection


def main() -> None:
    """Compare, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=6)
    parser.add_argument("--max-text-bytes", type=int, default=6000)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--venv", type=Path, default=report.HERE.parent / ".venv-peers" / "lm-eval")
    options = parser.parse_args()
    data = testdata.data_dir()
    if data is None:
        parser.error("no real data: set ASSAY_TEST_DATA")
    selection = Selection(("test",), max_text_bytes=options.max_text_bytes)
    found = reader.documents(find_shards(data / "pile"), selection)
    documents = list(islice(found, options.documents))

    registry = Registry({"smollm2": options.model})
    definition = Definition().resolve(registry.describe("smollm2"))
    started = registry.start("smollm2", Compute())
    peer = Peer(make_venv(options.venv), options.model)
    scores = [score_document(started.model, definition, document) for document in documents]
    theirs = peer.score(documents, add_bos_token=False)["nats"]
    off = max(
        abs(score.nats - nats) / (math.log(2) * score.text_bytes)
        for score, nats in zip(scores, theirs, strict=True)
    )

    def ours() -> int:
        return sum(score_document(started.model, definition, one).tokens for one in documents)

    def batches(size: int) -> Callable[[], float]:
        return lambda: float(
            peer.score(documents, batch_size=size, add_bos_token=False)["cpu_seconds"]
        )

    sides = {"ours": cpu_seconds(ours)} | {str(n): batches(n) for n in options.batch_sizes}
    try:
        seconds = in_turns(sides, options.rounds)
    finally:
        peer.close()
    tokens = sum(score.tokens for score in scores)
    best = min(seconds[str(size)] for size in options.batch_sizes)
    rows = [
        report.row(
            f"scoring in fp32 on {started.engine}, one thread",
            f"lm-eval in fp32, batch size {size}, warm",
            *(tokens / seconds["ours"], tokens / seconds[str(size)], "tokens per CPU-second"),
            target=1.5 if seconds[str(size)] == best else None,
        )
        for size in options.batch_sizes
    ]
    report.write(
        "bpb/smollm2_speed",
        rows,
        packages=("torch", "transformers", "tokenizers", "openvino"),
        peer_versions=peer.versions,
        documents={
            "count": len(documents),
            "bytes": sum(score.text_bytes for score in scores),
            "tokens": tokens,
        },
        shift_nats_a_token=started.shift.mean,
        largest_difference_bits_per_byte=off,
    )


if __name__ == "__main__":
    main()
