"""When a batch is formed, from which items, and which work is refused: a pure state machine.

It contains no thread, task or clock: every method gets the time, in seconds of any monotonic clock.
`scheduler` drives it.

    admit -> WAITING --poll--> PREPARING --ready--> QUEUED --poll--> RUNNING --complete--> COMPUTED
                |                  |                  |                 |                     |
                +------------------+------- close ----+-----------------+---------------------+
                                               |
                                               v
                                            CLOSED

* `quota`: an item counts towards a limit of items and bytes from `admit` until `close`. This limits
  everything that waits or is decoded, computed and encoded, and no client can have all of it.
* `admission`: work that is not expected to finish by its deadline is refused at `admit`.
* `fair_queue`: items are prepared a few at a time, and put into batches, by priority and in turns
  of the clients.
* All items of a batch are from one bucket. A batch is formed when the engine is idle and, for some
  bucket, either `max_batch_size` items are queued, or `batch_wait` seconds have passed since the
  first of them was queued, or waiting longer would make one of them late. With a `batch_wait` of 0
  an idle engine takes whatever is queued. The next batch is not chosen earlier.
* Items that are closed, expired or hopeless are dropped before they are prepared, and again before
  a batch is formed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from services.errors import DeadlineExceeded, Overloaded, TooLarge
from services.segment.batching.admission import LearnedAdmission
from services.segment.batching.deadlines import DeadlineQueue
from services.segment.batching.fair_queue import FairQueue
from services.segment.batching.interfaces import AdmissionPolicy, Queue
from services.segment.batching.quota import Quota
from services.segment.batching.ticket import Admission, Batch, Limits, Priority, State, Ticket

# If a deadline cuts a wait short, this many times a batch's expected seconds remain: with less, a
# timer that fires late would make the item hopeless.
_START_MARGIN = 1.25


@dataclass(frozen=True)
class Poll:
    """What to do now: fail `expired`, prepare and run the given items, poll no later than `wake`.

    Report finished work with `ready` and `complete`; poll again after either.
    """

    expired: tuple[Ticket, ...] = ()
    prepare: tuple[Ticket, ...] = ()
    batch: Batch | None = None
    wake: float | None = None


_NOTHING = Poll()


class Batcher:
    """Forms batches for one engine that computes one batch at a time."""

    def __init__(
        self,
        limits: Limits,
        policy: AdmissionPolicy | None = None,
        queue: Callable[[int, Callable[[Hashable], float]], Queue[Ticket]] = FairQueue,
    ) -> None:
        """Make an empty batcher.

        `queue` makes a queue of that many priorities, and gets the number of turns that an item of
        a bucket costs.
        """
        self.limits = limits
        self._policy = LearnedAdmission(limits) if policy is None else policy
        self.cost = self._policy.cost
        """Learned costs of batches."""
        self._quota = Quota(limits.max_items, limits.max_bytes)
        self._open: set[Ticket] = set()
        self._line = queue(len(Priority), self._turns)  # WAITING
        self._preparing: set[Ticket] = set()
        self._queue = queue(len(Priority), self._turns)  # QUEUED, by bucket
        # Latest times: for QUEUED items, by bucket, when they must be computed; for all other
        # items, when they must begin, as judged on admission.
        self._compute_by: dict[Hashable, DeadlineQueue[Ticket]] = {}
        self._start_by: DeadlineQueue[Ticket] = DeadlineQueue()
        self._running: Batch | None = None

    def __len__(self) -> int:
        """Number of items that are admitted and not closed."""
        return len(self._open)

    @property
    def waiting(self) -> int:
        """Number of items that are prepared and not in a batch yet."""
        return len(self._queue)

    @property
    def backlog(self) -> float:
        """Engine seconds that items not yet in a batch will take, if all batches are full."""
        items = len(self._line) + len(self._preparing) + len(self._queue)
        return items * self.seconds_each

    @property
    def seconds_each(self) -> float:
        """Engine seconds that an item of a full batch takes; 0 until a batch was observed."""
        full = self.limits.max_batch_size
        return self.cost.typical(full) / full

    @property
    def held_bytes(self) -> int:
        """Bytes of the items that are admitted and not closed."""
        return self._quota.held_bytes

    def has_room(self, admission: Admission) -> bool:
        """Whether the quota would let an item in now."""
        return self._quota.refusal(admission.client, admission.size) is None

    def keep_free(self, size: int) -> None:
        """Admit nothing that leaves less free than an item of `size` bytes needs; 0 ends this."""
        self._quota.keep_free(size)

    def admit(self, now: float, admission: Admission, prepare: float = 0.0) -> Ticket:
        """Admit an item, whose preparation should take `prepare` seconds.

        Raises DeadlineExceeded if the deadline has passed or nothing could meet it, TooLarge if the
        item could never fit, Overloaded if there is no room now or the item is not expected to be
        in time.
        """
        if admission.deadline <= now:
            raise DeadlineExceeded("the deadline had passed when the request arrived")
        self.require_fits(admission.size)
        refusal = self._quota.refusal(admission.client, admission.size)
        if refusal is not None:
            raise Overloaded(refusal, self._policy.retry_after(now))
        ticket = self._policy.admit(now, admission, prepare, overdue=self._queue.overdue)
        self._quota.take(admission.client, admission.size)
        self._open.add(ticket)
        self._line.add(ticket)
        self._start_by.add(ticket, ticket.start_by)
        return ticket

    def require_fits(self, size: int) -> None:
        """Raise TooLarge if an item of `size` bytes could never be admitted."""
        if size > self.limits.max_bytes:
            raise TooLarge(f"an item of {size} bytes; the queue holds {self.limits.max_bytes}")

    def ready(self, ticket: Ticket, now: float, reserve: float = 0.0) -> None:
        """Queue an admitted item, which is prepared and needs `reserve` seconds after its batch.

        Does nothing if the item is closed or expired.
        """
        if ticket.state not in {State.WAITING, State.PREPARING}:
            return
        ticket.queued_at = now
        ticket.reserve = reserve
        self._move(ticket, State.QUEUED)
        bucket, deadline = ticket.admission.bucket, ticket.admission.deadline
        self._queue.add(ticket, bucket)
        if ticket.trial:
            self._start_by.add(ticket, deadline)
        elif deadline < math.inf:
            due = self._compute_by.setdefault(bucket, DeadlineQueue())
            due.add(ticket, deadline - reserve)

    def close(self, ticket: Ticket) -> None:
        """Stop counting the item: it was answered, failed or abandoned. May be called twice."""
        if ticket.state is State.CLOSED:
            return
        self._move(ticket, State.CLOSED)
        self._open.remove(ticket)
        self._quota.give_back(ticket.admission.client, ticket.admission.size)

    def poll(self, now: float) -> Poll:
        """Advance to `now`. The caller fails and closes the expired items, and does the rest."""
        if not (self._line or self._preparing or self._queue):
            return _NOTHING
        expired = self._drop_expired(now)
        prepare: list[Ticket] = []
        while self._line and len(self._preparing) < self.limits.workers:
            (ticket,) = self._line.take(self._line.buckets, 1)
            ticket.state = State.PREPARING
            self._preparing.add(ticket)
            prepare.append(ticket)
            if not ticket.trial:  # its preparation has begun and may take its time
                admission = ticket.admission
                self._start_by.remove(ticket)
                batch = self.cost.typical(1, admission.bucket)
                self._start_by.add(ticket, admission.deadline - batch)
        return Poll(tuple(expired), tuple(prepare), self._form_batch(now), self._wake())

    def complete(self, batch: Batch, now: float, *, learn: bool = True) -> None:
        """Note that the engine is idle. `learn` says whether the batch took a usual time."""
        if batch is not self._running:
            raise ValueError("that batch is not the running one")
        self._running = None
        self._policy.batch_done(batch, now, learn=learn)
        for ticket in batch.tickets:
            if ticket.state is State.RUNNING:
                self._move(ticket, State.COMPUTED)

    def _turns(self, bucket: Hashable) -> float:
        """Return how many of its client's turns an item of a bucket costs.

        If batches hold several items, a turn is a batch: if a large item cost several turns, other
        clients would fill their batches less, and items admitted for full batches would be late.
        """
        return self.cost.turns(bucket) if self.limits.max_batch_size == 1 else 1.0

    def _form_batch(self, now: float) -> Batch | None:
        if self._running is not None or not self._queue:
            return None
        buckets = self._queue.buckets
        if self.limits.batch_wait:
            buckets = [bucket for bucket in buckets if now >= self._start_batch_at(bucket)]
        if not buckets:
            return None
        tickets = self._next_batch(now, buckets)
        for ticket in tickets:
            self._move(ticket, State.RUNNING)
        self._running = Batch(tuple(tickets), tickets[0].admission.bucket, now)
        self._policy.batch_started(self._running)
        return self._running

    def _next_batch(self, now: float, buckets: list[Hashable]) -> list[Ticket]:
        """Take the items whose turn it is; if that would make another late, the ones due first."""
        most = self.limits.max_batch_size
        if self._queue.size(buckets[0]) == len(self._queue) <= most:
            return self._queue.take(buckets, most)  # the only bucket
        turn = self._queue.preview(buckets, most)
        due = min(
            (self._compute_by[bucket] for bucket in buckets if bucket in self._compute_by),
            key=lambda due: due.first,
            default=None,
        )
        if due is None or self._policy.keeps_deadlines(now, turn):
            return self._queue.take(buckets, most)
        tickets = [due.pop() for _ in range(min(most, len(due)))]
        bucket = tickets[0].admission.bucket
        rest = [each for each in self._queue.preview([bucket], most) if each not in tickets]
        filled = [*tickets, *rest][:most]
        if self._policy.keeps_deadlines(now, filled):
            tickets = filled
        self._queue.take_these(tickets, bucket)
        return tickets

    def _drop_expired(self, now: float) -> list[Ticket]:
        """Remove items that cannot be answered in time, in every state."""
        late = self._start_by.pop_due(now)
        for bucket, due in self._compute_by.items():
            late += due.pop_due(now, self.cost.typical(1, bucket))
        for ticket in late:
            self._move(ticket, State.EXPIRED)
        return late

    def _move(self, ticket: Ticket, state: State) -> None:
        """Remove the item from its present state, and note its next."""
        if ticket.state is State.WAITING:
            self._line.remove(ticket)
            self._start_by.remove(ticket)
        elif ticket.state is State.PREPARING:
            self._preparing.remove(ticket)
            self._start_by.remove(ticket)
        elif ticket.state is State.QUEUED:
            bucket = ticket.admission.bucket
            self._queue.remove(ticket, bucket)
            due = self._compute_by.get(bucket)
            if ticket.trial:
                self._start_by.remove(ticket)
            elif due is not None:
                due.remove(ticket)
                if not due:
                    del self._compute_by[bucket]
        self._policy.moved(ticket, state)
        ticket.state = state

    def _start_batch_at(self, bucket: Hashable) -> float:
        """Return when a queued bucket's next batch must start, -inf if at once."""
        limits, count = self.limits, self._queue.size(bucket)
        oldest = self._queue.oldest(bucket)
        if limits.batch_wait == 0 or count >= limits.max_batch_size or oldest.trial:
            return -math.inf  # a trial that expires while waiting teaches nothing
        full_wait = oldest.queued_at + limits.batch_wait
        due = self._compute_by.get(bucket)
        if due is None:
            return full_wait
        return min(full_wait, due.first - _START_MARGIN * self.cost.upper(count, bucket))

    def _wake(self) -> float | None:
        """Return the next time at which something happens without an event."""
        times = [self._start_by.first]
        for bucket, due in self._compute_by.items():
            times.append(due.first - self.cost.typical(1, bucket))
        if self._running is None and self._queue:
            times += [self._start_batch_at(bucket) for bucket in self._queue.buckets]
        wake = min(times)
        return None if wake == math.inf else wake
