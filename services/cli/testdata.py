"""Where the demo and the tests look for real weights, images and documents.

They are not part of the project, because their licences differ. `ASSAY_TEST_DATA` names the folder;
the default is the folder below. Run as a program this prints the folder, or nothing, for the
Makefile.
"""

from __future__ import annotations

import os
from pathlib import Path

_BESIDE_THE_PROJECT = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def data_dir() -> Path | None:
    """The folder with real data, or None if there is none."""
    named = os.environ.get("ASSAY_TEST_DATA")
    folder = Path(named) if named else _BESIDE_THE_PROJECT
    return folder.resolve() if folder.is_dir() else None


if __name__ == "__main__":
    found = data_dir()
    if found:
        print(found)
