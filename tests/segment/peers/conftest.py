"""A real server process with the tiny model, which clients of others call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.segment import tiny_model


@pytest.fixture(scope="module")
def tiny_address(start_service: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tiny_model.write(tmp_path_factory.mktemp("tiny"))
    variables = {
        "ASSAY_SEGMENT_MODELS": f'["{directory}"]',
        "ASSAY_SEGMENT_SHARED_MEMORY": "true",
    }
    with start_service("segment", variables) as service:
        yield service.address
