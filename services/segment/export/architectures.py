"""The sizes of the published SegFormers (Xie et al. 2021, tables 6 and 7). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from services.errors import InvalidArgument


@dataclass(frozen=True)
class Architecture:
    """What differs between SegFormers: blocks and channels by stage, and width of the head."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    decoder_width: int


_NARROW, _WIDE = (32, 64, 160, 256), (64, 128, 320, 512)

ARCHITECTURES = {
    "b0": Architecture((2, 2, 2, 2), _NARROW, 256),
    "b1": Architecture((2, 2, 2, 2), _WIDE, 256),
    "b2": Architecture((3, 4, 6, 3), _WIDE, 768),
    "b3": Architecture((3, 4, 18, 3), _WIDE, 768),
    "b4": Architecture((3, 8, 27, 3), _WIDE, 768),
    "b5": Architecture((3, 6, 40, 3), _WIDE, 768),
}


def architecture(name: str) -> Architecture:
    """Return the architecture "b0" .. "b5". Raises InvalidArgument listing them."""
    try:
        return ARCHITECTURES[name.lower()]
    except KeyError:
        known = ", ".join(ARCHITECTURES)
        raise InvalidArgument("architecture", f"{name!r} is unknown; known: {known}") from None


def architecture_name(found: Architecture) -> str:
    """Return "segformer-b0" .. "segformer-b5", or "segformer-custom" for other sizes."""
    for name, known in ARCHITECTURES.items():
        if known == found:
            return f"segformer-{name}"
    return "segformer-custom"
