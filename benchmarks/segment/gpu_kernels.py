"""Our CUDA kernels on this machine's GPU, equality first: a part of `gpu`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from PIL import Image

from services.segment.engines.engine import Engine, Floats, PreparesPictures
from services.segment.images.preprocess import Preprocessor
from services.segment.images.upsample import upsample_argmax
from services.segment.manifest import ModelPreprocessing

_SIZE = 768, 1024
_RUNS = 50


def label_maps(engine: Engine, how: ModelPreprocessing, picture: Image.Image) -> dict[str, Any]:
    """Compare a label map made on the GPU with the processor's, and time both."""
    (output,) = engine.run([Preprocessor(how)(picture)])
    made = output.upsampled(*_SIZE)
    if made is None:
        return {"made": "on the processor"}
    logits, labels = output.logits, output.labels
    wanted = upsample_argmax(logits, labels, *_SIZE)
    return {
        "made": "on the GPU",
        "size": list(_SIZE),
        "labels_that_agree": float((made == wanted).mean()),
        "milliseconds": _milliseconds(lambda: output.upsampled(*_SIZE)),
        "milliseconds_on_the_processor": _milliseconds(
            lambda: upsample_argmax(logits, labels, *_SIZE)
        ),
    }


def inputs(engine: Engine, how: ModelPreprocessing, picture: Image.Image) -> dict[str, Any]:
    """Compare the results of a picture prepared on the GPU and on the processor; time both."""
    made = engine.prepared(picture) if isinstance(engine, PreparesPictures) else None
    if made is None:
        return {"made": "on the processor"}
    host = Preprocessor(how)
    # An engine accepts only inputs that it prepared.
    (ours,), (theirs,) = engine.run([cast("Floats", made)]), engine.run([host(picture)])
    return {
        "made": "on the GPU",
        "size": [picture.height, picture.width],
        "equal": bool(np.array_equal(ours.logits, theirs.logits)),
        "milliseconds": _milliseconds(lambda: cast("PreparesPictures", engine).prepared(picture)),
        "milliseconds_on_the_processor": _milliseconds(lambda: host(picture)),
    }


def _milliseconds(work: Callable[[], Any]) -> float:
    work()
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times) * 1e3, 4)
