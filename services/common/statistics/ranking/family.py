"""The level of intervals for comparing many artifacts, so high that chance wins are rare.

The level is a constant rather than a function of the artifacts: otherwise adding an artifact would
change the result for two others.
"""

from __future__ import annotations

import math

from services.common.statistics.distributions import normal_quantile
from services.common.statistics.ranking import normal_range

ARTIFACTS = 50
LEVEL = 1 - 2e-5
"""Level of each interval, that of the extremes of 17 restarts, or of 4.265 standard errors."""


def simultaneous_level(artifacts: int, metrics: int = 1) -> float:
    """Return the chance that artifacts which are all equal produce no win by chance.

    `metrics` is the number of metrics measured by sampling. With 50 artifacts and two metrics the
    chance is 0.964.
    """
    if artifacts < 2:
        return 1.0
    reach = normal_quantile(0.5 + LEVEL / 2) * math.sqrt(2)
    return max(0.0, 1 - metrics * normal_range.tail(artifacts, reach))
