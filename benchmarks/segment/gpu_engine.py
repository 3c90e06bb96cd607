"""One engine on a GPU, alone and behind its queue: a part of `gpu`."""

from __future__ import annotations

import asyncio
import io
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from services.segment.batching.ticket import Admission, Limits
from services.segment.engines.engine import Engine
from services.segment.images.decode import decode
from services.segment.images.outputs import Wanted
from services.segment.manifest import Manifest
from services.segment.metrics import QueueMetrics
from services.segment.serving.pipeline import Pipeline

_BATCHES = (1, 8, 32)


def photographs(count: int) -> list[bytes]:
    """Return drawn JPEG files of 1024 x 768; their content does not affect the time."""
    drawn = np.random.default_rng(0)
    files = []
    for _ in range(count):
        coarse = drawn.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(coarse).resize((1024, 768)).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def repeat(work: Callable[[], Any], seconds: float) -> list[float]:
    """Return the seconds of each run, at least three, after one that does not count."""
    work()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times


def measure_engine(engine: Engine, manifest: Manifest, seconds: float) -> dict[str, Any]:
    """Time batches of prepared pictures."""
    how = manifest.preprocessing
    shape = (max(_BATCHES), 3, how.height, how.width)
    pictures = list(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    most = engine.max_batch_size or max(_BATCHES)
    sizes = [size for size in _BATCHES if size <= most]
    found = {}
    for size in sizes:
        times = repeat(partial(engine.run, pictures[:size]), seconds / len(sizes))
        median = statistics.median(times)
        found[str(size)] = {
            "median_ms": round(median * 1e3, 3),
            "pictures_per_second": round(size / median, 1),
            "runs": len(times),
        }
    return found


async def measure_pipeline(
    engine: Engine, manifest: Manifest, max_batch: int, seconds: float
) -> dict[str, Any]:
    """Time a JPEG to its labels, one after the other and many at once."""
    files = photographs(16)
    with ThreadPoolExecutor(thread_name_prefix="picture") as pool:
        limits = Limits(max_batch_size=max_batch, max_items=1024, workers=16)
        metrics = QueueMetrics().of(manifest.name, manifest.version)
        pipeline = Pipeline(manifest, engine, limits, pool, metrics)
        await asyncio.to_thread(pipeline.warm)

        async def one(number: int) -> None:
            file = files[number % len(files)]
            await pipeline.segment(
                lambda: decode(file, 10_000_000),
                Wanted(),
                Admission(len(file), client=str(number % 8)),
                max_bytes=1 << 30,
                admitted=asyncio.Event(),
            )

        await one(0)
        alone: list[float] = []
        end = time.perf_counter() + seconds / 2
        while len(alone) < 5 or time.perf_counter() < end:
            start = time.perf_counter()
            await one(len(alone))
            alone.append(time.perf_counter() - start)
        done, begun = 0, time.perf_counter()
        while not done or time.perf_counter() - begun < seconds / 2:
            together = 4 * max_batch
            await asyncio.gather(*map(one, range(together)))
            done += together
        rate = done / (time.perf_counter() - begun)
        await pipeline.close()
    return {
        "jpeg_to_labels_p50_ms": round(statistics.median(alone) * 1e3, 3),
        "pictures_per_second": round(rate, 1),
        "requests": len(alone) + done,
    }
