"""Which work is admitted: work that should meet its deadline without making other work late.

Pure. The seconds that a batch takes are learned (`cost`). Two tests decide. The forecast: how long
will the item take, with everything ahead of it? The deadlines: does the engine have time for it in
addition to everything already admitted (`deadlines`)? An item with too little time is refused at
once, with the time after which it would be admitted.

`tests/segment/batching/test_overload.py` measures what each part gains, in percentage points;
docs/engines.md has the table.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from services.errors import DeadlineExceeded, Overloaded
from services.segment.batching.cost import Cost
from services.segment.batching.deadlines import Commitments
from services.segment.batching.ticket import Admission, Batch, Limits, Priority, State, Ticket

# Shares of the expected wait, by priority, and of a client's own work in the queue, that must
# remain before the deadline: room for items that come later and go first.
_HEADROOM = {Priority.HIGH: 0.0, Priority.NORMAL: 0.25, Priority.LOW: 0.5}
_CLIENT_HEADROOM = 0.25
# An idle engine accepts a trial after this many seconds, or this many expected batches.
_TRIAL_SECONDS = 1.0
_TRIAL_BATCHES = 10
# Share of the least time that an item took alone: with less time left, not even an idle engine
# tries it. Only callers in such haste would miss a speed-up that large.
_HOPELESS = 0.5
# Least pause, in seconds, that a caller is told to make: a shorter one is not worth a round trip.
_MIN_RETRY_SECONDS = 0.01

_UNPREPARED = {State.WAITING, State.PREPARING}
_PENDING = {*_UNPREPARED, State.QUEUED}


class LearnedAdmission:
    """Estimates for one batcher; an `interfaces.AdmissionPolicy`.

    Only the kinds of work and their amounts are known: the work ahead of an item is assumed to be a
    sample of all waiting work.
    """

    def __init__(self, limits: Limits, cost: Cost | None = None) -> None:
        self.cost = Cost() if cost is None else cost
        self._limits = limits
        self._open = 0
        self._pending = Pending(len(Priority), limits.max_items)
        self._commitments: Commitments[Ticket] = Commitments()  # to pending items
        # Expected seconds of work for the pool, and the number of items: preparing items that are
        # not prepared, and finishing items that are computed.
        self._prepare_seconds, self._unprepared = 0.0, 0
        self._finish_seconds, self._computed = 0.0, 0
        self._running: Batch | None = None
        self._last_batch = -math.inf
        self._refused = False  # whether time ran out for an item since the last batch

    def admit(self, now: float, admission: Admission, prepare: float, *, overdue: bool) -> Ticket:
        """Return the ticket of an item that can be in time, or of a trial on an idle engine.

        A cost learned in a bad moment must not refuse work forever: an engine that has computed
        nothing for a while takes one item whatever the estimate. Raises Overloaded; or
        DeadlineExceeded if no equally fast server could answer in time, so that trying again is
        useless.
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
        """Count the item in its new state, and no longer in its old one."""
        was = ticket.state
        if was in _UNPREPARED and state not in _UNPREPARED:
            self._unprepared -= 1
            # Reset to 0 when nothing is left: sums of floats drift.
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
        """Note that the engine computes a batch."""
        self._running = batch

    def batch_done(self, batch: Batch, now: float, *, learn: bool) -> None:
        """Note that the engine is idle again, and learn what the batch cost."""
        self._running = None
        self._last_batch = now
        if learn:
            size = len(batch.tickets)
            self.cost.observe(size, now - batch.started_at, batch.bucket)
            if self._refused:
                self.cost.relax_larger(size, batch.bucket)
        self._refused = False

    def retry_after(self, now: float) -> float:
        """Return the expected seconds until the running batch, or else a new one, would be done."""
        seconds = self.cost.upper(1) if self._running is None else self._left_of_batch(now)
        return max(_MIN_RETRY_SECONDS, seconds)

    def keeps_deadlines(self, now: float, tickets: Sequence[Ticket]) -> bool:
        """Whether all other admitted items can be in time if `first` is the next batch."""
        bucket = tickets[0].admission.bucket
        end = now + self.cost.upper(len(tickets), bucket)
        return self._commitments.keep(end, tickets, self._full_batch(bucket))

    def _needed(self, now: float, admission: Admission, own: float) -> float:
        """Return the seconds that a new item must have: its own, its wait, and room.

        The room is for items that come later and go first.
        """
        ahead = self._pending.ahead(admission.priority, admission.client)
        wait = max(0.0, self._expected_seconds(now, ahead, admission.bucket, own) - own)
        return own + wait + self._room(now, ahead, admission)

    def _expected_seconds(self, now: float, ahead: int, bucket: Hashable, own: float) -> float:
        """Return the seconds until one more item, behind `ahead` others, would be computed."""
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
        """Return the seconds that an item must leave for items that come later and go first."""
        pending = self._pending
        work = sum(count * self._share(bucket) for bucket, count in pending.buckets.items())
        each = work / max(1, len(pending))
        wait = ahead * each + self._left_of_batch(now)
        mine = pending.count(admission.priority, admission.client) * each
        return max(_HEADROOM[admission.priority] * wait, _CLIENT_HEADROOM * mine)

    def _has_time(self, now: float, admission: Admission, *, overdue: bool) -> bool:
        """Whether the engine has time for one more item in addition to its commitments.

        The next batch may belong to a priority that has been passed over too often (`overdue`).
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
        retry = needed - left  # when enough of the work ahead is done
        if left < own:  # even an idle engine would be too slow: retry when a trial is possible
            idle_at = now + needed - own if self._open else self._last_batch
            retry = idle_at + self._trial_pause() - now
        return Overloaded(
            f"this would take about {needed:.3g} s and the deadline leaves {left:.3g} s",
            max(_MIN_RETRY_SECONDS, retry),
        )

    def _trial_pause(self) -> float:
        """Return how long an engine must be idle before it accepts a trial."""
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
        """Return an item's share of the engine's time, in seconds, in full batches."""
        return self.cost.upper(self._limits.max_batch_size, bucket) / self._limits.max_batch_size

    def _full_batch(self, bucket: Hashable) -> float:
        """Return a full batch's seconds, to which work is rounded up; 0 if that is one item."""
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

    Finds in O(log items) how many come before a new item in the order of `fair_queue`.
    """

    def __init__(self, priorities: int, most: int) -> None:
        """Prepare to count up to `most` items with priorities from 0 to `priorities` - 1."""
        self.buckets: dict[Hashable, int] = {}
        """Number of items in each bucket that is not empty."""
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
        """Stop counting an item."""
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
        """Return at most how many items are taken before one that this client adds now.

        Assumes that nothing else is added. Counts all items of smaller priorities, all of the
        client's own, and at most as many of each other client as the client then has.
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
