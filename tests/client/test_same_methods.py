"""Blocking clients and those for asyncio have the same methods, with the same parameters."""

from __future__ import annotations

import inspect
from typing import Any

import assay_rpc.client
import pytest

PAIRS = [
    (getattr(assay_rpc.client, name.removeprefix("Async")), getattr(assay_rpc.client, name))
    for name in assay_rpc.client.__all__
    if name.startswith("Async")
]


def methods(kind: type) -> dict[str, list[tuple[Any, ...]]]:
    """Public methods and properties, and what each takes: name, kind and default."""
    found = {}
    for name in dir(kind):
        if not name.startswith("_"):
            value = inspect.getattr_static(kind, name)
            of: Any = value.fget if isinstance(value, property) else value
            taken = list(inspect.signature(of).parameters.values())
            found[name] = [(one.name, one.kind, one.default) for one in taken]
    return found


@pytest.mark.parametrize(("blocking", "later"), PAIRS, ids=lambda kind: kind.__name__)
def test_they_are_the_same(blocking: type, later: type) -> None:
    assert methods(blocking) == methods(later)
    assert (
        inspect.signature(blocking).parameters.keys() == inspect.signature(later).parameters.keys()
    )


def test_there_are_pairs() -> None:
    assert len(PAIRS) == 5
