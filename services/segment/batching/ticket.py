"""What a batcher holds, and its limits: items, batches, bounds. Pure."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum, IntEnum


class Priority(IntEnum):
    """Which waiting items come first: the smaller values."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class State(Enum):
    """The state of an item."""

    WAITING = "waiting"
    PREPARING = "preparing"
    QUEUED = "queued"
    RUNNING = "running"
    COMPUTED = "computed"
    EXPIRED = "expired"
    CLOSED = "closed"


@dataclass(frozen=True)
class Admission:
    """What an item needs from the queue.

    `size` is in bytes and counts until the item is answered. `deadline` is in seconds on the clock
    of the batcher's caller, infinite for none. Items of one `bucket` may share a batch.
    """

    size: int
    deadline: float = math.inf
    priority: Priority = Priority.NORMAL
    client: str = ""
    bucket: Hashable = None


@dataclass(eq=False)
class Ticket:
    """An admitted item.

    `prepare` is the expected seconds of its preparation, `start_by` the latest time to begin it. A
    `trial` is not expected to be in time: it is computed to learn its cost.
    """

    admission: Admission
    prepare: float
    start_by: float
    trial: bool = False
    # Seconds that the item should need after its batch; known once it is prepared.
    reserve: float = 0.0
    queued_at: float = math.nan
    state: State = State.WAITING


@dataclass(frozen=True, eq=False)
class Batch:
    """Items of one bucket to compute together."""

    tickets: tuple[Ticket, ...]
    bucket: Hashable
    started_at: float


@dataclass(frozen=True)
class Limits:
    """Bounds of a batcher.

    A batch has up to `max_batch_size` items; its first one waits up to `batch_wait` seconds for
    others. At most `max_items` and `max_bytes` are held, and `workers` items prepared, at once.
    """

    max_batch_size: int = 1
    batch_wait: float = 0.0
    max_items: int = 64
    max_bytes: int = 256 << 20
    workers: int = 2

    def __post_init__(self) -> None:
        if min(self.max_batch_size, self.max_items, self.max_bytes, self.workers) < 1:
            raise ValueError("max_batch_size, max_items, max_bytes and workers must be at least 1")
        if not 0 <= self.batch_wait < math.inf:
            raise ValueError("batch_wait must be finite and not negative")
