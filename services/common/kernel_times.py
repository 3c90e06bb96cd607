"""A file with the shortest time of the calibration kernel on a machine.

That time is the machine's full speed, so it must come from enough timings on more than one day:
`KernelReference.settled`. A file that cannot be read or written counts as empty: then no restart is
clean, but nothing else fails.
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
    """The timings of one machine, for one number of threads and this build of the kernel."""

    def __init__(self, folder: Path, machine: str, threads: int) -> None:
        """Keep the timings in `folder`, which is created when needed."""
        build = f"{KERNEL}-numpy-{np.__version__}"
        name = re.sub(r"[^\w.@-]+", "_", f"{machine}-{build}-{threads}")
        self._file = folder / f"kernel-{name}.json"

    def reference(self) -> KernelReference:
        """Return the reference so far; without timings it is not settled."""
        least, timings, days = self._read()
        return KernelReference(least, timings, len(days))

    def add(self, seconds: Sequence[float], day: str) -> KernelReference:
        """Add timings made on `day`, and return the reference with them."""
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
        """Replace the file atomically: another service may be reading it."""
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=self._file.parent, delete=False, encoding="utf-8"
            ) as file:
                json.dump(kept, file)
            Path(file.name).replace(self._file)
