"""What the batcher asks of its two exchangeable parts: the order of items, and their admission."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Protocol, TypeVar

from services.segment.batching.cost import Cost
from services.segment.batching.ticket import Admission, Batch, State, Ticket


class Member(Protocol):
    """What a queue asks of its items, besides being hashable; it may not change."""

    @property
    def admission(self) -> Admission:
        """Its priority and client decide when it is taken."""


T = TypeVar("T", bound=Member)


class Queue(Protocol[T]):
    """Items in buckets, taken from one bucket at a time. `fair_queue` is the one that serves."""

    def __len__(self) -> int:
        """Items in all buckets."""

    @property
    def buckets(self) -> list[Hashable]:
        """The buckets that are not empty."""

    @property
    def overdue(self) -> bool:
        """Whether something has waited so long that the next batch is its own."""

    def size(self, bucket: Hashable) -> int:
        """Items of a bucket."""

    def oldest(self, bucket: Hashable) -> T:
        """Return the item that has been in a bucket, which is not empty, for longest."""

    def add(self, item: T, bucket: Hashable = None) -> None:
        """Put an item, that is not in the queue, into a bucket."""

    def remove(self, item: T, bucket: Hashable = None) -> None:
        """Take an item out of its bucket; does nothing if it isn't there."""

    def preview(self, buckets: Iterable[Hashable], most: int) -> list[T]:
        """Return what `take` would take."""

    def take(self, buckets: Iterable[Hashable], most: int) -> list[T]:
        """Take up to `most` items, at least one, from one of `buckets`, none of which is empty."""

    def take_these(self, items: Sequence[T], bucket: Hashable = None) -> None:
        """Take items of a bucket although it may not be their turn."""


class AdmissionPolicy(Protocol):
    """Which items are taken, and what may run next. `admission` is the one that serves."""

    @property
    def cost(self) -> Cost:
        """What batches cost."""

    def admit(self, now: float, admission: Admission, prepare: float, *, overdue: bool) -> Ticket:
        """Return the ticket of an item whose preparation should take `prepare` seconds.

        `overdue` is the queue's. Raises Overloaded if it is not expected to be done in time.
        """

    def moved(self, ticket: Ticket, state: State) -> None:
        """Note that an item enters `state`; its own state is the one that it leaves."""

    def batch_started(self, batch: Batch) -> None:
        """Note that the engine is busy."""

    def batch_done(self, batch: Batch, now: float, *, learn: bool) -> None:
        """Note that the engine is idle; `learn` says whether the time taken is a usual one."""

    def retry_after(self, now: float) -> float:
        """Return in how many seconds whoever finds the queue full should ask again."""

    def keeps_deadlines(self, now: float, tickets: Sequence[Ticket]) -> bool:
        """Whether all other items can be in time if these are the next batch."""
