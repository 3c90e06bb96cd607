"""The batcher under three times the load that its engine can bear, on simulated time."""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass

import pytest

from services.errors import AssayError
from services.segment.batcher import Batch, Batcher, Limits

SERVICE = 0.1  # seconds of a batch, whatever its size
DEADLINE = 4 * SERVICE
ITEMS = 6000


@dataclass
class Outcome:
    """Items by what became of them; `late` ones were computed after their deadline."""

    refused: int = 0
    expired: int = 0
    late: int = 0
    in_time: int = 0
    most_held: int = 0
    seconds: float = 0.0


def simulate(limits: Limits, load: float, *, spread: float) -> Outcome:
    """Offer `load` times the engine's capacity, at random times, each item with a deadline."""
    rng = random.Random(1)
    batcher, outcome = Batcher(limits), Outcome()
    order = itertools.count()
    events: list[tuple[float, int, Batch | None]] = []
    now = 0.0
    for _ in range(ITEMS):
        now += rng.expovariate(load * limits.max_batch / SERVICE)
        heapq.heappush(events, (now, next(order), None))
    while events:
        now, _, batch = heapq.heappop(events)
        if batch is not None:
            batcher.complete(batch, now)
            for ticket in batch.tickets:
                in_time = now <= ticket.deadline
                outcome.in_time += in_time
                outcome.late += not in_time
                batcher.close(ticket)
        else:
            offer(batcher, now, outcome)
        poll = batcher.poll(now)
        for ticket in poll.expired:
            outcome.expired += 1
            batcher.close(ticket)
        if poll.batch is not None:
            seconds = SERVICE * rng.uniform(1 - spread, 1 + spread)
            heapq.heappush(events, (now + seconds, next(order), poll.batch))
        outcome.most_held = max(outcome.most_held, len(batcher))
    assert len(batcher) == 0
    outcome.seconds = now
    return outcome


def offer(batcher: Batcher, now: float, outcome: Outcome) -> None:
    try:
        ticket = batcher.admit(now, now + DEADLINE, size=1)
    except AssayError:
        outcome.refused += 1
    else:
        batcher.ready(ticket, now)


@pytest.mark.parametrize("max_batch", [1, 8])
@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_goodput_stays_at_capacity_and_admitted_work_is_in_time(
    max_batch: int, spread: float
) -> None:
    limits = Limits(max_batch=max_batch, max_items=1000)
    outcome = simulate(limits, load=3, spread=spread)
    total = outcome.refused + outcome.expired + outcome.late + outcome.in_time
    assert total == ITEMS  # each answered once
    capacity = outcome.seconds * max_batch / SERVICE
    admitted = ITEMS - outcome.refused
    assert outcome.in_time >= 0.95 * capacity
    assert outcome.late <= 0.01 * admitted
    assert outcome.most_held <= 5 * max_batch  # what a deadline of four batches leaves room for


def test_below_capacity_hardly_anything_is_refused() -> None:
    outcome = simulate(Limits(max_batch=1), load=0.3, spread=0.2)
    assert outcome.in_time >= 0.99 * ITEMS
