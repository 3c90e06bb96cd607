"""Scores a real model on real documents with `assay score`, beside xz and transformers.

docs/smollm2.md makes the model and has the commands that write the files. The shortest documents
are computed once more by transformers' own forward pass in float32, without windows or batches.

    python -m benchmarks.bpb.smollm2 --model DIR --data DATA --score score.json
        --xz xz.json --per-document documents.jsonl
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks import report
from benchmarks.bpb.coverage import documents


def nats_of(model: Any, tokenizer: Any, text: str) -> float:
    """Return -log p of a text that fits in a window, after the beginning of sequence."""
    tokens = tokenizer.encode(text, add_special_tokens=False)
    ids = torch.tensor([[tokenizer.bos_token_id, *tokens]])
    with torch.inference_mode():
        logits = model(ids).logits[0, :-1].double()
    likely = torch.log_softmax(logits, -1)[torch.arange(len(tokens)), torch.tensor(tokens)]
    return -float(likely.sum())


def main() -> None:
    """Compare, and write the result."""
    parser = argparse.ArgumentParser()
    for name in ("model", "data", "score", "xz", "per-document"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--compared", type=int, default=10)
    arguments = parser.parse_args()
    ours, xz = (json.loads(file.read_text()) for file in (arguments.score, arguments.xz))
    scored = [json.loads(line) for line in arguments.per_document.read_text().splitlines()]
    shortest = sorted((one for one in scored if one["nats"]), key=lambda one: one["bytes"])
    shortest = shortest[: arguments.compared]
    texts = {one.id: one.text for one in documents(arguments.data / "pile", ("test",))}
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model: Any = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
    model.eval()
    theirs = [nats_of(model, tokenizer, texts[one["id"]].decode()) for one in shortest]
    sizes = [one["bytes"] for one in shortest]
    off = [
        abs(one["nats"] - nats) / (math.log(2) * one["bytes"])
        for one, nats in zip(shortest, theirs, strict=True)
    ]
    scale = math.log(2) * sum(sizes)
    rows = [
        report.row(
            f"{ours['overall']['documents']} documents",
            "xz -9e",
            ours["overall"]["bits_per_byte"],
            xz["overall"]["bits_per_byte"],
            "bits per byte",
            target=None,
            less_is_better=True,
        ),
        report.row(
            f"the {len(shortest)} shortest of them",
            "transformers in fp32, without windows",
            sum(one["nats"] for one in shortest) / scale,
            sum(theirs) / scale,
            "bits per byte",
            target=None,
            less_is_better=True,
        ),
    ]
    names = ("text_bytes", "tokens", "nats", "bits_per_byte", "byte_perplexity", "word_perplexity")
    report.write(
        "bpb/smollm2",
        rows,
        packages=("numpy", "openvino", "tokenizers", "torch", "transformers"),
        model=ours["model"],
        definition=ours["definition"],
        engine=ours["compute"],
        overall={name: ours["overall"][name] for name in names},
        subsets={name: one["bits_per_byte"] for name, one in ours["subsets"].items()},
        largest_difference_bits_per_byte=max(off),
    )


if __name__ == "__main__":
    main()
