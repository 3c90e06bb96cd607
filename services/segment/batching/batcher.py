"""When a batch is formed, of which items, and which work is refused: a pure state machine.

It holds no thread, no task and no clock: every method is given the time, in seconds on any
monotonic clock. `services.segment.batching.scheduler` drives it.

    admit -> WAITING --poll--> PREPARING --ready--> QUEUED --poll--> RUNNING --complete--> COMPUTED
                |                  |                  |                 |                     |
                +------------------+------- close ----+-----------------+---------------------+
                                               |
                                               v
                                            CLOSED

* An item holds one of a bounded number of places, and its bytes of a bounded number, from `admit`
  until `close`: what waits, is decoded, computed and encoded together is bounded, and no client can
  have all of it (`services.segment.batching.quota`).
* Items are prepared a few at a time, and put into batches, in the order of
  `services.segment.batching.fair_queue`: by priority, and in turns of the clients.
* Items of a batch are of one bucket. A batch is formed when the engine is idle and, for some
  bucket, either `max_batch` items are queued, or `window` seconds have passed since the first of
  them was queued, or waiting longer would make one of them late. With a window of 0 an idle engine
  takes what is there. What the next batch will be is not decided before the engine is idle.
* Work that is not expected to be finished by its deadline is refused at `admit`, by the learned
  cost of preparing and of batches. Items that are closed, expired or hopeless are dropped before
  they are prepared, and again before a batch is formed.
* A cost that was learned in a bad moment must not refuse work for ever: an idle engine that has
  computed nothing for a while takes one item as a probe, whatever the estimate.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

from services.errors import DeadlineExceeded, Overloaded, TooLarge
from services.segment.batching.cost import Cost
from services.segment.batching.deadlines import Promises
from services.segment.batching.earliest import Earliest
from services.segment.batching.fair_queue import FairQueue
from services.segment.batching.forecast import Forecast
from services.segment.batching.quota import Places
from services.segment.batching.ticket import Batch, Limits, Priority, State, Ticket

# A probe is taken after this many seconds, or this many expected batches, without a batch.
_PROBE_SECONDS = 1.0
_PROBE_BATCHES = 10
# A window that is cut short for a deadline leaves this many times a batch's expected seconds:
# less, and a timer that fires late makes the item hopeless.
_SLACK = 1.25
# What a caller is told to wait at least: a shorter pause is not worth a round trip.
_MIN_RETRY = 0.01


@dataclass(frozen=True)
class Poll:
    """What to do now: fail `expired`, prepare and run what is given, poll at `wake` at the latest.

    `ready` and `complete` say that it is done; both want another poll after them.
    """

    expired: tuple[Ticket, ...]
    prepare: tuple[Ticket, ...]
    batch: Batch | None
    wake: float | None


class Batcher:
    """Forms batches for one engine that computes one batch at a time."""

    def __init__(self, limits: Limits, cost: Cost | None = None) -> None:
        self.limits = limits
        self.cost = cost or Cost()
        self._places = Places(limits.max_items, limits.max_bytes)
        self._open: set[Ticket] = set()
        self._forecast = Forecast(limits, self.cost)
        self._line: FairQueue[Ticket] = FairQueue(len(Priority))  # WAITING
        self._preparing: set[Ticket] = set()
        self._queue: FairQueue[Ticket] = FairQueue(len(Priority))  # QUEUED, by bucket
        # Until when to start: of what is prepared, by bucket, when its batch must be done; of
        # everything else the last moment itself, as it was judged when the item came.
        self._batch_due: dict[Hashable, Earliest[Ticket]] = {}
        self._due: Earliest[Ticket] = Earliest()
        self._promises: Promises[Ticket] = Promises()  # of what is not in a batch yet
        self._refused = False  # something, for want of time, since a batch was done
        self._last_batch = -math.inf

    def __len__(self) -> int:
        """Items that are admitted and not closed."""
        return len(self._open)

    @property
    def waiting(self) -> int:
        """Items that are prepared and not in a batch yet."""
        return len(self._queue)

    @property
    def held_bytes(self) -> int:
        """Bytes of the items that are admitted and not closed."""
        return self._places.held_bytes

    @property
    def _busy(self) -> bool:
        return bool(self._open) or self._forecast.running is not None

    def has_place(self, client: str, size: int) -> bool:
        """Whether a client's item of `size` bytes would get a place now."""
        return self._places.refusal(client, size) is None

    def keep_free(self, size: int) -> None:
        """Admit nothing that leaves fewer bytes than an item of `size` needs; 0 ends it."""
        self._places.keep_free(size)

    def admit(
        self,
        now: float,
        deadline: float,
        size: int,
        *,
        priority: Priority = Priority.NORMAL,
        client: str = "",
        bucket: Hashable = None,
        prepare: float = 0.0,
    ) -> Ticket:
        """Take a place for an item of `size` bytes that is wanted by `deadline` (may be inf).

        `prepare` is how many seconds preparing it should take. Raises DeadlineExceeded if the
        deadline has passed, TooLarge if the item would never fit, Overloaded if there is no place
        now or the item is not expected to be done in time.
        """
        if deadline <= now:
            raise DeadlineExceeded("the deadline had passed when the request arrived")
        self.require_fits(size)
        refusal = self._places.refusal(client, size)
        if refusal is not None:
            raise Overloaded(refusal, max(_MIN_RETRY, self._forecast.until_idle(now)))
        own = self._forecast.own(bucket, prepare)
        needed = self._forecast.needed(now, priority, client, bucket, prepare)
        late = now + needed > deadline or not self._can_promise(now, deadline, bucket)
        if late and not self._may_probe(now):
            self._refused = True
            left = deadline - now
            if needed <= left:
                raise Overloaded(
                    f"the time until the deadline, {left:.3g} s, is promised to others",
                    max(_MIN_RETRY, self._forecast.until_idle(now)),
                )
            raise Overloaded(
                f"this would take about {needed:.3g} s and the deadline leaves {left:.3g} s",
                max(_MIN_RETRY, self._until_possible(now, needed, left, own)),
            )
        if late:
            self._last_batch = now  # one probe at a time
        ticket = Ticket(deadline, size, priority, client, bucket, prepare, probe=late)
        self._open.add(ticket)
        self._places.take(client, size)
        self._forecast.came(ticket)
        self._line.add(ticket)
        self._due.add(ticket, deadline if late else deadline - own)
        if not late:
            self._promises.add(ticket, deadline, self._forecast.share(bucket))
        return ticket

    def require_fits(self, size: int) -> None:
        """Raise TooLarge if an item of `size` bytes would never get a place."""
        if size > self.limits.max_bytes:
            raise TooLarge(f"an item of {size} bytes; the queue holds {self.limits.max_bytes}")

    def ready(self, ticket: Ticket, now: float, reserve: float = 0.0) -> None:
        """Queue an admitted item, which is prepared and needs `reserve` seconds after its batch.

        Does nothing for one that is closed or expired.
        """
        if ticket.state not in {State.WAITING, State.PREPARING}:
            return
        self._leave_preparation(ticket)
        ticket.state = State.QUEUED
        ticket.queued_at = now
        ticket.reserve = reserve
        self._queue.add(ticket, ticket.bucket)
        if ticket.probe:
            self._due.add(ticket, ticket.deadline)
        else:
            due = self._batch_due.setdefault(ticket.bucket, Earliest())
            due.add(ticket, ticket.deadline - reserve)
            self._promises.remove(ticket)
            self._promises.add(
                ticket, ticket.deadline - reserve, self._forecast.share(ticket.bucket)
            )

    def close(self, ticket: Ticket) -> None:
        """Give the item's place back: answered, failed or abandoned. May be called twice."""
        if ticket.state is State.CLOSED:
            return
        self._leave(ticket)
        if ticket.state is State.COMPUTED:
            self._forecast.finished(ticket)
        ticket.state = State.CLOSED
        self._open.remove(ticket)
        self._places.give_back(ticket.client, ticket.size)
        if not self._open:
            self._forecast.nothing_is_held()

    def poll(self, now: float) -> Poll:
        """Advance to `now`. The caller fails and closes what is expired, and does the rest."""
        expired = self._drop_expired(now)
        prepare: list[Ticket] = []
        while self._line and len(self._preparing) < self.limits.workers:
            (ticket,) = self._line.take(self._line.buckets, 1)
            ticket.state = State.PREPARING
            self._preparing.add(ticket)
            prepare.append(ticket)
            if not ticket.probe:  # preparing it is no longer ahead of it, and may take its time
                self._due.remove(ticket)
                self._due.add(ticket, ticket.deadline - self.cost.typical(1, ticket.bucket))
        return Poll(tuple(expired), tuple(prepare), self._form_batch(now), self._wake())

    def complete(self, batch: Batch, now: float, *, learn: bool = True) -> None:
        """The engine is idle again. `learn` says whether the time taken is a batch's usual one."""
        if batch is not self._forecast.running:
            raise ValueError("that batch is not the running one")
        self._forecast.running = None
        self._last_batch = now
        if learn:
            self.cost.observe(len(batch.tickets), now - batch.started_at, batch.bucket)
            if self._refused:
                self.cost.doubt(len(batch.tickets), batch.bucket)
        self._refused = False
        for ticket in batch.tickets:
            if ticket.state is State.RUNNING:
                ticket.state = State.COMPUTED
                self._forecast.computed(ticket)

    def _form_batch(self, now: float) -> Batch | None:
        if self._forecast.running is not None:
            return None
        buckets = [bucket for bucket in self._queue.buckets if now >= self._start_by(bucket)]
        if not buckets:
            return None
        tickets = self._next_batch(now, buckets)
        for ticket in tickets:
            self._leave(ticket)
            ticket.state = State.RUNNING
        self._forecast.running = Batch(tuple(tickets), tickets[0].bucket, now)
        return self._forecast.running

    def _next_batch(self, now: float, buckets: list[Hashable]) -> list[Ticket]:
        """Take whose turn it is; if a promise would be broken for that, what is due first."""
        most = self.limits.max_batch
        turn = self._queue.preview(buckets, most)
        due = min(
            (self._batch_due[bucket] for bucket in buckets if bucket in self._batch_due),
            key=lambda due: due.time,
            default=None,
        )
        if not due or self._keeps(now, turn):
            return self._queue.take(buckets, most)
        tickets = [due.pop() for _ in range(min(most, len(due)))]
        bucket = tickets[0].bucket
        rest = [each for each in self._queue.preview([bucket], most) if each not in tickets]
        filled = [*tickets, *rest][:most]
        if self._keeps(now, filled):
            tickets = filled
        self._queue.take_these(tickets, bucket)
        return tickets

    def _keeps(self, now: float, tickets: list[Ticket]) -> bool:
        """Whether no other promise is broken if these are the next batch."""
        bucket = tickets[0].bucket
        end = now + self.cost.upper(len(tickets), bucket)
        return self._promises.keep(end, tickets, self._forecast.full_batch(bucket))

    def _can_promise(self, now: float, deadline: float, bucket: Hashable) -> bool:
        """Whether an item can be promised beside the others, and a batch of who waits too long.

        One that comes alone needs no full batch, which several are rounded up to.
        """
        if not self._busy:
            return True
        full = self._forecast.full_batch(bucket)
        start = now + (0.0 if self._forecast.running is None else self._forecast.until_idle(now))
        if self._queue.impatient:
            start += self.cost.upper(self.limits.max_batch, bucket)
        return self._promises.allow(start, deadline, self._forecast.share(bucket), full)

    def _drop_expired(self, now: float) -> list[Ticket]:
        """Take out what can't be answered in time, wherever it waits."""
        late: list[Ticket] = []
        while self._due.time <= now:
            late.append(self._due.pop())
        for bucket, due in self._batch_due.items():
            batch = self.cost.typical(1, bucket)
            while due.time - batch <= now:
                late.append(due.pop())
        for ticket in late:
            self._leave(ticket)
            ticket.state = State.EXPIRED
        return late

    def _leave(self, ticket: Ticket) -> None:
        """Take the item out of all that is not in a batch yet, if it is there."""
        if ticket.state in {State.WAITING, State.PREPARING}:
            self._leave_preparation(ticket)
        elif ticket.state is State.QUEUED:
            self._queue.remove(ticket, ticket.bucket)
            self._due.remove(ticket)
            due = self._batch_due.get(ticket.bucket)
            if due is not None:
                due.remove(ticket)
            if not self._queue.size(ticket.bucket):
                self._batch_due.pop(ticket.bucket, None)
        else:
            return
        self._forecast.left(ticket)
        self._promises.remove(ticket)

    def _leave_preparation(self, ticket: Ticket) -> None:
        self._line.remove(ticket)
        self._preparing.discard(ticket)
        self._due.remove(ticket)
        self._forecast.prepared(ticket)

    def _start_by(self, bucket: Hashable) -> float:
        """Return when a queued bucket's next batch must start, -inf if at once."""
        limits, count = self.limits, self._queue.size(bucket)
        oldest = self._queue.oldest(bucket)
        if limits.window == 0 or count >= limits.max_batch or oldest.probe:
            return -math.inf  # a probe that expires in the window teaches nothing
        closes = oldest.queued_at + limits.window
        due = self._batch_due.get(bucket)
        if due is None:
            return closes
        return min(closes, due.time - _SLACK * self.cost.upper(count, bucket))

    def _wake(self) -> float | None:
        """Return when something happens by time alone."""
        times = [self._due.time]
        for bucket, due in self._batch_due.items():
            times.append(due.time - self.cost.typical(1, bucket))
        if self._forecast.running is None:
            times += [self._start_by(bucket) for bucket in self._queue.buckets]
        wake = min(times)
        return None if wake == math.inf else wake

    def _until_possible(self, now: float, needed: float, left: float, own: float) -> float:
        """Return when an item that needs `needed` seconds with `left` to go may be taken.

        That is when enough of what is ahead of it is done; or, where an idle engine would be too
        slow as well, when a probe may be taken.
        """
        if left >= own:
            return needed - left
        idle_at = now + needed - own if self._open else self._last_batch
        return idle_at + self._pause() - now

    def _may_probe(self, now: float) -> bool:
        if self._busy:
            return False
        return now - self._last_batch > self._pause()

    def _pause(self) -> float:
        """Return how long an engine computes nothing before it takes a probe."""
        return max(_PROBE_SECONDS, _PROBE_BATCHES * self.cost.upper(1))
