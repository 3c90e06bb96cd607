"""Pictures with labels for their pixels, from a folder in ADE20K's form.

The folder has `images` and `annotations`, whose files have the same names. In an annotation 0 means
no class, and any other value is a class id plus one. Only pictures of the validation set count,
recognised by their names, because models were trained on the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.errors import InvalidArgument

VALIDATION_PICTURES = 2000
"""How many pictures ADE20K's validation set has."""

VALIDATION_CLASSES = 150
"""How many classes its masks distinguish."""

_VALIDATION = "ADE_val_"


class UnreadableError(Exception):
    """A labelled picture that cannot be read; the message names it and says why."""


@dataclass(frozen=True)
class LabelledImage:
    """A picture's file and its mask's file."""

    image: Path
    mask: Path


def labelled_images(folder: Path) -> tuple[LabelledImage, ...]:
    """Return the folder's validation pictures, by name.

    Raises InvalidArgument if there are none, or a picture has no mask.
    """
    found = []
    for image in sorted((folder / "images").glob(f"{_VALIDATION}*")):
        mask = folder / "annotations" / f"{image.stem}.png"
        if not mask.is_file():
            raise InvalidArgument("labelled_pictures", f"{image.name} has no {mask.name} beside it")
        found.append(LabelledImage(image, mask))
    if not found:
        raise InvalidArgument(
            "labelled_pictures",
            f"{folder} has no images/{_VALIDATION}*, with their masks in annotations",
        )
    return tuple(found)
