"""What the Pile's paper prints about its subsets, under the names that its documents use."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

SOURCE = "Gao et al. 2020, The Pile, Table 1"


@dataclass(frozen=True)
class PublishedSubset:
    """One row of the table. `weight` is a share of the effective corpus, in [0, 1]."""

    weight: float
    raw_gib: float
    epochs: float
    effective_gib: float
    mean_document_kib: float
    source: str = SOURCE


def _read() -> Mapping[str, PublishedSubset]:
    text = files(__package__).joinpath("published.csv").read_text(encoding="utf-8")
    return MappingProxyType(
        {
            row["name"]: PublishedSubset(
                # A percentage with two decimals is a share with four.
                weight=round(float(row["weight_percent"]) / 100, 4),
                raw_gib=float(row["raw_gib"]),
                epochs=float(row["epochs"]),
                effective_gib=float(row["effective_gib"]),
                mean_document_kib=float(row["mean_document_kib"]),
            )
            for row in csv.DictReader(text.splitlines())
        }
    )


SUBSETS = _read()
NAMES = frozenset(SUBSETS)
