"""The batcher under three times the load that its engine can bear, on simulated time."""

from __future__ import annotations

import heapq
import itertools
import math
import random
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from services.errors import AssayError
from services.segment.batching.batcher import Batcher
from services.segment.batching.fair_queue import FairQueue
from services.segment.batching.ticket import Admission, Batch, Limits, Priority, Ticket
from tests.segment.batching.plain import AdmitAll, FirstComeQueue

SERVICE = 0.1  # seconds of a batch, whatever its size
DEADLINE = 4 * SERVICE
ITEMS = 6000


@dataclass(frozen=True)
class Source:
    """Someone who sends `load` times what the engine can bear, at random times."""

    load: float
    client: str = ""
    priority: Priority = Priority.NORMAL
    bucket: str = "one"
    prepare: float = 0.0  # seconds that a thread needs for an item
    patience: float = DEADLINE  # seconds until an item's deadline
    cost: float = 1.0  # batches of its bucket take so many times as long


@dataclass
class Outcome:
    """Items by what became of them; `late` ones were computed after their deadline."""

    refused: int = 0
    expired: int = 0
    late: int = 0
    in_time: int = 0
    most_held: int = 0
    seconds: float = 0.0
    served: Counter[Source] = field(default_factory=Counter)
    # Seconds from the queue to the answer, of the item that took longest.
    longest: dict[Source, float] = field(default_factory=dict)

    @property
    def admitted(self) -> int:
        return self.expired + self.late + self.in_time


class Simulation:
    """Events in the order of their times: an item comes, a thread or the engine is done."""

    def __init__(
        self,
        limits: Limits,
        sources: Sequence[Source],
        *,
        spread: float = 0.0,
        bad: tuple[float, float] = (0.0, 1.0),
        seed: int = 1,
        batcher: Batcher | None = None,
    ) -> None:
        """Batches vary by `spread`; `bad` is how often one takes far longer, and how many times."""
        self.rng = random.Random(seed)
        self.limits, self.spread, self.bad = limits, spread, bad
        self.batcher = Batcher(limits) if batcher is None else batcher
        self.outcome = Outcome()
        self.sources: dict[Ticket, Source] = {}
        self.now = 0.0
        self.order = itertools.count()
        self.events: list[tuple[float, int, Source | Ticket | Batch]] = []
        rates = [
            source.load * limits.max_batch_size / (SERVICE * source.cost) for source in sources
        ]
        for source in self.rng.choices(sources, rates, k=ITEMS):
            self.now += self.rng.expovariate(sum(rates))
            self.after(0, source)

    def after(self, seconds: float, event: Source | Ticket | Batch) -> None:
        heapq.heappush(self.events, (self.now + seconds, next(self.order), event))

    def run(self) -> Outcome:
        batcher, outcome = self.batcher, self.outcome
        while self.events:
            self.now, _, event = heapq.heappop(self.events)
            if isinstance(event, Source):
                self.offer(event)
            elif isinstance(event, Ticket):
                batcher.ready(event, self.now)
            else:
                self.finish(event)
            poll = batcher.poll(self.now)
            for ticket in poll.expired:
                outcome.expired += 1
                batcher.close(ticket)
            for ticket in poll.prepare:
                self.after(self.sources[ticket].prepare, ticket)
            if poll.batch is not None:
                seconds = SERVICE * self.sources[poll.batch.tickets[0]].cost
                seconds *= self.rng.uniform(1 - self.spread, 1 + self.spread)
                often, factor = self.bad
                self.after(seconds * (factor if self.rng.random() < often else 1), poll.batch)
            outcome.most_held = max(outcome.most_held, len(batcher))
        assert len(batcher) == 0
        assert outcome.refused + outcome.admitted == ITEMS  # each answered once
        outcome.seconds = self.now
        return outcome

    def offer(self, source: Source) -> None:
        try:
            ticket = self.batcher.admit(
                self.now,
                Admission(
                    1,
                    self.now + source.patience,
                    source.priority,
                    source.client,
                    source.bucket,
                ),
                source.prepare,
            )
        except AssayError:
            self.outcome.refused += 1
        else:
            self.sources[ticket] = source

    def finish(self, batch: Batch) -> None:
        self.batcher.complete(batch, self.now)
        for ticket in batch.tickets:
            in_time = self.now <= ticket.admission.deadline
            self.outcome.in_time += in_time
            self.outcome.late += not in_time
            source = self.sources[ticket]
            self.outcome.served[source] += in_time
            took = self.now - ticket.queued_at
            self.outcome.longest[source] = max(took, self.outcome.longest.get(source, 0.0))
            self.batcher.close(ticket)


