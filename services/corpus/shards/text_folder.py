"""A shard that is a folder of text files, each a document; or a single text file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from services.corpus.shards.formats import TEXT_SUFFIX
from services.corpus.shards.names import natural

_READ_BYTES = 1 << 20


def text_files(folder: Path) -> list[Path]:
    """List the text files of a folder, by name, 2 before 10."""
    if folder.is_file():
        return [folder]
    found = [
        file
        for file in folder.iterdir()
        if file.suffix.lower() == TEXT_SUFFIX and not file.name.startswith((".", "_"))
    ]
    return sorted((file for file in found if file.is_file()), key=lambda file: natural(file.name))


def folder_state(folder: Path) -> tuple[int, str]:
    """Look how large the files are together, and which version of them that is."""
    size, versions = 0, hashlib.sha256()
    for file in text_files(folder):
        status = file.stat()
        size += status.st_size
        versions.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return size, versions.hexdigest()


def folder_content(folder: Path) -> Iterator[bytes]:
    """Yield what a digest of a folder is over: of each file its name, its size and its content."""
    for file in text_files(folder):
        yield f"{file.name}\x00{file.stat().st_size}\n".encode("utf-8", "surrogateescape")
        with file.open("rb") as opened:
            while data := opened.read(_READ_BYTES):
                yield data
