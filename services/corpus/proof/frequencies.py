"""A model's distribution as whole numbers, the same ones for encoder and decoder.

With w_i = exp(logit_i - largest logit), so that the largest w is 1, a token's frequency is
f_i = floor(w_i * 2^43) + 1 and their total is what they sum to: nothing is scaled to a fixed total.
What that costs is bounded. Of V tokens with W = sum of w_i >= 1,

    f_i >= w_i * 2^43   and   total <= W * 2^43 + V,

so coding a token takes at most log2(1 + V / (W * 2^43)) <= V * 2^-43 / ln 2 bits more than
-log2(w_i / W). For a vocabulary of 250,000 that is 4.1e-8 bits a token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.errors import InternalError

SCALE_BITS = 43
LARGEST_VOCABULARY = 1 << 19  # the largest total, V * (2^43 + 1), then fits in 63 bits


@dataclass(frozen=True)
class Slice:
    """A token's place among the frequencies: `start` to `start + size` of `total`."""

    start: int
    size: int
    total: int


class Distribution:
    """The distributions of several rows: logits [rows, vocabulary], float32."""

    def __init__(self, logits: npt.NDArray[np.float32]) -> None:
        """Take logits. Raises InternalError where one is NaN or plus infinity.

        Minus infinity is a token that the model rules out; it keeps the frequency 1.
        """
        self._logits = logits.astype(np.float64)
        self._largest = self._logits.max(axis=1)
        if not np.isfinite(self._largest).all():
            raise InternalError(
                "the model gave a distribution that is not one (NaN or infinite logits); no proof "
                "was made"
            )
        weights = np.exp(self._logits - self._largest[:, None])
        self._sums = weights.sum(axis=1)
        weights *= float(1 << SCALE_BITS)
        self._frequencies = weights.astype(np.int64)
        self._frequencies += 1
        self._totals = self._frequencies.sum(axis=1)

    def slice_of(self, row: int, token: int) -> Slice:
        """Return a token's place."""
        frequencies = self._frequencies[row]
        start = int(frequencies[:token].sum())
        return Slice(start, int(frequencies[token]), int(self._totals[row]))

    def total(self, row: int) -> int:
        """Return what the frequencies sum to."""
        return int(self._totals[row])

    def find(self, row: int, place: int) -> tuple[int, Slice]:
        """Return the token whose slice holds `place`, 0 <= place < total, and the slice."""
        ends = np.cumsum(self._frequencies[row])
        token = int(np.searchsorted(ends, place, side="right"))
        size = int(self._frequencies[row, token])
        return token, Slice(int(ends[token]) - size, size, int(ends[-1]))

    def nats(self, row: int, token: int) -> float:
        """Return -log p of a token, in nats, by the distribution before it was rounded."""
        surprise = self._largest[row] - self._logits[row, token]
        return float(surprise + math.log(self._sums[row]))


def largest_excess_bits(tokens: int, vocabulary: int) -> float:
    """Return how many bits more than nats / ln 2 the code of a document can have.

    1 for its last bit, and what rounding the distributions and the coder's range costs.
    """
    # A coder's range is at least 2^120 and a total at most 2^63: 2^-57 of the range is lost.
    each = vocabulary * 2.0**-SCALE_BITS + 2.0**-56
    return 1 + tokens * each / math.log(2)
