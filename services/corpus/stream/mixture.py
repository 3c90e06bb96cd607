"""How much of each subset an epoch has, and in which order the subsets take turns."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

import numpy as np
import numpy.typing as npt

from services.errors import InvalidArgument

MAX_PASSES = 1e6


class WeightUnit(Enum):
    """What a weight is a share of."""

    BYTES = "bytes"
    DOCUMENTS = "documents"
    TOKENS = "tokens"


@dataclass(frozen=True)
class Mixture:
    """Shares of an epoch's text bytes ("weights"), or passes over each subset ("passes").

    `by_subset` is sorted by name; other subsets are left out. Of a `published` one the subsets that
    the corpus lacks are left out.
    """

    kind: Literal["weights", "passes"]
    by_subset: tuple[tuple[str, float], ...]
    published: bool = False

    def present(self, subsets: Collection[str]) -> Mixture:
        """Return it without the subsets that are not here, where it is a published one."""
        kept = tuple(entry for entry in self.by_subset if entry[0] in subsets)
        return replace(self, by_subset=kept) if self.published else self

    def passes(self, sizes: Mapping[str, int]) -> dict[str, float]:
        """Say how often an epoch passes over each subset; `sizes` are of what is selected.

        With weights an epoch has as much (bytes of text, say) as all of them together.
        """
        given = {name: value for name, value in self.by_subset if sizes.get(name)}
        if self.kind == "passes":
            return given
        whole, total = sum(sizes.values()), math.fsum(given.values())
        return {name: whole * value / total / sizes[name] for name, value in given.items()}


def mixture(
    kind: Literal["weights", "passes"],
    by_subset: Mapping[str, float],
    *,
    published: bool = False,
    field: str = "",
) -> Mixture:
    """Check the numbers of a mixture.

    Raises InvalidArgument for none, and for one that is negative, not finite, or too large.
    """
    field = field or f"selection.mixture.{kind}"
    for name, value in by_subset.items():
        if not (math.isfinite(value) and 0 <= value <= MAX_PASSES):
            raise InvalidArgument(
                field, f"has {value} for {name!r}; give a number from 0 to {MAX_PASSES:,.0f}"
            )
    if not any(by_subset.values()):
        raise InvalidArgument(field, "has nothing with more than 0")
    return Mixture(kind, tuple(sorted((n, v) for n, v in by_subset.items() if v)), published)


def interleave(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Let kinds take turns evenly: kind k `counts[k]` times, spread over the whole sequence.

    Returns the kind at each of the sum(counts) places. The i-th turn of a kind with n turns has the
    time (i + 1/2) / n, so that at any time t each kind has had n * t of its turns, give or take one
    half. Equal times go to the kind that comes first.
    """
    kinds = np.repeat(np.arange(len(counts)), counts)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    turn = np.arange(len(kinds)) - starts
    times = (turn + 0.5) / np.repeat(counts, counts)
    return kinds[np.argsort(times, kind="stable")]
