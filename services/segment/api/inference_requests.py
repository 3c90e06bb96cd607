"""How a picture goes through the model, as plain values."""

from __future__ import annotations

from assay_rpc.segment.v1 import images_pb2, models_pb2

from services.errors import InvalidArgument
from services.segment.manifest import Resampler
from services.segment.windows.options import Edges, Grid, Inference, ResizeMode, Size

_RESIZES: dict[int, ResizeMode | None] = {
    models_pb2.RESIZE_MODE_UNSPECIFIED: None,
    models_pb2.RESIZE_MODE_STRETCH: "stretch",
    models_pb2.RESIZE_MODE_KEEP_RATIO: "keep_ratio",
    models_pb2.RESIZE_MODE_NONE: "none",
}
_RESAMPLERS: dict[int, Resampler | None] = {
    models_pb2.RESAMPLER_UNSPECIFIED: None,
    models_pb2.RESAMPLER_PILLOW: "pillow",
    models_pb2.RESAMPLER_TORCHVISION: "torchvision",
    models_pb2.RESAMPLER_OPENCV: "opencv",
}


def inference(message: models_pb2.Inference) -> Inference:
    """Return the requested modes; an absent message requests none. Raises InvalidArgument."""
    if message.resize not in _RESIZES:
        raise InvalidArgument(
            "inference.resize", f"{message.resize} is not a way to resize a picture"
        )
    if message.resampler not in _RESAMPLERS:
        raise InvalidArgument("inference.resampler", f"{message.resampler} is none")
    edges, windows = message.edges, message.windows
    return Inference(
        _RESIZES[message.resize],
        Edges(edges.short, edges.long, edges.multiple or 1) if message.HasField("edges") else None,
        Grid(_size(windows, "size"), _size(windows, "stride"))
        if message.HasField("windows")
        else None,
        _RESAMPLERS[message.resampler],
    )


def _size(windows: models_pb2.Windows, field: str) -> Size | None:
    if not windows.HasField(field):  # type: ignore[arg-type]  # one of the two
        return None
    size: images_pb2.PixelSize = getattr(windows, field)
    return size.height, size.width
