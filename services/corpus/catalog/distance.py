"""How far the shares of a corpus's subsets are from published ones, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from services.corpus.catalog.counts import Count

LEVEL = 0.95
_DRAWS = 20_000
_SEED = 0


@dataclass(frozen=True)
class Distance:
    """Total-variation distance, in [0, 1], and its interval at `level`."""

    value: float
    low: float
    high: float
    level: float = LEVEL


def total_variation(found: Mapping[str, Count], published: Mapping[str, float]) -> Distance | None:
    """Compare shares of text bytes with `published` weights, which need not sum to 1.

    Half the sum of the absolute differences, over the names of both. For the interval the documents
    are a random sample of a larger corpus: the shares are drawn from their limiting normal
    distribution, each document weighed by its size, and move by at most q in `LEVEL` of the draws.
    By the triangle inequality the distance moves by at most q too, so the interval is conservative.
    None without any text.
    """
    counts = {name: found[name] for name in sorted(found) if found[name].text_bytes}
    total = sum(count.text_bytes for count in counts.values())
    weights = sum(published.values())
    if not total or not weights:
        return None
    shares = {name: count.text_bytes / total for name, count in counts.items()}
    names = shares.keys() | published.keys()
    # At most 1, but for rounding.
    value = 0.5 * float(
        np.sum([abs(shares.get(n, 0.0) - published.get(n, 0.0) / weights) for n in sorted(names)])
    )
    value = min(1.0, value)
    p = np.array(list(shares.values()))
    spread = np.sqrt([float(count.squared_text_bytes) for count in counts.values()]) / total
    moved = np.random.default_rng(_SEED).standard_normal((_DRAWS, len(p))) * spread
    # A document adds to the share of its subset, and to the sum that all shares are divided by.
    moved -= moved.sum(axis=1, keepdims=True) * p
    q = float(np.quantile(0.5 * np.abs(moved).sum(axis=1), LEVEL))
    return Distance(value, max(0.0, value - q), min(1.0, value + q))
