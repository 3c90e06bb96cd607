"""Inspects an image: run in it, by its own interpreter and user.

    python -c "$(cat inside.py)"

Prints a line of JSON: the user, the paths that the user may write, files that run as their owner,
programs that build, install or interpret others, the number of packages in the image's list, and,
if OpenVINO is installed, its result of a small computation and its devices.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_TOOLS = ("pip", "gcc", "cc", "make", "git", "curl", "wget", "apt", "apt-get", "perl")
# Filled by the system while the container runs.
_NOT_OF_THE_IMAGE = {"/proc", "/sys", "/dev", "/run"}


def files() -> Iterator[tuple[Path, os.stat_result]]:
    """Yield every folder and file of the image that is not a link, with its status."""
    for place, folders, names in os.walk("/"):
        folder = Path(place)
        folders[:] = [one for one in folders if str(folder / one) not in _NOT_OF_THE_IMAGE]
        for path in (folder, *(folder / name for name in names)):
            with suppress(OSError):
                status = path.lstat()
                if not stat.S_ISLNK(status.st_mode):
                    yield path, status


def engine() -> dict[str, Any] | None:
    """Double two numbers with OpenVINO; None where it is not installed."""
    if find_spec("openvino") is None:
        return None
    import numpy  # noqa: PLC0415  of some images
    import openvino  # noqa: PLC0415
    from openvino import opset13  # noqa: PLC0415

    given = opset13.parameter([2], numpy.float32)
    model = openvino.Model([opset13.add(given, given)], [given])
    core = openvino.Core()
    (answer,) = core.compile_model(model, "CPU")([numpy.ones(2, numpy.float32)]).values()
    return {"answer": answer.tolist(), "devices": core.available_devices}


def main() -> None:
    """Inspect the image and print the findings."""
    writable: set[Path] = set()
    as_owner = []
    for path, status in files():
        if os.access(path, os.W_OK):
            writable.add(path)
        if stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_ISUID | stat.S_ISGID):
            as_owner.append(str(path))
    # The content of a writable folder is not listed.
    tops = sorted(str(path) for path in writable if path.parent not in writable)
    bill = json.loads(Path(sys.prefix, "share/assay/sbom.cdx.json").read_text("utf-8"))
    print(
        json.dumps(
            {
                "user": os.getuid(),
                "writable": tops,
                "as_owner": as_owner,
                "tools": [tool for tool in _TOOLS if shutil.which(tool)],
                "packages": len(bill["components"]),
                "engine": engine(),
            }
        )
    )


main()
