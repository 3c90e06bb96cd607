"""Label maps as PNG files, read back by Pillow."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from services.segment.images.label_png import label_png


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (64, 1), (1, 300), (120, 160)])
@pytest.mark.parametrize(("kind", "mode"), [(np.uint8, "L"), (np.uint16, "I;16")])
def test_pillow_reads_the_same_values(size: tuple[int, int], kind: Any, mode: str) -> None:
    labels = np.random.default_rng(0).integers(0, np.iinfo(kind).max, size, kind, endpoint=True)
    with Image.open(io.BytesIO(label_png(labels))) as picture:
        assert (picture.format, picture.mode) == ("PNG", mode)
        assert np.array_equal(np.asarray(picture), labels)


def test_parts_of_other_maps_are_written_too() -> None:
    labels = np.arange(64, dtype=np.uint16).reshape(8, 8)[::2, 1::3]
    with Image.open(io.BytesIO(label_png(labels))) as picture:
        assert np.array_equal(np.asarray(picture), labels)
