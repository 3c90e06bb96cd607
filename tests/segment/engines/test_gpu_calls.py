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


def test_what_frees_memory_waits_for_a_capture_and_for_nothing_else(
    pool: ThreadPoolExecutor,
) -> None:
    calls, freed = Calls(), list[str]()
    calls.release(lambda: freed.append("beside nothing"))
    with calls.shared():
        calls.release(lambda: freed.append("within a call"))
        pool.submit(calls.release, lambda: freed.append("beside a call")).result(SECONDS)
    assert freed == ["beside nothing", "within a call", "beside a call"]
    freed.clear()
    with calls.alone():
        calls.release(lambda: freed.append("by the capturing thread"))
        pool.submit(calls.release, lambda: freed.append("by another")).result(SECONDS)
        assert not freed
    assert freed == ["by the capturing thread", "by another"]
    with calls.alone():  # nothing was left behind
        pass
    assert len(freed) == 2


def test_a_capture_waits_for_what_frees_memory(pool: ThreadPoolExecutor) -> None:
    calls, inside, leave = Calls(), threading.Event(), threading.Event()
    order = list[str]()

    def free() -> None:
        inside.set()
        assert leave.wait(SECONDS)
        order.append("freed")

    def capture() -> None:
        with calls.alone():
            order.append("captured")

    freeing = pool.submit(calls.release, free)
    assert inside.wait(SECONDS)
    capturing = pool.submit(capture)
    while not calls._waiting:
        pass  # until it has come
    leave.set()
    for each in (freeing, capturing):
        each.result(SECONDS)
    assert order == ["freed", "captured"]
