"""Iterating in a thread, ahead of who takes the items."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from assay_rpc.corpus._ahead import Ahead


def test_items_come_in_their_order_and_end() -> None:
    with closing(Ahead(iter(range(100)), 2, lambda: None)) as items:
        assert list(items) == list(range(100))
        assert list(items) == []


def test_an_error_comes_after_what_precedes_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    with closing(Ahead(source(), 2, lambda: None)) as items:
        assert next(items) == 1
        for _ in range(2):
            with pytest.raises(OSError, match="gone"):
                next(items)


def test_it_runs_no_further_ahead_than_it_may() -> None:
    made, third = [], threading.Event()

    def source() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            if number == 3:
                third.set()
            yield number

    with closing(Ahead(source(), 2, lambda: None)) as items:
        assert next(items) == 0
        assert third.wait(10)
        assert made[-1] == 3  # two are ready, one waits for room


def test_closing_interrupts_a_source_that_waits() -> None:
    interrupted = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        interrupted.wait()

    items = Ahead(source(), 2, interrupted.set)
    assert next(items) == 1
    items.close()
    assert not any(one.name == "assay-corpus-ahead" for one in threading.enumerate())
