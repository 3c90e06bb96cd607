"""Bits per byte that the Pile's paper prints for models that can be scored here."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from services.corpus.bpb.models.language_model import ModelInfo

SOURCE = "Gao et al. 2020, The Pile, Table 2"
_ARCHITECTURE = "gpt2"


@dataclass(frozen=True)
class PublishedScores:
    """What is printed for `model`: over the test set, and by subset. Bits per UTF-8 byte."""

    model: str
    overall: float
    subsets: Mapping[str, float]
    source: str = SOURCE


def published_for(model: ModelInfo) -> PublishedScores | None:
    """Find what is printed for a model of this name and architecture; the owner may differ."""
    name = model.name.rpartition("/")[2].lower()
    return _tables().get(name) if model.architecture == _ARCHITECTURE else None


@cache
def _tables() -> Mapping[str, PublishedScores]:
    text = files(__package__).joinpath("published.csv").read_text(encoding="utf-8")
    found: dict[str, dict[str, float]] = {}
    for row in csv.DictReader(text.splitlines()):
        found.setdefault(row["model"], {})[row["subset"]] = float(row["bits_per_byte"])
    return {
        model: PublishedScores(model, figures.pop(""), figures) for model, figures in found.items()
    }
