"""Observations that are citations."""

from __future__ import annotations

from services.ranker.claims.evidence import Observation
from services.ranker.claims.model import Claim
from services.ranker.measuring.methods.registration import Measurement, method
from services.ranker.measuring.probes import Probes, UnobservableError


@method(1, Measurement.NONE)
async def cite(claim: Claim, probes: Probes) -> Observation:
    """What the cited publications say of the claim, or what follows from their figures."""
    observation = probes.facts.of(claim.id)
    if observation is None:
        raise UnobservableError("no publication that settles it is known here")
    return observation
