"""How close to its source model an exported graph has to be. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from services.segment.manifest import Precision, WeightsKind


@dataclass(frozen=True)
class Gate:
    """What passes.

    `max_difference` of a logit is in units of the source's largest logit, or of 1 where that is
    smaller; `min_agreement` is the least share of labels that agree.
    """

    max_difference: float
    min_agreement: float

    def passes(self, difference: float, largest: float, agreement: float) -> bool:
        """Say whether a graph with those figures may be served."""
        allowed = self.max_difference * max(1.0, largest)
        return difference <= allowed and agreement >= self.min_agreement


# Rounding leaves 1e-6; a weight in the wrong place far more than a thousandth.
_EXACT = Gate(1e-3, 0.9999)
# Eight bits of mantissa over a few dozen layers leave about 1 %.
_NARROW = Gate(0.02, 0.995)
# Random weights give logits that are all but ties: which is largest says nothing of the graph.
_NARROW_RANDOM = Gate(0.02, 0.0)


def gate(precision: Precision, weights: WeightsKind) -> Gate:
    """Return what a graph of such weights has to reach, computed in that number type."""
    if precision == "fp32":
        return _EXACT
    return _NARROW_RANDOM if weights == "random" else _NARROW
