"""Writes files that an option names, with the file's name in every error."""

from __future__ import annotations

import os
from pathlib import Path


def write_result(path: Path, content: str | bytes) -> None:
    """Write bytes, or text as UTF-8, to a file, a device or a pipe.

    Raises OSError with the file's name, even if the system gives none: a full disk is reported when
    data is written, not when the file is opened.
    """
    try:
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise
