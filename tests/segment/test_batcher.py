"""The batcher on simulated time: no clock, no sleep, no thread."""

from __future__ import annotations

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.errors import DeadlineExceeded, Overloaded, TooLarge
from services.segment.batcher import Batch, Batcher, Limits, State, Ticket

NEVER = math.inf


def queued(batcher: Batcher, now: float, deadline: float = NEVER, size: int = 1) -> Ticket:
    ticket = batcher.admit(now, deadline, size)
    batcher.ready(ticket, now)
    return ticket


def start(batcher: Batcher, now: float) -> Batch:
    batch = batcher.poll(now).batch
    assert batch is not None
    return batch


def taught(limits: Limits, seconds: float = 1.0) -> Batcher:
    """A batcher that knows what a batch costs."""
    batcher = Batcher(limits)
    for size in range(1, limits.max_batch + 1):
        batcher.cost.observe(size, seconds)
    return batcher


def test_an_idle_engine_takes_what_is_there() -> None:
    batcher = Batcher(Limits(max_batch=4))
    tickets = [queued(batcher, 0.0) for _ in range(3)]
    assert start(batcher, 0.0).tickets == tuple(tickets)


def test_a_batch_is_full_at_its_limit_and_keeps_the_order() -> None:
    batcher = Batcher(Limits(max_batch=2))
    tickets = [queued(batcher, 0.0) for _ in range(5)]
    seen: list[Ticket] = []
    for _ in range(3):
        batch = start(batcher, 0.0)
        assert batcher.poll(0.0).batch is None  # the engine is busy
        seen += batch.tickets
        batcher.complete(batch, 0.0)
    assert seen == tickets


def test_the_window_counts_from_the_first_item() -> None:
    batcher = Batcher(Limits(max_batch=4, window=1.0))
    first = queued(batcher, 10.0)
    assert batcher.poll(10.0).wake == 11.0
    second = queued(batcher, 10.9)
    poll = batcher.poll(10.9)
    assert (poll.batch, poll.wake) == (None, 11.0)
    assert start(batcher, 11.0).tickets == (first, second)


def test_a_full_batch_does_not_wait_for_the_window() -> None:
    batcher = Batcher(Limits(max_batch=2, window=60.0))
    tickets = queued(batcher, 0.0), queued(batcher, 0.0)
    assert start(batcher, 0.0).tickets == tickets


def test_a_window_is_cut_short_for_a_deadline() -> None:
    batcher = taught(Limits(max_batch=4, window=10.0))
    ticket = queued(batcher, 0.0, deadline=5.0)
    poll = batcher.poll(0.0)
    assert (poll.batch, poll.wake) == (None, 3.75)
    assert start(batcher, 3.76).tickets == (ticket,)


def test_an_items_work_after_the_batch_is_reserved() -> None:
    batcher = taught(Limits(max_batch=4, window=10.0))
    batcher.ready(batcher.admit(0.0, 5.0, 1), 0.0, reserve=0.5)
    assert batcher.poll(0.0).wake == 3.25
    large = batcher.admit(0.0, 1.4, 1)
    batcher.ready(large, 0.0, reserve=0.5)
    small = batcher.admit(0.0, 2.3, 1)
    batcher.ready(small, 0.0, reserve=0.001)
    assert batcher.poll(0.1).expired == (large,)  # and not what is small


def test_a_full_queue_refuses_with_the_time_to_try_again() -> None:
    batcher = taught(Limits(max_items=2), seconds=3.0)
    queued(batcher, 0.0)
    start(batcher, 0.0)
    queued(batcher, 0.0)
    with pytest.raises(Overloaded, match="queue is full") as caught:
        batcher.admit(1.0, NEVER, 1)
    assert caught.value.retry_after == pytest.approx(2.0)


