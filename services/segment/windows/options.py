"""How a picture goes through a model, if other than its preprocessing says. Pure.

`Inference` is what a caller requests, `Settled` the same with all defaults resolved and checked for
one model, and `Plan` its meaning for a picture of one size. Sizes and the order of the windows are
mmsegmentation's: its Resize with kept proportions, the size divisor of the SegFormer authors'
AlignedResize, and its slide inference, whose last windows are moved back to the border.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from services.errors import InvalidArgument
from services.segment.images.resize import check_resampler
from services.segment.manifest import Manifest, Resampler

MAX_GROWTH = 4
"""Most pixels of one input to a graph of free size, as a multiple of the model's own input."""
MIN_SIDE = 32
"""Least pixels a side for a graph of free size."""
MAX_WINDOWS = 4096
"""Most windows in a picture."""
MAX_MULTIPLE = 256
# The longer edge as a multiple of the shorter: 2048 and 512, as ADE20K is evaluated.
_LONG = 4

Size = tuple[int, int]
"""Height and width."""
Span = tuple[int, int]
"""From the first pixel to the one after the last."""
ResizeMode = Literal["stretch", "keep_ratio", "none"]


@dataclass(frozen=True)
class Edges:
    """Scale a picture to the largest size within both edges, then round its sides up to a multiple.

    A `long` of 0 means no limit.
    """

    short: int
    long: int = 0
    multiple: int = 1


@dataclass(frozen=True)
class Grid:
    """Size and stride of windows, (height, width) each; None means the default."""

    size: Size | None = None
    stride: Size | None = None


@dataclass(frozen=True)
class Inference:
    """A caller's request; None means the model's value, or one that follows from the rest."""

    resize: ResizeMode | None = None
    edges: Edges | None = None
    windows: Grid | None = None
    resampler: Resampler | None = None


@dataclass(frozen=True)
class Plan:
    """How one picture is computed.

    It is resized to each of `sizes` in turn, the last being `size`. Its windows are at all `rows`
    and `columns`, row by row.
    """

    sizes: tuple[Size, ...]
    size: Size
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]


