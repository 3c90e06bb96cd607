"""The probability from which a pixel has the second of two classes. Pure."""

from __future__ import annotations

import math

import numpy as np

from services.errors import InvalidArgument
from services.segment.engines.engine import Labels, Output
from services.segment.manifest import Manifest


def ground_shift(manifest: Manifest, threshold: float | None) -> float:
    """Return the raise of the first class's logits that makes the arg max decide at `threshold`.

    The probability is the softmax of the two logits; for a one-class source model, whose first
    logit was added by the export, it is the sigmoid of its own logit. None means the model's own
    threshold. Raises InvalidArgument unless there are two classes and the threshold is between 0
    and 1.
    """
    if threshold is None:
        return 0.0
    classes = len(manifest.classes)
    if classes != 2:
        raise InvalidArgument("threshold", f"is for models with two classes; this has {classes}")
    if not 0 < threshold < 1:
        raise InvalidArgument("threshold", f"{threshold:g} is not between 0 and 1")
    added = manifest.graph.threshold
    return log_odds(threshold) - (0.0 if added is None else log_odds(added))


def shifted(output: Output, shift: float) -> Output:
    """Return the output with the logits of the first of two classes raised."""
    if not shift:
        return output
    logits = output.logits.copy()
    logits[..., 0] += np.float32(shift)
    labels: Labels = (logits[..., 1] > logits[..., 0]).astype(np.uint8)  # for two classes
    return Output(logits, labels)


def log_odds(probability: float) -> float:
    """Return the logit of a probability between 0 and 1."""
    return math.log(probability / (1 - probability))
