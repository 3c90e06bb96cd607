"""Pictures whose inputs the engine makes, where it computes them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.segment.batching.ticket import Admission, Limits
from services.segment.engines.engine import Floats, Output
from services.segment.engines.onnxruntime import OnnxEngine
from services.segment.images.outputs import Wanted
from services.segment.images.preprocess import Preprocessor
from services.segment.manifest import Resampler
from services.segment.metrics import QueueMetrics
from services.segment.serving.pipeline import Pipeline
from services.segment.windows.options import Inference
from tests.segment.images.test_preprocess import picture
from tests.segment.tiny_model import Tiny, write

TINY = Tiny()


@dataclass(frozen=True)
class Held:
    """An input that only its engine reads."""

    values: Floats

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape


class Preparing(OnnxEngine):
    """Makes inputs as Pillow resizes, and no others."""

    held = 0

    def prepared(self, picture: Image.Image, resampler: Resampler | None = None) -> Held | None:
        if resampler not in {None, "pillow"}:
            return None
        return Held(Preprocessor(TINY.manifest().preprocessing)(picture))

    def run(self, batch: Sequence[Floats | Held]) -> list[Output]:
        self.held += sum(isinstance(one, Held) for one in batch)
        return super().run([one.values if isinstance(one, Held) else one for one in batch])


@pytest.mark.parametrize("resampler", ["pillow", "torchvision"])
async def test_labels_are_those_of_the_processors_inputs(
    tmp_path: Path, resampler: Resampler
) -> None:
    manifest = TINY.manifest()
    directory = write(tmp_path, TINY)
    engine = Preparing(directory, manifest)
    found = []
    with ThreadPoolExecutor(1) as pool:
        for each in (engine, OnnxEngine(directory, manifest)):
            metrics = QueueMetrics().of(manifest.name, manifest.version)
            pipeline = Pipeline(manifest, each, Limits(), pool, metrics)
            result, _ = await pipeline.segment(
                lambda: picture((131, 77)),
                Wanted(),
                Admission(1),
                max_bytes=1 << 30,
                how=Inference(resampler=resampler),
            )
            found.append(np.frombuffer(result.data, np.uint8))
            await pipeline.close()
    assert engine.held == (resampler == "pillow")
    assert np.array_equal(found[0], found[1])
