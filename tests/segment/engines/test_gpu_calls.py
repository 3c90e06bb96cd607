"""Calls of CUDA beside each other, and captures alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.segment.engines.gpu_calls import Calls

SECONDS = 30


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def test_calls_are_beside_each_other_and_within_each_other(pool: ThreadPoolExecutor) -> None:
    calls, together = Calls(), threading.Barrier(4)

    def call() -> None:
        with calls.shared(), calls.shared():
            together.wait(SECONDS)  # breaks unless all four are inside

    for each in [pool.submit(call) for _ in range(4)]:
        each.result(SECONDS)


def test_a_capture_waits_for_calls_and_later_ones_wait_for_it(pool: ThreadPoolExecutor) -> None:
    calls = Calls()
    inside, leave, order = threading.Event(), threading.Event(), list[str]()

    def first() -> None:
        with calls.shared():
            inside.set()
            assert leave.wait(SECONDS)
            order.append("first")

    def capture() -> None:
        with calls.alone(), calls.shared():  # what a capture calls itself goes on
            order.append("capture")

    def later() -> None:
        with calls.shared():
            order.append("later")

    begun = pool.submit(first)
    assert inside.wait(SECONDS)
    captured = pool.submit(capture)
    while not calls._waiting:
        pass  # until it has come
    last = pool.submit(later)
    leave.set()
    for each in (begun, captured, last):
        each.result(SECONDS)
    assert order == ["first", "capture", "later"]


def test_what_fails_gives_its_place_back() -> None:
    calls = Calls()
    for way in (calls.shared, calls.alone, calls.shared, calls.alone):
        with pytest.raises(KeyError), way():
            raise KeyError
