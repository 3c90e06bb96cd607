"""MLPerf's server scenario: requests arrive at random, through the production scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.errors import Overloaded
from services.segment.batching.ticket import Admission
from services.segment.serving.pipeline import Pipeline


@dataclass(frozen=True)
class Answer:
    """Seconds from a request's arrival to its answer; None if it was refused.

    `at` is the time of the answer, in seconds since the load began.
    """

    seconds: float | None
    at: float


def arrivals(rate: float, count: int, seed: int) -> NDArray[np.float64]:
    """Return when each of `count` requests arrives: a Poisson process of `rate` a second."""
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count))


async def offer(
    pipeline: Pipeline, tensor: NDArray[np.float32], times: NDArray[np.float64]
) -> AsyncGenerator[Answer]:
    """Send a prepared (3, H, W) at each of the times; yield answers as they come.

    Requests do not wait for each other. Latency counts from the scheduled time, so a late sender
    does not make anything look faster.
    """
    loop = asyncio.get_running_loop()
    answers: asyncio.Queue[Answer] = asyncio.Queue()
    start = loop.time()

    async def send(time: float) -> None:
        await asyncio.sleep(start + time - loop.time())
        seconds: float | None = None
        try:
            await pipeline.infer(
                lambda: tensor, Admission(tensor.nbytes), labels=True, logits=False
            )
            seconds = loop.time() - start - time
        except Overloaded:
            pass  # a refusal is a result
        answers.put_nowait(Answer(seconds, loop.time() - start))

    async with asyncio.TaskGroup() as group:
        for time in times.tolist():
            group.create_task(send(time))
        for _ in times:
            yield await answers.get()
