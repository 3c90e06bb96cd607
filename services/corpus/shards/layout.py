"""Where the shards of a corpus are, and what lies beside them that is not read.

The Pile's layout, which `assay corpus index` writes:

    train/00.jsonl.zst, train/01.jsonl.zst, ...
    val.jsonl.zst
    test.jsonl.zst

`val/` and `test/` may be folders of shards as well. Where there is a shard of this layout, only
those of it are read, unless `every_file` requests the others. In any other folder every file of a
known format is a shard, at any depth; its split is what its folders or its name say, or "train". A
single file may be a corpus.
"""

from __future__ import annotations

import errno
import importlib.util
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from services.corpus.shards.beginnings import DESCRIBING, holds_records, is_unnamed_shard
from services.corpus.shards.foreign import SEVERAL_LINES, is_over_lines
from services.corpus.shards.formats import (
    FOLDER_SUBSET,
    READING,
    TEXT_FOLDER,
    TEXT_SUFFIX,
    Reading,
    format_of,
    how_to_read,
    looks_like_data,
    stem_of,
)
from services.corpus.shards.names import SPLITS, fits, is_split, natural, shortened, split_of

SUFFIX = ".jsonl.zst"
BUILD_WORK, BUILD_NOTES = "_build", "_provenance"
"""Folders that `assay corpus build` writes beside the shards; none of their files is one."""
# RedPajama's folders; two of them make it one.
_RED_PAJAMA = frozenset(
    {"arxiv", "book", "c4", "common_crawl", "github", "stackexchange", "wikipedia"}
)
_NAMED = 5
_LOOKED_AT = 10_000  # files of a folder that is passed over


class LayoutError(ValueError):
    """The directory is not a corpus; the message says what was expected."""


class NoShardError(LayoutError):
    """The directory has no shard. `left_out` is the data in it that is not read."""

    def __init__(self, problem: str, left_out: Sequence[str]) -> None:
        super().__init__(problem)
        self.left_out = tuple(left_out)


@dataclass(frozen=True)
class ShardFile:
    """One shard: its split, its path below the corpus's root with "/" between parts, the file.

    A folder of text files is a shard whose path ends in "*.txt" and whose file is the folder.
    """

    split: str
    path: str
    file: Path
    reading: Reading = READING


@dataclass(frozen=True)
class Layout:
    """The shards of a corpus in streaming order, and the data beside them that is not read.

    `left_out` are paths below the root. `others_are_read` says that `every_file` would read some of
    them.
    """

    shards: tuple[ShardFile, ...]
    left_out: tuple[str, ...] = ()
    others_are_read: bool = False

    def notice(self) -> str:
        """Say in one line what is left out; empty if nothing is."""
        if not self.left_out:
            return ""
        advice = "; --every-file (in settings: every_file) reads them"
        many = f"{len(self.left_out)} files that look like shards"
        what = many if len(self.left_out) > 1 else "1 file that looks like a shard"
        return f"left out {what}: {_list(self.left_out)}{advice * self.others_are_read}"


def find_shards(
    root: Path, reading: Reading = READING, *, every_file: bool = False
) -> tuple[ShardFile, ...]:
    """Find the shards of a corpus, in streaming order. Raises as `find_layout`."""
    return find_layout(root, reading, every_file=every_file).shards


def find_layout(root: Path, reading: Reading = READING, *, every_file: bool = False) -> Layout:
    """Find the shards below `root`, or in the one file that it is, in streaming order.

    Raises LayoutError when there is none, at a link to a file that is gone, and where a library is
    missing that a shard needs.
    """
    if root.is_file():
        return Layout((_single(root, reading),))
    if not root.is_dir():
        state = "is a link to nothing" if root.is_symlink() else "is not a directory"
        raise LayoutError(f"{root} {state}; {_EXPECTED}")
    again: list[str] = []
    found = list(files_below(root, again))
    paths = [path for path in found if not _is_set_aside(path)]
    chosen = [(split, path) for split, path in in_order(paths) if (root / path).is_file()]
    pile = bool(chosen)
    if every_file or not pile:
        chosen = _any_files(root, paths)
    if not reading.keys.subset and _is_red_pajama(path for _, path in chosen):
        reading = replace(reading, keys=replace(reading.keys, subset=FOLDER_SUBSET))
    read = {path for _, path in chosen}
    left = [path for path in found if is_left_out(path, read) or is_unnamed_shard(root, path, read)]
    left += _passed_over(root) + again
    if not chosen:
        there = f"found {_list(left or sorted(found, key=_path_key))}; " if found else ""
        spread = (
            f"{path} {SEVERAL_LINES}; " for path in sorted(left) if is_over_lines(root / path)
        )
        begun = any(f"{SUFFIX}.partial" in path for path in found)
        told = (
            _BEGUN if begun else next(spread, "") or next(filter(None, map(how_to_read, found)), "")
        )
        raise NoShardError(f"{root} holds no shard; {there}{told}{_EXPECTED}", left)
    shards = tuple(ShardFile(split, path, _file_of(root, path), reading) for split, path in chosen)
    _check_libraries(root, shards)
    readable = {path for path in paths if format_of(path)}
    others = pile and not every_file and not readable.isdisjoint(left)
    return Layout(shards, tuple(sorted(left, key=_path_key)), others)


