"""The least time of the calibration kernel that a machine has shown, kept in a file.

It is what the machine can do when nothing slows it down, so it must come from enough timings, on
more than one day: `KernelReference.settled`. A file that cannot be read or written is one without
timings; nothing is clean then, and nothing else fails.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from services.common.calibration import KERNEL
from services.common.statistics.speed.restarts import LEAST_DAYS, KernelReference


class KernelTimes:
    """What is kept of one machine, with as many threads and with this build of the kernel."""

    def __init__(self, folder: Path, machine: str, threads: int) -> None:
        """Keep it in `folder`, which is made when it is needed."""
        build = f"{KERNEL}-numpy-{np.__version__}"
        name = re.sub(r"[^\w.@-]+", "_", f"{machine}-{build}-{threads}")
        self._file = folder / f"kernel-{name}.json"

    def reference(self) -> KernelReference:
        """Return what is known; one without timings is not settled."""
        least, timings, days = self._read()
        return KernelReference(least, timings, len(days))

    def add(self, seconds: Sequence[float], day: str) -> KernelReference:
        """Keep timings that were made on `day`, and return what is known with them."""
        least, timings, days = self._read()
        least = min([least, *seconds])
        timings += len(seconds)
        days = sorted({*days, day})[-LEAST_DAYS:]
        self._write({"seconds": least, "timings": timings, "days": days})
        return KernelReference(least, timings, len(days))

    def _read(self) -> tuple[float, int, list[str]]:
        try:
            kept = json.loads(self._file.read_text("utf-8"))
            least, timings = float(kept["seconds"]), int(kept["timings"])
            days = [str(day) for day in kept["days"]]
        except (OSError, ValueError, TypeError, KeyError):
            return math.inf, 0, []
        return (least, timings, days) if least > 0 else (math.inf, 0, [])

    def _write(self, kept: dict[str, object]) -> None:
        """Put a whole file in the place of the one before: another service may read it."""
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=self._file.parent, delete=False, encoding="utf-8"
            ) as file:
                json.dump(kept, file)
            Path(file.name).replace(self._file)