def test_bytes_are_bounded_until_an_item_is_closed() -> None:
    batcher = Batcher(Limits(max_bytes=10))
    ticket = queued(batcher, 0.0, size=7)
    with pytest.raises(Overloaded, match="queue is full"):
        batcher.admit(0.0, NEVER, 4)
    with pytest.raises(TooLarge, match="11 bytes"):
        batcher.admit(0.0, NEVER, 11)
    batcher.complete(start(batcher, 0.0), 1.0)
    with pytest.raises(Overloaded):
        batcher.admit(1.0, NEVER, 4)  # computed, but its answer is still being made
    batcher.close(ticket)
    assert batcher.held_bytes == 0
    batcher.admit(1.0, NEVER, 4)


def test_a_deadline_that_has_passed_is_refused() -> None:
    with pytest.raises(DeadlineExceeded, match="had passed"):
        Batcher(Limits()).admit(1.0, 1.0, 1)


def test_what_cannot_be_finished_in_time_is_refused_at_once() -> None:
    batcher = taught(Limits())
    queued(batcher, 0.0)
    start(batcher, 0.0)  # until 1
    queued(batcher, 0.0)  # until 2
    batcher.admit(0.0, NEVER, 1)  # still being prepared: until 3
    with pytest.raises(Overloaded, match=r"deadline leaves 3\.9 s") as caught:
        batcher.admit(0.0, 3.9, 1)
    assert caught.value.retry_after == pytest.approx(0.1)
    batcher.admit(0.11, 0.11 + 3.9, 1)


def test_expired_items_are_dropped_while_a_batch_runs() -> None:
    batcher = Batcher(Limits())
    running = queued(batcher, 0.0)
    batch = start(batcher, 0.0)
    late = queued(batcher, 0.0, deadline=2.0)
    on_time = queued(batcher, 0.0, deadline=9.0)
    assert batcher.poll(1.0).wake == 2.0
    assert batcher.poll(2.0).expired == (late,)
    batcher.complete(batch, 3.0)
    assert start(batcher, 3.0).tickets == (on_time,)
    assert running.state is State.COMPUTED


def test_items_that_can_no_longer_be_in_time_are_dropped_before_they_cost_anything() -> None:
    batcher = Batcher(Limits())
    queued(batcher, 0.0)
    batch = start(batcher, 0.0)
    hopeless = queued(batcher, 0.0, deadline=6.0)
    batcher.complete(batch, 5.5)  # a batch takes 5.5 s, it turns out
    poll = batcher.poll(5.5)
    assert (poll.expired, poll.batch) == ((hopeless,), None)


def test_a_cost_learned_in_a_bad_moment_is_unlearned() -> None:
    batcher = taught(Limits(), seconds=100.0)
    ticket = queued(batcher, 0.0)
    batcher.complete(start(batcher, 0.0), 100.0)
    batcher.close(ticket)
    with pytest.raises(Overloaded) as caught:
        batcher.admit(101.0, 102.0, 1)  # the observation is fresh
    again = 101.0 + caught.value.retry_after
    assert again == pytest.approx(1100.0)  # the pause of ten batches that a probe needs
    batcher.close(batcher.admit(again + 1e-6, again + 1, 1))
    for round_ in range(20):
        now = 1e5 * (round_ + 1)
        probe = queued(batcher, now, deadline=now + 2)
        assert probe.probe
        batcher.complete(start(batcher, now), now + 1)
        batcher.close(probe)
    assert batcher.cost.typical(1) == pytest.approx(1.0, abs=2.0)


def test_only_the_running_batch_can_be_completed() -> None:
    batcher = Batcher(Limits())
    queued(batcher, 0.0)
    batch = start(batcher, 0.0)
    batcher.complete(batch, 1.0)
    with pytest.raises(ValueError, match="not the running one"):
        batcher.complete(batch, 1.0)


@pytest.mark.parametrize(
    "limits",
    [{"max_batch": 0}, {"max_items": 0}, {"max_bytes": 0}, {"window": -1}, {"window": NEVER}],
)
def test_limits_without_sense_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Limits(**limits)  # type: ignore[arg-type]


