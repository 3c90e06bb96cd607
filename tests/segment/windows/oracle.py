"""mmsegmentation's sliding window, written again in plain loops over whole arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.segment.images.test_upsample import brute_force

Floats = NDArray[np.float32]
Interpolate = Callable[[Floats, int, int], Floats]
"""Of (h, w, C) to (height, width, C), bilinearly."""


def mean_logits(  # noqa: PLR0917
    pixels: Any,
    logits: Callable[[Floats], Floats],
    window: tuple[int, int],
    stride: tuple[int, int],
    size: tuple[int, int],
    interpolate: Interpolate = brute_force,
) -> Floats:
    """Return the logits (H, W, C), of size `size`, of prepared pixels (3, h, w).

    `logits` gives (h, w, C) in low resolution of a part of them. Everything is held at once.
    """
    height, width = pixels.shape[1:]
    down = max(height - window[0] + stride[0] - 1, 0) // stride[0] + 1
    across = max(width - window[1] + stride[1] - 1, 0) // stride[1] + 1
    total = np.zeros((height, width, 1), np.float32)
    count = np.zeros((height, width, 1), np.float32)
    for i in range(down):
        for j in range(across):
            bottom = min(i * stride[0] + window[0], height)
            right = min(j * stride[1] + window[1], width)
            top, left = max(bottom - window[0], 0), max(right - window[1], 0)
            low = logits(np.ascontiguousarray(pixels[:, top:bottom, left:right]))
            high = interpolate(low, bottom - top, right - left)
            if total.shape[2] != high.shape[2]:
                total = np.zeros((height, width, high.shape[2]), np.float32)
            total[top:bottom, left:right] += high
            count[top:bottom, left:right] += 1
    mean: Floats = np.divide(total, count, dtype=np.float32)
    return interpolate(mean, *size)


def with_torch(logits: Floats, height: int, width: int) -> Floats:
    """Interpolate with torch, as mmsegmentation does."""
    import torch  # noqa: PLC0415  # most tests go without

    tensor = torch.from_numpy(np.ascontiguousarray(logits.transpose(2, 0, 1)))[None]
    found = torch.nn.functional.interpolate(
        tensor, size=(height, width), mode="bilinear", align_corners=False
    )
    return np.ascontiguousarray(found[0].numpy().transpose(1, 2, 0))


def wrong(labels: Any, logits: Floats) -> int:
    """Count the pixels whose label's logit is less than the best one, rounding errors apart."""
    best = logits.max(axis=2)
    chosen = np.take_along_axis(logits, labels[..., None].astype(np.int64), axis=2)[..., 0]
    return int((chosen < best - 1e-5 * np.maximum(1, np.abs(best))).sum())
