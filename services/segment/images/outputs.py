"""Requested outputs for a picture: their cost, and how to make them from the model's output."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from services.errors import InvalidArgument, TooLarge
from services.segment.engines.engine import Labels, Output
from services.segment.images import label_map, masks, overlay, resize, top_classes, upsample
from services.segment.images.label_map import Encoding, Share
from services.segment.images.masks import Mask
from services.segment.images.overlay import OverlayStyle, Palette, PictureFormat
from services.segment.images.top_classes import TopClasses
from services.segment.manifest import Manifest

MAX_TOP = 16
# Work for a pixel, measured on one machine, relative to a pixel of a label map in zstd.
_PNG_WORK = 2
_OVERLAY_WORK = {PictureFormat.JPEG: 6, PictureFormat.PNG: 60}
_BEST_WORK, _NEXT_WORK = 200, 100
# Bytes of a message around an item, without the item's name.
_ITEM_BYTES = 32


@dataclass(frozen=True)
class OriginalSize:
    """The picture's own size."""


@dataclass(frozen=True)
class ModelSize:
    """The size of the model's logits."""


@dataclass(frozen=True)
class GivenSize:
    """A size that the caller gives."""

    height: int
    width: int


@dataclass(frozen=True)
class Wanted:
    """Which outputs to make.

    `classes` filters by id; empty means all. `threshold` is the probability above which the second
    of two classes is the label; None means the model's own.
    """

    size: OriginalSize | ModelSize | GivenSize = field(default_factory=OriginalSize)
    encoding: Encoding = Encoding.ZSTD
    classes: frozenset[int] = frozenset()
    top: int = 0
    overlay: OverlayStyle | None = None
    threshold: float | None = None

    def check(self, classes: int) -> None:
        """Raise InvalidArgument if a model of `classes` classes cannot give these outputs."""
        unknown = [index for index in self.classes if index >= classes]
        if unknown:
            raise InvalidArgument(
                "classes", f"unknown class {min(unknown)}; ids are 0 to {classes - 1}"
            )
        if self.classes and classes > np.iinfo(np.uint16).max:
            raise InvalidArgument(
                "classes",
                f"{classes} classes use every value, and leave none for other pixels: send none",
            )
        if self.top > min(MAX_TOP, classes):
            raise InvalidArgument(
                "top_k", f"{self.top}; at most {min(MAX_TOP, classes)}, 0 for none"
            )

    @property
    def work(self) -> int:
        """Cost of a pixel of these outputs, in pixels of a label map in zstd."""
        return (
            (_PNG_WORK if self.encoding is Encoding.PNG else 1)
            + (_OVERLAY_WORK[self.overlay.format] if self.overlay else 0)
            + (_BEST_WORK + _NEXT_WORK * (self.top - 1) if self.top else 0)
        )


@dataclass(frozen=True)
class EncodedTop:
    """The planes of TopClasses, each in one zstd frame."""

    k: int
    item_bytes: int
    classes: bytes
    probabilities: bytes


@dataclass(frozen=True)
class Segmentation:
    """An encoded label map of (height, width) elements of `item_bytes` bytes, with extra outputs.

    `other` is the value of pixels that the filter leaves out; `picture` the overlay's file;
    `notices` what was noticed when the picture was decoded.
    """

    height: int
    width: int
    item_bytes: int
    encoding: Encoding
    data: bytes
    shares: list[Share]
    masks: list[Mask] = field(default_factory=list)
    other: int | None = None
    top: EncodedTop | None = None
    picture: bytes = b""
    style: OverlayStyle | None = None
    notices: tuple[str, ...] = ()


