"""Interfaces of the batcher's two exchangeable parts: the order of items, and their admission."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Protocol, TypeVar

from services.segment.batching.cost import Cost
from services.segment.batching.ticket import Admission, Batch, State, Ticket


class Member(Protocol):
    """What a queue needs of its items; they must be hashable and never change."""

    @property
    def admission(self) -> Admission:
        """The item's priority and client, which decide when it is taken."""


T = TypeVar("T", bound=Member)


class Queue(Protocol[T]):
    """Items in buckets, taken from one bucket at a time. Production uses `fair_queue`."""

    def __len__(self) -> int:
        """Number of items in all buckets."""

    @property
    def buckets(self) -> list[Hashable]:
        """The buckets that are not empty."""

    @property
    def overdue(self) -> bool:
        """Whether a priority has waited so long that the next batch is its own."""

    def size(self, bucket: Hashable) -> int:
        """Return the number of items in a bucket."""

    def oldest(self, bucket: Hashable) -> T:
        """Return the oldest item of a bucket, which must not be empty."""

    def add(self, item: T, bucket: Hashable = None) -> None:
        """Put a new item into a bucket."""

    def remove(self, item: T, bucket: Hashable = None) -> None:
        """Remove an item from its bucket; does nothing if it is absent."""

    def preview(self, buckets: Iterable[Hashable], most: int) -> list[T]:
        """Return what `take` would take."""

    def take(self, buckets: Iterable[Hashable], most: int) -> list[T]:
        """Take 1 to `most` items from one of `buckets`, none of which may be empty."""

    def take_these(self, items: Sequence[T], bucket: Hashable = None) -> None:
        """Take items of a bucket, even out of turn."""


class AdmissionPolicy(Protocol):
    """Which items are admitted, and what may run next. Production uses `admission`."""

    @property
    def cost(self) -> Cost:
        """Costs of batches."""

    def admit(self, now: float, admission: Admission, prepare: float, *, overdue: bool) -> Ticket:
        """Return the ticket of an item whose preparation should take `prepare` seconds.

        `overdue` is the queue's. Raises Overloaded if the item is not expected to be in time.
        """

    def moved(self, ticket: Ticket, state: State) -> None:
        """Note that an item enters `state`; the item still has the state that it leaves."""

    def batch_started(self, batch: Batch) -> None:
        """Note that the engine is busy."""

    def batch_done(self, batch: Batch, now: float, *, learn: bool) -> None:
        """Note that the engine is idle; `learn` says whether the batch took a usual time."""

    def retry_after(self, now: float) -> float:
        """Return after how many seconds a caller that finds the queue full should try again."""

    def keeps_deadlines(self, now: float, tickets: Sequence[Ticket]) -> bool:
        """Whether all other items can be in time if `first` is the next batch."""
