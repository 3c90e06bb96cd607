"""Intervals of sums over documents, by the Poisson bootstrap over documents.

A replicate counts every document as often as a Poisson variable of mean 1 says (Chamandy et al.
2012); a ratio of sums is computed in each, and the middle 95 % of them are the interval. The counts
are a function of the document's id and a seed alone, and sums are of whole numbers. So replicates
do not depend on the order of the documents, those of parts add up to those of the whole, and two
models that were scored on the same documents have the same counts, which is what pairs them.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import numpy.typing as npt

from services.common.median import Interval

REPLICATES = 1000
LEVEL = 0.95
# With fewer documents the spread of the replicates says little of that of the figure.
MIN_DOCUMENTS = 10
# Nats are summed in 65,536ths: a document's share is off by a hundred-thousandth of a nat at most,
# and a sum holds 140 million million nats, a hundred times what the whole Pile has.
_UNITS = 1 << 16
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def _poisson_table() -> Integers:
    """Return the Poisson variable of mean 1 at each of 65,536 equal steps of probability."""
    probabilities = [math.exp(-1) / math.factorial(count) for count in range(12)]
    steps = np.rint(np.cumsum(probabilities) * (1 << 16)).astype(np.int64)
    table: Integers = np.searchsorted(steps, np.arange(1 << 16), side="right").astype(np.int64)
    return table


_TABLE = _poisson_table()
_COUNTERS = np.arange(1, REPLICATES // 4 + 1, dtype=np.uint64) * _GOLDEN


def counts(document_id: str, seed: int = 0) -> Integers:
    """Return how often each of the 1,000 replicates counts a document.

    The numbers are SplitMix64's (Steele, Lea, Flood 2014), keyed with the id and the seed.
    """
    key = hashlib.blake2b(f"{seed}\0{document_id}".encode("utf-8", "surrogatepass"), digest_size=8)
    values = _COUNTERS + np.uint64(int.from_bytes(key.digest(), "little"))
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    steps = (values ^ (values >> np.uint64(31))).astype("<u8").view("<u2")
    times: Integers = _TABLE[steps]
    return times


class Replicates:
    """The sums of nats and bytes of each replicate."""

    def __init__(self) -> None:
        self._nats: Integers = np.zeros(REPLICATES, np.int64)
        self._bytes: Integers = np.zeros(REPLICATES, np.int64)
        self._documents = 0

    def add(self, times: Integers, nats: float, text_bytes: int) -> None:
        """Count a document; `times` are its `counts`."""
        self._nats += times * round(nats * _UNITS)
        self._bytes += times * text_bytes
        self._documents += 1

    def merge(self, other: Replicates) -> None:
        """Count everything that another one counted."""
        self._nats += other._nats
        self._bytes += other._bytes
        self._documents += other._documents

    @property
    def bits_per_byte(self) -> Floats:
        """By replicate; NaN where it has no bytes, and everywhere with fewer than 10 documents."""
        if self._documents < MIN_DOCUMENTS:
            return np.full(REPLICATES, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            values: Floats = self._nats / (_UNITS * math.log(2) * self._bytes)
        return values


def interval(replicates: Floats) -> Interval | None:
    """Return the middle 95 % of replicates, None when there are none."""
    defined = replicates[np.isfinite(replicates)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), LEVEL)
