"""A picture of a plan: documents for each rank, and the mixture along the stream."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

from services.common.percent import percent

if TYPE_CHECKING:
    from services.corpus.stream.simulate import Simulation

_WIDTH, _HEIGHT, _MARGIN = 720, 160, 40
_COLOURS = (
    *("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377"),
    *("#bbbbbb", "#000000", "#ee7733", "#009988"),
)


_OTHERS = "#dddddd"


def drawn(result: Simulation) -> str:
    """Return an SVG: a bar for each rank, and below it the share of each subset in each part.

    The largest subsets have a colour each; if there are more subsets than colours, the rest share
    one.
    """
    subsets = _shown(result)
    legend = 18 * len(subsets)
    height = 2 * (_HEIGHT + _MARGIN) + legend + _MARGIN
    size = f'width="{_WIDTH + 2 * _MARGIN}" height="{height}"'
    font = 'font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>',
        _text(_MARGIN, _MARGIN - 12, "documents a rank"),
        *_ranks(result),
        _text(_MARGIN, 2 * _MARGIN + _HEIGHT - 12, "mixture over the stream, by bytes of text"),
        *_mixture(len(result.drift), subsets),
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


class _Subset(NamedTuple):
    label: str
    colour: str
    overall: float
    shares: list[float]


def _shown(result: Simulation) -> list[_Subset]:
    largest = sorted(result.shares, key=lambda name: -result.overall[name])
    shown = len(largest) if len(largest) <= len(_COLOURS) else len(_COLOURS) - 1
    subsets = [
        _Subset(name or "(none named)", colour, result.overall[name], result.shares[name].tolist())
        for name, colour in zip(largest[:shown], _COLOURS, strict=False)
    ]
    rest = largest[shown:]
    if rest:
        shares = zip(*(result.shares[name].tolist() for name in rest), strict=True)
        overall = sum(result.overall[name] for name in rest)
        label = f"{len(rest)} other subsets"
        subsets.append(_Subset(label, _OTHERS, overall, [sum(part) for part in shares]))
    return subsets


def _mixture(parts: int, subsets: list[_Subset]) -> list[str]:
    found = []
    top = 2 * _MARGIN + _HEIGHT
    width = _WIDTH / max(1, parts)
    for part in range(parts):
        reached = 0.0
        for subset in subsets:
            share = subset.shares[part]
            found.append(
                f'<rect x="{_MARGIN + part * width:.2f}" y="{top + reached * _HEIGHT:.2f}" '
                f'width="{width:.2f}" height="{share * _HEIGHT:.2f}" fill="{subset.colour}"/>'
            )
            reached += share
    for number, subset in enumerate(subsets):
        y = top + _HEIGHT + 20 + 18 * number
        box = f'<rect x="{_MARGIN}" y="{y - 10}" width="12" height="12" fill="{subset.colour}"/>'
        words = f"{subset.label} {percent(subset.overall, 1)}"
        found += [box, _text(_MARGIN + 18, y, words)]
    return found


def _text(x: float, y: float, words: str) -> str:
    return f'<text x="{x}" y="{y}">{escape(words)}</text>'
