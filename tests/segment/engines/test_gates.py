"""What is close enough to the source model."""

from __future__ import annotations

import pytest

from services.segment.engines.parity import gate
from services.segment.manifest import Precision, WeightsKind


@pytest.mark.parametrize(
    ("precision", "weights", "difference", "largest", "agreement", "passes"),
    [
        ("fp32", "published", 1e-5, 0.5, 1.0, True),
        ("fp32", "published", 0.009, 10.0, 0.9999, True),
        ("fp32", "published", 0.011, 10.0, 1.0, False),
        ("fp32", "random", 1e-6, 0.5, 0.9998, False),
        ("bf16", "published", 0.3, 40.0, 0.996, True),
        ("bf16", "published", 0.3, 40.0, 0.994, False),
        ("fp16", "reference", 0.9, 40.0, 0.999, False),
        ("bf16", "random", 0.01, 0.5, 0.96, True),
        ("bf16", "random", 0.03, 0.5, 0.96, False),
        ("fp16", "published", float("nan"), 1.0, 1.0, False),
    ],
)
def test_figures_pass_or_not(
    *,
    precision: Precision,
    weights: WeightsKind,
    difference: float,
    largest: float,
    agreement: float,
    passes: bool,
) -> None:
    assert gate(precision, weights).passes(difference, largest, agreement) is passes
