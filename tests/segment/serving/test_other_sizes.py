"""What other sizes need is compiled where pictures are prepared, and not while the engine waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from services.segment.batching.ticket import Admission, Limits
from services.segment.engines.engine import Engine, Floats, Output
from services.segment.engines.onnxruntime import OnnxEngine
from services.segment.metrics import QueueMetrics
from services.segment.serving.pipeline import Pipeline
from tests.segment.tiny_model import Tiny, write

TINY = Tiny(height=32, width=32, free_size=True)


class Compiling:
    """Compiles for as long as it is told to."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.precision = engine.name, engine.precision
        self.max_batch_size = engine.max_batch_size
        self._engine = engine
        self.compiled = threading.Event()
        self.began: list[tuple[int, ...]] = []

    def compile_for(self, shape: tuple[int, ...]) -> None:
        if shape != (3, 32, 32):
            self.began.append(shape)
            assert self.compiled.wait(60)

    def run(self, batch: list[Floats]) -> Sequence[Output]:
        return self._engine.run(batch)


async def test_others_are_computed_meanwhile(tmp_path: Path) -> None:
    manifest = TINY.manifest()
    engine = Compiling(OnnxEngine(write(tmp_path, TINY), manifest))
    metrics = QueueMetrics().of(manifest.name, manifest.version)
    with ThreadPoolExecutor(2) as pool:
        pipeline = Pipeline(manifest, engine, Limits(max_batch_size=1, workers=2), pool, metrics)

        async def infer(height: int, client: str) -> None:
            tensor = np.zeros((3, height, 32), np.float32)
            bucket = None if height == 32 else tensor.shape[1:]
            admission = Admission(tensor.nbytes, client=client, bucket=bucket)
            await pipeline.infer(lambda: tensor, admission, labels=True, logits=False)

        other = asyncio.create_task(infer(64, "other"))
        for _ in range(5):
            await infer(32, "own")
        assert not other.done()
        engine.compiled.set()
        await other
        assert engine.began == [(3, 64, 32)]
        await pipeline.close()
