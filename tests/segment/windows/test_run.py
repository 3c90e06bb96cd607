"""One picture through its windows, and what happens where that fails."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image

from services.errors import DeadlineExceeded, InvalidArgument, Unavailable
from services.segment.batching.scheduler import Trace
from services.segment.batching.ticket import Admission
from services.segment.windows import strips
from services.segment.windows.options import Grid, Inference, Size, settled
from services.segment.windows.room import Room
from services.segment.windows.run import InWindows
from tests.segment.tiny_model import Tiny

TINY = Tiny(height=32, width=32, free_size=True)
MANIFEST = TINY.manifest()
SLIDE = settled(Inference("none", windows=Grid((32, 32), (32, 32))), MANIFEST)
TRACE = Trace(0.0, 0.0, 0.5, 0.0, 3)
MANY = 10**9
PICTURE = Image.new("RGB", (128, 64))


class Engine:
    """Computes windows, and notes how many were at it at once."""

    def __init__(self) -> None:
        self.computed = self.running = self.most = 0
        self.sizes: list[int] = []
        self.fail_at = MANY

    async def __call__(
        self, tensor: Callable[[], Any], admission: Admission, admitted: asyncio.Event
    ) -> tuple[Any, Trace]:
        del admitted
        self.running += 1
        self.most = max(self.most, self.running)
        self.sizes.append(admission.size)
        try:
            await asyncio.sleep(0)
            self.computed += 1
            if self.computed >= self.fail_at:
                raise Unavailable("the engine has failed for good")
            return TINY.logits(tensor()), TRACE
        finally:
            self.running -= 1


@pytest.fixture
async def pool() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as found:
        yield found


def runner(
    pool: ThreadPoolExecutor, engine: Engine, *, nbytes: int = 1 << 20, seconds: float = 0.0
) -> InWindows:
    def typical(_: Size | None) -> float:
        return seconds

    return InWindows(MANIFEST, engine, pool, nbytes, typical=typical, at_once=3)


async def labelled(windows: InWindows, how: Any = SLIDE, deadline: float = math.inf) -> Any:
    admission = Admission(1, deadline=deadline)
    size = (64, 128)
    return await windows.label(*(how, lambda: PICTURE, lambda *_: size, admission), max_pixels=MANY)


async def test_a_few_windows_are_under_way_at_once(pool: ThreadPoolExecutor) -> None:
    engine = Engine()
    mapped, trace = await labelled(runner(pool, engine))
    assert mapped.labels.shape == (64, 128)
    assert (engine.computed, engine.most) == (8, 3)
    assert (trace.compute, trace.batch_size) == (8 * 0.5, 3)
    # A window's pixels in float32, and its logits.
    assert set(engine.sizes) == {4 * (3 * 32 * 32 + 8 * 8 * 7)}


async def test_what_an_idle_engine_could_not_do_in_time_is_not_begun(
    pool: ThreadPoolExecutor,
) -> None:
    engine = Engine()
    now = asyncio.get_running_loop().time()
    with pytest.raises(DeadlineExceeded, match="8 inputs of the model take about 8e\\+03 s"):
        await labelled(runner(pool, engine, seconds=1000), deadline=now + 4000)
    assert engine.computed == 0
    await labelled(runner(pool, engine, seconds=1000), deadline=now + 9000)


async def test_a_window_that_fails_ends_the_picture_and_no_other(
    pool: ThreadPoolExecutor,
) -> None:
    engine = Engine()
    engine.fail_at = 4
    windows = runner(pool, engine)
    with pytest.raises(Unavailable):
        await labelled(windows)
    assert engine.running == 0
    assert engine.computed < 8
    engine.fail_at = MANY
    await labelled(windows)  # its room was given back


async def test_labels_are_made_in_short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others' pictures are decoded in the same threads, in between."""
    jobs = 0

    class Counting(ThreadPoolExecutor):
        def submit(self, *given: Any, **more: Any) -> Any:
            nonlocal jobs
            jobs += 1
            return super().submit(*given, **more)

    monkeypatch.setattr(strips, "_BLOCK_BYTES", 1)  # a row of the picture
    with Counting(1) as pool:
        mapped, _ = await labelled(runner(pool, Engine()))
    assert mapped.labels.shape == (64, 128)
    assert jobs >= 64


async def test_windows_that_no_room_holds_are_refused(pool: ThreadPoolExecutor) -> None:
    engine = Engine()
    with pytest.raises(InvalidArgument, match="give a larger stride"):
        await labelled(runner(pool, engine, nbytes=100))
    assert engine.computed == 0


async def test_room_is_given_in_order() -> None:
    room, order = Room(10), []

    async def use(name: str, nbytes: int, hold: asyncio.Event) -> None:
        async with room.hold(nbytes, math.inf):
            order.append(name)
            began[name].set()
            await hold.wait()

    began = {name: asyncio.Event() for name in "abcd"}
    gates = {name: asyncio.Event() for name in "abcd"}
    tasks = []
    for name, nbytes in (("a", 6), ("b", 6), ("c", 1), ("d", 4)):
        tasks.append(asyncio.create_task(use(name, nbytes, gates[name])))
    await began["a"].wait()
    await asyncio.sleep(0)
    assert order == ["a"]  # c and d would fit, and b was there first
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)
    await began["c"].wait()
    assert order == ["a", "c"]
    for gate in gates.values():
        gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["a", "c", "d"]
    async with room.hold(10, math.inf):
        pass


async def test_who_waits_for_room_until_too_late_is_told() -> None:
    room = Room(1)
    async with room.hold(1, math.inf):
        with pytest.raises(DeadlineExceeded, match="other pictures in windows"):
            async with room.hold(1, asyncio.get_running_loop().time()):
                pass
    async with room.hold(1, math.inf):
        pass
