"""A model's source architecture, run by torch as Transformers runs it: only for timings.

Its weights are random, since a served folder holds a graph and no checkpoint: the time of a run
does not depend on them, and its results mean nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from transformers import SegformerForSemanticSegmentation

from services.errors import EngineUnavailable
from services.segment.engines.engine import TORCH, Floats, Output
from services.segment.export.architectures import ARCHITECTURES
from services.segment.export.pipeline import random_config
from services.segment.manifest import Manifest, Precision

_PREFIX = "segformer-"


class TorchEngine:
    """Runs pictures of (3, H, W) with torch in fp32 on processors."""

    name = TORCH
    precision: Precision = "fp32"

    def __init__(self, manifest: Manifest, *, threads: int) -> None:
        """Build the architecture with the model's classes.

        Raises EngineUnavailable for an architecture of unpublished size.
        """
        size = manifest.architecture.removeprefix(_PREFIX)
        if size not in ARCHITECTURES or not manifest.architecture.startswith(_PREFIX):
            raise EngineUnavailable(
                f"{TORCH} times the published SegFormers, b0 to b5, and {manifest.name} is a "
                f"{manifest.architecture}: name another engine"
            )
        config = random_config(size)
        config.num_labels = len(manifest.classes)
        torch.set_num_threads(threads)
        self._model = SegformerForSemanticSegmentation(config).train(False)

    @property
    def max_batch_size(self) -> int | None:
        """Any number of pictures."""
        return None

    @torch.inference_mode()
    def run(self, batch: list[Floats]) -> list[Output]:
        """Compute pictures of one size."""
        logits = self._model(pixel_values=torch.from_numpy(np.stack(batch))).logits
        kind = np.uint8 if logits.shape[1] <= 1 << 8 else np.uint16
        labels = logits.argmax(1).numpy().astype(kind)
        channels_last = logits.permute(0, 2, 3, 1).contiguous().numpy()
        return [Output(*one) for one in zip(channels_last, labels, strict=True)]