class Machine(RuleBasedStateMachine):
    """Any order of events: nothing is lost, computed twice, computed in vain, or out of bounds."""

    @initialize(
        max_batch=st.integers(1, 4),
        window=st.sampled_from([0.0, 0.5, 3.0]),
        max_items=st.integers(1, 8),
    )
    def begin(self, max_batch: int, window: float, max_items: int) -> None:
        self.limits = Limits(max_batch, window, max_items, max_bytes=20)
        self.batcher = Batcher(self.limits)
        self.now = 0.0
        self.batch: Batch | None = None
        self.live: dict[Ticket, str] = {}  # our own record of each open ticket
        self.order: list[Ticket] = []

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.poll()

    @rule(seconds=st.sampled_from([0.2, 1.0, 4.0, NEVER]), size=st.integers(1, 25))
    def admit(self, seconds: float, size: int) -> None:
        full = len(self.live) >= self.limits.max_items
        too_many_bytes = sum(t.size for t in self.live) + size > self.limits.max_bytes
        try:
            ticket = self.batcher.admit(self.now, self.now + seconds, size)
        except TooLarge:
            assert size > self.limits.max_bytes
        except Overloaded:
            assert full or too_many_bytes or seconds < NEVER
        else:
            assert not full
            assert not too_many_bytes
            self.live[ticket] = "preparing"

    @precondition(lambda self: "preparing" in self.live.values())
    @rule(data=st.data())
    def prepared(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from([t for t, s in self.live.items() if s == "preparing"]))
        self.live[ticket] = "queued"
        self.order.append(ticket)
        self.batcher.ready(ticket, self.now)
        self.poll()

    @precondition(lambda self: bool(self.live))
    @rule(data=st.data())
    def caller_goes(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(list(self.live)))
        del self.live[ticket]
        self.batcher.close(ticket)
        self.batcher.close(ticket)
        self.batcher.ready(ticket, self.now)  # decoding may end after that
        self.poll()

    @precondition(lambda self: self.batch is not None)
    @rule(learn=st.booleans())
    def engine_finishes(self, learn: bool) -> None:
        assert self.batch is not None
        self.batcher.complete(self.batch, self.now, learn=learn)
        for ticket in self.batch.tickets:
            if ticket in self.live:
                assert self.live[ticket] == "running"
                del self.live[ticket]
                self.batcher.close(ticket)
        self.batch = None
        self.poll()

    def poll(self) -> None:
        poll = self.batcher.poll(self.now)
        for ticket in poll.expired:
            assert self.live[ticket] == "queued"  # neither gone nor computed
            assert ticket.deadline < NEVER
            del self.live[ticket]
            self.batcher.close(ticket)
        if poll.batch is not None:
            assert self.batch is None
            self.batch = poll.batch
            tickets = poll.batch.tickets
            assert 1 <= len(tickets) <= self.limits.max_batch
            waiting = [t for t in self.order if self.live.get(t) == "queued"]
            assert list(tickets) == waiting[: len(tickets)]  # in order, none skipped
            for ticket in tickets:
                assert ticket.deadline > self.now
                self.live[ticket] = "running"
        assert poll.wake is None or poll.wake > self.now or poll.batch is not None

    @invariant()
    def nothing_waits_that_could_run(self) -> None:
        if not hasattr(self, "batcher"):
            return
        waiting = [t for t in self.order if self.live.get(t) == "queued"]
        if waiting and self.batch is None:
            assert self.limits.window > 0
            assert len(waiting) < self.limits.max_batch
            assert self.now < waiting[0].queued_at + self.limits.window
            assert self.batcher.poll(self.now).wake is not None

    @invariant()
    def accounts_are_right(self) -> None:
        if hasattr(self, "batcher"):
            assert len(self.batcher) == len(self.live) <= self.limits.max_items
            assert self.batcher.held_bytes == sum(t.size for t in self.live)

    def teardown(self) -> None:
        """Whatever happened, time alone answers every queued item."""
        if not hasattr(self, "batcher"):
            return
        for _ in range(100):
            if self.batch is not None:
                self.engine_finishes(learn=False)
                continue
            wake = self.batcher.poll(self.now).wake
            if wake is None:
                break
            self.now = wake
            self.poll()
        assert all(state == "preparing" for state in self.live.values())


TestMachine = Machine.TestCase
TestMachine.settings = settings(deadline=None, max_examples=150, stateful_step_count=40)