class Outputs:
    """Makes the outputs of one model. Safe to share between threads."""

    def __init__(self, manifest: Manifest) -> None:
        self._names = [len(item.name.encode()) for item in manifest.classes]
        self._palette = Palette([item.color for item in manifest.classes])
        self._label_bytes = np.dtype(manifest.graph.labels_type).itemsize
        how = manifest.preprocessing
        self._model_size = manifest.graph.logits_size(how.height, how.width)

    def size(self, wanted: Wanted, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) of the map for a picture of `height` and `width`."""
        match wanted.size:
            case OriginalSize():
                return height, width
            case ModelSize():
                return self._model_size
            case GivenSize():
                return wanted.size.height, wanted.size.width

    def require_fits(self, wanted: Wanted, size: tuple[int, int], max_bytes: int) -> None:
        """Raise TooLarge if it is clear before any work that the outputs exceed a reply.

        The best classes count uncompressed: probabilities compress little, and their planes take
        memory meanwhile.
        """
        pixels = math.prod(size)
        if wanted.encoding is Encoding.RAW:
            item_bytes = self._item_bytes(wanted)
            _require("label map", size, pixels * item_bytes, max_bytes, _ASK_FOR_ANOTHER)
        if wanted.top:
            planes = wanted.top * pixels * (self._label_bytes + 2)
            _require(f"{wanted.top} best classes", size, planes, max_bytes, _ASK_FOR_LESS)

    def make(
        self,
        wanted: Wanted,
        output: Output,
        size: tuple[int, int],
        picture: Callable[[], Image.Image],
        max_bytes: int,
    ) -> Segmentation:
        """Return the outputs of (height, width) for one picture's logits and labels.

        `picture` returns the RGB picture for the overlay. Raises TooLarge if the reply would have
        more than `max_bytes`.
        """
        labels = output.labels
        if size != labels.shape:
            labels = upsample.label_map(output, *size)
        best = None
        if wanted.top:
            best = top_classes.top_classes(output.logits, labels, wanted.top)
        return self.encode(wanted, labels, best, picture, max_bytes)

    def encode(
        self,
        wanted: Wanted,
        labels: Labels,
        best: TopClasses | None,
        picture: Callable[[], Image.Image],
        max_bytes: int,
    ) -> Segmentation:
        """Return the outputs of a label map and its best classes, as `make` does."""
        size: tuple[int, int] = labels.shape
        shares = label_map.shares(labels, len(self._names))
        top = None if best is None else _encoded(best)
        other = None
        if wanted.classes:
            shares = [item for item in shares if item.class_id in wanted.classes]
            labels, other = label_map.keep(labels, wanted.classes, len(self._names))
        data, regions = b"", list[Mask]()
        if wanted.encoding is Encoding.COCO_RLE:
            regions = masks.encode_masks(labels, len(self._names))
        elif wanted.encoding is not Encoding.NONE:
            data = label_map.encode(labels, wanted.encoding)
        drawn = b""
        if wanted.overlay is not None:
            drawn = self._palette.draw(picture(), labels, wanted.overlay)
        held = len(data) + len(drawn) + sum(_ITEM_BYTES + len(mask.counts) for mask in regions)
        held += sum(_ITEM_BYTES + self._names[item.class_id] for item in shares)
        if top is not None:
            held += len(top.classes) + len(top.probabilities)
        what = f"label map as {wanted.encoding.value}" + " and the other requested outputs" * (
            top is not None or wanted.overlay is not None
        )
        _require(what, size, held, max_bytes, _ASK_FOR_ANOTHER)
        return Segmentation(
            *size,
            item_bytes=labels.dtype.itemsize,
            encoding=wanted.encoding,
            data=data,
            shares=shares,
            masks=regions,
            other=other,
            top=top,
            picture=drawn,
            style=wanted.overlay,
        )

    def _item_bytes(self, wanted: Wanted) -> int:
        if wanted.classes and len(self._names) > label_map.OTHER[1]:
            return 2
        return self._label_bytes


_ASK_FOR_ANOTHER = "request another encoding or a smaller size"
_ASK_FOR_LESS = "request fewer or a smaller size"


def warm() -> None:
    """Compile every kernel, or load it from numba's cache."""
    for module in (resize, upsample, label_map, masks, top_classes, overlay):
        module.warm()


def _encoded(best: TopClasses) -> EncodedTop:
    return EncodedTop(
        len(best.classes),
        best.classes.dtype.itemsize,
        label_map.compressed(best.classes),
        label_map.compressed(best.probabilities),
    )


def _require(what: str, size: tuple[int, int], nbytes: int, max_bytes: int, advice: str) -> None:
    """Raise TooLarge if something of `nbytes` bytes exceeds a reply."""
    if nbytes > max_bytes:
        height, width = size
        raise TooLarge(
            f"the {what} of {height} x {width} pixels takes {nbytes} bytes, and a reply holds "
            f"{max_bytes}: {advice}"
        )
