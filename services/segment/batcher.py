"""When a batch is formed, of which items, and which work is refused: a pure state machine.

It holds no thread, no task and no clock: every method is given the time, in seconds on any
monotonic clock. `services.segment.scheduler` drives it.

    admit -> PREPARING --ready--> QUEUED --poll--> RUNNING --complete--> COMPUTED
                 |                   |                |                      |
                 +-------------------+------ close ---+----------------------+--> CLOSED

* An item holds one of a bounded number of places, and its bytes of a bounded number, from `admit`
  until `close`: what is being decoded, queued, computed and encoded together is bounded.
* The queue is first in, first out, from `ready`. A batch is formed when the engine is idle and
  either `max_batch` items are queued, or `window` seconds have passed since the first of them was
  queued, or waiting longer would make one of them late. With a window of 0 an idle engine takes
  what is there.
* Work that is not expected to be finished by its deadline is refused at `admit`, by the learned
  cost of batches. Items that are closed, expired or hopeless are dropped before a batch is formed.
* A cost that was learned in a bad moment must not refuse work for ever: an idle engine that has
  computed nothing for a while takes one item as a probe, whatever the estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from services.errors import DeadlineExceeded, Overloaded, TooLarge
from services.segment.cost import Cost

# A probe is taken after this many seconds, or this many expected batches, without a batch.
_PROBE_SECONDS = 1.0
_PROBE_BATCHES = 10
# A window that is cut short for a deadline leaves this many times a batch's expected seconds:
# less, and a timer that fires late makes the item hopeless.
_SLACK = 1.25
# What a caller is told to wait at least: a shorter pause is not worth a round trip.
_MIN_RETRY = 0.01


class Priority(IntEnum):
    """Whose turn it is when items wait: the smaller comes first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class State(Enum):
    """Where an item is."""

    PREPARING = "preparing"
    QUEUED = "queued"
    RUNNING = "running"
    COMPUTED = "computed"
    CLOSED = "closed"


@dataclass(eq=False)
class Ticket:
    """An admitted item. `deadline` is a time on the caller's clock, `size` is in bytes."""

    deadline: float
    size: int
    probe: bool
    # Seconds that the item is expected to need after its batch; known once it is prepared.
    reserve: float = 0.0
    queued_at: float = math.nan
    state: State = State.PREPARING


@dataclass(frozen=True, eq=False)
class Batch:
    """Items to compute together, in the order in which they were queued."""

    tickets: tuple[Ticket, ...]
    started_at: float


@dataclass(frozen=True)
class Poll:
    """What to do now: fail `expired`, start `batch`, and poll again at `wake` at the latest."""

    expired: tuple[Ticket, ...]
    batch: Batch | None
    wake: float | None


@dataclass(frozen=True)
class Limits:
    """Bounds of a batcher: items a batch, seconds of the window, items and bytes held at once."""

    max_batch: int = 1
    window: float = 0.0
    max_items: int = 64
    max_bytes: int = 256 << 20

    def __post_init__(self) -> None:
        if not (self.max_batch >= 1 and self.max_items >= 1 and self.max_bytes >= 1):
            raise ValueError("max_batch, max_items and max_bytes must be at least 1")
        if not 0 <= self.window < math.inf:
            raise ValueError("window must be finite and not negative")