MIXES = {
    "one client": [Source(3)],
    "ten clients": [Source(0.3, f"client {i}") for i in range(10)],
    "one floods": [Source(2.7, "flood"), *(Source(0.1, f"client {i}") for i in range(3))],
    "priorities": [Source(1, priority.name, priority) for priority in Priority],
    "mostly low": [
        Source(0.2, "someone", Priority.HIGH),
        Source(0.4, "others", Priority.NORMAL),
        Source(2.4, "bulk", Priority.LOW),
    ],
    "clients and priorities": [
        Source(0.25, f"client {i}", priority) for i in range(4) for priority in Priority
    ],
}


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("max_batch", [1, 8])
@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_goodput_stays_at_capacity_and_admitted_work_is_in_time(
    mix: str, max_batch: int, spread: float
) -> None:
    limits = Limits(max_batch_size=max_batch, max_items=1000)
    outcome = Simulation(limits, MIXES[mix], spread=spread).run()
    capacity = outcome.seconds * max_batch / SERVICE
    assert outcome.in_time >= 0.95 * capacity
    assert outcome.late + outcome.expired <= 0.01 * outcome.admitted
    assert outcome.most_held <= 6 * max_batch  # a deadline of four batches leaves no room for more


@pytest.mark.slow
def test_bad_moments_do_not_make_large_batches_too_dear_for_ever() -> None:
    """What is let in decides how large batches get, and so which sizes are observed again."""
    limits = Limits(max_batch_size=8, max_items=1000)
    often, factor = bad = 0.05, 3.0
    capacity = limits.max_batch_size / (SERVICE * (1 + often * (factor - 1)))
    rates = []
    for seed in range(1, 6):
        outcome = Simulation(limits, MIXES["priorities"], spread=0.15, bad=bad, seed=seed).run()
        rates.append(outcome.in_time / outcome.seconds)
    assert statistics.mean(rates) >= 0.85 * capacity


@pytest.mark.slow
def test_below_capacity_hardly_anything_is_refused() -> None:
    outcome = Simulation(Limits(max_batch_size=1), [Source(0.3)], spread=0.2).run()
    assert outcome.in_time >= 0.99 * ITEMS


@pytest.mark.slow
@pytest.mark.parametrize("max_batch", [1, 8])
def test_higher_priorities_get_more(max_batch: int) -> None:
    outcome = Simulation(
        Limits(max_batch_size=max_batch, max_items=1000), MIXES["priorities"]
    ).run()
    high, normal, low = (outcome.served[source] for source in MIXES["priorities"])
    assert high > 1.3 * normal > 1.3**2 * low > 0


def test_a_client_that_floods_takes_nothing_from_the_others() -> None:
    flood = Source(2.7, "flood")
    modest = [Source(0.1, f"client {i}") for i in range(3)]
    limits = Limits(max_batch_size=8, max_items=1000)
    outcome = Simulation(limits, [flood, *modest]).run()
    offered = ITEMS * 0.1 / 3
    assert all(outcome.served[source] >= 0.7 * offered for source in modest)
    assert outcome.served[flood] < 0.5 * ITEMS * 2.7 / 3


def test_a_slow_pool_refuses_as_a_slow_engine_does() -> None:
    """Two threads that take half a batch's time for an item bear a quarter of this load."""
    source = Source(1, prepare=SERVICE / 2)
    outcome = Simulation(Limits(max_batch_size=16, max_items=1000, workers=2), [source]).run()
    capacity = outcome.seconds * 2 / source.prepare
    assert outcome.in_time >= 0.95 * capacity
    assert outcome.late + outcome.expired <= 0.01 * outcome.admitted


