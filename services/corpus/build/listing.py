"""Finds what a recipe's sources consist of, and cuts it into units of work.

A unit is some files of one source, about a 64th of all sources, but at least half a MiB and at most
64. Units of small files are about the same size, so that processes with as many of them end
together. A larger file is a unit of its own, unless it has an index: then a unit is a range of its
frames. The units follow from the files alone, not from how many processes there are.
"""

from __future__ import annotations

import glob
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from pathlib import Path, PurePosixPath

from services.corpus.build.recipe import MIB, Recipe, Source
from services.corpus.build.recipe_file import expanded, of_a_recipe
from services.corpus.shards.formats import WARC_SUFFIXES
from services.corpus.shards.index.format import Index, IndexFormatError, index_path, open_index
from services.corpus.shards.layout import (
    SUFFIX,
    Layout,
    NoShardError,
    broken_link,
    files_below,
    find_layout,
)
from services.corpus.shards.names import natural
from services.corpus.shards.places import is_matched_by, is_read_from
from services.corpus.storage.files import size_and_version
from services.errors import InvalidArgument, NotFound

_UNITS = 64
MIN_UNIT_BYTES, MAX_UNIT_BYTES = MIB // 2, 64 * MIB
SHARD, TEXT, WARC = "shard", "text", "warc"


@dataclass(frozen=True)
class Part:
    """A file of a source, or frames `first` up to `end` of one; both 0 for all of it.

    `path` is below the source's root with "/" between parts, `file` where it is, `size` and
    `version` what it was when the build began. `subset_key` is that of its layout or its source.
    """

    path: str
    file: str
    kind: str
    size: int
    version: str
    first: int = 0
    end: int = 0
    subset_key: str = ""


@dataclass(frozen=True)
class Unit:
    """Some parts of the source of this number in the recipe."""

    source: int
    parts: tuple[Part, ...]


