"""Every engine that is at hand is measured, and one at a time is in memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.segment.engines.engine import Engine
from services.segment.engines.instructions import decisive_instructions
from services.segment.engines.onnxruntime import OnnxEngine
from tests.segment.tiny_model import Tiny, write

pytest.importorskip("torch")
pytest.importorskip("transformers")
openvino = pytest.importorskip("services.segment.engines.openvino")

from services.segment.engines.parity import Probe  # noqa: E402
from services.segment.export import measure  # noqa: E402

pytestmark = pytest.mark.torch


def test_an_engine_is_gone_before_the_next_one_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[weakref.ref[Engine]] = []

    def alone(make: Callable[..., Engine]) -> Callable[..., Engine]:
        def opener(*args: Any, **settings: Any) -> Engine:
            assert not any(engine() for engine in opened)
            engine = make(*args, **settings)
            opened.append(weakref.ref(engine))
            return engine

        return opener

    monkeypatch.setattr(measure, "OnnxEngine", alone(OnnxEngine))
    monkeypatch.setattr(openvino, "OpenVinoEngine", alone(openvino.OpenVinoEngine))
    tiny = Tiny()
    picture = np.random.default_rng(5).normal(size=(3, tiny.height, tiny.width))
    tensor = picture.astype(np.float32)
    probes = [Probe(tensor[None], tiny.logits(tensor)[None])]
    parities = measure.measured(write(tmp_path, tiny), tiny.manifest(), probes)
    engines = [(one.engine, one.precision) for one in parities]
    assert engines[:2] == [("onnxruntime-cpu", "fp32"), ("openvino-cpu", "fp32")]
    assert len(opened) == len(parities)
    for one in parities:
        assert one.instruction_set == decisive_instructions(one.engine, one.precision)
        assert (one.instruction_set is None) == (one.precision == "fp32")
