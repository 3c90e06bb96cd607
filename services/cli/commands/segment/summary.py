"""The table of a folder's pictures, `summary.csv`: a row for each class, by picture."""

from __future__ import annotations

import csv
import errno
import io
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from services.cli.output.safe_text import no_formula
from services.errors import StorageFull

SUMMARY = "summary.csv"
_COLUMNS = ("picture", "labels", "width", "height", "class_id", "class", "pixels", "share", "error")
# Columns with text from others: file names, and names of a model's classes.
_TEXTS = ("picture", "class", "error")
# Most pixels of a label map that is read again; a larger one is made again.
_MAX_PIXELS = 1 << 28
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
Row: TypeAlias = dict[str, Any]


def earlier(out: Path, summary: Path) -> dict[str, list[Row]]:
    """Rows of earlier runs, by picture: a run over all pictures also reads those of shares."""
    rows: dict[str, list[Row]] = {}
    if summary.name == SUMMARY:
        for part in sorted(out.glob("summary-*-of-*.csv")):
            rows |= _rows(part)
    return rows | _rows(summary)


def _rows(path: Path) -> dict[str, list[Row]]:
    """The rows of an earlier run's summary, by picture."""
    rows: dict[str, list[Row]] = {}
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            for row in csv.DictReader(file):
                picture = row.get("picture") or ""
                if no_formula(picture[1:]) == picture:
                    picture = picture[1:]
                rows.setdefault(picture, []).append(dict(row) | {"picture": picture})
    except (OSError, ValueError, csv.Error):
        return {}
    return rows


def write_summary(path: Path, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write the rows, by picture; text from others cannot become a formula of a spreadsheet."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for picture in sorted(rows):
        for row in rows[picture]:
            texts = {name: no_formula(str(row.get(name) or "")) for name in _TEXTS}
            writer.writerow({**row, **texts})
    write(path, text.getvalue().encode("utf-8", "surrogateescape"))


def counted(picture: str, labels: Path, names: Mapping[int, str]) -> list[Row]:
    """Return a picture's rows from its label map, the largest share first.

    Raises OSError, and InvalidArgument if the file is not a complete label map.
    """
    import numpy as np  # noqa: PLC0415  # only where a run was cut off

    from services.segment.images.mask_files import decode_png  # noqa: PLC0415

    values = decode_png(labels.read_bytes(), _MAX_PIXELS, str(labels))
    found = zip(*np.unique(values, return_counts=True), strict=True)
    classes = sorted((-int(pixels), int(index)) for index, pixels in found if int(index) in names)
    row: Row = {
        "picture": picture,
        "labels": str(labels),
        "width": values.shape[1],
        "height": values.shape[0],
    }
    rows = [
        {"class_id": index, "class": names[index], "pixels": -less, "share": -less / values.size}
        for less, index in classes
    ]
    return [row | one for one in rows] or [row]


@dataclass
class ClassTotal:
    """A class over all pictures: how many contain it, and how many of their pixels it has."""

    name: str
    pictures: int = 0
    pixels: int = 0


def classes_of(rows: Mapping[str, Sequence[Row]]) -> tuple[list[ClassTotal], int]:
    """The classes in the rows of pictures, the largest first, and the pixels of all pictures.

    Rows of an earlier run are texts, as they were read.
    """
    found: dict[str, ClassTotal] = {}
    total = 0
    for of_picture in rows.values():
        for number, row in enumerate(of_picture):
            if not number:
                total += int(row.get("width") or 0) * int(row.get("height") or 0)
            if pixels := int(row.get("pixels") or 0):
                one = found.setdefault(str(row["class_id"]), ClassTotal(str(row["class"])))
                one.pictures += 1
                one.pixels += pixels
    return sorted(found.values(), key=lambda one: -one.pixels), total


def write(path: Path, content: bytes) -> None:
    """Write a file completely or not at all. Raises OSError, and StorageFull if the disk is full.

    The temporary name is random: processes on several machines may write one file, and may have the
    same process number.
    """
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull(
                f"{path}: {error.strerror}; make room and run it again: what is labelled is kept"
            ) from error
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
