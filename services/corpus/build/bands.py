"""The bands of signatures that near duplicates share."""

from __future__ import annotations

from services.corpus.build.recipe import NearDuplicates

RECALL = 0.95
"""Share of the pairs at the threshold that have a band in common, at least."""


def rows_of_band(options: NearDuplicates) -> int:
    """Return how many rows a band has: the most with which pairs at the threshold are found."""
    best = 1
    for rows in range(1, options.permutations + 1):
        bands = options.permutations // rows
        if 1 - (1 - options.threshold**rows) ** bands >= RECALL:
            best = rows
    return best


def bands_of(options: NearDuplicates) -> int:
    """Return how many bands a signature has."""
    return options.permutations // rows_of_band(options)
