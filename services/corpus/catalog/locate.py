"""Finds the files of a corpus: in a directory, below a URL, or named one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from services.corpus.shards.formats import READING, TEXT_SUFFIX, Reading, format_of
from services.corpus.shards.index.format import index_path, text_path
from services.corpus.shards.layout import (
    SUFFIX,
    LayoutError,
    ShardFile,
    find_layout,
    in_any_order,
    in_order,
    is_left_out,
)
from services.corpus.shards.names import is_split
from services.corpus.storage.files import StoredFile
from services.corpus.storage.objects import ObjectNotFound
from services.corpus.storage.remote import ObjectStore, RemoteFile
from services.corpus.storage.urls import is_url, join, names, shown, sibling

Location: TypeAlias = Path | str | tuple[str, ...]
"""A directory, the URL of a folder, or the URLs of objects."""

# Objects that are looked at together.
_AT_ONCE = 16


@dataclass(frozen=True)
class ShardFiles:
    """A shard, and its index and file of texts where it has them."""

    split: str
    path: str
    file: StoredFile
    index: StoredFile | None
    text: StoredFile | None
    reading: Reading = READING


@dataclass(frozen=True)
class Located:
    """Shards in streaming order, and the paths of data beside them that is not read."""

    shards: tuple[ShardFiles, ...]
    left_out: tuple[str, ...] = ()


def locate(
    location: Location,
    store: ObjectStore,
    reading: Reading = READING,
    *,
    every_file: bool = False,
) -> Located:
    """Find the shards at `location`, with what belongs to them.

    Raises LayoutError when there is none, and as Objects does.
    """
    if isinstance(location, Path):
        layout = find_layout(location, reading, every_file=every_file)
        shards = tuple(
            ShardFiles(
                *(shard.split, shard.path, shard.file),
                _beside(shard, index_path),
                _beside(shard, text_path),
                shard.reading,
            )
            for shard in layout.shards
        )
        return Located(shards, layout.left_out)
    urls = _listed(location, store) if isinstance(location, str) else _named(location)
    chosen = in_order(urls)
    if every_file or not chosen:
        chosen = remote_order(urls)
    read = {path for _, path in chosen}
    left_out = tuple(sorted(path for path in urls if is_left_out(path, read)))
    return Located(_look_up(urls, chosen, location, store, reading), left_out)


def _look_up(
    urls: dict[str, str],
    chosen: Sequence[tuple[str, str]],
    location: Location,
    store: ObjectStore,
    reading: Reading,
) -> tuple[ShardFiles, ...]:
    whole = isinstance(location, str)  # a listing is complete: a name that is not in it is absent
    with ThreadPoolExecutor(_AT_ONCE) as pool:

        def beside(path: str, name: str) -> RemoteFile | None:
            url = urls.get(name) or ("" if whole else sibling(urls[path], names(name)[-1]))
            return _look(url, store) if url else None

        found = []
        for split, path in chosen:
            parts = (index_path(path), text_path(path))
            looks = [pool.submit(beside, path, name) for name in (path, *parts)]
            found.append((split, path, looks))
        shards = []
        for split, path, looks in found:
            file, index, text = (look.result() for look in looks)
            if file is None:
                raise ObjectNotFound(urls[path])
            shards.append(ShardFiles(split, path, file, index, text, reading))
    return tuple(shards)


def _beside(shard: ShardFile, named: Callable[[str], str]) -> Path | None:
    if not shard.path.endswith(SUFFIX):
        return None
    file = shard.file.with_name(named(shard.file.name))
    return file if file.is_file() else None


def _look(url: str, store: ObjectStore) -> RemoteFile | None:
    try:
        return RemoteFile(url, store.objects.state(url), store)
    except ObjectNotFound:
        return None


def _listed(root: str, store: ObjectStore) -> dict[str, str]:
    """Map the paths of the files below a URL, as the store lists them, to their URLs."""
    found = {name: join(root, name) for name in store.objects.names(root)}
    for folder in sorted(found):
        # A listing over HTTP may not tell folders, and a store may have none without objects.
        for name in store.objects.names(join(root, folder)) if is_listed(folder) else ():
            found[f"{folder}/{name}"] = join(root, folder, name)
    if not remote_order(found):
        raise LayoutError(
            f"{shown(root)} lists no shard, nor do its folders data and of splits; a corpus has "
            f"train/NN{SUFFIX}, val{SUFFIX} or test{SUFFIX}, or other names that end in .jsonl or "
            ".json and .zst, .gz, .bz2 or .xz. A server that lists no folders needs the URL of "
            f"every shard{_disk_alone(found)}"
        )
    return found


def is_listed(folder: str) -> bool:
    """Whether a folder below a URL is looked into."""
    return is_split(folder) or folder == "data"


def remote_order(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Return (split, path) of those of `paths` that can be read from object storage, in order."""
    found = []
    for split, path in in_any_order(paths):
        content = format_of(path)
        # A JSON file that is not compressed may be a setting, and tables are read from disks alone.
        if content and not content.rows and (content.content == "lines" or content.compression):
            found.append((split, path))
    return found


def _disk_alone(paths: Iterable[str]) -> str:
    """Name files that would be read from a disk, as an end of a message."""
    named = [path for path in sorted(paths) if format_of(path) or path.endswith(TEXT_SUFFIX)]
    if not named:
        return ""
    return (
        f". {named[0]} is of a kind that is read from a local disk alone (parquet, Arrow, texts, "
        "and JSON that is not compressed): copy the corpus there"
    )


def _named(urls: Sequence[str]) -> dict[str, str]:
    """Map the paths that URLs of single objects end in to the URLs."""
    found: dict[str, str] = {}
    for url in urls:
        if not is_url(url):
            raise LayoutError(f"{url} is not a URL; a list names objects, not directories")
        parts = names(url)
        path = "/".join(parts[-2:] if len(parts) > 1 and is_split(parts[-2]) else parts[-1:])
        if path in found:
            raise LayoutError(f"{shown(url)} and {shown(found[path])} are both {path}")
        found[path] = url
    if not remote_order(found):
        raise LayoutError(
            f"none of the {len(urls)} URLs names a shard that can be read from a URL (*.jsonl, "
            f"*.json.gz and the like; .zst, .bz2, .xz){_disk_alone(found)}"
        )
    return found
