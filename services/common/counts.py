"""Counts with their nouns: one and many."""

from __future__ import annotations


def plural(count: int, one: str, several: str = "") -> str:
    """A count with its noun: "1 claim", "2 claims"."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"
