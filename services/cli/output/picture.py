"""Pictures in a terminal."""

from __future__ import annotations

from PIL import Image
from rich.text import Text

_UPPER_HALF = "▀"


def terminal_picture(picture: Image.Image, columns: int) -> Text:
    """The picture drawn in half blocks, two pixels a character, `columns` wide."""
    rows = max(1, round(picture.height * columns / picture.width / 2)) * 2
    small = picture.convert("RGB").resize((columns, rows), Image.Resampling.BOX)
    text = Text(no_wrap=True)
    for y in range(0, rows, 2):
        for x in range(columns):
            upper, lower = (_hex(small, x, y + half) for half in (0, 1))
            text.append(_UPPER_HALF, style=f"{upper} on {lower}")
        text.append("\n")
    return text


def _hex(picture: Image.Image, x: int, y: int) -> str:
    pixel = picture.getpixel((x, y))
    assert isinstance(pixel, tuple)  # noqa: S101 - an RGB picture's pixel is one
    red, green, blue = (int(channel) for channel in pixel)
    return f"#{red:02x}{green:02x}{blue:02x}"
