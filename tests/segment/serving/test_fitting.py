"""Batches that find no memory are computed in halves, and later ones are not larger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.errors import Overloaded
from services.segment.engines.engine import Engine, Floats, Output
from services.segment.engines.onnxruntime import OnnxEngine
from services.segment.serving.fitting import FittingBatches, is_out_of_memory
from tests.segment.tiny_model import Tiny, write


class Small:
    """A real engine on a device with memory for so many pictures."""

    def __init__(self, engine: Engine, room: int) -> None:
        self.name, self.precision = engine.name, engine.precision
        self.max_batch_size = engine.max_batch_size
        self.engine, self.room = engine, room
        self.sizes: list[int] = []

    def run(self, batch: list[Floats]) -> Sequence[Output]:
        self.sizes.append(len(batch))
        if len(batch) > self.room:
            raise RuntimeError("bfc_arena.cc: Failed to allocate memory for requested buffer")
        return self.engine.run(batch)


@pytest.fixture
def engine(tmp_path: Path) -> OnnxEngine:
    return OnnxEngine(write(tmp_path), Tiny().manifest())


def pictures(count: int) -> list[Floats]:
    tiny = Tiny()
    shape = (count, 3, tiny.height, tiny.width)
    return list(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def labels(outputs: list[Output]) -> list[Any]:
    return [output.labels.tolist() for output in outputs]


def test_halves_until_it_fits_and_stays_there(engine: OnnxEngine) -> None:
    small = Small(engine, room=3)
    parts = FittingBatches("tiny", small)
    batch = pictures(16)
    assert labels(parts.run(batch)) == labels(engine.run(batch))
    assert small.sizes == [16, 8, 4, *[2] * 8]
    small.sizes.clear()
    assert labels(parts.run(batch[:5])) == labels(engine.run(batch[:5]))
    assert small.sizes == [2, 2, 1]


def test_one_picture_that_finds_none_may_come_again(engine: OnnxEngine) -> None:
    with pytest.raises(Overloaded, match="no memory for this picture"):
        FittingBatches("tiny", Small(engine, room=0)).run(pictures(4))


def test_other_errors_are_the_engines(engine: OnnxEngine) -> None:
    assert not is_out_of_memory(RuntimeError("an illegal memory access was encountered"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("CUDNN_STATUS_ALLOC_FAILED"))
    assert is_out_of_memory(RuntimeError("CUDA failure 2: out of memory"))
    with pytest.raises(Exception, match=r"takes .3, 64, 96. only"):
        FittingBatches("tiny", engine).run([np.zeros((3, 64), np.float32)] * 2)
