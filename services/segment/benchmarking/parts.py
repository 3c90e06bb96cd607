"""Which part of a model a node of its graph belongs to, and where a run's time went. Pure.

The exporter names a weight after its module, and writes nodes in the order in which the model
computes. A node belongs to the part whose weight was used last. Engines fuse nodes and add their
own: a node whose name contains a name from the graph is known, a node between two of one part
belongs to that part, and the rest is "other".
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

OTHER = "other"
_WEIGHT = re.compile(r"encoder\.stages\.(\d)\.|head\.")
# Of onnx.proto, which is frozen: ModelProto.graph, GraphProto.node, and the fields of NodeProto.
_GRAPH, _NODE = 7, 1
_INPUT, _OUTPUT, _NAME = 1, 2, 3
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Suffixes that engines add to the name of a node or its output: "/MatMulScaleFusion/", "_nchwc".
_ADDED = re.compile(r"/.*|_nchwc$")

Events = Sequence[tuple[str, float]]
"""A profile of one run: names and seconds, in the order of computation."""


@dataclass(frozen=True)
class PartTime:
    """Median seconds of a part in a run, and its share of all parts in [0, 1]."""

    name: str
    seconds: float
    share: float


def parts_by_name(model: bytes) -> dict[str, str]:
    """Return the part of each node of an ONNX file, by the names of the node and its outputs.

    Raises ValueError if the bytes are not an ONNX file.
    """
    parts: dict[str, str] = {}
    part = OTHER
    try:
        for names in _nodes(memoryview(model)):
            for name in names[_INPUT]:
                found = _WEIGHT.match(name)
                if found:
                    stage = found[1]
                    part = f"encoder stage {int(stage) + 1}" if stage else "decode head"
            for name in (*names[_NAME], *names[_OUTPUT]):
                parts[name] = part
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError("not an ONNX file") from error
    return parts


def part_times(runs: Sequence[Events], parts: Mapping[str, str]) -> list[PartTime]:
    """Return the time of each part that took any, the largest share first."""
    sums = [_sums(events, parts) for events in runs]
    names = {name for run in sums for name in run}
    medians = {name: statistics.median(run.get(name, 0.0) for run in sums) for name in names}
    total = sum(medians.values())
    times = [PartTime(name, value, value / total) for name, value in medians.items() if value > 0]
    return sorted(times, key=lambda time: (-time.share, time.name))


def _sums(events: Events, parts: Mapping[str, str]) -> dict[str, float]:
    """Return the seconds of each part in one run."""
    known = [parts.get(name) or parts.get(_ADDED.sub("", name)) for name, _ in events]
    following: list[str | None] = []
    after: str | None = None
    for part in reversed(known):
        after = part or after
        following.append(after)
    sums: dict[str, float] = {}
    before: str | None = None
    for (_, seconds), part, after in zip(events, known, reversed(following), strict=True):
        before = part or before
        chosen = before if before is not None and before == after else OTHER
        sums[chosen] = sums.get(chosen, 0.0) + seconds
    return sums


def _nodes(model: memoryview) -> Iterator[dict[int, list[str]]]:
    """Yield the names of each node by their field: inputs, outputs, its own."""
    for field, graph in _fields(model):
        if field == _GRAPH:
            for kind, node in _fields(graph):
                if kind == _NODE:
                    names: dict[int, list[str]] = {_INPUT: [], _OUTPUT: [], _NAME: []}
                    for name, text in _fields(node):
                        if name in names:
                            names[name].append(str(text, "utf-8"))
                    yield names


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and bytes of each length-delimited field; skip the others."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _BYTES:
            size, at = _varint(message, at)
            if size > len(message) - at:
                raise ValueError("not an ONNX file: it is cut off")
            yield key >> 3, message[at : at + size]
            at += size
        elif kind == _VARINT:
            _, at = _varint(message, at)
        elif kind in {_FIXED64, _FIXED32}:
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("not an ONNX file")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number at an offset, and the offset after it."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
