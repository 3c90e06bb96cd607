"""The level of intervals that many artifacts are compared by, so that hardly any win is by chance.

It is a constant, and not a function of who is compared: otherwise an artifact that is added would
change what is said of two others.
"""

from __future__ import annotations

import math

from services.common.statistics.distributions import normal_quantile
from services.common.statistics.ranking import normal_range

ARTIFACTS = 50
LEVEL = 1 - 2e-5
"""Of each interval: 17 restarts' least and greatest have it, or 4.265 standard errors."""


def simultaneous_level(artifacts: int, metrics: int = 1) -> float:
    """Return the chance that no win is by chance among artifacts that are all equal.

    Over `metrics` that were measured by sampling. With 50 artifacts and two it is 0.964.
    """
    if artifacts < 2:
        return 1.0
    reach = normal_quantile(0.5 + LEVEL / 2) * math.sqrt(2)
    return max(0.0, 1 - metrics * normal_range.tail(artifacts, reach))
