"""Intervals, bars and counts as inline SVG, with the figures in words for those who see none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from services.common.safe_text import shown
from services.ranker.web.values import number

_WIDTH, _HEIGHT, _MARGIN = 240, 36, 12
_ROW, _LABELS, _BAR, _FIGURES = 22, 170, 260, 70
_STACK_WIDTH, _STACK_HEIGHT = 600, 16
_CHART_WIDTH, _CHART_HEIGHT, _CHART_MARGIN = 480, 200, 44


def interval(
    low: float, point: float, high: float, most: float, side: str, *, least: float = 0.0
) -> Markup:
    """A point with its interval on a line from `least` to `most`."""

    def at(value: float) -> float:
        share = min(1.0, max(0.0, (value - least) / (most - least)))
        return round(_MARGIN + share * (_WIDTH - 2 * _MARGIN), 2)

    middle = 11
    spoken = (
        f"{point:.3g}, from {number(low)} to {number(high)}, on a line from {least:g} to {most:g}"
    )
    return Markup(
        '<svg class="interval {side}" role="img" aria-label="{spoken}" width="{width}" '
        'height="{height}" viewBox="0 0 {width} {height}">'
        '<path class="axis" d="M{start} {middle}H{end}M{start} {top}v8M{end} {top}v8"/>'
        '<line class="span" x1="{low}" x2="{high}" y1="{middle}" y2="{middle}"/>'
        '<circle class="point" cx="{point}" cy="{middle}" r="5"/>'
        '<text class="end" aria-hidden="true" x="{start}" y="{base}">{least:g}</text>'
        '<text class="end" aria-hidden="true" x="{end}" y="{base}">{most:g}</text></svg>'
    ).format(
        side=side,
        spoken=spoken,
        width=_WIDTH,
        height=_HEIGHT,
        middle=middle,
        top=middle - 4,
        start=at(least),
        end=at(most),
        low=at(low),
        high=at(high),
        point=at(point),
        base=_HEIGHT - 5,
        least=least,
        most=most,
    )


@dataclass(frozen=True)
class Bar:
    """A measured value, and what was published for the same, where it was."""

    name: str
    value: float | None
    published: float | None = None


def bars(values: Sequence[Bar], unit: str, side: str) -> Markup:
    """A bar for each measured value and an outlined one for each published, on one scale."""
    known = [one for bar in values for one in (bar.value, bar.published) if one is not None]
    most = max(known, default=0.0) or 1.0
    rows = []
    y = 0
    for bar in values:
        rows.append(_label(bar.name, y))
        for kind, value in (("measured", bar.value), ("published", bar.published)):
            if value is None:
                continue
            length = round(_BAR * max(0.0, value) / most, 2)
            rows.append(
                Markup(
                    '<rect class="{kind}" x="{x}" y="{y}" width="{length}" height="14"/>'
                    '<text class="figure" x="{end}" y="{base}">{value}</text>'
                ).format(
                    kind=kind,
                    x=_LABELS,
                    y=y + 3,
                    length=length,
                    end=_LABELS + length + 5,
                    base=y + 14,
                    value=f"{value:.4g}",
                )
            )
            y += _ROW
    return _figure("bars", side, f"{unit}: {_spoken(values)}", Markup("").join(rows), y)


def _spoken(values: Sequence[Bar]) -> str:
    parts = []
    for bar in values:
        measured = "" if bar.value is None else f" {bar.value:.4g}"
        published = "" if bar.published is None else f", published {bar.published:.4g}"
        parts.append(f"{bar.name}{measured}{published}")
    return "; ".join(parts)


def _label(name: str, y: float) -> Markup:
    return Markup('<text class="name" x="{x}" y="{y}">{name}</text>').format(
        x=_LABELS - 6, y=y + 14, name=shown(name)
    )


def _figure(kind: str, side: str, spoken: str, content: Markup, height: float) -> Markup:
    width = _LABELS + _BAR + _FIGURES
    return Markup(
        '<svg class="{kind} {side}" role="img" aria-label="{spoken}" width="{width}" '
        'height="{height}" viewBox="0 0 {width} {height}">{content}</svg>'
    ).format(
        kind=kind, side=side, spoken=shown(spoken), width=width, height=height, content=content
    )


def stack(counts: Mapping[str, int], spoken: str) -> Markup:
    """Counts side by side in one bar; the keys are the classes that colour them."""
    total = sum(counts.values())
    parts, x = [], 0.0
    for kind, count in counts.items():
        if not count:
            continue
        width = _STACK_WIDTH * count / total
        parts.append(
            Markup('<rect class="{kind}" x="{x}" y="0" width="{width}" height="{height}"/>').format(
                kind=kind, x=round(x, 2), width=round(width, 2), height=_STACK_HEIGHT
            )
        )
        x += width
    return Markup(
        '<svg class="stack" role="img" aria-label="{spoken}" viewBox="0 0 {width} {height}" '
        'preserveAspectRatio="none">{parts}</svg>'
    ).format(
        spoken=shown(spoken),
        width=_STACK_WIDTH,
        height=_STACK_HEIGHT,
        parts=Markup("").join(parts),
    )


def line(points: Sequence[tuple[float, float]], across: str, up: str, side: str) -> Markup:
    """Values against a size, from 0, joined by a line: throughput against batch size."""
    ordered = sorted(points)
    most_x = max((x for x, _ in ordered), default=0.0) or 1.0
    most_y = max((y for _, y in ordered), default=0.0) or 1.0
    inner_width = _CHART_WIDTH - 2 * _CHART_MARGIN
    inner_height = _CHART_HEIGHT - 2 * _CHART_MARGIN

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            round(_CHART_MARGIN + inner_width * x / most_x, 2),
            round(_CHART_HEIGHT - _CHART_MARGIN - inner_height * y / most_y, 2),
        )

    places = [at(x, y) for x, y in ordered]
    path = "M" + "L".join(f"{x} {y}" for x, y in places)
    marks = Markup("").join(
        Markup(
            '<circle class="point" cx="{x}" cy="{y}" r="4"/>'
            '<text class="figure" x="{x}" y="{above}">{value}</text>'
            '<text class="tick" x="{x}" y="{below}">{size}</text>'
        ).format(
            x=x,
            y=y,
            above=y - 9,
            below=_CHART_HEIGHT - _CHART_MARGIN + 16,
            value=f"{value:.4g}",
            size=f"{size:g}",
        )
        for (x, y), (size, value) in zip(places, ordered, strict=True)
    )
    spoken = "; ".join(f"{across} {x:g}: {y:.4g} {up}" for x, y in ordered)
    return Markup(
        '<svg class="line {side}" role="img" aria-label="{spoken}" width="{width}" '
        'height="{height}" viewBox="0 0 {width} {height}">'
        '<path class="axis" d="M{left} {top}V{bottom}H{right}"/><path class="joined" d="{path}"/>'
        '{marks}<text class="tick" x="{middle}" y="{title}">{across}</text></svg>'
    ).format(
        side=side,
        spoken=shown(spoken),
        width=_CHART_WIDTH,
        height=_CHART_HEIGHT,
        left=_CHART_MARGIN,
        right=_CHART_WIDTH - _CHART_MARGIN,
        top=_CHART_MARGIN - 20,
        bottom=_CHART_HEIGHT - _CHART_MARGIN,
        middle=_CHART_WIDTH / 2,
        title=_CHART_HEIGHT - 8,
        path=path,
        marks=marks,
        across=shown(across),
    )
