"""Observations that are citations."""

from __future__ import annotations

from services.ranker.claims.definition import Definition, Kind
from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import Claim
from services.ranker.measuring.measurements import Measurements
from services.ranker.measuring.methods.registration import Measurement, method
from services.ranker.measuring.unobservable import UnobservableError


@method(1, Measurement.NONE, Definition(aspect=None, kind=Kind.ANY))
async def cite(claim: Claim, measurements: Measurements) -> Observation:
    """What the cited publications say of the claim, or what follows from their figures."""
    observation = measurements.published(claim)
    if observation is None:
        raise UnobservableError("no publication that settles it is known here")
    return observation
