"""Which item is served next: by priority, then by client in turn. Pure; does not use time.

No step visits every item: each is O(1), or grows with the number of buckets or of clients that wait
for a later round.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from services.segment.batching.interfaces import Member

# A priority that was skipped this many times in a row leads the next time.
MAX_TURNS_PASSED = 16

T = TypeVar("T", bound=Member)
_Place = tuple[float, int]


def _one_turn(_: Hashable) -> float:
    return 1.0


class FairQueue(Generic[T]):
    """Items in buckets, taken from one bucket at a time; an `interfaces.Queue`.

    * The smallest priority comes first, except that a priority skipped MAX_TURNS_PASSED times in a
      row, although it had items to take, comes first once.
    * Within a priority, clients take turns: a served client goes to the end of the line of every
      bucket. A client that returns starts there. An item that costs several turns sends its client
      further back: each other client gets that many turns first, even if the client leaves and
      returns.
    * Items of one client, priority and bucket are first in, first out; its buckets take turns.
    """

    def __init__(self, priorities: int, turns: Callable[[Hashable], float] = _one_turn) -> None:
        """Make an empty queue for the priorities from 0 to `priorities` - 1.

        `turns` returns how many turns an item of a bucket costs, at least 1.
        """
        self._turns = turns
        # By priority: the round of the client served last, and of clients that wait for a round
        # after the next.
        self._round = [0.0] * priorities
        self._owing: list[dict[str, float]] = [{} for _ in range(priorities)]
        self._passed = [0] * priorities
        self._numbers = itertools.count()
        # By priority and client: its items by bucket, with the bucket served last at the end.
        self._items: list[dict[str, OrderedDict[Hashable, OrderedDict[T, None]]]] = [
            {} for _ in range(priorities)
        ]
        # By bucket and priority: the line of clients, first to last, each with its round and a
        # serial number, which orders clients of one round.
        self._lines: dict[Hashable, list[OrderedDict[str, _Place]]] = {}
        # By bucket: its items in order of arrival.
        self._arrivals: dict[Hashable, OrderedDict[T, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        """Number of items in all buckets."""
        return self._count

    @property
    def buckets(self) -> list[Hashable]:
        """The buckets that are not empty."""
        return list(self._arrivals)

    def size(self, bucket: Hashable) -> int:
        """Return the number of items in a bucket."""
        return len(self._arrivals.get(bucket, ()))

    def oldest(self, bucket: Hashable) -> T:
        """Return the oldest item of a bucket, which must not be empty."""
        return next(iter(self._arrivals[bucket]))

    def next(self, bucket: Hashable) -> T:
        """Return the item whose turn it is in a bucket, which must not be empty."""
        lines = self._lines[bucket]
        return self._first(self._first_priority(lines), bucket)

    def add(self, item: T, bucket: Hashable = None) -> None:
        """Put a new item into a bucket."""
        priority, client = item.admission.priority, item.admission.client
        if bucket not in self._arrivals:
            self._arrivals[bucket] = OrderedDict()
            self._lines[bucket] = [OrderedDict() for _ in self._items]
        self._arrivals[bucket][item] = None
        mine = self._items[priority].setdefault(client, OrderedDict())
        if bucket not in mine:
            mine[bucket] = OrderedDict()
            self._line_up(client, priority, bucket)
        mine[bucket][item] = None
        self._count += 1

    def remove(self, item: T, bucket: Hashable = None) -> None:
        """Remove an item from its bucket; does nothing if it is absent."""
        if item not in self._arrivals.get(bucket, ()):
            return
        priority, client = item.admission.priority, item.admission.client
        self._count -= 1
        clients = self._items[priority]
        mine = clients[client]
        del mine[bucket][item]
        if not mine[bucket]:
            del mine[bucket]
            del self._lines[bucket][priority][client]
        if not mine:
            del clients[client]
        if not clients:
            self._passed[priority] = 0
        del self._arrivals[bucket][item]
        if not self._arrivals[bucket]:
            del self._arrivals[bucket], self._lines[bucket]

    def take(self, buckets: Iterable[Hashable], most: int) -> list[T]:
        """Take 1 to `most` items from the one of `buckets` whose turn it is.

        There must be at least one bucket, and none may be empty.
        """
        bucket, priority, passed = self._lead(buckets)
        self._pass_over(priority, passed)
        leads, _ = next(iter(self._lines[bucket][priority].values()))
        self._round[priority] = max(self._round[priority], leads)
        taken = [self._serve(self._first(priority, bucket), bucket)]
        while len(taken) < most and bucket in self._lines:
            taken.append(self._serve(self.next(bucket), bucket))
        return taken

    def take_these(self, items: Sequence[T], bucket: Hashable = None) -> None:
        """Take items of a bucket, even out of turn; their clients have then had their turn.

        The first item leads: waiting items of lower priority count as skipped.
        """
        lead = items[0].admission.priority
        waiting = [priority for priority, clients in enumerate(self._items) if clients]
        self._pass_over(lead, [priority for priority in waiting if priority > lead])
        for item in items:
            self._serve(item, bucket)

    @property
    def overdue(self) -> bool:
        """Whether a priority was skipped so often that it comes before the others."""
        return max(self._passed) >= MAX_TURNS_PASSED

    def preview(self, buckets: Iterable[Hashable], most: int) -> list[T]:
        """Return what `take` would take."""
        bucket, priority, _ = self._lead(buckets)
        lead = self._first(priority, bucket)
        others = (item for item in self._in_turn(bucket) if item is not lead)
        return [lead, *itertools.islice(others, most - 1)]

    def _in_turn(self, bucket: Hashable) -> Iterator[T]:
        """Yield the items of a bucket by priority and in turns of the clients."""
        for priority, line in enumerate(self._lines[bucket]):
            rounds: deque[Iterator[T]] = deque()
            for client in line:
                rounds.append(iter(self._items[priority][client][bucket]))
                yield next(rounds[-1])
            while rounds:
                item = next(rounds[0], None)
                if item is None:
                    rounds.popleft()
                else:
                    yield item
                    rounds.rotate(-1)

    def _lead(self, buckets: Iterable[Hashable]) -> tuple[Hashable, int, list[int]]:
        """Return the bucket whose turn it is, its first item's priority, and the skipped ones."""
        first: dict[int, tuple[_Place, Hashable]] = {}
        for bucket in buckets:
            for priority, line in enumerate(self._lines[bucket]):
                if line:
                    number = next(iter(line.values()))
                    if priority not in first or number < first[priority][0]:
                        first[priority] = number, bucket
        overdue = [priority for priority in first if self._passed[priority] >= MAX_TURNS_PASSED]
        leads = min(overdue or first)
        return first[leads][1], leads, [priority for priority in first if priority > leads]

    def _pass_over(self, lead: int, others: Iterable[int]) -> None:
        self._passed[lead] = 0
        for other in others:
            self._passed[other] += 1

    def _serve(self, item: T, bucket: Hashable) -> T:
        """Take an item, and move its client to the end of all its lines, or further back."""
        self.remove(item, bucket)
        priority, client = item.admission.priority, item.admission.client
        turns = self._turns(bucket)
        if turns > 1:
            self._owe(client, priority, self._round[priority] + turns)
        mine = self._items[priority].get(client)
        if mine is not None:
            if bucket in mine:
                mine.move_to_end(bucket)
            for other in mine:  # in this order, so that the bucket served last comes last
                self._line_up(client, priority, other)
        return item

    def _owe(self, client: str, priority: int, until: float) -> None:
        """Make a client wait for a later round; forget clients whose round has come."""
        now, owing = self._round[priority], self._owing[priority]
        if len(owing) > 2 * len(self._items[priority]):
            for other in [other for other, when in owing.items() if when <= now + 1]:
                del owing[other]
        owing[client] = max(until, owing.get(client, 0.0))

    def _line_up(self, client: str, priority: int, bucket: Hashable) -> None:
        """Put a client into a bucket's line at its next round: at the end, unless it owes turns."""
        line = self._lines[bucket][priority]
        soonest = self._round[priority] + 1
        place = max(soonest, self._owing[priority].get(client, 0.0)), next(self._numbers)
        line[client] = place
        line.move_to_end(client)
        later = list(itertools.takewhile(lambda other: line[other] >= place, reversed(line)))
        for other in reversed(later[1:]):
            line.move_to_end(other)

    def _first(self, priority: int, bucket: Hashable) -> T:
        client = next(iter(self._lines[bucket][priority]))
        return next(iter(self._items[priority][client][bucket]))

    @staticmethod
    def _first_priority(lines: list[OrderedDict[str, _Place]]) -> int:
        return next(priority for priority, line in enumerate(lines) if line)
