"""The batcher on simulated time: no clock, no sleep, no thread."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.errors import DeadlineExceeded, Overloaded, TooLarge
from services.segment.batching.admission import LearnedAdmission
from services.segment.batching.batcher import Batcher
from services.segment.batching.ticket import Admission, Batch, Limits, Priority, State, Ticket

NEVER = math.inf


def admit(
    batcher: Batcher,
    now: float,
    deadline: float,
    size: int,
    *,
    prepare: float = 0.0,
    **about: Any,
) -> Ticket:
    return batcher.admit(now, Admission(size, deadline, **about), prepare)


def queued(
    batcher: Batcher, now: float, deadline: float = NEVER, size: int = 1, **about: Any
) -> Ticket:
    ticket = admit(batcher, now, deadline, size, **about)
    batcher.ready(ticket, now)
    return ticket


def start(batcher: Batcher, now: float) -> Batch:
    batch = batcher.poll(now).batch
    assert batch is not None
    return batch


def taught(limits: Limits, seconds: float = 1.0) -> Batcher:
    """A batcher that knows what a batch costs."""
    batcher = Batcher(limits)
    for size in range(1, limits.max_batch_size + 1):
        batcher.cost.observe(size, seconds)
    return batcher


def test_an_idle_engine_takes_what_is_there() -> None:
    batcher = Batcher(Limits(max_batch_size=4))
    tickets = [queued(batcher, 0.0) for _ in range(3)]
    assert start(batcher, 0.0).tickets == tuple(tickets)


def test_a_batch_is_full_at_its_limit_and_keeps_the_order() -> None:
    batcher = Batcher(Limits(max_batch_size=2))
    tickets = [queued(batcher, 0.0) for _ in range(5)]
    seen: list[Ticket] = []
    for _ in range(3):
        batch = start(batcher, 0.0)
        assert batcher.poll(0.0).batch is None  # the engine is busy
        seen += batch.tickets
        batcher.complete(batch, 0.0)
    assert seen == tickets


def test_the_window_counts_from_the_first_item() -> None:
    batcher = Batcher(Limits(max_batch_size=4, batch_wait=1.0))
    first = queued(batcher, 10.0)
    assert batcher.poll(10.0).wake == 11.0
    second = queued(batcher, 10.9)
    poll = batcher.poll(10.9)
    assert (poll.batch, poll.wake) == (None, 11.0)
    assert start(batcher, 11.0).tickets == (first, second)


def test_the_backlog_is_what_waits_in_full_batches() -> None:
    batcher = taught(Limits(max_batch_size=2), seconds=1.0)
    for _ in range(5):
        queued(batcher, 0.0)
    assert batcher.backlog == 2.5
    batch = start(batcher, 0.0)
    assert batcher.backlog == 1.5
    batcher.complete(batch, 1.0)
    assert batcher.backlog == 1.5, "what is computed waits no longer"


def test_a_full_batch_does_not_wait_for_the_window() -> None:
    batcher = Batcher(Limits(max_batch_size=2, batch_wait=60.0))
    tickets = queued(batcher, 0.0), queued(batcher, 0.0)
    assert start(batcher, 0.0).tickets == tickets


def test_a_window_is_cut_short_for_a_deadline() -> None:
    batcher = taught(Limits(max_batch_size=4, batch_wait=10.0))
    ticket = queued(batcher, 0.0, deadline=5.0)
    poll = batcher.poll(0.0)
    assert (poll.batch, poll.wake) == (None, 3.75)
    assert start(batcher, 3.76).tickets == (ticket,)


def test_an_items_work_after_the_batch_is_reserved() -> None:
    batcher = taught(Limits(max_batch_size=4, batch_wait=10.0))
    batcher.ready(admit(batcher, 0.0, 5.0, 1), 0.0, reserve=0.5)
    assert batcher.poll(0.0).wake == 3.25
    large = admit(batcher, 0.0, 1.4, 1)
    batcher.ready(large, 0.0, reserve=0.5)
    small = admit(batcher, 0.0, 2.3, 1)
    batcher.ready(small, 0.0, reserve=0.001)
    assert batcher.poll(0.1).expired == (large,)  # and not what is small


def test_a_full_queue_refuses_with_the_time_to_try_again() -> None:
    batcher = taught(Limits(max_items=2), seconds=3.0)
    queued(batcher, 0.0)
    start(batcher, 0.0)
    with pytest.raises(Overloaded, match="full for this client"):
        admit(batcher, 1.0, NEVER, 1)
    queued(batcher, 0.0, client="another")
    with pytest.raises(Overloaded, match="queue is full") as caught:
        admit(batcher, 1.0, NEVER, 1, client="a third")
    assert caught.value.retry_after == pytest.approx(2.0)
    assert not batcher.has_room(Admission(1))
    assert not batcher.has_room(Admission(1, client="a third"))


def test_bytes_are_bounded_until_an_item_is_closed() -> None:
    batcher = Batcher(Limits(max_bytes=10))
    ticket = queued(batcher, 0.0, size=7)
    with pytest.raises(Overloaded, match="queue is full"):
        admit(batcher, 0.0, NEVER, 4)
    with pytest.raises(TooLarge, match="11 bytes"):
        admit(batcher, 0.0, NEVER, 11)
    batcher.complete(start(batcher, 0.0), 1.0)
    with pytest.raises(Overloaded):
        admit(batcher, 1.0, NEVER, 4)  # computed, but its answer is still being made
    batcher.close(ticket)
    assert batcher.held_bytes == 0
    admit(batcher, 1.0, NEVER, 4)


def test_a_deadline_that_has_passed_is_refused() -> None:
    with pytest.raises(DeadlineExceeded, match="had passed"):
        admit(Batcher(Limits()), 1.0, 1.0, 1)


def test_what_cannot_be_finished_in_time_is_refused_at_once() -> None:
    batcher = taught(Limits())
    high = {"priority": Priority.HIGH}
    queued(batcher, 0.0, **high)
    start(batcher, 0.0)  # until 1
    queued(batcher, 0.0, **high)  # until 2
    admit(batcher, 0.0, NEVER, 1, client="a", **high)  # still waits to be prepared: until 3
    with pytest.raises(Overloaded, match=r"deadline leaves 3\.9 s") as caught:
        admit(batcher, 0.0, 3.9, 1, client="b", **high)
    assert caught.value.retry_after == pytest.approx(0.1)
    admit(batcher, 0.11, 0.11 + 3.9, 1, client="b", **high)


@pytest.mark.parametrize(("priority", "needs"), [("HIGH", 4.0), ("NORMAL", 4.75), ("LOW", 5.5)])
def test_lower_priorities_leave_time_to_others(priority: str, needs: float) -> None:
    """Three seconds to wait and one to compute, and a part of the wait over again."""
    batcher = taught(Limits())
    for client in "xyz":
        queued(batcher, 0.0, priority=Priority.HIGH, client=client)
        batcher.poll(0.0)
    about: Any = {"priority": Priority[priority], "client": "a"}
    with pytest.raises(Overloaded):
        admit(batcher, 0.0, needs - 0.01, 1, **about)
    admit(batcher, 0.0, needs, 1, **about)


def test_a_client_leaves_time_to_others() -> None:
    batcher = taught(Limits())
    for _ in range(9):
        admit(batcher, 0.0, NEVER, 1, priority=Priority.HIGH)
    with pytest.raises(Overloaded):
        admit(batcher, 0.0, 12.2, 1, priority=Priority.HIGH)  # 10, and a quarter of 9
    admit(batcher, 0.0, 12.3, 1, priority=Priority.HIGH)


def test_another_clients_thousand_items_are_not_ahead() -> None:
    batcher = taught(Limits(max_items=1300))
    for _ in range(1000):
        admit(batcher, 0.0, NEVER, 1, client="many")
    admit(batcher, 0.0, 2.3, 1, client="one")  # one of the many, then it
    with pytest.raises(Overloaded):
        admit(batcher, 0.0, 900.0, 1, client="many")


def test_a_promise_is_kept_when_a_higher_priority_comes() -> None:
    batcher = taught(Limits())
    batch = start_one(batcher)
    low = queued(batcher, 0.0, deadline=2.5, priority=Priority.LOW)
    high = queued(batcher, 0.0, deadline=9.0, priority=Priority.HIGH)
    batcher.complete(batch, 1.0)
    batch = start(batcher, 1.0)
    assert batch.tickets == (low,)  # it can't wait for another batch
    batcher.complete(batch, 2.0)
    assert start(batcher, 2.0).tickets == (high,)


def test_a_priority_goes_first_where_that_breaks_no_promise() -> None:
    batcher = taught(Limits())
    batch = start_one(batcher)
    low = queued(batcher, 0.0, deadline=9.0, priority=Priority.LOW)
    high = queued(batcher, 0.0, priority=Priority.HIGH)
    batcher.complete(batch, 1.0)
    batch = start(batcher, 1.0)
    assert batch.tickets == (high,)
    batcher.complete(batch, 2.0)
    assert start(batcher, 2.0).tickets == (low,)


def test_what_would_break_a_promise_is_refused() -> None:
    batcher = taught(Limits())
    start_one(batcher)
    queued(batcher, 0.0, deadline=2.5, priority=Priority.LOW)
    with pytest.raises(Overloaded, match=r"2\.4 s, is promised to others") as caught:
        admit(batcher, 0.0, 2.4, 1, priority=Priority.HIGH)
    assert caught.value.retry_after == 1.0  # the running batch is done
    admit(batcher, 0.0, 3.0, 1, priority=Priority.HIGH)  # behind it, if need be


def test_a_promise_to_what_is_still_prepared_stops_nothing() -> None:
    batcher = taught(Limits(max_batch_size=4))
    ready = admit(batcher, 0.0, NEVER, 1)
    admit(batcher, 0.0, 1.5, 1, priority=Priority.HIGH, client="b")
    batcher.poll(0.0)
    batcher.ready(ready, 0.1)
    assert start(batcher, 0.1).tickets == (ready,)  # nothing that could be due first is there


def test_what_is_due_first_leaves_the_rest_of_its_batch_to_others() -> None:
    batcher = taught(Limits(max_batch_size=4))
    due = queued(batcher, 0.0, deadline=1.5, priority=Priority.LOW, client="low")
    high = [queued(batcher, 0.0, priority=Priority.HIGH, client=client) for client in "abcdefgh"]
    batch = start(batcher, 0.0)
    assert batch.tickets == (due, *high[:3])
    batcher.complete(batch, 1.0)
    assert start(batcher, 1.0).tickets == tuple(high[3:7])


def test_who_comes_alone_needs_no_full_batch() -> None:
    batcher = Batcher(Limits(max_batch_size=8))
    batcher.cost.observe(1, 1.0)
    batcher.cost.observe(8, 5.0)
    ticket = queued(batcher, 0.0, deadline=1.1)
    assert not ticket.trial
    batcher.complete(start(batcher, 0.0), 1.0)
    batcher.close(ticket)
    admit(batcher, 1.0, 2.1, 1)  # at once: it is no trial, which would have to wait
    with pytest.raises(Overloaded):
        admit(batcher, 1.0, 2.1, 1, client="another")


def start_one(batcher: Batcher) -> Batch:
    queued(batcher, 0.0)
    return start(batcher, 0.0)


def test_items_are_prepared_in_turn_a_few_at_a_time() -> None:
    batcher = Batcher(Limits(workers=2))
    many = [admit(batcher, 0.0, NEVER, 1, client="many") for _ in range(4)]
    one = admit(batcher, 0.0, NEVER, 1, client="one")
    urgent = admit(batcher, 0.0, NEVER, 1, client="many", priority=Priority.HIGH)
    assert batcher.poll(0.0).prepare == (urgent, many[0])
    assert batcher.poll(0.0).prepare == ()
    batcher.ready(urgent, 0.0)
    assert batcher.poll(0.0).prepare == (one,)
    batcher.close(many[0])  # its caller has gone: the place in the pool is another's
    assert batcher.poll(0.0).prepare == (many[1],)


def test_what_waits_to_be_prepared_expires_unprepared() -> None:
    batcher = Batcher(Limits(workers=1))
    first = admit(batcher, 0.0, NEVER, 1)
    late = admit(batcher, 0.0, 2.0, 1)
    assert batcher.poll(0.0).prepare == (first,)
    assert batcher.poll(0.0).wake == 2.0
    assert batcher.poll(2.0).expired == (late,)
    batcher.ready(late, 2.0)
    assert late.state is State.EXPIRED
    batcher.close(late)
    batcher.ready(first, 2.0)
    assert batcher.poll(2.0).prepare == ()


def test_what_is_being_prepared_is_given_the_time_for_it() -> None:
    batcher = taught(Limits())
    ticket = admit(batcher, 0.0, 2.5, 1, prepare=1.0)
    assert batcher.poll(0.0).prepare == (ticket,)
    poll = batcher.poll(0.6)  # too late to begin
    assert (poll.expired, poll.wake) == ((), 1.5)
    batcher.ready(ticket, 1.1)
    assert start(batcher, 1.1).tickets == (ticket,)


def test_what_takes_too_long_to_prepare_expires() -> None:
    batcher = taught(Limits())
    ticket = admit(batcher, 0.0, 2.5, 1, prepare=1.0)
    batcher.poll(0.0)
    assert batcher.poll(1.5).expired == (ticket,)


def test_a_saturated_pool_refuses_early() -> None:
    batcher = taught(Limits(workers=2))
    for client in "abcdefgh":
        admit(batcher, 0.0, NEVER, 1, client=client, prepare=3.0)
    with pytest.raises(Overloaded, match="about 20 s"):  # 8 * 3 / 2 to wait, 3, 1, 8 / 2
        admit(batcher, 0.0, 15.0, 1, client="x", priority=Priority.LOW, prepare=3.0)


def test_a_batch_is_of_one_bucket_and_a_lone_one_waits_for_its_window_only() -> None:
    batcher = Batcher(Limits(max_batch_size=2, batch_wait=1.0))
    lone = queued(batcher, 0.0, bucket="tall")
    pair = queued(batcher, 0.1, bucket="wide"), queued(batcher, 0.2, bucket="wide")
    batch = start(batcher, 0.2)
    assert batch.tickets == pair  # it is full, and the other still waits for company
    batcher.complete(batch, 0.3)
    assert batcher.poll(0.3).wake == 1.0
    batch = start(batcher, 1.0)
    assert (batch.tickets, batch.bucket) == ((lone,), "tall")


def test_each_bucket_has_a_cost_of_its_own() -> None:
    batcher = Batcher(Limits())
    batcher.cost.observe(1, 5.0, "large")
    batcher.cost.observe(1, 1.0, "small")
    queued(batcher, 0.0, bucket="small")
    with pytest.raises(Overloaded, match=r"about 6\.25 s"):
        admit(batcher, 0.0, 6.0, 1, bucket="large")  # 1, 5, and a quarter of 1
    admit(batcher, 0.0, 2.5, 1, bucket="small")


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
        admit(batcher, 101.0, 102.0, 1)  # the observation is fresh
    again = 101.0 + caught.value.retry_after
    assert again == pytest.approx(1100.0)  # the pause of ten batches that a trial needs
    batcher.close(admit(batcher, again + 1e-6, again + 1, 1))
    for round_ in range(20):
        now = 1e5 * (round_ + 1)
        trial = queued(batcher, now, deadline=now + 2)
        assert trial.trial
        batcher.complete(start(batcher, now), now + 1)
        batcher.close(trial)
    assert batcher.cost.typical(1) == pytest.approx(1.0, abs=2.0)


def test_a_deadline_that_no_idle_engine_could_meet_is_told_so() -> None:
    """No use trying again, as "overloaded" would say, nor a trial: this is known for sure."""
    batcher = taught(Limits())
    assert admit(batcher, 0.0, 0.4, 1).trial  # one observation may be a bad moment's
    with pytest.raises(Overloaded):
        admit(batcher, 0.0, 0.4, 1)
    batcher = taught(Limits())
    for _ in range(20):
        batcher.cost.observe(1, 1.0)
    with pytest.raises(DeadlineExceeded, match=r"takes 1 s at best, without a queue, .* 0\.4 s"):
        admit(batcher, 5e4, 5e4 + 0.4, 1)
    assert len(batcher) == 0
    trial = admit(batcher, 5e4, 5e4 + 0.6, 1)  # an engine may have become faster
    assert trial.trial
    with pytest.raises(Overloaded):
        admit(batcher, 5e4, 5e4 + 0.6, 1)
    # Of what takes less, a size of its own, that says nothing.
    admit(batcher, 5e4, 5e4 + 60, 1, bucket="small")


def test_a_trial_does_not_expire_in_a_window() -> None:
    batcher = taught(Limits(max_batch_size=2, batch_wait=5.0), seconds=100.0)
    trial = queued(batcher, 0.0, deadline=2.0)
    assert trial.trial
    assert start(batcher, 0.0).tickets == (trial,)


def test_only_the_running_batch_can_be_completed() -> None:
    batcher = Batcher(Limits())
    queued(batcher, 0.0)
    batch = start(batcher, 0.0)
    batcher.complete(batch, 1.0)
    with pytest.raises(ValueError, match="not the running one"):
        batcher.complete(batch, 1.0)


@pytest.mark.parametrize(
    "limits",
    [
        {"workers": 0},
        {"max_batch_size": 0},
        {"max_items": 0},
        {"max_bytes": 0},
        {"batch_wait": -1},
        {"batch_wait": NEVER},
    ],
)
def test_limits_without_sense_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Limits(**limits)  # type: ignore[arg-type]


def whose(ticket: Ticket) -> tuple[str, Priority]:
    return ticket.admission.client, ticket.admission.priority


class Machine(RuleBasedStateMachine):
    """Any order of events: nothing is lost, computed twice, computed in vain, or out of bounds."""

    @initialize(
        max_batch_size=st.integers(1, 4),
        batch_wait=st.sampled_from([0.0, 0.5, 3.0]),
        max_items=st.integers(1, 8),
        workers=st.integers(1, 3),
    )
    def begin(self, max_batch_size: int, batch_wait: float, max_items: int, workers: int) -> None:
        self.limits = Limits(max_batch_size, batch_wait, max_items, 20, workers)
        self.policy = LearnedAdmission(self.limits)
        self.batcher = Batcher(self.limits, self.policy)
        self.now = 0.0
        self.batch: Batch | None = None
        self.live: dict[Ticket, str] = {}  # our own record of each open ticket, as they came
        self.queue: list[Ticket] = []  # those that were queued, as they were

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.poll()

    @rule(
        seconds=st.sampled_from([0.2, 1.0, 4.0, NEVER]),
        size=st.integers(1, 25),
        client=st.sampled_from("ab"),
        priority=st.sampled_from(Priority),
        bucket=st.sampled_from("xy"),
        prepare=st.sampled_from([0.0, 0.3]),
    )
    def admit(self, seconds: float, size: int, client: str, **about: Any) -> None:
        held = [ticket.admission.size for ticket in self.live if ticket.admission.client == client]
        left = self.limits.max_items - len(self.live) - 1
        left_bytes = self.limits.max_bytes - sum(t.admission.size for t in self.live) - size
        full = left < 0 or left_bytes < 0 or len(held) > 4 * left or sum(held) > 4 * left_bytes
        try:
            ticket = admit(self.batcher, self.now, self.now + seconds, size, client=client, **about)
        except TooLarge:
            assert size > self.limits.max_bytes
        except Overloaded:
            assert full or seconds < NEVER
        else:
            assert not full
            self.live[ticket] = "waiting"
        self.poll()

    @precondition(lambda self: "preparing" in self.live.values())
    @rule(data=st.data(), reserve=st.sampled_from([0.0, 0.1, 2.0]))
    def prepared(self, data: st.DataObject, reserve: float) -> None:
        ticket = data.draw(st.sampled_from([t for t, s in self.live.items() if s == "preparing"]))
        self.live[ticket] = "queued"
        self.queue.append(ticket)
        self.batcher.ready(ticket, self.now, reserve)
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
            # Neither gone nor computed.
            assert self.live[ticket] in {"waiting", "preparing", "queued"}
            assert ticket.admission.deadline < NEVER
            del self.live[ticket]
            self.batcher.close(ticket)
        for ticket in poll.prepare:
            assert self.live[ticket] == "waiting"
            self.live[ticket] = "preparing"
        if poll.batch is not None:
            self.check(poll.batch)
        assert poll.wake is None or poll.wake > self.now or poll.batch is not None

    def check(self, batch: Batch) -> None:
        assert self.batch is None
        self.batch = batch
        tickets = batch.tickets
        assert 1 <= len(tickets) <= self.limits.max_batch_size
        assert {ticket.admission.bucket for ticket in tickets} == {batch.bucket}
        waiting = self.waiting(batch.bucket)
        assert len(tickets) == min(self.limits.max_batch_size, len(waiting))
        left = [ticket for ticket in waiting if ticket not in tickets]
        for ticket in tickets:
            assert ticket.admission.deadline > self.now
            assert self.live[ticket] == "queued"
            self.live[ticket] = "running"
        if all(ticket.admission.deadline == NEVER for ticket in waiting):  # no deadline decides
            first = {whose(ticket) for ticket in left}
            for ticket in tickets:  # in order, none of a client's skipped
                if whose(ticket) in first:
                    assert all(
                        ticket.queued_at <= other.queued_at
                        for other in left
                        if (other.admission.client, other.admission.priority)
                        == (ticket.admission.client, ticket.admission.priority)
                    )
            # The first may be of a priority that has waited for long; the others are not.
            later = tickets[1:]
            if later and left:
                assert max(t.admission.priority for t in later) <= min(
                    t.admission.priority for t in left
                )

    def waiting(self, bucket: object) -> list[Ticket]:
        return [
            t for t in self.queue if self.live.get(t) == "queued" and t.admission.bucket == bucket
        ]

    @invariant()
    def nothing_waits_that_could_run(self) -> None:
        if not hasattr(self, "batcher"):
            return
        preparing = list(self.live.values()).count("preparing")
        assert preparing <= self.limits.workers
        assert preparing == self.limits.workers or "waiting" not in self.live.values()
        for bucket in "xy":
            waiting = self.waiting(bucket)
            if waiting and self.batch is None:
                assert self.limits.batch_wait > 0
                assert len(waiting) < self.limits.max_batch_size
                assert self.now < waiting[0].queued_at + self.limits.batch_wait
                assert self.batcher.poll(self.now).wake is not None

    @invariant()
    def accounts_are_right(self) -> None:
        if hasattr(self, "batcher"):
            batcher, states = self.batcher, list(self.live.values())
            policy = self.policy
            assert len(batcher) == len(self.live) <= self.limits.max_items
            assert batcher.held_bytes == sum(t.admission.size for t in self.live)
            assert batcher.waiting == states.count("queued")
            unbatched = [t for t, s in self.live.items() if s != "running"]
            assert len(policy._pending) == sum(policy._pending.buckets.values()) == len(unbatched)
            finite = [t for t in unbatched if t.admission.deadline < NEVER and not t.trial]
            assert len(policy._commitments) == len(finite)
            if not self.live:
                assert not batcher._compute_by
                assert len(batcher._start_by) == len(batcher._line) == 0
                assert policy._prepare_seconds == policy._finish_seconds == 0

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
        assert set(self.live.values()) <= {"waiting", "preparing"}


TestMachine = Machine.TestCase
TestMachine.settings = settings(deadline=None, max_examples=100, stateful_step_count=40)
