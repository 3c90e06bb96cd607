"""Where the real weights, images and documents lie that the demo and the tests use if they can.

They are no part of the project (their licences differ). `ASSAY_TEST_DATA` names the folder; without
it, the folder below is tried. Prints the folder, or nothing: the Makefile asks.
"""

from __future__ import annotations

import os
from pathlib import Path

_BESIDE_THE_PROJECT = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def data_dir() -> Path | None:
    """The folder with real data, or None where there is none."""
    named = os.environ.get("ASSAY_TEST_DATA")
    folder = Path(named) if named else _BESIDE_THE_PROJECT
    return folder.resolve() if folder.is_dir() else None


if __name__ == "__main__":
    found = data_dir()
    if found:
        print(found)