_EXPECTED = (
    f"a corpus has train/NN{SUFFIX}, val{SUFFIX} or test{SUFFIX}, or files named *.jsonl or *.json "
    "(also .gz, .zst, .bz2, .xz), *.parquet, *.arrow or *.txt in any folders"
)

_BEGUN = "the index there is unfinished: run `assay corpus index` again; "


def in_order(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Return (split, path) of those of `paths` below a corpus's root that are of The Pile's layout.

    In streaming order: by split, the shard beside its folder first, then by name, 2 before 10.
    """
    found = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        split = folder or name.removesuffix(SUFFIX)
        if split in SPLITS and name.endswith(SUFFIX) and not name.startswith("."):
            found.append((split, path))
    return sorted(found, key=_order)


def in_any_order(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Return (split, path) of those of `paths` that are of a known format, in streaming order."""
    return sorted(((split_of(path), path) for path in paths if format_of(path)), key=_order)


def indexed_names(shards: Sequence[ShardFile]) -> dict[str, str]:
    """Name what `assay corpus index` writes of each shard: path to path in The Pile's layout."""
    names: dict[str, str] = {}
    for shard in shards:
        if in_order([shard.path]) and fits(shard.path):
            names[shard.path] = shard.path
    taken = set(names.values())
    for shard in shards:
        if shard.path in names:
            continue
        *folders, own = stem_of(shard.path).split("/")
        folders = [folder for folder in folders if folder not in {"data", ""}]
        if folders and is_split(folders[0]):
            folders = folders[1:]
        # A name that begins with one of these is passed over.
        stem = "-".join([*folders, own]).lstrip("._") or "shard"
        if not fits(f"{stem}-{len(shards)}{SUFFIX}"):
            stem = shortened(stem)
        name, number = f"{shard.split}/{stem}{SUFFIX}", 1
        while name in taken:
            number += 1
            name = f"{shard.split}/{stem}-{number}{SUFFIX}"
        names[shard.path] = name
        taken.add(name)
    return names


def _order(found: tuple[str, str]) -> tuple[int, bool, list[list[tuple[int, str]]]]:
    split, path = found
    return SPLITS.index(split), "/" in path, _path_key(path)


def _path_key(path: str) -> list[list[tuple[int, str]]]:
    return [natural(part) for part in path.split("/")]


def files_below(root: Path, again: list[str]) -> Iterator[str]:
    """Yield the paths of the files below `root`, but for hidden ones; links are followed.

    Each folder is read once: those that a link leads to again, or above `root`, go into `again`,
    but for links to a folder that they are in.

    Folders whose names begin with "_" are passed over: Spark's `_temporary` and the like.

    Raises LayoutError for a link to nothing, and for data whose name is not UTF-8.
    """
    seen: set[Path] = set()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=_refuse):
        real, below = Path(folder).resolve(), Path(folder).relative_to(root).as_posix()
        if real in seen or real in root.resolve().parents:
            holder = Path(folder).parent.resolve()
            if real in root.resolve().parents or real not in {holder, *holder.parents}:
                again += [f"{below}/"] * _has_data(Path(folder))
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        for name in sorted(names):
            path = name if below == "." else f"{below}/{name}"
            if name.startswith("."):
                continue
            if not (root / path).exists() and not _is_set_aside(path):
                raise broken_link(root / path)
            if (root / path).is_file() and _is_utf8(path):  # a pipe would be waited for
                yield path


def broken_link(path: Path) -> LayoutError:
    """Return the error of a link that leads to nothing."""
    what = "is a link that leads round to itself; correct it"
    if not _is_round(path):
        what = "is a link to a file that is gone; fetch the file again"
    return LayoutError(f"{path} {what}, or remove the link")


