"""What a batcher holds and within which bounds: items, batches, limits. Pure."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum, IntEnum


class Priority(IntEnum):
    """Whose turn it is when items wait: the smaller comes first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class State(Enum):
    """Where an item is."""

    WAITING = "waiting"
    PREPARING = "preparing"
    QUEUED = "queued"
    RUNNING = "running"
    COMPUTED = "computed"
    EXPIRED = "expired"
    CLOSED = "closed"


@dataclass(eq=False)
class Ticket:
    """An admitted item. `deadline` is a time on the caller's clock, `size` is in bytes."""

    deadline: float
    size: int
    priority: Priority
    client: str
    bucket: Hashable
    # Seconds that preparing it is expected to take.
    prepare: float
    probe: bool
    # Seconds that the item is expected to need after its batch; known once it is prepared.
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
    """Bounds of a batcher: items a batch, seconds of the window, items and bytes held at once.

    `workers` items are prepared at once.
    """

    max_batch: int = 1
    window: float = 0.0
    max_items: int = 64
    max_bytes: int = 256 << 20
    workers: int = 2

    def __post_init__(self) -> None:
        if min(self.max_batch, self.max_items, self.max_bytes, self.workers) < 1:
            raise ValueError("max_batch, max_items, max_bytes and workers must be at least 1")
        if not 0 <= self.window < math.inf:
            raise ValueError("window must be finite and not negative")
