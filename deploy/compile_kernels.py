"""Compiles segment's kernels into NUMBA_CACHE_DIR, by starting the service once.

Run in the image's build (`segment.sh compile`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

_READY_SECONDS = 600.0


def whole_seconds() -> None:
    """Round the sources' times to whole seconds, because layers of images keep only these.

    numba ignores a kernel if its source's time has changed since it was compiled.
    """
    found = find_spec("services")
    for folder in found.submodule_search_locations or () if found else ():
        for file in Path(folder).rglob("*.py"):
            seconds = int(file.stat().st_mtime)
            os.utime(file, (seconds, seconds))


def compile_kernels() -> None:
    """Start the service and stop it once it serves. Raises SystemExit if it does not serve."""
    with tempfile.TemporaryDirectory() as home:
        ready = Path(home, "ready")
        own = {"HOST": "127.0.0.1", "PORT": "0", "HEALTH_PORT": "0", "METRICS_PORT": "0"}
        settings = {f"ASSAY_SEGMENT_{name}": value for name, value in own.items()}
        settings |= {"ASSAY_SEGMENT_READY_FILE": str(ready), "ASSAY_HOME": home}
        process = subprocess.Popen(
            [sys.executable, "-m", "services.segment"], env=os.environ | settings
        )
        end = time.monotonic() + _READY_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                raise SystemExit("segment did not start, so its kernels were not compiled")
            time.sleep(0.2)
        process.terminate()
        if status := process.wait():
            raise SystemExit(f"segment ended with status {status}")


whole_seconds()
compile_kernels()