@dataclass
class Batcher:
    """Forms batches for one engine that computes one batch at a time."""

    limits: Limits
    cost: Cost = field(default_factory=Cost)
    _open: set[Ticket] = field(default_factory=set)
    _preparing: int = 0
    _queue: dict[Ticket, None] = field(default_factory=dict)  # ordered, O(1) removal
    _running: Batch | None = None
    _bytes: int = 0
    _last_batch: float = -math.inf

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
        return self._bytes

    def admit(self, now: float, deadline: float, size: int) -> Ticket:
        """Take a place for an item of `size` bytes that is wanted by `deadline` (may be inf).

        Raises DeadlineExceeded if that has passed, TooLarge if the item would never fit,
        Overloaded if there is no place now or the item is not expected to be done in time.
        """
        if deadline <= now:
            raise DeadlineExceeded("the deadline had passed when the request arrived")
        limits = self.limits
        if size > limits.max_bytes:
            raise TooLarge(f"an item of {size} bytes; the queue holds {limits.max_bytes}")
        if len(self._open) >= limits.max_items or self._bytes + size > limits.max_bytes:
            raise Overloaded("the queue is full", max(_MIN_RETRY, self._until_idle(now)))
        needed = self._expected_finish(now) - now
        late = now + needed > deadline
        if late and not self._may_probe(now):
            left = deadline - now
            raise Overloaded(
                f"this would take about {needed:.3g} s and the deadline leaves {left:.3g} s",
                max(_MIN_RETRY, self._until_possible(now, needed, left)),
            )
        if late:
            self._last_batch = now  # one probe at a time
        ticket = Ticket(deadline=deadline, size=size, probe=late)
        self._open.add(ticket)
        self._preparing += 1
        self._bytes += size
        return ticket

    def ready(self, ticket: Ticket, now: float, reserve: float = 0.0) -> None:
        """Queue an admitted item, which is prepared and needs `reserve` seconds after its batch.

        Does nothing for a closed one.
        """
        if ticket.state is State.PREPARING:
            self._preparing -= 1
            ticket.state = State.QUEUED
            ticket.queued_at = now
            ticket.reserve = reserve
            self._queue[ticket] = None

    def close(self, ticket: Ticket) -> None:
        """Give the item's place back: answered, failed or abandoned. May be called twice."""
        if ticket.state is State.CLOSED:
            return
        if ticket.state is State.PREPARING:
            self._preparing -= 1
        self._queue.pop(ticket, None)
        self._open.remove(ticket)
        self._bytes -= ticket.size
        ticket.state = State.CLOSED

    def poll(self, now: float) -> Poll:
        """Advance to `now`. The caller fails and closes what is expired, and runs the batch."""
        expired = self._drop_expired(now)
        batch: Batch | None = None
        if self._running is None and self._queue and now >= self._start_by():
            batch = Batch(tuple(self._queue)[: self.limits.max_batch], now)
            for ticket in batch.tickets:
                del self._queue[ticket]
                ticket.state = State.RUNNING
            self._running = batch
        return Poll(expired, batch, self._wake())

    def complete(self, batch: Batch, now: float, *, learn: bool = True) -> None:
        """The engine is idle again. `learn` says whether the time taken is a batch's usual one."""
        if batch is not self._running:
            raise ValueError("that batch is not the running one")
        self._running = None
        self._last_batch = now
        if learn:
            self.cost.observe(len(batch.tickets), now - batch.started_at)
        for ticket in batch.tickets:
            if ticket.state is State.RUNNING:
                ticket.state = State.COMPUTED

    def _drop_expired(self, now: float) -> tuple[Ticket, ...]:
        """Take what can't be answered in time out of the queue."""
        late = tuple(ticket for ticket in self._queue if self._hopeless_at(ticket) <= now)
        for ticket in late:
            del self._queue[ticket]
            ticket.state = State.COMPUTED  # to be answered with an error
        return late

    def _start_by(self) -> float:
        """Return when the queue's next batch must start, -inf if at once. The queue isn't empty."""
        limits = self.limits
        if limits.window == 0 or len(self._queue) >= limits.max_batch:
            return -math.inf
        first = next(iter(self._queue))
        needed = _SLACK * self.cost.upper(len(self._queue))
        earliest = min(ticket.deadline - ticket.reserve for ticket in self._queue)
        return min(first.queued_at + limits.window, earliest - needed)

    def _wake(self) -> float | None:
        """Return when something happens by time alone."""
        if not self._queue:
            return None
        times = [min(map(self._hopeless_at, self._queue))]
        if self._running is None:
            times.append(self._start_by())
        wake = min(times)
        return None if wake == math.inf else wake

    def _hopeless_at(self, ticket: Ticket) -> float:
        """Return when it is too late to start with the item."""
        if ticket.probe:
            return ticket.deadline
        return ticket.deadline - self.cost.typical(1) - ticket.reserve

    def _until_idle(self, now: float) -> float:
        """Return the expected seconds until the running batch is done."""
        if self._running is None:
            return self.cost.upper(1)
        count = len(self._running.tickets)
        return max(0.0, self._running.started_at + self.cost.upper(count) - now)

    def _expected_finish(self, now: float) -> float:
        """Return when one more item would be computed, behind all that are ahead of it."""
        start = now if self._running is None else now + self._until_idle(now)
        full, rest = divmod(self._preparing + len(self._queue) + 1, self.limits.max_batch)
        cost = self.cost
        after = cost.upper(rest) if rest else 0.0
        return start + full * cost.upper(self.limits.max_batch) + after

    def _until_possible(self, now: float, needed: float, left: float) -> float:
        """Return when an item that needs `needed` seconds with `left` to go may be taken.

        That is when enough of what is ahead of it is done; or, where an idle engine would be too
        slow as well, when a probe may be taken.
        """
        if left >= self.cost.upper(1):
            return needed - left
        idle_at = now + needed - self.cost.upper(1) if self._open else self._last_batch
        return idle_at + self._pause() - now

    def _may_probe(self, now: float) -> bool:
        if self._open or self._running is not None:
            return False
        return now - self._last_batch > self._pause()

    def _pause(self) -> float:
        """Return how long an engine computes nothing before it takes a probe."""
        return max(_PROBE_SECONDS, _PROBE_BATCHES * self.cost.upper(1))
