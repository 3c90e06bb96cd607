"""Intervals and bars as inline SVG, with the figures in words for those who cannot see them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

_WIDTH, _HEIGHT, _MARGIN = 240, 26, 6
_ROW, _LABELS, _BAR = 18, 170, 260


def interval(
    low: float, point: float, high: float, most: float, color: str, *, least: float = 0.0
) -> str:
    """A point with its interval on a line from `least` to `most`."""

    def at(value: float) -> float:
        share = min(1.0, max(0.0, (value - least) / (most - least)))
        return round(_MARGIN + share * (_WIDTH - 2 * _MARGIN), 2)

    middle = _HEIGHT / 2
    spoken = f"{point:.3g}, from {low:.3g} to {high:.3g}, on a line from {least:g} to {most:g}"
    return (
        f'<svg role="img" aria-label="{spoken}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f'<line x1="{at(least)}" x2="{at(most)}" y1="{middle}" y2="{middle}" '
        'stroke="currentColor" stroke-opacity=".3"/>'
        f'<path d="M{at(least)} {middle - 4}v8M{at(most)} {middle - 4}v8" '
        'stroke="currentColor" stroke-opacity=".3"/>'
        f'<line x1="{at(low)}" x2="{at(high)}" y1="{middle}" y2="{middle}" '
        f'stroke="var(--{color})" stroke-width="6" stroke-opacity=".45"/>'
        f'<circle cx="{at(point)}" cy="{middle}" r="5" fill="var(--{color})"/></svg>'
    )


def bars(values: Mapping[str, float], unit: str, color: str) -> str:
    """A bar for each value, the largest as long as the drawing."""
    most = max(values.values(), default=0.0) or 1.0
    rows = []
    for place, (name, value) in enumerate(values.items()):
        y = place * _ROW
        length = round(_BAR * max(0.0, value) / most, 2)
        rows.append(
            f'<text x="{_LABELS - 6}" y="{y + 12}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{_LABELS}" y="{y + 2}" width="{length}" height="{_ROW - 5}" '
            f'fill="var(--{color})" fill-opacity=".7"/>'
            f'<text x="{_LABELS + length + 5}" y="{y + 12}">{value:.4g}</text>'
        )
    width, height = _LABELS + _BAR + 60, _ROW * len(values)
    spoken = escape("; ".join(f"{name} {value:.4g}" for name, value in values.items()), quote=True)
    return (
        f'<svg role="img" aria-label="{escape(unit, quote=True)}: {spoken}" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}">{"".join(rows)}</svg>'
    )
