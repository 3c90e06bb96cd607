"""Which documents repeat others, within a split and between two, and in which subsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Repeats:
    """How many documents repeat others.

    `within` has, by split, those that repeat an earlier one of their split. `between` has, by
    (split, other split), those of `split` that have one like them in the other. `by_subset` has
    those that repeat an earlier one of any split.
    """

    within: dict[str, int]
    between: dict[tuple[str, str], int]
    by_subset: dict[str, int]

    @property
    def documents(self) -> int:
        """Documents that repeat an earlier one."""
        return sum(self.by_subset.values())


def repeats(
    keys: NDArray[np.uint64],
    splits: NDArray[np.uint8],
    subsets: NDArray[np.uint32],
    split_names: Sequence[str],
    subset_names: Sequence[str],
) -> Repeats:
    """Find what repeats: documents are alike that have one key. All arrays are (documents,)."""
    again = _repeating(keys)
    parts = {name: keys[splits == number] for number, name in enumerate(split_names)}
    counts = np.bincount(subsets[again], minlength=len(subset_names)).tolist()
    return Repeats(
        {name: int(_repeating(part).sum()) for name, part in parts.items()},
        {
            (name, other): int(np.isin(part, parts[other]).sum())
            for name, part in parts.items()
            for other in parts
            if other != name
        },
        dict(zip(subset_names, counts, strict=True)),
    )


def _repeating(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which have the key of an earlier one."""
    order = np.argsort(keys, kind="stable")
    again = np.zeros(keys.size, dtype=np.bool_)
    again[order[1:]] = keys[order[1:]] == keys[order[:-1]]
    return again
