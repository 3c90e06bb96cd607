"""Small files of object storage that are mapped into memory: copied once, and kept."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from services.corpus.storage.files import StoredFile, open_stream

_COPY_BYTES = 1 << 20


def local_copy(file: StoredFile, folder: Path) -> Path:
    """Return a local file with the content of `file`: itself where it is local.

    A copy is kept in `folder` by URL and version; copies of other versions are removed. It appears
    completely or not at all. Raises OSError when it cannot be written, and as RemoteFile does.
    """
    if isinstance(file, Path):
        return file
    kept = folder / _digest(file.url) / _digest(f"{file.state.version} {file.state.bytes}")
    if kept.is_file() and kept.stat().st_size == file.state.bytes:
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=kept.parent, prefix=".") as scratch:
        with open_stream(file, _COPY_BYTES) as source:
            shutil.copyfileobj(source, scratch, _COPY_BYTES)
        scratch.flush()
        # Linked, not moved, so that the scratch file is there to be removed.
        kept.unlink(missing_ok=True)
        kept.hardlink_to(scratch.name)
    for other in kept.parent.iterdir():
        if other.name != kept.name and not other.name.startswith("."):
            other.unlink(missing_ok=True)
    return kept


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
