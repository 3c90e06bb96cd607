"""Reads a checkpoint's preprocessor_config.json. Pure.

The library does not read the file, since its versions disagree on the class that the file names
(published SegFormers name SegformerFeatureExtractor, which newer libraries refuse).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from services.common import strict_documents
from services.errors import InvalidArgument
from services.segment.images.resize import check_resampler
from services.segment.manifest import ModelPreprocessing, Resample, Resampler

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


# Equivalent processors, by the names that versions of the library gave them.
_TYPES = {
    "SegformerImageProcessor", "SegformerImageProcessorFast", "SegformerImageProcessorPil",
    "SegformerFeatureExtractor",
}  # fmt: skip
# Keys that are honoured, or that do not affect a picture's pixels.
_KNOWN = {
    "do_resize", "size", "resample", "do_rescale", "rescale_factor", "do_normalize", "image_mean",
    "image_std", "do_reduce_labels", "reduce_labels", "image_processor_type",
    "feature_extractor_type", "processor_class", "_valid_processor_keys", "do_convert_rgb",
    "data_format", "input_data_format", "device", "return_tensors", "disable_grouping",
    "default_to_square", "crop_size", "pad_size", "image_seq_length", "_name_or_path",
}  # fmt: skip


def parse_preprocessing(
    config: Mapping[str, Any],
    given_size: tuple[int, int] | None = None,
    resampler: Resampler = "pillow",
) -> ModelPreprocessing:
    """Return what the processor of that configuration does to a picture.

    Absent keys have the processor's defaults: resize to 512 x 512 bilinearly, scale by 1/255,
    normalise with ImageNet's mean and deviation. `size` may be a number (both sides, the old form),
    a list of height and width, or {"height", "width"}; `given_size`, (height, width), overrides it.
    Without resizing, pictures keep their size, and `size` is the one that the model was made for.
    `resampler` is not in the file: the library's version determines it. Raises InvalidArgument
    naming a key that cannot be honoured.
    """
    _check_keys(config)
    if given_size is not None:
        height, width = given_size
    else:
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
    # The manifest's values are scaled to [0, 1]; another factor is put into mean and deviation.
    factor = 1.0 if math.isclose(scale, 1 / 255, rel_tol=1e-6) else 1 / (255 * scale)
    values = {
        "height": height,
        "width": width,
        "resample": _RESAMPLE[code],
        "mean": [value * factor for value in mean],
        "std": [value * factor for value in std],
        "pads": False,
        "resizes": given_size is not None or _flag(config, "do_resize"),
        "resampler": resampler,
    }
    check_resampler(resampler, _RESAMPLE[code], "resampler")
    try:
        return strict_documents.validate(ModelPreprocessing, values)
    except InvalidArgument as error:
        raise InvalidArgument(FILE, str(error)) from error


def _check_keys(config: Mapping[str, Any]) -> None:
    """Raise InvalidArgument for a processor that changes a picture's pixels in another way."""
    unknown = [key for key, value in config.items() if key not in _KNOWN and value]
    type_key = next((key for key in ("image_processor_type", "feature_extractor_type")
                     if config.get(key) is not None), None)  # fmt: skip
    kind = None if type_key is None else str(config[type_key])
    if unknown:
        of = "" if kind in _TYPES or kind is None else f" of {kind!r:.60}"
        raise InvalidArgument(
            FILE,
            f"{unknown[0]} is {config[unknown[0]]!r:.60}{of}, which a SegFormer's processor does "
            "not do: give one that says what to do with --preprocessor FILE",
        )
    if kind is not None and kind not in _TYPES:
        raise InvalidArgument(
            FILE,
            f"{type_key} is {kind!r:.60}, which may do other things to a picture: if it resizes, "
            "scales and normalises as SegformerImageProcessor does, give a copy of the file that "
            "names that one with --preprocessor FILE",
        )


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
        if "shortest_edge" in size or "longest_edge" in size:
            raise InvalidArgument(
                FILE,
                f"size is {size!r:.60}: it keeps a picture's proportions; give the size that "
                "pictures are resized to by default with --size WxH, and --mode keep-ratio in use",
            )
        height, width = size.get("height"), size.get("width")
    elif isinstance(size, list | tuple) and len(size) == 2:
        height, width = size
    if type(height) is not int or type(width) is not int:
        raise InvalidArgument(
            FILE,
            f'size must be a number, [height, width] or {{"height", "width"}}, not {size!r:.60}',
        )
    return height, width
