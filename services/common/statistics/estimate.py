"""An estimate with what is known of its error, and weighted sums of independent estimates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A value, its variance, and the degrees of freedom of that variance.

    `cumulant` is the third cumulant of the error (0: symmetric). Variance 0 means exact.
    """

    value: float
    variance: float = 0.0
    freedom: float = math.inf
    cumulant: float = 0.0

    @property
    def error(self) -> float:
        """The standard error."""
        return math.sqrt(self.variance)

    @property
    def skewness(self) -> float:
        """Skewness of the error; 0 if there is no error."""
        return self.cumulant / self.variance**1.5 if self.variance else 0.0


def mean_of(values: Sequence[float]) -> Estimate:
    """Return the mean of independent values of one distribution. Raises ValueError for one value.

    The third cumulant is estimated from three values or more, and 0 for two.
    """
    count = len(values)
    if count < 2:
        raise ValueError(f"the error of a mean is of 2 values or more, not {count}")
    mean = math.fsum(values) / count
    squares = math.fsum((value - mean) ** 2 for value in values)
    cubes = math.fsum((value - mean) ** 3 for value in values)
    return Estimate(
        mean,
        squares / (count - 1) / count,
        count - 1,
        cubes / ((count - 1) * (count - 2)) / count if count > 2 else 0.0,
    )


def weighted_sum(parts: Sequence[tuple[float, Estimate]]) -> Estimate:
    """Return the sum of independent estimates, each multiplied by its weight."""
    variances = [weight * weight * part.variance for weight, part in parts]
    return Estimate(
        math.fsum(weight * part.value for weight, part in parts),
        math.fsum(variances),
        satterthwaite(
            (variance, part.freedom) for variance, (_, part) in zip(variances, parts, strict=True)
        ),
        math.fsum(weight**3 * part.cumulant for weight, part in parts),
    )


def satterthwaite(parts: Iterable[tuple[float, float]]) -> float:
    """Return the degrees of freedom of a sum of independent variances (Satterthwaite 1946).

    Parts are (variance, degrees). Returns infinity if no variance is above 0.
    """
    kept = [(variance, freedom) for variance, freedom in parts if variance > 0]
    whole = math.fsum(variance for variance, _ in kept)
    # Computed with shares of the sum, since squares of small variances would underflow to 0.
    spent = math.fsum((variance / whole) ** 2 / freedom for variance, freedom in kept)
    return 1 / spent if spent else math.inf
