"""Finds the picture files in paths, folders, patterns and lists."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from services.cli.absent import refuse_absent
from services.corpus.storage.urls import is_url, join, shown

SUFFIXES = frozenset(
    f".{name}"
    for name in ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "avif", "heic", "heif",
                 "jp2")
)  # fmt: skip
"""Suffixes that a folder search accepts. A file that is named is taken whatever its suffix."""
_PATTERN = frozenset("*?[")


@dataclass(frozen=True)
class Found:
    """A picture's file and the place for its results, without a suffix; or the file's problem.

    For an object, `url` is its location, and `path` is the same without secrets.
    """

    path: Path
    place: Path
    problem: str = ""
    url: str = ""
    identity: tuple[int, int] | None = None
    """The device and inode numbers of a file that was examined."""

    @property
    def name(self) -> str:
        """The picture's name in messages and tables."""
        return shown(self.url) if self.url else str(self.path)


def find(
    given: Sequence[str], max_bytes: int, below: Callable[[str], Sequence[str]]
) -> Iterator[Found]:
    """Yield every picture of the paths once, in order, those in a folder by name.

    Results of a named file go to its own name, those of a folder's files to their place in the
    folder. A file that cannot be sent is yielded with its problem: it does not exist, is not a
    file, has more than `max_bytes`, cannot be read, or has the same place as another.

    A URL is a picture if its name ends like one, else a folder, whose objects `below` lists by
    their names relative to it; their sizes are seen when they are read. Raises what `below` raises.
    """
    seen: set[tuple[int, int] | str | None] = set()
    places: dict[Path, str] = {}
    for found in _listed(given, below):
        checked = found if found.problem or found.url else _checked(found, max_bytes)
        if not checked.problem:
            identity = checked.url or checked.identity
            if identity in seen:
                continue  # named twice, or a link
            seen.add(identity)
            other = places.setdefault(checked.place, checked.name)
            if other != checked.name:
                problem = f"its results would be those of {other}: give them folders of their own"
                checked = replace(checked, problem=problem)
        yield checked


def refuse_all_absent(given: Sequence[str]) -> None:
    """Raises FileNotFoundError for the first path if none of the paths exist."""
    paths = [Path(one) for one in given if not (is_url(one) or _PATTERN & set(one))]
    if paths and len(paths) == len(given) and not any(map(os.path.lexists, paths)):
        refuse_absent("IMAGE", paths)


def _listed(given: Sequence[str], below: Callable[[str], Sequence[str]]) -> Iterator[Found]:
    for text in given:
        if is_url(text):
            yield from _at_url(text, below)
            continue
        try:
            yield from _of(text)
        except (OSError, ValueError) as error:  # an impossible name, or a folder out of reach
            yield Found(Path(text), Path(text), _problem(error))


def is_folder(text: str) -> bool:
    """Whether a path is a folder; False if it is out of reach or impossible."""
    try:
        return Path(text).is_dir()
    except (OSError, ValueError):
        return False


def _problem(error: OSError | ValueError) -> str:
    """The problem with a name."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if "embedded null" in str(error):  # "byte" before Python 3.13, then "character"
        return "a file name cannot contain a NUL"
    return str(error)


def _of(text: str) -> Iterator[Found]:
    """Yield the pictures of a path or a pattern."""
    path = Path(text)
    if text.lower().startswith("data:"):
        yield Found(Path("data:"), Path("data"), "is a picture in a URL: save it as a file")
    elif path.is_dir():
        yield from _in_folder(path)
    elif not path.exists() and not path.is_symlink() and _PATTERN & set(text):
        matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207  # absolute ones too
        if not matches:
            yield Found(path, path, "no file fits this pattern")
        for match in matches:
            one = Path(match)
            yield from _in_folder(one) if one.is_dir() else [_named(one)]
    else:
        yield _named(path)


def _at_url(url: str, below: Callable[[str], Sequence[str]]) -> Iterator[Found]:
    path = PurePosixPath(unquote(urlsplit(url).path))
    if path.suffix.lower() in SUFFIXES:
        yield Found(Path(shown(url)), Path(path.stem), url=url)
        return
    for name in below(url):
        relative = PurePosixPath(name)
        hidden = any(part.startswith(".") for part in relative.parts)
        if relative.suffix.lower() in SUFFIXES and not hidden:
            one = join(url, *relative.parts)
            yield Found(Path(shown(one)), Path(unquote(name)).with_suffix(""), url=one)


def _named(path: Path) -> Found:
    return Found(path, Path(path.stem))


def _in_folder(folder: Path) -> Iterator[Found]:
    """Yield the pictures in and below a folder; each folder once, even if linked repeatedly."""
    failures: list[OSError] = []
    visited: set[tuple[int, int]] = set()
    for root, folders, files in os.walk(folder, onerror=failures.append, followlinks=True):
        here = Path(root)
        try:
            status = here.stat()
        except OSError as error:  # deleted since it was listed
            failures.append(error)
            folders[:] = []
            continue
        identity = status.st_dev, status.st_ino
        if identity in visited:
            folders[:] = []
            continue
        visited.add(identity)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = here / name
            if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Found(path, path.relative_to(folder).with_suffix(""))
        yield from _failed(failures)
    yield from _failed(failures)


def _failed(failures: list[OSError]) -> Iterator[Found]:
    while failures:
        error = failures.pop()
        path = Path(str(error.filename))
        yield Found(path, path, f"this folder cannot be read: {error.strerror}")


def _checked(found: Found, max_bytes: int) -> Found:
    try:
        status = found.path.stat()
    except (OSError, ValueError) as error:
        return Found(found.path, found.place, _problem(error))
    if not stat.S_ISREG(status.st_mode):
        return Found(found.path, found.place, "is not a file")
    if status.st_size > max_bytes:
        size = f"{status.st_size} bytes; a request holds {max_bytes}"
        return Found(found.path, found.place, f"{size}: make the picture smaller")
    return replace(found, identity=(status.st_dev, status.st_ino))
