"""Decides whether an exported graph is the source model: logits and labels on probe pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import SegformerForSemanticSegmentation

from services.errors import InternalError, InvalidArgument
from services.segment.engines.engine import Floats
from services.segment.engines.gates import Gate
from services.segment.engines.parity import Probe
from services.segment.manifest import ModelParity


def source_logits(model: SegformerForSemanticSegmentation, pixels: Floats) -> Floats:
    """Return the unmodified model's logits as (N, h, w, C).

    Raises InvalidArgument if any is not a finite number: no export can agree with that.
    """
    with torch.inference_mode():
        logits: Floats = model(torch.from_numpy(pixels)).logits.permute(0, 2, 3, 1).numpy()
    if not np.isfinite(logits).all():
        raise InvalidArgument("checkpoint", "its logits are not all finite numbers")
    return logits


def probed(model: SegformerForSemanticSegmentation, inputs: Sequence[Floats]) -> list[Probe]:
    """Return the probes: what the unmodified model makes of each input. Raises InvalidArgument."""
    return [Probe(pixels, source_logits(model, pixels)) for pixels in inputs]


def require_passed(parity: ModelParity, gate: Gate) -> None:
    """Raise InternalError with the figures unless they pass."""
    if not parity.passed:
        raise InternalError(
            "the exported graph is not the source model: logits differ by up to "
            f"{parity.max_abs_difference:.3g} ({gate.max_difference:.1%} of the largest allowed), "
            f"{parity.label_agreement:.4%} of labels agree ({gate.min_agreement:.2%} needed, in "
            f"{parity.precision}); nothing was written"
        )
