"""Compares the windows of the Pile paper's definition with those of the paper's code.

    python -m benchmarks.bpb.paper_windows [--peer DIR] [--documents N]

EleutherAI/lm_perplexity computed the paper's figures. Its code is cloned on the first run, and its
unchanged function cuts the windows of every available document, with the paper's two settings:
1,024 tokens with 512 of context for GPT-2, and 2,048 with 1,024 for GPT-3. Our windows are those of
a scoring: the preset, resolved for a model of that length and tokenizer. Read and scored tokens of
each window are compared one by one.

Needs the real data (ASSAY_TEST_DATA). Writes results/bpb/paper_windows.json.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import report
from benchmarks.bpb import random_models
from services.cli import testdata
from services.corpus.bpb.definition import Definition, Preset
from services.corpus.bpb.models.checkpoint.model_directory import HuggingFaceModel, read_directory
from services.corpus.bpb.models.registry import Registry
from services.corpus.bpb.models.tokenizers.hugging_face_tokenizer import HuggingFaceTokenizer
from services.corpus.bpb.scored_windows import rolling_windows
from services.corpus.shards.layout import find_shards
from services.corpus.stream import reader
from services.corpus.stream.selection import Selection

REPOSITORY = "https://github.com/EleutherAI/lm_perplexity"
COMMIT = "24c5a04beb2f073b2230c7c7420bd1ec7776f513"
# The models with the paper's two lengths, and the context that the paper used.
SETTINGS = {"gpt2-small": (1024, 512), "neox-14m": (2048, 1024)}

Cut: TypeAlias = Callable[..., Iterable[tuple[list[int], list[int]]]]


def paper_code(folder: Path) -> Cut:
    """Return the paper's function, cloned into `folder` if it is not there."""
    if not folder.exists():
        subprocess.run(["git", "clone", "--quiet", REPOSITORY, folder], check=True)
        subprocess.run(["git", "-C", folder, "checkout", "--quiet", COMMIT], check=True)
    # Only this file: the package needs libraries that its windows do not.
    spec = spec_from_file_location("lm_perplexity_utils", folder / "lm_perplexity" / "utils.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"{folder} is not a clone of {REPOSITORY}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    cut: Cut = module.get_rolling_token_windows
    return cut


def differing(texts: Sequence[str], name: str, directory: Path, cut: Cut) -> tuple[int, int, int]:
    """Return documents whose windows differ, windows compared, and the tokens in them."""
    definition = Definition(preset=Preset.PILE_PAPER).resolve(
        Registry({name: directory}).describe(name)
    )
    if (definition.max_length, definition.context_length) != SETTINGS[name]:
        raise SystemExit(f"the preset is {definition} for {name}")
    found = read_directory(name, directory)
    if not isinstance(found, HuggingFaceModel):
        raise SystemExit(f"{directory} is not a Hugging Face model")
    tokenizer = HuggingFaceTokenizer(name, found)
    different = windows = tokens = 0
    for text in texts:
        ids = tokenizer.encode(text)
        length, context = SETTINGS[name]
        theirs = list(
            cut(
                token_list=ids,
                prefix_token=tokenizer.prefix_token,
                max_seq_len=length,
                context_len=context,
            )
        )
        ours = [
            (list(window.inputs), list(window.targets))
            for window in rolling_windows(
                ids, definition.prefix_token, definition.max_length, definition.context_length
            )
        ]
        different += ours != theirs
        windows += len(theirs)
        tokens += sum(len(read) + len(scored) for read, scored in theirs)
    return different, windows, tokens


def rows(texts: Sequence[str], cut: Cut, folder: Path, tokenizers: Path) -> Iterator[Any]:
    """Compare each setting."""
    for name, (length, context) in SETTINGS.items():
        directory = random_models.make(name, tokenizers, folder)
        different, windows, tokens = differing(texts, name, directory, cut)
        yield report.row(
            f"documents of {len(texts):,} with the same windows, token for token: {windows:,} "
            f"windows of {length} tokens with {context} of context, {tokens:,} tokens in them",
            "lm_perplexity",
            len(texts) - different,
            len(texts),
            "documents",
            target=1.0,
        )


def main() -> int:
    """Compare, report and write the result; 1 when a window differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--peer", type=Path, default=report.HERE.parent / ".venv-peers" / "lm_perplexity"
    )
    parser.add_argument("--documents", type=int, default=None, help="the first N (default: all)")
    options = parser.parse_args()
    data = testdata.data_dir()
    if data is None:
        parser.error("no real data: set ASSAY_TEST_DATA")
    documents = reader.documents(find_shards(data / "pile"), Selection(("train", "val", "test")))
    texts = [document.text.decode() for document in islice(documents, options.documents)]
    cut = paper_code(options.peer)
    with tempfile.TemporaryDirectory() as folder:
        results = list(rows(texts, cut, Path(folder), data / "tokenizers"))
    report.write(
        "bpb/paper_windows",
        results,
        packages=("tokenizers", "transformers"),
        peer_versions={"lm_perplexity": COMMIT},
        documents={"count": len(texts), "bytes": sum(len(text.encode()) for text in texts)},
    )
    return 0 if all(row["ratio"] == 1 for row in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
