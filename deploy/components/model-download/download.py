"""Download archives of models, and unpack each one only if its digest is the stated one.

    python download.py MODELS.json FOLDER

An archive that was downloaded before is skipped. Exits with 1 and a message if an archive cannot be
downloaded or unpacked; no part of it remains.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path
from typing import IO

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 60


def main(listed: Path, folder: Path) -> None:
    """Download the archives of a list. Raises ValueError or OSError with the reason."""
    models = json.loads(listed.read_text("utf-8"))
    if not models:
        raise ValueError(f"{listed} names no model: give a list of url and sha256")
    for model in models:
        fetch(model["url"], model["sha256"].lower().removeprefix("sha256:"), folder)


def fetch(url: str, sha256: str, folder: Path) -> None:
    """Download and unpack one archive."""
    done = folder / f".{sha256}"
    if done.exists():
        return
    if not url.startswith("https://") and not url.startswith("http://127.0.0.1:"):
        raise ValueError(f"{url}: only https:// is downloaded from")
    with (
        tempfile.TemporaryFile(dir=folder) as archive,
        urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as reply,  # noqa: S310  checked above
    ):
        found = _copy(reply, archive)
        if found != sha256:
            raise ValueError(f"{url} has the digest {found}, and {sha256} is stated: not unpacked")
        archive.seek(0)
        with (
            tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as place,
            tarfile.open(fileobj=archive) as files,
        ):
            # Refuses files outside the folder and devices, and ignores owners.
            files.extractall(place, filter="data")
            for one in sorted(Path(place).iterdir()):
                one.rename(folder / one.name)
    done.touch()
    print(f"{url}: unpacked, sha256 {sha256}")


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy everything; return its SHA-256."""
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except (OSError, ValueError, KeyError, tarfile.TarError) as error:
        print(f"models cannot be downloaded: {error}", file=sys.stderr)
        sys.exit(1)
