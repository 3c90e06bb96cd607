"""Keeps the allocator from giving memory back that the next message needs again."""

from __future__ import annotations

import ctypes

# Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
# The limit of both in glibc is 32 MiB for the second; a message has at most a tenth of it.
_MMAP_BYTES = 32 << 20
_TRIM_BYTES = 64 << 20


def keep_freed_memory() -> None:
    """Let glibc hold up to 64 MiB of freed memory. Elsewhere nothing happens.

    A message's buffers are just over the size from which glibc asks the system for fresh pages
    each time and returns them after it; faulting those in took a third of the server's processor
    time on a stream of frames.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