def list_units(
    recipe: Recipe,
    variables: Mapping[str, str],
    folder: Path,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Unit, ...]:
    """Find the files of all sources. Paths that are not absolute start at `folder`.

    `tell` is called with what looks like data and is not read.

    Raises InvalidArgument for a variable without a value, NotFound for a source without a file, and
    LayoutError.
    """
    sources: list[list[Part]] = []
    for number, source in enumerate(recipe.sources):
        where = f"sources[{number}].path"
        path = str(folder / expanded(source.path, variables, where))
        parts = list(_parts(source, path, where, tell))
        if not parts:
            of_splits = f", of {' and '.join(source.splits)}" * bool(source.splits)
            hint = f"{path} {source.files}".strip() + of_splits
            raise NotFound("file for source", source.name, None, hint)
        sources.append(parts)
    total = sum(part.size for parts in sources for part in parts)
    unit_bytes = min(max(total // _UNITS, MIN_UNIT_BYTES), MAX_UNIT_BYTES)
    return tuple(
        Unit(number, group)
        for number, parts in enumerate(sources)
        for group in _grouped(_cut(parts, unit_bytes), unit_bytes)
    )


def refuse_within_sources(
    recipe: Recipe, variables: Mapping[str, str], folder: Path, out: Path
) -> None:
    """Refuse an `out` that a source would read: a build that goes on would find what it wrote.

    Raises InvalidArgument, for a variable without a value too.
    """
    for number, source in enumerate(recipe.sources):
        path = str(folder / expanded(source.path, variables, f"sources[{number}].path"))
        found = [path] if Path(path).exists() else _matches(path)
        if is_matched_by(out, path) or any(is_read_from(out, Path(one)) for one in found):
            raise InvalidArgument(
                "--out",
                f"{out} is the source {source.name!r} itself, or within it, where what is written "
                "would be taken for a part of it; name another directory",
            )


def files_of(patterns: Iterable[str], variables: Mapping[str, str], folder: Path) -> list[Path]:
    """Find the files and folders of paths or patterns. Raises NotFound for one without any."""
    found: list[Path] = []
    for pattern in patterns:
        path = str(folder / expanded(pattern, variables, "against"))
        matches = _matches(path)
        if not matches:
            raise NotFound("test set", path, None)
        found += matches
    return found


def _parts(source: Source, path: str, where: str, tell: Callable[[str], None]) -> Iterator[Part]:
    if source.files:
        yield from _texts(source, Path(path), where)
        return
    roots = _outermost(_matches(path))
    for root, prefix in zip(roots, _prefixes(roots), strict=True):
        warcs = _warcs(root)
        for below, file in warcs:
            yield _part(prefix + below, file, WARC)
        if warcs and root.is_file():
            continue
        try:
            layout = find_layout(root, source.reading(), every_file=source.every_file)
        except NoShardError as error:
            if not warcs:
                raise
            layout = Layout((), error.left_out)
        read = {below for below, _ in warcs}
        left = replace(layout, left_out=tuple(one for one in layout.left_out if one not in read))
        if left.left_out:
            tell(of_a_recipe(f"source {source.name!r}: {left.notice()}"))
        for shard in layout.shards:
            if source.splits and shard.split not in source.splits:
                continue
            key = shard.reading.keys.subset
            yield replace(_part(prefix + shard.path, shard.file, SHARD), subset_key=key)


def _matches(path: str) -> list[Path]:
    if Path(path).exists():
        return [Path(path)]
    found = glob.glob(path, recursive=True)  # noqa: PTH207  the pattern may be absolute
    return sorted(map(Path, found), key=lambda one: natural(str(one)))


def _outermost(roots: Sequence[Path]) -> list[Path]:
    """Leave out what lies in another root, as `**` finds it: its files are read with that one."""
    folders = {root for root in roots if root.is_dir()}
    return [root for root in roots if folders.isdisjoint(root.parents)]


def _prefixes(roots: Sequence[Path]) -> list[str]:
    """Return what to put before the paths below each root, so that no two files have one path.

    Of several roots as many of the last parts of their paths are named as tell them apart.
    """
    if len(roots) < 2:
        return [""] * len(roots)
    kept, names = 0, list(roots)
    while not kept or len(set(names)) < len(roots):
        kept += 1
        names = [Path(*root.parts[-kept:]) for root in roots]
    folders = [
        name if root.is_dir() else name.parent for root, name in zip(roots, names, strict=True)
    ]
    return ["" if folder == Path() else f"{folder.as_posix()}/" for folder in folders]


def _texts(source: Source, root: Path, where: str) -> Iterator[Part]:
    if not root.is_dir():
        raise InvalidArgument(
            where, f"{root} is not a folder; name the folder that holds the files"
        )
    matched = list(root.glob(source.files))
    gone = next((file for file in matched if file.is_symlink() and not file.exists()), None)
    if gone is not None:
        raise broken_link(gone)
    found = [file.relative_to(root).as_posix() for file in matched if file.is_file()]
    for path in sorted(set(found), key=natural):
        if not any(_under(path, pattern) for pattern in source.exclude):
            yield _part(path, root / path, TEXT)


def _under(path: str, pattern: str) -> bool:
    """Whether a path or one of its folders is what a pattern names."""
    pure = PurePosixPath(path)
    return any(part.match(pattern) for part in (pure, *pure.parents) if part.name)


def _warcs(root: Path) -> list[tuple[str, Path]]:
    if root.is_file():
        return [(root.name, root)] if root.name.lower().endswith(WARC_SUFFIXES) else []
    paths = [path for path in files_below(root, []) if path.lower().endswith(WARC_SUFFIXES)]
    return [(path, root / path) for path in sorted(paths, key=natural)]


def _cut(parts: Iterable[Part], unit_bytes: int) -> Iterator[Part]:
    """Cut shards that are larger than a unit into ranges of frames, where they have an index."""
    for part in parts:
        index = None
        if part.kind == SHARD and part.size > unit_bytes:
            index = _index(Path(part.file), part.size)
        if index is None:
            yield part
            continue
        first, size = 0, 0
        for number, frame in enumerate(index.frames["bytes"].tolist(), 1):
            size += frame
            if size >= unit_bytes or number == len(index.frames):
                yield replace(part, first=first, end=number)
                first, size = number, 0


def _index(file: Path, size: int) -> Index | None:
    """The index beside a shard, if it is there and of this file."""
    if not file.name.endswith(SUFFIX):
        return None
    try:
        index = open_index(file.with_name(index_path(file.name)))
    except (OSError, IndexFormatError):
        return None
    return index if index.header.shard.bytes == size else None


def _part(path: str, file: Path, kind: str) -> Part:
    size, version = size_and_version(file)
    return Part(path, str(file.resolve()), kind, size, version)


def _grouped(parts: Iterable[Part], unit_bytes: int) -> Iterator[tuple[Part, ...]]:
    """Put small files together; one that is large, or a range of frames, stands alone."""
    small: list[Part] = []
    for part in parts:
        if part.end > 0 or part.size >= unit_bytes:
            yield from _evenly(small, unit_bytes)
            small = []
            yield (part,)
        else:
            small.append(part)
    yield from _evenly(small, unit_bytes)


def _evenly(parts: Sequence[Part], unit_bytes: int) -> Iterator[tuple[Part, ...]]:
    """Cut a run of small files into as few units as its bytes need, each at its share of them."""
    total = sum(part.size for part in parts)
    units = max(1, math.ceil(total / unit_bytes))

    def unit_of(numbered: tuple[int, Part]) -> int:
        end, part = numbered  # by the middle of a file
        return (2 * end - part.size) * units // (2 * total) if total else 0

    ends = accumulate(part.size for part in parts)
    for _, group in groupby(zip(ends, parts, strict=True), unit_of):
        yield tuple(part for _, part in group)
