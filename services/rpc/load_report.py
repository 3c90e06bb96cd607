"""A replica's load, reported with each answer, for clients that balance by it.

The format is ORCA's `OrcaLoadReport` (xds.data.orca.v3), serialised, in a trailer of the call.
gRPC's policy `weighted_round_robin` gives each replica a share of the calls by `rate /
utilization`. The segment service supplies both figures: see `segment.recent_work`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

LOAD_KEY = "endpoint-load-metrics-bin"
"""The trailer that gRPC's clients read."""

# Field number and wire type (a double is 1) of `rps_fractional` and `application_utilization`.
_RATE_TAG = bytes([6 << 3 | 1])
_UTILIZATION_TAG = bytes([9 << 3 | 1])


@dataclass(frozen=True)
class LoadReport:
    """Answers a second, and utilization by running and waiting work; 1 is full capacity."""

    rate: float
    utilization: float

    @property
    def trailer(self) -> tuple[str, bytes]:
        """The key and value of the trailer."""
        rate, utilization = struct.pack("<d", self.rate), struct.pack("<d", self.utilization)
        return LOAD_KEY, _RATE_TAG + rate + _UTILIZATION_TAG + utilization
