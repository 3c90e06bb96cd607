"""Published bits per byte of models that can be scored here.

The Pile's paper prints them by subset (`published.csv`, Table 2). Others print one figure, or
numbers from which one follows (`published_overall.csv`); the derivation and the text are given too.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from services.corpus.bpb.models.language_model import ModelInfo

SOURCE = "Gao et al. 2020, The Pile, Table 2"
_ARCHITECTURE = "gpt2"


@dataclass(frozen=True)
class PublishedScores:
    """What is printed for `model`: over a test set, and by subset. Bits per UTF-8 byte.

    `derivation` says how the figure follows from what is printed, or on which other text it is;
    empty when it is printed itself for the Pile's test set.
    """

    model: str
    overall: float
    subsets: Mapping[str, float] = field(default_factory=dict)
    source: str = SOURCE
    derivation: str = ""


def published_for(model: ModelInfo) -> PublishedScores | None:
    """Find what is printed for a model of this name and architecture; the owner may differ."""
    name = model.name.rpartition("/")[2].lower()
    return _tables().get((name, model.architecture))


@cache
def _tables() -> Mapping[tuple[str, str], PublishedScores]:
    figures: dict[str, dict[str, float]] = {}
    for row in _rows("published.csv"):
        figures.setdefault(row["model"], {})[row["subset"]] = float(row["bits_per_byte"])
    found = {
        (model, _ARCHITECTURE): PublishedScores(model, by_subset.pop(""), by_subset)
        for model, by_subset in figures.items()
    }
    for row in _rows("published_overall.csv"):
        found[row["model"], row["architecture"]] = PublishedScores(
            row["model"],
            float(row["bits_per_byte"]),
            source=row["source"],
            derivation=row["derivation"],
        )
    return found


def _rows(name: str) -> Iterator[dict[str, str]]:
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    yield from csv.DictReader(text.splitlines())
