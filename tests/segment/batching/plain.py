"""The plainest queue and admission that a batcher works with: the served ones are held to them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import count
from typing import Generic, TypeVar

from services.segment.batching.cost import Cost
from services.segment.batching.interfaces import Member
from services.segment.batching.ticket import Admission, Batch, State, Ticket

T = TypeVar("T", bound=Member)


class FirstComeQueue(Generic[T]):
    """Whoever came first is served first, whatever the priority and the client."""

    overdue = False

    def __init__(self, _priorities: int, _turns: object = None) -> None:
        self._numbers = count()
        self._items: dict[Hashable, dict[T, int]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._items.values()))

    @property
    def buckets(self) -> list[Hashable]:
        return list(self._items)

    def size(self, bucket: Hashable) -> int:
        return len(self._items.get(bucket, ()))

    def oldest(self, bucket: Hashable) -> T:
        return next(iter(self._items[bucket]))

    def add(self, item: T, bucket: Hashable = None) -> None:
        self._items.setdefault(bucket, {})[item] = next(self._numbers)

    def remove(self, item: T, bucket: Hashable = None) -> None:
        self._items.get(bucket, {}).pop(item, None)
        if not self._items.get(bucket):
            self._items.pop(bucket, None)

    def preview(self, buckets: Iterable[Hashable], most: int) -> list[T]:
        first = min(buckets, key=lambda bucket: next(iter(self._items[bucket].values())))
        return list(self._items[first])[:most]

    def take(self, buckets: Iterable[Hashable], most: int) -> list[T]:
        first = min(buckets, key=lambda bucket: next(iter(self._items[bucket].values())))
        items = list(self._items[first])[:most]
        self.take_these(items, first)
        return items

    def take_these(self, items: Sequence[T], bucket: Hashable = None) -> None:
        for item in items:
            self.remove(item, bucket)


class AdmitAll:
    """Takes whatever has room, and learns only when a waiting batch must start."""

    def __init__(self) -> None:
        self.cost = Cost()

    def admit(self, now: float, admission: Admission, prepare: float, *, overdue: bool) -> Ticket:
        return Ticket(admission, prepare, start_by=admission.deadline)

    def moved(self, ticket: Ticket, state: State) -> None:
        pass

    def batch_started(self, batch: Batch) -> None:
        pass

    def batch_done(self, batch: Batch, now: float, *, learn: bool) -> None:
        if learn:
            self.cost.observe(len(batch.tickets), now - batch.started_at, batch.bucket)

    def retry_after(self, now: float) -> float:
        return self.cost.upper(1)

    def keeps_deadlines(self, now: float, tickets: Sequence[Ticket]) -> bool:
        return True
