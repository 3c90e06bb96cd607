"""What the benchmarks of bits per byte share: a model, documents, and how sides are timed."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

from benchmarks import report
from benchmarks.bpb import random_models
from services.cli import testdata
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.document_scoring import score_document
from services.corpus.bpb.models.compute import Compute, Shift
from services.corpus.bpb.models.language_model import LanguageModel
from services.corpus.bpb.models.registry import Registry
from services.corpus.bpb.scored_windows import Window, rolling_windows
from services.corpus.shards.documents import Document
from services.corpus.shards.layout import find_shards
from services.corpus.stream import reader
from services.corpus.stream.selection import Selection


@dataclass
class Setting:
    """What all rows share: a model's folder, documents, and the folder of the data."""

    data: Path
    name: str
    directory: Path
    documents: list[Document]
    rounds: int
    venv: Path
    folder: Path

    def load(self, compute: Compute) -> tuple[LanguageModel, Definition]:
        """Load the model and spell the definition out."""
        registry = Registry({self.name: self.directory})
        definition = Definition().resolve(registry.describe(self.name))
        return registry.load(self.name, compute), definition

    def shift(self, compute: Compute) -> Shift:
        """Return how far an engine differs from the reference in the comparison at loading."""
        return Registry({self.name: self.directory}).start(self.name, compute).shift

    def windows(self, model: LanguageModel, definition: Definition) -> list[Window]:
        """Cut all documents."""
        return [
            window
            for document in self.documents
            for window in rolling_windows(
                model.encode(document.text.decode()), model.prefix_token, definition.max_length
            )
        ]

    def bare(self, compute: Compute) -> Callable[[], int]:
        """Return the scoring loop, which returns the number of tokens."""
        model, definition = self.load(compute)
        return lambda: sum(
            score_document(model, definition, document).tokens for document in self.documents
        )


Measure: TypeAlias = Callable[[Setting], Iterator[dict[str, Any]]]


def cpu_seconds(loop: Callable[[], int]) -> Callable[[], float]:
    """Make a loop one of the sides of `in_turns`."""

    def timed() -> float:
        began = time.process_time()
        loop()
        return time.process_time() - began

    return timed


def in_turns(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Return each side's median seconds over the rounds after the first."""
    timed = [{side: run() for side, run in sides.items()} for _ in range(rounds + 1)]
    return {side: statistics.median(one[side] for one in timed[1:]) for side in sides}


def main(name: str, description: str | None, measures: Mapping[str, Measure], rounds: int) -> int:
    """Measure what the command line asks for, report, and write results/NAME.json."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--venv", type=Path, default=report.HERE.parent / ".venv-peers" / "lm-eval")
    parser.add_argument("--model", choices=random_models.NAMES[1:], default="neox-14m")
    parser.add_argument("--documents", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--only", nargs="+", choices=list(measures), default=list(measures))
    options = parser.parse_args()
    data = testdata.data_dir()
    if data is None:
        parser.error("no real data: set ASSAY_TEST_DATA")
    found = reader.documents(find_shards(data / "pile"), Selection(("test",)))
    documents = list(islice(found, options.documents))
    with tempfile.TemporaryDirectory() as folder:
        directory = random_models.make(options.model, data / "tokenizers", Path(folder))
        setting = Setting(
            *(data, options.model, directory, documents, options.rounds, options.venv),
            Path(folder),
        )
        rows = [row for name in options.only for row in measures[name](setting)]
    report.write(
        name,
        rows,
        packages=("torch", "transformers", "tokenizers", "openvino", "ray"),
        model=options.model,
        documents={"count": len(documents), "bytes": sum(len(d.text) for d in documents)},
    )
    return 0
