"""Blocking work whose caller has left, such as loading a model.

It cannot be stopped. The process ends without waiting for it.
"""

from __future__ import annotations

from collections.abc import Hashable

_running: set[Hashable] = set()


def add(work: Hashable) -> None:
    """Note that work goes on and is not waited for."""
    _running.add(work)


def ended(work: Hashable) -> None:
    """Note that work has ended, left behind or not."""
    _running.discard(work)


def any_runs() -> bool:
    """Whether any is still running."""
    return bool(_running)
