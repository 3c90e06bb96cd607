"""Pictures in windows beside those of other clients."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from services.segment.batching.ticket import Admission, Limits
from services.segment.engines.engine import Engine, Floats, Output
from services.segment.engines.onnxruntime import OnnxEngine
from services.segment.images.outputs import Wanted
from services.segment.metrics import QueueMetrics
from services.segment.serving.pipeline import Pipeline
from services.segment.windows.options import Grid, Inference
from tests.segment.tiny_model import Tiny, write

TINY = Tiny(height=32, width=32, free_size=True)
LARGE, SMALL = Image.new("RGB", (512, 256), "white"), Image.new("RGB", (32, 32), "black")
WINDOWS = 128
SLIDE = Inference("none", windows=Grid((32, 32), (32, 32)))
# Of the flood's windows: one is computed, the others are prepared by when a request comes.
FEW = 8


class Recording:
    """Runs an engine, and notes whether each picture was white."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.precision = engine.name, engine.precision
        self.max_batch_size = engine.max_batch_size
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self.began = asyncio.Event()
        self.white: list[bool] = []

    def run(self, batch: list[Floats]) -> Sequence[Output]:
        self._loop.call_soon_threadsafe(self.began.set)
        self.white += [bool(tensor.mean() > 0) for tensor in batch]
        return self._engine.run(batch)


async def test_a_client_beside_a_flood_of_pictures_in_windows(tmp_path: Path) -> None:
    manifest = TINY.manifest()
    engine = Recording(OnnxEngine(write(tmp_path, TINY), manifest))
    metrics = QueueMetrics().of(manifest.name, manifest.version)
    with ThreadPoolExecutor(1) as pool:
        pipeline = Pipeline(manifest, engine, Limits(max_batch_size=1, workers=1), pool, metrics)

        async def segment(picture: Image.Image, how: Inference, client: str) -> None:
            admission = Admission(1, client=client)
            await pipeline.segment(lambda: picture, Wanted(), admission, max_bytes=1 << 30, how=how)

        flood = [asyncio.create_task(segment(LARGE, SLIDE, "flood")) for _ in range(4)]
        await engine.began.wait()
        waited = []
        for _ in range(20):
            before = len(engine.white)
            await segment(SMALL, Inference(), "small")
            waited.append(engine.white[before:].index(False))
        assert sum(engine.white) < 4 * WINDOWS, "the flood was over before"
        assert max(waited) <= FEW
        await asyncio.gather(*flood)
        assert sum(engine.white) == 4 * WINDOWS
        await pipeline.close()
