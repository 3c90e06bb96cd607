from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.corpus.api.single_flight import SingleFlight


class Work:
    """Blocks until released, and counts how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.release = threading.Event()

    def __call__(self) -> None:
        self.begun += 1
        assert self.release.wait(30)


async def test_many_wait_for_one() -> None:
    with ThreadPoolExecutor(4) as executor:
        flight, work = SingleFlight(executor), Work()
        waiting = [asyncio.create_task(flight.run("a", work)) for _ in range(10)]
        other = Work()
        other.release.set()
        await flight.run("b", other)
        work.release.set()
        await asyncio.gather(*waiting)
        assert (work.begun, other.begun) == (1, 1)
        await flight.run("a", work)
        assert work.begun == 2


async def test_work_goes_on_when_the_first_to_ask_leaves() -> None:
    with ThreadPoolExecutor(4) as executor:
        flight, work = SingleFlight(executor), Work()
        first = asyncio.create_task(flight.run("a", work))
        second = asyncio.create_task(flight.run("a", work))
        await asyncio.wait([first], timeout=0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        work.release.set()
        await second
        assert work.begun == 1


async def test_a_failure_reaches_all_and_is_not_kept() -> None:
    def fail() -> None:
        raise ValueError("broken")

    with ThreadPoolExecutor(4) as executor:
        flight = SingleFlight(executor)
        for _ in range(2):
            with pytest.raises(ValueError, match="broken"):
                await flight.run("a", fail)
