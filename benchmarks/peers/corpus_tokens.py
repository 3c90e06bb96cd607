"""Makes sequences of tokens with other loaders, for corpus/tokens.py.

Runs in an environment that has them and none of this project. Reads one JSON object a line and
answers each with one:

    {"cut": "datasets", "shards": [FILE], "tokenizer": FILE, "length": N, "separator": N,
     "scratch": DIR}        texts of shards cut and concatenated, by map twice, as arrays
    {"write": "litdata", "tokens": FILE.npy, "length": N, "out": DIR}
    {"read": "litdata", "length": N, "out": DIR}

Answers to `cut` and `read` are {"tokens", "cpu_seconds"}. The first line it writes has versions.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import distributions, version
from itertools import chain
from typing import Any

import numpy as np

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


def cut_datasets(
    shards: list[str], tokenizer: str, length: int, separator: int, scratch: str
) -> Iterator[Any]:
    """Map twice, as transformers' run_clm.py does: cut, then concatenate and divide."""
    import datasets
    import tokenizers

    datasets.disable_progress_bars()
    opened = tokenizers.Tokenizer.from_file(tokenizer)

    def tokenize(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        found = opened.encode_batch_fast(batch["text"], add_special_tokens=False)
        return {"ids": [[*one.ids, separator] for one in found]}

    def group(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        ids = list(chain.from_iterable(batch["ids"]))
        whole = len(ids) // length * length
        return {"ids": [ids[at : at + length] for at in range(0, whole, length)]}

    with tempfile.TemporaryDirectory(dir=scratch) as cache:
        rows = datasets.load_dataset("json", data_files=shards, split="train", cache_dir=cache)
        cut = rows.map(tokenize, batched=True, remove_columns=rows.column_names)
        for row in cut.map(group, batched=True).with_format("numpy"):
            yield row["ids"]


def write_litdata(tokens: str, length: int, out: str) -> None:
    """Write tokens as chunks for TokensLoader."""
    import litdata
    import torch
    from litdata.streaming.item_loader import TokensLoader

    ids = np.load(tokens).astype(np.int32)
    pieces = [
        torch.from_numpy(ids[at : at + 64 * length]) for at in range(0, len(ids), 64 * length)
    ]
    litdata.optimize(
        fn=_same,
        inputs=pieces,
        output_dir=out,
        chunk_bytes="64MB",
        item_loader=TokensLoader(block_size=length),
        num_workers=1,
    )


def _same(piece: Any) -> Iterator[Any]:
    yield piece


def read_litdata(length: int, out: str) -> Iterator[Any]:
    """Read blocks of them, shuffled."""
    import litdata
    from litdata.streaming.item_loader import TokensLoader

    loader = TokensLoader(block_size=length)
    for block in litdata.StreamingDataset(out, item_loader=loader, shuffle=True):
        yield block.numpy()


def timed(sequences: Iterator[Any], length: int) -> dict[str, float]:
    """Count the tokens of sequences, and the processor time that they take."""
    begun, tokens = time.process_time(), 0
    for sequence in sequences:
        if len(sequence) != length:
            raise SystemExit(f"a sequence has {len(sequence)} tokens, not {length}")
        tokens += length
    return {"tokens": tokens, "cpu_seconds": time.process_time() - begun}


def answer(request: dict[str, Any]) -> Any:
    """Answer one request."""
    if "cut" in request:
        del request["cut"]
        return timed(cut_datasets(**request), request["length"])
    if request.pop("write", None):
        write_litdata(**request)
        return {}
    del request["read"]
    return timed(read_litdata(**request), request["length"])


def main() -> None:
    """Answer requests until standard input ends; libraries print to standard error."""
    replies, sys.stdout = sys.stdout, sys.stderr
    names = ("datasets", "tokenizers", "litdata", "torch", "numpy")
    here = {one.name for one in distributions()}
    print(json.dumps({n: version(n) for n in names if n in here}), file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()
