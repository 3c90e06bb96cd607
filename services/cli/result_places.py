"""Keeps results apart from their pictures: no result is labelled or overwrites a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from services.cli.find_pictures import Found, is_folder
from services.errors import InvalidArgument

LABELS, OVERLAY = ".png", ".overlay.jpg"


def labels_file(out: Path, one: Found) -> Path:
    """The file for a picture's labels."""
    return out / f"{one.place}{LABELS}"


def overlay_file(out: Path, one: Found) -> Path:
    """The file for a picture's overlay."""
    return out / f"{one.place}{OVERLAY}"


def without_results(found: Sequence[Found], given: Sequence[str], out: Path) -> list[Found]:
    """Return the pictures without those below `out`, if `out` is in a searched folder.

    Raises InvalidArgument if a result would overwrite a picture, or be found as one.
    """
    out = out.resolve()
    folders = [Path(text).resolve() for text in given if is_folder(text)]
    if out in folders:
        raise InvalidArgument(
            "--out", "is the folder of the pictures, and results are pictures too: give another"
        )
    paths = {index: one.path.resolve() for index, one in enumerate(found) if _is_file(one)}
    if any(out.is_relative_to(folder) for folder in folders):
        inside = {index for index, path in paths.items() if path.is_relative_to(out)}
        found = [one for index, one in enumerate(found) if index not in inside]
        paths = {index: path for index, path in paths.items() if index not in inside}
    pictures = set(paths.values())
    for one in found:
        if one.problem:
            continue  # it has no results
        for file in (labels_file(out, one), overlay_file(out, one)):
            if file.resolve() in pictures:
                raise InvalidArgument(
                    "--out", f"{file.name} in it is one of the pictures: give another folder"
                )
    return list(found)


def _is_file(one: Found) -> bool:
    return not one.problem and not one.url
