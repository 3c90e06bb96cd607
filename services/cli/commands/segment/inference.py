"""How pictures go through a model: options that `assay segment` and `assay evaluate` share."""

from __future__ import annotations

import argparse
from typing import get_args

from assay_rpc.segment.v1 import images_pb2, models_pb2

from services.cli.arguments import count, pixel_size
from services.errors import InvalidArgument
from services.segment.manifest import Resampler

_MODES = {
    "resize": models_pb2.RESIZE_MODE_STRETCH,
    "keep-ratio": models_pb2.RESIZE_MODE_KEEP_RATIO,
    "native": models_pb2.RESIZE_MODE_NONE,
    "slide": models_pb2.RESIZE_MODE_UNSPECIFIED,
}
_RESAMPLERS = {
    "pillow": models_pb2.RESAMPLER_PILLOW,
    "torchvision": models_pb2.RESAMPLER_TORCHVISION,
    "opencv": models_pb2.RESAMPLER_OPENCV,
}


def add_inference(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--mode",
        choices=list(_MODES),
        help="resize: stretch the image to the model's input size; keep-ratio: resize it with "
        "its proportions kept; native: keep its size; slide: resize it with its proportions "
        "kept, then label overlapping windows, as mmsegmentation does; default: as the "
        "model's preprocessing says",
    )
    parser.add_argument(
        "--edges",
        type=_edges,
        metavar="SHORT[,LONG]",
        help="with keep-ratio or slide: largest length of the shorter and the longer edge, in "
        "pixels; default: the shorter side of the model's input, and four times that",
    )
    parser.add_argument(
        "--multiple",
        type=count,
        metavar="N",
        help="with --edges: then enlarge each side to a multiple of N",
    )
    parser.add_argument(
        "--window",
        type=pixel_size,
        metavar="WxH",
        help="with slide or native: size of the windows; default for slide: the model's input size",
    )
    parser.add_argument(
        "--stride",
        type=pixel_size,
        metavar="WxH",
        help="with --mode slide or --window: distance from one window to the next; default: two "
        "thirds of the window",
    )
    add_resampler(parser, "library whose arithmetic resizes images; default: the model's")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="for a model with two classes: probability above which a pixel gets the second "
        "class; default: 0.5, or the value set at export",
    )


def add_resampler(parser: argparse.ArgumentParser, words: str) -> None:
    """Add --resampler."""
    parser.add_argument("--resampler", choices=list(get_args(Resampler)), help=words)


def inference(arguments: argparse.Namespace) -> models_pb2.Inference | None:
    """Return what the options request; None if they request nothing. Raises InvalidArgument."""
    mode, windowed = arguments.mode, arguments.window or arguments.stride
    if windowed and mode not in {"slide", "native"}:
        raise InvalidArgument("--window", "goes with --mode slide, or native")
    if arguments.edges and mode not in {"slide", "keep-ratio"}:
        raise InvalidArgument("--edges", "goes with --mode keep-ratio, or slide")
    if arguments.multiple is not None and not arguments.edges:
        raise InvalidArgument("--multiple", "goes with --edges")
    if mode is None and arguments.resampler is None:
        return None
    message = models_pb2.Inference()
    if mode is not None:
        message.resize = _MODES[mode]
    if arguments.resampler is not None:
        message.resampler = _RESAMPLERS[arguments.resampler]
    if arguments.edges:
        message.edges.short, message.edges.long = arguments.edges
        message.edges.multiple = arguments.multiple or 0
    if mode == "slide" or windowed:
        message.windows.SetInParent()
        for name, size in (("size", arguments.window), ("stride", arguments.stride)):
            if size is not None:
                pixels: images_pb2.PixelSize = getattr(message.windows, name)
                pixels.width, pixels.height = size
    return message


def _edges(text: str) -> tuple[int, int]:
    short, _, long = text.partition(",")
    return count(short), count(long) if long else 0
