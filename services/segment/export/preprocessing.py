"""Reads a checkpoint's preprocessor_config.json. Pure.

The file is read itself, since library versions disagree on the class that it names (published
SegFormers name SegformerFeatureExtractor, which newer libraries refuse).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from services.common import documents
from services.errors import InvalidArgument
from services.segment.manifest import ModelPreprocessing, Resample

FILE = "preprocessor_config.json"
# Pillow's numbers.
_RESAMPLE: dict[int, Resample] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

ADE20K_PREPROCESSING = ModelPreprocessing(
    height=512,
    width=512,
    resample="bilinear",
    mean=_IMAGENET_MEAN,
    std=_IMAGENET_STD,
    pads=False,
)


def parse_preprocessing(config: Mapping[str, Any]) -> ModelPreprocessing:
    """Return what the processor of that configuration does to a picture.

    Keys that are absent have the processor's defaults: resize to 512 x 512 bilinearly, scale by
    1/255, normalise with ImageNet's mean and deviation. `size` may be a number (both sides, the
    old form) or {"height", "width"}. Raises InvalidArgument naming the key that cannot be honoured.
    """
    if not _flag(config, "do_resize"):
        raise InvalidArgument(FILE, "do_resize is false; a model needs an input size")
    height, width = _size(config.get("size", 512))
    code = config.get("resample", 2)
    if type(code) is not int or code not in _RESAMPLE:
        raise InvalidArgument(FILE, f"resample {code!r} is not one of {sorted(_RESAMPLE)}")
    scale = _number(config.get("rescale_factor", 1 / 255), "rescale_factor")
    if not _flag(config, "do_rescale"):
        scale = 1.0
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if _flag(config, "do_normalize"):
        mean = _triple(config.get("image_mean", _IMAGENET_MEAN), "image_mean")
        std = _triple(config.get("image_std", _IMAGENET_STD), "image_std")
    # The manifest's values are scaled to [0, 1]: another factor moves into mean and deviation.
    factor = 1.0 if math.isclose(scale, 1 / 255, rel_tol=1e-6) else 1 / (255 * scale)
    values = {
        "height": height,
        "width": width,
        "resample": _RESAMPLE[code],
        "mean": [value * factor for value in mean],
        "std": [value * factor for value in std],
        "pads": False,
    }
    try:
        return documents.validate(ModelPreprocessing, values)
    except InvalidArgument as error:
        raise InvalidArgument(FILE, str(error)) from error


def _flag(config: Mapping[str, Any], key: str) -> bool:
    value = config.get(key, True)
    if not isinstance(value, bool):
        raise InvalidArgument(FILE, f"{key} must be true or false, not {value!r:.60}")
    return value


def _number(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InvalidArgument(FILE, f"{key} must be a positive number, not {value!r:.60}")
    return float(value)


def _triple(value: Any, key: str) -> tuple[float, float, float]:
    numbers = isinstance(value, list | tuple) and all(type(x) in {int, float} for x in value)
    if not numbers or len(value) != 3:
        raise InvalidArgument(FILE, f"{key} must be three numbers, not {value!r:.60}")
    try:
        return float(value[0]), float(value[1]), float(value[2])
    except OverflowError:
        raise InvalidArgument(FILE, f"{key} is too large for a float64") from None


def _size(size: Any) -> tuple[int, int]:
    height, width = size, size
    if isinstance(size, Mapping):
        height, width = size.get("height"), size.get("width")
    if type(height) is not int or type(width) is not int:
        raise InvalidArgument(
            FILE, f'size must be a number or {{"height", "width"}}, not {size!r:.60}'
        )
    return height, width
