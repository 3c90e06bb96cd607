"""Which work is taken: what is expected to be done by its deadline, and makes nothing else late.

Pure. How long a batch takes is learned (`cost`). Two questions decide. The forecast: how long will
the item take, with all that comes before it? The deadlines: does the engine have time for it beside
everything that was admitted (`deadlines`)? An item that leaves too little time is refused at once,
with the time after which it would be taken.

What each part buys is measured by `tests/segment/batching/test_overload.py`, in points of a
hundred; docs/engines.md has the table.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from services.errors import DeadlineExceeded, Overloaded
from services.segment.batching.cost import Cost
from services.segment.batching.deadlines import Commitments
from services.segment.batching.ticket import Admission, Batch, Limits, Priority, State, Ticket

# Shares of the expected wait, by priority, and of a client's own work in the queue, that must be
# left over before the deadline: room for those who come later and go first.
_HEADROOM = {Priority.HIGH: 0.0, Priority.NORMAL: 0.25, Priority.LOW: 0.5}
_CLIENT_HEADROOM = 0.25
# A trial is taken after this many seconds, or this many expected batches, without a batch.
_TRIAL_SECONDS = 1.0
_TRIAL_BATCHES = 10
# Of the least that an item took alone: with less time it is not tried on an idle engine either. One
# that became that much faster would go unnoticed by callers in such haste alone.
_HOPELESS = 0.5
# Seconds that a caller is told to wait at least: a shorter pause is not worth a round trip.
_MIN_RETRY_SECONDS = 0.01

_UNPREPARED = {State.WAITING, State.PREPARING}
_PENDING = {*_UNPREPARED, State.QUEUED}


class LearnedAdmission:
    """Estimates for one batcher; an `interfaces.AdmissionPolicy`.

    Of the work only its kinds are known and how much of each there is: what comes before an item is
    taken for a sample of all that waits.
    """

    def __init__(self, limits: Limits, cost: Cost | None = None) -> None:
        self.cost = Cost() if cost is None else cost
        self._limits = limits
        self._open = 0
        self._pending = Pending(len(Priority), limits.max_items)
        self._commitments: Commitments[Ticket] = Commitments()  # to what is pending
        # Expected seconds of work for the pool, and of how many items: preparing what is not
        # prepared, and finishing what is computed.
        self._prepare_seconds, self._unprepared = 0.0, 0
        self._finish_seconds, self._computed = 0.0, 0
        self._running: Batch | None = None
        self._last_batch = -math.inf
        self._refused = False  # something, for want of time, since a batch was done

    def admit(self, now: float, admission: Admission, prepare: float, *, overdue: bool) -> Ticket:
        """Return the ticket of an item that can be in time, or of a trial on an idle engine.

        A cost that was learned in a bad moment must not refuse work forever: an engine that has
        computed nothing for a while takes one item whatever the estimate. Raises Overloaded, or
        DeadlineExceeded where no server that is as fast could answer in time: no use trying again.
        """
        left, least = admission.deadline - now, self.cost.least(admission.bucket)
        if left < _HOPELESS * least:
            raise DeadlineExceeded(
                f"computing this takes {least:.3g} s at best, without a queue, and the deadline "
                f"leaves {left:.3g} s: allow more time"
            )
        own = prepare + self.cost.upper(1, admission.bucket)
        idle = not self._open and self._running is None
        needed = own if idle else self._needed(now, admission, own)
        late = now + needed > admission.deadline
        if not (late or idle):
            late = not self._has_time(now, admission, overdue=overdue)
        if not late:
            ticket = Ticket(admission, prepare, admission.deadline - own)
            self._commit(ticket, admission.deadline)
        elif idle and now - self._last_batch > self._trial_pause():
            self._last_batch = now  # one trial at a time
            ticket = Ticket(admission, prepare, admission.deadline, trial=True)
        else:
            self._refused = True
            raise self._refusal(now, admission.deadline - now, needed, own)
        self._open += 1
        self._pending.add(admission)
        self._unprepared += 1
        self._prepare_seconds += prepare
        return ticket

    def moved(self, ticket: Ticket, state: State) -> None:
        """Count the item where it is now, and no longer where it was."""
        was = ticket.state
        if was in _UNPREPARED and state not in _UNPREPARED:
            self._unprepared -= 1
            # From nothing again when there is nothing: sums of floats drift.
            self._prepare_seconds = (
                self._prepare_seconds - ticket.prepare if self._unprepared else 0.0
            )
        if was in _PENDING and state not in _PENDING:
            self._pending.remove(ticket.admission)
            self._commitments.remove(ticket)
        if state is State.QUEUED and not ticket.trial:
            self._commitments.remove(ticket)
            self._commit(ticket, ticket.admission.deadline - ticket.reserve)
        elif state is State.COMPUTED:
            self._computed += 1
            self._finish_seconds += ticket.reserve
        elif was is State.COMPUTED:
            self._computed -= 1
            self._finish_seconds = self._finish_seconds - ticket.reserve if self._computed else 0.0
        if state is State.CLOSED:
            self._open -= 1

    def batch_started(self, batch: Batch) -> None:
        """The engine computes a batch."""
        self._running = batch

    def batch_done(self, batch: Batch, now: float, *, learn: bool) -> None:
        """The engine is idle again: learn what the batch cost."""
        self._running = None
        self._last_batch = now
        if learn:
            size = len(batch.tickets)
            self.cost.observe(size, now - batch.started_at, batch.bucket)
            if self._refused:
                self.cost.relax_larger(size, batch.bucket)
        self._refused = False

    def retry_after(self, now: float) -> float:
        """Return the expected seconds until the running batch is done, or of one that would run."""
        seconds = self.cost.upper(1) if self._running is None else self._left_of_batch(now)
        return max(_MIN_RETRY_SECONDS, seconds)

    def keeps_deadlines(self, now: float, tickets: Sequence[Ticket]) -> bool:
        """Whether everything else that was admitted can be in time if these are the next batch."""
        bucket = tickets[0].admission.bucket
        end = now + self.cost.upper(len(tickets), bucket)
        return self._commitments.keep(end, tickets, self._full_batch(bucket))

    def _needed(self, now: float, admission: Admission, own: float) -> float:
        """Return the seconds that an item which comes now must have: its own, its wait, and room.

        Room is for those who come later and go first.
        """
        ahead = self._pending.ahead(admission.priority, admission.client)
        wait = max(0.0, self._expected_seconds(now, ahead, admission.bucket, own) - own)
        return own + wait + self._room(now, ahead, admission)

    def _expected_seconds(self, now: float, ahead: int, bucket: Hashable, own: float) -> float:
        """Return after how long one more item would be computed, behind `ahead` others."""
        counts = self._pending.buckets
        total = max(1, len(self._pending))
        engine = self._left_of_batch(now)
        for other, count in counts.items():
            engine += self._batches(other, -(-count * ahead // total) + (other == bucket))
        if bucket not in counts:
            engine += self._batches(bucket, 1)
        unprepared = min(1.0, ahead / max(1, self._unprepared))
        pool = self._prepare_seconds * unprepared + self._finish_seconds
        return max(engine, max(0.0, pool) / self._limits.workers + own)

    def _room(self, now: float, ahead: int, admission: Admission) -> float:
        """Return the seconds that an item must leave to those who come later and go first."""
        pending = self._pending
        work = sum(count * self._share(bucket) for bucket, count in pending.buckets.items())
        each = work / max(1, len(pending))
        wait = ahead * each + self._left_of_batch(now)
        mine = pending.count(admission.priority, admission.client) * each
        return max(_HEADROOM[admission.priority] * wait, _CLIENT_HEADROOM * mine)

    def _has_time(self, now: float, admission: Admission, *, overdue: bool) -> bool:
        """Whether the engine has time for one more item beside those that it is committed to.

        The next batch may belong to who waits too long already (`overdue`).
        """
        bucket = admission.bucket
        start = now + self._left_of_batch(now)
        if overdue:
            start += self.cost.upper(self._limits.max_batch_size, bucket)
        share, full = self._share(bucket), self._full_batch(bucket)
        return self._commitments.allow(start, admission.deadline, share, full)

    def _refusal(self, now: float, left: float, needed: float, own: float) -> Overloaded:
        if needed <= left:
            return Overloaded(
                f"the time until the deadline, {left:.3g} s, is promised to others",
                self.retry_after(now),
            )
        retry = needed - left  # when enough of what is ahead of it is done
        if left < own:  # an idle engine would be too slow as well: when a trial may be taken
            idle_at = now + needed - own if self._open else self._last_batch
            retry = idle_at + self._trial_pause() - now
        return Overloaded(
            f"this would take about {needed:.3g} s and the deadline leaves {left:.3g} s",
            max(_MIN_RETRY_SECONDS, retry),
        )

    def _trial_pause(self) -> float:
        """Return how long an engine computes nothing before it takes a trial."""
        return max(_TRIAL_SECONDS, _TRIAL_BATCHES * self.cost.upper(1))

    def _commit(self, ticket: Ticket, deadline: float) -> None:
        self._commitments.add(ticket, deadline, self._share(ticket.admission.bucket))

    def _left_of_batch(self, now: float) -> float:
        """Return the expected seconds until the running batch is done; 0 on an idle engine."""
        batch = self._running
        if batch is None:
            return 0.0
        lasts = self.cost.upper(len(batch.tickets), batch.bucket)
        return max(0.0, batch.started_at + lasts - now)

    def _share(self, bucket: Hashable) -> float:
        """Return an item's seconds of the engine's time, when batches are full."""
        return self.cost.upper(self._limits.max_batch_size, bucket) / self._limits.max_batch_size

    def _full_batch(self, bucket: Hashable) -> float:
        """Return what work is rounded up to: the seconds of a full batch, 0 if that is one item."""
        most = self._limits.max_batch_size
        return self.cost.upper(most, bucket) if most > 1 else 0.0

    def _batches(self, bucket: Hashable, count: int) -> float:
        """Return the expected seconds of as few batches as hold `count` items."""
        most = self._limits.max_batch_size
        full, rest = divmod(count, most)
        seconds = self.cost.upper(rest, bucket) if rest else 0.0
        return seconds + full * self.cost.upper(most, bucket) if full else seconds


class Pending:
    """Items that are not in a batch yet, counted by bucket, priority and client.

    It knows how many come before a new one in the order of `fair_queue`, in O(log items).
    """

    def __init__(self, priorities: int, most: int) -> None:
        """Count up to `most` items of the priorities from 0 to `priorities` - 1."""
        self.buckets: dict[Hashable, int] = {}
        """Items by bucket, of the buckets that have some."""
        self._totals = [0] * priorities
        self._counts: list[dict[str, int]] = [{} for _ in range(priorities)]
        # By priority, a Fenwick tree over n >= 1 of how many clients have n items or more.
        self._trees = [[0] * (most + 1) for _ in range(priorities)]

    def __len__(self) -> int:
        """Items in all."""
        return sum(self._totals)

    def count(self, priority: int, client: str) -> int:
        """Items of a priority and client."""
        return self._counts[priority].get(client, 0)

    def add(self, item: Admission) -> None:
        """Count an item."""
        counts = self._counts[item.priority]
        count = counts[item.client] = counts.get(item.client, 0) + 1
        self._totals[item.priority] += 1
        self._shift(item.priority, count, 1)
        self.buckets[item.bucket] = self.buckets.get(item.bucket, 0) + 1

    def remove(self, item: Admission) -> None:
        """Count an item no longer."""
        counts = self._counts[item.priority]
        count = counts[item.client]
        self._shift(item.priority, count, -1)
        self._totals[item.priority] -= 1
        counts[item.client] = count - 1
        if count == 1:
            del counts[item.client]
        self.buckets[item.bucket] -= 1
        if not self.buckets[item.bucket]:
            del self.buckets[item.bucket]

    def ahead(self, priority: int, client: str) -> int:
        """Return how many items are taken, at most, before one that this client adds now.

        That is if nothing else is added: all of smaller priorities, all of the client's own, and of
        each other client no more than the client has then.
        """
        tree = self._trees[priority]
        number = min(self.count(priority, client) + 1, len(tree) - 1)
        count = sum(self._totals[:priority])
        while number > 0:
            count += tree[number]
            number &= number - 1
        return count

    def _shift(self, priority: int, number: int, change: int) -> None:
        tree = self._trees[priority]
        while number < len(tree):
            tree[number] += change
            number += number & -number
