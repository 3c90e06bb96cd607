"""Blocking work, such as loading a model, whose caller has left.

Such work cannot be stopped. The process ends without waiting for it.
"""

from __future__ import annotations

from collections.abc import Hashable

_running: set[Hashable] = set()


def add(work: Hashable) -> None:
    """Note work that goes on without anyone waiting."""
    _running.add(work)


def ended(work: Hashable) -> None:
    """Note that work has ended, whether or not it was left behind."""
    _running.discard(work)


def any_runs() -> bool:
    """Whether any such work is still running."""
    return bool(_running)
