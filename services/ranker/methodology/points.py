"""What a score's points are, in words: commands print it, and load nothing else for it."""

from __future__ import annotations

POINTS = "0 and 100 points stand for two published figures; scores range from -50 to 150"
"""For readers who would take 100 for the most."""


def passes(low: float, high: float) -> bool:
    """Whether a score between the two, in points, may lie beyond a reference."""
    return low < 0 or high > 100
