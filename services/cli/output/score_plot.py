"""Bits per byte by subset as a plot of characters."""

from __future__ import annotations

import math
from dataclasses import dataclass

from assay_rpc.corpus.v1 import scoring_pb2
from rich.table import Table

_WIDTH = 56
_MEASURED, _SPREAD, _AGAINST, _PUBLISHED = "\u25cf", "\u2500", "\u25cb", "\u25c6"


@dataclass(frozen=True)
class Row:
    """A line of the plot: measured figures with their interval, and the values next to them."""

    name: str
    score: scoring_pb2.BitsPerByte
    against: scoring_pb2.BitsPerByte | None = None
    published: float | None = None


def plot(rows: list[Row], model: str, *, against: str = "", published: str = "") -> Table:
    """Draws the rows on one scale from 0; `against` and `published` name the other marks."""
    top = round_up(max((furthest(row) for row in rows), default=1.0))
    legend = [f"{_MEASURED} {model}"]
    if any(row.score.HasField("interval") for row in rows):
        legend.append(f"{_SPREAD} 95 % interval")
    legend += [f"{_AGAINST} {against}"] if against else []
    legend += [f"{_PUBLISHED} {published}"] if published else []
    table = Table(
        title="bits per byte, lower is better",
        title_justify="left",
        caption="   ".join(legend),
        box=None,
        pad_edge=False,
    )
    table.add_column("")
    table.add_column("", justify="right")
    scale = f"0{top:>{_WIDTH - 1}g}"
    table.add_column(scale, no_wrap=True)
    for row in rows:
        table.add_row(row.name, f"{row.score.bits_per_byte:.3f}", _line(row, top))
    return table


def _line(row: Row, top: float) -> str:
    cells = ["\u00b7"] * _WIDTH
    if row.score.HasField("interval"):
        low, high = _cell(row.score.interval.low, top), _cell(row.score.interval.high, top)
        cells[low : high + 1] = _SPREAD * (high + 1 - low)
    if row.published is not None:
        cells[_cell(row.published, top)] = _PUBLISHED
    if row.against is not None:
        cells[_cell(row.against.bits_per_byte, top)] = _AGAINST
    cells[_cell(row.score.bits_per_byte, top)] = _MEASURED
    return "".join(cells)


def _cell(value: float, top: float) -> int:
    return max(0, min(_WIDTH - 1, int(value / top * _WIDTH)))


def furthest(row: Row) -> float:
    """The largest value that a row draws."""
    against = row.against.bits_per_byte if row.against is not None else 0.0
    high = row.score.interval.high if row.score.HasField("interval") else 0.0
    return max(row.score.bits_per_byte, high, against, row.published or 0.0)


def round_up(value: float) -> float:
    """The next quarter, or the next whole number from 4 on; at least a quarter."""
    step = 0.25 if value < 4 else 1.0
    return max(step, math.ceil(value / step) * step)