@pytest.mark.parametrize("max_batch", [1, 8])
def test_bulk_work_without_a_deadline_does_not_starve(max_batch: int) -> None:
    """Others could promise all of the time away, and leave a batch in every twenty or so."""
    urgent = [Source(0.3, f"client {i}", Priority.HIGH) for i in range(10)]
    bulk = Source(0.02 / max_batch, "bulk", Priority.LOW, patience=math.inf)
    limits = Limits(max_batch_size=max_batch, max_items=1000)
    outcome = Simulation(limits, [*urgent, bulk]).run()
    assert outcome.longest[bulk] <= 100 * SERVICE
    assert outcome.late + outcome.expired <= 0.01 * outcome.admitted


@pytest.mark.slow
@pytest.mark.parametrize("max_batch", [1, 8])
def test_without_learned_admission_most_work_is_late(max_batch: int) -> None:
    """What is taken and then dropped was prepared in vain, and its caller has waited in vain."""
    limits = Limits(max_batch_size=max_batch, max_items=1000)
    plain = Batcher(limits, AdmitAll())
    outcome = Simulation(limits, MIXES["ten clients"], spread=0.2, batcher=plain).run()
    assert outcome.late + outcome.expired >= 0.5 * outcome.admitted
    learned = Simulation(limits, MIXES["ten clients"], spread=0.2).run()
    assert learned.late + learned.expired <= 0.01 * learned.admitted


def test_without_turns_a_client_that_floods_takes_what_it_sends() -> None:
    flood, modest = Source(2.7, "flood"), Source(0.3, "modest")
    limits = Limits(max_batch_size=8, max_items=1000)
    shares = []
    for queue in (FirstComeQueue, FairQueue):
        batcher = Batcher(limits, AdmitAll(), queue)
        outcome = Simulation(limits, [flood, modest], batcher=batcher).run()
        shares.append(outcome.served[modest] / (ITEMS * 0.3 / 3))
    first_come, fair = shares
    assert first_come < 0.5
    assert fair > 0.9


def beside_large_pictures(batcher: Batcher, patience: float) -> tuple[float, Outcome]:
    """Someone sends twice as many large pictures as the engine can bear, and someone small ones.

    The small ones are worth 0.3 of the engine's time. Returns the share of them that was answered
    in time too.
    """
    limits = batcher.limits
    # What a batch of the model's own size costs is measured when a model is loaded.
    for size in {1, limits.max_batch_size}:
        batcher.cost.observe(size, SERVICE)
    large = Source(2.0, "large", bucket="large", cost=8.0, patience=patience)
    small = Source(0.3, "small", patience=patience)
    outcome = Simulation(limits, [large, small], batcher=batcher).run()
    offered = small.load * limits.max_batch_size / SERVICE * outcome.seconds
    return outcome.served[small] / offered, outcome


@pytest.mark.slow
def test_a_client_beside_large_pictures_gets_its_share_of_the_time() -> None:
    """Turns that count pictures give it one of its own for each large one: a ninth of the time."""
    limits = Limits(max_items=64)
    by_pictures = Batcher(limits, AdmitAll(), lambda priorities, _: FairQueue(priorities))
    by_cost = Batcher(limits, AdmitAll())
    shares, waits = [], []
    for batcher in (by_pictures, by_cost):
        share, outcome = beside_large_pictures(batcher, math.inf)
        shares.append(share)
        waits.append(max(took for one, took in outcome.longest.items() if one.client == "small"))
    assert shares[0] < 0.5
    assert shares[1] > 0.9
    assert waits[0] > 200 * SERVICE
    assert waits[1] <= 25 * SERVICE  # three large ones


@pytest.mark.slow
@pytest.mark.parametrize("max_batch", [1, 8])
def test_large_pictures_make_nothing_late(max_batch: int) -> None:
    limits = Limits(max_batch_size=max_batch, max_items=1000)
    share, outcome = beside_large_pictures(Batcher(limits), 20 * DEADLINE)
    assert outcome.late + outcome.expired <= 0.01 * outcome.admitted
    assert share > (0.8 if max_batch == 1 else 0.3)
