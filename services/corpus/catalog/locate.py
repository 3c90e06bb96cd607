"""Finds the files of a corpus: in a directory, below a URL, or named one by one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from services.corpus.shards.index.format import index_path, text_path
from services.corpus.shards.layout import SPLITS, SUFFIX, LayoutError, find_shards, in_order
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


def locate(location: Location, store: ObjectStore) -> tuple[ShardFiles, ...]:
    """Find the shards at `location`, in streaming order, with what belongs to them.

    Raises LayoutError when there is none, and as Objects does.
    """
    if isinstance(location, Path):
        return tuple(
            ShardFiles(
                *(shard.split, shard.path, shard.file),
                _existing(shard.file.with_name(index_path(shard.file.name))),
                _existing(shard.file.with_name(text_path(shard.file.name))),
            )
            for shard in find_shards(location)
        )
    urls = _listed(location, store) if isinstance(location, str) else _named(location)
    whole = isinstance(location, str)  # a listing is complete: a name that is not in it is absent
    with ThreadPoolExecutor(_AT_ONCE) as pool:

        def beside(path: str, name: str) -> RemoteFile | None:
            url = urls.get(name) or ("" if whole else sibling(urls[path], names(name)[-1]))
            return _look(url, store) if url else None

        found = []
        for split, path in in_order(urls):
            parts = (index_path(path), text_path(path))
            looks = [pool.submit(beside, path, name) for name in (path, *parts)]
            found.append((split, path, looks))
        shards = []
        for split, path, looks in found:
            file, index, text = (look.result() for look in looks)
            if file is None:
                raise ObjectNotFound(urls[path])
            shards.append(ShardFiles(split, path, file, index, text))
    return tuple(shards)


def _existing(file: Path) -> Path | None:
    return file if file.is_file() else None


def _look(url: str, store: ObjectStore) -> RemoteFile | None:
    try:
        return RemoteFile(url, store.objects.state(url), store)
    except ObjectNotFound:
        return None


def _listed(root: str, store: ObjectStore) -> dict[str, str]:
    """Map the paths of the files below a URL, as the store lists them, to their URLs."""
    found = {name: join(root, name) for name in store.objects.names(root)}
    for split in SPLITS:
        # A listing over HTTP may not tell folders, and a store may have none without objects.
        for name in store.objects.names(join(root, split)) if split in found else ():
            found[f"{split}/{name}"] = join(root, split, name)
    if not in_order(found):
        raise LayoutError(
            f"{shown(root)} lists no shard; a corpus has train/NN{SUFFIX}, val{SUFFIX} or "
            f"test{SUFFIX}. A server that lists no folders needs the URL of every shard"
        )
    return found


def _named(urls: Sequence[str]) -> dict[str, str]:
    """Map the paths that URLs of single objects end in to the URLs."""
    found: dict[str, str] = {}
    for url in urls:
        if not is_url(url):
            raise LayoutError(f"{url} is not a URL; a list names objects, not directories")
        parts = names(url)
        path = "/".join(parts[-2:] if len(parts) > 1 and parts[-2] in SPLITS else parts[-1:])
        if path in found:
            raise LayoutError(f"{shown(url)} and {shown(found[path])} are both {path}")
        if path.endswith(SUFFIX) and not in_order([path]):
            raise LayoutError(
                f"{shown(url)} does not say which split it is of; it ends in train/NN{SUFFIX}, "
                f"val{SUFFIX} or test{SUFFIX}"
            )
        found[path] = url
    if not in_order(found):
        raise LayoutError(f"none of the {len(urls)} URLs is that of a shard (*{SUFFIX})")
    return found
