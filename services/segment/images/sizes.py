"""How large pictures, masks and label maps may be. Pure."""

from __future__ import annotations

from services.errors import BadImage, ImageTooLarge, InvalidArgument

# Resizing and upsampling a picture that is one pixel high takes several times its own memory.
MAX_SIDE = 32_768


def check_size(
    height: int,
    width: int,
    max_pixels: int,
    field: str,
    *,
    empty: type[InvalidArgument] = BadImage,
    large: type[InvalidArgument] = ImageTooLarge,
) -> None:
    """Raise `empty` where there are no pixels, `large` above `max_pixels` or MAX_SIDE a side."""
    if height < 1 or width < 1:
        raise empty(field, f"{width} x {height} has no pixels: both sides must be at least 1")
    if height * width > max_pixels or max(height, width) > MAX_SIDE:
        raise large(
            field,
            f"{width} x {height} = {width * height} pixels; at most {max_pixels}, and {MAX_SIDE} "
            "a side, are taken: choose a smaller size",
        )