def _is_round(link: Path) -> bool:
    """Whether a link that leads nowhere does so because it leads to itself."""
    try:
        link.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _is_utf8(path: str) -> bool:
    """Whether a name is UTF-8. Raises LayoutError for data under another name: none could tell it.

    A contract's strings are UTF-8, and so are ids, which names of shards are part of.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        if looks_like_data(path.rpartition("/")[2]):
            raise LayoutError(
                f"{path!a} has a name that is not UTF-8, which cannot be served; rename it"
            ) from None
        return False
    return True


def _passed_over(root: Path) -> list[str]:
    """Name data that `files_below` passes over: pipes, what is hidden, but not macOS's ._."""
    passed = []
    for folder, folders, names in os.walk(root):
        below = [Path(folder, name) for name in names if looks_like_data(name)]
        passed += [  # a hidden file, a pipe, or a device
            one.relative_to(root).as_posix()
            for one in below
            if not one.name.startswith(("._", "_"))
            and one.exists()
            and one.is_file() == one.name.startswith(".")
        ]
        skipped = [name for name in folders if name.startswith((".", "_"))]
        folders[:] = [name for name in folders if name not in skipped]
        for name in skipped:
            if Path(folder) == root and name in {BUILD_WORK, BUILD_NOTES}:
                continue
            if _has_data(Path(folder, name)):
                passed.append(Path(folder, name).relative_to(root).as_posix() + "/")
    return passed


def _has_data(folder: Path) -> bool:
    files = (file for _, _, files in os.walk(folder) for file in files)
    return any(looks_like_data(file) for file in islice(files, _LOOKED_AT))


def _is_set_aside(path: str) -> bool:
    """Whether a file's name begins with "_": other programs pass over such files, too."""
    return path.rpartition("/")[2].startswith("_")


def _refuse(error: OSError) -> None:
    raise LayoutError(f"{error.filename} cannot be listed ({error.strerror})")


def _any_files(root: Path, paths: Sequence[str]) -> list[tuple[str, str]]:
    """Choose the shards of a folder of any layout."""
    attributes = any(path.startswith("documents/") for path in paths)
    rows: list[str] = []
    stems: set[str] = set()
    # The same data twice (00.jsonl beside 00.jsonl.zst) is read once: of two names, the first by
    # this order.
    for path in sorted(paths, key=lambda path: (stem_of(path), not path.endswith(SUFFIX), path)):
        shard_format = format_of(path)
        if shard_format is None or (attributes and path.startswith("attributes/")):
            continue
        if shard_format.content == "json" and not holds_records(root / path):
            continue
        if stem_of(path) not in stems:
            stems.add(stem_of(path))
            rows.append(path)
    if not rows:
        folders = {path.rpartition("/")[0] for path in paths if path.lower().endswith(TEXT_SUFFIX)}
        rows = [f"{folder}/{TEXT_FOLDER}" if folder else TEXT_FOLDER for folder in folders]
    return in_any_order(rows)


def is_left_out(path: str, read: Collection[str]) -> bool:
    """Whether a file looks like a shard and is none of the paths that are read."""
    folder, _, name = path.rpartition("/")
    if path in read:
        return False
    if (f"{folder}/{TEXT_FOLDER}" if folder else TEXT_FOLDER) in read:
        is_read = name.lower().endswith(TEXT_SUFFIX) and not _is_set_aside(path)
        return not is_read and looks_like_data(name)
    if ".text.zst" in name or name.split(".")[0].lower() in DESCRIBING:
        return False
    return looks_like_data(name)


def _single(file: Path, reading: Reading) -> ShardFile:
    path = TEXT_FOLDER if file.suffix.lower() == TEXT_SUFFIX else file.name
    _is_utf8(path)
    if format_of(path) is None:
        raise LayoutError(f"{file} is not of a format that is read; {how_to_read(path)}{_EXPECTED}")
    shard = ShardFile(split_of(path), path, file, reading)
    _check_libraries(file.parent, (shard,))
    return shard


def _file_of(root: Path, path: str) -> Path:
    return (root / path).parent if path.endswith(TEXT_FOLDER) else root / path


def _is_red_pajama(paths: Iterable[str]) -> bool:
    return len({path.split("/")[0] for path in paths if "/" in path} & _RED_PAJAMA) > 1


def _check_libraries(root: Path, shards: Iterable[ShardFile]) -> None:
    for shard in shards:
        content = format_of(shard.path)
        if (
            content is not None
            and content.content in {"parquet", "arrow"}
            and importlib.util.find_spec("pyarrow") is None
        ):
            raise LayoutError(
                f"{root / shard.path} is read with pyarrow, which is not installed: "
                "pip install 'assay-services[parquet]'"
            )


def _list(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(paths[:_NAMED]) + more
