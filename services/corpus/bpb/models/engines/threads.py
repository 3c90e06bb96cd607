"""How many threads a model is run on."""

from __future__ import annotations

import os

_LARGE = 30_000_000  # parameters


def threads_for(parameters: int) -> int:
    """Return 1 for a small model, else every processor (or OMP_NUM_THREADS).

    One thread is as fast for a small model and leaves the other processors to other calls.
    """
    if parameters < _LARGE:
        return 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else len(os.sched_getaffinity(0))
