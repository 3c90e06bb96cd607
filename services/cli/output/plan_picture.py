"""What ranks get of a plan, as a picture: documents of each, and the mixture over the stream."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from services.common.percent import percent

if TYPE_CHECKING:
    from services.corpus.stream.simulate import Simulation

_WIDTH, _HEIGHT, _MARGIN = 720, 160, 40
_COLOURS = (
    *("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377"),
    *("#bbbbbb", "#000000", "#ee7733", "#009988"),
)


def drawn(result: Simulation) -> str:
    """Return an SVG: a bar a rank, and below it the share of each subset in each part."""
    largest = sorted(result.shares, key=lambda name: -result.overall[name])
    legend = 18 * len(largest)
    height = 2 * (_HEIGHT + _MARGIN) + legend + _MARGIN
    size = f'width="{_WIDTH + 2 * _MARGIN}" height="{height}"'
    font = 'font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>',
        _text(_MARGIN, _MARGIN - 12, "documents a rank"),
        *_ranks(result),
        _text(_MARGIN, 2 * _MARGIN + _HEIGHT - 12, "mixture over the stream, by bytes of text"),
        *_mixture(result, largest),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _ranks(result: Simulation) -> list[str]:
    top = max(1, int(result.documents.max()))
    width = _WIDTH / len(result.documents)
    found = []
    for rank, documents in enumerate(result.documents.tolist()):
        size = documents / top * _HEIGHT
        found.append(
            f'<rect x="{_MARGIN + rank * width:.2f}" y="{_MARGIN + _HEIGHT - size:.2f}" '
            f'width="{width * 0.9:.2f}" height="{size:.2f}" fill="{_COLOURS[0]}">'
            f"<title>rank {rank}: {documents:,}</title></rect>"
        )
    return found


def _mixture(result: Simulation, names: list[str]) -> list[str]:
    found = []
    top = 2 * _MARGIN + _HEIGHT
    width = _WIDTH / max(1, len(result.drift))
    for part in range(len(result.drift)):
        reached = 0.0
        for number, name in enumerate(names):
            share = float(result.shares[name][part])
            found.append(
                f'<rect x="{_MARGIN + part * width:.2f}" y="{top + reached * _HEIGHT:.2f}" '
                f'width="{width:.2f}" height="{share * _HEIGHT:.2f}" '
                f'fill="{_COLOURS[number % len(_COLOURS)]}"/>'
            )
            reached += share
    for number, name in enumerate(names):
        y = top + _HEIGHT + 20 + 18 * number
        colour = _COLOURS[number % len(_COLOURS)]
        found.append(f'<rect x="{_MARGIN}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
        words = f"{name or '(none named)'} {percent(result.overall[name], 1)}"
        found.append(_text(_MARGIN + 18, y, words))
    return found


def _text(x: float, y: float, words: str) -> str:
    return f'<text x="{x}" y="{y}">{escape(words)}</text>'