@dataclass(frozen=True)
class Settled:
    """How one model computes pictures. Without a window, they are computed whole."""

    resize: ResizeMode
    edges: Edges
    window: Size | None
    stride: Size
    resampler: Resampler
    own: Size
    free_size: bool

    @property
    def plain(self) -> bool:
        """Whether each picture is one input of the model's own size."""
        return self.resize == "stretch" and self.window is None

    @property
    def largest(self) -> Size:
        """Return the largest input of the model that a picture needs."""
        if self.window is not None:
            return self.window
        return (self.own[0] * MAX_GROWTH, self.own[1])

    def plan(self, height: int, width: int, max_pixels: int) -> Plan:
        """Return the plan for a picture of that size; it is resized to at most `max_pixels`.

        Raises InvalidArgument.
        """
        sizes = self._sizes(height, width)
        size = sizes[-1] if sizes else (height, width)
        if math.prod(size) > max_pixels:
            raise InvalidArgument(
                "inference.edges",
                f"the picture would get {size[0]} x {size[1]} pixels; {max_pixels} are resized to "
                "at most",
            )
        window = self.window or size
        part = min(window[0], size[0]), min(window[1], size[1])
        self._check_input(part, size)
        rows = spans(size[0], window[0], self.stride[0] if self.window else size[0])
        columns = spans(size[1], window[1], self.stride[1] if self.window else size[1])
        if len(rows) * len(columns) > MAX_WINDOWS:
            raise InvalidArgument(
                "inference.windows",
                f"a picture of {size[0]} x {size[1]} has {len(rows) * len(columns)} of them; at "
                f"most {MAX_WINDOWS} are computed: give a larger stride",
            )
        return Plan(sizes, size, rows, columns)

    def _sizes(self, height: int, width: int) -> tuple[Size, ...]:
        if self.resize == "none":
            return ()
        if self.resize == "stretch":
            return (self.own,)
        scaled = fitted(height, width, self.edges)
        multiple = self.edges.multiple
        aligned = -(-scaled[0] // multiple) * multiple, -(-scaled[1] // multiple) * multiple
        return (scaled,) if aligned == scaled else (scaled, aligned)

    def _check_input(self, part: Size, size: Size) -> None:
        """Raise InvalidArgument if the model cannot take `part` of a picture of `size` as input."""
        if part == self.own:
            return
        if not self.free_size:
            raise InvalidArgument(
                "inference",
                f"this model takes {self.own[0]} x {self.own[1]} only, and a picture of {size[0]} "
                f"x {size[1]} needs {part[0]} x {part[1]}: give windows of its size and edges that "
                "are no shorter",
            )
        if min(part) < MIN_SIDE:
            raise InvalidArgument(
                "inference", f"{part[0]} x {part[1]} pixels; {MIN_SIDE} a side are needed at least"
            )
        most = MAX_GROWTH * math.prod(self.own)
        if math.prod(part) > most:
            raise InvalidArgument(
                "inference.windows",
                f"{size[0]} x {size[1]} pixels; this model computes {most} at once at most: give "
                "windows, or edges",
            )


def settled(given: Inference, manifest: Manifest) -> Settled:
    """Return the request settled for one model. Raises InvalidArgument, naming the field."""
    how = manifest.preprocessing
    own = how.height, how.width
    resize = given.resize or _usual(given, resizes=how.resizes)
    if given.edges is not None and resize != "keep_ratio":
        raise InvalidArgument("inference.edges", "they go with RESIZE_MODE_KEEP_RATIO")
    resampler = given.resampler or how.resampler
    check_resampler(resampler, how.resample, "inference.resampler")
    window, stride = _windows(given.windows, own)
    found = Settled(
        *(resize, _edges(given.edges, own), window, stride, resampler, own),
        free_size=manifest.graph.dynamic_size,
    )
    if window is not None:
        found._check_input(window, window)  # private to this module
    return found


def fitted(height: int, width: int, edges: Edges) -> Size:
    """Return the size of a picture with kept proportions, rounded as mmcv does."""
    scale = edges.short / min(height, width)
    if edges.long:
        scale = min(edges.long / max(height, width), scale)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def spans(size: int, window: int, stride: int) -> tuple[Span, ...]:
    """Return the windows along one side: one at every stride, the last at the border."""
    count = max(size - window + stride - 1, 0) // stride + 1
    ends = [min(index * stride + window, size) for index in range(count)]
    return tuple((max(end - window, 0), end) for end in ends)


def _usual(given: Inference, *, resizes: bool) -> ResizeMode:
    if given.edges is not None:
        return "keep_ratio"
    if not resizes:
        return "none"
    return "stretch" if given.windows is None else "keep_ratio"


def _edges(given: Edges | None, own: Size) -> Edges:
    if given is None:
        return Edges(min(own), _LONG * min(own))
    if given.short < 1:
        raise InvalidArgument("inference.edges.short", "is 0; give at least 1")
    if given.long and given.long < given.short:
        raise InvalidArgument(
            "inference.edges.long", f"{given.long} is less than the shorter edge, {given.short}"
        )
    if not 1 <= given.multiple <= MAX_MULTIPLE:
        raise InvalidArgument(
            "inference.edges.multiple", f"{given.multiple}; give at most {MAX_MULTIPLE}"
        )
    return given


def _windows(given: Grid | None, own: Size) -> tuple[Size | None, Size]:
    if given is None:
        return None, own
    window = given.size or own
    if min(window) < MIN_SIDE:
        raise InvalidArgument(
            "inference.windows.size",
            f"{window[0]} x {window[1]}; {MIN_SIDE} pixels a side are needed at least",
        )
    stride = given.stride or (window[0] * 2 // 3, window[1] * 2 // 3)
    if min(stride) < 1 or stride[0] > window[0] or stride[1] > window[1]:
        raise InvalidArgument(
            "inference.windows.stride",
            f"{stride[0]} x {stride[1]}; give 1 to {window[0]} x {window[1]}, the windows' size",
        )
    return window, stride
