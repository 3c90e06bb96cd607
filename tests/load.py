"""A real load: processes that keep processors busy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def steady_load(processes: int) -> Iterator[None]:
    """Keep so many processes busy meanwhile; they work when the block begins."""
    words = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    started = [subprocess.Popen(words, stdout=subprocess.PIPE) for _ in range(processes)]
    try:
        for one in started:
            assert one.stdout is not None
            one.stdout.readline()
        yield
    finally:
        for one in started:
            one.kill()
            one.communicate()
