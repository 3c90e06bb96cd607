"""How long an item will take, and what it waits for: estimates over all that is held. Pure.

Of the work nothing is known but its kinds and how much of each there is: what comes before an item
is taken for a sample of all that waits.
"""

from __future__ import annotations

from collections.abc import Hashable

from services.segment.batching.cost import Cost
from services.segment.batching.fair_queue import Census
from services.segment.batching.ticket import Batch, Limits, Priority, Ticket

# Shares of the expected wait, by priority, and of a client's own work in the queue, that must be
# left over before the deadline: room for those who come later and go first.
_HEADROOM = {Priority.HIGH: 0.0, Priority.NORMAL: 0.25, Priority.LOW: 0.5}
_CLIENT_HEADROOM = 0.25


class Forecast:
    """Estimates for one batcher, which tells it where each item is."""

    def __init__(self, limits: Limits, cost: Cost) -> None:
        self.cost = cost
        self.running: Batch | None = None
        """The batch that the engine computes."""
        self._limits = limits
        # What is not in a batch yet, counted by priority and client, and by bucket.
        self._census = Census(len(Priority), limits.max_items)
        self._buckets: dict[Hashable, int] = {}
        self._unprepared = 0
        # Expected seconds of work for the pool: of preparing, and of finishing what is computed.
        self._prepare_seconds = 0.0
        self._finish_seconds = 0.0

    def came(self, ticket: Ticket) -> None:
        """Count an item that waits to be prepared."""
        self._census.add(ticket)
        self._buckets[ticket.bucket] = self._buckets.get(ticket.bucket, 0) + 1
        self._unprepared += 1
        self._prepare_seconds += ticket.prepare

    def prepared(self, ticket: Ticket) -> None:
        """Count an item's preparation no longer: it is done or given up."""
        self._unprepared -= 1
        self._prepare_seconds -= ticket.prepare

    def left(self, ticket: Ticket) -> None:
        """Count an item no longer that is in a batch now, or given up."""
        self._census.remove(ticket)
        self._buckets[ticket.bucket] -= 1
        if not self._buckets[ticket.bucket]:
            del self._buckets[ticket.bucket]

    def computed(self, ticket: Ticket) -> None:
        """Count the work behind an item's batch."""
        self._finish_seconds += ticket.reserve

    def finished(self, ticket: Ticket) -> None:
        """Count the work behind an item's batch no longer."""
        self._finish_seconds -= ticket.reserve

    def nothing_is_held(self) -> None:
        """Begin anew: sums of floats drift."""
        self._prepare_seconds = self._finish_seconds = 0.0

    def own(self, bucket: Hashable, prepare: float) -> float:
        """Return the seconds of an item that waits for nothing."""
        return prepare + self.cost.upper(1, bucket)

    def needed(
        self, now: float, priority: Priority, client: str, bucket: Hashable, prepare: float
    ) -> float:
        """Return the seconds that an item which comes now must have: its own, its wait, and room.

        Room is for those who come later and go first.
        """
        own = self.own(bucket, prepare)
        ahead = self._census.ahead(priority, client)
        wait = max(0.0, self._expected_seconds(now, ahead, bucket, prepare) - own)
        return own + wait + self._room(now, ahead, priority, client)

    def until_idle(self, now: float) -> float:
        """Return the expected seconds until the running batch is done, or of one that would run."""
        if self.running is None:
            return self.cost.upper(1)
        batch = self.running
        lasts = self.cost.upper(len(batch.tickets), batch.bucket)
        return max(0.0, batch.started_at + lasts - now)

    def share(self, bucket: Hashable) -> float:
        """Return an item's seconds of the engine's time, when batches are full."""
        return self.cost.upper(self._limits.max_batch, bucket) / self._limits.max_batch

    def full_batch(self, bucket: Hashable) -> float:
        """Return what work is rounded up to: the seconds of a full batch, 0 if that is one item."""
        most = self._limits.max_batch
        return self.cost.upper(most, bucket) if most > 1 else 0.0

    def _expected_seconds(self, now: float, ahead: int, bucket: Hashable, prepare: float) -> float:
        """Return after how long one more item would be computed, behind `ahead` others.

        What the others are is not known, so that they are taken for a sample of all that wait.
        """
        total = max(1, len(self._census))
        engine = 0.0 if self.running is None else self.until_idle(now)
        for other, count in self._buckets.items():
            engine += self._batches(other, -(-count * ahead // total) + (other == bucket))
        if bucket not in self._buckets:
            engine += self._batches(bucket, 1)
        unprepared = max(1, self._unprepared)
        pool = self._prepare_seconds * min(1.0, ahead / unprepared) + self._finish_seconds
        own = self.own(bucket, prepare)
        return max(engine, max(0.0, pool) / self._limits.workers + own)

    def _room(self, now: float, ahead: int, priority: Priority, client: str) -> float:
        """Return the seconds that an item must leave to those who come later and go first."""
        total = max(1, len(self._census))
        each = sum(count * self.share(bucket) for bucket, count in self._buckets.items()) / total
        wait = ahead * each + (0.0 if self.running is None else self.until_idle(now))
        mine = self._census.count(priority, client) * each
        return max(_HEADROOM[priority] * wait, _CLIENT_HEADROOM * mine)

    def _batches(self, bucket: Hashable, count: int) -> float:
        """Return the expected seconds of as few batches as hold `count` items."""
        full, rest = divmod(count, self._limits.max_batch)
        seconds = self.cost.upper(rest, bucket) if rest else 0.0
        return seconds + full * self.cost.upper(self._limits.max_batch, bucket) if full else seconds
