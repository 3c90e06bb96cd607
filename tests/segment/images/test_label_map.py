"""Label maps' bytes and class shares."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from services.segment.images.label_map import Encoding, Share, encode, keep, shares

Array = NDArray[Any]


def decoded(data: bytes, encoding: Encoding, like: Array) -> Array:
    if encoding is Encoding.PNG:
        with Image.open(io.BytesIO(data)) as image:
            assert image.mode == ("L" if like.dtype == np.uint8 else "I;16")
            return np.asarray(image)
    raw = zstandard.decompress(data) if encoding is Encoding.ZSTD else data
    return np.frombuffer(raw, like.dtype.newbyteorder("<")).reshape(like.shape)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([Encoding.RAW, Encoding.ZSTD, Encoding.PNG]),
    st.sampled_from([np.uint8, np.uint16]),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.integers(0, 2**32 - 1),
)
def test_every_encoding_gives_the_labels_back(
    encoding: Encoding, kind: Any, shape: tuple[int, int], seed: int
) -> None:
    limit = np.iinfo(kind).max + 1
    labels = np.random.default_rng(seed).integers(0, limit, shape, dtype=kind)
    assert np.array_equal(decoded(encode(labels, encoding), encoding, labels), labels)


def test_shares_are_counted_largest_first() -> None:
    labels = np.array([[2, 2, 0], [1, 0, 2]], dtype=np.uint8)
    assert shares(labels, 4) == [Share(2, 3, 0.5), Share(0, 2, 1 / 3), Share(1, 1, 1 / 6)]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 400), st.integers(1, 500), st.integers(0, 2**32 - 1))
def test_shares_add_up(classes: int, size: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, classes, (size, 2), dtype=np.uint16)
    found = shares(labels, classes)
    assert sum(item.pixels for item in found) == labels.size
    present, counts = np.unique(labels, return_counts=True)
    assert {item.class_id: item.pixels for item in found} == dict(
        zip(present.tolist(), counts.tolist(), strict=True)
    )
    assert found == sorted(found, key=lambda item: (-item.pixels, item.class_id))


def test_a_label_that_is_no_class_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 labels are not below 3"):
        shares(np.array([[0, 3]], dtype=np.uint8), 3)


@pytest.mark.parametrize("encoding", [Encoding.COCO_RLE, Encoding.NONE])
def test_what_has_no_bytes_is_an_error(encoding: Encoding) -> None:
    with pytest.raises(ValueError, match="no bytes"):
        encode(np.zeros((1, 1), dtype=np.uint8), encoding)


@pytest.mark.parametrize("classes", [1, 7, 255, 256, 257, 65_535])
def test_a_filter_keeps_some_classes(classes: int) -> None:
    kind: Any = np.uint8 if classes <= 256 else np.uint16
    rng = np.random.default_rng(classes)
    labels: Array = rng.integers(0, classes, (40, 30), dtype=kind)
    wanted = rng.choice(classes, classes // 2, replace=False).tolist()
    kept, other = keep(labels, wanted, classes)
    # 255 is a class of a model with 256, so that there two bytes are taken.
    assert other == (255 if classes < 256 else 65_535)
    assert kept.dtype == (np.uint8 if classes < 256 else np.uint16)
    assert np.array_equal(kept, np.where(np.isin(labels, wanted), labels.astype(int), other))
