"""What the tests of engines share."""

from __future__ import annotations

import pytest

from tests.segment.engines.processor_device import OrdinaryMemory, use_processor


@pytest.fixture
def on_the_processor(monkeypatch: pytest.MonkeyPatch) -> OrdinaryMemory:
    """The same code, with the processor as its device and ordinary memory."""
    return use_processor(monkeypatch)
