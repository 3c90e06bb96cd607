"""What a page's printed parts say of the score that it printed.

Such pages say that

    rank = 100 * (0.25 A + 0.25 Q + 0.10 E + wM M + wF F),   every part in [0, 1],

publish three weights, leave open how the remaining 0.40 is split between match graph (M) and
freshness (F), print A, Q, E and M as 0 or 1, hide F, and print the rank as a whole number. Read as
rounded, a printed 0 is a part in [0, 0.5) and a printed 1 a part in [0.5, 1].

With wM = 0.25 and wF = 0.15 a rank with the parts A0 Q0 E1 M0 lies in [5, 62.5) and is printed as
5 to 62; one with A1 Q1 E0 M0 lies in [25, 82.5) and is printed as 25 to 82. The split is an
assumption. The upper ends are 55 + 50 wF and 75 + 50 wF, so every wF above 0.13 and up to 0.15
prints those bounds, and a split that gives the hidden part more widens them: up to [5, 75) and
[25, 95) when freshness has all of the 0.40.

Pure. Nothing in here enters a score of this project.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from services.errors import InvalidArgument

PUBLISHED_WEIGHTS: Mapping[str, float] = {"adoption": 0.25, "quality": 0.25, "ecosystem": 0.10}
"""Weights that are published."""

UNPUBLISHED_WEIGHT = 0.40
"""Weight of match graph and freshness together; the split is not published."""

ASSUMED_SPLIT: Mapping[str, float] = {"match_graph": 0.25, "freshness": 0.15}
"""The split that the bounds are given for."""

PRINTED = ("adoption", "quality", "ecosystem", "match_graph")
"""Parts that are printed; freshness is not."""


@dataclass(frozen=True)
class Feasible:
    """Whole scores from `low` to `high` that the printed parts allow."""

    low: int
    high: int

    def __contains__(self, score: object) -> bool:
        return isinstance(score, int | float) and self.low <= score <= self.high


def rank(parts: Mapping[str, float], split: Mapping[str, float] = ASSUMED_SPLIT) -> float:
    """The published formula, out of 100. `parts` has all five parts, each in [0, 1]."""
    weights = {**PUBLISHED_WEIGHTS, **split}
    return 100 * math.fsum(weight * parts[name] for name, weight in weights.items())


def feasible(bits: Mapping[str, float], split: Mapping[str, float] = ASSUMED_SPLIT) -> Feasible:
    """Whole scores that could be printed beside these parts, each printed as 0 or 1.

    Raises InvalidArgument when a part is missing, unknown or neither 0 nor 1, and when the split
    does not share out exactly what the published weights leave.
    """
    if set(bits) != set(PRINTED) or any(bit not in (0, 1) for bit in bits.values()):
        raise InvalidArgument(
            "printed_components", f"needs {', '.join(PRINTED)}, each 0 or 1; got {dict(bits)}"
        )
    if (
        set(split) != set(ASSUMED_SPLIT)
        or min(split.values()) < 0
        or not math.isclose(math.fsum(split.values()), UNPUBLISHED_WEIGHT)
    ):
        raise InvalidArgument("split", f"must share out {UNPUBLISHED_WEIGHT}, not {dict(split)}")
    least = {name: 0.5 * bit for name, bit in bits.items()} | {"freshness": 0.0}
    most = {name: 0.5 + 0.5 * bit for name, bit in bits.items()} | {"freshness": 1.0}
    # A part printed as 0 stays below one half, so the upper end itself is reached only when every
    # part that has weight is printed as 1. Rounding to nine places drops the noise of the sums.
    top = round(rank(most, split), 9)
    reached = all(bits[name] == 1 for name in PRINTED if {**PUBLISHED_WEIGHTS, **split}[name] > 0)
    return Feasible(
        low=math.floor(round(rank(least, split), 9) + 0.5),
        high=math.floor(top + 0.5) if reached else math.ceil(top + 0.5) - 1,
    )


def remark(value: float, bits: Mapping[str, float]) -> str:
    """What the printed parts say of a printed score, in a sentence or two."""
    bounds = feasible(bits)
    scope = (
        f"the published formula and the printed parts allow every score from {bounds.low} to "
        f"{bounds.high}, if the match graph weighs {ASSUMED_SPLIT['match_graph']:.2f} and the "
        f"hidden freshness {ASSUMED_SPLIT['freshness']:.2f}, which is not published"
    )
    if value in bounds:
        return (
            f"{value:g} is consistent with its printed parts, but not identified by them: {scope}."
        )
    return f"{value:g} is not consistent with its printed parts: {scope}."
