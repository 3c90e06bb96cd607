"""How often each document goes into the corpus, and into which split and shard.

This is a function of the recipe, the documents and the seed, so every process computes the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from services.corpus.build.recipe import MOST_EPOCHS, Recipe
from services.corpus.build.unit_files import Rows
from services.corpus.shards.layout import SUFFIX
from services.corpus.shards.names import SPLITS
from services.errors import PreconditionFailed

_UNITS = 1 << 32
TRAIN = SPLITS[0]


def splits_of(rows: Rows, recipe: Recipe) -> npt.NDArray[np.int8]:
    """Return the split of each document, as its place in SPLITS, (documents,).

    The text decides, so that a text is in one split alone.
    """
    shares = recipe.output.splits
    # A hash that neither the order nor the removal of duplicates uses.
    values = (rows["text_high"] ^ _salt("split", recipe.seed)) * np.uint64(0x9E3779B97F4A7C15)
    values >>= np.uint64(32)
    found = np.zeros(len(rows), np.int8)
    val, test = round(shares.val * _UNITS), round(shares.test * _UNITS)
    found[values < val] = SPLITS.index("val")
    found[(values >= val) & (values < val + test)] = SPLITS.index("test")
    return found


def split_counts(rows: Rows, recipe: Recipe) -> dict[str, list[int]]:
    """Count documents and bytes by split."""
    splits = splits_of(rows, recipe)
    return {
        name: [int((splits == place).sum()), int(rows["text_bytes"][splits == place].sum())]
        for place, name in enumerate(SPLITS)
    }


@dataclass(frozen=True)
class Mixture:
    """What the corpus gets: passes over each source, and the shards of each split, as paths.

    Held-out splits have each document once, whatever the source's epochs.
    """

    epochs: tuple[float, ...]
    shards: tuple[str, ...]
    first_shard: Mapping[str, int]
    """Where the shards of a split begin in `shards`; splits without a document have none."""
    shard_count: Mapping[str, int]

    def copies(self, rows: Rows, source: int, splits: npt.NDArray[np.int8], seed: int) -> Any:
        """Return how often each document goes in, (documents,)."""
        whole, part = divmod(self.epochs[source], 1.0)
        hashed = (rows["identity"] ^ _salt("epochs", seed)) * np.uint64(0x9E3779B97F4A7C15)
        extra = (hashed >> np.uint64(32)) < np.uint64(round(part * _UNITS))
        copies = np.full(len(rows), int(whole)) + extra
        copies[splits != SPLITS.index(TRAIN)] = 1
        return copies

    def place(self, identity: int, copy: int, split: str, seed: int) -> tuple[int, int]:
        """Return the shard of a copy of a document, and what puts it in order there."""
        value = xxhash.xxh3_128_intdigest(f"{seed} {identity} {copy}".encode())
        shard = self.first_shard[split] + (value >> 64) % self.shard_count[split]
        return shard, value & 0xFFFFFFFFFFFFFFFF


def mixture_of(recipe: Recipe, sources: Sequence[Mapping[str, Sequence[int]]]) -> Mixture:
    """Plan from the documents and bytes of each source by split (`split_counts`, added up).

    Raises PreconditionFailed where weights ask for more passes than a recipe may name.
    """
    sizes = [counts[TRAIN][1] for counts in sources]
    epochs = tuple(_epochs(recipe, sizes))
    for source, size, passes in zip(recipe.sources, sizes, epochs, strict=True):
        if passes > MOST_EPOCHS:
            raise PreconditionFailed(
                f"source {source.name!r} has {size:,} bytes of text after the recipe's steps, and "
                f"its weight needs {passes:,.0f} passes over them; at most {MOST_EPOCHS:,} are "
                "allowed; lower output.total_bytes or its weight"
            )
    totals = {
        split: [sum(counts[split][part] for counts in sources) for part in range(2)]
        for split in SPLITS
    }
    totals[TRAIN][1] = round(sum(size * passes for size, passes in zip(sizes, epochs, strict=True)))
    shards: list[str] = []
    first_shard, shard_count = {}, {}
    for split, (documents, size) in totals.items():
        if not documents:
            continue
        count = max(1, math.ceil(size / recipe.output.shard_bytes))
        first_shard[split], shard_count[split] = len(shards), count
        digits = max(2, len(str(count - 1)))
        if count == 1 and split != TRAIN:
            shards.append(f"{split}{SUFFIX}")
        else:
            shards += [f"{split}/{number:0{digits}d}{SUFFIX}" for number in range(count)]
    return Mixture(epochs, tuple(shards), first_shard, shard_count)


def _epochs(recipe: Recipe, sizes: Sequence[int]) -> list[float]:
    """Return the passes over each source.

    Weights are shares of the bytes of `total_bytes`; without one, of as much text as there is
    when no source is taken twice.
    """
    weights = [source.weight for source in recipe.sources]
    given = [weight for weight in weights if weight is not None]
    if not given:
        return [source.epochs or 1.0 for source in recipe.sources]
    shares = [
        weight / sum(given) if size else 0.0 for weight, size in zip(given, sizes, strict=True)
    ]
    some = [size / share for size, share in zip(sizes, shares, strict=True) if share]
    total = recipe.output.total_bytes or min(some, default=0.0)
    return [
        total * share / size if size else 0.0 for size, share in zip(sizes, shares, strict=True)
    ]


def _salt(what: str, seed: int) -> np.uint64:
    return np.uint64(xxhash.xxh3_64_intdigest(f"{what} {seed}".encode()))
