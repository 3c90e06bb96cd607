"""Bits per byte by subset as a picture file: SVG, or PNG if Pillow is installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from services.cli.output.score_plot import Row, furthest, round_up
from services.cli.result_files import write_result
from services.errors import InvalidArgument

_LEFT, _WIDTH, _RIGHT = 230, 600, 190
_TOP, _ROW, _BOTTOM = 56, 26, 40
_TICKS = 5
_INK, _FAINT, _OURS, _THEIRS, _PRINTED = "#1f2328", "#d0d7de", "#0b62c4", "#b35900", "#1a7f37"
_SCALE = 2  # pixels of a PNG for each unit of a drawing


@dataclass(frozen=True)
class _Line:
    x: float
    y: float
    to_x: float
    to_y: float
    color: str
    width: float = 1.0


@dataclass(frozen=True)
class _Dot:
    x: float
    y: float
    color: str
    filled: bool = True


@dataclass(frozen=True)
class _Text:
    x: float
    y: float
    text: str
    anchor: str = "start"
    size: int = 13
    color: str = _INK


_Shape = _Line | _Dot | _Text


def check(given: str) -> Path:
    """The file for a picture. Raises InvalidArgument unless its name ends in .svg or .png."""
    path = Path(given)
    if path.suffix.lower() not in {".svg", ".png"}:
        raise InvalidArgument("--plot", f"{given} ends in neither .svg nor .png")
    if path.suffix.lower() == ".png":
        try:
            import PIL  # noqa: F401, PLC0415  an extra
        except ImportError:
            raise InvalidArgument(
                "--plot", "a PNG needs Pillow: pip install pillow, or give a name in .svg"
            ) from None
    return path


def draw(
    path: Path,
    rows: Sequence[Row],
    names: tuple[str, str],
    said: Sequence[str],
    published: str = "",
) -> None:
    """Draw rows into a picture file; `names` are the models, and `said` is printed below.

    Raises OSError.
    """
    size, shapes = _scene(rows, names, said, published)
    picture = _svg(size, shapes) if path.suffix.lower() == ".svg" else _png(size, shapes)
    write_result(path, picture)


def _scene(
    rows: Sequence[Row], names: tuple[str, str], said: Sequence[str], published: str
) -> tuple[tuple[int, int], list[_Shape]]:
    top = round_up(max((furthest(row) for row in rows), default=1.0))
    legend = [(names[0], _OURS, True)]
    legend += [(names[1], _THEIRS, False)] if names[1] else []
    legend += [(published, _PRINTED, True)] if published else []
    bottom = _TOP + _ROW * len(rows)
    shapes: list[_Shape] = [_Text(10, 24, "bits per byte, lower is better", size=16)]
    for tick in range(_TICKS + 1):
        x = _LEFT + _WIDTH * tick / _TICKS
        shapes.append(_Line(x, _TOP - 8, x, bottom, _FAINT))
        shapes.append(_Text(x, _TOP - 12, f"{top * tick / _TICKS:g}", "middle", 11))
    for place, row in enumerate(rows):
        shapes += _row(row, _TOP + _ROW * place + _ROW / 2, top)
    x = float(_LEFT)
    for name, color, filled in legend:
        shapes.append(_Dot(x + 6, bottom + 20, color, filled))
        shapes.append(_Text(x + 16, bottom + 24, name, color=color))
        x += 40 + 8 * len(name)
    shapes += [
        _Text(10, bottom + _BOTTOM + 8 + 17 * line, text, size=12) for line, text in enumerate(said)
    ]
    size = (_LEFT + _WIDTH + _RIGHT, bottom + _BOTTOM + 17 * len(said) + 12)
    return size, shapes


def _row(row: Row, y: float, top: float) -> Iterator[_Shape]:
    def at(value: float) -> float:
        return _LEFT + _WIDTH * min(1.0, max(0.0, value / top))

    score = row.score
    yield _Text(_LEFT - 12, y + 4, row.name, "end")
    yield _Line(_LEFT, y, _LEFT + _WIDTH, y, _FAINT)
    said = f"{score.bits_per_byte:.4f}"
    if score.HasField("interval"):
        low, high = score.interval.low, score.interval.high
        yield _Line(at(low), y, at(high), y, _OURS, 4)
        said += f"  [{low:.4f} .. {high:.4f}]"
    if row.published is not None:
        yield _Dot(at(row.published), y, _PRINTED)
    if row.against is not None:
        yield _Dot(at(row.against.bits_per_byte), y, _THEIRS, filled=False)
    yield _Dot(at(score.bits_per_byte), y, _OURS)
    yield _Text(_LEFT + _WIDTH + 10, y + 4, said, size=12)


def _svg(size: tuple[int, int], shapes: Sequence[_Shape]) -> bytes:
    width, height = size
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif">'
    )
    lines = [
        head,
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *map(_element, shapes),
        "</svg>",
    ]
    return ("\n".join(lines) + "\n").encode()


def _element(shape: _Shape) -> str:
    if isinstance(shape, _Line):
        return (
            f'<line x1="{shape.x:.2f}" y1="{shape.y:.2f}" x2="{shape.to_x:.2f}" '
            f'y2="{shape.to_y:.2f}" stroke="{shape.color}" stroke-width="{shape.width:g}"/>'
        )
    if isinstance(shape, _Dot):
        fill = shape.color if shape.filled else "#ffffff"
        return (
            f'<circle cx="{shape.x:.2f}" cy="{shape.y:.2f}" r="5" fill="{fill}" '
            f'stroke="{shape.color}" stroke-width="2"/>'
        )
    return (
        f'<text x="{shape.x:.2f}" y="{shape.y:.2f}" font-size="{shape.size}" '
        f'text-anchor="{shape.anchor}" fill="{shape.color}">{escape(_printable(shape.text))}</text>'
    )


def _png(size: tuple[int, int], shapes: Sequence[_Shape]) -> bytes:
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415  an extra, see `check`

    picture = Image.new("RGB", (size[0] * _SCALE, size[1] * _SCALE), "#ffffff")
    pen: Any = ImageDraw.Draw(picture)
    anchors = {"start": "ls", "middle": "ms", "end": "rs"}
    for shape in shapes:
        x, y = shape.x * _SCALE, shape.y * _SCALE
        if isinstance(shape, _Line):
            ends = (x, y, shape.to_x * _SCALE, shape.to_y * _SCALE)
            pen.line(ends, fill=shape.color, width=round(shape.width * _SCALE))
        elif isinstance(shape, _Dot):
            reach = 5 * _SCALE
            pen.ellipse(
                (x - reach, y - reach, x + reach, y + reach),
                fill=shape.color if shape.filled else "#ffffff",
                outline=shape.color,
                width=2 * _SCALE,
            )
        else:
            font = ImageFont.load_default(shape.size * _SCALE)
            text = _printable(shape.text)
            pen.text((x, y), text, fill=shape.color, font=font, anchor=anchors[shape.anchor])
    out = BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def _printable(text: str) -> str:
    """Replace characters that XML or the font lacks."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
