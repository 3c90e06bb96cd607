"""Compares packed GPT-2 tokens from indexed shards with other loaders, on one core.

    python -m benchmarks.corpus.tokens [--rounds N]

Two questions, with real documents (ASSAY_TEST_DATA) and sequences of 2,048 tokens. From texts: ours
tokenizes indexed shards with an empty table of pieces; datasets maps the same documents twice, as
transformers' run_clm.py does, with the library's tokenizer. From stored tokens: ours reads the
service's token files of each shard; LitData reads its own files of the same tokens. Both shuffle.
Every side makes an array of each sequence; ours also names the pieces of documents in it. Rounds
alternate; figures are medians of processor time. Ours excludes compiling its kernels, which are
stored on the disk.

Writes benchmarks/results/corpus/tokens.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer as Library

from benchmarks import report
from benchmarks.peer_process import PeerProcess, peer_python
from services.cli import testdata
from services.common.license import License
from services.corpus.catalog.catalog import Catalog, Registration
from services.corpus.catalog.corpus import Corpus, Kind
from services.corpus.shards.index.writer import write_index
from services.corpus.shards.layout import find_shards
from services.corpus.stream.selection import Selection
from services.corpus.tokens.sequences import Cut, Packing, Sequences
from services.corpus.tokens.store import TokenStore
from services.corpus.tokens.tokenizer import Tokenizer, cutter_of

LENGTH = 2048
_END = 50256
_EVERY = 1 << 40


class Loaders(PeerProcess):
    """Loaders in a process of their own."""

    def __init__(self, venv: Path, requirements: str) -> None:
        super().__init__(peer_python(venv, requirements), "corpus_tokens.py")

    def rate(self, **request: Any) -> float:
        """Return millions of tokens per second of processor time."""
        found = self.ask(**request)
        return float(found["tokens"] / found["cpu_seconds"] / 1e6)


def indexed(data: Path, out: Path, shards: int) -> Corpus:
    """Index the first shards of the real documents and open them."""
    for shard in find_shards(data / "pile")[:shards]:
        write_index(shard.file, shard.path, out)
    catalog = Catalog(out.parent / "facts")
    where = Registration(out, Kind.SAMPLE, "", License("", "", ""))
    catalog.load({"c": where})
    return catalog.open("c")


def tokenizer_of(file: Path) -> Tokenizer:
    """Open a tokenizer.json as the service does, with an empty table of pieces."""
    content = file.read_text("utf-8")
    cutter = cutter_of(Library.from_str(content), json.loads(content))
    return Tokenizer("gpt2", "0" * 64, _END + 1, _END, cutter)


def run(generator: Any) -> Any:
    """Run a generator to its end; return its value."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


def sequences_of(corpus: Corpus, tokenizer: Tokenizer, kept: Path, seed: int) -> Sequences:
    """Return the sequences of a corpus, from stored tokens or from texts."""
    store, selection = TokenStore(kept, _EVERY), corpus.resolve(Selection(seed=seed))
    shards = corpus.shards_of(selection)
    tokens = [run(store.make(shard, tokenizer)) for shard in shards]
    cut = Cut(LENGTH, _END, Packing.CONCATENATED)
    found = Sequences(corpus.plan(selection), tokens, cut)
    run(found.prepare())
    return found


def rate(corpus: Corpus, tokenizer: Tokenizer, kept: Path, seed: int) -> float:
    """Return millions of tokens per second of processor time."""
    begun, tokens = time.process_time(), 0
    found = sequences_of(corpus, tokenizer, kept, seed)
    for number in range(found.total):
        ids, parts = found.read(number)
        tokens += len(ids)
        if sum(part.tokens for part in parts) != LENGTH:
            raise SystemExit(f"the pieces of sequence {number} do not make its tokens")
    return tokens / (time.process_time() - begun) / 1e6


def main() -> None:
    """Run the rounds and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shards", type=int, default=5, help="how many of the real shards")
    parser.add_argument("--venvs", type=Path, default=report.HERE.parent / ".venv-peers")
    parser.add_argument("--no-result", action="store_true", help="print, and write nothing")
    options = parser.parse_args()
    data = testdata.data_dir()
    if data is None:
        raise SystemExit("no real documents: set ASSAY_TEST_DATA")
    os.environ["RAYON_NUM_THREADS"] = "1"
    file = data / "tokenizers" / "gpt2-tokenizer.json"
    peer = Loaders(options.venvs / "corpus-tokens", "corpus-tokens.txt")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        corpus = indexed(data, scratch / "indexed", options.shards)
        shards = [str(path) for path in sorted((scratch / "indexed").rglob("*.jsonl.zst"))]
        kept = scratch / "kept"
        known = tokenizer_of(file)
        first = sequences_of(corpus, known, kept, 0)  # also compiles the kernels
        np.save(
            scratch / "tokens.npy",
            np.concatenate([first.read(number)[0] for number in range(first.total)]),
        )
        chunks = str(scratch / "litdata")
        peer.ask(write="litdata", tokens=str(scratch / "tokens.npy"), length=LENGTH, out=chunks)
        anew, datasets, again, litdata = [], [], [], []
        for turn in range(options.rounds):
            anew.append(rate(corpus, tokenizer_of(file), scratch / f"anew-{turn}", turn))
            datasets.append(
                peer.rate(
                    cut="datasets", shards=shards, tokenizer=str(file), length=LENGTH,
                    separator=_END, scratch=folder,
                )
            )  # fmt: skip
            again.append(rate(corpus, known, kept, turn))
            litdata.append(peer.rate(read="litdata", length=LENGTH, out=chunks))
            print(f"round {turn + 1} of {options.rounds}", flush=True)
        peer.close()
    told = (
        ("packed GPT-2 tokens from texts", "datasets.map twice", anew, datasets, 5.0),
        ("packed GPT-2 tokens that were kept", "LitData, TokensLoader", again, litdata, 1.0),
    )
    rows = [
        report.row(
            what,
            name,
            statistics.median(ours),
            statistics.median(theirs),
            "million tokens per second of processor time",
            target=target,
        )
        for what, name, ours, theirs, target in told
    ]
    if not options.no_result:
        report.write(
            "corpus/tokens",
            rows,
            packages=("tokenizers", "numba", "numpy", "zstandard"),
            peer_versions=peer.versions,
            tokens=first.total * LENGTH,
            length=LENGTH,
            rounds=options.rounds,
            shards=len(shards),
        )


if __name__ == "__main__":
    main()
